//! `DISTINCT`: which values a slot has seen, so that functions get each once.
//!
//! Calls with the same argument share one set: with every value is kept for which of them it counts already, as their
//! filters differ.

mod encoding;
mod seen;

use std::any::Any;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, FixedSizeListArray, Int64Array, ListArray, StructArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Int64Type};
use pelton_runtime_core::operator::{OperatorError, OperatorResult};
use pelton_runtime_core::state::{ColumnError, Rows, Slot, StateMap};

use self::encoding::{Bytes, Encoding, Words, is_word};
use self::seen::{Counts, Marks, Seen};
use super::accumulator::{Accumulator, Counted, OTHER_ACCUMULATORS};
use super::arguments::Argument;
use super::{Call, Changes};

/// The values that slots have seen, for all calls with one argument.
pub(super) trait DistinctValues: Send + Any {
    fn grow(&mut self, slots: usize);

    /// Rows join or leave; what is new, or gone, is passed on to the accumulators of the calls.
    fn add(
        &mut self,
        arguments: &[Argument],
        signs: Option<&[i64]>,
        rows: Rows<'_>,
        slots: &[Slot],
        accumulators: &mut [Box<dyn Accumulator>],
    ) -> OperatorResult;

    /// Adds slots of `from`, which is of the same kind: pairs of target and source.
    fn merge(
        &mut self,
        from: &dyn DistinctValues,
        pairs: &[(Slot, Slot)],
        accumulators: &mut [Box<dyn Accumulator>],
    ) -> OperatorResult;

    /// Adds one slot to another, and clears it.
    fn merge_within(&mut self, target: Slot, source: Slot, accumulators: &mut [Box<dyn Accumulator>])
    -> OperatorResult;

    fn stored(&self, of: &[Slot]) -> Result<ArrayRef, ColumnError>;

    fn restore(&mut self, slots: &[Slot], stored: &ArrayRef) -> Result<(), ColumnError>;

    fn clear(&mut self, slots: &[Slot]);

    fn slot_bytes(&self) -> usize;

    fn add_heap_bytes(&self, slots: &[Slot], bytes: &mut [usize]);
}

/// The sets that `calls` need.
///
/// # Errors
///
/// When values of an argument's type cannot be compared.
pub(super) fn distinct_values(calls: &[Call], changes: Changes) -> OperatorResult<Vec<Box<dyn DistinctValues>>> {
    let mut by_argument: Vec<(usize, Vec<usize>)> = Vec::new();
    for (index, call) in calls.iter().enumerate().filter(|(_, call)| call.distinct) {
        let Some(argument) = call.argument else { continue };
        match by_argument.iter_mut().find(|(known, of)| *known == argument && of.len() < MAX_CALLS) {
            Some((_, of)) => of.push(index),
            None => by_argument.push((argument, vec![index])),
        }
    }
    let of_calls = |of: Vec<usize>| {
        let data_type = calls[of[0]].input.clone();
        Ok(match (is_word(&data_type), changes) {
            (true, Changes::Inserts) => {
                Box::new(Sets::<Words, Marks>::new(of, Words(data_type))) as Box<dyn DistinctValues>
            }
            (true, Changes::Retractions) => Box::new(Sets::<Words, Counts>::new(of, Words(data_type))),
            (false, Changes::Inserts) => Box::new(Sets::<Bytes, Marks>::new(of, Bytes::new(data_type)?)),
            (false, Changes::Retractions) => Box::new(Sets::<Bytes, Counts>::new(of, Bytes::new(data_type)?)),
        })
    };
    by_argument.into_iter().map(|(_, of)| of_calls(of)).collect()
}

/// How many calls one set serves: as many as [`Marks`] has bits, less one for the sign.
const MAX_CALLS: usize = 63;

/// A set per slot.
struct Sets<E: Encoding, S> {
    calls: Vec<usize>,
    encoding: E,
    sets: Vec<StateMap<E::Key, S>>,
}

