//! Reads the splits of one subtask, in turn, on a thread.
//!
//! A split that is paused is not fetched, and what was fetched of it before waits here, in its order.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use parking_lot::Mutex;
use pelton_runtime_core::checkpoint::snapshot::{OperatorSnapshot, OperatorTable, Redistribution, RestoredState};
use pelton_runtime_core::element::StreamBatch;
use pelton_runtime_core::env::Stopped;
use pelton_runtime_core::operator::{OperatorError, OperatorResult, OperatorRuntime, refuse_state};
use pelton_runtime_core::source::Boundedness;
use pelton_runtime_core::source::splits::{SplitPoll, SplitReader};
use pelton_runtime_core::time::EpochMillis;

use super::{Fetched, ReadSource, Rest, SplitFetcher};
use crate::handover::{Received, Receiver, Sender, handover};
use crate::wait::wait_for;

/// Bytes of records that wait between a reader's thread and its task.
const PREFETCH_BYTES: usize = 8 << 20;

/// How long the thread rests when no split has anything.
const REST: Duration = Duration::from_millis(20);

/// The table's name in snapshots.
const SPLITS: &str = "splits";

enum Message<S> {
    /// Records of a split, and the split after them.
    Records {
        batch: RecordBatch,
        number: usize,
        split: S,
    },
    /// A split was read to its end.
    Done(usize),
    Failed(OperatorError),
}

pub(super) struct FetchReader<S: ReadSource> {
    source: Arc<S>,
    /// Until the thread has it.
    fetcher: Option<Box<dyn SplitFetcher<S::Split>>>,
    subtask: usize,
    parallelism: usize,
    /// What is not read to its end, as far as the task has taken it.
    left: BTreeMap<usize, S::Split>,
    next_number: usize,
    /// Splits of which those behind the source have not heard.
    unheard: VecDeque<usize>,
    /// Splits that have to wait.
    waiting: BTreeSet<usize>,
    /// What was fetched of splits that had to wait.
    held: VecDeque<Message<S::Split>>,
    /// What the thread does not fetch: what has to wait, and what is held, so that no more is held than once fits between the
    /// thread and here.
    paused: Arc<Mutex<BTreeSet<usize>>>,
    running: Option<Running<S::Split>>,
}

struct Running<S> {
    to_read: Sender<(usize, S)>,
    messages: Receiver<Message<S>>,
}

impl<S: ReadSource> FetchReader<S> {
    pub(super) fn new(source: Arc<S>, runtime: &OperatorRuntime) -> OperatorResult<Self> {
        Ok(Self {
            fetcher: Some(source.fetcher(runtime)?),
            source,
            subtask: runtime.subtask as usize,
            parallelism: runtime.parallelism.max(1) as usize,
            left: BTreeMap::new(),
            next_number: 0,
            unheard: VecDeque::new(),
            waiting: BTreeSet::new(),
            held: VecDeque::new(),
            paused: Arc::default(),
            running: None,
        })
    }

    /// What comes next, of those that need not wait.
    fn next(&mut self) -> Received<Message<S::Split>> {
        if let Some(first) = self.held.iter().position(|message| !message.is_of(&self.waiting))
            && let Some(message) = self.held.remove(first)
        {
            self.pause();
            return Received::Item(message);
        }
        let Some(running) = &self.running else { return Received::Empty };
        loop {
            match running.messages.try_recv() {
                Received::Item(message) if message.is_of(&self.waiting) => self.held.push_back(message),
                received => return received,
            }
        }
    }

    /// Tells the thread what not to fetch.
    fn pause(&self) {
        let held = self.held.iter().filter_map(Message::number);
        *self.paused.lock() = self.waiting.iter().copied().chain(held).collect();
    }

    fn add(&mut self, split: S::Split) {
        if let Some(running) = &self.running {
            // A thread that has ended has failed, and says so when it is polled.
            let _ = running.to_read.push((self.next_number, split.clone()), 0);
        }
        self.left.insert(self.next_number, split);
        self.unheard.push_back(self.next_number);
        self.next_number += 1;
    }
}

impl<S: ReadSource> SplitReader for FetchReader<S> {
    fn restore(&mut self, mut state: RestoredState) -> OperatorResult {
        let mut all = Vec::new();
        for batch in state.take_operator(SPLITS) {
            all.extend(self.source.decode(&batch)?);
        }
        refuse_state(&state)?;
        // The same order for every reader.
        all.sort_by_cached_key(|split| self.source.split_id(split));
        let (first, step) = (self.subtask, self.parallelism);
        all.into_iter().skip(first).step_by(step).for_each(|split| self.add(split));
        Ok(())
    }

    fn open(&mut self, runtime: &OperatorRuntime) -> OperatorResult {
        let Some(fetcher) = self.fetcher.take() else {
            return Err(OperatorError::data("a reader of splits was opened twice"));
        };
        let (to_read, splits) = handover(1);
        let (sender, messages) = handover(PREFETCH_BYTES);
        messages.wake_on_items(runtime.waker.clone());
        for (number, split) in &self.left {
            // Its receiver is here.
            let _ = to_read.push((*number, split.clone()), 0);
        }
        let (worker, paused) = (runtime.clone(), Arc::clone(&self.paused));
        let work = move || {
            let reading = Reading { fetcher, paused, active: VecDeque::new(), resting: 0 };
            if let Err(Halt::Failed(error)) = reading.run(&splits, &worker, &sender) {
                // The task may be gone; then nobody waits for the reason.
                let _ = sender.push(Message::Failed(error), 0);
            }
        };
        runtime
            .env
            .spawn_thread(format!("fetch-{}", runtime.subtask), work)
            .map_err(|source| OperatorError::external("cannot start a thread to read splits", source))?;
        self.running = Some(Running { to_read, messages });
        Ok(())
    }

