//! A subtask as a state machine: [`StreamTask::step`] does a bounded piece of work and never blocks.
//!
//! ```text
//!               ┌────────────────────── StreamTask ──────────────────────┐
//!  InputQueue ──► valve (watermarks) ──► head ──► chained operators ──┐   │
//!  or source    │                          └────────────────────────┐ │   │
//!               │                                         outputs ◄─┴─┘   │──► ElementWriter per channel
//!               └─────────────────────────────────────────────────────────┘
//!
//!  Running ── every input ended ──► Finishing ── every operator finished ──► Delivering ── all sent ──► Finished
//!     └─ took the savepoint after which the job stops ─► Stopped ─ it exists ─► Leaving ──┘
//! ```
//!
//! A checkpoint is taken between two elements: when a source is triggered, or when the barriers of all channels are
//! aligned ([`alignment`]), or, for a job that counts records at least once, have come ([`tracking`]). A barrier that may
//! overtake is seen as soon as it is queued; then what is in flight before it is part of the snapshot, and the task of a
//! restart processes that first ([`replay`]). Every operator prepares, the barrier leaves on all outputs, every operator's state is taken,
//! and the [`CheckpointListener`] gets all of it at once. A task that is Finishing takes triggers too: a sink may wait
//! for one. When every operator has finished, the listener gets the state that stands for the task from then on.
//!
//! Who drives the task owns the thread: in production [`driver`], in a simulation the simulator. A step answers
//! [`Step::Ran`] when it should be called again at once, and [`Step::Idle`] when it waits: for input, for room
//! downstream, for a timer. Whatever it waits for calls the task's waker.
//!
//! A batch that takes the operators long is given to them in portions, one per step (`portion`).
//!
//! Invariants: elements of one channel are processed in order; a watermark never leaves before what it released;
//! records that were taken from an input are in the state or in an output when the step ends; pending output is
//! flushed before the task goes idle.

pub mod alignment;
mod barriers;
pub mod chain;
pub mod checkpointing;
pub mod driver;
pub mod outputs;
pub mod partition;
mod portion;
pub mod replay;
mod stopping;
pub mod tracking;
pub mod valve;

use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use crate::checkpoint::in_flight::{InFlight, InFlightChannel};
use crate::checkpoint::snapshot::{OperatorSnapshot, RestoredState};
use crate::element::{BarrierMode, CheckpointBarrier, CheckpointId, StreamBatch, StreamElement, Wakeup};
use crate::exchange::input_queue::InputQueue;
use crate::failure::{Classify, FailureClass};
use crate::id::OperatorId;
use crate::metrics::TaskMetricGroup;
use crate::operator::{Finish, OperatorError, TaskWaker};
use crate::source::{SourcePoll, SourceReader};
use crate::state::files::Increment;
use crate::time::{EpochMillis, MAX_WATERMARK, Moment};

use self::alignment::{Aligned, Alignment, Decision};
use self::barriers::Barriers;
use self::chain::Chain;
use self::checkpointing::{
    CheckpointCommand, CheckpointListener, DeclineReason, FINAL_SNAPSHOT, Part, PartialSnapshot, Recording,
    TaskSnapshot,
};
use self::outputs::Outputs;
use self::portion::Portions;
use self::replay::{GateChannel, Place, Replay};
use self::tracking::Tracking;
use self::valve::{Valve, ValveOutput};

/// Why a task could not go on: an operator's error and the operator it came from.
#[derive(Debug, thiserror::Error)]
#[error("operator `{operator}` failed")]
pub struct TaskError {
    /// The operator's name.
    pub operator: String,
    /// What it said.
    #[source]
    pub source: OperatorError,
}

impl Classify for TaskError {
    fn class(&self) -> FailureClass {
        self.source.class()
    }
}

/// Both clocks, read once per step by the driver.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// Wall-clock time: what operators see as processing time.
    pub wall: EpochMillis,
    /// The monotonic clock.
    pub moment: Moment,
}

/// What a step came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Work was done; there may be more.
    Ran,
    /// Nothing can be done before the wake-up.
    Idle {
        /// What is waited for.
        waits_for: WaitsFor,
        /// When to look again.
        until: Wakeup,
    },
    /// Everything is done.
    Finished,
}

/// What an idle task waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitsFor {
    /// Input, or time.
    Input,
    /// Room in a downstream channel.
    Room,
    /// A sink whose outside world is slow.
    Sink,
}

