//! Firing at a window's end: what windows do that are told nothing else.

use pelton_runtime_core::time::EpochMillis;
use pelton_runtime_core::window::{TimeDomain, TimeWindow};

use crate::record::Record;

use super::{Trigger, TriggerContext, TriggerResult};

/// Fires when the watermark reaches the window's end, and at every late element that it still takes.
#[derive(Debug, Clone, Copy, Default)]
pub struct EventTimeTrigger;

/// Fires when the wall clock reaches the window's end.
#[derive(Debug, Clone, Copy, Default)]
pub struct ProcessingTimeTrigger;

/// Fires when the clock of the windows reaches their end, as windows without a trigger do.
#[derive(Debug, Clone, Copy)]
pub struct AssignersTrigger(pub(crate) TimeDomain);

impl<T: Record> Trigger<T> for AssignersTrigger {
    type State = bool;

    const CAN_MERGE: bool = true;

    fn on_element(
        &self,
        _element: &T,
        _timestamp: EpochMillis,
        window: &TimeWindow,
        _state: &mut Option<bool>,
        ctx: &mut TriggerContext<'_>,
    ) -> TriggerResult {
        // No element comes to a window whose end the wall clock has passed.
        if self.0 == TimeDomain::EventTime && window.max_timestamp() <= ctx.current_watermark() {
            return TriggerResult::Fire;
        }
        ctx.register(self.0, window.max_timestamp());
        TriggerResult::Continue
    }

    fn on_event_time(
        &self,
        time: EpochMillis,
        window: &TimeWindow,
        _state: &mut Option<bool>,
        _ctx: &mut TriggerContext<'_>,
    ) -> TriggerResult {
        let ends = self.0 == TimeDomain::EventTime && time == window.max_timestamp();
        if ends { TriggerResult::Fire } else { TriggerResult::Continue }
    }

    fn on_processing_time(
        &self,
        _time: EpochMillis,
        _window: &TimeWindow,
        _state: &mut Option<bool>,
        _ctx: &mut TriggerContext<'_>,
    ) -> TriggerResult {
        if self.0 == TimeDomain::ProcessingTime { TriggerResult::Fire } else { TriggerResult::Continue }
    }

    fn on_merge(
        &self,
        window: &TimeWindow,
        _state: &mut Option<bool>,
        _others: Vec<bool>,
        ctx: &mut TriggerContext<'_>,
    ) {
        // A window that is over fires at the element that merged it.
        if window.max_timestamp() > ctx.clock(self.0) {
            ctx.register(self.0, window.max_timestamp());
        }
    }
}

/// A trigger that is an [`AssignersTrigger`] of one clock.
macro_rules! of_one_clock {
    ($trigger:ident, $domain:expr) => {
        impl<T: Record> Trigger<T> for $trigger {
            type State = bool;

            const CAN_MERGE: bool = true;

            fn on_element(
                &self,
                element: &T,
                timestamp: EpochMillis,
                window: &TimeWindow,
                state: &mut Option<bool>,
                ctx: &mut TriggerContext<'_>,
            ) -> TriggerResult {
                AssignersTrigger($domain).on_element(element, timestamp, window, state, ctx)
            }

            fn on_event_time(
                &self,
                time: EpochMillis,
                window: &TimeWindow,
                state: &mut Option<bool>,
                ctx: &mut TriggerContext<'_>,
            ) -> TriggerResult {
                Trigger::<T>::on_event_time(&AssignersTrigger($domain), time, window, state, ctx)
            }

            fn on_processing_time(
                &self,
                time: EpochMillis,
                window: &TimeWindow,
                state: &mut Option<bool>,
                ctx: &mut TriggerContext<'_>,
            ) -> TriggerResult {
                Trigger::<T>::on_processing_time(&AssignersTrigger($domain), time, window, state, ctx)
            }

            fn on_merge(
                &self,
                window: &TimeWindow,
                state: &mut Option<bool>,
                others: Vec<bool>,
                ctx: &mut TriggerContext<'_>,
            ) {
                Trigger::<T>::on_merge(&AssignersTrigger($domain), window, state, others, ctx);
            }
        }
    };
}

of_one_clock!(EventTimeTrigger, TimeDomain::EventTime);
of_one_clock!(ProcessingTimeTrigger, TimeDomain::ProcessingTime);