    fn add_splits(&mut self, splits: &RecordBatch) -> OperatorResult {
        for split in self.source.decode(splits)? {
            self.add(split);
        }
        Ok(())
    }

    fn unread(&self) -> u64 {
        // The splits of a source that does not end may not either, so they do not keep others away.
        match self.source.boundedness() {
            Boundedness::ContinuousUnbounded => 0,
            Boundedness::Bounded => self.left.len() as u64,
        }
    }

    fn poll(&mut self, _now: EpochMillis) -> OperatorResult<SplitPoll> {
        if let Some(number) = self.unheard.pop_front() {
            return Ok(SplitPoll::Added(tag(number)));
        }
        match self.next() {
            Received::Item(Message::Records { batch, number, split }) => {
                self.left.insert(number, split);
                Ok(SplitPoll::Batch(StreamBatch::new(batch).of_split(tag(number))))
            }
            Received::Item(Message::Done(number)) => {
                self.left.remove(&number);
                Ok(SplitPoll::Ended(tag(number)))
            }
            Received::Empty => Ok(SplitPoll::Pending(None)),
            Received::Item(Message::Failed(error)) => {
                self.running = None;
                Err(error)
            }
            Received::End => {
                self.running = None;
                Err(OperatorError::external("reading splits ended early", Stopped))
            }
        }
    }

    fn pause_splits(&mut self, splits: &[u32]) -> bool {
        self.waiting = self.left.keys().copied().filter(|number| splits.contains(&tag(*number))).collect();
        self.pause();
        true
    }

    fn snapshot(&mut self) -> OperatorResult<OperatorSnapshot> {
        let splits: Vec<_> = self.left.values().cloned().collect();
        let rows = self.source.encode(&splits)?;
        let table = OperatorTable { name: SPLITS.to_owned(), redistribution: Redistribution::Union, rows };
        Ok(OperatorSnapshot { operator: vec![table], ..OperatorSnapshot::default() })
    }

    fn close(&mut self) {
        self.running = None;
    }
}

/// A split as those know it who are chained to the source. A reader does not live to see so many that two are the same.
fn tag(number: usize) -> u32 {
    number as u32
}

impl<S> Message<S> {
    /// Whether it is of one of these splits.
    fn is_of(&self, splits: &BTreeSet<usize>) -> bool {
        self.number().is_some_and(|number| splits.contains(&number))
    }

    /// The split that it is of.
    fn number(&self) -> Option<usize> {
        match self {
            Self::Records { number, .. } | Self::Done(number) => Some(*number),
            Self::Failed(_) => None,
        }
    }
}

/// Why the thread ends.
enum Halt {
    /// The task is gone.
    Cancelled,
    Failed(OperatorError),
}

impl From<OperatorError> for Halt {
    fn from(error: OperatorError) -> Self {
        Self::Failed(error)
    }
}

/// The thread's side.
struct Reading<S> {
    fetcher: Box<dyn SplitFetcher<S>>,
    paused: Arc<Mutex<BTreeSet<usize>>>,
    /// The next in turn first.
    active: VecDeque<(usize, S)>,
    /// How many in a row had nothing.
    resting: usize,
}

impl<S: Clone> Reading<S> {
    /// Reads until the task is gone.
    fn run(
        mut self,
        splits: &Receiver<(usize, S)>,
        runtime: &OperatorRuntime,
        sender: &Sender<Message<S>>,
    ) -> Result<(), Halt> {
        loop {
            loop {
                match splits.try_recv() {
                    Received::Item(split) => self.active.push_back(split),
                    Received::Empty => break,
                    Received::End => return Err(Halt::Cancelled),
                }
            }
            let Some((number, mut split)) = self.active.pop_front() else {
                self.active.push_back(splits.recv_blocking(&runtime.env).ok_or(Halt::Cancelled)?);
                continue;
            };
            if self.paused.lock().contains(&number) {
                self.active.push_back((number, split));
                self.resting += 1;
                self.rest(runtime)?;
                continue;
            }
            let Fetched { records, rest } = self.fetcher.fetch(&mut split)?;
            if let Some(batch) = records.filter(|records| records.num_rows() > 0) {
                self.resting = 0;
                let (bytes, split) = (batch.get_array_memory_size(), split.clone());
                let message = Message::Records { batch, number, split };
                sender.send_blocking(&runtime.env, message, bytes).map_err(|_| Halt::Cancelled)?;
            }
            match rest {
                // In turn, so that event time comes as far in all of them.
                Rest::More => self.active.push_back((number, split)),
                Rest::Later => {
                    self.active.push_back((number, split));
                    self.resting += 1;
                }
                Rest::Nothing => sender.push(Message::Done(number), 0).map_err(|_| Halt::Cancelled)?,
            }
            self.rest(runtime)?;
        }
    }

    /// Rests when no split has anything.
    fn rest(&mut self, runtime: &OperatorRuntime) -> Result<(), Halt> {
        if self.resting < self.active.len() || self.resting == 0 {
            return Ok(());
        }
        self.resting = 0;
        wait_for(&runtime.env, runtime.env.sleep(REST)).map_err(|_| Halt::Cancelled)
    }
}
