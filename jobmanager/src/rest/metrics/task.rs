//! What a task and the operators of its chain measure.

use pelton_runtime_core::graph::{JobVertex, OperatorRole};
use pelton_runtime_core::metrics::NUM_LATE_RECORDS_DROPPED;
use pelton_runtime_core::time::MIN_WATERMARK;

use super::Metric;
use crate::view::{AttemptView, OperatorMetricsView, TaskMetricsView};

const NANOS_PER_MILLI: u64 = 1_000_000;

/// The metrics of a subtask; none before its first report.
pub(in crate::rest) fn task_metrics(vertex: &JobVertex, attempt: &AttemptView) -> Vec<Metric> {
    let measured = &attempt.metrics;
    if !measured.reported {
        return Vec::new();
    }
    let mut metrics = totals(measured);
    metrics.extend(rates(measured));
    let is_source = vertex.operators.first().is_some_and(|head| head.role == OperatorRole::Source);
    if !is_source {
        metrics.push(Metric::signed("currentInputWatermark", measured.watermark.unwrap_or(MIN_WATERMARK)));
    }
    for (node, operator) in vertex.operators.iter().zip(&measured.operators) {
        let scope = escape(&node.name);
        metrics.extend(operator_metrics(operator).into_iter().map(|metric| metric.within(&scope)));
    }
    metrics
}

fn totals(measured: &TaskMetricsView) -> Vec<Metric> {
    vec![
        Metric::count("numRecordsIn", measured.records_in),
        Metric::count("numRecordsOut", measured.records_out),
        Metric::count("numBytesIn", measured.bytes_in),
        Metric::count("numBytesOut", measured.bytes_out),
        Metric::rate("accumulateBusyTimeMs", (measured.busy_ns / NANOS_PER_MILLI) as f64),
        Metric::count("accumulateIdleTimeMs", measured.idle_ns / NANOS_PER_MILLI),
        Metric::count("accumulateBackPressuredTimeMs", measured.backpressured_ns / NANOS_PER_MILLI),
        Metric::count(NUM_LATE_RECORDS_DROPPED, measured.late_records_dropped),
    ]
}

fn rates(measured: &TaskMetricsView) -> Vec<Metric> {
    let rates = &measured.rates;
    // Flink counts idle and backpressured time in whole milliseconds, busy time not.
    let whole = |ms: f64| ms.clamp(0.0, 1000.0).round() as u64;
    vec![
        Metric::rate("numRecordsInPerSecond", rates.records_in),
        Metric::rate("numRecordsOutPerSecond", rates.records_out),
        Metric::rate("numBytesInPerSecond", rates.bytes_in),
        Metric::rate("numBytesOutPerSecond", rates.bytes_out),
        Metric::rate("busyTimeMsPerSecond", rates.busy_ms),
        Metric::count("idleTimeMsPerSecond", whole(rates.idle_ms)),
        Metric::count("backPressuredTimeMsPerSecond", whole(rates.backpressured_ms)),
        Metric::new("isBackPressured", super::MetricValue::Flag(rates.backpressured_ms > 0.0)),
    ]
}

fn operator_metrics(measured: &OperatorMetricsView) -> Vec<Metric> {
    let mut metrics = vec![
        Metric::count("numRecordsIn", measured.records_in),
        Metric::count("numRecordsOut", measured.records_out),
        Metric::rate("numRecordsInPerSecond", measured.records_in_per_second),
        Metric::rate("numRecordsOutPerSecond", measured.records_out_per_second),
        Metric::signed("currentInputWatermark", measured.watermark.unwrap_or(MIN_WATERMARK)),
    ];
    let counters = measured.counters.iter().map(|(name, &value)| Metric::count(escape_metric(name), value));
    let gauges = measured.gauges.iter().map(|(name, &value)| Metric::rate(escape_metric(name), value));
    let meters = measured.meters.iter().map(|(name, &(_, per_second))| Metric::rate(escape_metric(name), per_second));
    // The first of a name counts, as in Flink: a metric of the user's does not stand beside one of ours.
    for metric in counters.chain(gauges).chain(meters) {
        if !metrics.iter().any(|other| other.name == metric.name) {
            metrics.push(metric);
        }
    }
    metrics
}

/// The name of a user's metric, in which dots separate the groups that it is in.
fn escape_metric(name: &str) -> String {
    name.split('.').map(escape).collect::<Vec<_>>().join(".")
}

/// An operator's name where dots separate scopes and commas separate names.
fn escape(name: &str) -> String {
    name.chars().map(|character| if " .:,".contains(character) { '_' } else { character }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operators_name_is_escaped_as_flink_does() {
        assert_eq!(escape("Source: gen -> to-kv"), "Source__gen_->_to-kv");
        assert_eq!(escape("discard: Writer"), "discard__Writer");
    }
}
