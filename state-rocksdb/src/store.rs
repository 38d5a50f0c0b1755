//! The store of one operator instance.

use std::path::Path;
use std::sync::Arc;

use pelton_runtime_core::state::cold::{
    ByteRows, ColdFiles, ColdSnapshot, ColdStore, ColdStoreError, FoundRows, KeyedRows, ScanLimit,
};
use pelton_runtime_core::time::EpochMillis;
use rocksdb::{
    DB, DEFAULT_COLUMN_FAMILY_NAME, Error, Options, ReadOptions, WriteBatch, WriteBufferManager, WriteOptions,
};

use crate::database::{Database, Folder};
use crate::expiry::ExpiryClock;
use crate::files::{RocksFiles, link_all};
use crate::snapshot::RocksSnapshot;

/// Rows in a database of their own.
pub(crate) struct RocksStore {
    database: Arc<Database>,
    /// The clock that compactions look at.
    clock: Arc<ExpiryClock>,
    /// How many rows are read at once: each keeps its block in memory, whatever the block cache has room for.
    reads_at_once: usize,
    writing: WriteOptions,
    options: Arc<Options>,
    /// The write buffers of all databases, where they share memory, and how much of it they may take at their fullest.
    buffers: Option<(WriteBufferManager, usize)>,
    /// How many folders there were beside the database's first.
    folders: u64,
}

impl RocksStore {
    pub(crate) fn new(
        database: Database,
        options: Arc<Options>,
        clock: Arc<ExpiryClock>,
        reads_at_once: usize,
        buffers: Option<(WriteBufferManager, usize)>,
    ) -> Self {
        let mut writing = WriteOptions::default();
        writing.disable_wal(true);
        Self { database: Arc::new(database), clock, reads_at_once, writing, options, buffers, folders: 0 }
    }

    #[cfg(test)]
    pub(crate) fn database(&self) -> &Arc<Database> {
        &self.database
    }

    /// A name for one more folder, beside the database.
    fn next_folder(&mut self, what: &str) -> Folder {
        self.folders += 1;
        let mut name = self.database.path().as_os_str().to_owned();
        name.push(format!("-{what}-{}", self.folders));
        Folder(name.into())
    }

    fn write_batch(&self, batch: WriteBatch, action: &'static str) -> Result<(), ColdStoreError> {
        self.database.db.write_opt(batch, &self.writing).map_err(|error| self.failed(action, error))
    }

    fn failed(&self, action: &'static str, error: Error) -> ColdStoreError {
        ColdStoreError::new(action, InDatabase { folder: self.database.path().display().to_string(), error })
    }
}

/// What RocksDB said, and where.
#[derive(Debug, thiserror::Error)]
#[error("RocksDB in {folder}: {error}")]
struct InDatabase {
    folder: String,
    error: Error,
}

impl ColdStore for RocksStore {
    fn read(&mut self, keys: &ByteRows, found: &mut FoundRows) -> Result<(), ColdStoreError> {
        found.clear();
        let db = &self.database.db;
        let family = db.cf_handle(DEFAULT_COLUMN_FAMILY_NAME).expect("every database has this column family");
        for first in (0..keys.len()).step_by(self.reads_at_once) {
            let positions = first..keys.len().min(first + self.reads_at_once);
            let some = positions.clone().map(|position| keys.get(position));
            for (position, row) in positions.zip(db.batched_multi_get_cf(family, some, false)) {
                if let Some(row) = row.map_err(|error| self.failed("read rows", error))? {
                    found.positions.push(position as u32);
                    found.values.push(&row);
                }
            }
        }
        Ok(())
    }

    fn write(&mut self, rows: &KeyedRows, removed: &ByteRows) -> Result<(), ColdStoreError> {
        let mut batch = WriteBatch::default();
        removed.iter().for_each(|key| batch.delete(key));
        rows.keys.iter().zip(rows.values.iter()).for_each(|(key, value)| batch.put(key, value));
        self.write_batch(batch, "write rows")?;
        // RocksDB has a database that writes make room, and not the others, which may keep all they have for long.
        match &self.buffers {
            Some((buffers, most)) if buffers.get_usage() > *most => {
                self.database.db.flush().map_err(|error| self.failed("write rows", error))
            }
            _ => Ok(()),
        }
    }

    fn expire(&mut self, now: EpochMillis) {
        self.clock.advance(now);
    }

    fn remove_range(&mut self, from: &[u8], until: &[u8]) -> Result<(), ColdStoreError> {
        let mut batch = WriteBatch::default();
        batch.delete_range(from, until);
        self.write_batch(batch, "remove rows")
    }

    fn scan(&self, from: &[u8], until: &[u8], limit: ScanLimit, rows: &mut KeyedRows) -> Result<(), ColdStoreError> {
        scan(&self.database.db, ReadOptions::default(), from, until, limit, rows)
    }

    fn snapshot(&mut self) -> Result<Box<dyn ColdSnapshot>, ColdStoreError> {
        Ok(Box::new(RocksSnapshot::take(&self.database)))
    }

    fn has_files(&self) -> bool {
        true
    }

    fn files(&mut self) -> Result<Arc<dyn ColdFiles>, ColdStoreError> {
        let folder = self.next_folder("files");
        let files = RocksFiles::take(&self.database, folder);
        Ok(Arc::new(files.map_err(|error| ColdStoreError::new("hold its files", error))?))
    }

    fn adopt(&mut self, from: &Path) -> Result<(), ColdStoreError> {
        let folder = self.next_folder("restored");
        let place = folder.0.display().to_string();
        link_all(from, &folder).map_err(|error| ColdStoreError::new("take files over", error))?;
        let opened = Database::open(folder, &self.options);
        let opened =
            opened.map_err(|error| ColdStoreError::new("take files over", InDatabase { folder: place, error }))?;
        self.database = Arc::new(opened);
        Ok(())
    }
}

/// Adds rows of a database to `rows`.
pub(crate) fn scan(
    db: &DB,
    mut options: ReadOptions,
    from: &[u8],
    until: &[u8],
    limit: ScanLimit,
    rows: &mut KeyedRows,
) -> Result<(), ColdStoreError> {
    options.set_iterate_upper_bound(until);
    let mut iterator = db.raw_iterator_opt(options);
    iterator.seek(from);
    while let Some((key, value)) = iterator.item() {
        rows.keys.push(key);
        rows.values.push(value);
        if limit.is_reached(rows) {
            return Ok(());
        }
        iterator.next();
    }
    iterator.status().map_err(|error| ColdStoreError::new("scan rows", error))
}
