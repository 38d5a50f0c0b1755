//! The attempts that this worker runs or has run, and their counters.
//!
//! Invariant: an attempt is here from its deployment until its last counters were reported.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use pelton_proto as proto;
use pelton_runtime_core::accumulator;
use pelton_runtime_core::id::ExecutionAttemptId;
use pelton_runtime_core::metrics::TaskMetricGroup;
use pelton_runtime_core::time::Moment;
use pelton_runtime_core::wire;

/// What one report may be, half of what its receiver takes. A task alone is below it, as its accumulators are bounded.
const REPORT_BYTES_MAX: usize = 4 << 20;

/// What a counter and its name take, or a histogram's bar; more than most do.
const NAMED_BYTES: usize = 64;

/// The attempts of one worker; clones share them.
#[derive(Clone, Default)]
pub(super) struct Attempts {
    known: Arc<Mutex<BTreeMap<ExecutionAttemptId, Attempt>>>,
}

struct Attempt {
    metrics: TaskMetricGroup,
    /// How often its counters were reported.
    reports: u64,
    /// Its last counters were reported after it had ended.
    ended: bool,
}

impl Attempts {
    /// An attempt that is deployed now.
    pub(super) fn insert(&self, attempt: ExecutionAttemptId, metrics: TaskMetricGroup) {
        self.known.lock().insert(attempt, Attempt { metrics, reports: 0, ended: false });
    }

    /// The attempt's counters.
    pub(super) fn metrics(&self, attempt: ExecutionAttemptId) -> TaskMetricGroup {
        self.known.lock().get(&attempt).map(|attempt| attempt.metrics.clone()).unwrap_or_default()
    }

    /// Whether the attempt runs, or its last counters have not been reported.
    pub(super) fn holds(&self, attempt: ExecutionAttemptId) -> bool {
        self.known.lock().contains_key(&attempt)
    }

    /// The attempt never ran, or has ended.
    pub(super) fn ended(&self, attempt: ExecutionAttemptId) {
        self.known.lock().entry(attempt).and_modify(|attempt| attempt.ended = true);
    }

    /// The counters of an attempt that has ended.
    pub(super) fn last_metrics(&self, attempt: ExecutionAttemptId, now: Moment) -> Option<proto::TaskMetrics> {
        self.known.lock().get_mut(&attempt).map(|known| {
            known.ended = true;
            known.report(attempt, now)
        })
    }

    /// The counters of all attempts, for the last time of those that have ended; these are given to `retire`. In as many
    /// reports as they need to be small enough.
    pub(super) fn report(&self, now: Moment, mut retire: impl FnMut(ExecutionAttemptId)) -> Vec<proto::MetricsReport> {
        let mut known = self.known.lock();
        let mut reports: Vec<proto::MetricsReport> = Vec::new();
        let mut bytes = usize::MAX;
        for (id, attempt) in known.iter_mut() {
            let task = attempt.report(*id, now);
            let more = about_bytes(&task);
            if bytes.saturating_add(more) > REPORT_BYTES_MAX {
                reports.push(proto::MetricsReport::default());
                bytes = 0;
            }
            bytes += more;
            let last = reports.last_mut().expect("begun above");
            last.tasks.push(task);
        }
        known.retain(|id, attempt| {
            if attempt.ended {
                retire(*id);
            }
            !attempt.ended
        });
        reports
    }
}

impl Attempt {
    fn report(&mut self, attempt: ExecutionAttemptId, now: Moment) -> proto::TaskMetrics {
        self.reports += 1;
        proto::TaskMetrics { number: self.reports, ..task_metrics(attempt, &self.metrics, now) }
    }
}

