//! State leaves as the files of its database and returns: as they are, cut to fewer key groups, beside those of others, or
//! row by row to the heap. What is there afterwards is what was there before.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array};
use arrow::datatypes::{DataType, Int64Type};
use pelton_runtime_core::checkpoint::record::StateFileHandle;
use pelton_runtime_core::checkpoint::snapshot::{OperatorSnapshot, RestoredState};
use pelton_runtime_core::checkpoint::state_file;
use pelton_runtime_core::config::Configuration;
use pelton_runtime_core::element::CheckpointId;
use pelton_runtime_core::id::OperatorId;
use pelton_runtime_core::key_group::KeyGroupRange;
use pelton_runtime_core::operator::OperatorRuntime;
use pelton_runtime_core::operator::harness::OperatorHarness;
use pelton_runtime_core::state::cold::{ColdBackend, ColdFile, ColdStores, StoreMeans};
use pelton_runtime_core::state::files::{FetchedFiles, FilePlace, Increment, Increments, PlacedFile, StoredFiles};
use pelton_runtime_core::state::{
    Alarms, ExpiringValues, KeyBatch, KeyIndex, KeyTimers, KeyedStateBackend, Namespace, NamespaceTable, Rows, StateId,
    Ttl, ValueCodec, ValueColumn,
};
use pelton_runtime_core::window::{TimeDomain, TimeWindow};
use pelton_state_rocksdb::RocksDb;
use tempfile::TempDir;

const MAX_PARALLELISM: u32 = 128;
const KEYS: i64 = 3000;
const WINDOW: Namespace = Namespace::Window(TimeWindow { start: 0, end: 1000 });

/// One operator instance.
struct Instance {
    backend: KeyedStateBackend,
    timers: KeyTimers,
    sum: StateId<ValueColumn<i64>>,
    increments: Increments,
    range: KeyGroupRange,
    _folder: TempDir,
}

type Values = BTreeMap<(Namespace, i64), i64>;
type Timers = BTreeSet<(i64, i64)>;

fn numbers() -> ValueCodec<i64> {
    ValueCodec::new(
        DataType::Int64,
        |values| Ok(Arc::new(values.iter().map(|value| value.copied()).collect::<Int64Array>())),
        |column| Ok(column.as_primitive::<Int64Type>().iter().collect()),
    )
}

fn batch(keys: &[i64]) -> KeyBatch {
    let column: ArrayRef = Arc::new(Int64Array::from(keys.to_vec()));
    let mut batch = KeyBatch::default();
    batch.read(&[column], keys.len()).expect("it works");
    batch
}

/// The keys that belong to these key groups.
fn keys_of(range: KeyGroupRange) -> Vec<i64> {
    let all: Vec<i64> = (0..KEYS).collect();
    let batch = batch(&all);
    let (mut index, mut slots) = (KeyIndex::new(batch.types()), Vec::new());
    index.slots(&batch, Rows::All(all.len()), &mut slots).expect("it works");
    let own = |key: &i64| range.contains(index.key_group(slots[*key as usize], MAX_PARALLELISM));
    all.into_iter().filter(own).collect()
}

/// The place of an operator instance, whose store, if it has one, is in a folder.
fn runtime(subtask: u32, parallelism: u32, folder: Option<&Path>) -> OperatorRuntime {
    let configuration = Configuration::from_map(BTreeMap::new()).expect("it works");
    let stores = |directory| -> Arc<dyn ColdStores> {
        RocksDb.stores(StoreMeans { configuration: &configuration, directory, managed_bytes: 200_000, slots: 1 })
    };
    OperatorRuntime {
        subtask,
        parallelism,
        max_parallelism: MAX_PARALLELISM,
        cold_stores: folder.map(stores),
        increments: Increments::enabled(),
        ..OperatorHarness::runtime()
    }
}

impl Instance {
    fn open(subtask: u32, parallelism: u32, in_store: bool) -> Self {
        let folder = tempfile::tempdir().expect("it works");
        let runtime = runtime(subtask, parallelism, in_store.then_some(folder.path()));
        let mut backend = KeyedStateBackend::new();
        backend.open(&runtime).expect("it works");
        let sum = backend.register("sum", || ValueColumn::new(numbers())).expect("it works");
        let timers = backend.timers(TimeDomain::EventTime);
        Self {
            backend,
            timers,
            sum,
            increments: runtime.increments.clone(),
            range: runtime.key_groups(),
            _folder: folder,
        }
    }

