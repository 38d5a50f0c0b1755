//! Sources whose splits are handed out by an enumerator as readers ask for them.
//!
//! ```text
//!   enumerator, parallelism 1 ══ splits, barriers, end of input ══► readers ─► records
//!                             ◄─ feedback: so many splits are wanted ─┘
//! ```
//!
//! The enumerator is a source of its own, in a worker: a task upstream of the readers. Its output goes to all of them, each
//! row with the reader it is meant for. So a barrier on that edge makes one state of both sides: a split is either in the
//! enumerator's state, or in that of the reader that got it, never in both or neither. When one of them fails, all of
//! them restart, as they exchange data; splits that readers had are shared anew, whatever their number is now.
//!
//! A reader asks for another split while it reads the last it has, so that a fast one gets more and none waits.

use std::sync::Arc;
use std::task::Poll;

use arrow::array::{AsArray, BooleanArray, RecordBatch, UInt32Array};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{DataType, Field, Schema, UInt32Type};

use super::{Boundedness, SourceFactory, SourcePoll, SourceReader};
use crate::checkpoint::snapshot::{OperatorSnapshot, RestoredState};
use crate::element::{CheckpointId, StreamBatch};
use crate::exchange::feedback::Feedback;
use crate::operator::{OperatorError, OperatorResult, OperatorRuntime};
use crate::time::EpochMillis;

/// Splits that a reader has or has asked for: the one it reads, and the next.
const SPLITS_AHEAD: u64 = 2;

/// The column that says which reader a split is for.
const READER: &str = "__reader";

/// Finds the splits of a source and decides who reads which.
///
/// Called on its task's thread, so it never blocks: what must wait runs in the background and calls the waker.
pub trait SplitEnumerator: Send {
    /// Takes state back, before [`start`](Self::start). Not called when there is none.
    ///
    /// # Errors
    ///
    /// When the state is not of its making.
    fn restore(&mut self, state: RestoredState) -> OperatorResult;

    /// Called once; there are so many readers.
    ///
    /// # Errors
    ///
    /// When it cannot begin.
    fn start(&mut self, readers: u32, runtime: &OperatorRuntime) -> OperatorResult;

    /// Looks at what has been found meanwhile; answers with when to be called again, if not by the waker.
    ///
    /// # Errors
    ///
    /// When the outside world cannot be looked at.
    fn discover(&mut self, now: EpochMillis) -> OperatorResult<Option<EpochMillis>>;

    /// The next split for a reader that asks, as rows; `None` while there is none for it.
    ///
    /// # Errors
    ///
    /// When Arrow cannot make the rows.
    fn next_split(&mut self, reader: u32) -> OperatorResult<Option<RecordBatch>>;

    /// Whether every split there will ever be has been handed out.
    fn is_exhausted(&self) -> bool;

    /// What was not handed out, and what else it must know after a restart.
    ///
    /// # Errors
    ///
    /// When Arrow cannot make the tables.
    fn snapshot(&mut self) -> OperatorResult<OperatorSnapshot>;

    /// Called once at the end.
    fn close(&mut self) {}
}

/// What a reader of splits has to say.
#[derive(Debug)]
pub enum SplitPoll {
    /// Records.
    Batch(StreamBatch),
    /// Batches of this split may come; as [`SourcePoll::SplitAdded`].
    Added(u32),
    /// No more come of this split; as [`SourcePoll::SplitEnded`].
    Ended(u32),
    /// Nothing now; as [`SourcePoll::Pending`].
    Pending(Option<EpochMillis>),
}

/// Reads the splits that it is given. Called on its task's thread, so it never blocks.
pub trait SplitReader: Send {
    /// Takes splits and their positions back, before [`open`](Self::open): those of all readers, of which it keeps its own.
    ///
    /// # Errors
    ///
    /// When they are not of its making.
    fn restore(&mut self, state: RestoredState) -> OperatorResult;

    /// Called once.
    ///
    /// # Errors
    ///
    /// When it cannot begin.
    fn open(&mut self, runtime: &OperatorRuntime) -> OperatorResult;

    /// More to read.
    ///
    /// # Errors
    ///
    /// When the rows are no splits of its source.
    fn add_splits(&mut self, splits: &RecordBatch) -> OperatorResult;

    /// How many splits it has not read to their end.
    fn unread(&self) -> u64;

