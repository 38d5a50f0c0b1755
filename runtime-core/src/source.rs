//! The port between a task and where its records come from.
//!
//! A source reader is polled by its task and never blocks: what must wait (files, sockets, object stores) runs in the
//! background through [`Env`](crate::env::Env) behind a bounded queue, and calls the
//! [`TaskWaker`](crate::operator::TaskWaker) when there is something to poll.

pub mod splits;

use std::task::Poll;

use crate::checkpoint::snapshot::{OperatorSnapshot, RestoredState};
use crate::element::{CheckpointId, StreamBatch};
use crate::exchange::feedback::Feedback;
use crate::operator::{OperatorError, OperatorResult, OperatorRuntime};
use crate::time::EpochMillis;

/// What a source reader has to say.
#[derive(Debug)]
pub enum SourcePoll {
    /// Records, in the source's order.
    Batch(StreamBatch),
    /// A watermark of the source's own making.
    Watermark(EpochMillis),
    /// Batches [of this split](StreamBatch::of_split) may come.
    SplitAdded(u32),
    /// No more batches come [of this split](StreamBatch::of_split).
    SplitEnded(u32),
    /// Nothing now. The task polls again when the waker was called, or at this wall-clock time.
    Pending(Option<EpochMillis>),
    /// Nothing, ever: this reader's input is bounded and has ended.
    End,
}

/// Reads the part of a source that belongs to one subtask.
pub trait SourceReader: Send {
    /// Called once before the first poll. Must not block; work that waits is started in the background.
    fn open(&mut self, _runtime: &OperatorRuntime) -> OperatorResult {
        Ok(())
    }

    /// Where the reader is: what it has said so far is before this, what follows is after it. A source that cannot go
    /// back to a position has none.
    fn snapshot(&mut self, _checkpoint: CheckpointId) -> OperatorResult<OperatorSnapshot> {
        Ok(OperatorSnapshot::default())
    }

    /// The rest of the positions of `checkpoint`, as
    /// [`Operator::poll_snapshot`](crate::operator::Operator::poll_snapshot) has it: for a reader that does not know yet
    /// what there is to read.
    fn poll_snapshot(&mut self, _checkpoint: CheckpointId) -> OperatorResult<Poll<OperatorSnapshot>> {
        Ok(Poll::Ready(OperatorSnapshot::default()))
    }

    /// The checkpoint is durable, and with it all before: the reader will never be taken back beyond it.
    fn checkpoint_completed(&mut self, _checkpoint: CheckpointId) -> OperatorResult {
        Ok(())
    }

    /// Takes positions back, before [`open`](Self::open). Not called when there are none.
    ///
    /// # Errors
    ///
    /// When the positions are not of this source's making; a source without positions refuses all.
    fn restore(&mut self, state: RestoredState) -> OperatorResult {
        crate::operator::refuse_state(&state)
    }

    /// The next thing to say, at wall-clock time `now`.
    fn poll(&mut self, now: EpochMillis) -> OperatorResult<SourcePoll>;

    /// These splits, and no others, have to wait: no batch of them is wanted until they are not named any more. Only for
    /// sources that [say which split](StreamBatch::of_split) their batches are of. Answers whether the source can do that.
    fn pause_splits(&mut self, _splits: &[u32]) -> bool {
        false
    }

    /// Called once at the end, also after a failure or a cancellation.
    fn close(&mut self) {}

    /// Whether the readers of its output may say something, which [`feedback`](Self::feedback) then hears: an enumerator
    /// of splits. Its output goes to all of them.
    fn listens(&self) -> bool {
        false
    }

    /// Called after [`open`](Self::open) of a source that listens: so many readers there are.
    fn connected(&mut self, _readers: u32) {}

    /// What one of the readers says.
    fn feedback(&mut self, _reader: u32, _feedback: Feedback) {}

    /// Rows from an enumerator, for a source that has one.
    ///
    /// # Errors
    ///
    /// When they are no splits of this source.
    fn add_splits(&mut self, _splits: &StreamBatch) -> OperatorResult {
        Err(OperatorError::data("a source without an enumerator was given splits"))
    }

    /// The enumerator has ended: no rows will come from it.
    fn no_more_splits(&mut self) {}

    /// What to tell the enumerator, when that has changed. Asked after each call.
    fn take_feedback(&mut self) -> Option<Feedback> {
        None
    }
}

/// Whether a source ends by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Boundedness {
    /// It ends when its input does.
    Bounded,
    /// It runs until it is cancelled.
    ContinuousUnbounded,
}

/// Makes the readers of one source: one per subtask.
///
/// Readers of a source without enumerator share the input without talking to each other: every reader lists the splits in
/// the same order and takes those whose index is its own modulo the parallelism. With an enumerator they ask it
/// ([`splits`]).
pub trait SourceFactory: Send + Sync {
    /// Whether the source ends by itself.
    fn boundedness(&self) -> Boundedness;

    /// A new reader for the subtask that `runtime` describes.
    ///
    /// # Errors
    ///
    /// When the reader cannot be built for this place.
    fn create(&self, runtime: &OperatorRuntime) -> OperatorResult<Box<dyn SourceReader>>;
}
