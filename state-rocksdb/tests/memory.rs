//! State of ten times the managed memory keeps within it: the process does not grow beyond.
//!
//! Alone in its process, whose memory it measures.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, StringArray};
use arrow::datatypes::DataType;
use pelton_runtime_core::config::Configuration;
use pelton_runtime_core::id::OperatorId;
use pelton_runtime_core::operator::OperatorRuntime;
use pelton_runtime_core::operator::harness::OperatorHarness;
use pelton_runtime_core::state::cold::{ColdStores, StoreMeans};
use pelton_runtime_core::state::{
    KeyBatch, KeyTimers, KeyedStateBackend, Namespace, Rows, StateId, ValueCodec, ValueColumn,
};
use pelton_runtime_core::window::TimeDomain;
use pelton_state_rocksdb::RocksDbStores;

const MANAGED_BYTES: u64 = 16 << 20;
const VALUE_BYTES: usize = 512;
const BATCH: u64 = 4096;

/// Keys whose values alone are ten times the managed memory.
const KEYS: u64 = 10 * MANAGED_BYTES / VALUE_BYTES as u64;

/// What the process may hold beside: batches, the table of files, what allocators keep.
const BESIDE_BYTES: u64 = 24 << 20;

/// Without mapped files, among which is the program itself.
fn resident_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").expect("the process has a memory");
    let mut pages = text.split(' ').skip(1).map(|pages| pages.parse::<u64>().expect("a number of pages"));
    let (resident, shared) = (pages.next().expect("resident"), pages.next().expect("shared"));
    (resident - shared) * 4096
}

fn texts() -> ValueCodec<String> {
    ValueCodec::new(
        DataType::Utf8,
        |values| Ok(Arc::new(values.iter().map(|value| value.map(String::as_str)).collect::<StringArray>())),
        |column| Ok(column.as_string::<i32>().iter().map(|value| value.map(str::to_owned)).collect()),
    )
    .with_heap_bytes(String::capacity)
}

fn stores(directory: &Path) -> Arc<RocksDbStores> {
    let configuration = Configuration::default();
    let means = StoreMeans { configuration: &configuration, directory, managed_bytes: MANAGED_BYTES, slots: 1 };
    Arc::new(RocksDbStores::new(means))
}

/// One operator instance with keys of its own.
struct Instance {
    backend: KeyedStateBackend,
    text: StateId<ValueColumn<String>>,
    timers: KeyTimers,
    keys: u64,
    /// How many keys have come back so far.
    seen: u64,
}

impl Instance {
    fn open(stores: &Arc<RocksDbStores>, operator: u8, keys: u64) -> Self {
        let runtime = OperatorRuntime {
            operator_id: OperatorId::from_bytes([operator; 16]),
            cold_stores: Some(stores.clone() as Arc<dyn ColdStores>),
            ..OperatorHarness::runtime()
        };
        let mut backend = KeyedStateBackend::new();
        backend.open(&runtime).expect("a store");
        let text = backend.register("text", || ValueColumn::new(texts())).expect("a free name");
        let timers = backend.timers(TimeDomain::EventTime);
        Self { backend, text, timers, keys, seen: 0 }
    }

    /// New keys while there are some, then some of all of them. Answers with what the cache holds.
    fn batch(&mut self, first: u64) -> usize {
        let key = |row: u64| (first + row).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
        let keys: Vec<i64> =
            (0..BATCH).map(|row| if first < self.keys { first + row } else { key(row) % self.keys } as i64).collect();
        let column: ArrayRef = Arc::new(Int64Array::from(keys.clone()));
        let (mut batch, mut slots) = (KeyBatch::default(), Vec::new());
        batch.read(&[column], keys.len()).expect("numbers are keys");
        let table = self.backend.table(Namespace::Void, batch.types());
        table.slots(&batch, Rows::All(keys.len()), &mut slots).expect("slots");
        for (key, slot) in keys.iter().zip(&slots) {
            let value = table.column_mut(self.text).entry(*slot);
            let expected = value.as_ref().is_none_or(|value| value.starts_with(&format!("{key} ")));
            assert!(expected, "key {key} has {value:?}");
            self.seen += u64::from(value.is_some());
            *value = Some(format!("{key} {}", "x".repeat(VALUE_BYTES)));
            self.timers.register(key * 1000, table.index(), *slot);
        }
        self.timers.settle().expect("timers are written");
        self.backend.make_room().expect("keys are written");
        let (held, room) = self.backend.cache_bytes();
        assert!(held <= room, "{held} bytes of {room}");
        held
    }
}

/// What is above RocksDB and in it keeps within the managed memory, however many share it, and the process with it.
fn keeps_within(instances: u8) {
    let folder = tempfile::tempdir().expect("a folder");
    let stores = stores(folder.path());
    // A whole number of batches for each.
    let keys = (KEYS / u64::from(instances)).next_multiple_of(BATCH);
    let mut all: Vec<Instance> = (0..instances).map(|operator| Instance::open(&stores, operator, keys)).collect();
    let before = resident_bytes();
    let (mut most, mut most_in_rocksdb, mut most_together) = (0, 0, 0);
    for first in (0..keys + keys / 4).step_by(BATCH as usize) {
        let mut held = 0;
        for instance in &mut all {
            held += instance.batch(first) as u64;
            most = most.max(resident_bytes());
            most_in_rocksdb = most_in_rocksdb.max(stores.used_bytes());
        }
        most_together = most_together.max(held + stores.used_bytes());
    }
    let grown = most.saturating_sub(before);
    println!(
        "{instances}: grown by {} KiB, RocksDB knows of {} KiB, {} KiB with the caches above",
        grown >> 10,
        most_in_rocksdb >> 10,
        most_together >> 10
    );
    // A block that is just being read may be beyond what the block cache has.
    assert!(most_in_rocksdb <= MANAGED_BYTES / 2 * 17 / 16, "RocksDB holds {most_in_rocksdb} bytes");
    assert!(most_together <= MANAGED_BYTES * 33 / 32, "{most_together} bytes are held");
    assert!(grown <= MANAGED_BYTES + BESIDE_BYTES, "the process has grown by {grown} bytes");
    for Instance { mut backend, mut timers, keys, seen, .. } in all {
        assert!(seen >= keys / 8, "only {seen} keys came back");
        let due = timers.due(i64::MAX, 10, &mut backend).expect("timers are read").expect("there are timers");
        assert_eq!(timers.pop(i64::MAX, &due).map(|(at, _)| at), Some(0));
    }
}

/// One after the other: the memory is that of the process.
#[test]
fn state_and_timers_of_ten_times_the_managed_memory_keep_within_it_alone_and_side_by_side() {
    keeps_within(1);
    keeps_within(8);
}
