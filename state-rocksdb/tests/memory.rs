//! State of ten times the managed memory keeps within it: the process does not grow beyond.
//!
//! Alone in its process, whose memory it measures.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, StringArray};
use arrow::datatypes::DataType;
use pelton_runtime_core::config::Configuration;
use pelton_runtime_core::operator::OperatorRuntime;
use pelton_runtime_core::operator::harness::OperatorHarness;
use pelton_runtime_core::state::cold::{ColdStores, StoreMeans};
use pelton_runtime_core::state::{KeyBatch, KeyedStateBackend, Namespace, Rows, ValueCodec, ValueColumn};
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

#[test]
fn state_and_timers_of_ten_times_the_managed_memory_keep_within_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let stores = stores(folder.path());
    let runtime =
        OperatorRuntime { cold_stores: Some(stores.clone() as Arc<dyn ColdStores>), ..OperatorHarness::runtime() };
    let mut backend = KeyedStateBackend::new();
    backend.open(&runtime).expect("a store");
    let text = backend.register("text", || ValueColumn::new(texts())).expect("a free name");
    let mut timers = backend.timers(TimeDomain::EventTime);
    let (mut batch, mut slots, mut seen) = (KeyBatch::default(), Vec::new(), 0u64);
    let before = resident_bytes();
    let (mut most, mut most_in_rocksdb) = (0, 0);
    // New keys first, then some of all of them.
    for first in (0..KEYS + KEYS / 4).step_by(BATCH as usize) {
        let key = |row: u64| (first + row).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
        let keys: Vec<i64> =
            (0..BATCH).map(|row| if first < KEYS { first + row } else { key(row) % KEYS } as i64).collect();
        let column: ArrayRef = Arc::new(Int64Array::from(keys.clone()));
        batch.read(&[column], keys.len()).expect("numbers are keys");
        let table = backend.table(Namespace::Void, batch.types());
        table.slots(&batch, Rows::All(keys.len()), &mut slots).expect("slots");
        for (key, slot) in keys.iter().zip(&slots) {
            let value = table.column_mut(text).entry(*slot);
            let expected = value.as_ref().is_none_or(|value| value.starts_with(&format!("{key} ")));
            assert!(expected, "key {key} has {value:?}");
            seen += u64::from(value.is_some());
            *value = Some(format!("{key} {}", "x".repeat(VALUE_BYTES)));
            timers.register(key * 1000, table.index(), *slot);
        }
        timers.settle().expect("timers are written");
        backend.make_room().expect("keys are written");
        most = most.max(resident_bytes());
        most_in_rocksdb = most_in_rocksdb.max(stores.used_bytes());
        let (held, room) = backend.cache_bytes();
        assert!(held <= room, "{held} bytes of {room}");
    }
    let grown = most.saturating_sub(before);
    println!("grown by {} KiB, RocksDB knows of {} KiB", grown >> 10, most_in_rocksdb >> 10);
    assert!(seen >= KEYS / 8, "only {seen} keys came back");
    // A block that is just being read may be beyond what the block cache has.
    assert!(most_in_rocksdb <= MANAGED_BYTES / 2 * 17 / 16, "RocksDB holds {most_in_rocksdb} bytes");
    assert!(grown <= MANAGED_BYTES + BESIDE_BYTES, "the process has grown by {grown} bytes");
    let due = timers.due(i64::MAX, 10, &mut backend).expect("timers are read").expect("there are timers");
    assert_eq!(timers.pop(i64::MAX, &due).map(|(at, _)| at), Some(0));
}
