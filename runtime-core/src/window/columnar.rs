//! Aggregates of columns: sum, count, min, max and average, a batch at a time and without rows.
//!
//! Besides, whole columns may be *carried*: of these the value of the group's first row is kept. NULLs are skipped; a
//! group whose values are all NULL has the result NULL (count: 0). Integer sums wrap around, as Flink's do. The least
//! and greatest float follow the total order, in which NaN is the greatest.

mod accumulator;
mod carried_rows;
mod group_shape;
mod rolling;

use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{Field, Schema, SchemaRef};

use self::accumulator::{ColumnAccumulator, accumulator, of_one_kind};
use self::carried_rows::CarriedRows;
use self::group_shape::GroupShape;
pub use self::rolling::RollingAggregates;
use super::aggregate::{GroupAggregate, Windows, result_timestamps};
use crate::element::StreamBatch;
use crate::operator::{OperatorContext, OperatorError, OperatorResult};
use crate::state::{ColumnError, Rows, Slot, StateColumn};

/// What is computed of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ColumnFunction {
    /// The sum, of the column's type.
    Sum,
    /// The least value.
    Min,
    /// The greatest value.
    Max,
    /// The number of values that are not NULL, as `Int64`.
    Count,
    /// The mean, as `Float64`.
    Average,
}

impl fmt::Display for ColumnFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sum => "sum",
            Self::Min => "min",
            Self::Max => "max",
            Self::Count => "count",
            Self::Average => "average",
        })
    }
}

/// One function of one column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AggregateCall {
    /// The function.
    pub function: ColumnFunction,
    /// The column's name.
    pub column: String,
}

/// Where a column of the result comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputColumn {
    /// The key's column of this index.
    Key(usize),
    /// The carried column of this index.
    Carried(usize),
    /// The result of the aggregate of this index.
    Aggregate(usize),
}

/// Computes aggregates of columns for every group.
#[derive(Debug, Clone)]
pub struct ColumnAggregates {
    carried: Arc<[String]>,
    calls: Arc<[AggregateCall]>,
    output: Arc<[OutputColumn]>,
    schema: SchemaRef,
    shape: Arc<GroupShape>,
    carried_columns: Vec<ArrayRef>,
    call_columns: Vec<ArrayRef>,
}

impl ColumnAggregates {
    /// Aggregates `calls` and carries the columns `carried`; results have the columns `output`, as `schema` says.
    ///
    /// # Panics
    ///
    /// When `schema` has another number of columns than `output`.
    pub fn new(
        carried: impl Into<Arc<[String]>>,
        calls: impl Into<Arc<[AggregateCall]>>,
        output: impl Into<Arc<[OutputColumn]>>,
        schema: SchemaRef,
    ) -> Self {
        let (carried, calls, output) = (carried.into(), calls.into(), output.into());
        assert_eq!(output.len(), schema.fields().len(), "one field per column of the result");
        Self {
            shape: Arc::new(GroupShape::new(&carried, &calls, &output, &schema)),
            carried,
            calls,
            output,
            schema,
            carried_columns: Vec::new(),
            call_columns: Vec::new(),
        }
    }
}

/// Accumulators and carried rows by group.
pub struct ColumnGroups {
    shape: Arc<GroupShape>,
    count: usize,
    carried: CarriedRows,
    calls: Vec<Box<dyn ColumnAccumulator>>,
    /// Whether there may be groups without rows.
    has_vacancies: bool,
}

impl StateColumn for ColumnGroups {
    fn grow(&mut self, _slots: usize) {}

    fn is_empty(&self, _slot: Slot) -> bool {
        false
    }

    fn snapshot(&mut self, slots: &[Slot]) -> Result<Option<ArrayRef>, ColumnError> {
        let carried = self.carried.rows(slots)?;
        let calls = self.calls.iter().map(|call| call.stored(slots)).collect::<Result<Vec<_>, _>>()?;
        Ok(Some(self.shape.stored(carried, calls, slots.len())?))
    }

