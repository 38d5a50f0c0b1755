//! The thread of a two-phase sink: writes, prepares and commits, as its task tells it.

use std::error::Error;

use pelton_runtime_core::element::{CheckpointId, StreamBatch};
use pelton_runtime_core::env::{Env, Stopped};
use pelton_runtime_core::failure::error_chain;
use pelton_runtime_core::metrics::{Counter, OperatorMetricGroup};
use pelton_runtime_core::operator::{OperatorError, OperatorResult, TaskWaker};
use pelton_runtime_core::planted::{PlantedFault, is_planted};
use pelton_runtime_core::time::EpochMillis;

use super::progress::{Position, Progress};
use super::protocol::{AfterFailure, CommitProtocol, Mode};
use super::{
    CommitError, CommitPoint, Committer, FAILED_COMMITTABLES, RETRIED_COMMITTABLES, SUCCESSFUL_COMMITTABLES,
    SinkWriter, TOTAL_COMMITTABLES,
};
use crate::handover::Receiver;

/// The two halves of a sink.
pub(super) struct Halves<C> {
    pub(super) writer: Box<dyn SinkWriter<C>>,
    pub(super) committer: Box<dyn Committer<C>>,
    pub(super) retries_max: u32,
}

/// What the task tells its sink.
pub(super) enum Command<C> {
    /// The job starts from a checkpoint; comes first.
    Recover {
        /// What this subtask commits.
        own: Vec<C>,
        /// What the checkpoint lists of all subtasks.
        all: Vec<C>,
    },
    /// Records that came at this time.
    Write(StreamBatch, EpochMillis),
    /// It is now.
    Tick(EpochMillis),
    /// A checkpoint's barrier has come.
    Checkpoint(CheckpointId, Lists),
    /// This checkpoint is durable, at this time.
    Completed(CheckpointId, EpochMillis),
    /// The input has ended. A queue that ends without this belonged to a task that failed or was cancelled.
    Finish,
    /// The job stops after a savepoint, which has completed: what it lists is committed, and the writer is left as it is,
    /// as somebody goes on from it.
    Stop,
}

/// What lists committables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lists {
    /// A checkpoint: whoever restarts from it knows them, and otherwise nobody needs them.
    Checkpoint,
    /// A savepoint, from which somebody may begin at any time.
    Savepoint,
}

/// What a thread works with.
pub(super) struct SinkThread<C> {
    pub(super) halves: Halves<C>,
    pub(super) mode: Mode,
    pub(super) progress: Progress<C>,
    pub(super) waker: TaskWaker,
    pub(super) metrics: OperatorMetricGroup,
    pub(super) env: Env,
}

/// Reports the end of the thread, however it ends.
struct Report<C> {
    progress: Progress<C>,
    waker: TaskWaker,
}

impl<C> Drop for Report<C> {
    fn drop(&mut self) {
        self.progress.end(Err(OperatorError::external("the thread of a sink ended early", Stopped)));
        self.waker.wake();
    }
}

impl<C: Clone + Send> SinkThread<C> {
    /// Works until everything is committed or the task is gone.
    pub(super) fn run(self, commands: &Receiver<Command<C>>) {
        let report = Report { progress: self.progress.clone(), waker: self.waker.clone() };
        let Self { halves: Halves { writer, committer, retries_max }, mode, progress, waker, metrics, env } = self;
        let work = Work {
            writer,
            committer,
            protocol: CommitProtocol::new(mode, retries_max),
            progress,
            waker,
            counters: Counters::new(&metrics),
            now: EpochMillis::MIN,
            started: false,
            ended: false,
            done: 0,
        };
        report.progress.end(work.run(&env, commands));
    }
}

struct Counters {
    total: Counter,
    successful: Counter,
    retried: Counter,
    failed: Counter,
}

impl Counters {
    fn new(metrics: &OperatorMetricGroup) -> Self {
        Self {
            total: metrics.counter(TOTAL_COMMITTABLES),
            successful: metrics.counter(SUCCESSFUL_COMMITTABLES),
            retried: metrics.counter(RETRIED_COMMITTABLES),
            failed: metrics.counter(FAILED_COMMITTABLES),
        }
    }
}

