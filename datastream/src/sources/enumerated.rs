//! Sources of users with an enumerator of their own.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use pelton_connectors::{AssignSource, Assigner, Assigning, Desk, ReadSource, SplitFetcher};
use pelton_runtime_core::operator::{OperatorError, OperatorResult, OperatorRuntime};
use pelton_runtime_core::source::splits::SplitSource as Tasks;
use pelton_runtime_core::source::{Boundedness, SourceFactory, splits};

use crate::keyed::FunctionResult;
use crate::record::Record;

use super::Source;
use super::split::{SourceContext, SourceSplit, SplitReader, decode, encode, fetcher_of};

/// A source whose enumerator is its own: a [`SplitEnumerator`] finds the splits, decides which reader gets which of them,
/// and has a state in checkpoints. Its readers are those of a [`SplitSource`](super::SplitSource), which is the shorter way
/// where whoever has room may get the next split.
///
/// The enumerator runs in one task of a worker, upstream of the readers. They are one region: when one of them fails, all of
/// them begin again from the last checkpoint. In it each split is in one place: with the enumerator, if it was not
/// assigned; on its way, and then [given back](SplitEnumerator::add_splits_back); or with a reader, from where it is
/// read on, at any parallelism. So every record is read exactly once.
///
/// ```
/// use pelton::StreamExecutionEnvironment;
/// use pelton::keyed::FunctionResult;
/// use pelton::record::Record;
/// use pelton::sources::{
///     Boundedness, EnumeratedSource, EnumeratorContext, Rest, SourceContext, SourceSplit, SplitEnumerator, SplitReader,
///     SplitRecords, enumerated,
/// };
/// use pelton::watermarks::WatermarkStrategy;
///
/// /// The rows of some tables, which are listed page by page.
/// struct Tables;
///
/// #[derive(Clone, Record)]
/// struct Table {
///     name: String,
///     next_row: i64,
/// }
///
/// impl SourceSplit for Table {
///     fn split_id(&self) -> String {
///         self.name.clone()
///     }
/// }
///
/// /// Reads three rows of each.
/// struct Rows;
///
/// impl SplitReader<String, Table> for Rows {
///     fn read(&mut self, table: &mut Table, out: &mut SplitRecords<String>) -> FunctionResult<Rest> {
///         out.push(&format!("{} {}", table.name, table.next_row));
///         table.next_row += 1;
///         Ok(if table.next_row < 3 { Rest::More } else { Rest::Nothing })
///     }
/// }
///
/// /// What may block: the names after `last`, a page of them.
/// fn page_after(last: &str) -> Vec<String> {
///     let names = ["ants", "bees", "cats", "dogs", "emus"].map(str::to_owned);
///     names.into_iter().filter(|name| name.as_str() > last).take(2).collect()
/// }
///
/// /// Gives a table to the reader that its name stands for.
/// struct Listing {
///     last: String,
///     not_assigned: Vec<Table>,
/// }
///
/// #[derive(Clone, Record)]
/// struct Listed {
///     last: String,
///     not_assigned: Vec<Table>,
/// }
///
/// impl Listing {
///     fn look(&self, ctx: &mut EnumeratorContext<'_, Self>) {
///         let last = self.last.clone();
///         ctx.call_async(move || Ok(page_after(&last)));
///     }
///
///     fn assign(&mut self, ctx: &mut EnumeratorContext<'_, Self>) -> FunctionResult {
///         for table in self.not_assigned.drain(..) {
///             let reader = u32::from(table.name.as_bytes()[0]) % ctx.current_parallelism();
///             ctx.assign_split(table, reader)?;
///         }
///         Ok(())
///     }
/// }
///
/// impl SplitEnumerator for Listing {
///     type Split = Table;
///     type Found = Vec<String>;
///     type Checkpoint = Listed;
///
///     fn start(&mut self, ctx: &mut EnumeratorContext<'_, Self>) -> FunctionResult {
///         self.look(ctx);
///         Ok(())
///     }
///
///     fn handle_found(&mut self, names: Vec<String>, ctx: &mut EnumeratorContext<'_, Self>) -> FunctionResult {
///         let Some(last) = names.last() else {
///             self.assign(ctx)?;
///             ctx.signal_no_more_splits();
///             return Ok(());
///         };
///         self.last = last.clone();
///         self.not_assigned.extend(names.into_iter().map(|name| Table { name, next_row: 0 }));
///         self.assign(ctx)?;
///         self.look(ctx);
///         Ok(())
///     }
///
///     fn add_splits_back(&mut self, tables: Vec<Table>, _: &mut EnumeratorContext<'_, Self>) -> FunctionResult {
///         self.not_assigned.extend(tables);
///         Ok(())
///     }
///
///     fn snapshot_state(&mut self) -> FunctionResult<Listed> {
///         Ok(Listed { last: self.last.clone(), not_assigned: self.not_assigned.clone() })
///     }
/// }
///
/// impl EnumeratedSource<String> for Tables {
///     type Split = Table;
///     type Enumerator = Listing;
///     type Reader = Rows;
///
///     fn boundedness(&self) -> Boundedness {
///         Boundedness::Bounded
///     }
///
///     fn enumerator(&self, restored: Option<Listed>) -> FunctionResult<Listing> {
///         let begin = Listed { last: String::new(), not_assigned: Vec::new() };
///         let Listed { last, not_assigned } = restored.unwrap_or(begin);
///         Ok(Listing { last, not_assigned })
///     }
///
///     fn reader(&self, _: &SourceContext<'_>) -> FunctionResult<Rows> {
///         Ok(Rows)
///     }
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let env = StreamExecutionEnvironment::get_execution_environment();
/// env.set_parallelism(2);
/// let rows = env.from_source(enumerated(Tables), WatermarkStrategy::no_watermarks(), "Tables");
/// let mut rows: Vec<String> = rows.execute_and_collect("tables")?.collect::<Result<_, _>>()?;
/// rows.sort();
/// assert_eq!((rows.len(), &rows[..4]), (15, &["ants 0", "ants 1", "ants 2", "bees 0"].map(str::to_owned)[..]));
/// # Ok(())
/// # }
/// ```
pub trait EnumeratedSource<T: Record>: Send + Sync + 'static {
    /// A part of the input, and where its reading stands.
    type Split: SourceSplit;
    /// Who finds and assigns the splits.
    type Enumerator: SplitEnumerator<Split = Self::Split>;
    /// Who reads the splits of one subtask.
    type Reader: SplitReader<T, Self::Split>;

    /// Whether the source ends by itself. Readers of one that does ask for another split while they read the last; those of
    /// one that does not read all that they are assigned side by side.
    fn boundedness(&self) -> Boundedness;

    /// The enumerator: a new one, or one that goes on from what the last has saved.
    ///
    /// # Errors
    ///
    /// When it cannot be built; the job fails.
    fn enumerator(
        &self,
        restored: Option<<Self::Enumerator as SplitEnumerator>::Checkpoint>,
    ) -> FunctionResult<Self::Enumerator>;

    /// The reader of a subtask.
    ///
    /// # Errors
    ///
    /// When it cannot be built; the job fails.
    fn reader(&self, context: &SourceContext<'_>) -> FunctionResult<Self::Reader>;
}

