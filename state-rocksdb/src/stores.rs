//! What the databases of one worker share, and how one is opened.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use pelton_runtime_core::config::ByteSize;
use pelton_runtime_core::config::options::rocksdb as keys;
use pelton_runtime_core::config::options::taskmanager::NUMBER_OF_TASK_SLOTS;
use pelton_runtime_core::operator::OperatorRuntime;
use pelton_runtime_core::state::StateError;
use pelton_runtime_core::state::cold::{CacheBudget, ColdStoreError, ColdStores, OpenedStore, StoreMeans};
use rocksdb::{
    BlockBasedIndexType, BlockBasedOptions, Cache, DBCompressionType, LogLevel, Options, WriteBufferManager,
};

use crate::database::Database;
use crate::expiry::ExpiryClock;
use crate::folders::OwnFolder;
use crate::memory::MemoryShares;
use crate::store::RocksStore;

/// The smallest write buffer that is worth a file.
const LEAST_WRITE_BUFFER_BYTES: usize = 64 << 10;

/// How many files there are in the level that checkpoints and full write buffers write to before they are merged with the next
/// one.
const LEVEL_ZERO_FILES: i32 = 12;

/// Bounds of what is read ahead of a compaction and written behind it, of each file.
const BUFFER_BYTES: std::ops::RangeInclusive<usize> = 64 << 10..=1 << 20;

/// The blocks of what is read at once are this part of the block cache,
const READ_SHARE: usize = 16;

/// within these bounds of their number.
const READS_AT_ONCE: std::ops::RangeInclusive<usize> = 16..=1024;

/// How long the list of a database's files may get before it is written anew.
const MANIFEST_BYTES: usize = 256 << 10;

/// The version of RocksDB's files, readable since RocksDB 6.6.
const FORMAT_VERSION: i32 = 5;

/// Where databases are.
#[derive(Debug)]
enum Place {
    /// In the worker's folder, with which they go.
    OfWorker(PathBuf),
    /// Where people want them.
    Claimed(OwnFolder),
}

impl Place {
    fn path(&self) -> &Path {
        match self {
            Self::OfWorker(path) | Self::Claimed(OwnFolder { path, .. }) => path,
        }
    }
}

/// The databases of one worker.
pub struct RocksDbStores {
    options: Arc<Options>,
    folders: Vec<Place>,
    caches: Arc<CacheBudget>,
    clock: Arc<ExpiryClock>,
    reads_at_once: usize,
    shares: MemoryShares,
    /// What all databases share; none where memory is not shared.
    memory: Option<(Cache, WriteBufferManager)>,
    /// How blocks are laid out, and the bytes of the cache that each database then has of its own.
    unshared: Option<Mutex<(BlockBasedOptions, usize)>>,
}

impl fmt::Debug for RocksDbStores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RocksDbStores").field("folders", &self.folders).field("shares", &self.shares).finish()
    }
}

