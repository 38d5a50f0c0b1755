use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, StringArray};
use arrow::util::display::{ArrayFormatter, FormatOptions};

use super::*;
use crate::checkpoint::snapshot::RestoredState;
use crate::key_group::KeyGroupRange;
use crate::operator::OperatorRuntime;
use crate::operator::harness::OperatorHarness;
use crate::operator::harness::layers::KeptLayers;
use crate::state::column::tests::numbers;
use crate::state::{
    ExpiringValues, KeyBatch, KeyTimers, ListColumn, MapColumn, Rows, StateId, Ttl, ValueColumn,
    column::tests::booleans,
};
use crate::time::EpochMillis;
use crate::window::TimeDomain;

const GROUPS: u32 = 128;

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

#[derive(Clone, Copy)]
struct Course {
    seed: u64,
    keys: u64,
    text_keys: bool,
    windows: u64,
    inline_max: usize,
}

/// One instance of an operator with every kind of state.
struct Instance {
    backend: KeyedStateBackend,
    increments: Increments,
    number: StateId<ValueColumn<i64>>,
    list: StateId<ListColumn<i64>>,
    map: StateId<MapColumn<i64, bool>>,
    expiring: StateId<ExpiringValues<i64>>,
    timers: KeyTimers,
    /// By slot, so that a key with timers stays.
    kept: StateId<ValueColumn<i64>>,
}

impl Instance {
    fn open(inline_max: usize) -> Self {
        let increments = Increments::enabled().with_inline_max(inline_max);
        let runtime = OperatorRuntime { increments: increments.clone(), ..OperatorHarness::runtime() };
        let mut backend = KeyedStateBackend::new();
        backend.open(&runtime).unwrap();
        let number = backend.register("number", || ValueColumn::new(numbers())).unwrap();
        let list = backend.register("list", || ListColumn::new(numbers())).unwrap();
        let map = backend.register("map", || MapColumn::new(numbers(), booleans())).unwrap();
        let expiring = backend.register("expiring", || ExpiringValues::new(Ttl { millis: 50 }, numbers())).unwrap();
        let kept = backend.register("kept", || ValueColumn::new(numbers())).unwrap();
        let timers = backend.timers(TimeDomain::EventTime);
        Self { backend, increments, number, list, map, expiring, timers, kept }
    }

    fn save(&mut self, increment: Option<Increment>) -> OperatorSnapshot {
        self.increments.begin(increment);
        let mut snapshot = OperatorSnapshot::default();
        self.timers.save("timers", &self.backend, GROUPS, &mut snapshot).unwrap();
        self.backend.save("state", GROUPS, &mut snapshot).unwrap();
        snapshot
    }

    fn restore(&mut self, mut state: RestoredState) {
        self.backend.restore_from(&mut state, "state").unwrap();
        self.timers.restore_from(&mut state, "timers", &mut self.backend).unwrap();
    }

    /// Changes what some keys have.
    fn batch(&mut self, course: &Course, random: &mut Random, now: EpochMillis) {
        let namespace = course.namespace(random);
        let rows = 1 + random.below(1 + course.keys / 8) as usize;
        let keys: Vec<u64> = (0..rows).map(|_| random.below(course.keys)).collect();
        let mut batch = KeyBatch::default();
        batch.read(&[course.column(&keys)], rows).unwrap();
        let mut slots = Vec::new();
        let table = self.backend.table(namespace, batch.types());
        if random.below(6) == 0 {
            table.known_slots(&batch, Rows::All(rows), &mut slots).unwrap();
            slots.retain(|slot| *slot != crate::state::NO_SLOT);
        } else {
            table.slots(&batch, Rows::All(rows), &mut slots).unwrap();
        }
        for slot in &slots {
            let stamp = now + random.below(1000).cast_signed();
            match random.below(9) {
                0 | 1 => *table.column_mut(self.number).entry(*slot) = Some(stamp),
                2 => *table.column_mut(self.number).entry(*slot) = None,
                3 => table.column_mut(self.list).entry(*slot).push(stamp),
                4 => drop(table.column_mut(self.map).entry(*slot).insert(stamp % 7, stamp % 2 == 0)),
                5 => *table.column_mut(self.expiring).entry(*slot, now) = Some(stamp),
                6 if namespace == Namespace::Void => {
                    if self.timers.register(stamp, &table.index, *slot) {
                        *table.column_mut(self.kept).entry(*slot).get_or_insert(0) += 1;
                    }
                }
                _ => {
                    *table.column_mut(self.number).entry(*slot) = None;
                    table.column_mut(self.list).entry(*slot).clear();
                    table.column_mut(self.map).entry(*slot).clear();
                    *table.column_mut(self.expiring).entry(*slot, now) = None;
                }
            }
        }
        table.free_empty(&mut slots);
    }