    fn put(&mut self, namespace: Namespace, keys: &[i64], value: impl Fn(i64) -> i64, timer: bool) {
        let mut slots = Vec::new();
        for keys in keys.chunks(100) {
            let batch = batch(keys);
            let table = self.backend.table(namespace, batch.types());
            table.slots(&batch, Rows::All(keys.len()), &mut slots).expect("it works");
            for (key, slot) in keys.iter().zip(&slots) {
                *table.column_mut(self.sum).entry(*slot) = Some(value(*key));
                if timer {
                    self.timers.register(key * 37 % 1009, table.index(), *slot);
                }
            }
            self.timers.settle().expect("it works");
            self.backend.make_room().expect("it works");
        }
    }

    fn save(&mut self, checkpoint: u64) -> OperatorSnapshot {
        self.increments.begin(Some(Increment { checkpoint: CheckpointId(checkpoint), base: None }));
        let mut snapshot = OperatorSnapshot::default();
        self.timers.save("timers", &self.backend, MAX_PARALLELISM, &mut snapshot).expect("it works");
        self.backend.save("sums", MAX_PARALLELISM, &mut snapshot).expect("it works");
        self.increments.begin(None);
        snapshot
    }

    /// Answers with whether it went on with files as they are.
    fn restore(&mut self, snapshots: &[OperatorSnapshot]) -> bool {
        let mut state = RestoredState::assign(snapshots, self.range, 0, 1);
        let adopted: Vec<_> = state.stored.values().flatten().map(|part| part.files().0.clone()).collect();
        self.backend.restore_from(&mut state, "sums").expect("it works");
        self.timers.restore_from(&mut state, "timers", &mut self.backend).expect("it works");
        assert!(state.is_empty());
        adopted.iter().any(|adopted| adopted.get())
    }

    fn values(&mut self) -> Values {
        let mut slots = Vec::new();
        let mut found = Values::new();
        let keys = keys_of(self.range);
        for namespace in [Namespace::Void, WINDOW] {
            for keys in keys.chunks(100) {
                let batch = batch(keys);
                let table = self.backend.table(namespace, batch.types());
                table.slots(&batch, Rows::All(keys.len()), &mut slots).expect("it works");
                let values = keys.iter().zip(&slots);
                let values = values.filter_map(|(key, slot)| Some((*key, *table.column(self.sum).get(*slot)?)));
                found.extend(values.map(|(key, value)| ((namespace, key), value)));
                self.backend.make_room().expect("it works");
            }
        }
        found
    }

    fn fire_all(&mut self) -> Timers {
        let mut fired = Timers::new();
        let mut last = i64::MIN;
        while let Some(due) = self.timers.due(5000, 50, &mut self.backend).expect("it works") {
            let keys = due.columns[0].as_primitive::<Int64Type>().clone();
            while let Some((time, row)) = self.timers.pop(5000, &due) {
                assert!(last <= time && fired.insert((time, keys.value(row))), "in the order of time, and once");
                last = time;
            }
            self.backend.make_room().expect("it works");
        }
        fired
    }
}

