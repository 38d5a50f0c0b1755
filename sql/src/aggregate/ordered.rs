//! `MIN` and `MAX` of rows that may leave again: all values, in their order, with how often they are there.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, ListArray, StructArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, Fields, Int64Type};
use arrow::row::{RowConverter, SortField};
use pelton_runtime_core::operator::{OperatorError, OperatorResult};
use pelton_runtime_core::state::{ColumnError, Slot};

use super::accumulator::{Accumulator, Counted, OTHER_ACCUMULATORS, same_kind};

/// Values by their order-preserving bytes, and their numbers. A number is negative, and its value not there, when a row left
/// before it joined.
type Values = BTreeMap<Box<[u8]>, i64>;

/// Which end of the order is the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Least,
    Greatest,
}

pub(super) struct OrderedValues {
    data_type: DataType,
    converter: RowConverter,
    end: End,
    values: Vec<Values>,
}

impl OrderedValues {
    pub(super) fn least(data_type: &DataType) -> OperatorResult<Self> {
        Self::new(data_type, End::Least)
    }

    pub(super) fn greatest(data_type: &DataType) -> OperatorResult<Self> {
        Self::new(data_type, End::Greatest)
    }

    fn new(data_type: &DataType, end: End) -> OperatorResult<Self> {
        let converter = RowConverter::new(vec![SortField::new(data_type.clone())])?;
        Ok(Self { data_type: data_type.clone(), converter, end, values: Vec::new() })
    }

    /// The values of these bytes.
    fn decode<'b>(&self, bytes: impl Iterator<Item = &'b [u8]>) -> Result<ArrayRef, ColumnError> {
        let parser = self.converter.parser();
        let bytes: Vec<&[u8]> = bytes.collect();
        let mut columns = self.converter.convert_rows(bytes.iter().map(|bytes| parser.parse(bytes)))?;
        columns.pop().ok_or(OTHER_ACCUMULATORS)
    }

    fn join(values: &mut Values, value: &[u8], count: i64) {
        match values.get_mut(value) {
            Some(known) if *known + count == 0 => {
                values.remove(value);
            }
            Some(known) => *known += count,
            None => {
                values.insert(value.into(), count);
            }
        }
    }

    fn fields(&self) -> Fields {
        Fields::from(vec![
            Field::new("value", self.data_type.clone(), true),
            Field::new("count", DataType::Int64, false),
        ])
    }
}

impl Accumulator for OrderedValues {
    fn grow(&mut self, slots: usize) {
        if slots > self.values.len() {
            self.values.resize_with(slots, Values::new);
        }
    }

    fn add(&mut self, values: Option<&ArrayRef>, rows: &Counted<'_>) -> OperatorResult {
        let Some(values) = values else { return Ok(()) };
        let bytes = self.converter.convert_columns(std::slice::from_ref(values))?;
        rows.each(|row, slot, sign| Self::join(&mut self.values[slot], bytes.row(row).data(), sign));
        Ok(())
    }

    fn merge(&mut self, from: &dyn Accumulator, pairs: &[(Slot, Slot)]) {
        let from: &Self = same_kind(from);
        for (target, source) in pairs {
            for (value, count) in &from.values[*source as usize] {
                Self::join(&mut self.values[*target as usize], value, *count);
            }
        }
    }

    fn merge_within(&mut self, target: Slot, source: Slot) {
        for (value, count) in std::mem::take(&mut self.values[source as usize]) {
            Self::join(&mut self.values[target as usize], &value, count);
        }
    }

    fn results(&self, of: &[Slot]) -> OperatorResult<ArrayRef> {
        let nothing = self.converter.convert_columns(&[arrow::array::new_null_array(&self.data_type, 1)])?;
        let nothing = nothing.row(0);
        let result = |slot: &Slot| {
            let mut there = self.values[*slot as usize].iter().filter(|(_, count)| **count > 0);
            let found = match self.end {
                End::Least => there.next(),
                End::Greatest => there.next_back(),
            };
            found.map(|(value, _)| &**value)
        };
        let bytes = of.iter().map(|slot| result(slot).unwrap_or_else(|| nothing.data()));
        self.decode(bytes).map_err(|error| OperatorError::data(error.to_string()))
    }

    fn stored(&self, of: &[Slot]) -> Result<ArrayRef, ColumnError> {
        let maps = || of.iter().map(|slot| &self.values[*slot as usize]);
        let values = self.decode(maps().flat_map(|values| values.keys().map(|value| &**value)))?;
        let counts = Int64Array::from_iter_values(maps().flat_map(|values| values.values().copied()));
        let entries = StructArray::try_new(self.fields(), vec![values, Arc::new(counts)], None)?;
        let item = Arc::new(Field::new("item", DataType::Struct(self.fields()), false));
        let offsets = OffsetBuffer::from_lengths(maps().map(BTreeMap::len));
        Ok(Arc::new(ListArray::try_new(item, offsets, Arc::new(entries), None)?))
    }

    fn restore(&mut self, slots: &[Slot], stored: &ArrayRef) -> Result<(), ColumnError> {
        let lists = stored.as_list_opt::<i32>().ok_or(OTHER_ACCUMULATORS)?;
        let entries = lists.values().as_struct_opt().ok_or(OTHER_ACCUMULATORS)?;
        let column = |name| entries.column_by_name(name).ok_or(OTHER_ACCUMULATORS);
        let (values, counts) = (column("value")?, column("count")?);
        let counts = counts.as_primitive_opt::<Int64Type>().ok_or(OTHER_ACCUMULATORS)?;
        if *values.data_type() != self.data_type {
            return Err(OTHER_ACCUMULATORS);
        }
        let bytes = self.converter.convert_columns(std::slice::from_ref(values))?;
        let offsets = lists.value_offsets();
        for (row, slot) in slots.iter().enumerate() {
            let entries = offsets[row] as usize..offsets[row + 1] as usize;
            let entry = |entry: usize| (bytes.row(entry).data().into(), counts.value(entry));
            self.values[*slot as usize] = entries.map(entry).collect();
        }
        Ok(())
    }

    fn clear(&mut self, slots: &[Slot]) {
        slots.iter().for_each(|slot| self.values[*slot as usize] = Values::new());
    }

    fn slot_bytes(&self) -> usize {
        size_of::<Values>()
    }

    fn add_heap_bytes(&self, slots: &[Slot], bytes: &mut [usize]) {
        for (slot, bytes) in slots.iter().zip(bytes) {
            let values = &self.values[*slot as usize];
            let one = values.first_key_value().map_or(0, |(value, _)| value.len() + ENTRY_BYTES);
            *bytes += values.len() * one;
        }
    }
}

/// What an entry takes beside its value.
const ENTRY_BYTES: usize = 32;