    fn restore(&mut self, slots: &[Slot], values: &ArrayRef) -> Result<(), ColumnError> {
        let (carried, calls) = self.shape.restored(values)?;
        if self.calls.is_empty() {
            self.calls = self.shape.accumulators(&calls)?;
        }
        for (call, stored) in self.calls.iter_mut().zip(&calls) {
            call.restore(slots, stored)?;
        }
        if !carried.is_empty() {
            self.carried.put(slots, carried)?;
        }
        self.count = slots.iter().fold(self.count, |count, slot| count.max(*slot as usize + 1));
        Ok(())
    }

    fn is_evictable(&self) -> bool {
        true
    }

    fn clear(&mut self, slots: &[Slot]) {
        self.has_vacancies = true;
        self.calls.iter_mut().for_each(|call| call.clear(slots));
        if !self.shape.carries_nothing() {
            self.carried.clear(slots);
        }
    }

    fn slot_bytes(&self) -> usize {
        self.shape.accumulator_count() * ACCUMULATOR_BYTES
    }

    fn add_heap_bytes(&self, _slots: &[Slot], bytes: &mut [usize]) {
        let of_row = self.carried.bytes_per_row();
        bytes.iter_mut().for_each(|bytes| *bytes += of_row);
    }
}

/// What an accumulator takes at most.
const ACCUMULATOR_BYTES: usize = 24;

impl ColumnGroups {
    fn new(shape: Arc<GroupShape>) -> Self {
        Self { shape, count: 0, carried: CarriedRows::default(), calls: Vec::new(), has_vacancies: false }
    }

    fn prepare(&mut self, aggregate: &ColumnAggregates) -> OperatorResult {
        if self.calls.len() < aggregate.calls.len() {
            let made = aggregate.calls.iter().zip(&aggregate.call_columns);
            self.calls = made.map(|(call, column)| accumulator(call, column.data_type())).collect::<Result<_, _>>()?;
            if self.has_vacancies {
                self.calls.iter_mut().for_each(|call| call.clear(&[]));
            }
        }
        // Accumulators that came back may be of another type than the records now have.
        for ((made, call), column) in self.calls.iter().zip(aggregate.calls.iter()).zip(&aggregate.call_columns) {
            if !made.accepts(column.data_type()) {
                return Err(OperatorError::data(format!(
                    "the {} of column `{}` was begun with values of another type than {}",
                    call.function,
                    call.column,
                    column.data_type()
                )));
            }
        }
        Ok(())
    }

    /// Makes room for new groups and keeps the first row of each.
    fn admit(
        &mut self,
        aggregate: &ColumnAggregates,
        rows: Rows<'_>,
        of_rows: &[Slot],
        group_count: usize,
    ) -> OperatorResult {
        self.prepare(aggregate)?;
        if group_count > self.count {
            if !aggregate.carried.is_empty() && self.carried.is_dense() {
                let mut firsts = Vec::with_capacity(group_count - self.count);
                let mut next = self.count as Slot;
                rows.zip(of_rows, |row, group| {
                    if group == next {
                        firsts.push(row as u32);
                        next += 1;
                    }
                });
                self.carried.push(&aggregate.carried_columns, firsts)?;
            }
            self.count = group_count;
        }
        if !self.carried.is_dense() {
            let (mut groups, mut firsts) = (Vec::new(), Vec::new());
            rows.zip(of_rows, |row, group| {
                if self.carried.claim(group) {
                    groups.push(group);
                    firsts.push(row as u32);
                }
            });
            self.carried.put_rows(&groups, &aggregate.carried_columns, firsts)?;
        }
        Ok(())
    }

    fn prepare_like(&mut self, other: &Self) -> OperatorResult {
        if self.calls.len() < other.calls.len() {
            self.calls = other.calls.iter().map(|call| call.empty()).collect();
        }
        let alike = self.calls.iter().zip(&other.calls).all(|(one, other)| of_one_kind(one.as_ref(), other.as_ref()));
        if !alike {
            return Err(OperatorError::data("accumulators in a checkpoint and of new records have different types"));
        }
        Ok(())
    }
}

impl GroupAggregate for ColumnAggregates {
    type Groups = ColumnGroups;

    const SHARES_PANES: bool = true;