/// The same snapshot when it has gone to storage and come back.
fn travelled(mut snapshot: OperatorSnapshot) -> OperatorSnapshot {
    let mut files: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let stored = snapshot.stored.as_mut().expect("state leaves as files");
    let tables: Vec<String> = stored.tables.iter().map(|table| table.name.clone()).collect();
    let StoredFiles::Held(held) = stored.files.clone() else { panic!("files are held first") };
    let place = |file: &ColdFile| {
        let bytes = fs::read(&file.path).expect("it works");
        assert_eq!(bytes.len() as u64, file.bytes);
        let (name, path) = (file.name.clone(), format!("shared/{}", file.name));
        let place = if file.is_lasting { FilePlace::At(path.clone()) } else { FilePlace::Here(bytes.clone().into()) };
        files.insert(path, bytes);
        PlacedFile { name, place }
    };
    stored.files = StoredFiles::Placed(held.files().iter().map(place).collect());
    drop(held);
    let id = OperatorId::from_bytes([1; 16]);
    let bytes = state_file::encode(&[(id, snapshot)]).expect("it works").expect("it works");
    let names = state_file::tables("f", &bytes.clone().into()).expect("it works");
    assert_eq!(names.into_iter().map(|table| table.name).collect::<Vec<_>>(), tables);
    let (_, mut snapshot) = state_file::decode("f", &bytes.into()).expect("it works").remove(0);
    let stored = snapshot.stored.as_mut().expect("it works");
    let StoredFiles::Placed(placed) = stored.files.clone() else { panic!("they have their places") };
    let folder = tempfile::tempdir().expect("it works");
    let mut handles = BTreeMap::new();
    for PlacedFile { name, place } in placed {
        let local = folder.path().join(&name);
        match place {
            FilePlace::Here(bytes) => fs::write(local, bytes).expect("it works"),
            FilePlace::At(path) => {
                fs::write(local, &files[&path]).expect("it works");
                handles.insert(name, StateFileHandle { bytes: files[&path].len() as u64, sha256: [0; 32], path });
            }
        }
    }
    stored.files = StoredFiles::Fetched(Arc::new(FetchedFiles::new(Fetched(folder), Arc::new(RocksDb), handles)));
    snapshot
}

struct Fetched(TempDir);

impl AsRef<Path> for Fetched {
    fn as_ref(&self) -> &Path {
        self.0.path()
    }
}

fn saved_at(parallelism: u32) -> (Vec<OperatorSnapshot>, Values, Timers) {
    let mut values = Values::new();
    let snapshots = (0..parallelism).map(|subtask| {
        let mut instance = Instance::open(subtask, parallelism, true);
        let keys = keys_of(instance.range);
        instance.put(Namespace::Void, &keys, |key| key, true);
        instance.put(WINDOW, &keys[..keys.len() / 2], |key| -key, false);
        let changed: Vec<i64> = keys.iter().copied().filter(|key| key % 7 == 0).collect();
        instance.put(Namespace::Void, &changed, |key| key * 1000, false);
        values.extend(instance.values());
        travelled(instance.save(1))
    });
    let snapshots = snapshots.collect();
    assert_eq!(values.len() as i64, KEYS + values.keys().filter(|(namespace, _)| *namespace == WINDOW).count() as i64);
    (snapshots, values, (0..KEYS).map(|key| (key * 37 % 1009, key)).collect())
}

#[test]
fn files_return_at_any_parallelism() {
    for (before, after) in [(1, 1), (1, 2), (2, 1), (2, 3), (3, 2)] {
        let (snapshots, values, timers) = saved_at(before);
        let (mut found, mut fired) = (Values::new(), Timers::new());
        for subtask in 0..after {
            let mut instance = Instance::open(subtask, after, true);
            assert!(instance.restore(&snapshots), "files are gone on with: {before} to {after}");
            fired.extend(instance.fire_all());
            found.extend(instance.values());
            // What came back leaves again, and nothing beside it.
            let again = travelled(instance.save(2));
            let mut next = Instance::open(subtask, after, true);
            next.restore(&[again]);
            assert!(next.fire_all().is_empty(), "timers that fired do not come back");
            assert_eq!(next.values(), instance.values());
        }
        assert!(found == values && fired == timers, "{before} to {after}");
    }
}

#[test]
fn files_return_to_the_heap_row_by_row() {
    let (snapshots, values, timers) = saved_at(2);
    for parallelism in [1, 3] {
        let (mut found, mut fired) = (Values::new(), Timers::new());
        for subtask in 0..parallelism {
            let mut instance = Instance::open(subtask, parallelism, false);
            assert!(!instance.restore(&snapshots));
            fired.extend(instance.fire_all());
            found.extend(instance.values());
        }
        assert!(found == values && fired == timers);
    }
}