struct Work<C> {
    writer: Box<dyn SinkWriter<C>>,
    committer: Box<dyn Committer<C>>,
    protocol: CommitProtocol<C>,
    progress: Progress<C>,
    waker: TaskWaker,
    counters: Counters,
    /// The last time that the task told.
    now: EpochMillis,
    started: bool,
    /// No more records come.
    ended: bool,
    done: u64,
}

impl<C: Clone> Work<C> {
    fn run(mut self, env: &Env, commands: &Receiver<Command<C>>) -> OperatorResult {
        while let Some(command) = commands.recv_blocking(env) {
            if !std::mem::replace(&mut self.started, true) && !matches!(command, Command::Recover { .. }) {
                // Earlier attempts may have failed before any checkpoint completed.
                self.writer.recover(&[])?;
            }
            self.obey(command)?;
            let finished = self.writer.take_finished();
            self.protocol.prepared(finished);
            self.commit()?;
            if self.ended && self.protocol.is_settled() {
                return Ok(());
            }
            self.done += 1;
            let wake_at = [self.writer.wake_at(), self.protocol.retry_at()].into_iter().flatten().min();
            self.progress.set_position(Position { wake_at, done: self.done });
        }
        // The task is gone. What a checkpoint lists must stay, as it may complete all the same.
        for committable in self.protocol.abandon() {
            self.writer.discard(&committable);
        }
        Ok(())
    }

    fn obey(&mut self, command: Command<C>) -> OperatorResult {
        match command {
            Command::Recover { own, all } => {
                if !is_planted(PlantedFault::LeftoversKept) {
                    self.writer.recover(&all)?;
                }
                if !is_planted(PlantedFault::RestoredCommittablesForgotten) {
                    self.protocol.restored(own);
                }
            }
            Command::Write(batch, now) => {
                self.now = now;
                self.writer.write(&batch, now)?;
            }
            Command::Tick(now) => {
                self.now = now;
                if !self.ended {
                    self.writer.tick(now)?;
                }
            }
            Command::Checkpoint(checkpoint, lists) => {
                self.prepare(CommitPoint::Checkpoint)?;
                let mut list = self.protocol.checkpoint(checkpoint);
                list.extend(self.writer.commit_if_restored()?);
                if is_planted(PlantedFault::CommitBeforeCheckpoint) {
                    self.protocol.completed(checkpoint);
                }
                if lists == Lists::Savepoint {
                    list.iter().try_for_each(|committable| self.committer.keep(committable))?;
                }
                self.progress.put_list(checkpoint, list);
                self.waker.wake();
            }
            Command::Completed(checkpoint, now) => {
                self.now = now;
                self.protocol.completed(checkpoint);
            }
            Command::Finish => {
                self.prepare(CommitPoint::EndOfInput)?;
                self.ended = true;
            }
            Command::Stop => self.ended = true,
        }
        Ok(())
    }

    fn prepare(&mut self, point: CommitPoint) -> OperatorResult {
        let prepared = self.writer.prepare_commit(point)?;
        let finished = self.writer.take_finished();
        self.protocol.prepared(finished.into_iter().chain(prepared));
        Ok(())
    }

    /// Commits what is due.
    fn commit(&mut self) -> OperatorResult {
        while let Some(committable) = self.protocol.next(self.now) {
            self.counters.total.add(1);
            match self.committer.commit(committable) {
                Ok(()) => {
                    self.counters.successful.add(1);
                    self.protocol.committed();
                }
                Err(CommitError::Failed(error)) => {
                    self.counters.failed.add(1);
                    return Err(error);
                }
                Err(CommitError::Retry { action, source }) => self.failed_for_now(action, source)?,
            }
        }
        Ok(())
    }

    fn failed_for_now(&mut self, action: String, source: Box<dyn Error + Send + Sync>) -> OperatorResult {
        match self.protocol.failed_for_now(self.now) {
            AfterFailure::RetryAt(retry_at) => {
                self.counters.retried.add(1);
                let millis = retry_at.saturating_sub(self.now);
                tracing::warn!(
                    action,
                    error = error_chain(&*source),
                    "a commit failed and is tried again in {millis} ms"
                );
                Ok(())
            }
            AfterFailure::GiveUp { tries } => {
                self.counters.failed.add(1);
                Err(OperatorError::external(format!("{action}: given up after {tries} tries"), source))
            }
        }
    }
}
