//! Metrics that users' functions set beside their counters.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::Counter;

/// A number that goes up and down.
#[derive(Debug, Clone, Default)]
pub struct Gauge(Arc<AtomicU64>);

impl Gauge {
    /// Sets the number.
    #[inline]
    pub fn set(&self, value: f64) {
        self.0.store(value.to_bits(), Ordering::Relaxed);
    }

    /// The number; 0 before it was set.
    pub fn get(&self) -> f64 {
        f64::from_bits(self.0.load(Ordering::Relaxed))
    }
}

/// Counts events, and is shown as how many there are per second.
#[derive(Debug, Clone, Default)]
pub struct Meter(Counter);

impl Meter {
    /// An event happened.
    #[inline]
    pub fn mark(&self) {
        self.0.add(1);
    }

    /// Several events happened.
    #[inline]
    pub fn mark_many(&self, events: u64) {
        self.0.add(events);
    }

    /// How many happened.
    pub fn count(&self) -> u64 {
        self.0.get()
    }
}

/// How many of the last values a histogram shows.
const HISTOGRAM_WINDOW: usize = 1000;

/// The distribution of the last 1000 values.
#[derive(Debug, Clone, Default)]
pub struct Histogram(Arc<Mutex<VecDeque<f64>>>);

impl Histogram {
    /// Takes a value in.
    pub fn update(&self, value: f64) {
        let mut values = self.0.lock();
        if values.len() == HISTOGRAM_WINDOW {
            values.pop_front();
        }
        values.push_back(value);
    }

    /// What is shown of it, by the suffixes of its name.
    pub(super) fn statistics(&self) -> [(&'static str, f64); 11] {
        let mut values: Vec<f64> = self.0.lock().iter().copied().collect();
        values.sort_unstable_by(f64::total_cmp);
        let count = values.len() as f64;
        let mean = if values.is_empty() { 0.0 } else { values.iter().sum::<f64>() / count };
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let deviation = if values.len() > 1 { (squares / (count - 1.0)).sqrt() } else { 0.0 };
        let quantile = |quantile: f64| {
            let at = (quantile * count).ceil() as usize;
            values.get(at.saturating_sub(1)).copied().unwrap_or(0.0)
        };
        [
            ("min", quantile(0.0)),
            ("max", quantile(1.0)),
            ("mean", mean),
            ("median", quantile(0.5)),
            ("stddev", deviation),
            ("p75", quantile(0.75)),
            ("p90", quantile(0.9)),
            ("p95", quantile(0.95)),
            ("p98", quantile(0.98)),
            ("p99", quantile(0.99)),
            ("p999", quantile(0.999)),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_histogram_is_of_its_last_values() {
        let histogram = Histogram::default();
        assert!(histogram.statistics().iter().all(|(_, value)| *value == 0.0));
        (0..=1000).for_each(|value| histogram.update(f64::from(value)));
        let statistics: std::collections::BTreeMap<_, _> = histogram.statistics().into_iter().collect();
        assert_eq!((statistics["min"], statistics["max"], statistics["mean"]), (1.0, 1000.0, 500.5));
        assert_eq!((statistics["median"], statistics["p75"], statistics["p999"]), (500.0, 750.0, 999.0));
        assert!((statistics["stddev"] - 288.819).abs() < 0.001);
    }
}
