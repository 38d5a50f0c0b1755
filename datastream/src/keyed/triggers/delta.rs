//! Firing when elements have come far enough from one another.

use std::sync::Arc;

use pelton_runtime_core::time::EpochMillis;
use pelton_runtime_core::window::TimeWindow;

use crate::keyed::evictors::Delta;
use crate::record::Record;
use crate::stream::Parallel;

use super::{Trigger, TriggerContext, TriggerResult};

/// Fires when an element differs from the one that it fired at last by more than a threshold.
#[derive(Clone)]
pub struct DeltaTrigger<T> {
    threshold: f64,
    delta: Delta<T>,
}

impl<T: Record> DeltaTrigger<T> {
    /// `delta` says by how much the new element, its second argument, differs from the old one.
    ///
    /// ```
    /// # use pelton::testing::Harness;
    /// # fn main() -> Result<(), pelton::testing::TestError> {
    /// # let mut harness = Harness::new();
    /// use pelton::keyed::{DeltaTrigger, GlobalWindows};
    ///
    /// let (numbers, input) = harness.source::<i64>();
    /// let far = DeltaTrigger::of(9.0, |last: &i64, n: &i64| (n - last).abs() as f64);
    /// let sums = harness.collect(numbers.window_all(GlobalWindows::create()).trigger(far).reduce(|a, b| a + b));
    /// harness.push_untimed(&input, [1, 5, 11, 20, 21])?;
    /// assert_eq!(sums.take_records(), [1 + 5 + 11, 1 + 5 + 11 + 20 + 21]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn of(threshold: f64, delta: impl Fn(&T, &T) -> f64 + Parallel) -> Self {
        Self { threshold, delta: Arc::new(delta) }
    }
}

impl<T> std::fmt::Debug for DeltaTrigger<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DeltaTrigger").field("threshold", &self.threshold).finish_non_exhaustive()
    }
}

impl<T: Record> Trigger<T> for DeltaTrigger<T> {
    type State = T;

    fn on_element(
        &self,
        element: &T,
        _timestamp: EpochMillis,
        _window: &TimeWindow,
        state: &mut Option<Self::State>,
        _ctx: &mut TriggerContext<'_>,
    ) -> TriggerResult {
        match state {
            None => *state = Some(element.clone()),
            Some(last) if (self.delta)(last, element) > self.threshold => {
                last.clone_from(element);
                return TriggerResult::Fire;
            }
            Some(_) => {}
        }
        TriggerResult::Continue
    }
}
