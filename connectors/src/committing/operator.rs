//! The task's side of a two-phase sink: hands batches and barriers over, and tells the time.

use std::sync::Arc;
use std::task::Poll;

use pelton_runtime_core::checkpoint::snapshot::{OperatorSnapshot, OperatorTable, Redistribution, RestoredState};
use pelton_runtime_core::element::{CheckpointId, StreamBatch};
use pelton_runtime_core::env::Stopped;
use pelton_runtime_core::operator::{
    Finish, InputIndex, Operator, OperatorContext, OperatorError, OperatorResult, OperatorRuntime, TaskWaker,
    refuse_state,
};
use pelton_runtime_core::time::EpochMillis;

use super::CommittingSink;
use super::progress::Progress;
use super::protocol::Mode;
use super::thread::{Command, Halves, Lists, SinkThread};
use crate::handover::{Sender, handover};

/// Bytes that wait between the task and its sink.
const QUEUE_BYTES: usize = 8 << 20;

/// How often the sink is told the time, at most and at least, while it waits for it.
const MIN_TICK_MILLIS: EpochMillis = 1;
const MAX_TICK_MILLIS: EpochMillis = 1000;

/// The table's name in snapshots.
const COMMITTABLES: &str = "committables";

pub(super) struct CommittingOperator<S: CommittingSink> {
    sink: Arc<S>,
    mode: Mode,
    stage: Stage<S::Committable>,
    progress: Progress<S::Committable>,
    waker: TaskWaker,
    /// Whether a call of `processing_time` is due to come.
    clock_runs: bool,
    /// Commands handed over.
    sent: u64,
    /// The next snapshot is that of this savepoint, after which the job goes on.
    saving: Option<CheckpointId>,
}

enum Stage<C> {
    New(Halves<C>),
    Writing(Sender<Command<C>>),
    /// The queue stays open: one that is closed means to give up.
    Finishing(Sender<Command<C>>),
    Ended,
}

impl<S: CommittingSink> CommittingOperator<S> {
    pub(super) fn new(sink: Arc<S>, halves: Halves<S::Committable>, runtime: &OperatorRuntime) -> Self {
        Self {
            sink,
            mode: if runtime.checkpointing { Mode::WithCheckpoints } else { Mode::AtOnce },
            stage: Stage::New(halves),
            progress: Progress::default(),
            waker: TaskWaker::noop(),
            clock_runs: false,
            sent: 0,
            saving: None,
        }
    }

    fn send(&mut self, command: Command<S::Committable>, bytes: usize) -> OperatorResult {
        let (Stage::Writing(queue) | Stage::Finishing(queue)) = &self.stage else {
            return Err(OperatorError::data("a sink was given records before it was opened or after it ended"));
        };
        // A sink that is done with everything has nothing to hear.
        if queue.push(command, bytes).is_ok() || self.progress.is_done() {
            self.sent += 1;
            return Ok(());
        }
        self.ended()
    }

    /// The thread ended although its task is here, so it failed; it reports before its queue closes.
    fn ended(&mut self) -> OperatorResult {
        self.stage = Stage::Ended;
        match self.progress.take_outcome() {
            Some(Err(error)) => Err(error),
            _ => Err(OperatorError::external("cannot write to a sink", Stopped)),
        }
    }

    /// Sees to it that the sink is told the time as long as it waits for it, and that its failure is noticed.
    fn run_clock(&mut self, now: EpochMillis, cx: &mut OperatorContext<'_>) {
        let position = self.progress.position();
        // What is still in the queue may make it wait.
        if self.clock_runs || (position.wake_at.is_none() && position.done >= self.sent) {
            return;
        }
        let next = position
            .wake_at
            .map_or(now + MAX_TICK_MILLIS, |wake_at| wake_at.clamp(now + MIN_TICK_MILLIS, now + MAX_TICK_MILLIS));
        cx.wake_at(next);
        self.clock_runs = true;
    }

    /// Says that nothing more will be written, and waits until everything is committed.
    fn end(&mut self, command: Command<S::Committable>, cx: &mut OperatorContext<'_>) -> OperatorResult<Finish> {
        if matches!(self.stage, Stage::Writing(_)) {
            self.send(command, 0)?;
            if let Stage::Writing(queue) = std::mem::replace(&mut self.stage, Stage::Ended) {
                self.stage = Stage::Finishing(queue);
            }
        }
        if let Stage::Finishing(_) = self.stage {
            match self.progress.take_outcome() {
                None => {
                    // A commit that failed is tried again by the clock.
                    self.run_clock(cx.processing_time(), cx);
                    return Ok(Finish::Pending);
                }
                Some(outcome) => {
                    self.stage = Stage::Ended;
                    outcome?;
                }
            }
        }
        Ok(Finish::Done)
    }

    fn snapshot_of(&self, committables: &[S::Committable]) -> OperatorResult<OperatorSnapshot> {
        let rows = self.sink.encode(committables)?;
        // Every subtask gets those of all, so that a writer knows what is no leftover.
        let table = OperatorTable { name: COMMITTABLES.to_owned(), redistribution: Redistribution::Union, rows };
        Ok(OperatorSnapshot { operator: vec![table], ..OperatorSnapshot::default() })
    }
}

