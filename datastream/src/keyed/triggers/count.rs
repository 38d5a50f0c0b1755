//! Firing at a number of elements.

use pelton_runtime_core::time::EpochMillis;
use pelton_runtime_core::window::TimeWindow;

use crate::record::Record;

use super::{Trigger, TriggerContext, TriggerResult};

/// Fires when so many elements were added since it fired last.
#[derive(Debug, Clone, Copy)]
pub struct CountTrigger {
    count: i64,
}

impl CountTrigger {
    /// Fires at every `count`th element.
    ///
    /// ```
    /// # use pelton::testing::Harness;
    /// # fn main() -> Result<(), pelton::testing::TestError> {
    /// # let mut harness = Harness::new();
    /// use pelton::keyed::{CountTrigger, GlobalWindows};
    ///
    /// let (numbers, input) = harness.source::<i64>();
    /// let windows = numbers.window_all(GlobalWindows::create()).trigger(CountTrigger::of(2));
    /// let sums = harness.collect(windows.reduce(|a, b| a + b));
    /// harness.push_untimed(&input, [1, 2, 4, 8])?;
    /// assert_eq!(sums.take_records(), [1 + 2, 1 + 2 + 4 + 8]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// When the count is below 1.
    #[track_caller]
    pub fn of(count: i64) -> Self {
        assert!(count > 0, "a window fires at a positive number of elements, not at {count}");
        Self { count }
    }
}

impl<T: Record> Trigger<T> for CountTrigger {
    type State = i64;

    const CAN_MERGE: bool = true;

    fn on_element(
        &self,
        _element: &T,
        _timestamp: EpochMillis,
        _window: &TimeWindow,
        state: &mut Option<Self::State>,
        _ctx: &mut TriggerContext<'_>,
    ) -> TriggerResult {
        let count = state.unwrap_or(0) + 1;
        if count >= self.count {
            *state = None;
            return TriggerResult::Fire;
        }
        *state = Some(count);
        TriggerResult::Continue
    }

    fn on_merge(&self, _window: &TimeWindow, state: &mut Option<i64>, others: Vec<i64>, _ctx: &mut TriggerContext<'_>) {
        let count = state.unwrap_or(0) + others.into_iter().sum::<i64>();
        *state = Some(count).filter(|count| *count > 0);
    }
}
