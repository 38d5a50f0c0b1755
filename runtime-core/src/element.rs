//! What moves: batches of records and the control elements between them.
//!
//! ```text
//!  StreamBatch = RecordBatch + event times (optional) + row kinds (optional; absent: all inserts)
//! ```
//!
//! Everything here is cheap to clone: columns are reference-counted buffers. Invariant: `timestamps` and `kinds`, where
//! present, have exactly one entry per row.

mod views;

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BooleanArray, RecordBatch, UInt32Array};
use arrow::buffer::ScalarBuffer;
use arrow::compute;
use arrow::error::ArrowError;

pub(crate) use self::views::compact_views;
use crate::time::{EpochMillis, Moment};

/// What a row means in a changelog; absent kinds mean [`RowKind::Insert`] for every row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum RowKind {
    /// `+I`: a new row.
    Insert = 0,
    /// `-U`: the row as it was before an update.
    UpdateBefore = 1,
    /// `+U`: the row as it is after an update.
    UpdateAfter = 2,
    /// `-D`: a row is gone.
    Delete = 3,
}

/// A batch of records with what the stream knows about each of them.
#[derive(Debug, Clone)]
pub struct StreamBatch {
    records: RecordBatch,
    timestamps: Option<ScalarBuffer<EpochMillis>>,
    kinds: Option<ScalarBuffer<u8>>,
    /// The split of its source that all records come from, where a source reads several side by side. Known to those only
    /// that are chained to the source, behind operators that leave rows as they are or drop some.
    split: Option<u32>,
}

impl StreamBatch {
    /// Records without event times; all of them inserts.
    pub fn new(records: RecordBatch) -> Self {
        Self { records, timestamps: None, kinds: None, split: None }
    }

    /// The same records as those of one split of their source, by a number that the source gave it.
    #[must_use]
    pub fn of_split(mut self, split: u32) -> Self {
        self.split = Some(split);
        self
    }

    /// The same records as those of nobody knows which split.
    #[must_use]
    pub fn without_split(mut self) -> Self {
        self.split = None;
        self
    }

    /// The split that the records come from, where that is known.
    pub fn split(&self) -> Option<u32> {
        self.split
    }

    /// The same records with these event times, one per row.
    ///
    /// # Panics
    ///
    /// When the number of times is not the number of rows: that is a bug of the operator that made them.
    #[must_use]
    pub fn with_timestamps(mut self, timestamps: Option<ScalarBuffer<EpochMillis>>) -> Self {
        if let Some(timestamps) = &timestamps {
            assert_eq!(timestamps.len(), self.num_rows(), "one event time per row");
        }
        self.timestamps = timestamps;
        self
    }

    /// The same records with these row kinds, one per row.
    ///
    /// # Panics
    ///
    /// When the number of kinds is not the number of rows: that is a bug of the operator that made them.
    #[must_use]
    pub fn with_kinds(mut self, kinds: Option<ScalarBuffer<u8>>) -> Self {
        if let Some(kinds) = &kinds {
            assert_eq!(kinds.len(), self.num_rows(), "one kind per row");
        }
        self.kinds = kinds;
        self
    }

    /// The same event times and kinds on other columns, which must have as many rows.
    ///
    /// # Panics
    ///
    /// When `records` has another number of rows.
    #[must_use]
    pub fn with_records(self, records: RecordBatch) -> Self {
        assert_eq!(records.num_rows(), self.num_rows(), "as many rows as before");
        Self { records, ..self }
    }

    /// The columns.
    pub fn records(&self) -> &RecordBatch {
        &self.records
    }

    /// The event times, when the stream has them.
    pub fn timestamps(&self) -> Option<&ScalarBuffer<EpochMillis>> {
        self.timestamps.as_ref()
    }

    /// The row kinds as numbers of [`RowKind`]; absent: all inserts.
    pub fn kinds(&self) -> Option<&ScalarBuffer<u8>> {
        self.kinds.as_ref()
    }

