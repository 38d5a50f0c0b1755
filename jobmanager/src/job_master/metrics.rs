//! What workers measure: totals per attempt, and rates between two reports.

use std::collections::{BTreeMap, BTreeSet};

use pelton_proto as proto;
use pelton_runtime_core::id::ExecutionAttemptId;
use pelton_runtime_core::time::{EpochMillis, Moment};
use pelton_runtime_core::wire;

use crate::view::{OperatorMetricsView, TaskMetricsView, TaskRatesView};

/// Two reports that are closer than this make no rate.
const SHORTEST_INTERVAL_SECONDS: f64 = 0.001;

/// The newest report of every attempt.
#[derive(Debug, Default)]
pub(super) struct AttemptMetrics {
    attempts: BTreeMap<ExecutionAttemptId, (Moment, TaskMetricsView)>,
}

impl AttemptMetrics {
    /// Remembers a report about attempts that are `known`; others are stale or a mistake.
    pub fn take_in(
        &mut self,
        report: proto::MetricsReport,
        known: impl Fn(ExecutionAttemptId) -> bool,
        moment: Moment,
        now: EpochMillis,
    ) {
        for task in report.tasks {
            let Ok(attempt) = wire::id::<ExecutionAttemptId>(&task.attempt_id, "attempt_id") else { continue };
            if !known(attempt) {
                continue;
            }
            let before = self.attempts.get(&attempt);
            // A task's last report does not wait for those before it.
            if before.is_some_and(|(_, before)| before.number > task.number) {
                continue;
            }
            let view = view(task, before, moment, now);
            self.attempts.insert(attempt, (moment, view));
        }
    }

    /// Forgets all attempts but these.
    pub fn keep(&mut self, attempts: impl Iterator<Item = ExecutionAttemptId>) {
        let kept: BTreeSet<ExecutionAttemptId> = attempts.collect();
        self.attempts.retain(|attempt, _| kept.contains(attempt));
    }

    /// What an attempt has done, as far as it was reported.
    pub fn of(&self, attempt: ExecutionAttemptId) -> TaskMetricsView {
        self.attempts.get(&attempt).map(|(_, view)| view.clone()).unwrap_or_default()
    }
}

fn view(
    task: proto::TaskMetrics,
    before: Option<&(Moment, TaskMetricsView)>,
    moment: Moment,
    now: EpochMillis,
) -> TaskMetricsView {
    let none = TaskMetricsView::default();
    let (seconds, earlier) = match before {
        Some((at, earlier)) => (moment.since(*at).as_secs_f64(), earlier),
        None => (0.0, &none),
    };
    let rate = |new: u64, old: u64| {
        if seconds < SHORTEST_INTERVAL_SECONDS { 0.0 } else { new.saturating_sub(old) as f64 / seconds }
    };
    let millis = |new: u64, old: u64| (rate(new, old) / 1e6).min(1000.0);
    let operators = task.operators.into_iter().enumerate().map(|(index, operator)| {
        let old = earlier.operators.get(index);
        OperatorMetricsView {
            records_in: operator.records_in,
            records_out: operator.records_out,
            records_in_per_second: rate(operator.records_in, old.map_or(0, |old| old.records_in)),
            records_out_per_second: rate(operator.records_out, old.map_or(0, |old| old.records_out)),
            watermark: operator.watermark_ms,
            counters: operator.counters.into_iter().map(|counter| (counter.name, counter.value)).collect(),
            gauges: operator.gauges.into_iter().map(|gauge| (gauge.name, gauge.value)).collect(),
            meters: operator
                .meters
                .into_iter()
                .map(|meter| {
                    let before = old.and_then(|old| old.meters.get(&meter.name)).map_or(0, |before| before.0);
                    let per_second = rate(meter.value, before);
                    (meter.name, (meter.value, per_second))
                })
                .collect(),
        }
    });
    TaskMetricsView {
        reported: true,
        number: task.number,
        records_in: task.records_in,
        records_out: task.records_out,
        bytes_in: task.bytes_in,
        bytes_out: task.bytes_out,
        busy_ns: task.busy_ns,
        idle_ns: task.idle_ns,
        backpressured_ns: task.backpressured_ns,
        rates: TaskRatesView {
            records_in: rate(task.records_in, earlier.records_in),
            records_out: rate(task.records_out, earlier.records_out),
            bytes_in: rate(task.bytes_in, earlier.bytes_in),
            bytes_out: rate(task.bytes_out, earlier.bytes_out),
            busy_ms: millis(task.busy_ns, earlier.busy_ns),
            idle_ms: millis(task.idle_ns, earlier.idle_ns),
            backpressured_ms: millis(task.backpressured_ns, earlier.backpressured_ns),
            measured_at: now,
        },
        watermark: task.watermark_ms,
        late_records_dropped: task.late_records_dropped,
        operators: operators.collect(),
        // A worker of another version may know kinds that this JobManager does not; they are not shown.
        accumulators: task
            .accumulators
            .into_iter()
            .filter_map(|known| wire::accumulator::from_wire(known).ok())
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_that_was_overtaken_changes_nothing() {
        let attempt = ExecutionAttemptId::from_bytes([1; 16]);
        let report = |number, records_in| proto::MetricsReport {
            tasks: vec![proto::TaskMetrics { attempt_id: attempt.to_wire(), records_in, number, ..Default::default() }],
        };
        let mut metrics = AttemptMetrics::default();
        metrics.take_in(report(2, 300), |_| true, Moment(0), 0);
        metrics.take_in(report(1, 100), |_| true, Moment(1), 1);
        assert_eq!(metrics.of(attempt).records_in, 300);
    }

    #[test]
    fn rates_are_per_second_between_two_reports() {
        let attempt = ExecutionAttemptId::from_bytes([1; 16]);
        let report = |records_in, busy_ns| proto::MetricsReport {
            tasks: vec![proto::TaskMetrics {
                attempt_id: attempt.to_wire(),
                records_in,
                busy_ns,
                ..proto::TaskMetrics::default()
            }],
        };
        let mut metrics = AttemptMetrics::default();
        assert!(!metrics.of(attempt).reported);
        metrics.take_in(report(100, 0), |_| true, Moment(0), 0);
        assert_eq!(metrics.of(attempt).rates.records_in, 0.0);
        metrics.take_in(report(300, 500_000_000), |_| true, Moment(2_000_000_000), 2000);
        let view = metrics.of(attempt);
        assert_eq!((view.records_in, view.rates.records_in, view.rates.busy_ms), (300, 100.0, 250.0));
    }
}