/// Where a task's elements come from.
pub enum TaskInput {
    /// A source at the head of the chain.
    Source(Box<dyn SourceReader>),
    /// A source at the head of the chain that gets its splits from an enumerator.
    Splits {
        /// Who reads them.
        reader: Box<dyn SourceReader>,
        /// Where they come from.
        queue: InputQueue,
    },
    /// Other tasks.
    Gate {
        /// The queue.
        queue: InputQueue,
        /// What its channels are.
        channels: Vec<GateChannel>,
    },
}

impl TaskInput {
    /// The source at the head.
    fn source(&mut self) -> Option<&mut dyn SourceReader> {
        match self {
            Self::Source(reader) | Self::Splits { reader, .. } => Some(&mut **reader),
            Self::Gate { .. } => None,
        }
    }

    fn is_source(&self) -> bool {
        matches!(self, Self::Source(_) | Self::Splits { .. })
    }

    fn queue(&self) -> Option<&InputQueue> {
        match self {
            Self::Source(_) => None,
            Self::Splits { queue, .. } | Self::Gate { queue, .. } => Some(queue),
        }
    }

    /// What its channels are. Splits are no records: nothing overtakes them, and they have no event time.
    fn channels(&self) -> &[GateChannel] {
        match self {
            Self::Source(_) | Self::Splits { .. } => &[],
            Self::Gate { channels, .. } => channels,
        }
    }
}

/// One subtask of one vertex.
pub struct StreamTask {
    input: TaskInput,
    valve: Valve,
    chain: Chain,
    outputs: Outputs,
    metrics: TaskMetricGroup,
    waker: TaskWaker,
    phase: Phase,
    portions: Portions,
    /// Where the batch came from that is being processed.
    portions_of: Place,
    /// What is processed before anything else.
    replay: Replay,
    /// Triggers that came while a source's batch was half processed; its position is behind the whole batch.
    deferred: Vec<CheckpointBarrier>,
    /// None for a job without checkpoints.
    listener: Option<Arc<dyn CheckpointListener>>,
    barriers: Barriers,
    /// The newest checkpoint whose barrier was seen, and the bytes that had come in before.
    begun: (Option<CheckpointId>, u64),
    /// Snapshots that operators have not finished yet, the oldest first.
    partial: Vec<PartialSnapshot>,
    /// The listener was told that the task waits for a checkpoint.
    waiting_told: bool,
    /// Event time was ended for a savepoint with which the job is drained.
    drained: bool,
    /// The barrier of such a savepoint, which waits for what is under way elsewhere.
    settling: Option<Aligned>,
    /// The source had ended when the state that the task starts from was taken.
    source_ended: bool,
    /// No more splits come.
    enumerator_ended: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Running,
    /// It has taken the savepoint after which the job stops, and stands still until it knows what became of it.
    Stopped {
        at: CheckpointId,
        /// Its input had ended before: operators from this index on had not finished yet.
        finishing: Option<usize>,
    },
    /// That savepoint exists; operators from this index on have not stopped yet.
    Leaving {
        next: usize,
    },
    /// Every input has ended; operators from this index on have not finished yet.
    Finishing {
        next: usize,
    },
    /// Every operator has finished; what they emitted is still on its way.
    Delivering,
    Finished,
}

impl StreamTask {
    /// A task over these parts. `waker` wakes whoever drives it.
    pub fn new(input: TaskInput, chain: Chain, outputs: Outputs, metrics: TaskMetricGroup, waker: TaskWaker) -> Self {
        let channels = input.channels();
        let valve = Valve::new(&channels.iter().map(|channel| channel.input).collect::<Vec<_>>());
        let alignment = Alignment::new(match &input {
            TaskInput::Splits { queue, .. } => vec![false; queue.channels()],
            _ => channels.iter().map(|channel| channel.overtaken).collect(),
        });
        if let TaskInput::Gate { queue, channels } = &input {
            let overtaken = channels.iter().enumerate().filter(|(_, channel)| channel.overtaken);
            overtaken.for_each(|(channel, _)| queue.let_overtake(channel));
        }
        Self {
            input,
            valve,
            chain,
            outputs,
            metrics,
            waker,
            phase: Phase::Running,
            portions: Portions::default(),
            portions_of: Place::Source,
            replay: Replay::default(),
            deferred: Vec::new(),
            listener: None,
            barriers: Barriers::Aligned(alignment),
            begun: (None, 0),
            partial: Vec::new(),
            waiting_told: false,
            drained: false,
            settling: None,
            source_ended: false,
            enumerator_ended: false,
        }
    }

