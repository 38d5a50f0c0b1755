//! Results of a job on their way to the program that reads them, wherever its workers are.
//!
//! ```text
//!  sink ─► Serving ─► ServedResults ◄── requests: version, offset ── (worker ◄─ JobMaster ◄─) CollectedResults ◄── program
//! ```
//!
//! Rows have numbers, from 0 in the order in which the sink got them. A request says how far the reader is, which lets go
//! of what lies before, and is answered when there is more. Every attempt of the sink is a *version*: a new one begins where
//! the checkpoint of its restart was, and the reader forgets what it was given after that.
//!
//! Invariants: a reader that counts exactly once is shown a row only when the checkpoint after it has completed or the job
//! has finished, so it is never shown what a restart takes back; an attempt that has been replaced adds nothing any more;
//! a sink holds about [`BYTES_HELD_MAX`] that nobody has fetched, and no more.

mod reader;
#[cfg(test)]
mod tests;
mod wire;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::RecordBatch;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::operator::TaskWaker;

pub use self::reader::{CollectedResults, ReaderError};
pub use self::wire::ResultsError;

/// Bytes that a sink holds before it takes no more.
pub const BYTES_HELD_MAX: usize = 4 << 20;

/// How often a reader is shown a row when the job restarts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Guarantee {
    /// The job takes no checkpoints: what a restart brings again cannot be told apart.
    None,
    /// Rows since the last checkpoint are shown at once, and come again.
    AtLeastOnce,
    /// Rows are shown when a checkpoint has completed.
    ExactlyOnce,
}

/// What a reader wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ResultsRequest {
    /// The version it knows; 0 before it knows one.
    pub version: u64,
    /// The number of the first row that it does not have.
    pub offset: u64,
    /// How far it knows that rows may be shown.
    pub visible: u64,
    /// How many bytes of rows it takes, roughly; none if 0.
    pub bytes_max: usize,
}

/// What a reader is given.
#[derive(Debug, Clone, PartialEq)]
pub struct Results {
    /// The sink's attempt; 0 while there is none.
    pub version: u64,
    /// The number of the first row of this version that earlier ones have not shown.
    pub restored: u64,
    /// The number of the first row that must not be shown yet.
    pub visible: u64,
    /// The number of the first of `rows`.
    pub offset: u64,
    /// What restarts do to rows.
    pub guarantee: Guarantee,
    /// Some rows.
    pub rows: Option<RecordBatch>,
}

impl Results {
    /// The answer of a sink that does not run.
    pub fn none() -> Self {
        Self { version: 0, restored: 0, visible: 0, offset: 0, guarantee: Guarantee::None, rows: None }
    }
}

/// The results that one sink serves; clones share them.
#[derive(Clone, Default)]
pub struct ServedResults(Arc<Shared>);

#[derive(Default)]
struct Shared {
    current: Mutex<Option<Current>>,
    changed: Notify,
    /// Its reader is gone, and rows are dropped.
    closed: AtomicBool,
}

/// The attempt that serves.
struct Current {
    version: u64,
    restored: u64,
    guarantee: Guarantee,
    /// The number of the first row that is held.
    first: u64,
    held: VecDeque<RecordBatch>,
    /// The number of the row that comes next.
    end: u64,
    bytes: usize,
    committed: u64,
    /// The number of the first row that the reader does not have.
    fetched: u64,
    waker: TaskWaker,
}

/// The sink's end of one attempt.
#[derive(Debug)]
pub struct Serving {
    shared: ServedResults,
    version: u64,
}

/// The rows that nobody has fetched, for a checkpoint.
#[derive(Debug, Clone)]
pub struct HeldResults {
    /// The number of the first.
    pub first: u64,
    /// The number of the row that comes next.
    pub end: u64,
    /// The rows.
    pub rows: Vec<RecordBatch>,
}

impl ServedResults {
    /// Begins an attempt, with what its checkpoint held. `version` must be another one than before, and not 0; `waker`
    /// is called when there is room, and when everything was fetched.
    pub fn begin(&self, version: u64, guarantee: Guarantee, held: Option<HeldResults>, waker: TaskWaker) -> Serving {
        let held = held.unwrap_or(HeldResults { first: 0, end: 0, rows: Vec::new() });
        let current = Current {
            version,
            restored: held.end,
            guarantee,
            first: held.first,
            bytes: held.rows.iter().map(bytes_of).sum(),
            held: held.rows.into(),
            end: held.end,
            committed: held.end,
            fetched: held.first,
            waker,
        };
        *self.0.current.lock() = Some(current);
        self.0.changed.notify_waiters();
        Serving { shared: self.clone(), version }
    }

    /// Whether both are the results of one sink.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// The reader in the sink's own process wants no more: the sink drops what comes.
    pub fn close(&self) {
        self.0.closed.store(true, Ordering::Release);
        if let Some(current) = self.0.current.lock().as_mut() {
            current.let_go(u64::MAX);
        }
    }