impl RocksDbStores {
    /// Databases that keep within what the worker has. Nothing is opened yet.
    pub fn new(worker: StoreMeans<'_>) -> Self {
        let configuration = worker.configuration;
        let shared = shared_bytes(&worker);
        let bytes = shared.unwrap_or(worker.managed_bytes);
        let cache_fraction = configuration.get(&keys::CACHE_FRACTION).as_f64();
        let write_buffer_ratio = configuration.get(&keys::WRITE_BUFFER_RATIO).as_f64();
        let shares = MemoryShares::of(bytes, cache_fraction, write_buffer_ratio);

        let mut options = Options::default();
        options.create_if_missing(true);
        options.set_error_if_exists(true);
        options.set_compression_type(DBCompressionType::Lz4);
        options.set_level_compaction_dynamic_level_bytes(true);
        // Every checkpoint of files makes a small one. Few of them at once would be merged with ten times as many bytes.
        options.set_level_zero_file_num_compaction_trigger(LEVEL_ZERO_FILES);
        options.set_level_zero_slowdown_writes_trigger(5 * LEVEL_ZERO_FILES);
        options.set_level_zero_stop_writes_trigger(8 * LEVEL_ZERO_FILES);
        options.set_max_background_jobs(i32::try_from(configuration.get(&keys::BACKGROUND_JOBS)).unwrap_or(i32::MAX));
        // What compactions read ahead and write behind is beside the block cache, for every file that takes part.
        let buffer_bytes = ((shares.block_cache / 64).clamp(*BUFFER_BYTES.start(), *BUFFER_BYTES.end())) & !(4096 - 1);
        options.set_compaction_readahead_size(buffer_bytes);
        options.set_writable_file_max_buffer_size(buffer_bytes as u64);
        // Its log would be the only file that grows without state.
        options.set_log_level(LogLevel::Warn);
        options.set_keep_log_file_num(1);
        options.set_stats_dump_period_sec(0);
        // It is part of every checkpoint of files.
        options.set_max_manifest_file_size(MANIFEST_BYTES);

        let clock = ExpiryClock::new();
        clock.drop_void_rows(&mut options);
        options.set_periodic_compaction_seconds(configuration.get(&keys::PERIODIC_COMPACTION).as_secs());

        let mut table = BlockBasedOptions::default();
        table.set_format_version(FORMAT_VERSION);
        let block_bytes = configuration.get(&keys::BLOCK_SIZE).as_bytes() as usize;
        let reads_at_once = shares.block_cache / READ_SHARE / block_bytes;
        let reads_at_once = reads_at_once.clamp(*READS_AT_ONCE.start(), *READS_AT_ONCE.end());
        table.set_block_size(block_bytes);
        // What indexes and filters take is then known, too.
        table.set_cache_index_and_filter_blocks(true);
        table.set_cache_index_and_filter_blocks_with_high_priority(true);
        table.set_pin_l0_filter_and_index_blocks_in_cache(true);
        // Without filters every one of the newest files would be read for every key. A key that is asked for is there most
        // of the time, so the lowest level, with nine tenths of all keys, has filters only where people want them.
        table.set_bloom_filter(configuration.get(&keys::BLOOM_BITS_PER_KEY), false);
        options.set_optimize_filters_for_hits(!configuration.get(&keys::USE_BLOOM_FILTER));
        if shared.is_some() && configuration.get(&keys::PARTITIONED_INDEX_FILTERS) {
            table.set_index_type(BlockBasedIndexType::TwoLevelIndexSearch);
            table.set_partition_filters(true);
            table.set_pin_top_level_index_and_filter(true);
            table.set_metadata_block_size(configuration.get(&keys::METADATA_BLOCK_SIZE).as_bytes() as usize);
        }
        let mut write_buffer_bytes = configuration.get(&keys::WRITE_BUFFER_SIZE).as_bytes() as usize;
        let (mut memory, mut unshared) = (None, None);
        if shared.is_some() {
            let cache = Cache::new_lru_cache(shares.block_cache);
            table.set_block_cache(&cache);
            let manager =
                WriteBufferManager::new_write_buffer_manager_with_cache(shares.write_buffers, false, cache.clone());
            options.set_write_buffer_manager(&manager);
            write_buffer_bytes = write_buffer_bytes.min(shares.write_buffers / 2);
            memory = Some((cache, manager));
        } else {
            unshared = Some(configuration.get(&keys::BLOCK_CACHE_SIZE).as_bytes() as usize);
        }
        options.set_write_buffer_size(write_buffer_bytes.max(LEAST_WRITE_BUFFER_BYTES));
        let write_buffers = configuration.get(&keys::WRITE_BUFFER_COUNT);
        options.set_max_write_buffer_number(i32::try_from(write_buffers).unwrap_or(i32::MAX));
        options.set_block_based_table_factory(&table);
        let unshared = unshared.map(|bytes| Mutex::new((table, bytes)));

        let folders = match configuration.get(&keys::LOCAL_DIRECTORIES) {
            // Workers of several jobs may have the same folder.
            Some(folders) => folders.0.iter().map(|folder| Place::Claimed(OwnFolder::claim(folder))).collect(),
            None => vec![Place::OfWorker(worker.directory.join("rocksdb"))],
        };
        Self {
            options: Arc::new(options),
            folders,
            caches: CacheBudget::new(shares.cache),
            clock,
            reads_at_once,
            shares,
            memory,
            unshared,
        }
    }

