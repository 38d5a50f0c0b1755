//! Columns of `bool`, one bit each.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray, BooleanBufferBuilder};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::datatypes::DataType;

use super::reader::{refuse_nulls, wrong_type};
use super::to_record::stands_for_itself;
use super::{ColumnBuilder, ColumnPath, ColumnReader, ListItem, Record, RecordError};

/// Reads a column of `bool`.
#[derive(Clone)]
pub struct BooleanReader {
    values: BooleanBuffer,
}

impl ColumnReader for BooleanReader {
    type Value = bool;

    fn open(array: &ArrayRef, path: &ColumnPath<'_>, relevant: Option<&NullBuffer>) -> Result<Self, RecordError> {
        let typed = array.as_boolean_opt().ok_or_else(|| wrong_type::<bool>(array, path))?;
        refuse_nulls(array, path, relevant)?;
        Ok(Self { values: typed.values().clone() })
    }

    #[inline]
    fn read(&self, row: usize) -> bool {
        self.values.value(row)
    }
}

/// Collects a column of `bool`.
pub struct BooleanBuilder {
    values: BooleanBufferBuilder,
}

impl Default for BooleanBuilder {
    fn default() -> Self {
        Self { values: BooleanBufferBuilder::new(0) }
    }
}

impl ColumnBuilder for BooleanBuilder {
    type Value = bool;

    #[inline]
    fn append(&mut self, value: &bool) {
        self.values.append(*value);
    }

    #[inline]
    fn append_filler(&mut self) {
        self.values.append(bool::scratch());
    }

    #[inline]
    fn append_slice(&mut self, values: &[bool]) {
        self.values.append_slice(values);
    }

    #[inline]
    fn len(&self) -> usize {
        self.values.len()
    }

    #[inline]
    fn byte_len(&self) -> usize {
        self.values.len().div_ceil(8)
    }

    fn finish(&mut self, path: &ColumnPath<'_>, nulls: Option<NullBuffer>) -> Result<ArrayRef, RecordError> {
        let reserved = BooleanBufferBuilder::new(self.values.len());
        let values = std::mem::replace(&mut self.values, reserved).build();
        if nulls.as_ref().is_some_and(|nulls| nulls.len() != values.len()) {
            let source =
                arrow::error::ArrowError::InvalidArgumentError("validity and values differ in length".to_owned());
            return Err(RecordError::Arrow { column: path.to_string(), source });
        }
        Ok(Arc::new(BooleanArray::new(values, nulls)))
    }
}

impl Record for bool {
    type Reader = BooleanReader;
    type Builder = BooleanBuilder;
    type Ref<'a> = Self;

    fn data_type() -> DataType {
        DataType::Boolean
    }
    #[inline]
    fn scratch() -> bool {
        false
    }
}

impl ListItem for bool {}
stands_for_itself!(bool);
