//! The `metrics` object of subtasks, vertices and TaskManagers, and its spread over subtasks.

use serde_json::{Map, Value, json};

use super::statistics::spread;
use crate::view::{AttemptView, TaskMetricsView};

const NANOS_PER_MILLI: u64 = 1_000_000;

/// The totals of several attempts, or of one.
pub(super) fn totals<'a>(attempts: impl IntoIterator<Item = &'a AttemptView>) -> Value {
    let mut sum = Totals { complete: true, ..Totals::default() };
    for attempt in attempts {
        sum.add(&attempt.metrics);
    }
    json!({
        "read-bytes": sum.bytes_in,
        "read-bytes-complete": sum.complete,
        "write-bytes": sum.bytes_out,
        "write-bytes-complete": sum.complete,
        "read-records": sum.records_in,
        "read-records-complete": sum.complete,
        "write-records": sum.records_out,
        "write-records-complete": sum.complete,
        "accumulated-backpressured-time": sum.backpressured_ms,
        "accumulated-idle-time": sum.idle_ms,
        "accumulated-busy-time": sum.busy_ms as f64,
    })
}

/// The spread over these attempts, by metric.
pub(super) fn spreads(attempts: &[&AttemptView]) -> Value {
    type Read = fn(&TaskMetricsView) -> u64;
    const METRICS: [(&str, Read); 7] = [
        ("read-bytes", |metrics| metrics.bytes_in),
        ("write-bytes", |metrics| metrics.bytes_out),
        ("read-records", |metrics| metrics.records_in),
        ("write-records", |metrics| metrics.records_out),
        ("accumulated-backpressured-time", |metrics| metrics.backpressured_ns / NANOS_PER_MILLI),
        ("accumulated-idle-time", |metrics| metrics.idle_ns / NANOS_PER_MILLI),
        ("accumulated-busy-time", |metrics| metrics.busy_ns / NANOS_PER_MILLI),
    ];
    let mut spreads = Map::new();
    for (name, read) in METRICS {
        let values = attempts.iter().map(|attempt| i64::try_from(read(&attempt.metrics)).unwrap_or(i64::MAX));
        spreads.insert(name.to_owned(), spread(values));
    }
    Value::Object(spreads)
}

#[derive(Default)]
struct Totals {
    complete: bool,
    bytes_in: u64,
    bytes_out: u64,
    records_in: u64,
    records_out: u64,
    backpressured_ms: u64,
    idle_ms: u64,
    busy_ms: u64,
}

impl Totals {
    fn add(&mut self, metrics: &TaskMetricsView) {
        self.complete &= metrics.reported;
        self.bytes_in = self.bytes_in.saturating_add(metrics.bytes_in);
        self.bytes_out = self.bytes_out.saturating_add(metrics.bytes_out);
        self.records_in = self.records_in.saturating_add(metrics.records_in);
        self.records_out = self.records_out.saturating_add(metrics.records_out);
        self.backpressured_ms = self.backpressured_ms.saturating_add(metrics.backpressured_ns / NANOS_PER_MILLI);
        self.idle_ms = self.idle_ms.saturating_add(metrics.idle_ns / NANOS_PER_MILLI);
        self.busy_ms = self.busy_ms.saturating_add(metrics.busy_ns / NANOS_PER_MILLI);
    }
}