impl<S: CommittingSink> Operator for CommittingOperator<S> {
    fn open(&mut self, cx: &mut OperatorContext<'_>) -> OperatorResult {
        let runtime = cx.runtime();
        let (sender, commands) = handover(QUEUE_BYTES);
        let Stage::New(halves) = std::mem::replace(&mut self.stage, Stage::Writing(sender)) else {
            return Err(OperatorError::data("a sink was opened twice"));
        };
        let thread = SinkThread {
            halves,
            mode: self.mode,
            progress: self.progress.clone(),
            waker: runtime.waker.clone(),
            metrics: runtime.metrics.clone(),
            env: runtime.env.clone(),
        };
        self.waker = runtime.waker.clone();
        runtime
            .env
            .spawn_thread(format!("sink-{}", runtime.subtask), move || thread.run(&commands))
            .map_err(|source| OperatorError::external("cannot start a thread for a sink", source))
    }

    fn process(&mut self, _input: InputIndex, batch: StreamBatch, cx: &mut OperatorContext<'_>) -> OperatorResult {
        let now = cx.processing_time();
        let bytes = batch.size_bytes();
        self.send(Command::Write(batch, now), bytes)?;
        self.run_clock(now, cx);
        Ok(())
    }

    fn processing_time(&mut self, now: EpochMillis, cx: &mut OperatorContext<'_>) -> OperatorResult {
        self.clock_runs = false;
        if matches!(self.stage, Stage::Writing(_) | Stage::Finishing(_)) && !self.progress.is_done() {
            let waited = self.progress.position().done >= self.sent;
            // One that is busy gets no further word, or they would pile up.
            if waited {
                self.send(Command::Tick(now), 0)?;
            } else if self.progress.has_ended() {
                return self.ended();
            }
            self.run_clock(now, cx);
        }
        Ok(())
    }

    fn finish(&mut self, cx: &mut OperatorContext<'_>) -> OperatorResult<Finish> {
        self.end(Command::Finish, cx)
    }

    fn stop(&mut self, cx: &mut OperatorContext<'_>) -> OperatorResult<Finish> {
        self.end(Command::Stop, cx)
    }

    fn saving(&mut self, checkpoint: CheckpointId) {
        self.saving = Some(checkpoint);
    }

    fn snapshot(&mut self, checkpoint: CheckpointId) -> OperatorResult<OperatorSnapshot> {
        let lists = if self.saving.take() == Some(checkpoint) { Lists::Savepoint } else { Lists::Checkpoint };
        if !matches!(self.stage, Stage::Ended) {
            self.send(Command::Checkpoint(checkpoint, lists), 0)?;
        }
        Ok(OperatorSnapshot::default())
    }

    fn poll_snapshot(&mut self, checkpoint: CheckpointId) -> OperatorResult<Poll<OperatorSnapshot>> {
        if let Some(list) = self.progress.take_list(checkpoint) {
            return self.snapshot_of(&list).map(Poll::Ready);
        }
        // Everything is committed, so nothing is listed.
        if matches!(self.stage, Stage::Ended) || self.progress.is_done() {
            return self.snapshot_of(&[]).map(Poll::Ready);
        }
        match self.progress.take_outcome() {
            Some(Err(error)) => {
                self.stage = Stage::Ended;
                Err(error)
            }
            // It has ended between the two questions: everything is committed.
            Some(Ok(())) => {
                self.stage = Stage::Ended;
                self.snapshot_of(&[]).map(Poll::Ready)
            }
            None => Ok(Poll::Pending),
        }
    }

    fn restore(&mut self, mut state: RestoredState, cx: &mut OperatorContext<'_>) -> OperatorResult {
        let OperatorRuntime { subtask, parallelism, .. } = cx.runtime();
        let batches = state.take_operator(COMMITTABLES);
        refuse_state(&state)?;
        let mut all = Vec::new();
        for batch in &batches {
            all.extend(self.sink.decode(batch)?);
        }
        let (first, step) = (*subtask as usize, (*parallelism).max(1) as usize);
        let own = all.iter().skip(first).step_by(step).cloned().collect();
        self.send(Command::Recover { own, all }, 0)?;
        self.run_clock(cx.processing_time(), cx);
        Ok(())
    }

    fn checkpoint_completed(&mut self, checkpoint: CheckpointId, cx: &mut OperatorContext<'_>) -> OperatorResult {
        self.progress.forget_lists(checkpoint);
        if self.mode == Mode::WithCheckpoints && !matches!(self.stage, Stage::Ended) {
            self.send(Command::Completed(checkpoint, cx.processing_time()), 0)?;
            self.run_clock(cx.processing_time(), cx);
        }
        Ok(())
    }

    fn is_ready(&self) -> bool {
        match &self.stage {
            Stage::Writing(queue) => queue.has_room(&self.waker),
            _ => true,
        }
    }

    fn close(&mut self) {
        self.stage = Stage::Ended;
    }
}