    /// The next records.
    ///
    /// # Errors
    ///
    /// When a split cannot be read.
    fn poll(&mut self, now: EpochMillis) -> OperatorResult<SplitPoll>;

    /// These splits, and no others, have to wait; as [`SourceReader::pause_splits`].
    fn pause_splits(&mut self, _splits: &[u32]) -> bool {
        false
    }

    /// The splits that are not read to their end, and where they stand.
    ///
    /// # Errors
    ///
    /// When Arrow cannot make the tables.
    fn snapshot(&mut self) -> OperatorResult<OperatorSnapshot>;

    /// The checkpoint is durable, and with it all before.
    ///
    /// # Errors
    ///
    /// When the outside world cannot be told.
    fn checkpoint_completed(&mut self, _checkpoint: CheckpointId) -> OperatorResult {
        Ok(())
    }

    /// Called once at the end.
    fn close(&mut self) {}
}

/// Makes both halves of a source with an enumerator.
pub trait SplitSource: Send + Sync {
    /// Whether the source ends by itself.
    fn boundedness(&self) -> Boundedness;

    /// Its enumerator.
    ///
    /// # Errors
    ///
    /// When it cannot be built.
    fn enumerator(&self, runtime: &OperatorRuntime) -> OperatorResult<Box<dyn SplitEnumerator>>;

    /// A reader.
    ///
    /// # Errors
    ///
    /// When it cannot be built.
    fn reader(&self, runtime: &OperatorRuntime) -> OperatorResult<Box<dyn SplitReader>>;
}

/// The upstream half of a source with an enumerator, as a source of its own.
pub struct EnumeratorFactory(pub Arc<dyn SplitSource>);

/// The downstream half.
pub struct SplitReaderFactory(pub Arc<dyn SplitSource>);

impl SourceFactory for EnumeratorFactory {
    fn boundedness(&self) -> Boundedness {
        self.0.boundedness()
    }

    fn create(&self, runtime: &OperatorRuntime) -> OperatorResult<Box<dyn SourceReader>> {
        Ok(Box::new(EnumeratorTask {
            enumerator: self.0.enumerator(runtime)?,
            runtime: runtime.clone(),
            readers: Vec::new(),
            turn: 0,
            start: None,
        }))
    }
}

impl SourceFactory for SplitReaderFactory {
    fn boundedness(&self) -> Boundedness {
        self.0.boundedness()
    }

    fn create(&self, runtime: &OperatorRuntime) -> OperatorResult<Box<dyn SourceReader>> {
        Ok(Box::new(ReaderTask {
            reader: self.0.reader(runtime)?,
            subtask: runtime.subtask,
            no_more: false,
            received: 0,
            said: Feedback::default(),
        }))
    }
}

/// Drives an enumerator.
struct EnumeratorTask {
    enumerator: Box<dyn SplitEnumerator>,
    runtime: OperatorRuntime,
    readers: Vec<Wishes>,
    /// Who is asked first next time, so that none of them starves.
    turn: usize,
    /// Why it could not start.
    start: Option<OperatorError>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Wishes {
    requested: u64,
    answered: u64,
}

impl EnumeratorTask {
    /// The next split that somebody waits for.
    fn next(&mut self) -> OperatorResult<Option<StreamBatch>> {
        for step in 0..self.readers.len() {
            let reader = (self.turn + step) % self.readers.len();
            if self.readers[reader].requested <= self.readers[reader].answered {
                continue;
            }
            // A job's parallelism has 32 bits.
            if let Some(split) = self.enumerator.next_split(reader as u32)? {
                self.readers[reader].answered += 1;
                self.turn = reader + 1;
                return for_reader(reader as u32, &split).map(Some);
            }
        }
        Ok(None)
    }
}

impl SourceReader for EnumeratorTask {
    fn restore(&mut self, state: RestoredState) -> OperatorResult {
        self.enumerator.restore(state)
    }

    fn listens(&self) -> bool {
        true
    }

    fn connected(&mut self, readers: u32) {
        self.readers = vec![Wishes::default(); readers as usize];
        self.start = self.enumerator.start(readers, &self.runtime).err();
    }

    fn feedback(&mut self, reader: u32, feedback: Feedback) {
        if let Some(wishes) = self.readers.get_mut(reader as usize) {
            wishes.requested = wishes.requested.max(feedback.requested);
        }
    }

