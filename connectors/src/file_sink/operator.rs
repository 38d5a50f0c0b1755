//! The task's side of the file sink: hands batches over and tells the time.

use std::sync::Arc;
use std::task::Poll;

use pelton_filesystem::location::Location;
use pelton_runtime_core::checkpoint::snapshot::{OperatorSnapshot, RestoredState};
use pelton_runtime_core::element::{CheckpointId, RowKind, StreamBatch};
use pelton_runtime_core::operator::{
    Finish, InputIndex, Operator, OperatorContext, OperatorError, OperatorResult, OperatorRuntime, TaskWaker,
};
use pelton_runtime_core::time::EpochMillis;

use super::part::Publish;
use super::pending;
use super::writer::{self, Command, Progress, Recovery, Settings};
use crate::handover::{Sender, handover};

/// Bytes that wait between the task and its writer.
const QUEUE_BYTES: usize = 8 << 20;

/// How often the writer is told the time, at most and at least; the deadline of a part lies between.
const MIN_TICK_MILLIS: EpochMillis = 1;
const MAX_TICK_MILLIS: EpochMillis = 1000;

pub(super) struct FileSinkOperator {
    settings: Arc<Settings>,
    stage: Stage,
    progress: Progress,
    waker: TaskWaker,
    /// Whether a call of `processing_time` is due to come.
    clock_runs: bool,
    /// Batches handed to the writer.
    sent: u64,
}

enum Stage {
    New,
    Writing(Sender<Command>),
    /// The queue stays open: one that is closed means to give up.
    Finishing(Sender<Command>),
    Ended,
}

impl FileSinkOperator {
    pub(super) fn new(settings: Arc<Settings>) -> Self {
        Self {
            settings,
            stage: Stage::New,
            progress: Progress::default(),
            waker: TaskWaker::noop(),
            clock_runs: false,
            sent: 0,
        }
    }

    fn publishes_with_checkpoints(&self) -> bool {
        self.settings.parts.publish == Publish::WithCheckpoint
    }

    fn send(&mut self, command: Command, bytes: usize) -> OperatorResult {
        let (Stage::Writing(queue) | Stage::Finishing(queue)) = &self.stage else {
            return Err(OperatorError::data("the file sink was given records before it was opened or after it ended"));
        };
        // A writer that is done with everything has nothing to hear.
        if queue.push(command, bytes).is_ok() || self.progress.is_done() {
            return Ok(());
        }
        self.stage = Stage::Ended;
        // The writer ended although its task is here, so it failed; it reports before its queue closes.
        match self.progress.take_outcome() {
            Some(Err(error)) => Err(error),
            _ => Err(OperatorError::external("cannot write files", pelton_runtime_core::env::Stopped)),
        }
    }

    fn run_clock(&mut self, now: EpochMillis, cx: &mut OperatorContext<'_>) {
        let next = self
            .progress
            .position()
            .0
            .map_or(now + MAX_TICK_MILLIS, |deadline| deadline.clamp(now + MIN_TICK_MILLIS, now + MAX_TICK_MILLIS));
        cx.wake_at(next);
        self.clock_runs = true;
    }
}

impl Operator for FileSinkOperator {
    fn open(&mut self, cx: &mut OperatorContext<'_>) -> OperatorResult {
        let runtime = cx.runtime();
        let (sender, commands) = handover(QUEUE_BYTES);
        let (settings, progress, waker) = (Arc::clone(&self.settings), self.progress.clone(), runtime.waker.clone());
        runtime
            .env
            .spawn_thread(format!("file-sink-{}", runtime.subtask), move || {
                writer::run(&settings, &commands, progress, waker);
            })
            .map_err(|source| OperatorError::external("cannot start a thread to write files", source))?;
        self.waker = runtime.waker.clone();
        self.stage = Stage::Writing(sender);
        Ok(())
    }

