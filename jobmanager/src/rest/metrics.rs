//! The metrics that REST knows by name, in Flink's names, each with its value now.
//!
//! Only what is measured has a name here: a name without a measurement would look like a zero.

mod job;
mod process;
mod task;

use std::fmt;

pub(super) use job::job_metrics;
pub(super) use process::{job_manager_metrics, task_manager_metrics};
pub(super) use task::task_metrics;

/// A metric's value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum MetricValue {
    /// A total.
    Count(u64),
    /// A point in time or a duration.
    Signed(i64),
    /// A rate or a part.
    Number(f64),
    /// Yes or no; has no minimum and no sum.
    Flag(bool),
}

impl MetricValue {
    /// The value as a number, when it is one.
    pub(super) fn number(self) -> Option<f64> {
        match self {
            Self::Count(value) => Some(value as f64),
            Self::Signed(value) => Some(value as f64),
            Self::Number(value) => Some(value),
            Self::Flag(_) => None,
        }
    }
}

impl fmt::Display for MetricValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(value) => write!(f, "{value}"),
            Self::Signed(value) => write!(f, "{value}"),
            // `80.0` and not `80`, as in Flink.
            Self::Number(value) => write!(f, "{value:?}"),
            Self::Flag(value) => write!(f, "{value}"),
        }
    }
}

/// A metric of one scope.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Metric {
    /// Its name within the scope.
    pub(super) name: String,
    /// Its value now.
    pub(super) value: MetricValue,
}

impl Metric {
    fn new(name: impl Into<String>, value: MetricValue) -> Self {
        Self { name: name.into(), value }
    }

    fn count(name: impl Into<String>, value: u64) -> Self {
        Self::new(name, MetricValue::Count(value))
    }

    fn signed(name: impl Into<String>, value: i64) -> Self {
        Self::new(name, MetricValue::Signed(value))
    }

    fn rate(name: impl Into<String>, value: f64) -> Self {
        Self::new(name, MetricValue::Number(value))
    }

    /// The metric as it is called in an enclosing scope.
    pub(super) fn within(mut self, scope: &str) -> Self {
        self.name = format!("{scope}.{}", self.name);
        self
    }
}