    /// The same task in a job that takes checkpoints: `listener` is told of them.
    #[must_use]
    pub fn with_checkpoints(mut self, listener: Arc<dyn CheckpointListener>) -> Self {
        self.listener = Some(listener);
        self
    }

    /// The same task in a job that counts records at least once: its channels do not wait for each other.
    #[must_use]
    pub fn counting_at_least_once(mut self) -> Self {
        self.barriers = Barriers::Tracked(Tracking::new(self.input.queue().map_or(0, InputQueue::channels)));
        self
    }

    /// Has what was in flight processed before anything else.
    ///
    /// # Errors
    ///
    /// When it came from somewhere that this task does not read.
    pub fn replay(&mut self, in_flight: InFlight) -> Result<(), OperatorError> {
        self.replay = Replay::new(in_flight, self.input.channels())?;
        Ok(())
    }

    /// Gives operators state back, before [`open`](Self::open): a source takes its own before it opens, operators right
    /// after they have. An operator that is not named, or whose state is empty, starts without.
    ///
    /// # Errors
    ///
    /// When the state is of an operator that this task does not have.
    pub fn restore(&mut self, states: Vec<(OperatorId, RestoredState)>) -> Result<(), TaskError> {
        self.chain.restore(states)
    }

    /// Says, before [`open`](Self::open), that every instance of the task's source had finished in the checkpoint that
    /// the job starts from: it is not opened, and ends at the first step. For a source whose state does not tell.
    pub fn restore_ended_source(&mut self) {
        self.source_ended = true;
    }

    /// Opens the source and every operator, the last of the chain first, as in Flink. State comes back here.
    ///
    /// # Errors
    ///
    /// The first error of an operator.
    pub fn open(&mut self, now: Now) -> Result<(), TaskError> {
        self.chain.open(now, &mut self.outputs)?;
        if let Some(reader) = self.input.source() {
            let restored = self.chain.take_restored_head();
            if self.source_ended {
                return Ok(());
            }
            if let Some(state) = restored {
                reader.restore(state).map_err(|source| self.chain.error(0, source))?;
            }
            let runtime = self.chain.head_runtime();
            reader.open(runtime).map_err(|source| self.chain.error(0, source))?;
            if reader.listens() {
                reader.connected(self.outputs.readers());
            }
        }
        Ok(())
    }

    /// Does what the task is told about checkpoints, between two steps.
    ///
    /// # Errors
    ///
    /// As of [`step`](Self::step).
    pub fn command(&mut self, command: CheckpointCommand, now: Now) -> Result<(), TaskError> {
        match command {
            CheckpointCommand::Trigger(barrier) => self.trigger(barrier, now),
            CheckpointCommand::Completed(checkpoint) => self.completed(checkpoint, now),
            CheckpointCommand::Aborted(checkpoint) => {
                self.partial.retain(|partial| partial.snapshot.checkpoint != checkpoint);
                self.go_on_after(checkpoint);
                self.outputs.is_over(checkpoint);
                if let TaskInput::Gate { queue, .. } = &self.input {
                    queue.forget_recording(checkpoint);
                }
                let decision = self.barriers.aborted(checkpoint);
                self.on_alignment(decision, now)
            }
        }
    }

    /// Answers to a trigger that this task will not take.
    pub fn decline(&self, checkpoint: CheckpointId, reason: DeclineReason) {
        if let Some(listener) = &self.listener {
            listener.declined(checkpoint, reason);
        }
    }

    /// Does a bounded piece of work.
    ///
    /// # Errors
    ///
    /// The error of an operator; the task must be closed then and not stepped again.
    pub fn step(&mut self, now: Now) -> Result<Step, TaskError> {
        if !self.partial.is_empty() {
            self.poll_snapshots(now)?;
        }
        self.look_for_barriers(now)?;
        let step = self.work(now)?;
        Ok(self.in_time_for_barriers(step, now))
    }

    fn work(&mut self, now: Now) -> Result<Step, TaskError> {
        if let Some((channel, element)) = self.next_of_splits() {
            return self.on_splits(channel, element, now);
        }
        if self.phase != Phase::Delivering && !self.outputs.has_room(&self.waker) {
            // What waits for company on other channels would wait as long as the full one is.
            self.outputs.flush();
            return Ok(Step::Idle { waits_for: WaitsFor::Room, until: Wakeup::OnEvent });
        }
        if let Some(aligned) = self.settling.take() {
            return self.settle_for(aligned, now);
        }
        match self.phase {
            Phase::Running => self.run(now),
            Phase::Finishing { next } => self.finish(next, now),
            Phase::Stopped { .. } => Ok(self.stand_still()),
            Phase::Leaving { next } => self.leave(next, now),
            Phase::Delivering => Ok(self.deliver()),
            Phase::Finished => Ok(Step::Finished),
        }
    }