    fn groups(&self) -> ColumnGroups {
        ColumnGroups::new(self.shape.clone())
    }

    fn begin(&mut self, batch: &StreamBatch) -> OperatorResult {
        let column = |name: &String| {
            let column = batch.records().column_by_name(name).cloned();
            column.ok_or_else(|| OperatorError::data(format!("records have no column `{name}`, which is aggregated")))
        };
        self.carried_columns = self.carried.iter().map(column).collect::<Result<_, _>>()?;
        self.call_columns = self.calls.iter().map(|call| column(&call.column)).collect::<Result<_, _>>()?;
        Ok(())
    }

    fn accumulate(
        &mut self,
        groups: &mut ColumnGroups,
        rows: Rows<'_>,
        of_rows: &[Slot],
        group_count: usize,
    ) -> OperatorResult {
        groups.admit(self, rows, of_rows, group_count)?;
        for (call, column) in groups.calls.iter_mut().zip(&self.call_columns) {
            call.accumulate(column, rows, of_rows, group_count)?;
        }
        Ok(())
    }

    fn merge(
        &mut self,
        into: &mut ColumnGroups,
        from: &ColumnGroups,
        targets: &[Slot],
        group_count: usize,
    ) -> OperatorResult {
        into.prepare_like(from)?;
        if group_count > into.count {
            if !self.carried.is_empty() {
                let mut next = into.count as Slot;
                let mut firsts = Vec::with_capacity(group_count - into.count);
                for (source, target) in targets.iter().enumerate() {
                    if *target == next {
                        firsts.push(from.carried.row_of(source as Slot));
                        next += 1;
                    }
                }
                into.carried.push(&from.carried.whole()?, firsts)?;
            }
            into.count = group_count;
        }
        for (call, other) in into.calls.iter_mut().zip(&from.calls) {
            call.merge(other.as_ref(), targets, group_count);
        }
        Ok(())
    }

    fn merge_one(
        &mut self,
        into: &mut ColumnGroups,
        target: Slot,
        from: &ColumnGroups,
        source: Slot,
    ) -> OperatorResult {
        into.prepare_like(from)?;
        if target as usize == into.count {
            if !self.carried.is_empty() {
                into.carried.push(&from.carried.whole()?, vec![from.carried.row_of(source)])?;
            }
            into.count += 1;
        }
        for (call, other) in into.calls.iter_mut().zip(&from.calls) {
            call.merge_one(target, other.as_ref(), source);
        }
        Ok(())
    }

    fn merge_within(&mut self, groups: &mut ColumnGroups, target: Slot, source: Slot) -> OperatorResult {
        groups.calls.iter_mut().for_each(|call| call.merge_within(target, source));
        Ok(())
    }

    fn emit(
        &mut self,
        groups: &mut ColumnGroups,
        of: &[Slot],
        keys: &[ArrayRef],
        windows: Windows<'_>,
        cx: &mut OperatorContext<'_>,
    ) -> OperatorResult {
        let carried = groups.carried.rows(of)?;
        let columns = self.output.iter().map(|column| match column {
            OutputColumn::Key(index) => keys[*index].clone(),
            OutputColumn::Carried(index) => carried[*index].clone(),
            OutputColumn::Aggregate(index) => groups.calls[*index].results(of),
        });
        let columns: Vec<ArrayRef> = columns.collect();
        let records = RecordBatch::try_new(fitted(&self.schema, &columns), columns)?;
        let times = result_timestamps(windows, of.len());
        cx.emit(StreamBatch::new(records).with_timestamps(Some(times.into())));
        Ok(())
    }
}

/// The schema with the types that the columns really have: one Rust type may be read from several Arrow types.
pub(super) fn fitted(schema: &SchemaRef, columns: &[ArrayRef]) -> SchemaRef {
    let same = |(field, column): (&Arc<Field>, &ArrayRef)| field.data_type() == column.data_type();
    if schema.fields().iter().zip(columns).all(same) {
        return schema.clone();
    }
    let fields = schema
        .fields()
        .iter()
        .zip(columns)
        .map(|(field, column)| field.as_ref().clone().with_data_type(column.data_type().clone()));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}