impl<E: Encoding, S: Seen> Sets<E, S> {
    fn new(calls: Vec<usize>, encoding: E) -> Self {
        Self { calls, encoding, sets: Vec::new() }
    }

    /// One set's values join another; answers with those that are new, by call.
    fn join(
        target: &mut StateMap<E::Key, S>,
        source: &StateMap<E::Key, S>,
        slot: Slot,
        new: &mut [(Vec<E::Key>, Vec<Slot>)],
    ) {
        for (key, seen) in source {
            let known = target.entry(key.clone()).or_default();
            for (call, (keys, slots)) in new.iter_mut().enumerate() {
                if known.join_times(call, seen.count(call)) {
                    keys.push(key.clone());
                    slots.push(slot);
                }
            }
        }
    }

    /// Lets accumulators know what is new.
    fn pass_on(&self, new: &[(Vec<E::Key>, Vec<Slot>)], accumulators: &mut [Box<dyn Accumulator>]) -> OperatorResult {
        for ((keys, slots), call) in new.iter().zip(&self.calls) {
            if !keys.is_empty() {
                let keys: Vec<&E::Key> = keys.iter().collect();
                let values = self.encoding.write(&keys).map_err(|error| OperatorError::data(error.to_string()))?;
                let rows = Counted { rows: Rows::All(slots.len()), slots, valid: None, signs: None };
                accumulators[*call].add(Some(&values), &rows)?;
            }
        }
        Ok(())
    }

    fn nothing_new(&self) -> Vec<(Vec<E::Key>, Vec<Slot>)> {
        self.calls.iter().map(|_| (Vec::new(), Vec::new())).collect()
    }

    fn counts_item() -> FieldRef {
        Arc::new(Field::new("item", DataType::Int64, false))
    }

    fn fields(&self) -> Fields {
        let counts = DataType::FixedSizeList(Self::counts_item(), self.calls.len() as i32);
        Fields::from(vec![
            Field::new("value", self.encoding.data_type().clone(), true),
            Field::new("counts", counts, false),
        ])
    }
}

impl<E: Encoding, S: Seen> DistinctValues for Sets<E, S> {
    fn grow(&mut self, slots: usize) {
        if slots > self.sets.len() {
            self.sets.resize_with(slots, StateMap::default);
        }
    }

    fn add(
        &mut self,
        arguments: &[Argument],
        signs: Option<&[i64]>,
        rows: Rows<'_>,
        slots: &[Slot],
        accumulators: &mut [Box<dyn Accumulator>],
    ) -> OperatorResult {
        let of_calls: Vec<&Argument> = self.calls.iter().map(|call| &arguments[*call]).collect();
        let Some(values) = of_calls.first().and_then(|argument| argument.values.as_ref()) else { return Ok(()) };
        let column = self.encoding.read(values)?;
        let mut passed: Vec<(Vec<u32>, Vec<Slot>)> = of_calls.iter().map(|_| (Vec::new(), Vec::new())).collect();
        let sets = &mut self.sets;
        rows.zip(slots, |row, slot| {
            let counts = |argument: &Argument| argument.valid.as_ref().is_none_or(|valid| valid.value(row));
            if !of_calls.iter().any(|argument| counts(argument)) {
                return;
            }
            let joins = signs.is_none_or(|signs| signs[row] > 0);
            let set = &mut sets[slot as usize];
            let seen = E::entry(&column, row, set);
            for (call, (argument, (rows, slots))) in of_calls.iter().zip(&mut passed).enumerate() {
                if counts(argument) && if joins { seen.join(call) } else { seen.leave(call) } {
                    rows.push(row as u32);
                    slots.push(slot);
                }
            }
            if !joins && seen.is_none() {
                E::remove(&column, row, set);
            }
        });
        for ((rows, slots), call) in passed.iter().zip(&self.calls) {
            let rows = Counted { rows: Rows::Picked(rows), slots, valid: None, signs };
            accumulators[*call].add(Some(values), &rows)?;
        }
        Ok(())
    }

