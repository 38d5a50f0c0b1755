//! Columns as values: `Trip::driver` names a column and knows its type.

use std::fmt;

use arrow::array::RecordBatch;

use super::{ColumnPath, ColumnReader, Record, RecordError};
use crate::record::reader::readable_list;

/// The column of `R` that holds a field of type `F`.
///
/// `#[derive(Record)]` generates one constant per field of a struct, under the field's name.
/// The columns of a tuple are [`field::<0, _>()`](field) and so on.
pub struct Column<R, F> {
    name: &'static str,
    get: fn(&R) -> &F,
}

impl<R, F> Column<R, F> {
    /// The column `name`, and where the field is in a record that has been read.
    pub const fn new(name: &'static str, get: fn(&R) -> &F) -> Self {
        Self { name, get }
    }

    /// The column's name in the batch, which `#[record(rename = "...")]` may have changed.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The field in a record.
    #[inline]
    pub fn get<'r>(&self, record: &'r R) -> &'r F {
        (self.get)(record)
    }
}

impl<R: Record, F: Record> Column<R, F> {
    /// Opens this column of a batch alone.
    pub fn open(&self, batch: &RecordBatch) -> Result<F::Reader, RecordError> {
        let path = ColumnPath::ROOT.child(self.name);
        match batch.column_by_name(self.name) {
            Some(array) => F::Reader::open(array, &path, None),
            None => Err(RecordError::MissingColumn {
                record: std::any::type_name::<R>(),
                column: path.to_string(),
                expected: F::data_type(),
                present: readable_list(batch.schema_ref().fields().iter().map(|field| field.name().as_str())),
            }),
        }
    }
}

impl<R, F> Clone for Column<R, F> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<R, F> Copy for Column<R, F> {}

impl<R, F> fmt::Debug for Column<R, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Column").field(&self.name).finish()
    }
}

/// A tuple with a field at `INDEX`.
#[diagnostic::on_unimplemented(message = "`{Self}` is not a tuple with a field {INDEX}")]
pub trait TupleField<const INDEX: usize>: Record {
    /// The field's type.
    type Field: Record;
    /// The field's column.
    const COLUMN: Column<Self, Self::Field>;
}

/// The column of a tuple's field: `key_by(field::<0, _>())` keys a stream of `(String, i64)` by its
/// first field, which Flink names `f0`.
pub const fn field<const INDEX: usize, R: TupleField<INDEX>>() -> Column<R, R::Field> {
    R::COLUMN
}
