//! State that has expired leaves with the next compaction of its file.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use pelton_runtime_core::state::cold::is_void;
use pelton_runtime_core::time::EpochMillis;
use rocksdb::{CompactionDecision, Options};

/// What compactions of a worker's databases hold for the present: they run on threads of RocksDB, which have no clock.
#[derive(Debug)]
pub(crate) struct ExpiryClock(AtomicI64);

impl ExpiryClock {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(AtomicI64::new(EpochMillis::MIN)))
    }

    pub(crate) fn advance(&self, now: EpochMillis) {
        self.0.fetch_max(now, Ordering::Relaxed);
    }

    /// Lets compactions drop the rows that are void.
    pub(crate) fn drop_void_rows(self: &Arc<Self>, options: &mut Options) {
        let clock = self.clone();
        options.set_compaction_filter("expired", move |_level, key, row| {
            match is_void(key, row, clock.0.load(Ordering::Relaxed)) {
                true => CompactionDecision::Remove,
                false => CompactionDecision::Keep,
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::Database;

    #[test]
    fn a_compaction_drops_what_is_void_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let clock = ExpiryClock::new();
        let mut options = Options::default();
        options.create_if_missing(true);
        clock.drop_void_rows(&mut options);
        let database = Database::create(folder.path().join("state"), &options).unwrap();
        let void_from = |time: i64| ((time as u64) ^ (1 << 63)).to_be_bytes();
        for (key, time) in [("e one", 10), ("e two", 20), ("k three", 10)] {
            database.db.put(key, void_from(time)).unwrap();
        }
        let left = || -> Vec<String> {
            // A memtable is no file, and a file that nothing overlaps is left alone unless told otherwise.
            database.db.flush().unwrap();
            let mut all = rocksdb::CompactOptions::default();
            all.set_bottommost_level_compaction(rocksdb::BottommostLevelCompaction::Force);
            database.db.compact_range_opt(None::<&[u8]>, None::<&[u8]>, &all);
            let rows = database.db.iterator(rocksdb::IteratorMode::Start);
            rows.map(|row| String::from_utf8(row.unwrap().0.into()).unwrap()).collect()
        };
        clock.advance(9);
        assert_eq!(left(), ["e one", "e two", "k three"]);
        clock.advance(10);
        database.db.put("e four", void_from(30)).unwrap();
        assert_eq!(left(), ["e four", "e two", "k three"]);
    }
}
