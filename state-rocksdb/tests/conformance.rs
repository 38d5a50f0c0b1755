//! Keyed state in RocksDB is what it was given, across restarts to the heap and back.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use pelton_runtime_core::config::Configuration;
use pelton_runtime_core::state::cold::{ColdBackend, ColdStores, StoreMeans};
use pelton_runtime_core::state::conformance::{Course, check, check_timers};
use pelton_state_rocksdb::RocksDb;

fn stores(directory: &Path, managed_bytes: u64, settings: &[(&str, &str)]) -> Arc<dyn ColdStores> {
    let settings: BTreeMap<String, String> =
        settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let configuration = Configuration::from_map(settings).expect("valid settings");
    RocksDb.stores(StoreMeans { configuration: &configuration, directory, managed_bytes, slots: 1 })
}

fn run(seeds: std::ops::Range<u64>, managed_bytes: u64, text_keys: bool, windows: u64, settings: &[(&str, &str)]) {
    for seed in seeds {
        let folder = tempfile::tempdir().expect("a folder");
        let mut homes = 0;
        let course = Course { seed, batches: 60, keys: 400, text_keys, windows };
        check(course, || {
            homes += 1;
            stores(&folder.path().join(homes.to_string()), managed_bytes, settings)
        });
        let entries =
            |folder: &Path| std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry"));
        let homes = entries(folder.path()).map(|home| home.path().join("rocksdb"));
        let left: Vec<_> = homes.flat_map(|home| entries(&home)).collect();
        assert!(left.is_empty(), "databases are still there: {left:?}");
    }
}

#[test]
fn state_of_words_is_what_it_was_given() {
    run(0..6, 40_000, false, 0, &[]);
    run(6..8, 8 << 20, false, 0, &[]);
}

#[test]
fn state_of_text_is_what_it_was_given() {
    run(10..16, 40_000, true, 0, &[("state.backend.rocksdb.use-bloom-filter", "true")]);
}

#[test]
fn state_of_windows_is_what_it_was_given() {
    run(20..26, 40_000, true, 4, &[]);
}

#[test]
fn state_without_a_cache_is_what_it_was_given() {
    run(30..33, 40_000, true, 2, &[("pelton.state.rocksdb.cache-fraction", "0")]);
    run(33..35, 40_000, false, 0, &[("state.backend.rocksdb.memory.managed", "false")]);
}

#[test]
fn state_with_indexes_and_filters_in_parts_is_what_it_was_given() {
    let partitioned = ("state.backend.rocksdb.memory.partitioned-index-filters", "true");
    let small = ("state.backend.rocksdb.block.metadata-blocksize", "128 b");
    let (uncached, filtered) =
        (("pelton.state.rocksdb.cache-fraction", "0"), ("state.backend.rocksdb.use-bloom-filter", "true"));
    run(50..52, 40_000, true, 0, &[partitioned, small, uncached]);
    run(52..54, 40_000, true, 2, &[partitioned, small, uncached, filtered]);
}

#[test]
fn timers_fire_in_the_order_of_time() {
    for seed in 40..46 {
        let folder = tempfile::tempdir().expect("a folder");
        let mut homes = 0;
        let course = Course { seed, batches: 80, keys: 300, text_keys: seed % 2 == 0, windows: 0 };
        check_timers(course, || {
            homes += 1;
            stores(&folder.path().join(homes.to_string()), 40_000, &[])
        });
    }
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a file");
    std::fs::write(&file, "").unwrap();
    let runtime = pelton_runtime_core::operator::harness::OperatorHarness::runtime();
    let error = stores(&file, 1 << 20, &[]).open(&runtime).err().unwrap();
    let message = pelton_runtime_core::failure::error_chain(&error);
    assert!(message.contains("the state store cannot be opened") && message.contains("a file"), "{message}");
}
