//! How the values of a set are held and compared.

use std::hash::Hash;

use arrow::array::{ArrayRef, AsArray, Int64Array};
use arrow::buffer::ScalarBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use arrow::row::{RowConverter, Rows as EncodedRows, SortField};
use pelton_runtime_core::operator::OperatorResult;
use pelton_runtime_core::state::{ColumnError, StateMap};

use crate::aggregate::accumulator::OTHER_ACCUMULATORS;

/// How values of a type are compared.
pub(super) trait Encoding: Send + 'static {
    type Key: Eq + Hash + Clone + Send + 'static;
    type Column;
    fn read(&self, values: &ArrayRef) -> OperatorResult<Self::Column>;
    /// What is known of a row's value.
    fn entry<'s, S: Default>(column: &Self::Column, row: usize, set: &'s mut StateMap<Self::Key, S>) -> &'s mut S;
    fn remove<S>(column: &Self::Column, row: usize, set: &mut StateMap<Self::Key, S>);
    fn key(column: &Self::Column, row: usize) -> Self::Key;
    fn write(&self, keys: &[&Self::Key]) -> Result<ArrayRef, ColumnError>;
    fn heap_bytes(key: &Self::Key) -> usize;
    fn data_type(&self) -> &DataType;
}

/// Whole numbers and times, as 64 bits.
pub(super) struct Words(pub(super) DataType);

pub(super) fn is_word(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 | DataType::Timestamp(_, _)
    )
}

impl Encoding for Words {
    type Key = i64;
    type Column = ScalarBuffer<i64>;

    fn read(&self, values: &ArrayRef) -> OperatorResult<Self::Column> {
        Ok(cast(values, &DataType::Int64)?.as_primitive::<Int64Type>().values().clone())
    }
    #[inline(always)]
    fn entry<'s, S: Default>(column: &Self::Column, row: usize, set: &'s mut StateMap<i64, S>) -> &'s mut S {
        set.entry(column[row]).or_default()
    }
    fn remove<S>(column: &Self::Column, row: usize, set: &mut StateMap<i64, S>) {
        set.remove(&column[row]);
    }
    fn key(column: &Self::Column, row: usize) -> i64 {
        column[row]
    }
    fn write(&self, keys: &[&i64]) -> Result<ArrayRef, ColumnError> {
        let words = Int64Array::from_iter_values(keys.iter().map(|key| **key));
        Ok(cast(&words, &self.0)?)
    }
    fn heap_bytes(_key: &i64) -> usize {
        0
    }
    fn data_type(&self) -> &DataType {
        &self.0
    }
}

/// Everything else, as bytes.
pub(super) struct Bytes {
    data_type: DataType,
    converter: RowConverter,
}

impl Bytes {
    pub(super) fn new(data_type: DataType) -> OperatorResult<Self> {
        let converter = RowConverter::new(vec![SortField::new(data_type.clone())])?;
        Ok(Self { data_type, converter })
    }
}

impl Encoding for Bytes {
    type Key = Box<[u8]>;
    type Column = EncodedRows;

    fn read(&self, values: &ArrayRef) -> OperatorResult<EncodedRows> {
        Ok(self.converter.convert_columns(std::slice::from_ref(values))?)
    }
    fn entry<'s, S: Default>(column: &EncodedRows, row: usize, set: &'s mut StateMap<Box<[u8]>, S>) -> &'s mut S {
        let key = column.row(row).data();
        if !set.contains_key(key) {
            set.insert(key.into(), S::default());
        }
        set.get_mut(key).expect("it is there now")
    }
    fn remove<S>(column: &EncodedRows, row: usize, set: &mut StateMap<Box<[u8]>, S>) {
        set.remove(column.row(row).data());
    }
    fn key(column: &EncodedRows, row: usize) -> Box<[u8]> {
        column.row(row).data().into()
    }
    fn write(&self, keys: &[&Box<[u8]>]) -> Result<ArrayRef, ColumnError> {
        let parser = self.converter.parser();
        let mut columns = self.converter.convert_rows(keys.iter().map(|key| parser.parse(key)))?;
        columns.pop().ok_or(OTHER_ACCUMULATORS)
    }
    fn heap_bytes(key: &Box<[u8]>) -> usize {
        key.len()
    }
    fn data_type(&self) -> &DataType {
        &self.data_type
    }
}
