//! The accumulators of all calls, by slot: a column of keyed state.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, StructArray};
use arrow::datatypes::{DataType, Field, Fields, Int64Type};
use pelton_runtime_core::operator::OperatorResult;
use pelton_runtime_core::state::{ColumnError, Rows, Slot, StateColumn};

use super::accumulator::{Accumulator, Counted, OTHER_ACCUMULATORS, accumulator};
use super::distinct::{DistinctValues, distinct_values};
use super::{Arguments, Call, Changes};

/// What is computed, and of what kind of stream.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    pub(crate) calls: Arc<[Call]>,
    pub(crate) changes: Changes,
}

impl Layout {
    /// Groups without rows.
    ///
    /// # Errors
    ///
    /// When a function has no meaning for the type of its argument.
    pub(crate) fn groups(&self) -> OperatorResult<Groups> {
        Ok(Groups {
            rows: Vec::new(),
            accumulators: self.calls.iter().map(|call| accumulator(call, self.changes)).collect::<Result<_, _>>()?,
            distinct: distinct_values(&self.calls, self.changes)?,
            is_distinct: self.calls.iter().map(|call| call.distinct).collect(),
        })
    }
}

/// Accumulators by slot. A slot without rows holds nothing.
pub(crate) struct Groups {
    /// How many rows each slot has.
    rows: Vec<i64>,
    accumulators: Vec<Box<dyn Accumulator>>,
    distinct: Vec<Box<dyn DistinctValues>>,
    /// Which calls get their rows from `distinct`.
    is_distinct: Vec<bool>,
}

impl Groups {
    /// Makes room for slots below `slots`.
    pub(crate) fn make_room(&mut self, slots: usize) {
        self.grow(slots);
    }

    /// Rows join their slots, or leave them.
    pub(crate) fn add(&mut self, arguments: &Arguments, rows: Rows<'_>, slots: &[Slot]) -> OperatorResult {
        let signs = arguments.signs.as_deref();
        let all = Counted { rows, slots, valid: None, signs };
        all.each(|_, slot, sign| self.rows[slot] += sign);
        for ((accumulator, argument), is_distinct) in
            self.accumulators.iter_mut().zip(&arguments.of_calls).zip(&self.is_distinct)
        {
            if !is_distinct {
                let rows = Counted { valid: argument.valid.as_ref(), ..all };
                accumulator.add(argument.values.as_ref(), &rows)?;
            }
        }
        for distinct in &mut self.distinct {
            distinct.add(&arguments.of_calls, signs, rows, slots, &mut self.accumulators)?;
        }
        Ok(())
    }

    /// Adds slots of `from` to slots here: pairs of target and source.
    pub(crate) fn merge(&mut self, from: &Self, pairs: &[(Slot, Slot)]) -> OperatorResult {
        for (target, source) in pairs {
            self.rows[*target as usize] += from.rows[*source as usize];
        }
        let accumulators = self.accumulators.iter_mut().zip(&from.accumulators).zip(&self.is_distinct);
        for ((into, from), _) in accumulators.filter(|(_, is_distinct)| !**is_distinct) {
            into.merge(from.as_ref(), pairs);
        }
        for (into, from) in self.distinct.iter_mut().zip(&from.distinct) {
            into.merge(from.as_ref(), pairs, &mut self.accumulators)?;
        }
        Ok(())
    }

    /// Adds one slot to another, and clears it.
    pub(crate) fn merge_within(&mut self, target: Slot, source: Slot) -> OperatorResult {
        self.rows[target as usize] += std::mem::take(&mut self.rows[source as usize]);
        for (accumulator, is_distinct) in self.accumulators.iter_mut().zip(&self.is_distinct) {
            match is_distinct {
                true => accumulator.clear(&[source]),
                false => accumulator.merge_within(target, source),
            }
        }
        for distinct in &mut self.distinct {
            distinct.merge_within(target, source, &mut self.accumulators)?;
        }
        Ok(())
    }

    /// How many rows a slot has.
    pub(crate) fn rows(&self, slot: Slot) -> i64 {
        self.rows[slot as usize]
    }

