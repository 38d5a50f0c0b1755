//! Accumulators as Flink shows them.

use pelton_runtime_core::accumulator::{Merged, merge};
use serde_json::{Value, json};

use crate::view::AttemptView;

/// Each with its name, type and value as text; of one whose types contradict each other, the contradiction.
pub(super) fn shown(accumulators: &Merged) -> Vec<Value> {
    let shown = accumulators.iter().map(|(name, value)| match value {
        Ok(value) => json!({ "name": name, "type": value.type_name(), "value": value.to_string() }),
        Err(differ) => json!({ "name": name, "type": "FailedAccumulator", "value": differ.to_string() }),
    });
    shown.collect()
}

/// Those of one attempt.
pub(super) fn of_attempt(attempt: &AttemptView) -> Vec<Value> {
    shown(&merge(attempt.metrics.accumulators.iter().map(|(name, value)| (name, value))))
}
