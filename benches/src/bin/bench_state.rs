//! One side of the state benchmark: adds to the value of one key after the other.
//!
//! `bench-state SIDE uniform|skewed KEYS UPDATES MEMORY_MIB` first gives every key a value, then measures the updates.
//! Prints one JSON object: seconds and CPU seconds of the updates, the sum of all values, and the peak memory.
#![allow(clippy::disallowed_methods, reason = "a benchmark measures real time")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use arrow::array::{ArrayRef, AsArray, Int64Array};
use arrow::datatypes::{DataType, Int64Type};
use hashbrown::HashMap;
use pelton_benches::rows::{mix, skewed_rank};
use pelton_runtime_core::config::Configuration;
use pelton_runtime_core::operator::OperatorRuntime;
use pelton_runtime_core::operator::harness::OperatorHarness;
use pelton_runtime_core::state::cold::{ColdBackend, ColdStores, StoreMeans};
use pelton_runtime_core::state::files::Increments;
use pelton_runtime_core::state::{
    KeyBatch, KeyedStateBackend, Namespace, Rows, Slot, StateId, ValueCodec, ValueColumn,
};
use pelton_state_rocksdb::{MemoryShares, RocksDb};

/// How many keys are handed over at once, as in batches of a stream.
const BATCH: usize = 8192;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [side, keys, key_count, updates, memory] = arguments.as_slice() else {
        bail!("give a side, `uniform` or `skewed`, and the numbers of keys, updates and MiB");
    };
    let keys = Keys { skewed: keys == "skewed", count: key_count.parse()? };
    let (updates, memory_bytes): (u64, u64) = (updates.parse()?, memory.parse::<u64>()? << 20);
    let folder = tempfile::tempdir()?;
    let mut side: Box<dyn Side> = match side.as_str() {
        "hashbrown" => Box::new(HashMap::<i64, i64, foldhash::fast::RandomState>::default()),
        "hashmap" => Box::new(Backend::open(None, Increments::default())?),
        "hashmap-incremental" => Box::new(Backend::open(None, Increments::enabled())?),
        "rocksdb" => Box::new(Backend::open(Some(stores(folder.path(), memory_bytes, "0.5")?), Increments::default())?),
        "rocksdb-without-cache" => {
            Box::new(Backend::open(Some(stores(folder.path(), memory_bytes, "0")?), Increments::default())?)
        }
        "raw-rocksdb" => Box::new(Raw::open(folder.path(), memory_bytes)?),
        other => bail!("there is no side `{other}`"),
    };
    let mut batch = Vec::with_capacity(BATCH);
    for first in (0..keys.count).step_by(BATCH) {
        batch.clear();
        batch.extend((first..keys.count.min(first + BATCH as u64)).map(|key| mix(key) as i64));
        side.add(&batch)?;
    }
    let (start, cpu) = (Instant::now(), cpu_time());
    for first in (0..updates).step_by(BATCH) {
        batch.clear();
        batch.extend((first..updates.min(first + BATCH as u64)).map(|update| keys.of(update)));
        side.add(&batch)?;
    }
    let (wall, cpu) = (start.elapsed(), cpu_time() - cpu);
    let sum = side.sum()?;
    let answer = serde_json::json!({
        "wall": wall.as_secs_f64(), "cpu": cpu.as_secs_f64(), "sum": sum, "peak_bytes": peak_bytes(),
    });
    println!("{answer}");
    Ok(())
}

/// Which key is updated when.
struct Keys {
    skewed: bool,
    count: u64,
}

impl Keys {
    fn of(&self, update: u64) -> i64 {
        let random = mix(update ^ 0x5bd1_e995_0000_0000);
        let rank = match self.skewed {
            false => random % self.count,
            true => skewed_rank(random, self.count),
        };
        mix(rank) as i64
    }
}

/// Something that keeps a number for every key.
trait Side {
    /// Adds 1 to each key's number, which is 0 before.
    fn add(&mut self, keys: &[i64]) -> Result<()>;
    /// The sum of all numbers.
    fn sum(&mut self) -> Result<i64>;
}

impl<S: std::hash::BuildHasher> Side for HashMap<i64, i64, S> {
    fn add(&mut self, keys: &[i64]) -> Result<()> {
        keys.iter().for_each(|key| *self.entry(*key).or_default() += 1);
        Ok(())
    }

    fn sum(&mut self) -> Result<i64> {
        Ok(self.values().sum())
    }
}

/// Pelton's keyed state.
struct Backend {
    backend: KeyedStateBackend,
    number: StateId<ValueColumn<i64>>,
    keys: KeyBatch,
    slots: Vec<Slot>,
}

