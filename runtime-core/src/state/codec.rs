//! How values of one Rust type become a column and come back.
//!
//! This crate knows no Rust row types. Who registers a state brings a codec for its values: the column's type and two
//! functions over whole columns. Invariant: `decode` gives back what `encode` was given, for every column of the
//! codec's type.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray};
use arrow::buffer::{OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Field, FieldRef};
use arrow::error::ArrowError;

use super::adapt::{Incompatible, adapt};

/// About what these values hold beyond their own size; of many some are looked at.
pub fn heap_bytes_of<'v, V: 'v>(
    values: impl ExactSizeIterator<Item = &'v V>,
    heap_bytes: impl Fn(&V) -> usize,
) -> usize {
    let count = values.len();
    let sampled = count.min(HEAP_SAMPLE);
    let bytes: usize = values.take(sampled).map(heap_bytes).sum();
    if sampled == count { bytes } else { bytes / sampled * count }
}

/// Name of the elements of a column of lists, as Arrow has it.
pub const LIST_ITEM: &str = "item";

/// Of how many values the weight is asked, to know that of many.
const HEAP_SAMPLE: usize = 32;

/// Values could not become a column, or a column could not become values.
#[derive(Debug, thiserror::Error)]
pub enum ColumnError {
    /// The column has another type than the program's values, and there is no way from one to the other.
    #[error(transparent)]
    Incompatible(#[from] Incompatible),
    /// The values of one column are more than Arrow's 32-bit offsets can address.
    #[error("one subtask holds more values than a column can ({count}); raise the operator's parallelism")]
    TooLarge {
        /// How many they are.
        count: usize,
    },
    /// The column is not what was written.
    #[error("its content is not what was written: {what}")]
    Corrupt {
        /// What is wrong.
        what: &'static str,
    },
    /// The codec could not convert.
    #[error("{0}")]
    Values(Box<dyn Error + Send + Sync>),
    /// Arrow could not compute.
    #[error("{0}")]
    Arrow(#[from] ArrowError),
}

/// Writes values as a column in which `None` is NULL.
pub type Encode<V> = fn(&[Option<&V>]) -> Result<ArrayRef, ColumnError>;

/// Reads a column's values; NULL is `None`.
pub type Decode<V> = fn(&ArrayRef) -> Result<Vec<Option<V>>, ColumnError>;

/// What a value holds beyond its own size.
pub type HeapBytes<V> = fn(&V) -> usize;

/// The Arrow form of values of type `V`, and what they weigh.
pub struct ValueCodec<V> {
    data_type: DataType,
    encode: Encode<V>,
    decode: Decode<V>,
    heap_bytes: HeapBytes<V>,
}

impl<V> Clone for ValueCodec<V> {
    fn clone(&self) -> Self {
        Self { data_type: self.data_type.clone(), ..*self }
    }
}

impl<V> fmt::Debug for ValueCodec<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ValueCodec").field(&self.data_type).finish()
    }
}

impl<V> ValueCodec<V> {
    /// A codec of columns of type `data_type`, in which NULL means that there is no value. Where values may be null
    /// themselves, the column must tell one from the other.
    pub fn new(data_type: DataType, encode: Encode<V>, decode: Decode<V>) -> Self {
        Self { data_type, encode, decode, heap_bytes: |_| 0 }
    }

    /// The codec of values that hold more than their own size.
    #[must_use]
    pub fn with_heap_bytes(self, heap_bytes: HeapBytes<V>) -> Self {
        Self { heap_bytes, ..self }
    }

    /// What a value holds beyond its own size.
    #[inline]
    pub fn heap_bytes(&self, value: &V) -> usize {
        (self.heap_bytes)(value)
    }

    /// About what these values hold beyond their own size; of many some are looked at.
    pub fn heap_bytes_of<'v>(&self, values: impl ExactSizeIterator<Item = &'v V>) -> usize
    where
        V: 'v,
    {
        heap_bytes_of(values, self.heap_bytes)
    }

    /// The type of the columns.
    pub fn data_type(&self) -> &DataType {
        &self.data_type
    }

    /// The values as a column.
    ///
    /// # Errors
    ///
    /// When they exceed what a column can hold.
    pub fn encode(&self, values: &[Option<&V>]) -> Result<ArrayRef, ColumnError> {
        (self.encode)(values)
    }

    /// The values of a column, which may be of an earlier version of the type.
    ///
    /// # Errors
    ///
    /// When the column cannot be made the codec's type, or holds what no value can be.
    pub fn decode(&self, column: &ArrayRef) -> Result<Vec<Option<V>>, ColumnError> {
        (self.decode)(&adapt(column, &self.data_type)?)
    }

    /// The type of columns of lists of such values.
    pub fn list_type(&self) -> DataType {
        DataType::List(self.list_item())
    }

    fn list_item(&self) -> FieldRef {
        Arc::new(Field::new(LIST_ITEM, self.data_type.clone(), true))
    }

    /// Lists of values as a column; absent ones are NULL.
    ///
    /// # Errors
    ///
    /// As [`encode`](Self::encode).
    pub fn encode_lists<'v>(&self, lists: &[Option<&'v [V]>]) -> Result<ArrayRef, ColumnError>
    where
        V: 'v,
    {
        let items: Vec<Option<&V>> = lists.iter().flatten().flat_map(|list| list.iter()).map(Some).collect();
        let offsets = offsets(lists.iter().map(|list| list.map_or(0, <[V]>::len)))?;
        let nulls = lists.iter().map(Option::is_some).collect::<Vec<_>>().into();
        let nulls = Some(nulls).filter(|nulls: &arrow::buffer::NullBuffer| nulls.null_count() > 0);
        Ok(Arc::new(ListArray::try_new(self.list_item(), offsets, self.encode(&items)?, nulls)?))
    }

    /// The lists of a column; NULL is `None`.
    ///
    /// # Errors
    ///
    /// As [`decode`](Self::decode).
    pub fn decode_lists(&self, column: &ArrayRef) -> Result<Vec<Option<Vec<V>>>, ColumnError> {
        let column = adapt(column, &self.list_type())?;
        let lists = column.as_list::<i32>();
        let mut items = self.decode(&list_items(lists))?.into_iter();
        (0..lists.len())
            .map(|row| {
                let list = items.by_ref().take(lists.value_length(row) as usize).collect::<Option<Vec<V>>>();
                let list = list.ok_or(ColumnError::Corrupt { what: "a list has an element without a value" })?;
                Ok(lists.is_valid(row).then_some(list))
            })
            .collect()
    }
}

/// The offsets of lists of these lengths.
pub(crate) fn offsets(lengths: impl Iterator<Item = usize>) -> Result<OffsetBuffer<i32>, ColumnError> {
    let mut count = 0;
    let mut offsets = vec![0];
    for length in lengths {
        count += length;
        offsets.push(i32::try_from(count).map_err(|_| ColumnError::TooLarge { count })?);
    }
    Ok(OffsetBuffer::new(ScalarBuffer::from(offsets)))
}

/// The elements of lists, of which the column may be a slice.
pub(crate) fn list_items(lists: &ListArray) -> ArrayRef {
    let offsets = lists.value_offsets();
    let (first, last) = (offsets[0] as usize, offsets[lists.len()] as usize);
    lists.values().slice(first, last - first)
}
