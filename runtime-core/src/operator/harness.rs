//! Drives one operator by hand: batches, watermarks and wall-clock time in, emitted elements out.
//!
//! ```text
//!  process · watermark · advance_processing_time ─► operator ─► take_output · take_rows
//! ```
//!
//! The harness does what a task does between calls: it keeps the operator's watermark and its one pending wake-up. It
//! has no threads and its clock stands still unless it is moved. On the heap its checkpoints build on each other, as those of
//! a job that takes incremental ones; what it answers with is whole. Several instances of one operator are driven by a
//! [`ParallelHarness`].

pub(crate) mod layers;
mod parallel;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::task::Poll;

use crate::checkpoint::snapshot::{OperatorSnapshot, RestoredState};
use crate::element::{CheckpointId, StreamBatch, StreamElement};
use crate::env::{BoxFuture, Env, SpawnedTask, World};
use crate::id::{JobId, OperatorId};
use crate::metrics::OperatorMetricGroup;
use crate::operator::{
    Finish, INITIAL_WATERMARK, InputIndex, Operator, OperatorContext, OperatorError, OperatorFactory, OperatorResult,
    OperatorRuntime, OutputPort, SplitsToPause, TaskWaker,
};
use crate::state::files::Increments;
use crate::task::checkpointing::FINAL_SNAPSHOT;
use crate::time::{EpochMillis, MAX_WATERMARK, Moment};
use crate::watermark_groups::WatermarkGroups;

use self::layers::KeptLayers;
pub use parallel::ParallelHarness;

/// One operator instance, alone.
pub struct OperatorHarness {
    operator: Box<dyn Operator>,
    runtime: OperatorRuntime,
    now: EpochMillis,
    watermark: EpochMillis,
    outputs: Vec<(OutputPort, StreamElement)>,
    wake_at: Option<EpochMillis>,
    layers: KeptLayers,
}

impl OperatorHarness {
    /// The only instance of the operator that `factory` makes, opened.
    ///
    /// # Errors
    ///
    /// When the operator cannot be created or opened.
    pub fn open(factory: &dyn OperatorFactory) -> OperatorResult<Self> {
        Self::open_in(factory, Self::runtime())
    }

    /// The instance for the place that `runtime` describes, opened.
    ///
    /// # Errors
    ///
    /// When the operator cannot be created or opened.
    pub fn open_in(factory: &dyn OperatorFactory, mut runtime: OperatorRuntime) -> OperatorResult<Self> {
        if runtime.cold_stores.is_none() && !runtime.increments.are_enabled() {
            runtime.increments = Increments::enabled();
        }
        let operator = factory.create(&runtime)?;
        let (watermark, layers) = (INITIAL_WATERMARK, KeptLayers::default());
        let mut harness = Self { operator, runtime, now: 0, watermark, outputs: Vec::new(), wake_at: None, layers };
        harness.call(|operator, cx| operator.open(cx))?;
        Ok(harness)
    }

    /// The place of an only subtask with 128 key groups, in a world without threads, to be changed for
    /// [`open_in`](Self::open_in).
    pub fn runtime() -> OperatorRuntime {
        OperatorRuntime {
            job_id: JobId::from_bytes([0; 16]),
            operator_id: OperatorId::from_bytes([0; 16]),
            operator_name: "operator".into(),
            task_name: "task".into(),
            subtask: 0,
            parallelism: 1,
            max_parallelism: 128,
            attempt_number: 0,
            checkpointing: false,
            configuration: Arc::new(BTreeMap::new()),
            env: Env::new(Arc::new(StillWorld)),
            waker: TaskWaker::noop(),
            metrics: OperatorMetricGroup::default(),
            cold_stores: None,
            watermark_groups: WatermarkGroups::default(),
            increments: Default::default(),
        }
    }

