//! Columns in which NULL is allowed.

use arrow::array::{Array, ArrayRef, NullBufferBuilder};
use arrow::buffer::NullBuffer;
use arrow::datatypes::DataType;

use super::{ColumnBuilder, ColumnPath, ColumnReader, ListItem, Record, RecordError, ToRecord};

/// Reads a column in which NULL means `None`.
#[derive(Clone)]
pub struct OptionReader<C> {
    nulls: Option<NullBuffer>,
    values: C,
}

impl<C: ColumnReader> ColumnReader for OptionReader<C> {
    type Value = Option<C::Value>;

    fn open(array: &ArrayRef, path: &ColumnPath<'_>, relevant: Option<&NullBuffer>) -> Result<Self, RecordError> {
        let nulls = array.logical_nulls().filter(|nulls| nulls.null_count() > 0);
        let relevant = NullBuffer::union(nulls.as_ref(), relevant);
        Ok(Self { values: C::open(array, path, relevant.as_ref())?, nulls })
    }

    #[inline]
    fn read(&self, row: usize) -> Option<C::Value> {
        self.is_some(row).then(|| self.values.read(row))
    }

    #[inline]
    fn read_into(&self, row: usize, value: &mut Option<C::Value>) {
        match value {
            Some(value) if self.is_some(row) => self.values.read_into(row, value),
            _ => *value = self.read(row),
        }
    }
}

impl<C> OptionReader<C> {
    #[inline]
    fn is_some(&self, row: usize) -> bool {
        self.nulls.as_ref().is_none_or(|nulls| nulls.is_valid(row))
    }
}

/// Collects a column in which `None` is NULL.
pub struct OptionBuilder<C> {
    nulls: NullBufferBuilder,
    values: C,
}

impl<C: Default> Default for OptionBuilder<C> {
    fn default() -> Self {
        Self { nulls: NullBufferBuilder::new(0), values: C::default() }
    }
}

impl<C: ColumnBuilder> OptionBuilder<C>
where
    C::Value: Record<Builder = C>,
{
    /// Appends a value that need not be owned, or NULL.
    #[inline]
    pub fn append_option<T: ToRecord<C::Value>>(&mut self, value: Option<&T>) {
        match value {
            Some(value) => {
                value.append_to(&mut self.values);
                self.nulls.append_non_null();
            }
            None => self.append_filler(),
        }
    }
}

impl<C: ColumnBuilder> ColumnBuilder for OptionBuilder<C>
where
    C::Value: Record<Builder = C>,
{
    type Value = Option<C::Value>;

    #[inline]
    fn append(&mut self, value: &Option<C::Value>) {
        self.append_option(value.as_ref());
    }

    #[inline]
    fn append_filler(&mut self) {
        self.values.append_filler();
        self.nulls.append_null();
    }

    #[inline]
    fn len(&self) -> usize {
        self.values.len()
    }

    #[inline]
    fn byte_len(&self) -> usize {
        self.values.byte_len() + self.len().div_ceil(8)
    }

    fn finish(&mut self, path: &ColumnPath<'_>, nulls: Option<NullBuffer>) -> Result<ArrayRef, RecordError> {
        let nulls = NullBuffer::union(self.nulls.finish().as_ref(), nulls.as_ref());
        self.values.finish(path, nulls)
    }
}

impl<R: Record> Record for Option<R> {
    type Reader = OptionReader<R::Reader>;
    type Builder = OptionBuilder<R::Builder>;
    type Ref<'a> = Option<R::Ref<'a>>;

    const NULLABLE: bool = {
        assert!(
            !R::NULLABLE,
            "`Option<Option<_>>` has no Arrow form: NULL can mean only one of `None` and `Some(None)`"
        );
        true
    };

    const IS_KEY: bool = R::IS_KEY;

    fn data_type() -> DataType {
        R::data_type()
    }
    #[inline]
    fn scratch() -> Self {
        None
    }
    #[inline]
    fn heap_bytes(&self) -> usize {
        self.as_ref().map_or(0, Record::heap_bytes)
    }
}

impl<R: Record> ListItem for Option<R> {}
