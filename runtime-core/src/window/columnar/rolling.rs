//! Aggregates without windows: every row is answered with the aggregate of its key so far.
//!
//! State: per key the accumulators and the first row. A key is never forgotten, as in Flink.

use arrow::array::{ArrayRef, RecordBatch};

use super::{ColumnAggregates, ColumnGroups, GroupAggregate, OutputColumn, fitted};
use crate::checkpoint::snapshot::{OperatorSnapshot, RestoredState};
use crate::element::{CheckpointId, StreamBatch};
use crate::operator::{InputIndex, Operator, OperatorContext, OperatorResult, refuse_state};
use crate::state::{KeyBatch, KeyedStateBackend, Namespace, Rows, Slot, StateError, StateId};
use crate::window::KeyColumns;
use crate::window::operator::refuse_changes;

/// What the table of the state is called.
const TABLE: &str = "rolling-aggregates";

/// Answers every row with its key's aggregates so far.
pub struct RollingAggregates {
    key: KeyColumns,
    aggregate: ColumnAggregates,
    backend: KeyedStateBackend,
    state: StateId<ColumnGroups>,
    keys: KeyBatch,
    slots: Vec<Slot>,
    max_parallelism: u32,
}

impl RollingAggregates {
    /// An operator that computes `aggregate` for every value of `key`.
    ///
    /// # Errors
    ///
    /// When the state cannot be registered.
    pub fn new(key: KeyColumns, aggregate: ColumnAggregates) -> Result<Self, StateError> {
        let mut backend = KeyedStateBackend::new();
        let made = aggregate.clone();
        let state = backend.register("rolling-aggregate", move || made.groups())?;
        let (keys, slots) = (KeyBatch::default(), Vec::new());
        Ok(Self { key, aggregate, backend, state, keys, slots, max_parallelism: 1 })
    }
}

impl Operator for RollingAggregates {
    fn open(&mut self, cx: &mut OperatorContext<'_>) -> OperatorResult {
        self.max_parallelism = cx.runtime().max_parallelism;
        Ok(self.backend.open(cx.runtime())?)
    }

    fn process(&mut self, _input: InputIndex, batch: StreamBatch, cx: &mut OperatorContext<'_>) -> OperatorResult {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        refuse_changes(&batch)?;
        let key_columns = self.key.of(&batch)?;
        self.keys.read(&key_columns, batch.num_rows())?;
        let table = self.backend.table(Namespace::Void, self.keys.types());
        table.slots(&self.keys, Rows::All(batch.num_rows()), &mut self.slots)?;
        let group_count = table.index().slot_count();
        self.aggregate.begin(&batch)?;
        let groups = table.column_mut(self.state);
        groups.admit(&self.aggregate, Rows::All(batch.num_rows()), &self.slots, group_count)?;
        let rolled = groups
            .calls
            .iter_mut()
            .zip(&self.aggregate.call_columns)
            .map(|(call, column)| call.roll(column, &self.slots, group_count))
            .collect::<OperatorResult<Vec<ArrayRef>>>()?;
        let carried = groups.carried.rows(&self.slots)?;
        let columns: Vec<ArrayRef> = self
            .aggregate
            .output
            .iter()
            .map(|column| match column {
                OutputColumn::Key(index) => key_columns[*index].clone(),
                OutputColumn::Carried(index) => carried[*index].clone(),
                OutputColumn::Aggregate(index) => rolled[*index].clone(),
            })
            .collect();
        let records = RecordBatch::try_new(fitted(&self.aggregate.schema, &columns), columns)?;
        cx.emit(batch.with_records(records));
        Ok(self.backend.make_room()?)
    }

    fn snapshot(&mut self, _checkpoint: CheckpointId) -> OperatorResult<OperatorSnapshot> {
        let mut snapshot = OperatorSnapshot::default();
        self.backend.save(TABLE, self.max_parallelism, &mut snapshot)?;
        Ok(snapshot)
    }

    fn restore(&mut self, mut state: RestoredState, _cx: &mut OperatorContext<'_>) -> OperatorResult {
        self.backend.restore_from(&mut state, TABLE)?;
        refuse_state(&state)
    }
}