    /// Closes every operator; also after an error or a cancellation.
    pub fn close(&mut self) {
        if let Some(reader) = self.input.source() {
            reader.close();
        }
        self.chain.close();
    }

    /// The task's counters.
    pub fn metrics(&self) -> &TaskMetricGroup {
        &self.metrics
    }

    fn run(&mut self, now: Now) -> Result<Step, TaskError> {
        self.outputs.flush_overdue(now.moment);
        self.chain.take_results(now, &mut self.outputs)?;
        if !self.chain.is_ready() {
            // Timers emit too, so they wait with the input; the sink calls the waker.
            self.outputs.flush();
            return Ok(Step::Idle { waits_for: WaitsFor::Sink, until: Wakeup::OnEvent });
        }
        self.chain.fire_timers(now, &mut self.outputs)?;
        if !self.portions.is_empty() {
            return self.run_portion(now);
        }
        if let Some((place, element)) = self.replay.next() {
            return self.on_replayed(place, element, now);
        }
        self.pause_splits()?;
        if !self.chain.lets_read() && !self.source_ended {
            return Ok(self.idle(WaitsFor::Input, None, now));
        }
        let polled = match &mut self.input {
            _ if self.source_ended => return self.on_source(SourcePoll::End, now),
            TaskInput::Source(reader) => {
                if reader.listens() {
                    self.outputs.take_feedback(&self.waker, |from, said| reader.feedback(from, said));
                }
                let polled = reader.poll(now.wall).map_err(|source| self.chain.error(0, source))?;
                return self.on_source(polled, now);
            }
            TaskInput::Splits { reader, queue } => {
                let polled = reader.poll(now.wall).map_err(|source| self.chain.error(0, source))?;
                tell_enumerator(&mut **reader, queue);
                return self.on_source(polled, now);
            }
            TaskInput::Gate { queue, .. } => queue.poll(),
        };
        match polled {
            Some((channel, element)) => self.on_element(channel, element, now),
            None => Ok(self.idle(WaitsFor::Input, None, now)),
        }
    }

    fn pause_splits(&mut self) -> Result<(), TaskError> {
        let Some(source) = self.input.source() else { return Ok(()) };
        let Some(pause) = self.chain.splits_to_pause() else { return Ok(()) };
        if source.pause_splits(&pause.splits) || pause.tolerates_sources_that_cannot || pause.splits.is_empty() {
            return Ok(());
        }
        let message = "the source cannot let one split wait while it reads others, as the alignment of watermarks wants; with \
                       pipeline.watermark-alignment.allow-unaligned-source-splits: true its readers wait as a whole only";
        Err(self.chain.error(0, OperatorError::data(message)))
    }

    /// Gives the chain the next portion of the batch that came last.
    fn run_portion(&mut self, now: Now) -> Result<Step, TaskError> {
        let Some((input, batch)) = self.portions.next() else { return Ok(Step::Ran) };
        let rows = batch.num_rows();
        match &self.input {
            TaskInput::Source(_) | TaskInput::Splits { .. } => {
                self.chain.emit_from_head(StreamElement::Batch(batch), now, &mut self.outputs)?;
            }
            TaskInput::Gate { .. } => self.chain.process_head(input, batch, now, &mut self.outputs)?,
        }
        self.portions.took(rows, self.chain.head_runtime().env.moment().since(now.moment));
        if self.portions.is_empty() && !self.deferred.is_empty() {
            for barrier in std::mem::take(&mut self.deferred) {
                self.trigger(barrier, now)?;
            }
        }
        Ok(Step::Ran)
    }

    fn on_source(&mut self, polled: SourcePoll, now: Now) -> Result<Step, TaskError> {
        match polled {
            SourcePoll::Batch(batch) => {
                self.portions_of = Place::Source;
                self.portions.put(0, batch);
                self.run_portion(now)
            }
            SourcePoll::Watermark(watermark) => {
                self.metrics.watermark.set(watermark);
                self.chain.emit_from_head(StreamElement::Watermark(watermark), now, &mut self.outputs)?;
                Ok(Step::Ran)
            }
            SourcePoll::SplitAdded(split) => {
                self.chain.split_added(split, now, &mut self.outputs)?;
                Ok(Step::Ran)
            }
            SourcePoll::SplitEnded(split) => {
                self.chain.split_ended(split, now, &mut self.outputs)?;
                Ok(Step::Ran)
            }
            SourcePoll::Pending(until) => Ok(self.idle(WaitsFor::Input, until, now)),
            SourcePoll::End => {
                self.metrics.watermark.set(MAX_WATERMARK);
                self.chain.emit_from_head(StreamElement::Watermark(MAX_WATERMARK), now, &mut self.outputs)?;
                self.phase = Phase::Finishing { next: 0 };
                Ok(Step::Ran)
            }
        }
    }