/// Finds the splits of an [`EnumeratedSource`] and assigns them to readers.
///
/// Its methods are called by a task and must not block. What may, such as asking a server, is done by
/// [`call_async`](EnumeratorContext::call_async), and [`handle_found`](Self::handle_found) gets what it came to. An error
/// of any method fails the job, which restarts as it does after other failures.
pub trait SplitEnumerator: Sized + Send + 'static {
    /// What is assigned.
    type Split: SourceSplit;
    /// What calls come to.
    type Found: Send + 'static;
    /// What is kept in checkpoints; [`Opaque`](crate::record::Opaque) makes one of what serde knows.
    type Checkpoint: Record;

    /// Called first, after a restart too; then only [`add_splits_back`](Self::add_splits_back) comes before. An enumerator that
    /// had said that there are no more splits says so again: here or later.
    ///
    /// # Errors
    ///
    /// When there is nothing to find splits in.
    fn start(&mut self, ctx: &mut EnumeratorContext<'_, Self>) -> FunctionResult;

    /// A reader is there. All of them are when the enumerator has started; this is called for each.
    ///
    /// # Errors
    ///
    /// What makes the job fail.
    fn add_reader(&mut self, _reader: u32, _ctx: &mut EnumeratorContext<'_, Self>) -> FunctionResult {
        Ok(())
    }

    /// A reader has room for a split, and none is assigned to it. Called once until it has got one.
    ///
    /// # Errors
    ///
    /// What makes the job fail.
    fn handle_split_request(&mut self, _reader: u32, _ctx: &mut EnumeratorContext<'_, Self>) -> FunctionResult {
        Ok(())
    }

    /// What a [call](EnumeratorContext::call_async) has come to. To look again and again, ask for the next call here.
    ///
    /// # Errors
    ///
    /// What makes the job fail.
    fn handle_found(&mut self, found: Self::Found, ctx: &mut EnumeratorContext<'_, Self>) -> FunctionResult;

    /// After a restart, before [`start`](Self::start): splits that were assigned and had not left for their readers
    /// when the checkpoint was taken. They are to be assigned anew; the readers may be others now.
    ///
    /// # Errors
    ///
    /// What makes the job fail.
    fn add_splits_back(&mut self, splits: Vec<Self::Split>, ctx: &mut EnumeratorContext<'_, Self>) -> FunctionResult;

    /// What the enumerator must know after a restart: the splits that it has not assigned, and how far it has looked.
    /// Those that it has assigned are none of its business any more.
    ///
    /// # Errors
    ///
    /// When there is no saying; the job fails.
    fn snapshot_state(&mut self) -> FunctionResult<Self::Checkpoint>;

    /// Called once at the end, also after a failure.
    fn close(&mut self) {}
}

/// What an enumerator may do.
pub struct EnumeratorContext<'a, E: SplitEnumerator>(&'a mut Desk<E::Split, E::Found>);

impl<E: SplitEnumerator> EnumeratorContext<'_, E> {
    /// The number of readers, which are counted from 0.
    pub fn current_parallelism(&self) -> u32 {
        self.0.readers()
    }

    /// Assigns a split to a reader, which gets it when it has room.
    ///
    /// # Errors
    ///
    /// When there is no such reader, or there were to be no more splits.
    pub fn assign_split(&mut self, split: E::Split, reader: u32) -> FunctionResult {
        Ok(self.0.assign(split, reader)?)
    }

    /// Says that no more splits will be assigned: the source ends when all are read. To be said again after a restart, also by
    /// an enumerator that had assigned everything.
    pub fn signal_no_more_splits(&mut self) {
        self.0.no_more_splits();
    }

    /// Makes a call on a thread beside the task, where it may block.
    pub fn call_async(&mut self, call: impl FnOnce() -> FunctionResult<E::Found> + Send + 'static) {
        self.call_async_after(Duration::ZERO, call);
    }

    /// Makes a call on a thread beside the task, not before `delay` has passed. Calls are made one after the other.
    pub fn call_async_after(
        &mut self,
        delay: Duration,
        call: impl FnOnce() -> FunctionResult<E::Found> + Send + 'static,
    ) {
        self.0.call(delay, move || call().map_err(OperatorError::User));
    }
}

