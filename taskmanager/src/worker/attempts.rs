//! The attempts that this worker runs or has run, and their counters.
//!
//! Invariant: an attempt is here from its deployment until its last counters were reported.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use pelton_proto as proto;
use pelton_runtime_core::id::ExecutionAttemptId;
use pelton_runtime_core::metrics::TaskMetricGroup;
use pelton_runtime_core::time::Moment;
use pelton_runtime_core::wire;

/// The attempts of one worker; clones share them.
#[derive(Clone, Default)]
pub(super) struct Attempts {
    known: Arc<Mutex<BTreeMap<ExecutionAttemptId, Attempt>>>,
}

struct Attempt {
    metrics: TaskMetricGroup,
    /// Its last counters were reported after it had ended.
    ended: bool,
}

impl Attempts {
    /// An attempt that is deployed now.
    pub(super) fn insert(&self, attempt: ExecutionAttemptId, metrics: TaskMetricGroup) {
        self.known.lock().insert(attempt, Attempt { metrics, ended: false });
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
            task_metrics(attempt, &known.metrics, now)
        })
    }

    /// The counters of all attempts, for the last time of those that have ended; these are given to `retire`.
    pub(super) fn report(&self, now: Moment, mut retire: impl FnMut(ExecutionAttemptId)) -> proto::MetricsReport {
        let mut known = self.known.lock();
        let tasks = known.iter().map(|(id, attempt)| task_metrics(*id, &attempt.metrics, now)).collect();
        known.retain(|id, attempt| {
            if attempt.ended {
                retire(*id);
            }
            !attempt.ended
        });
        proto::MetricsReport { tasks }
    }
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
    let accumulators: Vec<_> = metrics.operators.iter().map(|group| group.accumulators.values()).collect();
    let accumulators = accumulators.iter().flatten();
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
        accumulators: accumulators.map(|(name, value)| wire::accumulator::to_wire(name.clone(), value)).collect(),
    }
}