    /// Number of rows.
    pub fn num_rows(&self) -> usize {
        self.records.num_rows()
    }

    /// Rows `offset..offset + length`, without copying.
    #[must_use]
    pub fn slice(&self, offset: usize, length: usize) -> Self {
        Self {
            records: self.records.slice(offset, length),
            timestamps: self.timestamps.as_ref().map(|times| times.slice(offset, length)),
            kinds: self.kinds.as_ref().map(|kinds| kinds.slice(offset, length)),
            split: self.split,
        }
    }

    /// The rows where `keep` is true.
    ///
    /// # Errors
    ///
    /// When Arrow cannot filter one of the columns.
    pub fn filter(&self, keep: &BooleanArray) -> Result<Self, ArrowError> {
        if keep.true_count() == self.num_rows() {
            return Ok(self.clone());
        }
        let predicate = compute::FilterBuilder::new(keep).optimize().build();
        let records = predicate.filter_record_batch(&self.records)?;
        let pick = |values: &dyn Fn(usize) -> i64| -> Vec<i64> { keep.values().set_indices().map(values).collect() };
        let timestamps = self.timestamps.as_ref().map(|times| pick(&|row| times[row]).into());
        let kinds = self
            .kinds
            .as_ref()
            .map(|kinds| keep.values().set_indices().map(|row| kinds[row]).collect::<Vec<u8>>().into());
        Ok(Self { records, timestamps, kinds, split: self.split })
    }

    /// The rows at `indices`, in that order.
    ///
    /// # Errors
    ///
    /// When Arrow cannot take from one of the columns.
    pub fn take(&self, indices: &UInt32Array) -> Result<Self, ArrowError> {
        let records = compute::take_record_batch(&self.records, indices)?;
        let rows = || indices.values().iter().map(|&row| row as usize);
        Ok(Self {
            records,
            timestamps: self.timestamps.as_ref().map(|times| rows().map(|row| times[row]).collect::<Vec<_>>().into()),
            kinds: self.kinds.as_ref().map(|kinds| rows().map(|row| kinds[row]).collect::<Vec<_>>().into()),
            split: self.split,
        })
    }

    /// All rows of `batches`, in order. The batches are of one stream and so of one schema.
    ///
    /// # Errors
    ///
    /// When `batches` is empty or the schemas differ.
    pub fn concat(batches: &[Self]) -> Result<Self, ArrowError> {
        let [first, rest @ ..] = batches else {
            return Err(ArrowError::InvalidArgumentError("no batches to concatenate".to_owned()));
        };
        if rest.is_empty() {
            return Ok(first.clone());
        }
        let records = compute::concat_batches(&first.records.schema(), batches.iter().map(|batch| &batch.records))?;
        let with_times = batches.iter().any(|batch| batch.timestamps.is_some());
        let timestamps = with_times.then(|| {
            let mut times = Vec::with_capacity(records.num_rows());
            for batch in batches {
                match &batch.timestamps {
                    Some(values) => times.extend_from_slice(values),
                    None => times.resize(times.len() + batch.num_rows(), EpochMillis::MIN),
                }
            }
            times.into()
        });
        let with_kinds = batches.iter().any(|batch| batch.kinds.is_some());
        let kinds = with_kinds.then(|| {
            let mut all = Vec::with_capacity(records.num_rows());
            for batch in batches {
                match &batch.kinds {
                    Some(values) => all.extend_from_slice(values),
                    None => all.resize(all.len() + batch.num_rows(), RowKind::Insert as u8),
                }
            }
            all.into()
        });
        Ok(Self { records, timestamps, kinds, split: None })
    }

