//! Reads the splits of files that an enumerator hands out.

use std::collections::BTreeMap;

use arrow::array::RecordBatch;
use pelton_runtime_core::checkpoint::snapshot::{OperatorSnapshot, RestoredState};
use pelton_runtime_core::element::StreamBatch;
use pelton_runtime_core::env::Stopped;
use pelton_runtime_core::operator::{OperatorError, OperatorResult, OperatorRuntime};
use pelton_runtime_core::source::splits::{SplitPoll, SplitReader};
use pelton_runtime_core::time::EpochMillis;

use super::error::Halt;
use super::positions::{self, SplitState};
use super::source::{FileSource, Message, PREFETCH_BYTES, read_split};
use crate::handover::{Received, Receiver, Sender, handover};

/// Reads one split after the other on a thread. Its position is what the task has taken, however far the thread is ahead.
pub(super) struct FileSplitReader {
    source: FileSource,
    runtime: OperatorRuntime,
    /// What is not read to its end, by the number that it has between task and thread.
    left: BTreeMap<usize, SplitState>,
    next_number: usize,
    running: Option<Running>,
}

struct Running {
    to_read: Sender<(usize, SplitState)>,
    messages: Receiver<Message>,
}

impl FileSplitReader {
    pub(super) fn new(source: FileSource, runtime: &OperatorRuntime) -> Self {
        Self { source, runtime: runtime.clone(), left: BTreeMap::new(), next_number: 0, running: None }
    }

    fn add(&mut self, split: SplitState) {
        if let Some(running) = &self.running {
            // A thread that has ended has failed, and says so when it is polled.
            let _ = running.to_read.push((self.next_number, split.clone()), 0);
        }
        self.left.insert(self.next_number, split);
        self.next_number += 1;
    }

    fn ended(&mut self) -> OperatorError {
        self.running = None;
        OperatorError::external(format!("reading `{}` ended early", self.source.location()), Stopped)
    }
}

impl SplitReader for FileSplitReader {
    fn restore(&mut self, state: RestoredState) -> OperatorResult {
        let splits = positions::restore(state, &self.runtime)?;
        self.source.check_restored(&splits)?;
        splits.into_iter().for_each(|split| self.add(split));
        Ok(())
    }

    fn open(&mut self, runtime: &OperatorRuntime) -> OperatorResult {
        let (to_read, splits) = handover(1);
        let (sender, messages) = handover(PREFETCH_BYTES);
        messages.wake_on_items(runtime.waker.clone());
        for (number, split) in &self.left {
            // Its receiver is here.
            let _ = to_read.push((*number, split.clone()), 0);
        }
        let (source, worker) = (self.source.clone(), runtime.clone());
        runtime
            .env
            .spawn_thread(format!("files-{}", runtime.subtask), move || run(&source, &splits, &worker, &sender))
            .map_err(|source| OperatorError::external("cannot start a thread to read files", source))?;
        self.running = Some(Running { to_read, messages });
        Ok(())
    }

    fn add_splits(&mut self, splits: &RecordBatch) -> OperatorResult {
        for split in positions::decode(splits, &self.runtime)? {
            self.add(split);
        }
        Ok(())
    }

    fn unread(&self) -> u64 {
        self.left.len() as u64
    }

    fn poll(&mut self, _now: EpochMillis) -> OperatorResult<SplitPoll> {
        loop {
            let Some(running) = &self.running else { return Ok(SplitPoll::Pending(None)) };
            match running.messages.try_recv() {
                Received::Item(Message::Batch { batch, split, position }) => {
                    if let Some(state) = self.left.get_mut(&split) {
                        state.position = Some(position);
                    }
                    return Ok(SplitPoll::Batch(StreamBatch::new(batch)));
                }
                Received::Item(Message::Done(split)) => {
                    self.left.remove(&split);
                }
                Received::Empty => return Ok(SplitPoll::Pending(None)),
                Received::Item(Message::Failed(error)) => {
                    self.running = None;
                    return Err(error.into());
                }
                Received::Item(Message::Splits(_) | Message::Complete) | Received::End => return Err(self.ended()),
            }
        }
    }

    fn snapshot(&mut self) -> OperatorResult<OperatorSnapshot> {
        positions::snapshot(self.left.values())
    }

    fn close(&mut self) {
        self.running = None;
    }
}

/// Reads splits until the task is gone.
fn run(
    source: &FileSource,
    splits: &Receiver<(usize, SplitState)>,
    runtime: &OperatorRuntime,
    sender: &Sender<Message>,
) {
    while let Some((number, split)) = splits.recv_blocking(&runtime.env) {
        match read_split(source, number, split, runtime, sender) {
            Ok(()) => {}
            Err(Halt::Cancelled) => return,
            Err(Halt::Failed(error)) => {
                // The task may be gone; then nobody waits for the reason.
                let _ = sender.push(Message::Failed(error), 0);
                return;
            }
        }
    }
}
