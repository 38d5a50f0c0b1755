use std::collections::BTreeMap;

use arrow::array::{ArrayRef, AsArray, Int64Array};
use arrow::datatypes::{DataType, Int64Type};
use pelton_runtime_core::config::Configuration;
use pelton_runtime_core::operator::harness::OperatorHarness;
use pelton_runtime_core::state::{
    ExpiringValues, KeyBatch, KeyedStateBackend, Namespace, Rows, StateId, Ttl, ValueCodec,
};
use rocksdb::{BottommostLevelCompaction, CompactOptions, IteratorMode};

use super::*;

fn stores(folder: &Path, slots: u32, settings: &[(&str, &str)]) -> RocksDbStores {
    let settings: BTreeMap<String, String> =
        settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let configuration = Configuration::from_map(settings).expect("valid settings");
    RocksDbStores::new(StoreMeans { configuration: &configuration, directory: folder, managed_bytes: 1 << 20, slots })
}

/// The stores of a worker whose databases can be looked at.
#[derive(Debug)]
struct Open {
    stores: RocksDbStores,
    databases: Mutex<Vec<Arc<Database>>>,
}

impl ColdStores for Open {
    fn open(&self, runtime: &OperatorRuntime) -> Result<OpenedStore, StateError> {
        let store = self.stores.open_store(runtime)?;
        self.databases.lock().push(Arc::clone(store.database()));
        Ok(OpenedStore { store: Box::new(store), cache: self.stores.caches.join() })
    }
}

impl Open {
    /// How many rows there are after all files were compacted.
    fn compacted_rows(&self) -> usize {
        let db = &self.databases.lock()[0].db;
        db.flush().expect("a flush");
        let mut all = CompactOptions::default();
        all.set_bottommost_level_compaction(BottommostLevelCompaction::Force);
        db.compact_range_opt(None::<&[u8]>, None::<&[u8]>, &all);
        db.iterator(IteratorMode::Start).count()
    }
}

fn numbers() -> ValueCodec<i64> {
    ValueCodec::new(
        DataType::Int64,
        |values| Ok(Arc::new(values.iter().map(|value| value.copied()).collect::<Int64Array>())),
        |column| Ok(column.as_primitive::<Int64Type>().iter().collect()),
    )
}

/// What an operator does with a batch of these keys, which it counts.
fn count(backend: &mut KeyedStateBackend, count: StateId<ExpiringValues<i64>>, keys: &[i64], now: i64) -> Vec<i64> {
    let column: ArrayRef = Arc::new(Int64Array::from(keys.to_vec()));
    let mut batch = KeyBatch::default();
    batch.read(&[column], keys.len()).expect("numbers are keys");
    backend.expire_stored(now);
    let table = backend.table(Namespace::Void, batch.types());
    let mut slots = Vec::new();
    table.slots(&batch, Rows::All(keys.len()), &mut slots).expect("slots");
    let counted = slots.iter().map(|slot| {
        let value = table.column_mut(count).entry(*slot, now).get_or_insert(0);
        *value += 1;
        *value
    });
    let counted = counted.collect();
    backend.make_room().expect("room");
    counted
}

#[test]
fn what_has_expired_is_found_no_more_and_leaves_the_database_with_a_compaction() {
    let folder = tempfile::tempdir().expect("a folder");
    // Every batch is written away.
    let stores = stores(folder.path(), 1, &[("pelton.state.rocksdb.cache-fraction", "0")]);
    let stores = Arc::new(Open { stores, databases: Mutex::default() });
    let runtime =
        OperatorRuntime { cold_stores: Some(stores.clone() as Arc<dyn ColdStores>), ..OperatorHarness::runtime() };
    let mut backend = KeyedStateBackend::new();
    backend.open(&runtime).expect("a store");
    let counts = backend.register("count", || ExpiringValues::new(Ttl { millis: 1000 }, numbers())).expect("free");
    let keys: Vec<i64> = (0..500).collect();
    assert!(count(&mut backend, counts, &keys, 5000).iter().all(|count| *count == 1));
    assert!(count(&mut backend, counts, &keys[..20], 5500).iter().all(|count| *count == 2));
    assert_eq!(stores.compacted_rows(), 500, "nothing has expired");
    // The clock of the wall passes the time of those that were used once.
    assert_eq!(count(&mut backend, counts, &[0, 30], 6200), [3, 1]);
    assert_eq!(stores.compacted_rows(), 21, "twenty that were used again, and one that is new");
    assert_eq!(count(&mut backend, counts, &[1, 2], 7500), [1, 1], "expired since");
    assert_eq!(stores.compacted_rows(), 2);
}

#[test]
fn the_memory_that_state_shares_is_what_the_configuration_says() {
    let folder = tempfile::tempdir().expect("a folder");
    let shares = |slots, settings: &[(&str, &str)]| {
        let stores = stores(folder.path(), slots, settings);
        stores.memory.is_some().then_some(stores.shares)
    };
    let of = |bytes| Some(MemoryShares::of(bytes, 0.5, 0.5));
    let (slot, task_manager) = (
        ("state.backend.rocksdb.memory.fixed-per-slot", "2 mb"),
        ("state.backend.rocksdb.memory.fixed-per-tm", "8 mb"),
    );
    let (unmanaged, slots) =
        (("state.backend.rocksdb.memory.managed", "false"), ("taskmanager.numberOfTaskSlots", "4"));
    assert_eq!(shares(1, &[]), of(1 << 20));
    assert_eq!(shares(2, &[slot, task_manager]), of(4 << 20));
    assert_eq!(shares(2, &[task_manager, slots]), of(1 << 20), "managed memory is used");
    assert_eq!(shares(3, &[unmanaged, task_manager, slots]), of(6 << 20), "three of four slots");
    assert_eq!(shares(3, &[unmanaged]), None);
}
