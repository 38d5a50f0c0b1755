//! Sources of users, in splits.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use pelton_connectors::{FetchSource, Fetched, Fetching, ReadSource, Rest, SplitFetcher};
use pelton_runtime_core::operator::{OperatorError, OperatorResult, OperatorRuntime, TARGET_BATCH_ROWS};
use pelton_runtime_core::source::splits::SplitSource as Tasks;
use pelton_runtime_core::source::{Boundedness, SourceFactory, splits};

use crate::keyed::FunctionResult;
use crate::record::{Record, RecordBuilder, RecordReader, ToRecord};

use super::Source;

/// A source whose input comes in parts that can be read apart: partitions, files, tables, key ranges.
///
/// It says which splits there are, and its readers read them. One task, the enumerator, asks for the splits and hands them
/// to readers that ask for more; so a fast reader gets more of them. A split is a record that says what to read, and where
/// the reading stands: readers move it on. Checkpoints keep the splits; after a restart, also at another
/// parallelism, each is read on where its records of the checkpoint ended. So every record is read exactly once, provided
/// that the same position always has the same records.
///
/// Finding and reading happen on threads beside the tasks and may block. A source that decides itself which reader gets
/// which split, or that must remember more than its splits, is an [`EnumeratedSource`](super::EnumeratedSource).
///
/// ```
/// use pelton::StreamExecutionEnvironment;
/// use pelton::keyed::FunctionResult;
/// use pelton::record::Record;
/// use pelton::sources::{Rest, SourceContext, SourceSplit, SplitReader, SplitRecords, SplitSource, in_splits};
/// use pelton::watermarks::WatermarkStrategy;
///
/// /// The multiples of some numbers up to 100.
/// struct Multiples;
///
/// #[derive(Clone, Record)]
/// struct MultiplesOf {
///     number: i64,
///     next: i64,
/// }
///
/// impl SourceSplit for MultiplesOf {
///     fn split_id(&self) -> String {
///         self.number.to_string()
///     }
/// }
///
/// struct Reader;
///
/// impl SplitReader<i64, MultiplesOf> for Reader {
///     fn read(&mut self, split: &mut MultiplesOf, out: &mut SplitRecords<i64>) -> FunctionResult<Rest> {
///         while split.next <= 100 {
///             if out.is_full() {
///                 return Ok(Rest::More);
///             }
///             out.push(&split.next);
///             split.next += split.number;
///         }
///         Ok(Rest::Nothing)
///     }
/// }
///
/// impl SplitSource<i64> for Multiples {
///     type Split = MultiplesOf;
///     type Reader = Reader;
///
///     fn discover(&self) -> FunctionResult<Vec<MultiplesOf>> {
///         Ok([7, 11, 13].map(|number| MultiplesOf { number, next: number }).into())
///     }
///
///     fn reader(&self, _: &SourceContext<'_>) -> FunctionResult<Reader> {
///         Ok(Reader)
///     }
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let env = StreamExecutionEnvironment::get_execution_environment();
/// env.set_parallelism(2);
/// let multiples = env.from_source(in_splits(Multiples), WatermarkStrategy::no_watermarks(), "Multiples");
/// let mut found: Vec<i64> = multiples.execute_and_collect("multiples")?.collect::<Result<_, _>>()?;
/// found.sort();
/// assert_eq!((found.len(), &found[..4]), (14 + 9 + 7, &[7, 11, 13, 14][..]));
/// # Ok(())
/// # }
/// ```
pub trait SplitSource<T: Record>: Send + Sync + 'static {
    /// A part of the input, and where its reading stands.
    type Split: SourceSplit;
    /// Who reads the splits of one subtask.
    type Reader: SplitReader<T, Self::Split>;

    /// How often to look for further splits; absent: once, at the beginning. A source that looks again never ends.
    fn discovery_interval(&self) -> Option<Duration> {
        None
    }

    /// The splits that there are now, at their beginnings. Those that were found before, by their ids, are ignored.
    ///
    /// # Errors
    ///
    /// When the outside world cannot be looked at; the job fails.
    fn discover(&self) -> FunctionResult<Vec<Self::Split>>;

    /// The reader of a subtask.
    ///
    /// # Errors
    ///
    /// When it cannot be built; the job fails.
    fn reader(&self, context: &SourceContext<'_>) -> FunctionResult<Self::Reader>;
}

/// A part of the input of a [`SplitSource`], and where its reading stands.
pub trait SourceSplit: Record {
    /// What tells it from all other splits, whatever was read of it.
    fn split_id(&self) -> String;
}

/// Reads splits.
pub trait SplitReader<T: Record, S>: Send + 'static {
    /// Reads some records of a split and moves it on behind them. It may block for a while; records are passed on when it
    /// returns.
    ///
    /// # Errors
    ///
    /// When the split cannot be read; the job fails.
    fn read(&mut self, split: &mut S, out: &mut SplitRecords<T>) -> FunctionResult<Rest>;
}

