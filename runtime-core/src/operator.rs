//! The port between a task and what it runs: synchronous operators that see whole batches.
//!
//! An operator never blocks, spawns or reads a clock; it asks its [`OperatorContext`]. It answers by emitting to its
//! numbered output ports (0 is the main output, further ones are side outputs). Watermarks are forwarded by the
//! default implementation; an operator that holds event-time state acts on them first.
//!
//! ```text
//!  open ─► restore ─► ( process | watermark | processing_time | take_results | prepare_checkpoint ─► snapshot )*
//!                                                      ─► end_input per input ─► finish ─► close
//! ```

pub mod harness;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::Poll;

use crate::checkpoint::snapshot::{OperatorSnapshot, RestoredState, Unclaimed};
use crate::element::{CheckpointId, StreamBatch, StreamElement};
use crate::env::Env;
use crate::failure::{Classify, FailureClass, Unrecoverable};
use crate::id::{JobId, OperatorId};
use crate::key_group::KeyGroupRange;
use crate::metrics::OperatorMetricGroup;
use crate::state::StateError;
use crate::state::cold::ColdStores;
use crate::state::files::Increments;
use crate::time::{EpochMillis, MIN_WATERMARK};
use crate::watermark_groups::WatermarkGroups;

/// Number of an operator's input, starting at 0.
pub type InputIndex = u32;

/// Number of an operator's output: 0 is the main output, further ones are side outputs.
pub type OutputPort = u32;

/// The main output.
pub const MAIN_OUTPUT: OutputPort = 0;

/// Rows that a batch should have where the operator is free to choose.
pub const TARGET_BATCH_ROWS: usize = 8192;

/// Why an operator could not go on.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// The user's function returned an error.
    #[error("{0}")]
    User(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A record does not fit what the operator needs.
    #[error("{message}")]
    Data {
        /// What is wrong with which value, and what was expected.
        message: String,
    },
    /// Arrow could not compute.
    #[error("a computation on columns failed")]
    Arrow(#[from] arrow::error::ArrowError),
    /// The outside world refused.
    #[error("{action}")]
    External {
        /// What was tried, on what.
        action: String,
        /// What came back.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// State of a checkpoint does not fit the program.
    #[error("{message}")]
    Misfit {
        /// What does not fit, and what to do about it.
        message: String,
    },
    /// Keyed state could not be read or written.
    #[error("keyed state failed")]
    State(#[from] StateError),
}

impl OperatorError {
    /// An error about a record's content.
    pub fn data(message: impl Into<String>) -> Self {
        Self::Data { message: message.into() }
    }

    /// An error about state that does not fit the program.
    pub fn misfit(message: impl Into<String>) -> Self {
        Self::Misfit { message: message.into() }
    }

    /// An error of the outside world while doing `action`.
    pub fn external(action: impl Into<String>, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::External { action: action.into(), source: source.into() }
    }
}

impl Classify for OperatorError {
    fn class(&self) -> FailureClass {
        match self {
            Self::User(error) if Unrecoverable::is_in(error.as_ref()) => FailureClass::Unrecoverable,
            Self::User(_) | Self::Data { .. } => FailureClass::User,
            // The next attempt is of the same program and gets the same state.
            Self::Misfit { .. }
            | Self::State(
                StateError::Dropped { .. }
                | StateError::Restore { .. }
                | StateError::OtherKeyTypes { .. }
                | StateError::NoStore,
            ) => FailureClass::Unrecoverable,
            Self::Arrow(_) | Self::State(_) => FailureClass::System,
            Self::External { .. } => FailureClass::Transient,
        }
    }
}

/// What every call of an operator answers.
pub type OperatorResult<T = ()> = Result<T, OperatorError>;

/// What an operator instance knows about its place in the job.
#[derive(Debug, Clone)]
pub struct OperatorRuntime {
    /// The job.
    pub job_id: JobId,
    /// The operator.
    pub operator_id: OperatorId,
    /// Its name.
    pub operator_name: Arc<str>,
    /// The task's name: the names of the chain.
    pub task_name: Arc<str>,
    /// Zero-based index of this instance.
    pub subtask: u32,
    /// Number of instances.
    pub parallelism: u32,
    /// Number of key groups.
    pub max_parallelism: u32,
    /// How often this subtask was started before.
    pub attempt_number: u32,
    /// Whether the job takes checkpoints, so that a sink publishes when one completes and not before.
    pub checkpointing: bool,
    /// The job's configuration.
    pub configuration: Arc<BTreeMap<String, String>>,
    /// The world, for what must happen off the task's thread (sources, sinks).
    pub env: Env,
    /// Wakes the task when something happened off its thread.
    pub waker: TaskWaker,
    /// The operator's counters.
    pub metrics: OperatorMetricGroup,
    /// Where keyed state is kept that has no room on the heap; none for a job that keeps all of it there.
    pub cold_stores: Option<Arc<dyn ColdStores>>,
    /// The readers of this worker that wait for others in event time.
    pub watermark_groups: WatermarkGroups,
    /// Whether the next snapshot of keyed state may consist of files that an earlier one has written.
    pub increments: Increments,
}

impl OperatorRuntime {
    /// The key groups of this instance.
    pub fn key_groups(&self) -> KeyGroupRange {
        KeyGroupRange::of_subtask(self.max_parallelism, self.parallelism, self.subtask)
    }
}

/// Wakes a task that is idle; may be called from any thread, as often as one likes.
#[derive(Clone)]
pub struct TaskWaker(Arc<dyn Fn() + Send + Sync>);

impl TaskWaker {
    /// A waker that calls `wake`.
    pub fn new(wake: impl Fn() + Send + Sync + 'static) -> Self {
        Self(Arc::new(wake))
    }

    /// A waker for a task that is polled anyway.
    pub fn noop() -> Self {
        Self::new(|| {})
    }

    /// Makes the task step again.
    pub fn wake(&self) {
        (self.0)();
    }
}

impl std::fmt::Debug for TaskWaker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TaskWaker")
    }
}

/// What an operator may ask and do during a call.
#[derive(Debug)]
pub struct OperatorContext<'a> {
    runtime: &'a OperatorRuntime,
    now: EpochMillis,
    watermark: EpochMillis,
    outputs: &'a mut Vec<(OutputPort, StreamElement)>,
    wake_at: &'a mut Option<EpochMillis>,
}

