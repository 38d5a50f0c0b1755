//! The thread that writes: takes batches from the queue, fills parts, finishes them.
//!
//! With checkpoints a finished part is pending: closed parts are listed in the next snapshot, and published when its
//! checkpoint completes. Parts of checkpoints that never complete are listed again in the next.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use parking_lot::Mutex;
use pelton_filesystem::location::{Location, Place};
use pelton_runtime_core::element::{CheckpointId, StreamBatch};
use pelton_runtime_core::env::{Env, Stopped};
use pelton_runtime_core::operator::{OperatorError, TaskWaker};
use pelton_runtime_core::time::EpochMillis;

use super::FileSinkFormat;
use super::encoder::{EncodeError, Encoder};
use super::part::{PartNames, Publish, WriteError};
use super::pending::{self, PendingPart};
use super::resumable;
use super::rolling::{PartAge, RollingPolicy};
use crate::handover::Receiver;

/// What a writer needs to know.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) parts: PartNames,
    pub(super) format: FileSinkFormat,
    pub(super) rolling: RollingPolicy,
    pub(super) env: Env,
}

/// What the task tells its writer.
#[derive(Debug)]
pub(super) enum Command {
    /// The job starts from a checkpoint; comes first.
    Recover(Recovery),
    /// A checkpoint's barrier has come.
    Checkpoint(CheckpointId),
    /// This checkpoint is durable.
    Completed(CheckpointId),
    /// Records that came at this time.
    Write(StreamBatch, EpochMillis),
    /// It is now.
    Tick(EpochMillis),
    /// The input has ended. A queue that ends without this belonged to a task that failed or was cancelled.
    Finish,
}

/// What a checkpoint says of parts.
#[derive(Debug, Default)]
pub(super) struct Recovery {
    /// Those that this subtask publishes.
    pub(super) publish: Vec<(PendingPart, Location)>,
    /// The names of all that are pending, of all subtasks.
    pub(super) keep: BTreeSet<String>,
}

/// What the writer tells its task.
#[derive(Clone, Default)]
pub(super) struct Progress(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    outcome: Option<Result<(), OperatorError>>,
    /// When the open part will be finished.
    deadline: Option<EpochMillis>,
    /// Batches that are in a part.
    written: u64,
    /// What was pending at checkpoints, until the task takes it.
    pending: BTreeMap<CheckpointId, Vec<PendingPart>>,
}

impl Progress {
    /// Whether everything is written and published.
    pub(super) fn is_done(&self) -> bool {
        matches!(self.0.lock().outcome, Some(Ok(())))
    }

    /// What was pending at this checkpoint, once; what older ones had is forgotten.
    pub(super) fn take_pending(&self, checkpoint: CheckpointId) -> Option<Vec<PendingPart>> {
        let mut state = self.0.lock();
        state.pending = state.pending.split_off(&checkpoint);
        state.pending.remove(&checkpoint)
    }

    /// How the writer ended, once.
    pub(super) fn take_outcome(&self) -> Option<Result<(), OperatorError>> {
        self.0.lock().outcome.take()
    }

    /// When the open part will be finished, and how many batches are in parts so far.
    pub(super) fn position(&self) -> (Option<EpochMillis>, u64) {
        let state = self.0.lock();
        (state.deadline, state.written)
    }
}

/// Reports the end of the writer, however it ends.
struct Report {
    progress: Progress,
    waker: TaskWaker,
}

impl Report {
    fn end(self, outcome: Result<(), OperatorError>) {
        self.progress.0.lock().outcome = Some(outcome);
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        let mut state = self.progress.0.lock();
        if state.outcome.is_none() {
            state.outcome = Some(Err(OperatorError::external("the writer of files ended early", Stopped)));
        }
        drop(state);
        self.waker.wake();
    }
}

/// Writes until the input ends or the task is gone.
pub(super) fn run(settings: &Settings, commands: &Receiver<Command>, progress: Progress, waker: TaskWaker) {
    let report = Report { progress: progress.clone(), waker: waker.clone() };
    let writer = Writer {
        settings,
        progress,
        waker,
        open: None,
        next_number: 0,
        closed: Vec::new(),
        listed: Vec::new(),
        ended: false,
    };
    report.end(writer.run(commands).map_err(OperatorError::from));
}

struct Writer<'a> {
    settings: &'a Settings,
    progress: Progress,
    waker: TaskWaker,
    open: Option<OpenPart>,
    next_number: u64,
    /// Pending parts that no checkpoint lists yet.
    closed: Vec<PendingPart>,
    /// Pending parts and the first checkpoint that lists them.
    listed: Vec<(CheckpointId, PendingPart)>,
    /// No more records come.
    ended: bool,
}

struct OpenPart {
    encoder: Encoder,
    age: PartAge,
}