#[test]
fn a_file_keeps_its_name_while_it_is_what_it_was() {
    let mut instance = Instance::open(0, 1, true);
    let keys: Vec<i64> = (0..KEYS).collect();
    instance.put(Namespace::Void, &keys, |key| key, false);
    let mut written: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let (mut again, mut fresh) = (0, 0);
    for round in 0..12 {
        instance.put(Namespace::Void, &keys[..30], |key| key + round, false);
        let snapshot = instance.save(round as u64 + 1);
        let Some(StoredFiles::Held(held)) = snapshot.stored.map(|stored| stored.files) else { panic!("as files") };
        for file in held.files().iter().filter(|file| file.is_lasting) {
            let bytes = fs::read(&file.path).expect("it works");
            match written.insert(file.name.clone(), bytes.clone()) {
                Some(before) => {
                    assert_eq!(before, bytes, "{}", file.name);
                    again += bytes.len();
                }
                None => fresh += bytes.len(),
            }
        }
    }
    assert!(fresh < again, "{fresh} bytes were written anew, {again} were there");
}

#[test]
fn rows_that_now_live_longer_are_not_void_when_their_old_time_is_over() {
    let keys: Vec<i64> = (0..KEYS).collect();
    let open = |folder: &TempDir, millis| {
        let runtime = runtime(0, 1, Some(folder.path()));
        let mut backend = KeyedStateBackend::new();
        backend.open(&runtime).expect("it works");
        let last = backend.register("last", move || ExpiringValues::new(Ttl { millis }, numbers())).expect("it works");
        (backend, last, runtime)
    };
    let (first, folder) = (tempfile::tempdir().expect("it works"), tempfile::tempdir().expect("it works"));
    let (mut backend, last, runtime) = open(&first, 1000);
    let mut slots = Vec::new();
    for keys in keys.chunks(100) {
        let batch = batch(keys);
        let table = backend.table(Namespace::Void, batch.types());
        table.slots(&batch, Rows::All(keys.len()), &mut slots).expect("it works");
        let column = table.column_mut(last);
        keys.iter().zip(&slots).for_each(|(key, slot)| *column.entry(*slot, 0) = Some(*key));
        backend.make_room().expect("it works");
    }
    runtime.increments.begin(Some(Increment { checkpoint: CheckpointId(1), base: None }));
    let mut snapshot = OperatorSnapshot::default();
    backend.save("last", MAX_PARALLELISM, &mut snapshot).expect("it works");
    let snapshot = [travelled(snapshot)];
    for (millis, adopts, found) in [(1000, true, 0), (5000, false, KEYS as usize)] {
        let (mut backend, last, runtime) = open(&folder, millis);
        let mut state = RestoredState::assign(&snapshot, runtime.key_groups(), 0, 1);
        let adopted: Vec<_> = state.stored.values().flatten().map(|part| part.files().0.clone()).collect();
        backend.restore_from(&mut state, "last").expect("it works");
        assert_eq!(adopted.iter().any(|adopted| adopted.get()), adopts, "{millis}");
        backend.expire_stored(2000);
        let mut living = 0;
        for keys in keys.chunks(100) {
            let batch = batch(keys);
            let table = backend.table(Namespace::Void, batch.types());
            table.slots(&batch, Rows::All(keys.len()), &mut slots).expect("it works");
            let column = table.column(last);
            let lives = |(key, slot): &(&i64, &u32)| column.get(**slot) == Some(*key) && !column.is_over(**slot, 2000);
            living += keys.iter().zip(&slots).filter(lives).count();
            backend.make_room().expect("it works");
        }
        assert_eq!(living, found, "{millis}");
    }
}

#[test]
fn files_that_are_none_are_refused_with_their_folder() {
    let folder = tempfile::tempdir().expect("it works");
    fs::write(folder.path().join("CURRENT"), "MANIFEST-000005\n").expect("it works");
    let error = RocksDb.read_files(folder.path()).err().expect("there is no such list of files");
    let message = pelton_runtime_core::failure::error_chain(&error);
    assert!(
        message.contains("cannot read files") && message.contains(&folder.path().display().to_string()),
        "{message}"
    );
}

/// An operator instance whose keys are due when their value says.
struct DueKeys {
    backend: KeyedStateBackend,
    alarms: Alarms,
    at: StateId<ValueColumn<i64>>,
    runtime: OperatorRuntime,
    _folder: TempDir,
}

