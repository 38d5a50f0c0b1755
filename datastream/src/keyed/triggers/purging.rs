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
