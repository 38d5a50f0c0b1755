//! `GROUP BY` of all rows so far: for every batch, how the results of its groups have changed.
//!
//! A group whose result a batch changes emits `-U` with what it was and `+U` with what it is, once for the batch; a new group
//! emits `+I`, and one whose last row has left `-D`.

use arrow::array::{Array, ArrayRef, BooleanArray, UInt32Array};
use arrow::buffer::BooleanBuffer;
use arrow::compute::kernels::cmp::not_distinct;
use arrow::compute::take;
use arrow::datatypes::SchemaRef;
use pelton_runtime_core::checkpoint::snapshot::{OperatorSnapshot, RestoredState};
use pelton_runtime_core::element::{CheckpointId, RowKind, StreamBatch};
use pelton_runtime_core::operator::{
    InputIndex, Operator, OperatorContext, OperatorFactory, OperatorResult, OperatorRuntime, refuse_state,
};
use pelton_runtime_core::state::{KeyBatch, KeyedStateBackend, Namespace, Rows, Slot, StateColumn, StateId};

use crate::aggregate::{Arguments, Groups, Layout};

use super::changelog::{Changelog, before_and_after};

/// Name of the state.
const GROUPS: &str = "groups";

/// Aggregates rows whose first columns are their key.
#[derive(Debug, Clone)]
pub(crate) struct GroupAggregate {
    keys: usize,
    /// How many of the keys are columns of the result.
    shown_keys: usize,
    layout: Layout,
    schema: SchemaRef,
}

impl GroupAggregate {
    /// Results have the columns of `schema`: keys, then what the calls answer.
    ///
    /// # Errors
    ///
    /// When a function has no meaning for its argument's type.
    pub(crate) fn new(keys: usize, shown_keys: usize, layout: Layout, schema: SchemaRef) -> OperatorResult<Self> {
        layout.groups()?;
        Ok(Self { keys, shown_keys, layout, schema })
    }
}

impl OperatorFactory for GroupAggregate {
    fn create(&self, runtime: &OperatorRuntime) -> OperatorResult<Box<dyn Operator>> {
        let mut backend = KeyedStateBackend::new();
        let layout = self.layout.clone();
        let groups = move || layout.groups().expect("they were made before, when the aggregation was planned");
        let groups = backend.register(GROUPS, groups)?;
        Ok(Box::new(Aggregating {
            settings: self.clone(),
            backend,
            groups,
            max_parallelism: runtime.max_parallelism,
            keys: KeyBatch::default(),
            slots: Vec::new(),
            touched: Touched::default(),
        }))
    }
}

/// State: per key, the accumulators of all calls and the number of rows.
struct Aggregating {
    settings: GroupAggregate,
    backend: KeyedStateBackend,
    groups: StateId<Groups>,
    max_parallelism: u32,
    keys: KeyBatch,
    slots: Vec<Slot>,
    touched: Touched,
}

/// The slots that a batch has rows of, each once.
#[derive(Debug, Default)]
pub(super) struct Touched {
    /// In which batch a slot was seen last.
    batches: Vec<u32>,
    batch: u32,
    pub(super) slots: Vec<Slot>,
    /// The first row of each.
    pub(super) rows: Vec<u32>,
}

impl Touched {
    /// Looks at the slots of a batch's rows.
    pub(super) fn find(&mut self, slots: &[Slot]) {
        self.slots.clear();
        self.rows.clear();
        self.batch = self.batch.wrapping_add(1);
        if self.batch == 0 {
            // So many batches ago that numbers begin anew.
            self.batches.fill(0);
            self.batch = 1;
        }
        for (row, slot) in slots.iter().enumerate() {
            let index = *slot as usize;
            if index >= self.batches.len() {
                self.batches.resize(index + 1, 0);
            }
            if self.batches[index] != self.batch {
                self.batches[index] = self.batch;
                self.slots.push(*slot);
                self.rows.push(row as u32);
            }
        }
    }
}

impl Operator for Aggregating {
    fn open(&mut self, cx: &mut OperatorContext<'_>) -> OperatorResult {
        Ok(self.backend.open(cx.runtime())?)
    }

    fn process(&mut self, _input: InputIndex, batch: StreamBatch, cx: &mut OperatorContext<'_>) -> OperatorResult {
        let rows = batch.num_rows();
        let keys = &batch.records().columns()[..self.settings.keys];
        self.keys.read(keys, rows)?;
        let table = self.backend.table(Namespace::Void, self.keys.types());
        table.slots(&self.keys, Rows::All(rows), &mut self.slots)?;
        self.touched.find(&self.slots);
        let arguments = Arguments::read(&self.settings.layout.calls, &batch)?;
        let groups = table.column_mut(self.groups);
        let touched = &self.touched.slots;
        let was_there: Vec<bool> = touched.iter().map(|slot| groups.rows(*slot) > 0).collect();
        let before = groups.results(touched)?;
        groups.add(&arguments, Rows::All(rows), &self.slots)?;
        let after = groups.results(touched)?;
        let is_equal = equal_rows(&before, &after)?;
        // What is left of a group without rows, such as the last bits of a sum of fractions, is not the next group's.
        let emptied: Vec<Slot> = touched.iter().copied().filter(|slot| groups.rows(*slot) == 0).collect();
        groups.clear(&emptied);
        let mut changes = Changelog::default();
        for (position, (slot, was_there)) in touched.iter().zip(&was_there).enumerate() {
            let now = touched.len() + position;
            match (was_there, groups.rows(*slot) > 0) {
                (true, true) if is_equal.value(position) => {}
                (true, true) => {
                    changes.push(position, RowKind::UpdateBefore);
                    changes.push(now, RowKind::UpdateAfter);
                }
                (false, true) => changes.push(now, RowKind::Insert),
                (true, false) => changes.push(position, RowKind::Delete),
                (false, false) => {}
            }
        }
        let first_rows = UInt32Array::from(self.touched.rows.clone());
        let mut columns = Vec::with_capacity(self.settings.schema.fields().len());
        for key in &keys[..self.settings.shown_keys] {
            let key = take(key, &first_rows, None)?;
            columns.push(before_and_after(&key, &key)?);
        }
        for (before, after) in before.iter().zip(&after) {
            columns.push(before_and_after(before, after)?);
        }
        cx.emit(changes.into_batch(&columns, &self.settings.schema)?);
        table.free_empty(&mut self.touched.slots);
        Ok(self.backend.make_room()?)
    }

    fn snapshot(&mut self, _checkpoint: CheckpointId) -> OperatorResult<OperatorSnapshot> {
        let mut snapshot = OperatorSnapshot::default();
        self.backend.save(GROUPS, self.max_parallelism, &mut snapshot)?;
        Ok(snapshot)
    }

    fn restore(&mut self, mut state: RestoredState, _cx: &mut OperatorContext<'_>) -> OperatorResult {
        self.backend.restore_from(&mut state, GROUPS)?;
        refuse_state(&state)
    }
}

/// In which rows all columns are the same before and after.
fn equal_rows(before: &[ArrayRef], after: &[ArrayRef]) -> OperatorResult<BooleanBuffer> {
    let rows = before.first().map_or(0, |column| column.len());
    let mut equal: Option<BooleanBuffer> = None;
    for (before, after) in before.iter().zip(after) {
        let same: BooleanArray = not_distinct(before, after)?;
        equal = Some(match equal {
            Some(equal) => &equal & same.values(),
            None => same.values().clone(),
        });
    }
    // Without calls, nothing ever changes.
    Ok(equal.unwrap_or_else(|| BooleanBuffer::new_set(rows)))
}
