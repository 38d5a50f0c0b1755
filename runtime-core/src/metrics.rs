//! Counters that tasks write and reports read.
//!
//! A counter has one writer, the task's thread, and any number of readers; relaxed atomics cost the writer nothing.
//! Counters are totals since the attempt started; rates are made by whoever shows them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::time::{EpochMillis, MIN_WATERMARK};

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
    named: Arc<Mutex<BTreeMap<String, Counter>>>,
}

impl OperatorMetricGroup {
    /// The counter of this name, made on first use. Fetch it once and keep it.
    pub fn counter(&self, name: &str) -> Counter {
        self.named.lock().entry(name.to_owned()).or_default().clone()
    }

    /// All named counters with their totals.
    pub fn named(&self) -> BTreeMap<String, u64> {
        self.named.lock().iter().map(|(name, counter)| (name.clone(), counter.get())).collect()
    }
}

/// Name of the counter of records that came too late for their window.
pub const NUM_LATE_RECORDS_DROPPED: &str = "numLateRecordsDropped";

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
    /// Nanoseconds spent working.
    pub busy_ns: Counter,
    /// Nanoseconds spent without input.
    pub idle_ns: Counter,
    /// Nanoseconds spent waiting for room downstream.
    pub backpressured_ns: Counter,
    /// The combined watermark of the inputs.
    pub watermark: WatermarkGauge,
    /// The chain's operators, in order.
    pub operators: Vec<OperatorMetricGroup>,
}
