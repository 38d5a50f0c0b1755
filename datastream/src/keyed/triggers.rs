//! When windows fire, where that is not simply their end.
//!
//! A trigger sees every element of a window and the timers that it asked for, and says each time whether the window
//! fires, and whether its contents are dropped then. What it remembers is kept per key and window, beside the contents,
//! and is in checkpoints with them.

mod continuous;
mod count;
mod default;
mod delta;
mod purging;

use pelton_runtime_core::time::EpochMillis;
use pelton_runtime_core::window::{TimeDomain, TimeWindow};

use crate::record::Record;

pub use continuous::{ContinuousEventTimeTrigger, ContinuousProcessingTimeTrigger};
pub use count::CountTrigger;
pub use default::{AssignersTrigger, EventTimeTrigger, ProcessingTimeTrigger};
pub use delta::DeltaTrigger;
pub use purging::PurgingTrigger;

/// What becomes of a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TriggerResult {
    /// Nothing.
    Continue,
    /// It fires and keeps its contents.
    Fire,
    /// Its contents are dropped.
    Purge,
    /// It fires, and its contents are dropped.
    FireAndPurge,
}

impl TriggerResult {
    pub(super) fn fires(self) -> bool {
        matches!(self, Self::Fire | Self::FireAndPurge)
    }

    pub(super) fn purges(self) -> bool {
        matches!(self, Self::Purge | Self::FireAndPurge)
    }
}

/// Decides when windows of elements of type `T` fire.
///
/// ```
/// use pelton::keyed::{TimeWindow, Trigger, TriggerContext, TriggerResult};
///
/// /// Fires at every element that is negative.
/// #[derive(Clone)]
/// struct AtNegative;
///
/// impl Trigger<i64> for AtNegative {
///     type State = bool;
///
///     fn on_element(
///         &self,
///         element: &i64,
///         _timestamp: i64,
///         _window: &TimeWindow,
///         _state: &mut Option<bool>,
///         _ctx: &mut TriggerContext<'_>,
///     ) -> TriggerResult {
///         if *element < 0 { TriggerResult::Fire } else { TriggerResult::Continue }
///     }
/// }
/// ```
pub trait Trigger<T: Record>: Clone + Send + Sync + 'static {
    /// What it remembers of a key and window; any record will do for a trigger that remembers nothing.
    type State: Record;

    /// Whether it works for windows that merge, as sessions do.
    const CAN_MERGE: bool = false;

    /// An element was added to a window. `state` is none until the trigger sets it.
    fn on_element(
        &self,
        element: &T,
        timestamp: EpochMillis,
        window: &TimeWindow,
        state: &mut Option<Self::State>,
        ctx: &mut TriggerContext<'_>,
    ) -> TriggerResult;

    /// A timer of event time has come that the trigger asked for, or the window's last moment to take elements.
    fn on_event_time(
        &self,
        _time: EpochMillis,
        _window: &TimeWindow,
        _state: &mut Option<Self::State>,
        _ctx: &mut TriggerContext<'_>,
    ) -> TriggerResult {
        TriggerResult::Continue
    }

    /// A timer of the wall clock has come that the trigger asked for.
    fn on_processing_time(
        &self,
        _time: EpochMillis,
        _window: &TimeWindow,
        _state: &mut Option<Self::State>,
        _ctx: &mut TriggerContext<'_>,
    ) -> TriggerResult {
        TriggerResult::Continue
    }

    /// Windows were merged into `window`, which has no timers yet. `state` is that of the first of them and takes what
    /// is in `others`.
    fn on_merge(
        &self,
        _window: &TimeWindow,
        _state: &mut Option<Self::State>,
        _others: Vec<Self::State>,
        _ctx: &mut TriggerContext<'_>,
    ) {
    }
}

/// The clocks, and the timers of one key and window.
pub struct TriggerContext<'a> {
    pub(super) watermark: EpochMillis,
    pub(super) processing_time: EpochMillis,
    /// What the trigger asked for, in order; told to the queues afterwards.
    pub(super) changes: &'a mut Vec<TimerChange>,
}

/// A timer that a trigger wants or does not want any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TimerChange {
    pub(super) domain: TimeDomain,
    pub(super) time: EpochMillis,
    pub(super) register: bool,
}

impl TriggerContext<'_> {
    /// The event-time clock.
    pub fn current_watermark(&self) -> EpochMillis {
        self.watermark
    }

    /// The wall clock.
    pub fn current_processing_time(&self) -> EpochMillis {
        self.processing_time
    }

    fn clock(&self, domain: TimeDomain) -> EpochMillis {
        match domain {
            TimeDomain::EventTime => self.watermark,
            TimeDomain::ProcessingTime => self.processing_time,
        }
    }

    fn register(&mut self, domain: TimeDomain, time: EpochMillis) {
        self.changes.push(TimerChange { domain, time, register: true });
    }

    /// Calls `on_event_time` when the watermark reaches `time`.
    pub fn register_event_time_timer(&mut self, time: EpochMillis) {
        self.register(TimeDomain::EventTime, time);
    }

    /// Calls `on_processing_time` when the wall clock is past `time`.
    pub fn register_processing_time_timer(&mut self, time: EpochMillis) {
        self.register(TimeDomain::ProcessingTime, time);
    }

    /// Deletes the timer of event time, if there is one.
    pub fn delete_event_time_timer(&mut self, time: EpochMillis) {
        self.changes.push(TimerChange { domain: TimeDomain::EventTime, time, register: false });
    }

    /// Deletes the timer of the wall clock, if there is one.
    pub fn delete_processing_time_timer(&mut self, time: EpochMillis) {
        self.changes.push(TimerChange { domain: TimeDomain::ProcessingTime, time, register: false });
    }
}
