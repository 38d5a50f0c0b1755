//! From columns to rows: the port every record's reader implements, and the reader of a whole batch.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, StructArray};
use arrow::buffer::NullBuffer;

use super::{ColumnPath, Record, RecordError, RowShape, VALUE_COLUMN};

/// Reads the values of one column, whose type and NULLs have been checked when it was opened.
///
/// Rows outside of `relevant` belong to NULL parents. Their values are arbitrary; they are not
/// checked and must not be read.
pub trait ColumnReader: Clone + Send + Sync + Sized + 'static {
    /// What is read.
    type Value: Record;

    /// Checks the column and keeps what reading needs.
    ///
    /// With `relevant` absent, every row counts.
    fn open(array: &ArrayRef, path: &ColumnPath<'_>, relevant: Option<&NullBuffer>) -> Result<Self, RecordError>;

    /// The value in a relevant row. Panics if the column has no such row.
    fn read(&self, row: usize) -> Self::Value;

    /// Overwrites `value` with the value in a relevant row, reusing the memory that `value` holds.
    #[inline]
    fn read_into(&self, row: usize, value: &mut Self::Value) {
        *value = self.read(row);
    }

    /// Overwrites `values` with the values of a range of relevant rows, reusing its memory.
    #[inline]
    fn read_range(&self, rows: Range<usize>, values: &mut Vec<Self::Value>) {
        values.truncate(rows.len());
        let kept = values.len();
        for (value, row) in values.iter_mut().zip(rows.clone()) {
            self.read_into(row, value);
        }
        values.extend((rows.start + kept..rows.end).map(|row| self.read(row)));
    }
}

/// Reads a batch row by row.
///
/// Opening checks names, types and NULLs; reading cannot fail afterwards. A reader shares the
/// batch's memory and is cheap to clone.
pub struct RecordReader<R: Record> {
    columns: R::Reader,
    num_rows: usize,
}

impl<R: Record> RecordReader<R> {
    /// Finds the record's columns in the batch by name; others are ignored.
    ///
    /// A record of one column is read from the column `value`, or from the batch's only column.
    pub fn open(batch: &RecordBatch) -> Result<Self, RecordError> {
        let columns = match R::ROW_SHAPE {
            RowShape::ColumnPerField => {
                let rows: ArrayRef = Arc::new(StructArray::from(batch.clone()));
                R::Reader::open(&rows, &ColumnPath::ROOT, None)?
            }
            RowShape::OneColumn => open_value(batch)?,
        };
        Ok(Self { columns, num_rows: batch.num_rows() })
    }

    /// The number of rows.
    #[inline]
    pub fn len(&self) -> usize {
        self.num_rows
    }

    /// Whether there are no rows.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.num_rows == 0
    }

    /// The record in a row. Panics if the batch has no such row.
    #[inline]
    pub fn read(&self, row: usize) -> R {
        self.columns.read(row)
    }

    /// Overwrites `record` with the record in a row, reusing the memory that `record` holds.
    /// Panics if the batch has no such row.
    #[inline]
    pub fn read_into(&self, row: usize, record: &mut R) {
        self.columns.read_into(row, record);
    }

    /// The records of the batch, each a value of its own.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = R> + '_ {
        (0..self.num_rows).map(|row| self.read(row))
    }
}

impl<R: Record> Clone for RecordReader<R> {
    fn clone(&self) -> Self {
        Self { columns: self.columns.clone(), num_rows: self.num_rows }
    }
}

fn open_value<C: ColumnReader>(batch: &RecordBatch) -> Result<C, RecordError> {
    let schema = batch.schema_ref();
    let (array, name) = match (batch.column_by_name(VALUE_COLUMN), batch.columns()) {
        (Some(array), _) => (array, VALUE_COLUMN),
        (None, [array]) => (array, schema.field(0).name().as_str()),
        (None, _) => {
            return Err(RecordError::MissingColumn {
                record: std::any::type_name::<C::Value>(),
                column: VALUE_COLUMN.to_owned(),
                expected: C::Value::data_type(),
                present: readable_list(schema.fields().iter().map(|field| field.name().as_str())),
            });
        }
    };
    C::open(array, &ColumnPath::ROOT.child(name), None)
}

/// "`a`, `b`", or "nothing".
pub(super) fn readable_list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<_> = names.map(|name| format!("`{name}`")).collect();
    if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
}

/// Fails if a relevant row is NULL.
pub(super) fn refuse_nulls(
    array: &dyn Array,
    path: &ColumnPath<'_>,
    relevant: Option<&NullBuffer>,
) -> Result<(), RecordError> {
    let Some(nulls) = array.logical_nulls().filter(|nulls| nulls.null_count() > 0) else {
        return Ok(());
    };
    let counts = |row: &usize| relevant.is_none_or(|relevant| relevant.is_valid(*row));
    match (0..nulls.len()).filter(counts).find(|row| nulls.is_null(*row)) {
        Some(row) => Err(RecordError::UnexpectedNull { column: path.to_string(), row }),
        None => Ok(()),
    }
}

/// The error for a column of another type than `R`'s.
pub(super) fn wrong_type<R: Record>(array: &dyn Array, path: &ColumnPath<'_>) -> RecordError {
    RecordError::WrongType { column: path.to_string(), expected: R::data_type(), found: array.data_type().clone() }
}
