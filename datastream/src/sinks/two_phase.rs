//! Sinks of users in two phases.

use std::marker::PhantomData;
use std::sync::Arc;

use arrow::array::RecordBatch;
use pelton_connectors::{CommitPoint, Committer, Committing, CommittingSink, SinkWriter};
use pelton_runtime_core::element::StreamBatch;
use pelton_runtime_core::operator::{OperatorError, OperatorFactory, OperatorResult, OperatorRuntime};
use pelton_runtime_core::time::EpochMillis;

use crate::keyed::{FunctionError, FunctionResult};
use crate::record::{Record, RecordBuilder, RecordReader};
use crate::stream::only_inserts;

use super::Sink;

/// A sink whose results appear exactly once: a writer prepares them where nobody sees them, and a committer publishes them
/// when a checkpoint that covers them has completed. Give it to [`sink_to`](crate::stream::DataStream::sink_to) with
/// [`two_phase`].
///
/// What the writer hands over, the *committable*, names prepared work: a closed file, an open transaction. It is a record,
/// as it is kept in checkpoints. It is committed at least once, as any crash may come between a commit and the
/// knowledge of it; so the commit must be idempotent: done again, it changes nothing. Commits come in the order of the
/// checkpoints. One that fails for now is tried again (`sink.committer.retries`).
///
/// Both halves run on a thread beside the task and may block.
///
/// ```
/// use std::fs;
///
/// use pelton::StreamExecutionEnvironment;
/// use pelton::keyed::FunctionResult;
/// use pelton::sinks::{CommitError, CommitPoint, Committer, SinkContext, TwoPhaseSink, TwoPhaseWriter, two_phase};
///
/// /// A file of numbers per checkpoint.
/// struct Files {
///     folder: String,
/// }
///
/// struct Pending {
///     folder: String,
///     lines: String,
///     next: usize,
/// }
///
/// impl TwoPhaseWriter<i64, (String, String)> for Pending {
///     fn write(&mut self, number: &i64) -> FunctionResult {
///         self.lines += &format!("{number}\n");
///         Ok(())
///     }
///
///     fn prepare_commit(&mut self, _: CommitPoint) -> FunctionResult<Vec<(String, String)>> {
///         let (hidden, visible) = (format!("{}/.{}", self.folder, self.next), format!("{}/{}", self.folder, self.next));
///         self.next += 1;
///         fs::write(&hidden, std::mem::take(&mut self.lines))?;
///         Ok(vec![(hidden, visible)])
///     }
/// }
///
/// struct Publish;
///
/// impl Committer<(String, String)> for Publish {
///     fn commit(&mut self, (hidden, visible): &(String, String)) -> Result<(), CommitError> {
///         match fs::rename(hidden, visible) {
///             // It was committed before.
///             Err(_) if fs::exists(visible).unwrap_or(false) => Ok(()),
///             renamed => renamed.map_err(|error| CommitError::retry(format!("cannot publish `{visible}`"), error)),
///         }
///     }
/// }
///
/// impl TwoPhaseSink<i64> for Files {
///     type Committable = (String, String);
///     type Writer = Pending;
///     type Committer = Publish;
///
///     fn writer(&self, context: &SinkContext<'_>) -> FunctionResult<Pending> {
///         let folder = format!("{}/{}-{}", self.folder, context.subtask(), context.attempt_number());
///         fs::create_dir_all(&folder)?;
///         Ok(Pending { folder, lines: String::new(), next: 0 })
///     }
///
///     fn committer(&self, _: &SinkContext<'_>) -> FunctionResult<Publish> {
///         Ok(Publish)
///     }
/// }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let temporary = tempfile::tempdir()?;
/// # let folder = temporary.path().display().to_string();
/// let env = StreamExecutionEnvironment::get_execution_environment();
/// env.from_sequence(1, 3).set_parallelism(1).sink_to(two_phase(Files { folder: folder.clone() })).set_parallelism(1);
/// env.execute("numbers")?;
/// assert_eq!(fs::read_to_string(format!("{folder}/0-0/0"))?, "1\n2\n3\n");
/// # Ok(())
/// # }
/// ```
pub trait TwoPhaseSink<T: Record>: Send + Sync + 'static {
    /// What a writer prepares and a committer commits.
    type Committable: Record;
    /// The first phase.
    type Writer: TwoPhaseWriter<T, Self::Committable>;
    /// The second phase.
    type Committer: Committer<Self::Committable> + 'static;

    /// The writer of a subtask.
    ///
    /// # Errors
    ///
    /// When it cannot be built; the job fails.
    fn writer(&self, context: &SinkContext<'_>) -> FunctionResult<Self::Writer>;

    /// The committer of a subtask.
    ///
    /// # Errors
    ///
    /// When it cannot be built; the job fails.
    fn committer(&self, context: &SinkContext<'_>) -> FunctionResult<Self::Committer>;
}

/// Takes records and prepares what is to be committed. Dropped without the end of input, it gives up what it has not
/// prepared.
pub trait TwoPhaseWriter<T, C>: Send + 'static {
    /// Called once, before anything else: all that the restored checkpoint lists, of all subtasks; it is committed beside
    /// this. Whatever else earlier attempts left may be removed.
    ///
    /// # Errors
    ///
    /// When the outside world cannot be put in order; the job fails.
    fn recover(&mut self, _committables: &[C]) -> FunctionResult {
        Ok(())
    }

    /// A record.
    ///
    /// # Errors
    ///
    /// When it cannot be written; the job fails.
    fn write(&mut self, record: &T) -> FunctionResult;

    /// Makes what was written durable, and ready to be committed: at every checkpoint, and when the input has ended.
    ///
    /// # Errors
    ///
    /// When it cannot be made durable; the job fails.
    fn prepare_commit(&mut self, point: CommitPoint) -> FunctionResult<Vec<C>>;

    /// The job is cancelled, and no checkpoint lists this committable, which so will never be committed.
    fn discard(&mut self, _committable: &C) {}
}

