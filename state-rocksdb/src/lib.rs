//! Keyed state in RocksDB: what the caches of a worker's operators have no room for.
//!
//! ```text
//!  worker ── RocksDb::stores ──► RocksDbStores: settings, one block cache, one write buffer manager, one cache budget
//!                                     │ open, per operator instance
//!                                     ▼
//!                                RocksStore: a database of its own, in a folder that goes with it
//! ```
//!
//! Owns how RocksDB is opened, what memory it gets ([`memory`](MemoryShares)) and how its rows are read and written.
//! Knows nothing of what rows mean: that is `pelton_runtime_core::state`.
//!
//! A checkpoint may take a database's files as they are, and another database may begin from them (`files`).
//!
//! Invariants: databases are written without a log, as checkpoints are what survives; block cache, write buffers and the
//! caches above keep within the managed memory of the worker; a database's folder is gone when its last user is.

mod database;
mod expiry;
mod files;
mod folders;
mod memory;
mod snapshot;
mod store;
mod stores;

use std::path::Path;
use std::sync::Arc;

use pelton_runtime_core::state::cold::{ColdBackend, ColdSnapshot, ColdStoreError, ColdStores, StoreMeans};

pub use self::memory::MemoryShares;
pub use self::stores::RocksDbStores;

/// The backend that `state.backend.type: rocksdb` stands for.
#[derive(Debug, Clone, Copy, Default)]
pub struct RocksDb;

impl ColdBackend for RocksDb {
    fn stores(&self, worker: StoreMeans<'_>) -> Arc<dyn ColdStores> {
        Arc::new(RocksDbStores::new(worker))
    }

    fn read_files(&self, folder: &Path) -> Result<Box<dyn ColdSnapshot>, ColdStoreError> {
        match files::ReadFiles::open(folder) {
            Ok(rows) => Ok(Box::new(rows)),
            Err(error) => Err(ColdStoreError::new("read files", format!("{}: {error}", folder.display()))),
        }
    }
}
