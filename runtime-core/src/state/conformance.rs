//! What every home of keyed state has to do: random batches against maps of the standard library, with restarts from one
//! home to the other. Run by the tests of each store.
//!
//! A run is determined by its seed, which every message names.

mod timers;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, StringArray};
use arrow::datatypes::{DataType, Int64Type};

use super::cold::ColdStores;
use super::{KeyBatch, KeyedStateBackend, ListColumn, Namespace, Rows, Slot, StateId, ValueCodec, ValueColumn};
use crate::checkpoint::snapshot::OperatorSnapshot;
use crate::operator::OperatorRuntime;
use crate::operator::harness::OperatorHarness;
use crate::window::TimeWindow;

pub use self::timers::check_timers;

/// What a run does.
#[derive(Debug, Clone, Copy)]
pub struct Course {
    /// Decides everything that is random.
    pub seed: u64,
    /// How many batches there are.
    pub batches: usize,
    /// How many keys there are.
    pub keys: u64,
    /// Whether keys are text, not numbers.
    pub text_keys: bool,
    /// How many windows there are at once; none for state without windows.
    pub windows: u64,
}

/// What a key has: a number and a list.
type Expected = BTreeMap<(Namespace, u64), (Option<i64>, Vec<i64>)>;

/// Goes the course with state that is now on the heap alone, now in a store that `stores` makes.
///
/// # Panics
///
/// When a home does not answer what it was given.
pub fn check(course: Course, mut stores: impl FnMut() -> Arc<dyn ColdStores>) {
    let mut random = Random(course.seed);
    let mut expected = Expected::new();
    let mut home = Home::open(Some(stores()));
    for batch in 0..course.batches {
        match random.below(12) {
            0 => {
                let snapshot = home.save();
                home = Home::open((random.below(2) == 0).then(&mut stores));
                home.restore(&snapshot);
            }
            1 => drop(home.save()),
            2 if course.windows > 0 => {
                let namespace = course.namespace(&mut random);
                home.backend.drop_namespace(namespace).expect("a namespace can be dropped");
                expected.retain(|(of, _), _| *of != namespace);
            }
            _ => home.batch(&course, &mut random, &mut expected, batch as i64),
        }
        home.backend.make_room().unwrap_or_else(|error| panic!("seed {}: {error:?}", course.seed));
        let (held, room) = home.backend.cache_bytes();
        assert!(held <= room, "seed {}: the tables hold {held} bytes of {room}", course.seed);
    }
    assert_eq!(home.everything(course.text_keys), expected, "seed {}", course.seed);
}

impl Course {
    fn namespace(&self, random: &mut Random) -> Namespace {
        match self.windows {
            0 => Namespace::Void,
            windows => {
                let start = random.below(windows) as i64 * 1000 - 1000;
                Namespace::Window(TimeWindow::new(start, start + 1000))
            }
        }
    }

    fn columns(&self, keys: &[u64]) -> ArrayRef {
        if self.text_keys {
            // Of various lengths, and one without text.
            let text = |key: &u64| (*key > 0).then(|| format!("{key}{}", "-".repeat((*key % 40) as usize)));
            Arc::new(keys.iter().map(text).collect::<StringArray>())
        } else {
            Arc::new(keys.iter().map(|key| (*key > 0).then_some(*key as i64)).collect::<Int64Array>())
        }
    }
}

struct Home {
    backend: KeyedStateBackend,
    number: StateId<ValueColumn<i64>>,
    list: StateId<ListColumn<i64>>,
    max_parallelism: u32,
}

impl Home {
    fn open(cold_stores: Option<Arc<dyn ColdStores>>) -> Self {
        let runtime = OperatorRuntime { cold_stores, ..OperatorHarness::runtime() };
        let mut backend = KeyedStateBackend::new();
        backend.open(&runtime).expect("a store can be opened");
        let number = backend.register("number", || ValueColumn::new(numbers())).expect("the name is free");
        let list = backend.register("list", || ListColumn::new(numbers())).expect("the name is free");
        Self { backend, number, list, max_parallelism: runtime.max_parallelism }
    }

    fn save(&mut self) -> OperatorSnapshot {
        let mut snapshot = OperatorSnapshot::default();
        self.backend.save("state", self.max_parallelism, &mut snapshot).expect("state can be saved");
        snapshot.collect().expect("saved state can be read")
    }

    fn restore(&mut self, snapshot: &OperatorSnapshot) {
        for table in &snapshot.keyed {
            assert!(table.key_groups.values().is_sorted(), "rows leave in the order of key groups");
            self.backend.restore(std::slice::from_ref(&table.rows)).expect("saved state can be restored");
        }
    }

