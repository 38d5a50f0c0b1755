//! A bit that has changed in a file of a database is found when the file is opened or when it is read. No row is ever
//! another one, or missing, without an error.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use pelton_runtime_core::config::Configuration;
use pelton_runtime_core::operator::harness::OperatorHarness;
use pelton_runtime_core::state::cold::{
    ByteRows, ColdBackend, ColdFiles, ColdStore, ColdStoreError, FoundRows, KeyedRows, ScanLimit, StoreMeans,
};
use pelton_state_rocksdb::RocksDb;

const ALL: ScanLimit = ScanLimit { rows: usize::MAX, bytes: usize::MAX };

/// A store of its own in a folder, whose files have filters.
fn store(folder: &Path) -> Box<dyn ColdStore> {
    let settings = [("state.backend.rocksdb.use-bloom-filter".to_owned(), "true".to_owned())];
    let configuration = Configuration::from_map(settings.into()).expect("valid settings");
    let means = StoreMeans { configuration: &configuration, directory: folder, managed_bytes: 1 << 20, slots: 1 };
    RocksDb.stores(means).open(&OperatorHarness::runtime()).expect("a store").store
}

fn key(row: u32) -> Vec<u8> {
    format!("k key {row:04}").into_bytes()
}

fn row(row: u32) -> String {
    format!("row {row} {}", "x".repeat(row as usize % 23))
}

const ROWS: u32 = 100;

/// The rows from 20 on are removed up to 40.
fn is_there(row: u32) -> bool {
    !(20..40).contains(&row)
}

/// The files of a store with such rows, one of which has a removed range.
fn files(folder: &Path) -> Arc<dyn ColdFiles> {
    let mut store = store(folder);
    let mut rows = KeyedRows::default();
    for number in 0..ROWS {
        rows.keys.push(&key(number));
        rows.values.push(row(number).as_bytes());
    }
    store.write(&rows, &ByteRows::default()).expect("written");
    drop(store.files().expect("files"));
    store.remove_range(&key(20), &key(40)).expect("removed");
    store.files().expect("files")
}

/// Keys and their rows.
type KeysAndRows = Vec<(Vec<u8>, Vec<u8>)>;

/// What is read of all keys, in order.
fn read(folder: &Path) -> Result<KeysAndRows, ColdStoreError> {
    let rows = RocksDb.read_files(folder)?;
    let mut found = KeyedRows::default();
    rows.scan(b"a", b"z", ALL, &mut found)?;
    Ok(found.keys.iter().zip(found.values.iter()).map(|(key, row)| (key.to_vec(), row.to_vec())).collect())
}

fn expected() -> KeysAndRows {
    (0..ROWS).filter(|row| is_there(*row)).map(|number| (key(number), row(number).into_bytes())).collect()
}

/// What a store that takes the files over finds of all keys.
fn taken_over(folder: &Path, files: &Path) -> Result<Vec<(u32, Vec<u8>)>, ColdStoreError> {
    let mut store = store(folder);
    store.adopt(files)?;
    let (mut keys, mut found) = (ByteRows::default(), FoundRows::default());
    (0..ROWS).for_each(|number| keys.push(&key(number)));
    store.read(&keys, &mut found)?;
    Ok(found.positions.iter().copied().zip(found.values.iter().map(<[u8]>::to_vec)).collect())
}

#[test]
fn no_bit_that_has_changed_in_a_file_changes_a_row() {
    let base = tempfile::tempdir().expect("a folder");
    let files = files(&base.path().join("store"));
    let damaged = base.path().join("damaged");
    fs::create_dir(&damaged).expect("a folder");
    for file in files.files() {
        fs::copy(&file.path, damaged.join(&file.name)).expect("copied");
    }
    assert_eq!(read(&damaged).expect("whole"), expected());
    let rows_taken_over: Vec<(u32, Vec<u8>)> =
        (0..ROWS).filter(|row| is_there(*row)).map(|number| (number, row(number).into_bytes())).collect();
    assert_eq!(taken_over(&base.path().join("whole"), &damaged).expect("whole"), rows_taken_over);

    let (mut flips, mut found) = (0, 0);
    for file in files.files().iter().filter(|file| file.is_lasting) {
        let (path, bytes) = (damaged.join(&file.name), fs::read(&file.path).expect("a file"));
        for at in 0..bytes.len() {
            let mut flipped = bytes.clone();
            flipped[at] ^= 1 << (at % 8);
            fs::write(&path, flipped).expect("damaged");
            match read(&damaged) {
                Ok(rows) => assert_eq!(rows, expected(), "byte {at} of {}", file.name),
                Err(_) => found += 1,
            }
            flips += 1;
            // The way in which most begin, which takes longer.
            if at % 97 == 0
                && let Ok(rows) = taken_over(&base.path().join(format!("{}-{at}", file.name)), &damaged)
            {
                assert_eq!(rows, rows_taken_over, "byte {at} of {}", file.name);
            }
        }
        fs::write(&path, bytes).expect("mended");
    }
    println!("{found} of {flips} changed bits are errors");
    assert!(found > flips / 2);
}