/// What a sink may know of its place in the job.
#[derive(Debug)]
pub struct SinkContext<'a>(&'a OperatorRuntime);

impl SinkContext<'_> {
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

    /// The job's id: with it and the subtask, a name that no other job uses.
    pub fn job_id(&self) -> String {
        self.0.job_id.to_string()
    }
}

/// A user's sink as [`sink_to`](crate::stream::DataStream::sink_to) takes it.
pub fn two_phase<S>(sink: S) -> TwoPhase<S> {
    TwoPhase(sink)
}

/// See [`two_phase`].
#[derive(Debug, Clone)]
#[must_use]
pub struct TwoPhase<S>(S);

impl<T: Record, S: TwoPhaseSink<T>> Sink<T> for TwoPhase<S> {
    fn into_factory(self) -> Arc<dyn OperatorFactory> {
        Arc::new(Committing::new(Typed { sink: self.0, records: PhantomData }))
    }
}

struct Typed<T, S> {
    sink: S,
    records: PhantomData<fn(&T)>,
}

impl<T: Record, S: TwoPhaseSink<T>> CommittingSink for Typed<T, S> {
    type Committable = S::Committable;

    fn writer(&self, runtime: &OperatorRuntime) -> OperatorResult<Box<dyn SinkWriter<S::Committable>>> {
        let writer = self.sink.writer(&SinkContext(runtime)).map_err(OperatorError::User)?;
        Ok(Box::new(TypedWriter { writer, scratch: T::scratch() }))
    }

    fn committer(&self, runtime: &OperatorRuntime) -> OperatorResult<Box<dyn Committer<S::Committable>>> {
        Ok(Box::new(self.sink.committer(&SinkContext(runtime)).map_err(OperatorError::User)?))
    }

    fn encode(&self, committables: &[S::Committable]) -> OperatorResult<RecordBatch> {
        let mut builder = RecordBuilder::<S::Committable>::new();
        committables.iter().for_each(|committable| builder.append(committable));
        Ok(builder.finish()?)
    }

    fn decode(&self, rows: &RecordBatch) -> OperatorResult<Vec<S::Committable>> {
        let misfit = |error| OperatorError::misfit(format!("the checkpoint has committables of another form: {error}"));
        Ok(RecordReader::open(rows).map_err(misfit)?.iter().collect())
    }
}

struct TypedWriter<T, W> {
    writer: W,
    /// Reused, so that a record costs no allocation that its fields do not need.
    scratch: T,
}

impl<T: Record, C, W: TwoPhaseWriter<T, C>> SinkWriter<C> for TypedWriter<T, W> {
    fn recover(&mut self, committables: &[C]) -> OperatorResult {
        self.writer.recover(committables).map_err(user)
    }

    fn write(&mut self, batch: &StreamBatch, _: EpochMillis) -> OperatorResult {
        only_inserts(batch)?;
        let reader = RecordReader::<T>::open(batch.records())?;
        for row in 0..reader.len() {
            reader.read_into(row, &mut self.scratch);
            self.writer.write(&self.scratch).map_err(user)?;
        }
        Ok(())
    }

    fn prepare_commit(&mut self, point: CommitPoint) -> OperatorResult<Vec<C>> {
        self.writer.prepare_commit(point).map_err(user)
    }

    fn discard(&mut self, committable: &C) {
        self.writer.discard(committable);
    }
}

fn user(error: FunctionError) -> OperatorError {
    OperatorError::User(error)
}