/// Where a reader puts records.
pub struct SplitRecords<T: Record>(RecordBuilder<T>);

impl<T: Record> SplitRecords<T> {
    /// The next record of the split.
    pub fn push<R: ToRecord<T> + ?Sized>(&mut self, record: &R) {
        self.0.append(record);
    }

    /// Whether there are enough for one call.
    pub fn is_full(&self) -> bool {
        self.0.len() >= TARGET_BATCH_ROWS
    }
}

/// What a source may know of its place in the job.
#[derive(Debug)]
pub struct SourceContext<'a>(pub(super) &'a OperatorRuntime);

impl SourceContext<'_> {
    /// Zero-based index of this subtask.
    pub fn subtask(&self) -> u32 {
        self.0.subtask
    }

    /// Number of subtasks.
    pub fn parallelism(&self) -> u32 {
        self.0.parallelism
    }

    /// How often this subtask was started before.
    pub fn attempt_number(&self) -> u32 {
        self.0.attempt_number
    }
}

/// A user's source as [`from_source`](crate::StreamExecutionEnvironment::from_source) takes it.
pub fn in_splits<S>(source: S) -> InSplits<S> {
    InSplits(Arc::new(source))
}

/// See [`in_splits`].
#[derive(Debug)]
#[must_use]
pub struct InSplits<S>(Arc<S>);

impl<T: Record, S: SplitSource<T>> Source<T> for InSplits<S> {
    fn into_factory(self) -> Arc<dyn SourceFactory> {
        let tasks: Arc<dyn Tasks> = Arc::new(Fetching::new(Typed { source: self.0, records: PhantomData }));
        Arc::new(splits::SplitReaderFactory(tasks))
    }

    fn split_source(&self) -> Option<Arc<dyn Tasks>> {
        Some(Arc::new(Fetching::new(Typed { source: Arc::clone(&self.0), records: PhantomData })))
    }
}

struct Typed<T, S> {
    source: Arc<S>,
    records: PhantomData<fn() -> T>,
}

impl<T: Record, S: SplitSource<T>> ReadSource for Typed<T, S> {
    type Split = S::Split;

    fn split_id(&self, split: &S::Split) -> String {
        split.split_id()
    }

    fn boundedness(&self) -> Boundedness {
        match self.source.discovery_interval() {
            Some(_) => Boundedness::ContinuousUnbounded,
            None => Boundedness::Bounded,
        }
    }

    fn fetcher(&self, runtime: &OperatorRuntime) -> OperatorResult<Box<dyn SplitFetcher<S::Split>>> {
        fetcher_of::<T, _, _>(self.source.reader(&SourceContext(runtime)))
    }

    fn encode(&self, splits: &[S::Split]) -> OperatorResult<RecordBatch> {
        encode(splits)
    }

    fn decode(&self, rows: &RecordBatch) -> OperatorResult<Vec<S::Split>> {
        decode(rows, "splits")
    }
}

impl<T: Record, S: SplitSource<T>> FetchSource for Typed<T, S> {
    fn discovery_interval(&self) -> Option<Duration> {
        self.source.discovery_interval()
    }

    fn discover(&self, _: &OperatorRuntime) -> OperatorResult<Vec<S::Split>> {
        self.source.discover().map_err(OperatorError::User)
    }
}

/// Records as rows.
pub(super) fn encode<R: Record>(records: &[R]) -> OperatorResult<RecordBatch> {
    let mut builder = RecordBuilder::<R>::new();
    records.iter().for_each(|record| builder.append(record));
    Ok(builder.finish()?)
}

/// Records out of the rows of a checkpoint, which has them as `what`.
pub(super) fn decode<R: Record>(rows: &RecordBatch, what: &str) -> OperatorResult<Vec<R>> {
    let misfit = |error| OperatorError::misfit(format!("the checkpoint has {what} of another form: {error}"));
    Ok(RecordReader::open(rows).map_err(misfit)?.iter().collect())
}

/// A user's reader as what fetches.
pub(super) fn fetcher_of<T: Record, S: SourceSplit, R: SplitReader<T, S>>(
    reader: FunctionResult<R>,
) -> OperatorResult<Box<dyn SplitFetcher<S>>> {
    let reader = reader.map_err(OperatorError::User)?;
    Ok(Box::new(TypedFetcher { reader, out: SplitRecords(RecordBuilder::<T>::new()) }))
}

struct TypedFetcher<T: Record, R> {
    reader: R,
    out: SplitRecords<T>,
}

impl<T: Record, S, R: SplitReader<T, S>> SplitFetcher<S> for TypedFetcher<T, R> {
    fn fetch(&mut self, split: &mut S) -> OperatorResult<Fetched> {
        let rest = self.reader.read(split, &mut self.out).map_err(OperatorError::User)?;
        let records = if self.out.0.is_empty() { None } else { Some(self.out.0.finish()?) };
        Ok(Fetched { records, rest })
    }
}