    /// What an enumerator has sent. It needs no room downstream, so its barriers do not wait for that.
    fn next_of_splits(&self) -> Option<(usize, StreamElement)> {
        match &self.input {
            TaskInput::Splits { queue, .. } if self.is_between_batches() || self.awaits_enumerator() => queue.poll(),
            _ => None,
        }
    }

    fn is_between_batches(&self) -> bool {
        let is_running = self.phase == Phase::Running && !self.source_ended && self.settling.is_none();
        is_running && self.portions.is_empty() && self.replay.is_empty()
    }

    /// What an enumerator sends: splits, barriers, and its end. It has no event time.
    fn on_splits(&mut self, channel: usize, element: StreamElement, now: Now) -> Result<Step, TaskError> {
        let TaskInput::Splits { reader, queue } = &mut self.input else { return Ok(Step::Ran) };
        match element {
            StreamElement::Batch(splits) => {
                reader.add_splits(&splits).map_err(|source| self.chain.error(0, source))?;
                tell_enumerator(&mut **reader, queue);
            }
            StreamElement::EndOfInput => {
                reader.no_more_splits();
                self.enumerator_ended = true;
                let decision = self.barriers.ended(channel);
                self.on_alignment(decision, now)?;
            }
            StreamElement::Barrier(barrier) => {
                self.note_begun(barrier.checkpoint);
                let decision = self.barriers.barrier(channel, barrier, now.moment);
                self.on_alignment(decision, now)?;
            }
            StreamElement::Watermark(_) | StreamElement::Idle | StreamElement::LatencyMarker(_) => {}
        }
        Ok(Step::Ran)
    }

    fn on_replayed(&mut self, place: Place, batch: StreamBatch, now: Now) -> Result<Step, TaskError> {
        if let Place::Channel(channel) = place {
            return self.on_element(channel, StreamElement::Batch(batch), now);
        }
        self.portions_of = place;
        self.portions.put(place.input(self.input.channels()), batch);
        self.run_portion(now)
    }

    fn on_element(&mut self, channel: usize, element: StreamElement, now: Now) -> Result<Step, TaskError> {
        let Some(GateChannel { input, .. }) = self.input.channels().get(channel) else { return Ok(Step::Ran) };
        let input = *input;
        match element {
            StreamElement::Batch(batch) => {
                self.metrics.records_in.add(batch.num_rows() as u64);
                self.metrics.bytes_in.add(batch.size_bytes() as u64);
                let output = self.valve.active(channel);
                self.on_valve(output, now)?;
                self.portions_of = Place::Channel(channel);
                self.portions.put(input, batch);
                return self.run_portion(now);
            }
            StreamElement::Watermark(watermark) => {
                let output = self.valve.watermark(channel, watermark);
                self.on_valve(output, now)?;
            }
            StreamElement::Idle => {
                let output = self.valve.idle(channel);
                self.on_valve(output, now)?;
            }
            StreamElement::EndOfInput => {
                let output = self.valve.end(channel);
                self.on_valve(output, now)?;
                if self.valve.input_ended(input) {
                    self.chain.end_head_input(input, now, &mut self.outputs)?;
                }
                if self.valve.all_ended() {
                    self.phase = Phase::Finishing { next: 0 };
                }
                let decision = self.barriers.ended(channel);
                self.on_alignment(decision, now)?;
            }
            StreamElement::LatencyMarker(marker) => self.outputs.broadcast(&StreamElement::LatencyMarker(marker)),
            StreamElement::Barrier(barrier) => {
                self.note_begun(barrier.checkpoint);
                let decision = self.barriers.barrier(channel, barrier, now.moment);
                self.on_alignment(decision, now)?;
            }
        }
        Ok(Step::Ran)
    }

    fn on_valve(&mut self, output: ValveOutput, now: Now) -> Result<(), TaskError> {
        if let Some(watermark) = output.watermark {
            self.metrics.watermark.set(watermark);
            self.chain.watermark_head(watermark, now, &mut self.outputs)?;
        }
        if output.idle {
            self.chain.idle_head(now, &mut self.outputs)?;
        }
        Ok(())
    }