    /// The results of slots, a column per call.
    pub(crate) fn results(&self, of: &[Slot]) -> OperatorResult<Vec<ArrayRef>> {
        self.accumulators.iter().map(|accumulator| accumulator.results(of)).collect()
    }

    fn empty(&mut self, slots: &[Slot]) {
        slots.iter().for_each(|slot| self.rows[*slot as usize] = 0);
        self.accumulators.iter_mut().for_each(|accumulator| accumulator.clear(slots));
        self.distinct.iter_mut().for_each(|distinct| distinct.clear(slots));
    }
}

/// The columns' names in a snapshot.
const ROWS: &str = "rows";

fn of_call(index: usize) -> String {
    format!("call.{index}")
}

fn of_set(index: usize) -> String {
    format!("distinct.{index}")
}

impl StateColumn for Groups {
    fn grow(&mut self, slots: usize) {
        if slots > self.rows.len() {
            self.rows.resize(slots, 0);
            self.accumulators.iter_mut().for_each(|accumulator| accumulator.grow(slots));
            self.distinct.iter_mut().for_each(|distinct| distinct.grow(slots));
        }
    }

    fn is_empty(&self, slot: Slot) -> bool {
        self.rows[slot as usize] == 0
    }

    fn snapshot(&mut self, slots: &[Slot]) -> Result<Option<ArrayRef>, ColumnError> {
        let rows = Int64Array::from_iter_values(slots.iter().map(|slot| self.rows[*slot as usize]));
        let mut columns: Vec<(String, ArrayRef)> = vec![(ROWS.to_owned(), Arc::new(rows))];
        for (index, accumulator) in self.accumulators.iter().enumerate() {
            columns.push((of_call(index), accumulator.stored(slots)?));
        }
        for (index, distinct) in self.distinct.iter().enumerate() {
            columns.push((of_set(index), distinct.stored(slots)?));
        }
        let field = |(name, column): &(String, ArrayRef)| Field::new(name, column.data_type().clone(), true);
        let fields: Fields = columns.iter().map(field).collect();
        let columns = columns.into_iter().map(|(_, column)| column).collect();
        Ok(Some(Arc::new(StructArray::try_new(fields, columns, None)?)))
    }

    fn restore(&mut self, slots: &[Slot], values: &ArrayRef) -> Result<(), ColumnError> {
        let DataType::Struct(fields) = values.data_type() else { return Err(OTHER_ACCUMULATORS) };
        if fields.len() != 1 + self.accumulators.len() + self.distinct.len() {
            return Err(OTHER_ACCUMULATORS);
        }
        let values = values.as_struct();
        let column = |name: &str| values.column_by_name(name).ok_or(OTHER_ACCUMULATORS);
        let rows = column(ROWS)?.as_primitive_opt::<Int64Type>().ok_or(OTHER_ACCUMULATORS)?;
        self.grow(slots.iter().map(|slot| *slot as usize + 1).max().unwrap_or(0));
        slots.iter().zip(rows.values()).for_each(|(slot, rows)| self.rows[*slot as usize] = *rows);
        for (index, accumulator) in self.accumulators.iter_mut().enumerate() {
            accumulator.restore(slots, column(&of_call(index))?)?;
        }
        for (index, distinct) in self.distinct.iter_mut().enumerate() {
            distinct.restore(slots, column(&of_set(index))?)?;
        }
        Ok(())
    }

    fn is_evictable(&self) -> bool {
        true
    }

    fn clear(&mut self, slots: &[Slot]) {
        self.empty(slots);
    }

    fn slot_bytes(&self) -> usize {
        let accumulators = self.accumulators.iter().map(|accumulator| accumulator.slot_bytes());
        let distinct = self.distinct.iter().map(|distinct| distinct.slot_bytes());
        size_of::<i64>() + accumulators.chain(distinct).sum::<usize>()
    }

    fn add_heap_bytes(&self, slots: &[Slot], bytes: &mut [usize]) {
        self.accumulators.iter().for_each(|accumulator| accumulator.add_heap_bytes(slots, bytes));
        self.distinct.iter().for_each(|distinct| distinct.add_heap_bytes(slots, bytes));
    }
}