    fn fire(&mut self, now: EpochMillis) {
        while let Some(mut due) = self.timers.due(now, 5, &mut self.backend).unwrap() {
            while let Some((_, row)) = self.timers.pop(now, &due) {
                let table = self.backend.existing_mut(Namespace::Void).unwrap();
                let kept = table.column_mut(self.kept).entry(due.slots[row]);
                *kept = kept.map(|count| count - 1).filter(|count| *count > 0);
            }
            self.backend.existing_mut(Namespace::Void).unwrap().free_empty(&mut due.slots);
        }
    }
}

impl Course {
    fn namespace(&self, random: &mut Random) -> Namespace {
        match random.below(self.windows + 1) {
            0 => Namespace::Void,
            window => Namespace::Window(TimeWindow::new(window.cast_signed(), window.cast_signed() + 10)),
        }
    }

    fn column(&self, keys: &[u64]) -> ArrayRef {
        if self.text_keys {
            Arc::new(keys.iter().map(|key| (*key > 0).then(|| format!("key {key}"))).collect::<StringArray>())
        } else {
            Arc::new(keys.iter().map(|key| (*key > 0).then_some(key.cast_signed())).collect::<Int64Array>())
        }
    }
}

/// All rows, by table, as text. Empty states are those that are not there.
fn rows(snapshots: &[OperatorSnapshot]) -> BTreeMap<String, BTreeSet<String>> {
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for table in snapshots.iter().flat_map(|snapshot| &snapshot.keyed) {
        assert!(table.key_groups.values().is_sorted(), "rows are in the order of key groups");
        let schema = table.rows.schema();
        let options = FormatOptions::default();
        let columns: Vec<_> =
            table.rows.columns().iter().map(|column| ArrayFormatter::try_new(column, &options)).collect();
        for row in 0..table.rows.num_rows() {
            let values = columns.iter().zip(schema.fields()).filter_map(|(column, field)| {
                let value = column.as_ref().unwrap().value(row).to_string();
                // A column of windows is there only once there is one.
                (!value.is_empty()).then(|| format!("{}={value}", field.name()))
            });
            let text = format!("{} {}", table.key_groups.value(row), values.collect::<Vec<_>>().join(" "));
            assert!(found.entry(table.name.clone()).or_default().insert(text), "a row is there twice");
        }
    }
    found
}

/// A checkpoint on its way, with what it should have.
struct Pending {
    checkpoint: CheckpointId,
    base: Option<CheckpointId>,
    snapshot: OperatorSnapshot,
    whole: OperatorSnapshot,
}

fn paths(snapshot: &OperatorSnapshot) -> Vec<String> {
    match snapshot.layered.as_deref() {
        Some(LayeredSnapshot { layers: Layers::Placed(paths), .. }) => paths.clone(),
        _ => Vec::new(),
    }
}

/// Goes the course; answers with how many checkpoints completed, and how many of them named a layer of an earlier one.
fn run(course: Course) -> (usize, usize) {
    let mut random = Random(course.seed);
    let mut instance = Instance::open(course.inline_max);
    let (mut storage, mut pending, mut complete) =
        (KeptLayers::default(), Vec::<Pending>::new(), BTreeMap::<CheckpointId, Vec<String>>::new());
    let (mut next, mut now, mut completed, mut named_again) = (0, 0, 0, 0);
    for _ in 0..160 {
        match random.below(16) {
            0..=2 if pending.len() < 3 => {
                next += 1;
                let (checkpoint, base) = (CheckpointId(next), complete.keys().next_back().copied());
                let table = instance.backend.existing_mut(Namespace::Void);
                table.map(|table| table.expire(0, u32::MAX, now));
                let whole = instance.save(None);
                let snapshot = instance.save(Some(Increment { checkpoint, base }));
                pending.push(Pending { checkpoint, base, snapshot, whole });
            }
            // They end in any order, and not all well.
            3..=6 if !pending.is_empty() => {
                let ended = pending.remove(random.below(pending.len() as u64) as usize);
                if random.below(3) == 0 || complete.keys().any(|newer| *newer > ended.checkpoint) {
                    continue;
                }
                let placed = storage.place(ended.snapshot).unwrap();
                let of_base: Vec<String> = ended.base.map(|base| complete[&base].clone()).unwrap_or_default();
                let foreign = paths(&placed).into_iter().filter(|path| !of_base.contains(path)).count();
                assert!(foreign <= 1, "seed {}: all but one layer are those of the base", course.seed);
                named_again += usize::from(paths(&placed).len() > foreign);
                complete.insert(ended.checkpoint, paths(&placed));
                completed += 1;
                let read = storage.read(placed).unwrap();
                assert_eq!(
                    rows(std::slice::from_ref(&read)),
                    rows(&[ended.whole]),
                    "seed {}, {:?}",
                    course.seed,
                    ended.checkpoint
                );
                if random.below(8) == 0 {
                    instance = restarted(&course, &read, 1 + random.below(3) as u32, &mut random);
                    // Nothing of an attempt that has failed completes any more.
                    pending.clear();
                }
            }
            7 if course.windows > 0 => {
                let namespace = course.namespace(&mut random);
                if namespace != Namespace::Void || random.below(8) == 0 && instance.timers.next().is_none() {
                    instance.backend.drop_namespace(namespace).unwrap();
                }
            }
            8 => {
                now += 20;
                instance.fire(now);
                let table = instance.backend.existing_mut(Namespace::Void);
                table.map(|table| table.expire(0, random.below(20) as u32, now));
            }
            _ => instance.batch(&course, &mut random, now),
        }
    }
    (completed, named_again)
}