    /// Finishes operators from `next` on, in topological order, as far as they are ready.
    fn finish(&mut self, next: usize, now: Now) -> Result<Step, TaskError> {
        if self.awaits_enumerator() {
            return Ok(self.idle(WaitsFor::Input, None, now));
        }
        // Timers in wall-clock time may be what a pending sink waits for.
        self.chain.fire_timers(now, &mut self.outputs)?;
        for operator in next..self.chain.len() {
            if self.chain.finish(operator, now, &mut self.outputs)? == Finish::Pending {
                self.phase = Phase::Finishing { next: operator };
                if !std::mem::replace(&mut self.waiting_told, true)
                    && let Some(listener) = &self.listener
                {
                    listener.waits_for_checkpoint();
                }
                return Ok(self.idle(WaitsFor::Sink, None, now));
            }
        }
        if self.listener.as_ref().is_some_and(|listener| listener.keeps_last_state()) {
            self.take_snapshot(TaskSnapshot::last(), None, now)?;
        }
        self.outputs.end();
        self.phase = Phase::Delivering;
        Ok(self.deliver())
    }

    fn trigger(&mut self, barrier: CheckpointBarrier, now: Now) -> Result<(), TaskError> {
        let is_half_done = !self.portions.is_empty() || !self.replay.is_empty();
        if is_half_done && barrier.mode != BarrierMode::Unaligned && self.input.is_source() {
            self.deferred.push(barrier);
            return Ok(());
        }
        let checkpoint = barrier.checkpoint;
        self.note_begun(checkpoint);
        let refused = match self.phase {
            // Its end is its part. A snapshot would be one of a source that has not finished, and begins anew.
            Phase::Running if self.source_ended => DeclineReason::Ending,
            Phase::Running | Phase::Finishing { .. } => match self.barriers.triggered(barrier, now.moment) {
                Ok(decision) => return self.on_alignment(decision, now),
                Err(late) => late.into(),
            },
            Phase::Stopped { .. } | Phase::Leaving { .. } | Phase::Delivering => DeclineReason::Ending,
            Phase::Finished => DeclineReason::NotRunning,
        };
        self.decline(checkpoint, refused);
        Ok(())
    }

    /// Takes the checkpoints whose barriers overtake: at once, or as they have waited for too long.
    fn look_for_barriers(&mut self, now: Now) -> Result<(), TaskError> {
        self.outputs.hurry_overdue(now.wall);
        if let TaskInput::Gate { queue, .. } = &self.input
            && queue.has_announced()
        {
            for (_, barrier) in queue.take_announced() {
                self.note_begun(barrier.checkpoint);
                let decision = self.barriers.announced(barrier, now.moment);
                self.on_alignment(decision, now)?;
            }
        }
        if self.barriers.due().is_some_and(|due| due <= now.wall) {
            let decision = self.barriers.overtake(now.wall);
            self.on_alignment(decision, now)?;
        }
        let is_due =
            |barrier: &mut CheckpointBarrier| matches!(barrier.mode, BarrierMode::AlignedUntil(due) if due <= now.wall);
        let due: Vec<CheckpointBarrier> = self.deferred.extract_if(.., is_due).collect();
        for barrier in due {
            self.trigger(CheckpointBarrier { mode: BarrierMode::Unaligned, ..barrier }, now)?;
        }
        Ok(())
    }

    /// A task that waits looks at its barriers again when one of them has waited for too long.
    fn in_time_for_barriers(&self, step: Step, now: Now) -> Step {
        let Step::Idle { waits_for, until } = step else { return step };
        let deferred = self.deferred.iter().filter_map(|barrier| match barrier.mode {
            BarrierMode::AlignedUntil(due) => Some(due),
            _ => None,
        });
        let due = self.outputs.hurries_at().into_iter().chain(self.barriers.due()).chain(deferred).min();
        let Some(due) = due else { return step };
        let delay = u64::try_from(due.saturating_sub(now.wall)).unwrap_or(0);
        let due = now.moment.after(Duration::from_millis(delay));
        let until = match until {
            Wakeup::At(moment) if moment <= due => until,
            _ => Wakeup::At(due),
        };
        Step::Idle { waits_for, until }
    }

    fn note_begun(&mut self, checkpoint: CheckpointId) {
        if self.begun.0 < Some(checkpoint) {
            self.begun = (Some(checkpoint), self.metrics.bytes_in.get());
        }
    }

