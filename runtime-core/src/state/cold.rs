//! The port to a store that holds what the tables on the heap have no room for.
//!
//! ```text
//!  tables of slots: hot keys, a bounded cache
//!     │ write back: rows of cold slots      ▲ read: rows of keys that are not cached, a batch at once
//!     ▼                                     │
//!  ColdStore: bytes by bytes, in order ── snapshot ──► ColdSnapshot, read off the task's thread
//! ```
//!
//! Owns the port, the share of memory that each operator's cache has ([`CacheBudget`]), and [`MemoryColdStores`], which
//! keep everything in memory for tests. What the bytes mean is decided above, in `row_key` and `row_format`; which store
//! it is, below, in a crate of its own.
//!
//! Invariants: a store belongs to one operator instance and begins empty; rows are ordered by the bytes of their keys;
//! [`ColdStore::write`] is applied wholly or not at all; a snapshot never changes. A store need not survive its process,
//! as checkpoints do.

mod budget;
mod byte_rows;
mod memory;

use std::error::Error;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use self::budget::{CacheBudget, CacheShare};
pub use self::byte_rows::ByteRows;
pub use self::memory::MemoryColdStores;
use super::StateError;
pub use super::row_expiry::is_void;
use crate::config::Configuration;
use crate::operator::OperatorRuntime;
use crate::time::EpochMillis;

/// A store did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
#[error("the state store cannot {action}")]
pub struct ColdStoreError {
    /// What it was asked to do.
    pub action: &'static str,
    /// What came back.
    #[source]
    pub source: Box<dyn Error + Send + Sync>,
}

impl ColdStoreError {
    /// The store could not do `action` because of `source`.
    pub fn new(action: &'static str, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self { action, source: source.into() }
    }
}

/// A kind of store that a program brings.
pub trait ColdBackend: fmt::Debug + Send + Sync {
    /// The stores of one worker.
    fn stores(&self, worker: StoreMeans<'_>) -> Arc<dyn ColdStores>;

    /// The rows in the files of a store that [`ColdStore::files`] told of, all in one folder.
    ///
    /// # Errors
    ///
    /// When they are not such files.
    fn read_files(&self, folder: &Path) -> Result<Box<dyn ColdSnapshot>, ColdStoreError>;
}

/// A file of a store, which does not change any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColdFile {
    /// What the store calls it.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
    /// Its length.
    pub bytes: u64,
    /// Whether a file of the same name has the same bytes at any later moment of the same store, and of those that begin
    /// from its files. The others are few and small.
    pub is_lasting: bool,
}

/// The files of a store at one moment; they are there as long as this is.
pub trait ColdFiles: fmt::Debug + Send + Sync {
    /// All of them.
    fn files(&self) -> &[ColdFile];
}

/// What the stores of one worker may use.
#[derive(Debug, Clone, Copy)]
pub struct StoreMeans<'a> {
    /// The worker's settings.
    pub configuration: &'a Configuration,
    /// Its own folder, which is removed after its end.
    pub directory: &'a Path,
    /// Its managed memory, in bytes.
    pub managed_bytes: u64,
    /// How many slots it fills.
    pub slots: u32,
}

/// Makes the stores of a worker's operators.
pub trait ColdStores: fmt::Debug + Send + Sync {
    /// An empty store for the operator instance that `runtime` describes, and what its cache may hold.
    ///
    /// # Errors
    ///
    /// When there is no place for it.
    fn open(&self, runtime: &OperatorRuntime) -> Result<OpenedStore, StateError>;
}

/// The stores of a program that brings none: operators without keyed state never ask for one.
#[derive(Debug)]
pub struct NoStores;

impl ColdStores for NoStores {
    fn open(&self, _runtime: &OperatorRuntime) -> Result<OpenedStore, StateError> {
        Err(StateError::NoStore)
    }
}

/// A store with what may be cached of it.
pub struct OpenedStore {
    /// The store.
    pub store: Box<dyn ColdStore>,
    /// What the cache above it may hold.
    pub cache: CacheShare,
}

