//! Tables that leave one backend and return to others.

use arrow::array::{Int32Array, StringArray};
use arrow::datatypes::Field;
use arrow::datatypes::Schema;
use proptest::prelude::*;

use super::*;
use crate::checkpoint::snapshot::{OperatorSnapshot, RestoredState};
use crate::key_group::KeyGroupRange;
use crate::state::column::tests::{booleans, numbers};
use crate::state::{ListColumn, StateId, ValueColumn};

struct Tables {
    backend: KeyedStateBackend,
    sum: StateId<ValueColumn<i64>>,
    list: StateId<ListColumn<i64>>,
}

impl Tables {
    fn new() -> Self {
        let mut backend = KeyedStateBackend::new();
        let sum = backend.register("sum", || ValueColumn::new(numbers())).unwrap();
        let list = backend.register("list", || ListColumn::new(numbers())).unwrap();
        Self { backend, sum, list }
    }

    fn add(&mut self, namespace: Namespace, rows: &[(Option<i16>, i64)]) {
        let text: ArrayRef =
            Arc::new(rows.iter().map(|(key, _)| key.map(|key| format!("key {key}"))).collect::<StringArray>());
        let number: ArrayRef = Arc::new(rows.iter().map(|(key, _)| key.map(i32::from)).collect::<Int32Array>());
        let mut keys = KeyBatch::default();
        keys.read(&[text, number], rows.len()).unwrap();
        let table = self.backend.table(namespace, keys.types());
        let mut slots = Vec::new();
        table.slots(&keys, Rows::All(rows.len()), &mut slots).unwrap();
        for (slot, (_, value)) in slots.iter().zip(rows) {
            let sum = table.column_mut(self.sum).entry(*slot);
            *sum = Some(sum.unwrap_or(0) + value);
            table.column_mut(self.list).entry(*slot).push(*value);
        }
    }

    /// Everything, as text.
    fn contents(&self) -> Vec<String> {
        let mut all = Vec::new();
        for namespace in self.backend.namespaces() {
            let table = self.backend.existing(namespace).unwrap();
            for slot in table.index().by_key_group(128).0 {
                let keys = table.index().columns(&[slot]).unwrap();
                let sum = table.column(self.sum).get(slot);
                all.push(format!("{namespace:?} {keys:?} {sum:?} {:?}", table.column(self.list).get(slot)));
            }
        }
        all.sort();
        all
    }
}

fn namespaces() -> impl Strategy<Value = Namespace> {
    prop_oneof![
        Just(Namespace::Void),
        (0i64..3).prop_map(|start| Namespace::Window(TimeWindow::new(start * 10, start * 10 + 20)))
    ]
}

proptest! {
    #[test]
    fn tables_return_at_any_parallelism(
        steps in prop::collection::vec(
            (namespaces(), prop::collection::vec((prop::option::weighted(0.9, 0i16..50), 0i64..100), 1..20)), 0..10,
        ),
        before in 1u32..4,
        after in 1u32..4,
    ) {
        let mut whole = Tables::new();
        let mut parts: Vec<Tables> = (0..before).map(|_| Tables::new()).collect();
        for (namespace, rows) in &steps {
            whole.add(*namespace, rows);
            for (key, value) in rows {
                let mut only = Tables::new();
                only.add(*namespace, &[(*key, *value)]);
                let index = only.backend.existing(*namespace).unwrap().index();
                let subtask = index.key_group(0, 128).subtask(128, before);
                parts[subtask as usize].add(*namespace, &[(*key, *value)]);
            }
        }
        let snapshots: Vec<OperatorSnapshot> = parts
            .iter_mut()
            .map(|part| {
                let keyed: Vec<_> = part.backend.snapshot("keyed", 128).unwrap().into_iter().collect();
                assert!(keyed.iter().all(|table| table.key_groups.values().is_sorted()));
                OperatorSnapshot { keyed, ..OperatorSnapshot::default() }
            })
            .collect();
        let mut found = Vec::new();
        for subtask in 0..after {
            let range = KeyGroupRange::of_subtask(128, after, subtask);
            let mut restored = RestoredState::assign(&snapshots, range, subtask, after);
            let mut part = Tables::new();
            part.backend.restore(&restored.keyed.remove("keyed").unwrap_or_default()).unwrap();
            for namespace in part.backend.namespaces() {
                let index = part.backend.existing(namespace).unwrap().index();
                prop_assert!(index.by_key_group(128).1.iter().all(|group| (range.start..range.end).contains(group)));
            }
            found.extend(part.contents());
        }
        found.sort();
        prop_assert_eq!(found, whole.contents());
    }
}