/// The instance that goes on from a snapshot, after others have begun from it at another parallelism.
fn restarted(course: &Course, snapshot: &OperatorSnapshot, parallelism: u32, random: &mut Random) -> Instance {
    let mut parts = Vec::new();
    for subtask in 0..parallelism {
        let range = KeyGroupRange::of_subtask(GROUPS, parallelism, subtask);
        let mut part = Instance::open(course.inline_max);
        part.restore(RestoredState::assign(std::slice::from_ref(snapshot), range, subtask, parallelism));
        // As the first of its own, and as one on something that this attempt does not know.
        let base = (random.below(2) == 0).then_some(CheckpointId(1));
        let mut storage = KeptLayers::default();
        let saved = part.save(Some(Increment { checkpoint: CheckpointId(1000), base }));
        let placed = storage.place(saved).unwrap();
        parts.push(storage.read(placed).unwrap());
    }
    let without_order = |rows: BTreeMap<String, BTreeSet<String>>| -> BTreeMap<String, BTreeSet<String>> {
        // What a map has is in no order.
        let sorted = |row: String| {
            let mut words: Vec<&str> = row.split([' ', ',', '[', ']']).collect();
            words.sort_unstable();
            words.join(" ")
        };
        rows.into_iter().map(|(name, rows)| (name, rows.into_iter().map(sorted).collect())).collect()
    };
    assert_eq!(
        without_order(rows(&parts)),
        without_order(rows(std::slice::from_ref(snapshot))),
        "seed {}",
        course.seed
    );
    let mut instance = Instance::open(course.inline_max);
    let range = KeyGroupRange::of_subtask(GROUPS, 1, 0);
    instance.restore(RestoredState::assign(std::slice::from_ref(snapshot), range, 0, 1));
    instance
}

fn check(keys: u64, windows: u64) {
    let (mut completed, mut named_again) = (0, 0);
    for seed in 0..60 {
        let inline_max = [0, 0, 4_000][(seed % 3) as usize];
        let (of_course, again) = run(Course { seed, keys, text_keys: seed % 2 == 0, windows, inline_max });
        completed += of_course;
        named_again += again;
    }
    assert!(completed > 300 && named_again * 4 > completed, "{named_again} of {completed} build on others");
}

#[test]
fn layers_have_what_a_whole_snapshot_has_with_timers_and_state_that_expires() {
    check(1000, 0);
    check(40, 0);
}

#[test]
fn layers_have_what_a_whole_snapshot_has_with_windows_that_come_and_go() {
    check(400, 4);
}

/// An instance with a number for each of these keys.
fn numbered(keys: std::ops::Range<u64>) -> Instance {
    let mut instance = Instance::open(0);
    set(&mut instance, keys, 0);
    instance
}

fn set(instance: &mut Instance, keys: impl IntoIterator<Item = u64>, number: i64) {
    let keys: Vec<i64> = keys.into_iter().map(u64::cast_signed).collect();
    let (rows, mut batch, mut slots) = (keys.len(), KeyBatch::default(), Vec::new());
    batch.read(&[Arc::new(Int64Array::from(keys)) as ArrayRef], rows).unwrap();
    let table = instance.backend.table(Namespace::Void, batch.types());
    table.slots(&batch, Rows::All(rows), &mut slots).unwrap();
    slots.iter().for_each(|slot| *table.column_mut(instance.number).entry(*slot) = Some(number));
}