/// About what a task's counters take to tell.
fn about_bytes(task: &proto::TaskMetrics) -> usize {
    let named =
        |operator: &proto::OperatorMetrics| operator.counters.len() + operator.gauges.len() + operator.meters.len();
    let named: usize = task.operators.iter().map(|operator| 1 + named(operator)).sum();
    let bars = |accumulator: &proto::Accumulator| NAMED_BYTES * (1 + accumulator.bars.len());
    let texts = |accumulator: &proto::Accumulator| accumulator.items.iter().map(|item| item.len() + 8).sum::<usize>();
    let accumulators: usize = task.accumulators.iter().map(|one| bars(one) + texts(one) + one.text.len()).sum();
    NAMED_BYTES * (1 + named) + accumulators
}

fn task_metrics(attempt: ExecutionAttemptId, metrics: &TaskMetricGroup, now: Moment) -> proto::TaskMetrics {
    let spent = metrics.time.spent(now);
    let operators: Vec<_> = metrics
        .operators
        .iter()
        .zip(0..)
        .map(|(group, operator)| proto::OperatorMetrics {
            operator,
            records_in: group.records_in.get(),
            records_out: group.records_out.get(),
            watermark_ms: group.watermark.get(),
            counters: group.named().into_iter().map(|(name, value)| proto::NamedCounter { name, value }).collect(),
            gauges: group.gauges().into_iter().map(|(name, value)| proto::NamedGauge { name, value }).collect(),
            meters: group.meters().into_iter().map(|(name, value)| proto::NamedCounter { name, value }).collect(),
        })
        .collect();
    let late = operators
        .iter()
        .flat_map(|operator| &operator.counters)
        .filter(|counter| counter.name == pelton_runtime_core::metrics::NUM_LATE_RECORDS_DROPPED)
        .map(|counter| counter.value)
        .sum();
    let mut accumulators: Vec<_> = metrics.operators.iter().flat_map(|group| group.accumulators.values()).collect();
    accumulator::bound_task(&mut accumulators);
    proto::TaskMetrics {
        attempt_id: attempt.to_wire(),
        records_in: metrics.records_in.get(),
        records_out: metrics.records_out.get(),
        bytes_in: metrics.bytes_in.get(),
        bytes_out: metrics.bytes_out.get(),
        busy_ns: spent.busy_ns,
        idle_ns: spent.idle_ns,
        backpressured_ns: spent.backpressured_ns,
        watermark_ms: metrics.watermark.get(),
        late_records_dropped: late,
        operators,
        accumulators: accumulators.into_iter().map(|(name, value)| wire::accumulator::to_wire(name, &value)).collect(),
        number: 0,
    }
}

#[cfg(test)]
mod tests {
    use pelton_runtime_core::accumulator::ListAccumulator;
    use pelton_runtime_core::metrics::OperatorMetricGroup;

    use super::*;

    #[test]
    fn many_large_accumulators_are_told_in_reports_that_are_small_enough() {
        let attempts = Attempts::default();
        let ids: Vec<_> = (0..20).map(|id| ExecutionAttemptId::from_bytes([id; 16])).collect();
        for id in &ids {
            let metrics = TaskMetricGroup { operators: vec![OperatorMetricGroup::default()], ..Default::default() };
            let list: ListAccumulator<String> = metrics.operators[0].accumulators.register("all").unwrap();
            (0..9).for_each(|_| list.add(&"x".repeat(100_000)).unwrap());
            attempts.insert(*id, metrics);
        }
        let reports = attempts.report(Moment(0), |_| {});
        let bytes = |report: &proto::MetricsReport| report.tasks.iter().map(about_bytes).sum::<usize>();
        assert!(reports.len() > 1 && reports.iter().all(|report| bytes(report) <= REPORT_BYTES_MAX));
        let told: Vec<_> =
            reports.iter().flat_map(|report| &report.tasks).map(|task| task.attempt_id.clone()).collect();
        assert_eq!(told, ids.iter().map(|id| id.to_wire()).collect::<Vec<_>>());
        let last = attempts.last_metrics(ids[0], Moment(1)).unwrap();
        assert_eq!((reports[0].tasks[0].number, last.number), (1, 2));
    }
}