/// What was found of the keys that were asked for.
#[derive(Debug, Default)]
pub struct FoundRows {
    /// Which of the keys were found, ascending.
    pub positions: Vec<u32>,
    /// Their rows.
    pub values: ByteRows,
}

impl FoundRows {
    /// Forgets everything.
    pub fn clear(&mut self) {
        self.positions.clear();
        self.values.clear();
    }
}

/// Rows with their keys, in order.
#[derive(Debug, Default)]
pub struct KeyedRows {
    /// The keys.
    pub keys: ByteRows,
    /// The rows under them.
    pub values: ByteRows,
}

impl KeyedRows {
    /// Forgets everything.
    pub fn clear(&mut self) {
        self.keys.clear();
        self.values.clear();
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Bytes of keys and rows together.
    pub fn byte_len(&self) -> usize {
        self.keys.byte_len() + self.values.byte_len()
    }
}

/// How much of a scan is wanted at once; it ends behind the row with which either is reached.
#[derive(Debug, Clone, Copy)]
pub struct ScanLimit {
    /// So many rows.
    pub rows: usize,
    /// So many bytes of keys and values.
    pub bytes: usize,
}

impl ScanLimit {
    /// Whether these rows are enough.
    pub fn is_reached(&self, rows: &KeyedRows) -> bool {
        rows.len() >= self.rows || rows.byte_len() >= self.bytes
    }
}

/// Rows of bytes, ordered by their keys.
pub trait ColdStore: Send {
    /// Reads the rows of `keys` into `found`, which is cleared first.
    ///
    /// # Errors
    ///
    /// When a row cannot be read.
    fn read(&mut self, keys: &ByteRows, found: &mut FoundRows) -> Result<(), ColdStoreError>;

    /// Removes the rows of `removed`, and writes rows in place of those under the same keys.
    ///
    /// # Errors
    ///
    /// When they cannot be written; then none of them was.
    fn write(&mut self, rows: &KeyedRows, removed: &ByteRows) -> Result<(), ColdStoreError>;

    /// Rows that are void at `now` ([`is_void`]) may be gone from now on, also from snapshots.
    fn expire(&mut self, _now: EpochMillis) {}

    /// Removes all rows from `from` on and before `until`.
    ///
    /// # Errors
    ///
    /// When they cannot be removed.
    fn remove_range(&mut self, from: &[u8], until: &[u8]) -> Result<(), ColdStoreError>;

    /// Adds rows from `from` on and before `until` to `rows`, until `limit` is reached.
    ///
    /// # Errors
    ///
    /// When a row cannot be read.
    fn scan(&self, from: &[u8], until: &[u8], limit: ScanLimit, rows: &mut KeyedRows) -> Result<(), ColdStoreError>;

    /// All rows of this moment.
    ///
    /// # Errors
    ///
    /// When the store cannot hold on to them.
    fn snapshot(&mut self) -> Result<Box<dyn ColdSnapshot>, ColdStoreError>;

    /// Whether [`files`](Self::files) and [`adopt`](Self::adopt) can be asked for.
    fn has_files(&self) -> bool {
        false
    }

    /// All rows of this moment, as files.
    ///
    /// # Errors
    ///
    /// When they cannot be written, or the store has none.
    fn files(&mut self) -> Result<Arc<dyn ColdFiles>, ColdStoreError> {
        Err(ColdStoreError::new("tell its files", "it has none"))
    }

    /// Takes over the rows in the files of another store, all in one folder, which stays as it is. The store is empty.
    ///
    /// # Errors
    ///
    /// When they are not such files, or the store has none.
    fn adopt(&mut self, _folder: &Path) -> Result<(), ColdStoreError> {
        Err(ColdStoreError::new("take files over", "it has none"))
    }
}

/// The rows of one moment, to be read by any thread. It keeps what it needs of its store.
pub trait ColdSnapshot: Send + Sync {
    /// As [`ColdStore::scan`].
    ///
    /// # Errors
    ///
    /// When a row cannot be read.
    fn scan(&self, from: &[u8], until: &[u8], limit: ScanLimit, rows: &mut KeyedRows) -> Result<(), ColdStoreError>;
}
