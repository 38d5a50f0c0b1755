//! Sources of one's own: who finds splits, and who reads them.
//!
//! ```text
//!  thread: discover ─► enumerator ══ splits, on request ══► reader ─► thread: fetch, fetch, … ─► queue ─► task
//! ```
//!
//! A [`FetchSource`] says which splits there are and reads them piece by piece. A split is a value that also says where its
//! reading stands: a fetch moves it on. Checkpoints keep the splits as they were after the last piece that the task has
//! taken, so whoever restarts goes on right there. Splits are told apart by their ids; one that was found is never handed
//! out again, over restarts too.
//!
//! Finding and fetching happen on threads of their own and may block.

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

/// A source in terms of splits.
pub trait FetchSource: Send + Sync + 'static {
    /// A part of the input, and where its reading stands.
    type Split: Clone + Send + 'static;

    /// What tells a split from all others, whatever was read of it.
    fn split_id(&self, split: &Self::Split) -> String;

    /// How often to look for further splits; absent: once. A source that looks again never ends.
    fn discovery_interval(&self) -> Option<Duration>;

    /// The splits that there are now; those that were found before are left out by whoever asks. May block.
    ///
    /// # Errors
    ///
    /// When the outside world cannot be looked at.
    fn discover(&self, runtime: &OperatorRuntime) -> OperatorResult<Vec<Self::Split>>;

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
        match self.0.discovery_interval() {
            Some(_) => Boundedness::ContinuousUnbounded,
            None => Boundedness::Bounded,
        }
    }

    fn enumerator(&self, _: &OperatorRuntime) -> OperatorResult<Box<dyn SplitEnumerator>> {
        Ok(Box::new(enumerator::Finder::new(Arc::clone(&self.0))))
    }

    fn reader(&self, runtime: &OperatorRuntime) -> OperatorResult<Box<dyn SplitReader>> {
        Ok(Box::new(reader::FetchReader::new(Arc::clone(&self.0), runtime)?))
    }
}