    fn call<T>(
        &mut self,
        action: impl FnOnce(&mut dyn Operator, &mut OperatorContext<'_>) -> OperatorResult<T>,
    ) -> OperatorResult<T> {
        let (outputs, wake_at) = (&mut self.outputs, &mut self.wake_at);
        let mut cx = OperatorContext::new(&self.runtime, self.now, self.watermark, outputs, wake_at);
        action(self.operator.as_mut(), &mut cx)
    }

    /// Gives the operator a batch on its first input.
    ///
    /// # Errors
    ///
    /// What the operator answers.
    pub fn process(&mut self, batch: StreamBatch) -> OperatorResult {
        self.process_on(0, batch)
    }

    /// Gives the operator a batch on one of its inputs.
    ///
    /// # Errors
    ///
    /// What the operator answers.
    pub fn process_on(&mut self, input: InputIndex, batch: StreamBatch) -> OperatorResult {
        self.call(|operator, cx| operator.process(input, batch, cx))
    }

    /// Advances the operator's event-time clock.
    ///
    /// # Errors
    ///
    /// What the operator answers.
    pub fn watermark(&mut self, watermark: EpochMillis) -> OperatorResult {
        self.watermark = watermark;
        self.call(|operator, cx| operator.watermark(watermark, cx))
    }

    /// Says that all inputs are idle.
    ///
    /// # Errors
    ///
    /// What the operator answers.
    pub fn idle(&mut self) -> OperatorResult {
        self.call(|operator, cx| operator.idle(cx))
    }

    /// Advances the wall clock and gives the operator the wake-ups it asked for on the way, each at its time.
    ///
    /// # Errors
    ///
    /// What the operator answers.
    pub fn advance_processing_time(&mut self, to: EpochMillis) -> OperatorResult {
        while let Some(due) = self.wake_at.filter(|due| *due <= to) {
            self.wake_at = None;
            self.now = self.now.max(due);
            let now = self.now;
            self.call(|operator, cx| operator.processing_time(now, cx))?;
        }
        self.now = to;
        Ok(())
    }

    /// Moves the wall clock without waking the operator, as when a task is busy.
    pub fn set_processing_time(&mut self, now: EpochMillis) {
        self.now = now;
    }

    /// Where the operator is.
    pub fn place(&self) -> &OperatorRuntime {
        &self.runtime
    }

    /// The source has got a split.
    ///
    /// # Errors
    ///
    /// The operator's.
    pub fn split_added(&mut self, split: u32) -> OperatorResult {
        self.call(|operator, cx| operator.split_added(split, cx))
    }

    /// Says that the source has read a split to its end.
    ///
    /// # Errors
    ///
    /// What the operator answers.
    pub fn split_ended(&mut self, split: u32) -> OperatorResult {
        self.call(|operator, cx| operator.split_ended(split, cx))
    }

    /// The splits that the source has to let wait, when that has changed.
    pub fn splits_to_pause(&mut self) -> Option<SplitsToPause> {
        self.operator.splits_to_pause()
    }

    /// Whether work off the thread has come to something.
    pub fn has_results(&self) -> bool {
        self.operator.has_results()
    }

    /// Whether the operator can take more.
    pub fn is_ready(&self) -> bool {
        self.operator.is_ready()
    }

    /// Whether the operator lets its task take more input.
    pub fn lets_read(&self) -> bool {
        self.operator.lets_read()
    }

    /// Whether nothing of what has come in is under way elsewhere.
    pub fn is_settled(&self) -> bool {
        self.operator.is_settled()
    }

    /// Lets the operator emit what work off the thread has come to.
    ///
    /// # Errors
    ///
    /// What the operator answers.
    pub fn take_results(&mut self) -> OperatorResult {
        self.call(|operator, cx| operator.take_results(cx))
    }

    /// Ends one input.
    ///
    /// # Errors
    ///
    /// What the operator answers.
    pub fn end_input(&mut self, input: InputIndex) -> OperatorResult {
        self.call(|operator, cx| operator.end_input(input, cx))
    }

    /// Asks the operator to finish.
    ///
    /// # Errors
    ///
    /// What the operator answers.
    pub fn finish(&mut self) -> OperatorResult<Finish> {
        self.call(|operator, cx| operator.finish(cx))
    }

    /// Ends the operator of one input as a task does, and then a new instance that gets the last state of the first, as
    /// when a job goes on from a checkpoint after its end: answers with the batches that the second emits. They must be
    /// none, as what they hold has arrived before.
    ///
    /// # Errors
    ///
    /// What the operator answers; also when it needs the background to finish.
    pub fn finish_again(mut self, factory: &dyn OperatorFactory) -> OperatorResult<Vec<StreamBatch>> {
        self.end()?;
        let last = self.last_state()?;
        let mut again = Self::open_in(factory, self.runtime.clone())?;
        again.restore(&[last])?;
        again.end()?;
        let batch = |(_, element)| match element {
            StreamElement::Batch(batch) => Some(batch),
            _ => None,
        };
        Ok(again.take_output().into_iter().filter_map(batch).collect())
    }

    fn end(&mut self) -> OperatorResult {
        self.watermark(MAX_WATERMARK)?;
        self.end_input(0)?;
        match self.finish()? {
            Finish::Done => Ok(()),
            Finish::Pending => Err(OperatorError::data("the operator is not ready to finish")),
        }
    }

    /// Takes a checkpoint: lets the operator prepare, and answers with its state. What it emitted before is output.
    ///
    /// # Errors
    ///
    /// What the operator answers; also when it needs the background to finish its state, which a harness has not.
    pub fn checkpoint(&mut self, checkpoint: CheckpointId) -> OperatorResult<OperatorSnapshot> {
        self.call(|operator, cx| operator.prepare_checkpoint(cx))?;
        self.state(checkpoint)
    }

    /// The state of an operator that has finished: nothing is prepared before it.
    fn last_state(&mut self) -> OperatorResult<OperatorSnapshot> {
        self.state(FINAL_SNAPSHOT)
    }

    fn state(&mut self, checkpoint: CheckpointId) -> OperatorResult<OperatorSnapshot> {
        let is_layered = self.runtime.cold_stores.is_none() && checkpoint != FINAL_SNAPSHOT;
        self.runtime.increments.begin(is_layered.then(|| self.layers.begin()));
        let mut snapshot = self.operator.snapshot(checkpoint)?;
        match self.operator.poll_snapshot(checkpoint)? {
            Poll::Ready(rest) => {
                snapshot.extend(rest);
                self.layers.whole(snapshot.collect()?)
            }
            Poll::Pending => Err(OperatorError::data("the operator's state is not ready")),
        }
    }

    /// Gives the operator, just opened, the state that is its own of what instances of it wrote before.
    ///
    /// # Errors
    ///
    /// What the operator answers.
    pub fn restore(&mut self, snapshots: &[OperatorSnapshot]) -> OperatorResult {
        let OperatorRuntime { subtask, parallelism, .. } = self.runtime;
        let state = RestoredState::assign(snapshots, self.runtime.key_groups(), subtask, parallelism);
        if state.is_empty() {
            return Ok(());
        }
        self.call(|operator, cx| operator.restore(state, cx))
    }

    /// Tells the operator that a checkpoint is durable.
    ///
    /// # Errors
    ///
    /// What the operator answers.
    pub fn checkpoint_completed(&mut self, checkpoint: CheckpointId) -> OperatorResult {
        self.call(|operator, cx| operator.checkpoint_completed(checkpoint, cx))
    }

    /// When the operator asked to be woken next.
    pub fn next_wake_up(&self) -> Option<EpochMillis> {
        self.wake_at
    }

    /// The operator's counters.
    pub fn metrics(&self) -> &OperatorMetricGroup {
        &self.runtime.metrics
    }

    /// Everything emitted since the last call, in order.
    pub fn take_output(&mut self) -> Vec<(OutputPort, StreamElement)> {
        std::mem::take(&mut self.outputs)
    }

    /// The batches that one port emitted since the last call of a `take` function; everything else is dropped.
    pub fn take_batches(&mut self, port: OutputPort) -> Vec<StreamBatch> {
        let batch = |(from, element)| match element {
            StreamElement::Batch(batch) if from == port => Some(batch),
            _ => None,
        };
        self.take_output().into_iter().filter_map(batch).collect()
    }
}

impl Drop for OperatorHarness {
    fn drop(&mut self) {
        self.operator.close();
    }
}

/// A world in which time stands still and nothing runs in the background.
struct StillWorld;

impl World for StillWorld {
    fn moment(&self) -> Moment {
        Moment::default()
    }

    fn wall_clock(&self) -> EpochMillis {
        0
    }

    fn sleep_until(&self, _moment: Moment) -> BoxFuture<()> {
        Box::pin(std::future::pending())
    }

    fn spawn(&self, name: &'static str, _future: BoxFuture<()>) -> SpawnedTask {
        panic!("an operator in a harness cannot start the background task `{name}`")
    }

    fn spawn_blocking(&self, _work: Box<dyn FnOnce() + Send>) {
        panic!("an operator in a harness cannot start background work")
    }

    fn spawn_thread(&self, name: String, _work: Box<dyn FnOnce() + Send>) -> io::Result<()> {
        Err(io::Error::other(format!("an operator in a harness cannot start the thread `{name}`")))
    }

    fn fill_random(&self, bytes: &mut [u8]) {
        bytes.fill(7);
    }
}