impl<E: SplitEnumerator> std::fmt::Debug for EnumeratorContext<'_, E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EnumeratorContext").field("readers", &self.0.readers()).finish_non_exhaustive()
    }
}

/// A user's source as [`from_source`](crate::StreamExecutionEnvironment::from_source) takes it.
pub fn enumerated<S>(source: S) -> Enumerated<S> {
    Enumerated(Arc::new(source))
}

/// See [`enumerated`].
#[derive(Debug)]
#[must_use]
pub struct Enumerated<S>(Arc<S>);

impl<S> Enumerated<S> {
    fn tasks<T: Record>(&self) -> Arc<dyn Tasks>
    where
        S: EnumeratedSource<T>,
    {
        Arc::new(Assigning::new(Typed { source: Arc::clone(&self.0), records: PhantomData }))
    }
}

impl<T: Record, S: EnumeratedSource<T>> Source<T> for Enumerated<S> {
    fn into_factory(self) -> Arc<dyn SourceFactory> {
        Arc::new(splits::SplitReaderFactory(self.tasks()))
    }

    fn split_source(&self) -> Option<Arc<dyn Tasks>> {
        Some(self.tasks())
    }
}

struct Typed<T, S> {
    source: Arc<S>,
    records: PhantomData<fn() -> T>,
}

impl<T: Record, S: EnumeratedSource<T>> ReadSource for Typed<T, S> {
    type Split = S::Split;

    fn split_id(&self, split: &S::Split) -> String {
        split.split_id()
    }

    fn boundedness(&self) -> Boundedness {
        self.source.boundedness()
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

impl<T: Record, S: EnumeratedSource<T>> AssignSource for Typed<T, S> {
    type Found = <S::Enumerator as SplitEnumerator>::Found;

    fn assigner(&self, saved: Option<&RecordBatch>) -> OperatorResult<Box<dyn Assigner<S::Split, Self::Found>>> {
        let restored = match saved {
            Some(rows) => decode(rows, "an enumerator's state")?.pop(),
            None => None,
        };
        let enumerator = self.source.enumerator(restored).map_err(OperatorError::User)?;
        Ok(Box::new(TypedAssigner(enumerator)))
    }
}

struct TypedAssigner<E>(E);

type DeskOf<E> = Desk<<E as SplitEnumerator>::Split, <E as SplitEnumerator>::Found>;

impl<E: SplitEnumerator> Assigner<E::Split, E::Found> for TypedAssigner<E> {
    fn start(&mut self, desk: &mut DeskOf<E>) -> OperatorResult {
        self.0.start(&mut EnumeratorContext(desk)).map_err(OperatorError::User)
    }

    fn reader_added(&mut self, reader: u32, desk: &mut DeskOf<E>) -> OperatorResult {
        self.0.add_reader(reader, &mut EnumeratorContext(desk)).map_err(OperatorError::User)
    }

    fn requested(&mut self, reader: u32, desk: &mut DeskOf<E>) -> OperatorResult {
        self.0.handle_split_request(reader, &mut EnumeratorContext(desk)).map_err(OperatorError::User)
    }

    fn found(&mut self, found: E::Found, desk: &mut DeskOf<E>) -> OperatorResult {
        self.0.handle_found(found, &mut EnumeratorContext(desk)).map_err(OperatorError::User)
    }

    fn given_back(&mut self, splits: Vec<E::Split>, desk: &mut DeskOf<E>) -> OperatorResult {
        self.0.add_splits_back(splits, &mut EnumeratorContext(desk)).map_err(OperatorError::User)
    }

    fn snapshot(&mut self) -> OperatorResult<RecordBatch> {
        encode(&[self.0.snapshot_state().map_err(OperatorError::User)?])
    }

    fn close(&mut self) {
        self.0.close();
    }
}

#[cfg(test)]
mod tests;