impl Backend {
    fn open(cold_stores: Option<Arc<dyn ColdStores>>, increments: Increments) -> Result<Self> {
        let mut backend = KeyedStateBackend::new();
        backend.open(&OperatorRuntime { cold_stores, increments, ..OperatorHarness::runtime() })?;
        let codec = ValueCodec::new(
            DataType::Int64,
            |values| Ok(Arc::new(values.iter().map(|value| value.copied()).collect::<Int64Array>())),
            |column| Ok(column.as_primitive::<Int64Type>().iter().collect()),
        );
        let number = backend.register("number", move || ValueColumn::new(codec.clone()))?;
        Ok(Self { backend, number, keys: KeyBatch::default(), slots: Vec::new() })
    }
}

impl Side for Backend {
    fn add(&mut self, keys: &[i64]) -> Result<()> {
        let column: ArrayRef = Arc::new(Int64Array::from(keys.to_vec()));
        self.keys.read(&[column], keys.len())?;
        let table = self.backend.table(Namespace::Void, self.keys.types());
        table.slots(&self.keys, Rows::All(keys.len()), &mut self.slots)?;
        let numbers = table.column_mut(self.number);
        self.slots.iter().for_each(|slot| *numbers.entry(*slot).get_or_insert(0) += 1);
        Ok(self.backend.make_room()?)
    }

    fn sum(&mut self) -> Result<i64> {
        let mut snapshot = Default::default();
        self.backend.save("numbers", 128, &mut snapshot)?;
        let of = |rows: &arrow::array::RecordBatch| -> Result<i64> {
            let numbers = rows.column_by_name("state.number").context("there are no numbers")?;
            Ok(numbers.as_primitive::<Int64Type>().values().iter().sum())
        };
        let mut sum = snapshot.keyed.iter().map(|table| of(&table.rows)).sum::<Result<i64>>()?;
        for table in &snapshot.streamed {
            for batch in table.rows.batches() {
                sum += of(&batch?.1)?;
            }
        }
        Ok(sum)
    }
}

fn stores(folder: &std::path::Path, managed_bytes: u64, cache: &str) -> Result<Arc<dyn ColdStores>> {
    let settings = BTreeMap::from([("pelton.state.rocksdb.cache-fraction".to_owned(), cache.to_owned())]);
    let configuration = Configuration::from_map(settings)?;
    Ok(RocksDb.stores(StoreMeans { configuration: &configuration, directory: folder, managed_bytes, slots: 1 }))
}

/// RocksDB as one would use it: a read and a write for each key.
struct Raw {
    db: rocksdb::DB,
    writing: rocksdb::WriteOptions,
}

impl Raw {
    fn open(folder: &std::path::Path, memory_bytes: u64) -> Result<Self> {
        let shares = MemoryShares::of(memory_bytes, 0.0, 0.5);
        let cache = rocksdb::Cache::new_lru_cache(shares.block_cache);
        let mut table = rocksdb::BlockBasedOptions::default();
        table.set_block_cache(&cache);
        table.set_cache_index_and_filter_blocks(true);
        let mut options = rocksdb::Options::default();
        options.create_if_missing(true);
        options.set_compression_type(rocksdb::DBCompressionType::Lz4);
        options.set_block_based_table_factory(&table);
        options.set_write_buffer_manager(&rocksdb::WriteBufferManager::new_write_buffer_manager_with_cache(
            shares.write_buffers,
            false,
            cache,
        ));
        let mut writing = rocksdb::WriteOptions::default();
        writing.disable_wal(true);
        Ok(Self { db: rocksdb::DB::open(&options, folder.join("raw"))?, writing })
    }
}

impl Side for Raw {
    fn add(&mut self, keys: &[i64]) -> Result<()> {
        for key in keys {
            let key = key.to_be_bytes();
            let number = match self.db.get_pinned(key)? {
                Some(number) => i64::from_le_bytes(number.as_ref().try_into()?),
                None => 0,
            };
            self.db.put_opt(key, (number + 1).to_le_bytes(), &self.writing)?;
        }
        Ok(())
    }

    fn sum(&mut self) -> Result<i64> {
        self.db
            .iterator(rocksdb::IteratorMode::Start)
            .map(|row| Ok(i64::from_le_bytes(row?.1.as_ref().try_into()?)))
            .sum()
    }
}

fn usage() -> libc::rusage {
    // SAFETY: an all-zero `rusage` is valid, and the pointer is to a live one.
    unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &mut usage);
        usage
    }
}

fn cpu_time() -> Duration {
    let usage = usage();
    let time =
        |time: libc::timeval| Duration::new(time.tv_sec.unsigned_abs(), time.tv_usec.unsigned_abs() as u32 * 1000);
    time(usage.ru_utime) + time(usage.ru_stime)
}

fn peak_bytes() -> u64 {
    usage().ru_maxrss.unsigned_abs() * 1024
}