impl<'a> OperatorContext<'a> {
    /// The context of one call: wall-clock time `now`, the operator's current `watermark`, and where results go.
    pub fn new(
        runtime: &'a OperatorRuntime,
        now: EpochMillis,
        watermark: EpochMillis,
        outputs: &'a mut Vec<(OutputPort, StreamElement)>,
        wake_at: &'a mut Option<EpochMillis>,
    ) -> Self {
        Self { runtime, now, watermark, outputs, wake_at }
    }

    /// The operator's place in the job.
    pub fn runtime(&self) -> &'a OperatorRuntime {
        self.runtime
    }

    /// Wall-clock time of this step; the only clock an operator sees.
    pub fn processing_time(&self) -> EpochMillis {
        self.now
    }

    /// The operator's event-time clock: during [`Operator::watermark`] the new watermark, before any watermark
    /// [`MIN_WATERMARK`].
    pub fn current_watermark(&self) -> EpochMillis {
        self.watermark
    }

    /// Emits records to the main output. Empty batches are dropped.
    pub fn emit(&mut self, batch: StreamBatch) {
        self.emit_to(MAIN_OUTPUT, batch);
    }

    /// Emits records to an output port. Empty batches are dropped.
    pub fn emit_to(&mut self, port: OutputPort, batch: StreamBatch) {
        if batch.num_rows() > 0 {
            self.outputs.push((port, StreamElement::Batch(batch)));
        }
    }

    /// Emits a watermark, which goes to every output.
    pub fn emit_watermark(&mut self, watermark: EpochMillis) {
        self.outputs.push((MAIN_OUTPUT, StreamElement::Watermark(watermark)));
    }

    /// Says that this operator's outputs are idle until a batch or watermark follows.
    pub fn emit_idle(&mut self) {
        self.outputs.push((MAIN_OUTPUT, StreamElement::Idle));
    }

    /// Asks for a call of [`Operator::processing_time`] at or after this wall-clock time. The earliest request holds;
    /// one call uses it up.
    pub fn wake_at(&mut self, time: EpochMillis) {
        *self.wake_at = Some(self.wake_at.map_or(time, |earlier| earlier.min(time)));
    }
}

/// Splits that have to wait while others are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SplitsToPause {
    /// By the numbers that the source gave them.
    pub splits: Vec<u32>,
    /// Whether the job goes on where the source cannot let single splits wait.
    pub tolerates_sources_that_cannot: bool,
}

