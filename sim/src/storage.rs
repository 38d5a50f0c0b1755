//! Where checkpoints are kept: in memory, as slow, as forgetful and as unsure as object stores are.
//!
//! ```text
//!  put ──► delay ──► done ──► delay ──► told         a crash of the asker may come anywhere in between
//!             └────► refused             └────► told that nobody knows, and done now, later or never
//! ```
//!
//! Everybody who asks for a directory sees the same files. What is listed may be behind what is there.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use pelton_runtime_core::checkpoint::storage::{PutIfAbsent, Storage, StorageAction, StorageError, StoredFile};
use pelton_runtime_core::time::Moment;

use crate::simulator::{ProcessId, Simulator};

/// How badly the storage behaves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Conduct {
    /// How long half of an operation takes at most.
    pub delay: Duration,
    /// How often something is refused.
    pub refusals: f64,
    /// How often nobody knows whether something was written.
    pub doubts: f64,
    /// How old what is listed may be.
    pub listing_behind: Duration,
}

impl Conduct {
    /// It does what it is asked to, and soon.
    pub const GOOD: Self =
        Self { delay: Duration::from_millis(8), refusals: 0.0, doubts: 0.0, listing_behind: Duration::ZERO };
}

/// All files of all directories; clones share them.
#[derive(Clone)]
pub struct SimulatedStorage(Arc<Shared>);

struct Shared {
    simulator: Simulator,
    /// What does later what nobody waited for.
    process: ProcessId,
    state: Mutex<State>,
}

struct State {
    conduct: Conduct,
    files: BTreeMap<String, File>,
    /// How often something was written or removed.
    changes: u64,
    /// Files that have been removed, and when.
    removed: BTreeMap<String, (File, Moment)>,
}

#[derive(Clone)]
struct File {
    bytes: Bytes,
    written: Moment,
}

impl SimulatedStorage {
    /// Without files, and of good conduct.
    pub fn new(simulator: Simulator) -> Self {
        let process = simulator.start_process("storage".to_owned(), "storage".to_owned(), None);
        let state = State { conduct: Conduct::GOOD, files: BTreeMap::new(), changes: 0, removed: BTreeMap::new() };
        Self(Arc::new(Shared { simulator, process, state: Mutex::new(state) }))
    }

    /// Behaves like this from now on.
    pub fn set_conduct(&self, conduct: Conduct) {
        self.0.state.lock().conduct = conduct;
    }

    /// All files by their whole paths, for those who check.
    pub fn files(&self) -> BTreeMap<String, Bytes> {
        let state = self.0.state.lock();
        state.files.iter().map(|(path, file)| (path.clone(), file.bytes.clone())).collect()
    }

    /// How often something was written or removed.
    pub fn changes(&self) -> u64 {
        self.0.state.lock().changes
    }

    async fn pass_time(&self) {
        let most = self.0.state.lock().conduct.delay;
        let delay = self.0.simulator.time_between(Duration::ZERO, most);
        self.0.simulator.sleep(delay).await;
    }

    fn refuses(&self) -> bool {
        let refusals = self.0.state.lock().conduct.refusals;
        self.0.simulator.happens(refusals)
    }

    fn doubts(&self) -> bool {
        let doubts = self.0.state.lock().conduct.doubts;
        self.0.simulator.happens(doubts)
    }

    /// Answers whether it was written.
    fn write(&self, path: &str, bytes: Bytes, only_if_absent: bool) -> bool {
        let now = self.0.simulator.now();
        let mut state = self.0.state.lock();
        if only_if_absent && state.files.contains_key(path) {
            return false;
        }
        state.changes += 1;
        state.files.insert(path.to_owned(), File { bytes, written: now });
        true
    }

    /// Does the write at some later time, though the asker has been told that nobody knows.
    fn write_later(&self, path: String, bytes: Bytes, only_if_absent: bool) {
        let storage = self.clone();
        let delay = self.0.simulator.time_between(Duration::ZERO, Duration::from_secs(3));
        let later = async move {
            storage.0.simulator.sleep(delay).await;
            storage.write(&path, bytes, only_if_absent);
        };
        self.0.simulator.spawn(self.0.process, "write later".to_owned(), Box::pin(later));
    }
}

/// A directory of [`SimulatedStorage`].
pub(crate) struct Directory {
    storage: SimulatedStorage,
    prefix: String,
}