fn snapshot_of(name: &str, values: ArrayRef) -> RecordBatch {
    let keys: ArrayRef = Arc::new(Int64Array::from_iter_values(0..values.len() as i64));
    let schema = Schema::new(vec![
        Field::new("key.0", DataType::Int64, true),
        Field::new(state_name(name), values.data_type().clone(), true),
    ]);
    RecordBatch::try_new(Arc::new(schema), vec![keys, values]).unwrap()
}

#[test]
fn a_state_that_is_not_registered_any_more_is_refused_by_name() {
    let batch = snapshot_of("gone", Arc::new(Int64Array::from(vec![1])));
    let error = Tables::new().backend.restore(&[batch]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the checkpoint has state `gone`, which the operator registers no more; what it holds would be lost, so \
         register it again, or drop it with --allowNonRestoredState \
         (`execution.state-recovery.ignore-unclaimed-state`)"
    );
}

#[test]
fn a_state_that_may_be_dropped_is_left_behind_with_the_keys_that_have_nothing_else() {
    let (gone, sum) = (Int64Array::from(vec![1, 2, 3]), Int64Array::from(vec![None, Some(6), None]));
    let gone = snapshot_of("gone", Arc::new(gone));
    let mut fields: Vec<_> = gone.schema().fields().to_vec();
    fields.push(Arc::new(Field::new("state.sum", DataType::Int64, true)));
    let columns = gone.columns().iter().cloned().chain([Arc::new(sum) as ArrayRef]).collect();
    let both = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap();
    assert_eq!(both.schema().field(2).name(), &state_name("sum"));
    let mut state = RestoredState { unclaimed: Unclaimed::Dropped, ..RestoredState::default() };
    state.keyed.insert("keyed".to_owned(), vec![both]);
    let mut tables = Tables::new();
    let mut seen = Vec::new();
    let mut see = |table: &mut NamespaceTable, slots: &[Slot]| {
        seen.extend(slots.iter().map(|slot| (table.index().len(), *slot)));
        Ok(())
    };
    tables.backend.restore_seen(&mut state, "keyed", &mut see).unwrap();
    assert_eq!(seen, [(1, 1)], "one key is left, in its slot");
    let table = tables.backend.existing(Namespace::Void).unwrap();
    assert_eq!(table.column(tables.sum).get(1), Some(&6));
}

#[test]
fn a_state_of_another_type_is_refused_and_a_narrower_number_taken() {
    let batch = snapshot_of("sum", Arc::new(StringArray::from(vec!["1"])));
    let error = Tables::new().backend.restore(&[batch]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "state `sum` cannot be restored: it has type Utf8 in the checkpoint, but the program needs Int64"
    );
    let mut tables = Tables::new();
    tables.backend.restore(&[snapshot_of("sum", Arc::new(Int32Array::from(vec![5, 6])))]).unwrap();
    let table = tables.backend.existing(Namespace::Void).unwrap();
    assert_eq!(table.column(tables.sum).get(1), Some(&6));
    assert!(table.column(tables.list).get(1).is_empty(), "a state that the checkpoint lacks is new");
}

#[test]
fn a_key_that_is_there_twice_is_refused() {
    let batch = snapshot_of("sum", Arc::new(Int32Array::from(vec![5])));
    let error = Tables::new().backend.restore(&[batch.clone(), batch]).unwrap_err();
    assert!(error.to_string().ends_with("its content is not what was written: a key is there twice"), "{error}");
}

#[test]
fn columns_that_are_no_part_of_a_snapshot_leave_no_trace() {
    struct Rebuilt;
    impl crate::state::StateColumn for Rebuilt {
        fn grow(&mut self, _slots: usize) {}
        fn is_empty(&self, _slot: Slot) -> bool {
            false
        }
        fn snapshot(&mut self, _slots: &[Slot]) -> Result<Option<ArrayRef>, ColumnError> {
            Ok(None)
        }
        fn restore(&mut self, _slots: &[Slot], _values: &ArrayRef) -> Result<(), ColumnError> {
            unreachable!("it was never written")
        }
    }
    let mut backend = KeyedStateBackend::new();
    backend.register("rebuilt", || Rebuilt).unwrap();
    backend.register("flag", || ValueColumn::new(booleans())).unwrap();
    let column: ArrayRef = Arc::new(Int64Array::from(vec![1]));
    let mut keys = KeyBatch::default();
    keys.read(&[column], 1).unwrap();
    backend.table(Namespace::Void, keys.types()).slots(&keys, Rows::All(1), &mut Vec::new()).unwrap();
    let table = backend.snapshot("keyed", 128).unwrap().unwrap();
    let schema = table.rows.schema();
    let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    assert_eq!(names, ["key.0", "state.flag"]);
    assert!(KeyedStateBackend::new().snapshot("keyed", 128).unwrap().is_none());
}
