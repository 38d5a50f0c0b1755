//! Firing again and again until a window ends.

use std::time::Duration;

use pelton_runtime_core::time::EpochMillis;
use pelton_runtime_core::window::TimeWindow;

use crate::keyed::windows::millis;
use crate::record::Record;

use super::{Trigger, TriggerContext, TriggerResult};

/// Fires at every multiple of an interval of event time, and at the window's end.
#[derive(Debug, Clone, Copy)]
pub struct ContinuousEventTimeTrigger {
    interval: i64,
}

/// Fires at every multiple of an interval of the wall clock, as long as elements come.
#[derive(Debug, Clone, Copy)]
pub struct ContinuousProcessingTimeTrigger {
    interval: i64,
}

#[track_caller]
fn interval(interval: Duration) -> i64 {
    assert!(interval.as_millis() > 0, "a window fires every millisecond at most, not every {interval:?}");
    millis(interval)
}

/// The multiple of `interval` after `time`.
fn next(time: EpochMillis, interval: i64) -> EpochMillis {
    time.saturating_sub(time.rem_euclid(interval)).saturating_add(interval)
}

impl ContinuousEventTimeTrigger {
    /// Fires every `every` of event time.
    ///
    /// ```
    /// # use pelton::testing::Harness;
    /// # fn main() -> Result<(), pelton::testing::TestError> {
    /// # let mut harness = Harness::new();
    /// use std::time::Duration;
    ///
    /// use pelton::keyed::{ContinuousEventTimeTrigger, TumblingEventTimeWindows};
    ///
    /// let (numbers, input) = harness.source::<i64>();
    /// let windows = numbers.window_all(TumblingEventTimeWindows::of(Duration::from_millis(100)));
    /// let sums = windows.trigger(ContinuousEventTimeTrigger::of(Duration::from_millis(40))).reduce(|a, b| a + b);
    /// let sums = harness.collect(sums);
    /// harness.push(&input, [(1, 5), (2, 6)])?;
    /// harness.watermark(&input, 40)?;
    /// harness.push(&input, [(4, 41)])?;
    /// harness.end()?;
    /// assert_eq!(sums.take_records(), [1 + 2, 1 + 2 + 4, 1 + 2 + 4]); // at 40, at 80 and at the end
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// When the interval is below a millisecond.
    #[track_caller]
    pub fn of(every: Duration) -> Self {
        Self { interval: interval(every) }
    }
}

impl ContinuousProcessingTimeTrigger {
    /// Fires every `every` of the wall clock.
    ///
    /// ```
    /// # use pelton::testing::Harness;
    /// # fn main() -> Result<(), pelton::testing::TestError> {
    /// # let mut harness = Harness::new();
    /// use std::time::Duration;
    ///
    /// use pelton::keyed::{ContinuousProcessingTimeTrigger, TumblingProcessingTimeWindows};
    ///
    /// let (numbers, input) = harness.source::<i64>();
    /// let windows = numbers.window_all(TumblingProcessingTimeWindows::of(Duration::from_millis(100)));
    /// let sums = windows.trigger(ContinuousProcessingTimeTrigger::of(Duration::from_millis(40))).reduce(|a, b| a + b);
    /// let sums = harness.collect(sums);
    /// harness.push_untimed(&input, [1, 2])?;
    /// harness.advance_processing_time(50)?;
    /// harness.push_untimed(&input, [4])?;
    /// harness.advance_processing_time(90)?;
    /// assert_eq!(sums.take_records(), [1 + 2, 1 + 2 + 4]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// When the interval is below a millisecond.
    #[track_caller]
    pub fn of(every: Duration) -> Self {
        Self { interval: interval(every) }
    }
}

impl<T: Record> Trigger<T> for ContinuousEventTimeTrigger {
    /// When it fires next.
    type State = i64;

    const CAN_MERGE: bool = true;

    fn on_element(
        &self,
        _element: &T,
        timestamp: EpochMillis,
        window: &TimeWindow,
        state: &mut Option<Self::State>,
        ctx: &mut TriggerContext<'_>,
    ) -> TriggerResult {
        if window.max_timestamp() <= ctx.current_watermark() {
            return TriggerResult::Fire;
        }
        ctx.register_event_time_timer(window.max_timestamp());
        if state.is_none() {
            let at = next(timestamp, self.interval).min(window.max_timestamp());
            ctx.register_event_time_timer(at);
            *state = Some(at);
        }
        TriggerResult::Continue
    }

    fn on_event_time(
        &self,
        time: EpochMillis,
        window: &TimeWindow,
        state: &mut Option<Self::State>,
        ctx: &mut TriggerContext<'_>,
    ) -> TriggerResult {
        if time == window.max_timestamp() {
            return TriggerResult::Fire;
        }
        if *state != Some(time) {
            return TriggerResult::Continue;
        }
        let at = time.saturating_add(self.interval).min(window.max_timestamp());
        ctx.register_event_time_timer(at);
        *state = Some(at);
        TriggerResult::Fire
    }

    fn on_merge(&self, window: &TimeWindow, state: &mut Option<i64>, others: Vec<i64>, ctx: &mut TriggerContext<'_>) {
        *state = state.iter().copied().chain(others).min();
        if let Some(at) = *state {
            ctx.register_event_time_timer(at);
        }
        if window.max_timestamp() > ctx.current_watermark() {
            ctx.register_event_time_timer(window.max_timestamp());
        }
    }
}

impl<T: Record> Trigger<T> for ContinuousProcessingTimeTrigger {
    /// When it fires next.
    type State = i64;

    const CAN_MERGE: bool = true;

    fn on_element(
        &self,
        _element: &T,
        _timestamp: EpochMillis,
        window: &TimeWindow,
        state: &mut Option<Self::State>,
        ctx: &mut TriggerContext<'_>,
    ) -> TriggerResult {
        if state.is_none() {
            let at = next(ctx.current_processing_time(), self.interval).min(window.max_timestamp());
            ctx.register_processing_time_timer(at);
            *state = Some(at);
        }
        TriggerResult::Continue
    }

    fn on_processing_time(
        &self,
        time: EpochMillis,
        window: &TimeWindow,
        state: &mut Option<Self::State>,
        ctx: &mut TriggerContext<'_>,
    ) -> TriggerResult {
        if *state != Some(time) {
            return TriggerResult::Continue;
        }
        let at = time.saturating_add(self.interval).min(window.max_timestamp());
        *state = Some(at);
        if at > time {
            ctx.register_processing_time_timer(at);
        }
        TriggerResult::Fire
    }

    fn on_merge(&self, _window: &TimeWindow, state: &mut Option<i64>, others: Vec<i64>, ctx: &mut TriggerContext<'_>) {
        *state = state.iter().copied().chain(others).min();
        if let Some(at) = *state {
            ctx.register_processing_time_timer(at);
        }
    }
}