impl Directory {
    pub(crate) fn new(storage: SimulatedStorage, directory: &str) -> Self {
        let directory = directory.trim().trim_start_matches("file:").trim_end_matches('/');
        Self { storage, prefix: format!("{directory}/") }
    }

    fn path(&self, path: &str) -> String {
        format!("{}{path}", self.prefix)
    }

    fn refused(&self, action: StorageAction, path: &str) -> StorageError {
        let source = io::Error::other("the storage does not answer");
        StorageError::Failed { action, file: self.url(path), source: source.into() }
    }
}

impl fmt::Debug for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Directory").field(&self.prefix).finish()
    }
}

#[async_trait]
impl Storage for Directory {
    fn url(&self, path: &str) -> String {
        self.path(path).trim_end_matches('/').to_owned()
    }

    async fn put(&self, path: &str, bytes: Bytes) -> Result<(), StorageError> {
        self.storage.pass_time().await;
        if self.storage.refuses() {
            return Err(self.refused(StorageAction::Write, path));
        }
        let doubt = self.storage.doubts();
        self.storage.write(&self.path(path), bytes, false);
        self.storage.pass_time().await;
        if doubt { Err(self.refused(StorageAction::Write, path)) } else { Ok(()) }
    }

    async fn put_if_absent(&self, path: &str, bytes: Bytes) -> Result<PutIfAbsent, StorageError> {
        self.storage.pass_time().await;
        if self.storage.refuses() {
            return Err(self.refused(StorageAction::Write, path));
        }
        if self.storage.doubts() {
            // Now, later, or never.
            match self.storage.0.simulator.draw(|random| rand::Rng::random_range(random, 0..3)) {
                0 => drop(self.storage.write(&self.path(path), bytes, true)),
                1 => self.storage.write_later(self.path(path), bytes, true),
                _ => {}
            }
            self.storage.pass_time().await;
            return Ok(PutIfAbsent::Unknown { reason: "the storage did not answer in time".to_owned() });
        }
        let stored = self.storage.write(&self.path(path), bytes, true);
        self.storage.pass_time().await;
        Ok(if stored { PutIfAbsent::Stored } else { PutIfAbsent::Existed })
    }

    async fn get(&self, path: &str) -> Result<Bytes, StorageError> {
        self.storage.pass_time().await;
        if self.storage.refuses() {
            return Err(self.refused(StorageAction::Read, path));
        }
        let file = self.storage.0.state.lock().files.get(&self.path(path)).cloned();
        self.storage.pass_time().await;
        file.map(|file| file.bytes).ok_or_else(|| StorageError::NotFound { file: self.url(path) })
    }

    async fn delete(&self, path: &str) -> Result<(), StorageError> {
        self.storage.pass_time().await;
        if self.storage.refuses() {
            return Err(self.refused(StorageAction::Remove, path));
        }
        let doubt = self.storage.doubts();
        {
            let now = self.storage.0.simulator.now();
            let mut state = self.storage.0.state.lock();
            if let Some(file) = state.files.remove(&self.path(path)) {
                state.changes += 1;
                state.removed.insert(self.path(path), (file, now));
            }
        }
        self.storage.pass_time().await;
        if doubt { Err(self.refused(StorageAction::Remove, path)) } else { Ok(()) }
    }

    async fn list(&self) -> Result<Vec<StoredFile>, StorageError> {
        self.storage.pass_time().await;
        if self.storage.refuses() {
            return Err(self.refused(StorageAction::List, ""));
        }
        let now = self.storage.0.simulator.now();
        let state = self.storage.0.state.lock();
        let behind = u64::try_from(state.conduct.listing_behind.as_nanos()).unwrap_or(u64::MAX);
        let seen = Moment(now.0.saturating_sub(behind));
        let written = state.files.iter().filter(|(_, file)| file.written <= seen);
        // What was removed after the listing's time is still in it, unless it was written after it as well.
        let removed = state
            .removed
            .iter()
            .filter(|(path, (file, at))| *at > seen && file.written <= seen && !state.files.contains_key(*path));
        let mut files: Vec<StoredFile> = written
            .chain(removed.map(|(path, (file, _))| (path, file)))
            .filter_map(|(path, file)| {
                let path = path.strip_prefix(&self.prefix)?.to_owned();
                Some(StoredFile { path, bytes: file.bytes.len() as u64 })
            })
            .collect();
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(files)
    }
}