    /// What `request` asks for, as soon as there is any of it.
    pub async fn fetch(&self, request: ResultsRequest) -> Results {
        loop {
            let mut changed = std::pin::pin!(self.0.changed.notified());
            // From here on a change is not missed.
            changed.as_mut().enable();
            let results = self.now(request);
            let is_news = results.version != request.version || results.visible > request.visible;
            if results.version != 0 && (is_news || results.rows.is_some()) {
                return results;
            }
            changed.await;
        }
    }

    /// What `request` asks for, as far as it is there.
    pub fn now(&self, request: ResultsRequest) -> Results {
        let mut current = self.0.current.lock();
        let Some(current) = current.as_mut() else { return Results::none() };
        let mut rows = None;
        if request.version == current.version {
            current.let_go(request.offset);
            rows = current.held.front().filter(|_| request.bytes_max > 0).map(|batch| part(batch, request.bytes_max));
        }
        Results {
            version: current.version,
            restored: current.restored,
            visible: match current.guarantee {
                Guarantee::ExactlyOnce => current.committed,
                Guarantee::None | Guarantee::AtLeastOnce => current.end,
            },
            offset: current.first,
            guarantee: current.guarantee,
            rows,
        }
    }
}

impl Current {
    /// The reader has what lies before `offset`.
    fn let_go(&mut self, offset: u64) {
        let was_full = self.bytes >= BYTES_HELD_MAX;
        self.fetched = self.fetched.max(offset);
        while let Some(batch) = self.held.front_mut() {
            let gone = usize::try_from(self.fetched.saturating_sub(self.first)).unwrap_or(usize::MAX);
            if gone == 0 {
                break;
            }
            self.bytes -= bytes_of(batch);
            let rows = batch.num_rows();
            if gone < rows {
                *batch = batch.slice(gone, rows - gone);
                self.bytes += bytes_of(batch);
                self.first += gone as u64;
                break;
            }
            self.first += rows as u64;
            self.held.pop_front();
        }
        if (was_full && self.bytes < BYTES_HELD_MAX) || self.held.is_empty() {
            self.waker.wake();
        }
    }
}

impl Serving {
    /// Adds rows.
    pub fn push(&self, rows: &RecordBatch) {
        self.change(|current| {
            current.end += rows.num_rows() as u64;
            current.bytes += bytes_of(rows);
            current.held.push_back(rows.clone());
            if self.shared.0.closed.load(Ordering::Acquire) {
                current.fetched = u64::MAX;
            }
            // A reader may have been shown more than this attempt has come to, when it began from an older checkpoint.
            current.let_go(current.fetched);
        });
    }

    /// Whether it may take more.
    pub fn has_room(&self) -> bool {
        self.read(|current| current.bytes < BYTES_HELD_MAX).unwrap_or(true)
    }

    /// Whether the reader has everything; so it is for an attempt that has been replaced.
    pub fn is_fetched(&self) -> bool {
        self.read(|current| current.held.is_empty() && current.fetched >= current.end).unwrap_or(true)
    }

    /// A checkpoint that has all rows before this one has completed.
    pub fn commit(&self, end: u64) {
        self.change(|current| current.committed = current.committed.max(end));
    }

    /// What a checkpoint must have.
    pub fn held(&self) -> HeldResults {
        let held = |current: &Current| HeldResults {
            first: current.first,
            end: current.end,
            rows: current.held.iter().cloned().collect(),
        };
        self.read(held).unwrap_or(HeldResults { first: 0, end: 0, rows: Vec::new() })
    }

    fn read<T>(&self, read: impl FnOnce(&Current) -> T) -> Option<T> {
        let current = self.shared.0.current.lock();
        current.as_ref().filter(|current| current.version == self.version).map(read)
    }

    fn change(&self, change: impl FnOnce(&mut Current)) {
        let mut current = self.shared.0.current.lock();
        if let Some(current) = current.as_mut().filter(|current| current.version == self.version) {
            change(current);
            self.shared.0.changed.notify_waiters();
        }
    }
}

/// The first rows of a batch that have about so many bytes, one at least.
fn part(batch: &RecordBatch, bytes_max: usize) -> RecordBatch {
    let rows = batch.num_rows();
    let bytes = bytes_of(batch);
    if bytes <= bytes_max {
        return batch.clone();
    }
    let fitting = (rows as u128 * bytes_max as u128 / bytes as u128) as usize;
    batch.slice(0, fitting.clamp(1, rows))
}

fn bytes_of(batch: &RecordBatch) -> usize {
    crate::element::StreamBatch::new(batch.clone()).size_bytes()
}

impl std::fmt::Debug for ServedResults {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ServedResults")
    }
}
