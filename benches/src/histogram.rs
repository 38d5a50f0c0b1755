//! Latencies of records: a histogram, and the sink that fills it.
//!
//! Buckets are 64 to a power of two, as in the peer's histogram, so that percentiles are off by at most 1.6 %.

use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use pelton::record::Record;
use pelton::sinks::Sink;
use pelton_runtime_core::element::StreamBatch;
use pelton_runtime_core::operator::{
    Finish, InputIndex, Operator, OperatorContext, OperatorError, OperatorFactory, OperatorResult, OperatorRuntime,
};

const BUCKETS_PER_POWER: usize = 64;

/// Nanoseconds of the monotonic clock, which all processes of a machine share.
pub fn monotonic_ns() -> i64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a live `timespec`; this clock always exists.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

/// Counts latencies.
#[derive(Debug, Clone)]
pub struct Histogram {
    buckets: Vec<u64>,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: vec![0; 64 * BUCKETS_PER_POWER] }
    }
}

impl Histogram {
    /// Counts one.
    pub fn record(&mut self, ns: i64) {
        let ns = ns.max(64).unsigned_abs();
        let power = ns.ilog2() as usize;
        self.buckets[power * BUCKETS_PER_POWER + ((ns >> (power - 6)) & 63) as usize] += 1;
    }

    /// Adds another's.
    pub fn merge(&mut self, other: &Self) {
        self.buckets.iter_mut().zip(&other.buckets).for_each(|(own, other)| *own += other);
    }

    /// How many were counted.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// The latency that this part of all is not above, in milliseconds.
    pub fn at_ms(&self, part: f64) -> f64 {
        let mut left = (part * self.count() as f64).ceil() as u64;
        for (index, count) in self.buckets.iter().enumerate() {
            left = left.saturating_sub(*count);
            if left == 0 {
                let (power, step) = (index / BUCKETS_PER_POWER, index % BUCKETS_PER_POWER);
                return (64 + step + 1) as f64 * 2f64.powi(power as i32 - 6) / 1e6;
            }
        }
        f64::NAN
    }

    /// The histogram as text: buckets that are not empty.
    pub fn to_text(&self) -> String {
        let filled = self.buckets.iter().enumerate().filter(|(_, count)| **count > 0);
        filled.map(|(index, count)| format!("{index} {count}\n")).collect()
    }

    /// Reads what [`to_text`](Self::to_text) wrote; absent when it is something else.
    pub fn parse(text: &str) -> Option<Self> {
        let mut histogram = Self::default();
        for line in text.lines() {
            let (index, count) = line.split_once(' ')?;
            *histogram.buckets.get_mut(index.parse::<usize>().ok()?)? = count.parse().ok()?;
        }
        Some(histogram)
    }
}

/// Takes records with the time of their making in a column, and writes the histogram of their ages to a file per
/// subtask when the stream ends.
#[derive(Debug, Clone)]
pub struct LatencySink {
    /// The column with the time of making, from [`monotonic_ns`].
    pub column: &'static str,
    /// How long records are not counted.
    pub warm_up_ns: i64,
    /// The file; subtasks append `.0`, `.1`, ….
    pub output: PathBuf,
}

impl<T: Record> Sink<T> for LatencySink {
    fn into_factory(self) -> Arc<dyn OperatorFactory> {
        Arc::new(move |runtime: &OperatorRuntime| -> OperatorResult<Box<dyn Operator>> {
            let mut file = self.output.clone().into_os_string();
            file.push(format!(".{}", runtime.subtask));
            Ok(Box::new(Measuring {
                column: self.column,
                count_from_ns: monotonic_ns() + self.warm_up_ns,
                histogram: Histogram::default(),
                file: file.into(),
            }))
        })
    }
}

struct Measuring {
    column: &'static str,
    count_from_ns: i64,
    histogram: Histogram,
    file: PathBuf,
}

impl Operator for Measuring {
    fn process(&mut self, _: InputIndex, batch: StreamBatch, _: &mut OperatorContext<'_>) -> OperatorResult {
        let now = monotonic_ns();
        if now < self.count_from_ns {
            return Ok(());
        }
        let column =
            batch.records().column_by_name(self.column).and_then(|column| column.as_primitive_opt::<Int64Type>());
        let made = column.expect("the benchmark reads a column that it has").values();
        made.iter().for_each(|made| self.histogram.record(now - made));
        Ok(())
    }

    fn finish(&mut self, _: &mut OperatorContext<'_>) -> OperatorResult<Finish> {
        let written = std::fs::write(&self.file, self.histogram.to_text());
        written.map_err(|error| OperatorError::external(format!("cannot write {}", self.file.display()), error))?;
        Ok(Finish::Done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_what_was_counted_also_after_text() {
        let mut histogram = Histogram::default();
        (1..=1000).for_each(|micros| histogram.record(micros * 1000));
        let read = Histogram::parse(&histogram.to_text()).expect("its own text");
        for (part, expected) in [(0.5, 0.5), (0.99, 0.99), (0.999, 0.999)] {
            let found = read.at_ms(part);
            assert!((found / expected - 1.0).abs() < 0.017, "{part}: {found}");
        }
        assert_eq!(read.count(), 1000);
    }
}
