//! Figures over several scopes: smallest, largest, mean, sum and skew.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use serde_json::{Value, json};

use crate::rest::answer::Answer;
use crate::rest::error::RestError;
use crate::rest::metrics::Metric;
use crate::rest::params::bad_query;
use crate::rest::request::Request;

/// A figure over several values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Aggregation {
    Min,
    Max,
    Avg,
    Sum,
    Skew,
}

impl Aggregation {
    const ALL: [Self; 5] = [Self::Min, Self::Max, Self::Avg, Self::Sum, Self::Skew];

    /// Those that `agg` names; all when it names none.
    pub(super) fn wanted(request: &Request) -> Result<Vec<Self>, RestError> {
        let names = request.query_list("agg").unwrap_or_default();
        if names.is_empty() {
            return Ok(Self::ALL.to_vec());
        }
        names
            .into_iter()
            .map(|name| {
                let found = Self::ALL.into_iter().find(|each| each.name().eq_ignore_ascii_case(name));
                found.ok_or_else(|| bad_query("agg", name))
            })
            .collect()
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Min => "min",
            Self::Max => "max",
            Self::Avg => "avg",
            Self::Sum => "sum",
            Self::Skew => "skew",
        }
    }

    /// The figure over `values`, which are not empty.
    fn of(self, values: &[f64]) -> f64 {
        let count = values.len() as f64;
        let sum: f64 = values.iter().sum();
        match self {
            Self::Min => values.iter().copied().fold(f64::INFINITY, f64::min),
            Self::Max => values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            Self::Sum => sum,
            Self::Avg => sum / count,
            Self::Skew => skew(values, sum / count),
        }
    }
}

/// Mean distance from the mean, in percent of the mean, at most 100.
fn skew(values: &[f64], mean: f64) -> f64 {
    if mean == 0.0 {
        return 0.0;
    }
    let distance: f64 = values.iter().map(|value| (value - mean).abs()).sum();
    (distance / values.len() as f64 / mean.abs() * 100.0).min(100.0)
}

/// Names without `get`, figures with it.
pub(super) fn aggregated(request: &Request, aggregations: &[Aggregation], stores: &[Vec<Metric>]) -> Answer {
    let Some(names) = request.query_list("get") else {
        let names: BTreeSet<&str> = stores.iter().flatten().map(|metric| metric.name.as_str()).collect();
        return Answer::ok(names.into_iter().map(|name| json!({ "id": name })).collect());
    };
    let mut answer = Vec::with_capacity(names.len());
    for name in names {
        let found: Vec<&Metric> = stores.iter().flatten().filter(|metric| metric.name == name).collect();
        if found.is_empty() {
            return Answer::ok(json!([]));
        }
        // One value that is no number, and there is no figure.
        let Some(values) = found.iter().map(|metric| metric.value.number()).collect::<Option<Vec<f64>>>() else {
            continue;
        };
        let mut figures = json!({ "id": name });
        for aggregation in aggregations {
            figures[aggregation.name()] = number(aggregation.of(&values));
        }
        answer.push(figures);
    }
    Answer::ok(Value::Array(answer))
}

/// JSON has no NaN; Flink writes it as a string.
fn number(value: f64) -> Value {
    serde_json::Number::from_f64(value).map_or_else(|| Value::String(value.to_string()), Value::Number)
}

/// The subtasks that `subtasks=0-2,5` names; none when it names none, which means all.
pub(super) fn subtask_ranges(request: &Request) -> Result<Option<Vec<RangeInclusive<u32>>>, RestError> {
    let ranges = request.query_list("subtasks").unwrap_or_default();
    if ranges.is_empty() {
        return Ok(None);
    }
    let parse = |text: &str| {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        Some(first.trim().parse().ok()?..=last.trim().parse().ok()?)
    };
    ranges
        .into_iter()
        .map(|text| parse(text).ok_or_else(|| bad_query("subtasks", text)))
        .collect::<Result<_, _>>()
        .map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skew_is_flinks() {
        let values = [14_890_000_000.0, 16_050_000_000.0];
        assert!((Aggregation::Skew.of(&values) - 3.749_191_984_486_102).abs() < 1e-9);
        assert_eq!(Aggregation::Skew.of(&[0.0, 0.0]), 0.0);
        assert_eq!(Aggregation::Skew.of(&[934_234.0, 6_249.0, 14_165.0, 0.0]), 100.0);
    }
}