    /// Reads and changes what the keys of a batch have, some of which may be in it twice.
    fn batch(&mut self, course: &Course, random: &mut Random, expected: &mut Expected, stamp: i64) {
        let namespace = course.namespace(random);
        let rows = 1 + random.below(60) as usize;
        // Half of them of a tenth of the keys.
        let key = |random: &mut Random| match random.below(2) {
            0 => random.below(1 + course.keys / 10),
            _ => random.below(course.keys),
        };
        let keys: Vec<u64> = (0..rows).map(|_| key(random)).collect();
        let mut batch = KeyBatch::default();
        batch.read(&[course.columns(&keys)], rows).expect("keys can be read");
        let mut slots: Vec<Slot> = Vec::new();
        let table = self.backend.table(namespace, batch.types());
        table.slots(&batch, Rows::All(rows), &mut slots).expect("slots can be had");
        for (row, slot) in slots.iter().enumerate() {
            let entry = expected.entry((namespace, keys[row])).or_default();
            let (number, list) = (table.column(self.number).get(*slot), table.column(self.list).get(*slot));
            assert_eq!((number, list), (entry.0.as_ref(), entry.1.as_slice()), "seed {}", course.seed);
            match random.below(8) {
                0 => entry.0 = None,
                1 => entry.1.clear(),
                2 => *entry = (None, Vec::new()),
                3 | 4 => entry.1.extend((0..random.below(20)).map(|item| stamp + item as i64)),
                _ => entry.0 = Some(stamp),
            }
            *table.column_mut(self.number).entry(*slot) = entry.0;
            table.column_mut(self.list).entry(*slot).clone_from(&entry.1);
            if *entry == (None, Vec::new()) {
                expected.remove(&(namespace, keys[row]));
            }
        }
        table.free_empty(&mut slots);
    }

    /// All that is there, by way of a snapshot.
    fn everything(&mut self, text_keys: bool) -> Expected {
        let mut found = Expected::new();
        for table in self.save().keyed {
            let column = |name: &str| table.rows.column_by_name(name);
            let bound = |name: &str| column(name).map(|column| column.as_primitive::<Int64Type>().clone());
            let bounds = bound("window.start").zip(bound("window.end"));
            let keys = column("key.0").expect("rows have keys");
            let numbers = column("state.number").expect("rows have numbers").as_primitive::<Int64Type>();
            let lists = column("state.list").expect("rows have lists").as_list::<i32>();
            for row in 0..table.rows.num_rows() {
                let namespace = match &bounds {
                    Some((starts, ends)) if starts.is_valid(row) => {
                        Namespace::Window(TimeWindow::new(starts.value(row), ends.value(row)))
                    }
                    _ => Namespace::Void,
                };
                let key = match keys.is_valid(row) {
                    false => 0,
                    true if text_keys => {
                        keys.as_string::<i32>().value(row).trim_end_matches('-').parse().expect("a number")
                    }
                    true => keys.as_primitive::<Int64Type>().value(row) as u64,
                };
                let list = lists.value(row).as_primitive::<Int64Type>().values().to_vec();
                let number = numbers.is_valid(row).then(|| numbers.value(row));
                assert!(found.insert((namespace, key), (number, list)).is_none(), "a key is there twice");
            }
        }
        found
    }
}

fn numbers() -> ValueCodec<i64> {
    ValueCodec::new(
        DataType::Int64,
        |values| Ok(Arc::new(values.iter().map(|value| value.copied()).collect::<Int64Array>())),
        |column| Ok(column.as_primitive::<Int64Type>().iter().collect()),
    )
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::super::cold::MemoryColdStores;
    use super::*;

    fn run(cache_bytes: usize, text_keys: bool, windows: u64) {
        for seed in 0..40 {
            let course = Course { seed, batches: 60, keys: 400, text_keys, windows };
            check(course, || Arc::new(MemoryColdStores::new(cache_bytes)));
        }
    }

    #[test]
    fn state_of_words_is_what_it_was_given_however_little_of_it_is_cached() {
        [0, 2_000, 20_000, 10_000_000].into_iter().for_each(|bytes| run(bytes, false, 0));
    }

    #[test]
    fn state_of_text_is_what_it_was_given_however_little_of_it_is_cached() {
        [0, 2_000, 20_000, 10_000_000].into_iter().for_each(|bytes| run(bytes, true, 0));
    }

    #[test]
    fn timers_fire_in_the_order_of_time_however_few_of_them_are_in_memory() {
        for cache_bytes in [0, 1_000_000] {
            for seed in 0..60 {
                let course = Course { seed, batches: 80, keys: 300, text_keys: seed % 2 == 0, windows: 0 };
                check_timers(course, || Arc::new(MemoryColdStores::new(cache_bytes)));
            }
        }
    }

    #[test]
    fn state_of_windows_is_what_it_was_given_however_little_of_it_is_cached() {
        [0, 20_000, 10_000_000].into_iter().for_each(|bytes| run(bytes, true, 4));
    }
}