impl Writer<'_> {
    fn run(mut self, commands: &Receiver<Command>) -> Result<(), EncodeError> {
        self.settings.parts.prepare()?;
        let mut started = false;
        while let Some(command) = commands.recv_blocking() {
            match &command {
                Command::Recover(recovery) => self.recover(recovery)?,
                // Earlier attempts may have failed before any checkpoint completed.
                _ if !started => self.recover(&Recovery::default())?,
                _ => {}
            }
            started = true;
            match command {
                Command::Recover(_) => {}
                Command::Write(batch, now) => self.write(&batch, now)?,
                Command::Tick(now) => self.roll(now)?,
                Command::Checkpoint(checkpoint) => self.checkpoint(checkpoint)?,
                Command::Completed(checkpoint) => self.publish(checkpoint)?,
                Command::Finish => {
                    self.commit()?;
                    self.ended = true;
                }
            }
            if self.ended && self.closed.is_empty() && self.listed.is_empty() {
                return Ok(());
            }
        }
        // The task is gone: the open part is dropped, and so removed. What a checkpoint lists must stay, as it may
        // complete all the same; what none lists is removed.
        self.closed.iter().for_each(|part| self.discard(part));
        Ok(())
    }

    /// Publishes what a checkpoint lists, and removes what earlier attempts left and it does not list.
    fn recover(&self, recovery: &Recovery) -> Result<(), WriteError> {
        let Settings { parts, env, .. } = self.settings;
        for (part, directory) in &recovery.publish {
            part.publish(directory, env)?;
        }
        let Place::Local(directory) = parts.directory.place() else { return Ok(()) };
        let keep = |name: &str| recovery.keep.contains(name);
        pending::remove_leftovers(directory, &parts.writer, keep)
            .map_err(|source| WriteError { path: parts.directory.to_string(), source })
    }

    /// Closes the open part, and lists everything that is not published.
    fn checkpoint(&mut self, checkpoint: CheckpointId) -> Result<(), EncodeError> {
        self.commit()?;
        self.listed.extend(self.closed.drain(..).map(|part| (checkpoint, part)));
        let pending = self.listed.iter().map(|(_, part)| part.clone()).collect();
        self.progress.0.lock().pending.insert(checkpoint, pending);
        self.waker.wake();
        Ok(())
    }

    /// Publishes what this checkpoint and those before it list.
    fn publish(&mut self, checkpoint: CheckpointId) -> Result<(), WriteError> {
        let Settings { parts, env, .. } = self.settings;
        self.listed
            .iter()
            .filter(|(listed_by, _)| *listed_by <= checkpoint)
            .try_for_each(|(_, part)| part.publish(&parts.directory, env))?;
        self.listed.retain(|(listed_by, _)| *listed_by > checkpoint);
        Ok(())
    }

    fn discard(&self, part: &PendingPart) {
        match (self.settings.parts.directory.place(), &part.upload, self.settings.parts.directory.multipart()) {
            (Place::Local(directory), ..) => {
                let path = directory.join(pending::hidden(&part.name));
                if let Err(error) = std::fs::remove_file(&path) {
                    tracing::warn!(path = %path.display(), %error, "an abandoned part file could not be removed");
                }
            }
            (Place::Remote { path, .. }, Some(upload), Some(store)) => {
                resumable::abort(store, &path.clone().join(part.name.as_str()), &upload.id, &self.settings.env);
            }
            _ => {}
        }
    }

    fn write(&mut self, batch: &StreamBatch, now: EpochMillis) -> Result<(), EncodeError> {
        self.roll(now)?;
        let open = match &mut self.open {
            Some(open) => open,
            None => {
                let part = self.settings.parts.open(self.next_number, &self.settings.env)?;
                self.next_number += 1;
                let encoder = Encoder::new(&self.settings.format, part)?;
                self.open.insert(OpenPart { encoder, age: PartAge { opened: now, last_record: now } })
            }
        };
        open.encoder.write(batch)?;
        open.age.last_record = now;
        {
            let mut state = self.progress.0.lock();
            state.deadline = Some(self.settings.rolling.deadline(&open.age));
            state.written += 1;
        }
        self.roll(now)
    }

    /// Finishes the open part when its time has come.
    fn roll(&mut self, now: EpochMillis) -> Result<(), EncodeError> {
        let due = |open: &OpenPart| self.settings.rolling.is_due(&open.age, open.encoder.bytes(), now);
        if self.open.as_ref().is_some_and(due) { self.commit() } else { Ok(()) }
    }

    fn commit(&mut self) -> Result<(), EncodeError> {
        self.progress.0.lock().deadline = None;
        let Some(open) = self.open.take() else { return Ok(()) };
        let part = open.encoder.finish()?;
        match self.settings.parts.publish {
            Publish::AtOnce => part.commit()?,
            Publish::WithCheckpoint => self.closed.push(part.close()?),
        }
        Ok(())
    }
}