    /// Bytes of the rows' own data: what the batch costs a queue. Shared buffers count by the part that is used.
    pub fn size_bytes(&self) -> usize {
        let columns: usize = self.records.columns().iter().map(array_bytes).sum();
        let times = self.timestamps.as_ref().map_or(0, |times| times.len() * size_of::<EpochMillis>());
        let kinds = self.kinds.as_ref().map_or(0, |kinds| kinds.len());
        columns + times + kinds
    }
}

fn array_bytes(array: &ArrayRef) -> usize {
    // Fails only for types without a defined layout, of which batches have none; the upper bound serves then.
    array.to_data().get_slice_memory_size().unwrap_or_else(|_| array.get_array_memory_size())
}

/// Identifies one checkpoint of a job; grows with every trigger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CheckpointId(pub u64);

/// Separates the records before a checkpoint from those after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckpointBarrier {
    /// The checkpoint.
    pub checkpoint: CheckpointId,
    /// When it was triggered.
    pub triggered_at: EpochMillis,
    /// Whether it may overtake the records before it.
    pub mode: BarrierMode,
    /// What makes it a savepoint; none for a checkpoint.
    pub savepoint: Option<Arc<Savepoint>>,
    /// The checkpoint whose files this one may name again: it is kept until this one has ended. None for one that has
    /// to have everything itself.
    pub base: Option<CheckpointId>,
}

/// Whether a barrier waits until the records before it are processed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BarrierMode {
    /// It does.
    Aligned,
    /// It does until this wall-clock time, and overtakes them then.
    AlignedUntil(EpochMillis),
    /// It overtakes them. They are stored with the checkpoint as what was in flight.
    Unaligned,
}

/// What makes a checkpoint a savepoint: somebody asked for it, and owns it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Savepoint {
    /// Its own directory, as a URL or path.
    pub directory: String,
    /// The form of state in it.
    pub format: SavepointFormat,
    /// What the job does after it.
    pub then: AfterSavepoint,
}

/// The form of state in a savepoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SavepointFormat {
    /// One that every state backend reads.
    Canonical,
    /// That of the state backend.
    Native,
}

/// What a job does after a savepoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterSavepoint {
    /// It goes on.
    GoOn,
    /// It goes on, and takes no checkpoint any more until it is cancelled, which whoever asked sees to.
    Cancel,
    /// It stops where it is, to go on elsewhere: event time does not end.
    Stop,
    /// It stops for good: event time ends before the savepoint, so that windows fire.
    Drain,
}

impl AfterSavepoint {
    /// Whether its tasks go on after it.
    pub const fn goes_on(self) -> bool {
        matches!(self, Self::GoOn | Self::Cancel)
    }
}

/// Travels from a source to the sinks to measure latency.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LatencyMarker {
    /// Wall-clock time of its creation.
    pub created_at: EpochMillis,
    /// The vertex index of the source that made it.
    pub source: u32,
    /// The source's subtask.
    pub subtask: u32,
}

/// One element of a stream.
#[derive(Debug, Clone)]
pub enum StreamElement {
    /// Records.
    Batch(StreamBatch),
    /// No record with an event time at or before this follows, except late ones.
    Watermark(EpochMillis),
    /// The channel has nothing to say for now; it holds no watermark back until a batch or watermark follows.
    Idle,
    /// A checkpoint's separation line.
    Barrier(CheckpointBarrier),
    /// Measures latency.
    LatencyMarker(LatencyMarker),
    /// Nothing follows, ever.
    EndOfInput,
}

impl StreamElement {
    /// What the element costs a bounded queue.
    pub fn size_bytes(&self) -> usize {
        match self {
            Self::Batch(batch) => batch.size_bytes().max(CONTROL_ELEMENT_BYTES),
            _ => CONTROL_ELEMENT_BYTES,
        }
    }
}

/// What an element without data costs a bounded queue.
pub const CONTROL_ELEMENT_BYTES: usize = 64;

/// When something that waits should be looked at again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wakeup {
    /// Only when something happens.
    OnEvent,
    /// At this moment, or earlier when something happens.
    At(Moment),
}