    fn completed(&mut self, checkpoint: CheckpointId, now: Now) -> Result<(), TaskError> {
        self.outputs.is_over(checkpoint);
        if let (Some(reader), false) = (self.input.source(), self.source_ended) {
            reader.checkpoint_completed(checkpoint).map_err(|source| self.chain.error(0, source))?;
        }
        self.chain.checkpoint_completed(checkpoint, now, &mut self.outputs)?;
        self.stop_after(checkpoint);
        Ok(())
    }

    fn on_alignment(&mut self, decision: Decision, now: Now) -> Result<(), TaskError> {
        if let Some(queue) = self.input.queue() {
            decision.release.iter().for_each(|channel| queue.unblock(*channel));
            decision.block.iter().for_each(|channel| queue.block(*channel));
        }
        if let (Some(given_up), Some(newer)) = (decision.superseded, self.barriers.latest()) {
            self.decline(given_up, DeclineReason::Overtaken(newer));
        }
        decision.take.into_iter().try_for_each(|aligned| self.checkpoint(aligned, now))
    }

    /// Takes a checkpoint: everything that was processed is before it, and what its barrier has overtaken.
    fn checkpoint(&mut self, aligned: Aligned, now: Now) -> Result<(), TaskError> {
        let savepoint = aligned.barrier.savepoint.clone();
        self.end_event_time_before(savepoint.as_deref(), now)?;
        if self.must_settle(savepoint.as_deref()) {
            self.settling = Some(aligned);
            return Ok(());
        }
        self.pass(aligned, now)
    }

    /// Lets the barrier pass.
    fn pass(&mut self, aligned: Aligned, now: Now) -> Result<(), TaskError> {
        let Aligned { barrier, started, overtakes } = aligned;
        let checkpoint = barrier.checkpoint;
        let mode = barrier.mode;
        let alignment = now.moment.since(started);
        let since_trigger = u64::try_from(now.wall.saturating_sub(barrier.triggered_at)).unwrap_or(0);
        let start_delay = Duration::from_millis(since_trigger).saturating_sub(alignment);
        let (savepoint, base) = (barrier.savepoint.clone(), barrier.base);
        self.chain.prepare_checkpoint(now, &mut self.outputs)?;
        self.outputs.barrier(barrier);
        if self.listener.is_none() {
            let message = format!(
                "a barrier of checkpoint {} arrived, but this task was deployed without checkpoints",
                checkpoint.0
            );
            return Err(self.chain.error(0, OperatorError::data(message)));
        }
        let recording = overtakes.then_some(Recording { since: started });
        let mut in_flight = InFlight { channels: self.half_done() };
        if let (TaskInput::Gate { queue, .. }, true) = (&self.input, overtakes) {
            // One recording at a time: an older one that is not complete is of a checkpoint that was given up.
            for older in self.partial.extract_if(.., |partial| partial.recording.is_some()) {
                if let Some(listener) = &self.listener {
                    listener.declined(older.snapshot.checkpoint, DeclineReason::Overtaken(checkpoint));
                }
            }
            queue.record(checkpoint, in_flight.channels.iter().flat_map(|channel| &channel.batches));
        }
        in_flight.channels.retain(|channel| !channel.batches.is_empty());
        let snapshot = TaskSnapshot {
            checkpoint,
            savepoint: savepoint.clone(),
            base,
            operators: Vec::new(),
            in_flight,
            unaligned: mode == BarrierMode::Unaligned,
            start_delay,
            alignment,
            processed_bytes: self.processed_since_begun(checkpoint),
            synchronous: Duration::ZERO,
        };
        if savepoint.is_some() {
            self.chain.saving(checkpoint);
        }
        self.take_snapshot(snapshot, recording, now)?;
        self.stop_at(checkpoint, savepoint.as_deref());
        Ok(())
    }

    /// What was taken from a channel, or from the source, and is not processed yet.
    fn half_done(&self) -> Vec<InFlightChannel> {
        let gate = self.input.channels();
        let rest = self
            .portions
            .rest()
            .map(|batch| InFlightChannel { origin: self.portions_of.origin(gate), batches: vec![batch.clone()] });
        rest.into_iter().chain(self.replay.rest(gate)).collect()
    }

    fn processed_since_begun(&self, checkpoint: CheckpointId) -> u64 {
        if self.begun.0 == Some(checkpoint) { self.metrics.bytes_in.get() - self.begun.1 } else { 0 }
    }

