//! A snapshot that keeps its database, to be read by any thread.

use std::sync::Arc;

use pelton_runtime_core::state::cold::{ColdSnapshot, ColdStoreError, KeyedRows, ScanLimit};
use rocksdb::{ReadOptions, Snapshot};

use crate::database::Database;
use crate::store::scan;

/// How much is read ahead of a scan.
const READ_AHEAD_BYTES: usize = 2 << 20;

/// The rows of one moment.
pub(crate) struct RocksSnapshot {
    // Fields are dropped in their order: the snapshot first, then the database that it is of.
    snapshot: Snapshot<'static>,
    database: Arc<Database>,
}

impl RocksSnapshot {
    pub(crate) fn take(database: &Arc<Database>) -> Self {
        let database = database.clone();
        let snapshot: Snapshot<'_> = database.db.snapshot();
        // SAFETY: the snapshot borrows the database, which lies on the heap behind the `Arc` that is kept beside it; it
        // neither moves nor ends before the `Arc` does, and the snapshot is dropped before the `Arc`.
        let snapshot = unsafe { std::mem::transmute::<Snapshot<'_>, Snapshot<'static>>(snapshot) };
        Self { snapshot, database }
    }
}

impl ColdSnapshot for RocksSnapshot {
    fn scan(&self, from: &[u8], until: &[u8], limit: ScanLimit, rows: &mut KeyedRows) -> Result<(), ColdStoreError> {
        let mut options = ReadOptions::default();
        options.set_snapshot(&self.snapshot);
        options.fill_cache(false);
        options.set_readahead_size(READ_AHEAD_BYTES);
        scan(&self.database.db, options, from, until, limit, rows)
    }
}