#[test]
fn what_has_changed_is_what_is_written() {
    let mut instance = numbered(0..100_000);
    let mut storage = KeptLayers::default();
    let mut written = Vec::new();
    for checkpoint in 1..=60 {
        if checkpoint > 1 {
            set(&mut instance, (0..1000).map(|key| (key * 97 + checkpoint * 7919) % 100_000), 1);
        }
        let base = (checkpoint > 1).then_some(CheckpointId(checkpoint - 1));
        let before = storage.written_bytes();
        let saved = instance.save(Some(Increment { checkpoint: CheckpointId(checkpoint), base }));
        let placed = storage.place(saved).unwrap();
        assert!(paths(&placed).len() <= LAYERS_MAX);
        written.push(storage.written_bytes() - before);
    }
    let later: usize = written[1..].iter().sum::<usize>() / (written.len() - 1);
    assert!(later * 10 < written[0], "{written:?}");
}

#[test]
fn a_snapshot_after_which_nothing_changes_is_written_once() {
    let mut instance = numbered(0..10_000);
    let mut storage = KeptLayers::default();
    let mut named = Vec::new();
    for checkpoint in 1..=4 {
        let base = (checkpoint > 1).then_some(CheckpointId(checkpoint - 1));
        let saved = instance.save(Some(Increment { checkpoint: CheckpointId(checkpoint), base }));
        named.push(paths(&storage.place(saved).unwrap()));
    }
    assert!(named.iter().all(|paths| paths.len() == 1 && *paths == named[0]), "{named:?}");
}

#[test]
fn a_savepoint_has_everything_and_changes_nothing() {
    let mut instance = numbered(0..1000);
    let mut storage = KeptLayers::default();
    let at = |checkpoint, base: Option<u64>| {
        Some(Increment { checkpoint: CheckpointId(checkpoint), base: base.map(CheckpointId) })
    };
    storage.place(instance.save(at(1, None))).unwrap();
    set(&mut instance, 0..10, 5);
    let savepoint = instance.save(None);
    assert!(savepoint.layered.is_none());
    assert_eq!(savepoint.keyed[0].rows.num_rows(), 1000);
    let placed = storage.place(instance.save(at(3, Some(1)))).unwrap();
    assert_eq!(paths(&placed).len(), 2);
    assert_eq!(rows(&[storage.read(placed).unwrap()]), rows(&[savepoint]));
}

#[test]
fn keys_that_come_and_go_between_two_barriers_leave_no_trace() {
    let mut instance = numbered(0..1000);
    let mut storage = KeptLayers::default();
    storage.place(instance.save(Some(Increment { checkpoint: CheckpointId(1), base: None }))).unwrap();
    for round in 0..1000 {
        let keys = 10_000 + round * 10..10_010 + round * 10;
        set(&mut instance, keys, 1);
        let table = instance.backend.existing_mut(Namespace::Void).unwrap();
        let mut slots = table.index.used_slots().split_off(1000);
        slots.iter().for_each(|slot| *table.column_mut(instance.number).entry(*slot) = None);
        table.free_empty(&mut slots);
    }
    let table = instance.backend.existing(Namespace::Void).unwrap();
    assert_eq!(table.changes.as_ref().unwrap().removed(CheckpointId(1)).count(), 0);
}

#[test]
fn each_row_is_written_anew_few_times_and_little_is_read_that_is_void() {
    // A million keys, of which a thousand change between two checkpoints.
    let (live, each) = (1_000_000, 1000);
    let mut layers: Vec<LayerSize> = Vec::new();
    let (mut written, mut most_read, mut most_layers) = (0, 0, 0);
    let mut behind: Vec<u64> = Vec::new();
    for checkpoint in 0..5000u64 {
        let changed = |kept: usize| (checkpoint - behind[kept - 1]) as usize * each;
        let kept = layers_kept(&layers, live, changed);
        let rows = if kept == 0 { live } else { changed(kept) };
        layers.truncate(kept);
        behind.truncate(kept);
        layers.push(LayerSize { rows, bytes: rows * 20 });
        behind.push(checkpoint);
        written += rows;
        most_read = most_read.max(layers.iter().map(|layer| layer.rows).sum());
        most_layers = most_layers.max(layers.len());
    }
    assert!(written / 5000 < 8 * each, "{} rows for {each} that changed", written / 5000);
    assert!(most_read <= live * 3 / 2, "{most_read}");
    assert!(most_layers <= LAYERS_MAX, "{most_layers}");
}