    /// A database for the operator instance that `runtime` describes.
    fn open_store(&self, runtime: &OperatorRuntime) -> Result<RocksStore, ColdStoreError> {
        let folder = self.folder(runtime);
        let refused = |source: Box<dyn std::error::Error + Send + Sync>| {
            ColdStoreError::new("be opened", format!("{}: {source}", folder.display()))
        };
        if let Some(parent) = folder.parent() {
            std::fs::create_dir_all(parent).map_err(|error| refused(error.into()))?;
        }
        let options = self.options();
        let database = Database::create(folder.clone(), &options).map_err(|error| refused(error.into()))?;
        let most = self.shares.write_buffers + self.shares.write_buffers / 2;
        let buffers = self.memory.as_ref().map(|(_, buffers)| (buffers.clone(), most));
        Ok(RocksStore::new(database, options, self.clock.clone(), self.reads_at_once, buffers))
    }

    /// What RocksDB holds of the memory that its databases share: the block cache, in which the write buffers are
    /// counted up to their share, and what these hold beyond it. 0 where memory is not shared.
    pub fn used_bytes(&self) -> u64 {
        let used = self.memory.as_ref().map_or(0, |(cache, buffers)| {
            cache.get_usage() + buffers.get_usage().saturating_sub(self.shares.write_buffers)
        });
        used as u64
    }

    /// The options of one more database.
    fn options(&self) -> Arc<Options> {
        let Some(unshared) = &self.unshared else { return Arc::clone(&self.options) };
        let (table, cache_bytes) = &mut *unshared.lock();
        table.set_block_cache(&Cache::new_lru_cache(*cache_bytes));
        let mut options = Options::clone(&self.options);
        options.set_block_based_table_factory(table);
        Arc::new(options)
    }

    /// The folder for an operator instance's database.
    fn folder(&self, runtime: &OperatorRuntime) -> PathBuf {
        let OperatorRuntime { job_id, operator_id, subtask, attempt_number, .. } = runtime;
        let parent = self.folders[*subtask as usize % self.folders.len()].path();
        parent.join(format!("{job_id}-{operator_id}-{subtask}-{attempt_number}"))
    }
}

impl ColdStores for RocksDbStores {
    fn open(&self, runtime: &OperatorRuntime) -> Result<OpenedStore, StateError> {
        Ok(OpenedStore { store: Box::new(self.open_store(runtime)?), cache: self.caches.join() })
    }
}

/// The memory that the state of a worker shares; none where every database has its own.
fn shared_bytes(worker: &StoreMeans<'_>) -> Option<u64> {
    let configuration = worker.configuration;
    let slots = u64::from(worker.slots);
    let fixed_per_slot = configuration.get(&keys::MEMORY_FIXED_PER_SLOT);
    let managed = configuration.get(&keys::MEMORY_MANAGED).then_some(worker.managed_bytes);
    let of_task_manager = u64::from(configuration.get(&NUMBER_OF_TASK_SLOTS)).max(slots).max(1);
    let fixed_per_task_manager = configuration.get(&keys::MEMORY_FIXED_PER_TASK_MANAGER);
    let part = |bytes: ByteSize| (bytes.as_bytes() / of_task_manager).saturating_mul(slots);
    fixed_per_slot
        .map(|bytes| bytes.as_bytes().saturating_mul(slots))
        .or(managed)
        .or_else(|| fixed_per_task_manager.map(part))
}

#[cfg(test)]
mod tests;