    fn poll(&mut self, now: EpochMillis) -> OperatorResult<SourcePoll> {
        if let Some(error) = self.start.take() {
            return Err(error);
        }
        let again = self.enumerator.discover(now)?;
        Ok(match self.next()? {
            Some(split) => SourcePoll::Batch(split),
            None if self.enumerator.is_exhausted() => SourcePoll::End,
            None => SourcePoll::Pending(again),
        })
    }

    fn snapshot(&mut self, _: CheckpointId) -> OperatorResult<OperatorSnapshot> {
        if let Some(error) = self.start.take() {
            return Err(error);
        }
        self.enumerator.snapshot()
    }

    fn close(&mut self) {
        self.enumerator.close();
    }
}

/// Drives a reader of splits.
struct ReaderTask {
    reader: Box<dyn SplitReader>,
    subtask: u32,
    no_more: bool,
    /// Splits that the enumerator has sent.
    received: u64,
    said: Feedback,
}

impl SourceReader for ReaderTask {
    fn restore(&mut self, state: RestoredState) -> OperatorResult {
        self.reader.restore(state)
    }

    fn open(&mut self, runtime: &OperatorRuntime) -> OperatorResult {
        self.reader.open(runtime)
    }

    fn add_splits(&mut self, splits: &StreamBatch) -> OperatorResult {
        let own = of_reader(self.subtask, splits.records())?;
        if own.num_rows() > 0 {
            self.received += own.num_rows() as u64;
            self.reader.add_splits(&own)?;
        }
        Ok(())
    }

    fn no_more_splits(&mut self) {
        self.no_more = true;
    }

    fn take_feedback(&mut self) -> Option<Feedback> {
        let coming = self.said.requested.saturating_sub(self.received);
        let missing = SPLITS_AHEAD.saturating_sub(coming + self.reader.unread());
        if missing == 0 || self.no_more {
            return None;
        }
        self.said.requested += missing;
        Some(self.said)
    }

    fn poll(&mut self, now: EpochMillis) -> OperatorResult<SourcePoll> {
        Ok(match self.reader.poll(now)? {
            SplitPoll::Batch(batch) => SourcePoll::Batch(batch),
            SplitPoll::Added(split) => SourcePoll::SplitAdded(split),
            SplitPoll::Ended(split) => SourcePoll::SplitEnded(split),
            SplitPoll::Pending(_) if self.no_more && self.reader.unread() == 0 => SourcePoll::End,
            SplitPoll::Pending(until) => SourcePoll::Pending(until),
        })
    }

    fn pause_splits(&mut self, splits: &[u32]) -> bool {
        self.reader.pause_splits(splits)
    }

    fn snapshot(&mut self, _: CheckpointId) -> OperatorResult<OperatorSnapshot> {
        self.reader.snapshot()
    }

    fn poll_snapshot(&mut self, _: CheckpointId) -> OperatorResult<Poll<OperatorSnapshot>> {
        Ok(Poll::Ready(OperatorSnapshot::default()))
    }

    fn checkpoint_completed(&mut self, checkpoint: CheckpointId) -> OperatorResult {
        self.reader.checkpoint_completed(checkpoint)
    }

    fn close(&mut self) {
        self.reader.close();
    }
}

/// A split with whom it is for.
fn for_reader(reader: u32, split: &RecordBatch) -> OperatorResult<StreamBatch> {
    let mut fields = split.schema().fields().to_vec();
    fields.push(Arc::new(Field::new(READER, DataType::UInt32, false)));
    let mut columns = split.columns().to_vec();
    columns.push(Arc::new(UInt32Array::from(vec![reader; split.num_rows()])));
    Ok(StreamBatch::new(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?))
}

/// The splits for one reader, as their enumerator made them.
fn of_reader(subtask: u32, splits: &RecordBatch) -> OperatorResult<RecordBatch> {
    let readers = splits.column_by_name(READER).and_then(|column| column.as_primitive_opt::<UInt32Type>());
    let readers = readers.ok_or_else(|| OperatorError::data("what an enumerator sent are no splits"))?;
    let own: BooleanArray = readers.values().iter().map(|reader| Some(*reader == subtask)).collect();
    let mut own = filter_record_batch(splits, &own)?;
    own.remove_column(own.schema().index_of(READER)?);
    Ok(own)
}

#[cfg(test)]
mod tests;
