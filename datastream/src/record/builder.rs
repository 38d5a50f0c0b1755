//! From rows to columns: the port every record's builder implements, and the builder of a whole batch.

use arrow::array::{ArrayRef, AsArray, RecordBatch, RecordBatchOptions};
use arrow::buffer::NullBuffer;
use arrow::datatypes::SchemaRef;

use super::{ColumnPath, Record, RecordError, RowShape, ToRecord, VALUE_COLUMN};

/// Collects the values of one column.
///
/// A finished builder is empty and can be filled again; it has reserved as many rows as it held.
pub trait ColumnBuilder: Default + Send + 'static {
    /// What is appended.
    type Value: Record;

    /// Appends a value.
    fn append(&mut self, value: &Self::Value);

    /// Appends some valid value, equal to [`Record::scratch`]: it stands below a NULL parent or in
    /// place of a column that is absent.
    fn append_filler(&mut self);

    /// Appends values in their order.
    #[inline]
    fn append_slice(&mut self, values: &[Self::Value]) {
        for value in values {
            self.append(value);
        }
    }

    /// The number of values.
    fn len(&self) -> usize;

    /// Whether there are no values.
    #[inline]
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes of memory that the finished column will occupy, roughly.
    fn byte_len(&self) -> usize;

    /// Takes the values out as a column in which `nulls` are NULL. After an error they are lost.
    fn finish(&mut self, path: &ColumnPath<'_>, nulls: Option<NullBuffer>) -> Result<ArrayRef, RecordError>;
}

/// Collects records into a batch.
pub struct RecordBuilder<R: Record> {
    columns: R::Builder,
    schema: SchemaRef,
}

impl<R: Record> RecordBuilder<R> {
    /// An empty builder.
    pub fn new() -> Self {
        Self { columns: R::Builder::default(), schema: R::schema() }
    }

    /// The schema of the batches, which is [`Record::schema`].
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Appends a record, or anything that can be stored as one: `(&str, i64)` for `(String, i64)`.
    #[inline]
    pub fn append<T: ToRecord<R> + ?Sized>(&mut self, record: &T) {
        record.append_to(&mut self.columns);
    }

    /// The number of records.
    #[inline]
    pub fn len(&self) -> usize {
        self.columns.len()
    }

    /// Whether there are no records.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }

    /// The bytes of memory that the finished batch will occupy, roughly.
    #[inline]
    pub fn byte_len(&self) -> usize {
        self.columns.byte_len()
    }

    /// Takes the records out as a batch and leaves the builder empty, ready for as many again.
    ///
    /// Fails if a column has outgrown Arrow's 32-bit offsets; the records are lost then.
    pub fn finish(&mut self) -> Result<RecordBatch, RecordError> {
        let num_rows = self.len();
        let columns = match R::ROW_SHAPE {
            RowShape::ColumnPerField => {
                let rows = self.columns.finish(&ColumnPath::ROOT, None)?;
                rows.as_struct_opt().map(|rows| rows.columns().to_vec()).unwrap_or_default()
            }
            RowShape::OneColumn => {
                vec![self.columns.finish(&ColumnPath::ROOT.child(VALUE_COLUMN), None)?]
            }
        };
        let options = RecordBatchOptions::new().with_row_count(Some(num_rows));
        RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)
            .map_err(|source| RecordError::Arrow { column: std::any::type_name::<R>().to_owned(), source })
    }
}

impl<R: Record> Default for RecordBuilder<R> {
    fn default() -> Self {
        Self::new()
    }
}

impl<R: Record, T: ToRecord<R>> Extend<T> for RecordBuilder<R> {
    fn extend<I: IntoIterator<Item = T>>(&mut self, records: I) {
        for record in records {
            self.append(&record);
        }
    }
}
