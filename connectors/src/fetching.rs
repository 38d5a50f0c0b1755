//! Sources of one's own: who finds splits, who decides which reader gets them, and who reads them.
//!
//! ```text
//!  thread: discover ─► enumerator ══ splits, on request ══► reader ─► thread: fetch, fetch, … ─► queue ─► task
//!  thread: calls ◄──► assigner ─┘
//! ```
//!
//! A [`ReadSource`] reads splits piece by piece. A split is a value that also says where its reading stands: a fetch moves
//! it on. Checkpoints keep the splits as they were after the last piece that the task has taken, so whoever restarts goes
//! on right there.
//!
//! Where the splits come from is said in one of two ways. A [`FetchSource`] says which there are: they go to whoever asks,
//! and are told apart by their ids; one that was found is never handed out again, over restarts too. An [`AssignSource`]
//! has an [`Assigner`], which decides everything itself and has a state of its own.
//!
//! Finding and fetching happen on threads of their own and may block; an assigner is called by its task and may not.

pub mod assigner;
mod enumerator;
mod reader;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use pelton_runtime_core::operator::{OperatorResult, OperatorRuntime};
use pelton_runtime_core::source::Boundedness;
use pelton_runtime_core::source::splits::{SplitEnumerator, SplitReader, SplitSource};

pub use assigner::{Assigner, Desk};

/// What the readers of a source must know of its splits.
pub trait ReadSource: Send + Sync + 'static {
    /// A part of the input, and where its reading stands.
    type Split: Clone + Send + 'static;

    /// What tells a split from all others, whatever was read of it.
    fn split_id(&self, split: &Self::Split) -> String;

    /// Whether the source ends by itself. Where it does not, splits may have no end, so readers take all that they are
    /// given at once.
    fn boundedness(&self) -> Boundedness;

    /// Who reads the splits of a subtask.
    ///
    /// # Errors
    ///
    /// When it cannot be built.
    fn fetcher(&self, runtime: &OperatorRuntime) -> OperatorResult<Box<dyn SplitFetcher<Self::Split>>>;

    /// Splits as rows.
    ///
    /// # Errors
    ///
    /// When Arrow cannot make the columns.
    fn encode(&self, splits: &[Self::Split]) -> OperatorResult<RecordBatch>;

    /// Splits out of rows.
    ///
    /// # Errors
    ///
    /// When the rows are not of this source's making.
    fn decode(&self, rows: &RecordBatch) -> OperatorResult<Vec<Self::Split>>;
}

/// A source that says which splits there are.
pub trait FetchSource: ReadSource {
    /// How often to look for further splits; absent: once. A source that looks again never ends.
    fn discovery_interval(&self) -> Option<Duration>;

    /// The splits that there are now; those that were found before are left out by whoever asks. May block.
    ///
    /// # Errors
    ///
    /// When the outside world cannot be looked at.
    fn discover(&self, runtime: &OperatorRuntime) -> OperatorResult<Vec<Self::Split>>;
}

/// A source with an assigner.
pub trait AssignSource: ReadSource {
    /// What the assigner's calls come to.
    type Found: Send + 'static;

    /// Who assigns splits: with the rows that the last one saved, or anew.
    ///
    /// # Errors
    ///
    /// When it cannot be built, or the rows are not of its making.
    fn assigner(&self, saved: Option<&RecordBatch>) -> OperatorResult<AssignerOf<Self>>;
}

/// The assigner of a source.
pub type AssignerOf<S> = Box<dyn Assigner<<S as ReadSource>::Split, <S as AssignSource>::Found>>;

/// Reads splits; may block for a while.
pub trait SplitFetcher<S>: Send {
    /// The next records of a split, which is moved on behind them.
    ///
    /// # Errors
    ///
    /// When it cannot be read.
    fn fetch(&mut self, split: &mut S) -> OperatorResult<Fetched>;
}

/// What a fetch came to.
#[derive(Debug)]
pub struct Fetched {
    /// Records, if there were any.
    pub records: Option<RecordBatch>,
    /// What to expect of the split.
    pub rest: Rest,
}

/// What is left of a split.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rest {
    /// There is more.
    More,
    /// There may be more later.
    Later,
    /// It was read to its end.
    Nothing,
}

/// A [`FetchSource`] as its tasks see it.
pub struct Fetching<S>(Arc<S>);

impl<S: FetchSource> Fetching<S> {
    /// The tasks of `source`.
    pub fn new(source: S) -> Self {
        Self(Arc::new(source))
    }
}

impl<S: FetchSource> SplitSource for Fetching<S> {
    fn boundedness(&self) -> Boundedness {
        self.0.boundedness()
    }

    fn enumerator(&self, _: &OperatorRuntime) -> OperatorResult<Box<dyn SplitEnumerator>> {
        Ok(Box::new(enumerator::Finder::new(Arc::clone(&self.0))))
    }

    fn reader(&self, runtime: &OperatorRuntime) -> OperatorResult<Box<dyn SplitReader>> {
        Ok(Box::new(reader::FetchReader::new(Arc::clone(&self.0), runtime)?))
    }
}

/// An [`AssignSource`] as its tasks see it.
pub struct Assigning<S>(Arc<S>);

impl<S: AssignSource> Assigning<S> {
    /// The tasks of `source`.
    pub fn new(source: S) -> Self {
        Self(Arc::new(source))
    }
}

impl<S: AssignSource> SplitSource for Assigning<S> {
    fn boundedness(&self) -> Boundedness {
        self.0.boundedness()
    }

    fn enumerator(&self, runtime: &OperatorRuntime) -> OperatorResult<Box<dyn SplitEnumerator>> {
        Ok(Box::new(assigner::AssigningTask::new(Arc::clone(&self.0), runtime.clone())))
    }

    fn reader(&self, runtime: &OperatorRuntime) -> OperatorResult<Box<dyn SplitReader>> {
        Ok(Box::new(reader::FetchReader::new(Arc::clone(&self.0), runtime)?))
    }
}
