//! Stores in memory, for tests.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use super::{
    ByteRows, CacheBudget, ColdSnapshot, ColdStore, ColdStoreError, ColdStores, FoundRows, KeyedRows, OpenedStore,
    ScanLimit, is_void,
};
use crate::operator::OperatorRuntime;
use crate::state::StateError;
use crate::time::EpochMillis;

type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

/// Stores that are maps in memory.
#[derive(Debug)]
pub struct MemoryColdStores {
    budget: Arc<CacheBudget>,
}

impl MemoryColdStores {
    /// Stores above which caches may hold `cache_bytes` together.
    pub fn new(cache_bytes: usize) -> Self {
        Self { budget: CacheBudget::new(cache_bytes) }
    }
}

impl ColdStores for MemoryColdStores {
    fn open(&self, _runtime: &OperatorRuntime) -> Result<OpenedStore, StateError> {
        Ok(OpenedStore { store: Box::new(MemoryColdStore::default()), cache: self.budget.join() })
    }
}

#[derive(Default)]
struct MemoryColdStore {
    rows: Arc<Rows>,
}

impl ColdStore for MemoryColdStore {
    fn read(&mut self, keys: &ByteRows, found: &mut FoundRows) -> Result<(), ColdStoreError> {
        found.clear();
        for (position, key) in keys.iter().enumerate() {
            if let Some(value) = self.rows.get(key) {
                found.positions.push(position as u32);
                found.values.push(value);
            }
        }
        Ok(())
    }

    fn write(&mut self, rows: &KeyedRows, removed: &ByteRows) -> Result<(), ColdStoreError> {
        let own = Arc::make_mut(&mut self.rows);
        removed.iter().for_each(|key| drop(own.remove(key)));
        own.extend(rows.keys.iter().zip(rows.values.iter()).map(|(key, value)| (key.to_vec(), value.to_vec())));
        Ok(())
    }

    fn expire(&mut self, now: EpochMillis) {
        Arc::make_mut(&mut self.rows).retain(|key, row| !is_void(key, row, now));
    }

    fn remove_range(&mut self, from: &[u8], until: &[u8]) -> Result<(), ColdStoreError> {
        Arc::make_mut(&mut self.rows).retain(|key, _| key.as_slice() < from || key.as_slice() >= until);
        Ok(())
    }

    fn scan(&self, from: &[u8], until: &[u8], limit: ScanLimit, rows: &mut KeyedRows) -> Result<(), ColdStoreError> {
        scan(&self.rows, from, until, limit, rows);
        Ok(())
    }

    fn snapshot(&mut self) -> Result<Box<dyn ColdSnapshot>, ColdStoreError> {
        Ok(Box::new(MemorySnapshot(self.rows.clone())))
    }
}

struct MemorySnapshot(Arc<Rows>);

impl ColdSnapshot for MemorySnapshot {
    fn scan(&self, from: &[u8], until: &[u8], limit: ScanLimit, rows: &mut KeyedRows) -> Result<(), ColdStoreError> {
        scan(&self.0, from, until, limit, rows);
        Ok(())
    }
}

fn scan(all: &Rows, from: &[u8], until: &[u8], limit: ScanLimit, rows: &mut KeyedRows) {
    if from >= until {
        return;
    }
    for (key, value) in all.range::<[u8], _>((Bound::Included(from), Bound::Excluded(until))) {
        rows.keys.push(key);
        rows.values.push(value);
        if limit.is_reached(rows) {
            return;
        }
    }
}
