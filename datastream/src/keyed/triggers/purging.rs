//! Dropping what has been shown.

use pelton_runtime_core::time::EpochMillis;
use pelton_runtime_core::window::TimeWindow;

use crate::record::Record;

use super::{Trigger, TriggerContext, TriggerResult};

/// Drops the contents of a window whenever another trigger fires it.
#[derive(Debug, Clone, Copy)]
pub struct PurgingTrigger<R> {
    inner: R,
}

impl<R> PurgingTrigger<R> {
    /// Fires when `trigger` does.
    ///
    /// ```
    /// # use pelton::testing::Harness;
    /// # fn main() -> Result<(), pelton::testing::TestError> {
    /// # let mut harness = Harness::new();
    /// use pelton::keyed::{CountTrigger, GlobalWindows, PurgingTrigger};
    ///
    /// let (numbers, input) = harness.source::<i64>();
    /// let windows = numbers.window_all(GlobalWindows::create()).trigger(PurgingTrigger::of(CountTrigger::of(2)));
    /// let sums = harness.collect(windows.reduce(|a, b| a + b));
    /// harness.push_untimed(&input, [1, 2, 4, 8])?;
    /// assert_eq!(sums.take_records(), [1 + 2, 4 + 8]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn of(trigger: R) -> Self {
        Self { inner: trigger }
    }
}

fn purging(result: TriggerResult) -> TriggerResult {
    if result.fires() { TriggerResult::FireAndPurge } else { result }
}

impl<T: Record, R: Trigger<T>> Trigger<T> for PurgingTrigger<R> {
    type State = R::State;

    const CAN_MERGE: bool = R::CAN_MERGE;

    fn on_element(
        &self,
        element: &T,
        timestamp: EpochMillis,
        window: &TimeWindow,
        state: &mut Option<Self::State>,
        ctx: &mut TriggerContext<'_>,
    ) -> TriggerResult {
        purging(self.inner.on_element(element, timestamp, window, state, ctx))
    }

    fn on_event_time(
        &self,
        time: EpochMillis,
        window: &TimeWindow,
        state: &mut Option<Self::State>,
        ctx: &mut TriggerContext<'_>,
    ) -> TriggerResult {
        purging(self.inner.on_event_time(time, window, state, ctx))
    }

    fn on_processing_time(
        &self,
        time: EpochMillis,
        window: &TimeWindow,
        state: &mut Option<Self::State>,
        ctx: &mut TriggerContext<'_>,
    ) -> TriggerResult {
        purging(self.inner.on_processing_time(time, window, state, ctx))
    }

    fn on_merge(
        &self,
        window: &TimeWindow,
        state: &mut Option<Self::State>,
        others: Vec<Self::State>,
        ctx: &mut TriggerContext<'_>,
    ) {
        self.inner.on_merge(window, state, others, ctx);
    }
}