    fn process(&mut self, _input: InputIndex, batch: StreamBatch, cx: &mut OperatorContext<'_>) -> OperatorResult {
        if batch.kinds().is_some_and(|kinds| kinds.iter().any(|&kind| kind != RowKind::Insert as u8)) {
            return Err(OperatorError::data(
                "files can only be appended to, and the stream has updates or deletions of earlier records",
            ));
        }
        // Files have no place for row kinds, and these say nothing.
        let batch = batch.with_kinds(None);
        let now = cx.processing_time();
        let bytes = batch.size_bytes();
        self.send(Command::Write(batch, now), bytes)?;
        self.sent += 1;
        if !self.clock_runs {
            self.run_clock(now, cx);
        }
        Ok(())
    }

    fn processing_time(&mut self, now: EpochMillis, cx: &mut OperatorContext<'_>) -> OperatorResult {
        self.clock_runs = false;
        if matches!(self.stage, Stage::Writing(_)) {
            self.send(Command::Tick(now), 0)?;
            // What is still in the queue will be in a part that is open.
            let (deadline, written) = self.progress.position();
            if deadline.is_some() || written < self.sent {
                self.run_clock(now, cx);
            }
        }
        Ok(())
    }

    fn finish(&mut self, _cx: &mut OperatorContext<'_>) -> OperatorResult<Finish> {
        if matches!(self.stage, Stage::Writing(_)) {
            self.send(Command::Finish, 0)?;
            if let Stage::Writing(queue) = std::mem::replace(&mut self.stage, Stage::Ended) {
                self.stage = Stage::Finishing(queue);
            }
        }
        if let Stage::Finishing(_) = self.stage {
            match self.progress.take_outcome() {
                None => return Ok(Finish::Pending),
                Some(outcome) => {
                    self.stage = Stage::Ended;
                    outcome?;
                }
            }
        }
        Ok(Finish::Done)
    }

    fn snapshot(&mut self, checkpoint: CheckpointId) -> OperatorResult<OperatorSnapshot> {
        if self.publishes_with_checkpoints() && !matches!(self.stage, Stage::Ended) {
            self.send(Command::Checkpoint(checkpoint), 0)?;
        }
        Ok(OperatorSnapshot::default())
    }

    fn poll_snapshot(&mut self, checkpoint: CheckpointId) -> OperatorResult<Poll<OperatorSnapshot>> {
        if !self.publishes_with_checkpoints() {
            return Ok(Poll::Ready(OperatorSnapshot::default()));
        }
        if let Some(pending) = self.progress.take_pending(checkpoint) {
            return pending::snapshot(&pending).map(Poll::Ready);
        }
        // Everything is published, so nothing is pending.
        if matches!(self.stage, Stage::Ended) || self.progress.is_done() {
            return pending::snapshot(&[]).map(Poll::Ready);
        }
        match self.progress.take_outcome() {
            Some(Err(error)) => {
                self.stage = Stage::Ended;
                Err(error)
            }
            // It has ended between the two questions: everything is published.
            Some(Ok(())) => {
                self.stage = Stage::Ended;
                pending::snapshot(&[]).map(Poll::Ready)
            }
            None => Ok(Poll::Pending),
        }
    }

    fn restore(&mut self, state: RestoredState, cx: &mut OperatorContext<'_>) -> OperatorResult {
        let OperatorRuntime { subtask, parallelism, configuration, .. } = cx.runtime();
        let parts = pending::restore(state)?;
        let keep = parts.iter().map(|part| part.name.clone()).collect();
        let directory = &self.settings.parts.directory;
        let publish =
            parts.into_iter().enumerate().filter(|(index, _)| index % *parallelism as usize == *subtask as usize);
        let publish = publish
            .map(|(_, part)| {
                let location = match part.directory == directory.to_string() {
                    true => directory.clone(),
                    false => Location::parse(&part.directory, configuration)
                        .map_err(|error| OperatorError::data(pelton_runtime_core::failure::error_chain(&error)))?,
                };
                Ok((part, location))
            })
            .collect::<OperatorResult<_>>()?;
        self.send(Command::Recover(Recovery { publish, keep }), 0)
    }

    fn checkpoint_completed(&mut self, checkpoint: CheckpointId, _cx: &mut OperatorContext<'_>) -> OperatorResult {
        if self.publishes_with_checkpoints() && !matches!(self.stage, Stage::Ended) {
            self.send(Command::Completed(checkpoint), 0)?;
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
