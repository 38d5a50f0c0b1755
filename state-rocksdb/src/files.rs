//! A database's files at one moment, and databases that begin from such files.
//!
//! RocksDB never changes a table file that it has written, and gives every one another number; a database that is opened
//! from the files of another goes on counting behind them. So the name of a table file says what is in it.

use std::fs;
use std::io;
use std::path::Path;

use pelton_runtime_core::state::cold::{ColdFile, ColdFiles, ColdSnapshot, ColdStoreError, KeyedRows, ScanLimit};
use rocksdb::checkpoint::Checkpoint;
use rocksdb::{BlockBasedOptions, Cache, DB, Options, ReadOptions};

use crate::database::{Database, Folder};
use crate::store::scan;

/// The block cache of a database that is only read through, once.
const READ_CACHE_BYTES: usize = 1 << 20;

/// The files of a database at one moment, as links in a folder that goes with this.
#[derive(Debug)]
pub(crate) struct RocksFiles {
    files: Vec<ColdFile>,
    _folder: Folder,
}

impl RocksFiles {
    /// Those of this moment; what is in memory is written first.
    pub(crate) fn take(database: &Database, folder: Folder) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        // Without a log it is the flush that makes the files complete.
        database.db.flush()?;
        Checkpoint::new(&database.db)?.create_checkpoint(&folder.0)?;
        let mut files = Vec::new();
        for entry in fs::read_dir(&folder.0)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            let is_lasting = name.ends_with(".sst");
            // The others, the log and the options, are not needed.
            if is_lasting || name == "CURRENT" || name.starts_with("MANIFEST-") {
                files.push(ColdFile { name, path: entry.path(), bytes: entry.metadata()?.len(), is_lasting });
            }
        }
        files.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(Self { files, _folder: folder })
    }
}

impl ColdFiles for RocksFiles {
    fn files(&self) -> &[ColdFile] {
        &self.files
    }
}

/// Puts the files of one folder into another, which is made: as links where that is possible.
pub(crate) fn link_all(from: &Path, folder: &Folder) -> io::Result<()> {
    fs::create_dir_all(&folder.0)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = folder.0.join(entry.file_name());
        // What is not a table is written on.
        let is_table = entry.path().extension().is_some_and(|extension| extension == "sst");
        if !(is_table && fs::hard_link(entry.path(), &to).is_ok()) {
            fs::copy(entry.path(), &to)?;
        }
    }
    Ok(())
}

/// A database that nobody writes to.
pub(crate) struct ReadFiles(DB);

impl ReadFiles {
    pub(crate) fn open(folder: &Path) -> Result<Self, rocksdb::Error> {
        let mut table = BlockBasedOptions::default();
        table.set_block_cache(&Cache::new_lru_cache(READ_CACHE_BYTES));
        let mut options = Options::default();
        options.set_block_based_table_factory(&table);
        DB::open_for_read_only(&options, folder, false).map(Self)
    }
}

impl ColdSnapshot for ReadFiles {
    fn scan(&self, from: &[u8], until: &[u8], limit: ScanLimit, rows: &mut KeyedRows) -> Result<(), ColdStoreError> {
        let mut options = ReadOptions::default();
        options.fill_cache(false);
        scan(&self.0, options, from, until, limit, rows)
    }
}
