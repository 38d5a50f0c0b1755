//! Firing when elements have come far enough from one another.

use std::sync::Arc;

use pelton_runtime_core::time::EpochMillis;
use pelton_runtime_core::window::TimeWindow;

use crate::keyed::evictors::Delta;
use crate::record::Record;

use super::{Trigger, TriggerContext, TriggerResult};

/// Fires when an element differs from the one that it fired at last by more than a threshold.
#[derive(Clone)]
pub struct DeltaTrigger<T> {
    threshold: f64,
    delta: Delta<T>,
}

impl<T: Record> DeltaTrigger<T> {
    /// `delta` says by how much the new element, its second argument, differs from the old one.
    pub fn of(threshold: f64, delta: impl Fn(&T, &T) -> f64 + Send + Sync + 'static) -> Self {
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