    fn merge(
        &mut self,
        from: &dyn DistinctValues,
        pairs: &[(Slot, Slot)],
        accumulators: &mut [Box<dyn Accumulator>],
    ) -> OperatorResult {
        let from: &dyn Any = from;
        let from: &Self = from.downcast_ref().expect("the tables of one operator have sets of one kind");
        let mut new = self.nothing_new();
        for (target, source) in pairs {
            Self::join(&mut self.sets[*target as usize], &from.sets[*source as usize], *target, &mut new);
        }
        self.pass_on(&new, accumulators)
    }

    fn merge_within(
        &mut self,
        target: Slot,
        source: Slot,
        accumulators: &mut [Box<dyn Accumulator>],
    ) -> OperatorResult {
        let source = std::mem::take(&mut self.sets[source as usize]);
        let mut new = self.nothing_new();
        Self::join(&mut self.sets[target as usize], &source, target, &mut new);
        self.pass_on(&new, accumulators)
    }

    fn stored(&self, of: &[Slot]) -> Result<ArrayRef, ColumnError> {
        let sets = || of.iter().map(|slot| &self.sets[*slot as usize]);
        let keys: Vec<&E::Key> = sets().flat_map(|set| set.keys()).collect();
        let of_call = |seen: &S| (0..self.calls.len()).map(|call| seen.count(call)).collect::<Vec<_>>();
        let counts = Int64Array::from_iter_values(sets().flat_map(|set| set.values()).flat_map(of_call));
        let counts = FixedSizeListArray::try_new(Self::counts_item(), self.calls.len() as i32, Arc::new(counts), None)?;
        let values = self.encoding.write(&keys)?;
        let entries = StructArray::try_new(self.fields(), vec![values, Arc::new(counts)], None)?;
        let item = Arc::new(Field::new("item", DataType::Struct(self.fields()), false));
        let offsets = OffsetBuffer::from_lengths(sets().map(|set| set.len()));
        Ok(Arc::new(ListArray::try_new(item, offsets, Arc::new(entries), None)?))
    }

    fn restore(&mut self, slots: &[Slot], stored: &ArrayRef) -> Result<(), ColumnError> {
        let lists = stored.as_list_opt::<i32>().ok_or(OTHER_ACCUMULATORS)?;
        let entries = lists.values().as_struct_opt().ok_or(OTHER_ACCUMULATORS)?;
        if *entries.fields() != self.fields() {
            return Err(OTHER_ACCUMULATORS);
        }
        let values = self.encoding.read(entries.column(0)).map_err(|error| ColumnError::Values(Box::new(error)))?;
        let counts = entries.column(1).as_fixed_size_list();
        let counts = counts.values().as_primitive::<Int64Type>().values();
        let offsets = lists.value_offsets();
        for (row, slot) in slots.iter().enumerate() {
            let set = &mut self.sets[*slot as usize];
            for entry in offsets[row] as usize..offsets[row + 1] as usize {
                let seen = set.entry(E::key(&values, entry)).or_default();
                for call in 0..self.calls.len() {
                    seen.join_times(call, counts[entry * self.calls.len() + call]);
                }
            }
        }
        Ok(())
    }

    fn clear(&mut self, slots: &[Slot]) {
        slots.iter().for_each(|slot| self.sets[*slot as usize] = StateMap::default());
    }

    fn slot_bytes(&self) -> usize {
        size_of::<StateMap<E::Key, S>>()
    }

    fn add_heap_bytes(&self, slots: &[Slot], bytes: &mut [usize]) {
        for (slot, bytes) in slots.iter().zip(bytes) {
            let set = &self.sets[*slot as usize];
            let one = set.iter().next().map_or(0, |(key, seen)| E::heap_bytes(key) + seen.heap_bytes());
            *bytes += set.allocation_size() + set.len() * one;
        }
    }
}
