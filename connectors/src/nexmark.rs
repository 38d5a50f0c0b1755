//! The input of the Nexmark benchmark: persons, auctions and bids of an auction house, made out of their numbers.
//!
//! Event `n` is a pure function of `n` and of [`Nexmark`]'s settings; nothing else decides what it is, so all readers,
//! restarts and implementations agree to the byte. Of every 50 events one is a person, three are auctions and 46 are
//! bids. The proportions, hot keys and sizes are those of the public benchmark; the random numbers are our own.
//!
//! ```text
//!  numbers of a reader ─► Batch: kinds, random states ─► one array per asked-for column
//! ```
//!
//! Columns are made one at a time, straight into Arrow buffers, and only those that were asked for: a query that reads
//! two numbers of the bids makes no text at all. Every draw of an event's random numbers has its own index, so no column
//! needs another one.
//!
//! Invariant: a reader brings its numbers in ascending order, also after a restart at another parallelism, so event time
//! never goes back within a reader.

mod auction;
mod batch;
mod bid;
mod column;
mod numbers;
mod person;
mod random;
mod reader;
#[cfg(test)]
mod tests;
mod text;

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use pelton_runtime_core::operator::{OperatorError, OperatorResult, OperatorRuntime};
use pelton_runtime_core::source::{Boundedness, SourceFactory, SourceReader};
use pelton_runtime_core::time::EpochMillis;

pub use self::column::{EventKind, FieldSet, NexmarkColumn};

use self::batch::Batch;
use self::random::mix;
use self::reader::NexmarkReader;

/// What the events are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nexmark {
    /// Every seed makes other events of the same kind.
    pub seed: u64,
    /// Events per second of event time; at least 1.
    pub rate: u64,
    /// The time of event 0.
    pub base: EpochMillis,
}

impl Default for Nexmark {
    /// 1000 events per second from 2026-01-01 23:59:20 UTC, 40 seconds before midnight.
    fn default() -> Self {
        Self { seed: 42, rate: 1000, base: 1_767_311_960_000 }
    }
}

impl Nexmark {
    /// When event `n` happens.
    pub fn event_time(&self, n: u64) -> EpochMillis {
        self.base.wrapping_add((n.wrapping_mul(1000) / self.rate) as i64)
    }

    /// The columns of the events with these numbers, a row per number.
    ///
    /// # Errors
    ///
    /// When Arrow cannot make a column.
    pub fn rows(&self, numbers: &[u64], columns: &[NexmarkColumn], schema: &SchemaRef) -> OperatorResult<RecordBatch> {
        let batch = Batch::new(*self, mix(self.seed), numbers);
        let arrays = columns.iter().map(|column| batch.column(*column)).collect();
        let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(numbers.len()));
        Ok(RecordBatch::try_new_with_options(Arc::clone(schema), arrays, &options)?)
    }
}

/// A source of these events: a number of them or without end, at a rate or as fast as they are taken.
///
/// Reader `i` of `p` has the numbers `n` with `n mod p = i`. A checkpoint holds what is left of each part; at another
/// parallelism the parts are given out anew, cut where there are too few.
#[derive(Debug, Clone)]
pub struct NexmarkSource {
    events: Nexmark,
    columns: Arc<[NexmarkColumn]>,
    count: Option<u64>,
    per_second: Option<f64>,
}

impl NexmarkSource {
    /// Events without end, as fast as they are taken, with these columns.
    pub fn new(events: Nexmark, columns: impl Into<Arc<[NexmarkColumn]>>) -> Self {
        Self { events, columns: columns.into(), count: None, per_second: None }
    }

    /// This many events, of all subtasks together.
    #[must_use]
    pub fn count(mut self, count: u64) -> Self {
        self.count = Some(count);
        self
    }

    /// This many events per second of wall-clock time, of all subtasks together, evenly.
    #[must_use]
    pub fn events_per_second(mut self, events: f64) -> Self {
        self.per_second = Some(events);
        self
    }

    /// The schema of its batches.
    pub fn schema(&self) -> SchemaRef {
        NexmarkColumn::schema(&self.columns)
    }

    /// Checks the settings.
    ///
    /// # Errors
    ///
    /// When a rate is none.
    pub fn validate(&self) -> OperatorResult {
        if self.events.rate == 0 {
            return Err(OperatorError::data("no events per second of event time: the rate must be at least 1"));
        }
        match self.per_second {
            Some(rate) if !(rate.is_finite() && rate > 0.0) => {
                Err(OperatorError::data(format!("a rate of {rate} events per second is not a positive number")))
            }
            _ => Ok(()),
        }
    }
}

impl SourceFactory for NexmarkSource {
    fn boundedness(&self) -> Boundedness {
        match self.count {
            Some(_) => Boundedness::Bounded,
            None => Boundedness::ContinuousUnbounded,
        }
    }

    fn create(&self, runtime: &OperatorRuntime) -> OperatorResult<Box<dyn SourceReader>> {
        self.validate()?;
        Ok(Box::new(NexmarkReader::new(self, runtime)))
    }
}
