//! What timers have to do, wherever they are: random ones against a set of the standard library, with restarts from one
//! home to the other.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{Array, AsArray};
use arrow::datatypes::Int64Type;

use super::{Course, Random};
use crate::checkpoint::snapshot::OperatorSnapshot;
use crate::operator::OperatorRuntime;
use crate::operator::harness::OperatorHarness;
use crate::state::cold::ColdStores;
use crate::state::{Due, KeyBatch, KeyIndex, KeyTimers, KeyedStateBackend, Namespace, Rows, Slot};
use crate::time::EpochMillis;
use crate::window::TimeDomain;

/// How far ahead of the clock timers are registered at most.
const AHEAD: u64 = 2000;

/// How many timers fire at once.
const CHUNK: usize = 7;

struct Home {
    backend: KeyedStateBackend,
    timers: KeyTimers,
    max_parallelism: u32,
    in_store: bool,
}

impl Home {
    fn open(cold_stores: Option<Arc<dyn ColdStores>>) -> Self {
        let in_store = cold_stores.is_some();
        let runtime = OperatorRuntime { cold_stores, ..OperatorHarness::runtime() };
        let mut backend = KeyedStateBackend::new();
        backend.open(&runtime).expect("a store can be opened");
        let timers = backend.timers(TimeDomain::EventTime);
        Self { backend, timers, max_parallelism: runtime.max_parallelism, in_store }
    }

    fn settle(&mut self) {
        self.timers.settle().expect("timers can be written");
        self.backend.make_room().expect("keys can be written");
    }

    fn save(&mut self) -> OperatorSnapshot {
        let mut snapshot = OperatorSnapshot::default();
        self.timers.save("timers", &self.backend, self.max_parallelism, &mut snapshot).expect("timers can be saved");
        snapshot.collect().expect("saved timers can be read")
    }

    fn restore(&mut self, snapshot: &OperatorSnapshot) {
        for table in &snapshot.keyed {
            assert!(table.key_groups.values().is_sorted(), "rows leave in the order of key groups");
            self.timers.restore(std::slice::from_ref(&table.rows), &mut self.backend).expect("timers can be restored");
        }
    }

    /// Calls `each` with the slots of these keys; those that have no timer on the heap are free again afterwards.
    fn with_slots(
        &mut self,
        course: &Course,
        keys: &[u64],
        mut each: impl FnMut(&mut KeyTimers, &KeyIndex, usize, Slot),
    ) {
        let (mut batch, mut slots) = (KeyBatch::default(), Vec::new());
        batch.read(&[course.columns(keys)], keys.len()).expect("keys of this type are known");
        let table = self.backend.table(Namespace::Void, batch.types());
        table.slots(&batch, Rows::All(keys.len()), &mut slots).expect("keys have slots");
        for (row, slot) in slots.iter().enumerate() {
            each(&mut self.timers, table.index(), row, *slot);
        }
        if self.in_store {
            table.free_empty(&mut slots);
        }
    }
}

/// Which key of the course is in a row.
fn key_at(course: &Course, due: &Due, row: usize) -> u64 {
    let column = &due.columns[0];
    if column.is_null(row) {
        return 0;
    }
    match course.text_keys {
        true => column.as_string::<i32>().value(row).trim_end_matches('-').parse().expect("a key of the course"),
        false => column.as_primitive::<Int64Type>().value(row).cast_unsigned(),
    }
}

/// Goes the course with timers that are now on the heap, now in a store that `stores` makes.
///
/// # Panics
///
/// When a timer fires that is not there, or too late, or does not fire.
pub fn check_timers(course: Course, mut stores: impl FnMut() -> Arc<dyn ColdStores>) {
    let mut random = Random(course.seed);
    let mut expected: BTreeSet<(EpochMillis, u64)> = BTreeSet::new();
    let mut now: EpochMillis = 0;
    let mut home = Home::open(Some(stores()));
    for _ in 0..course.batches {
        match random.below(8) {
            0 => {
                let snapshot = home.save();
                home = Home::open((random.below(3) > 0).then(&mut stores));
                home.restore(&snapshot);
            }
            1 => drop(home.save()),
            2 | 3 => {
                now += random.below(AHEAD / 2).cast_signed();
                fire(&course, &mut home, &mut random, &mut expected, now);
            }
            _ => change(&course, &mut home, &mut random, &mut expected, now),
        }
        home.settle();
    }
    fire(&course, &mut home, &mut random, &mut expected, EpochMillis::MAX);
    assert!(expected.is_empty(), "seed {}: {} timers never fired", course.seed, expected.len());
}

/// Registers and deletes timers.
fn change(
    course: &Course,
    home: &mut Home,
    random: &mut Random,
    expected: &mut BTreeSet<(EpochMillis, u64)>,
    now: EpochMillis,
) {
    let keys: Vec<u64> = (0..1 + random.below(60)).map(|_| random.below(course.keys)).collect();
    home.with_slots(course, &keys, |timers, index, row, slot| {
        // Many at the same time, some far away.
        let ahead = random.below(AHEAD) >> random.below(6);
        let time = now + 1 + ahead.cast_signed() / 10 * 10;
        let known = expected.iter().find(|(_, key)| *key == keys[row]).copied().filter(|_| random.below(3) == 0);
        match known {
            Some((time, key)) => {
                timers.delete(time, index, slot);
                expected.remove(&(time, key));
            }
            None => {
                timers.register(time, index, slot);
                expected.insert((time, keys[row]));
            }
        }
    });
}

/// Lets everything fire that is due; some timers register others, of which some are due as well.
fn fire(
    course: &Course,
    home: &mut Home,
    random: &mut Random,
    expected: &mut BTreeSet<(EpochMillis, u64)>,
    now: EpochMillis,
) {
    while let Some(due) = home.timers.due(now, CHUNK, &mut home.backend).expect("timers can be read") {
        while let Some((at, row)) = home.timers.pop(now, &due) {
            let key = key_at(course, &due, row);
            let first = expected.first().map(|(time, _)| *time);
            assert_eq!(first, Some(at), "seed {}: a timer of {at} fires while others are due earlier", course.seed);
            assert!(expected.remove(&(at, key)), "seed {}: key {key} has no timer at {at}", course.seed);
            if now < EpochMillis::MAX && random.below(4) == 0 {
                let time = at + 1 + random.below(AHEAD / 4).cast_signed();
                let table = home.backend.existing(Namespace::Void).expect("the keys have a table");
                home.timers.register(time, table.index(), due.slots[row]);
                expected.insert((time, key));
            }
        }
        if home.in_store {
            let table = home.backend.existing_mut(Namespace::Void).expect("the keys have a table");
            table.free_empty(&mut due.slots.clone());
        }
        home.settle();
    }
    let next = expected.first().map(|(time, _)| *time);
    assert!(next.is_none_or(|next| next > now), "seed {}: a timer of {next:?} has not fired at {now}", course.seed);
    assert!(home.timers.next() <= next || next.is_none(), "seed {}: the task would wake up too late", course.seed);
}
