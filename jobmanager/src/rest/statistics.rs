//! Figures over several subtasks: counts per state, and the spread of a value.

use pelton_runtime_core::scheduler::status::ExecutionState;
use serde_json::{Map, Value, json};

/// How many executions are in each state, all states named.
pub(super) fn state_counts(states: &[ExecutionState]) -> Value {
    let mut counts = Map::new();
    for state in ExecutionState::ALL {
        let count = states.iter().filter(|each| *each == state).count();
        counts.insert(state.as_str().to_owned(), count.into());
    }
    Value::Object(counts)
}

/// Smallest, largest, mean, sum and percentiles of `values`, in whole numbers as Flink shows them.
pub(super) fn spread(values: impl IntoIterator<Item = i64>) -> Value {
    let mut sorted: Vec<i64> = values.into_iter().collect();
    sorted.sort_unstable();
    let sum: i64 = sorted.iter().fold(0, |sum, value| sum.saturating_add(*value));
    let mean = sum.checked_div(i64::try_from(sorted.len()).unwrap_or(i64::MAX)).unwrap_or(0);
    json!({
        "min": sorted.first().copied().unwrap_or(0),
        "max": sorted.last().copied().unwrap_or(0),
        "avg": mean,
        "sum": sum,
        "median": percentile(&sorted, 50.0),
        "p25": percentile(&sorted, 25.0),
        "p75": percentile(&sorted, 75.0),
        "p95": percentile(&sorted, 95.0),
    })
}

/// The value below which `percent` of the values are, interpolated at the position `percent * (n + 1) / 100`.
fn percentile(sorted: &[i64], percent: f64) -> i64 {
    let (Some(first), Some(last)) = (sorted.first(), sorted.last()) else { return 0 };
    let position = percent * (sorted.len() as f64 + 1.0) / 100.0;
    let below = position.floor();
    if below < 1.0 {
        return *first;
    }
    let index = below as usize;
    let (Some(lower), Some(upper)) = (sorted.get(index - 1), sorted.get(index)) else { return *last };
    (*lower as f64 + (position - below) * (*upper as f64 - *lower as f64)) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spread_of_two_subtasks_is_the_one_flink_shows() {
        assert_eq!(
            spread([18044, 18043]),
            json!({
                "min": 18043, "max": 18044, "avg": 18043, "sum": 36087,
                "median": 18043, "p25": 18043, "p75": 18044, "p95": 18044,
            })
        );
    }

    #[test]
    fn the_spread_of_nothing_is_zero() {
        assert_eq!(spread([])["max"], 0);
        assert_eq!(spread([])["median"], 0);
    }
}