    fn take_snapshot(
        &mut self,
        snapshot: TaskSnapshot,
        recording: Option<Recording>,
        now: Now,
    ) -> Result<(), TaskError> {
        let checkpoint = snapshot.checkpoint;
        let mut parts = Vec::with_capacity(self.chain.len());
        let is_increment = snapshot.savepoint.is_none() && checkpoint != FINAL_SNAPSHOT;
        let increment = is_increment.then_some(Increment { checkpoint, base: snapshot.base });
        self.chain.head_runtime().increments.begin(increment);
        for index in 0..self.chain.len() {
            let operator = self.chain.operator_id(index);
            let snapshot = match (self.chain.snapshot(index, checkpoint)?, self.input.source()) {
                (Some(snapshot), _) => snapshot,
                (None, Some(reader)) if !self.source_ended => {
                    reader.snapshot(checkpoint).map_err(|source| self.chain.error(index, source))?
                }
                (None, _) => OperatorSnapshot::default(),
            };
            parts.push(Part { operator, snapshot, whole: false });
        }
        let synchronous = self.chain.head_runtime().env.moment().since(now.moment);
        let snapshot = TaskSnapshot { synchronous, ..snapshot };
        self.partial.push(PartialSnapshot { snapshot, parts, recording });
        self.poll_snapshots(now)
    }

    /// Asks operators for what is missing in snapshots, and hands on those that are whole.
    fn poll_snapshots(&mut self, now: Now) -> Result<(), TaskError> {
        let begun = self.begun;
        let mut too_much = None;
        for partial in &mut self.partial {
            let checkpoint = partial.snapshot.checkpoint;
            if let (Some(recording), TaskInput::Gate { queue, channels }) = (&partial.recording, &self.input)
                && let Poll::Ready(recorded) = queue.recorded(checkpoint)
            {
                partial.snapshot.alignment = now.moment.since(recording.since);
                if begun.0 == Some(checkpoint) {
                    partial.snapshot.processed_bytes = self.metrics.bytes_in.get() - begun.1;
                }
                match recorded {
                    Ok(recorded) => partial.add_in_flight(recorded, channels),
                    Err(error) => too_much = Some((checkpoint, error)),
                }
            }
            for (index, part) in partial.parts.iter_mut().enumerate().filter(|(_, part)| !part.whole) {
                let polled = match (self.chain.poll_snapshot(index, checkpoint)?, self.input.source()) {
                    (Some(polled), _) => polled,
                    (None, Some(reader)) if !self.source_ended => {
                        reader.poll_snapshot(checkpoint).map_err(|source| self.chain.error(index, source))?
                    }
                    (None, _) => Poll::Ready(OperatorSnapshot::default()),
                };
                part.add(polled);
            }
        }
        if let Some((checkpoint, error)) = too_much {
            self.partial.retain(|partial| partial.snapshot.checkpoint != checkpoint);
            self.decline(checkpoint, DeclineReason::TooMuchInFlight(error));
        }
        if let Some(listener) = &self.listener {
            for whole in self.partial.extract_if(.., |partial| partial.is_whole()) {
                whole.give_to(&**listener);
            }
        }
        Ok(())
    }

    /// Finishes once everything has left: a task that has ended would not be told of a connection that breaks.
    fn deliver(&mut self) -> Step {
        if self.outputs.is_delivered(&self.waker) && self.partial.is_empty() {
            self.phase = Phase::Finished;
            return Step::Finished;
        }
        Step::Idle { waits_for: WaitsFor::Room, until: Wakeup::OnEvent }
    }

    /// Flushes what is pending and waits for `source_until`, for the earliest timer, or for an event.
    fn idle(&mut self, waits_for: WaitsFor, source_until: Option<EpochMillis>, now: Now) -> Step {
        self.outputs.flush();
        let wall = match (self.chain.next_timer(), source_until) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        Step::Idle { waits_for, until: until(wall, now) }
    }
}

/// When to look again: at this wall-clock time, or when something happens.
fn until(wall: Option<EpochMillis>, now: Now) -> Wakeup {
    wall.map_or(Wakeup::OnEvent, |wall| {
        let delay = u64::try_from(wall.saturating_sub(now.wall)).unwrap_or(0);
        Wakeup::At(now.moment.after(Duration::from_millis(delay)))
    })
}

fn tell_enumerator(reader: &mut dyn SourceReader, queue: &InputQueue) {
    if let Some(feedback) = reader.take_feedback() {
        (0..queue.channels()).for_each(|channel| queue.send_feedback(channel, feedback));
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
