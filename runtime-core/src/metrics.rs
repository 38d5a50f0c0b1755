//! Counters that tasks write and reports read.
//!
//! A counter has one writer, the task's thread, and any number of readers; relaxed atomics cost the writer nothing.
//! Counters are totals since the attempt started; rates are made by whoever shows them.

mod user;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::accumulator::Accumulators;
use crate::time::{EpochMillis, MIN_WATERMARK, Moment};

pub use user::{Gauge, Histogram, Meter};

/// A total that only grows.
#[derive(Debug, Clone, Default)]
pub struct Counter(Arc<AtomicU64>);

impl Counter {
    /// Adds to the total.
    #[inline]
    pub fn add(&self, amount: u64) {
        self.0.fetch_add(amount, Ordering::Relaxed);
    }

    /// The total.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The last watermark that was seen.
#[derive(Debug, Clone)]
pub struct WatermarkGauge(Arc<AtomicI64>);

impl Default for WatermarkGauge {
    fn default() -> Self {
        Self(Arc::new(AtomicI64::new(MIN_WATERMARK)))
    }
}

impl WatermarkGauge {
    /// Remembers `watermark`.
    pub fn set(&self, watermark: EpochMillis) {
        self.0.store(watermark, Ordering::Relaxed);
    }

    /// The last watermark, when there was one.
    pub fn get(&self) -> Option<EpochMillis> {
        let watermark = self.0.load(Ordering::Relaxed);
        (watermark != MIN_WATERMARK).then_some(watermark)
    }
}

/// The counters of one operator instance.
#[derive(Debug, Clone, Default)]
pub struct OperatorMetricGroup {
    /// Rows that came in.
    pub records_in: Counter,
    /// Rows that went out, on all ports.
    pub records_out: Counter,
    /// The watermark the operator has seen.
    pub watermark: WatermarkGauge,
    /// What the user's function adds up for the job's result.
    pub accumulators: Accumulators,
    named: Arc<Mutex<BTreeMap<String, Counter>>>,
    user: Arc<Mutex<UserMetrics>>,
}

/// The metrics of the user that are no counters, by name.
#[derive(Debug, Default)]
struct UserMetrics {
    gauges: BTreeMap<String, Gauge>,
    meters: BTreeMap<String, Meter>,
    histograms: BTreeMap<String, Histogram>,
}

impl OperatorMetricGroup {
    /// The counter of this name, made on first use. Fetch it once and keep it.
    pub fn counter(&self, name: &str) -> Counter {
        self.named.lock().entry(name.to_owned()).or_default().clone()
    }

    /// The gauge of this name, made on first use. Fetch it once and keep it.
    pub fn gauge(&self, name: &str) -> Gauge {
        self.user.lock().gauges.entry(name.to_owned()).or_default().clone()
    }

    /// The meter of this name, made on first use. Fetch it once and keep it.
    pub fn meter(&self, name: &str) -> Meter {
        self.user.lock().meters.entry(name.to_owned()).or_default().clone()
    }

    /// The histogram of this name, made on first use. Fetch it once and keep it.
    pub fn histogram(&self, name: &str) -> Histogram {
        self.user.lock().histograms.entry(name.to_owned()).or_default().clone()
    }

    /// What all gauges show, and the statistics of all histograms under their suffixed names.
    pub fn gauges(&self) -> BTreeMap<String, f64> {
        let user = self.user.lock();
        let mut shown: BTreeMap<String, f64> =
            user.gauges.iter().map(|(name, gauge)| (name.clone(), gauge.get())).collect();
        for (name, histogram) in &user.histograms {
            let statistics = histogram.statistics();
            shown.extend(statistics.map(|(suffix, value)| (format!("{name}_{suffix}"), value)));
        }
        shown
    }

    /// How many events all meters have counted.
    pub fn meters(&self) -> BTreeMap<String, u64> {
        self.user.lock().meters.iter().map(|(name, meter)| (name.clone(), meter.count())).collect()
    }

    /// All named counters with their totals.
    pub fn named(&self) -> BTreeMap<String, u64> {
        self.named.lock().iter().map(|(name, counter)| (name.clone(), counter.get())).collect()
    }
}

/// Name of the counter of records that came too late for their window.
pub const NUM_LATE_RECORDS_DROPPED: &str = "numLateRecordsDropped";

/// What a task is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Occupation {
    /// It works.
    Busy,
    /// It has no input.
    Idle,
    /// It waits for room downstream.
    Backpressured,
}

/// How long a task was occupied with what, in nanoseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct TimeSpent {
    /// Working.
    pub busy_ns: u64,
    /// Without input.
    pub idle_ns: u64,
    /// Waiting for room downstream.
    pub backpressured_ns: u64,
}

impl TimeSpent {
    fn add(&mut self, occupation: Occupation, nanos: u64) {
        match occupation {
            Occupation::Busy => self.busy_ns += nanos,
            Occupation::Idle => self.idle_ns += nanos,
            Occupation::Backpressured => self.backpressured_ns += nanos,
        }
    }
}

/// How a task spends its time. What it is doing now counts too, however long it has been doing it: a task that is stuck
/// in user code is busy. The lock is taken twice per pause.
#[derive(Debug, Clone, Default)]
pub struct TaskTime(Arc<Mutex<TimeSheet>>);

#[derive(Debug, Clone, Copy, Default)]
struct TimeSheet {
    spent: TimeSpent,
    current: Option<(Occupation, Moment)>,
}

impl TimeSheet {
    fn until(&self, now: Moment) -> TimeSpent {
        let mut spent = self.spent;
        if let Some((occupation, since)) = self.current {
            spent.add(occupation, now.0.saturating_sub(since.0));
        }
        spent
    }
}

impl TaskTime {
    /// From `now` on the task does this; none when it has ended.
    pub fn enter(&self, occupation: Option<Occupation>, now: Moment) {
        let mut sheet = self.0.lock();
        sheet.spent = sheet.until(now);
        sheet.current = occupation.map(|occupation| (occupation, now));
    }

    /// The time spent until `now`.
    pub fn spent(&self, now: Moment) -> TimeSpent {
        self.0.lock().until(now)
    }
}

/// The counters of one task.
#[derive(Debug, Clone, Default)]
pub struct TaskMetricGroup {
    /// Rows read from other tasks; 0 for sources.
    pub records_in: Counter,
    /// Rows sent to other tasks; 0 for sinks.
    pub records_out: Counter,
    /// Bytes read from other tasks.
    pub bytes_in: Counter,
    /// Bytes sent to other tasks.
    pub bytes_out: Counter,
    /// How the task spends its time.
    pub time: TaskTime,
    /// The combined watermark of the inputs.
    pub watermark: WatermarkGauge,
    /// The chain's operators, in order.
    pub operators: Vec<OperatorMetricGroup>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_task_is_doing_counts_before_it_ends() {
        let time = TaskTime::default();
        time.enter(Some(Occupation::Idle), Moment(0));
        time.enter(Some(Occupation::Busy), Moment(10));
        assert_eq!(time.spent(Moment(100)), TimeSpent { idle_ns: 10, busy_ns: 90, backpressured_ns: 0 });
        time.enter(Some(Occupation::Backpressured), Moment(100));
        assert_eq!(time.spent(Moment(107)), TimeSpent { idle_ns: 10, busy_ns: 90, backpressured_ns: 7 });
        time.enter(None, Moment(110));
        assert_eq!(time.spent(Moment(999)), TimeSpent { idle_ns: 10, busy_ns: 90, backpressured_ns: 10 });
    }
}