/// A synchronous, batched stream operator. See the module's documentation for the order of calls.
pub trait Operator: Send {
    /// Called once before everything else; state is registered here.
    fn open(&mut self, _cx: &mut OperatorContext<'_>) -> OperatorResult {
        Ok(())
    }

    /// Records on one of the inputs.
    fn process(&mut self, input: InputIndex, batch: StreamBatch, cx: &mut OperatorContext<'_>) -> OperatorResult;

    /// The combined watermark of all inputs advanced to `watermark`. Records that it releases are emitted before it.
    fn watermark(&mut self, watermark: EpochMillis, cx: &mut OperatorContext<'_>) -> OperatorResult {
        cx.emit_watermark(watermark);
        Ok(())
    }

    /// All inputs are idle. An operator that makes watermarks of its own decides itself what that means.
    fn idle(&mut self, cx: &mut OperatorContext<'_>) -> OperatorResult {
        cx.emit_idle();
        Ok(())
    }

    /// The wall-clock time asked for with [`OperatorContext::wake_at`] has come.
    fn processing_time(&mut self, _now: EpochMillis, _cx: &mut OperatorContext<'_>) -> OperatorResult {
        Ok(())
    }

    /// One input has ended. [`MAX_WATERMARK`](crate::time::MAX_WATERMARK) has been seen on it before.
    fn end_input(&mut self, _input: InputIndex, _cx: &mut OperatorContext<'_>) -> OperatorResult {
        Ok(())
    }

    /// Every input has ended; the last chance to emit.
    ///
    /// A task that had finished is finished once more when the job goes on from a later checkpoint, with the state that
    /// it finished with: what it emitted here the first time has arrived already. So what is emitted here must not be in
    /// the state any more, and an operator that gets its last state back emits nothing here.
    /// [`OperatorHarness::finish_again`](harness::OperatorHarness::finish_again) checks that.
    ///
    /// A sink that still has work off the task's thread answers [`Finish::Pending`] and is asked again when its
    /// [`TaskWaker`] was called.
    fn finish(&mut self, _cx: &mut OperatorContext<'_>) -> OperatorResult<Finish> {
        Ok(Finish::Done)
    }

    /// The job stops after a savepoint, which exists and of which [`checkpoint_completed`](Self::checkpoint_completed)
    /// has told: somebody will go on from it. So the input has not ended, and what is emitted is dropped. A sink that still
    /// has work off the task's thread answers [`Finish::Pending`] and is asked again, as with [`finish`](Self::finish).
    fn stop(&mut self, _cx: &mut OperatorContext<'_>) -> OperatorResult<Finish> {
        Ok(Finish::Done)
    }

    /// A checkpoint's barrier is about to pass: the last chance to emit what belongs before it.
    fn prepare_checkpoint(&mut self, _cx: &mut OperatorContext<'_>) -> OperatorResult {
        Ok(())
    }

    /// The snapshot that follows, of `checkpoint`, is that of a savepoint. Somebody may begin from it at any time: what it names
    /// must stay where it is, also when the job restarts from an older checkpoint.
    fn saving(&mut self, _checkpoint: CheckpointId) {}

    /// The operator's state at this moment. What was processed before the barrier of `checkpoint` is in it, what
    /// follows is not. Tables are written off the task's thread, so they must not change afterwards.
    fn snapshot(&mut self, _checkpoint: CheckpointId) -> OperatorResult<OperatorSnapshot> {
        Ok(OperatorSnapshot::default())
    }

    /// The rest of the state of `checkpoint`, for an operator that finishes its part off the task's thread: asked after
    /// [`snapshot`](Self::snapshot), and again when the operator's [`TaskWaker`] was called, until it is ready. What it
    /// answers is added. The task goes on meanwhile, so it must be of the moment of `snapshot` all the same. An aborted
    /// checkpoint is not asked for any more.
    fn poll_snapshot(&mut self, _checkpoint: CheckpointId) -> OperatorResult<Poll<OperatorSnapshot>> {
        Ok(Poll::Ready(OperatorSnapshot::default()))
    }

    /// Takes state back, after [`open`](Self::open) and before anything else. Not called when there is none.
    ///
    /// # Errors
    ///
    /// When the state is not of this operator's making; an operator without state refuses all.
    fn restore(&mut self, state: RestoredState, _cx: &mut OperatorContext<'_>) -> OperatorResult {
        refuse_state(&state)
    }

    /// The checkpoint is durable: whatever was prepared for it may be published. Checkpoints may be skipped; one that
    /// is completed covers all before it.
    fn checkpoint_completed(&mut self, _checkpoint: CheckpointId, _cx: &mut OperatorContext<'_>) -> OperatorResult {
        Ok(())
    }

    /// Whether the operator can take more. A sink whose outside world is slower than the stream answers `false` and
    /// calls its [`TaskWaker`] when that changes; the task then counts as busy and takes no input meanwhile.
    fn is_ready(&self) -> bool {
        true
    }

    /// Whether work off the task's thread has come to something that the operator wants to emit. Asked before every step,
    /// so it must cost nothing; whoever does the work calls the [`TaskWaker`].
    fn has_results(&self) -> bool {
        false
    }

    /// The operator [has results](Self::has_results). Called also while the operator itself [takes no
    /// more](Self::is_ready), but not while one that reads it in its task does.
    fn take_results(&mut self, _cx: &mut OperatorContext<'_>) -> OperatorResult {
        Ok(())
    }

    /// The source that this operator is chained to has got a split, of which records may come later.
    fn split_added(&mut self, _split: u32, _cx: &mut OperatorContext<'_>) -> OperatorResult {
        Ok(())
    }

    /// The source that this operator is chained to has read one of its splits to the end.
    fn split_ended(&mut self, _split: u32, _cx: &mut OperatorContext<'_>) -> OperatorResult {
        Ok(())
    }

    /// Whether the task may take more input. Unlike one that is not [ready](Self::is_ready), an operator that answers no still
    /// takes what is under way, and its timers fire; it calls the [`TaskWaker`] when that has changed. Asked before each
    /// element, so it must cost nothing.
    fn lets_read(&self) -> bool {
        true
    }

    /// The splits that the source has to let wait, and no others, when that has changed. Asked before the source is polled,
    /// so it must cost nothing.
    fn splits_to_pause(&mut self) -> Option<SplitsToPause> {
        None
    }

    /// Whether nothing of what has come in is under way elsewhere, to be emitted when it comes back. A savepoint for which
    /// event time has ended waits for that, as nobody goes on from it; whoever does the work calls the [`TaskWaker`].
    fn is_settled(&self) -> bool {
        true
    }

    /// Called once at the end, also after a failure or a cancellation; releases what the operator holds.
    fn close(&mut self) {}
}

/// Refuses state that an operator or source does not keep: all that is left when it has taken its own.
///
/// # Errors
///
/// Always, unless the state has no table, or may be dropped.
pub fn refuse_state(state: &RestoredState) -> OperatorResult {
    let mut tables = state.keyed.keys().chain(state.stored.keys()).chain(state.operator.keys());
    if state.unclaimed == Unclaimed::Dropped {
        for table in tables {
            tracing::warn!(table, "state is dropped: the operator keeps no such state");
        }
        return Ok(());
    }
    let Some(table) = tables.next() else { return Ok(()) };
    Err(OperatorError::misfit(format!(
        "the checkpoint has state `{table}` for this operator, which keeps no such state; give the operator that wrote \
         it its `uid` back, or drop that state with --allowNonRestoredState \
         (`execution.state-recovery.ignore-unclaimed-state`)"
    )))
}

/// Whether an operator is done for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    /// Everything is emitted and durable.
    Done,
    /// Work goes on elsewhere; the waker will be called.
    Pending,
}

/// Makes the instances of one operator: one per subtask.
pub trait OperatorFactory: Send + Sync {
    /// A new instance for the subtask that `runtime` describes.
    ///
    /// # Errors
    ///
    /// When the operator cannot be built for this place, for instance because its settings are not valid.
    fn create(&self, runtime: &OperatorRuntime) -> OperatorResult<Box<dyn Operator>>;
}

impl<F> OperatorFactory for F
where
    F: Fn(&OperatorRuntime) -> OperatorResult<Box<dyn Operator>> + Send + Sync,
{
    fn create(&self, runtime: &OperatorRuntime) -> OperatorResult<Box<dyn Operator>> {
        self(runtime)
    }
}

/// The initial value of every operator's event-time clock.
pub const INITIAL_WATERMARK: EpochMillis = MIN_WATERMARK;
