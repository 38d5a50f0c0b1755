//! The thread that writes: takes batches from the queue, fills parts, finishes them.

use std::sync::Arc;

use parking_lot::Mutex;
use pelton_runtime_core::element::StreamBatch;
use pelton_runtime_core::env::{Env, Stopped};
use pelton_runtime_core::operator::{OperatorError, TaskWaker};
use pelton_runtime_core::time::EpochMillis;

use super::FileSinkFormat;
use super::encoder::{EncodeError, Encoder};
use super::part::PartNames;
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
    /// Records that came at this time.
    Write(StreamBatch, EpochMillis),
    /// It is now.
    Tick(EpochMillis),
    /// The input has ended. A queue that ends without this belonged to a task that failed or was cancelled.
    Finish,
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
}

impl Progress {
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
    let report = Report { progress: progress.clone(), waker };
    let outcome = Writer { settings, progress, open: None, next_number: 0 }.run(commands);
    report.end(outcome.map_err(OperatorError::from));
}

struct Writer<'a> {
    settings: &'a Settings,
    progress: Progress,
    open: Option<OpenPart>,
    next_number: u64,
}

struct OpenPart {
    encoder: Encoder,
    age: PartAge,
}

impl Writer<'_> {
    fn run(mut self, commands: &Receiver<Command>) -> Result<(), EncodeError> {
        self.settings.parts.prepare()?;
        while let Some(command) = commands.recv_blocking() {
            match command {
                Command::Write(batch, now) => self.write(&batch, now)?,
                Command::Tick(now) => self.roll(now)?,
                Command::Finish => return self.commit(),
            }
        }
        // The task is gone: the open part is dropped, and so removed.
        Ok(())
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
        match self.open.take() {
            Some(open) => open.encoder.commit(),
            None => Ok(()),
        }
    }
}