impl DueKeys {
    fn open(subtask: u32, parallelism: u32, in_store: bool) -> Self {
        let folder = tempfile::tempdir().expect("it works");
        let runtime = runtime(subtask, parallelism, in_store.then_some(folder.path()));
        let mut backend = KeyedStateBackend::new();
        backend.open(&runtime).expect("it works");
        let at = backend.register("at", || ValueColumn::new(numbers())).expect("it works");
        let mut alarms = Alarms::new(TimeDomain::EventTime);
        alarms.open(&mut backend).expect("it works");
        Self { backend, alarms, at, runtime, _folder: folder }
    }

    fn put(&mut self, due: impl Fn(i64) -> i64) {
        let (mut slots, at) = (Vec::new(), self.at);
        for keys in keys_of(self.runtime.key_groups()).chunks(100) {
            let batch = batch(keys);
            let table = self.backend.table(Namespace::Void, batch.types());
            table.slots(&batch, Rows::All(keys.len()), &mut slots).expect("it works");
            let column = table.column_mut(at);
            keys.iter().zip(&slots).for_each(|(key, slot)| *column.entry(*slot) = Some(due(*key)));
            self.alarms.changed(table, &slots, |table, slot| table.column(at).get(slot).copied()).expect("it works");
            self.backend.make_room().expect("it works");
        }
    }

    fn save(&mut self) -> OperatorSnapshot {
        self.runtime.increments.begin(Some(Increment { checkpoint: CheckpointId(1), base: None }));
        let mut snapshot = OperatorSnapshot::default();
        self.alarms.save(&mut snapshot).expect("it works");
        self.backend.save("due", MAX_PARALLELISM, &mut snapshot).expect("it works");
        snapshot
    }

    fn restore(&mut self, snapshots: &[OperatorSnapshot]) {
        let mut state = RestoredState::assign(snapshots, self.runtime.key_groups(), 0, 1);
        let (alarms, at) = (&mut self.alarms, self.at);
        let due = |table: &NamespaceTable, slot| table.column(at).get(slot).copied();
        let seen = self.backend.restore_seen(&mut state, "due", &mut |table, slots| alarms.restored(table, slots, due));
        seen.expect("it works");
        alarms.restore(&mut state).expect("it works");
        assert!(state.is_empty());
    }

    /// The keys that ring before a time, with that of their last ring; they have no state after it.
    fn ring(&mut self, before: i64) -> BTreeMap<i64, i64> {
        let mut rung = BTreeMap::new();
        while let Some(mut due) = self.alarms.due(before - 1, 50, &mut self.backend).expect("it works") {
            let keys = due.columns[0].as_primitive::<Int64Type>().clone();
            let table = self.backend.existing_mut(Namespace::Void).expect("a table");
            while let Some((time, row)) = self.alarms.pop(before - 1, &due, table) {
                let slot = due.slots[row];
                let entry = table.column_mut(self.at).entry(slot);
                *entry = entry.filter(|due| *due > time);
                let next = *entry;
                if next.is_none() {
                    assert!(rung.insert(keys.value(row), time).is_none(), "a key rings once when it is due");
                }
                self.alarms.arm(table, slot, next);
            }
            table.free_empty(&mut due.slots);
            self.backend.make_room().expect("it works");
        }
        rung
    }
}

#[test]
fn keys_whose_files_return_are_due_when_their_state_says() {
    let first = |key: i64| key * 37 % 1009;
    let put_off = |key: i64| if key % 3 == 0 { first(key) + 2000 } else { first(key) };
    for (before, after, in_store) in [(1, 1, true), (1, 2, true), (2, 1, true), (2, 3, true), (2, 2, false)] {
        let mut early = BTreeMap::new();
        let snapshots: Vec<_> = (0..before)
            .map(|subtask| {
                let mut keys = DueKeys::open(subtask, before, true);
                keys.put(first);
                keys.put(put_off);
                early.extend(keys.ring(400));
                travelled(keys.save())
            })
            .collect();
        let mut late = BTreeMap::new();
        for subtask in 0..after {
            let mut keys = DueKeys::open(subtask, after, in_store);
            keys.restore(&snapshots);
            late.extend(keys.ring(i64::MAX));
        }
        let expected = |is_early: bool| {
            let due = (0..KEYS).map(|key| (key, put_off(key))).filter(move |(_, due)| (*due < 400) == is_early);
            due.collect::<BTreeMap<_, _>>()
        };
        assert!(early == expected(true) && late == expected(false), "{before} to {after}");
    }
}
