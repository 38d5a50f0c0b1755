//! Columns of lists: `Vec<F>`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanBufferBuilder, ListArray};
use arrow::buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Field, FieldRef};

use super::reader::{refuse_nulls, wrong_type};
use super::{ColumnBuilder, ColumnPath, ColumnReader, Record, RecordError};

const ITEM: &str = "item";

/// A record of which `Vec` is a list.
///
/// That is every record but `u8`, because `Vec<u8>` is binary. `#[derive(Record)]` implements it.
#[diagnostic::on_unimplemented(
    message = "`Vec<{Self}>` has no Arrow form",
    note = "if the type is yours, derive it: `#[derive(Clone, Record)]`",
    note = "with a hand-written `Record`, implement the marker `ListItem` as well"
)]
pub trait ListItem: Record {}

/// Reads a column of lists.
#[derive(Clone)]
pub struct ListReader<C> {
    offsets: OffsetBuffer<i32>,
    /// The offset of the first of `items`.
    base: i32,
    items: C,
}

impl<C: ColumnReader<Value: ListItem>> ColumnReader for ListReader<C> {
    type Value = Vec<C::Value>;

    fn open(array: &ArrayRef, path: &ColumnPath<'_>, relevant: Option<&NullBuffer>) -> Result<Self, RecordError> {
        let list = array.as_list_opt::<i32>().ok_or_else(|| wrong_type::<Self::Value>(array, path))?;
        refuse_nulls(array, path, relevant)?;
        let offsets = list.offsets().clone();
        let (first, last) = (offsets[0], offsets[offsets.len() - 1]);
        // Only the part that this slice of the list refers to, so that a thin slice is cheap.
        let items = list.values().slice(first as usize, (last - first) as usize);
        let relevant_items = relevant_items(&offsets, relevant);
        let items = C::open(&items, &path.child(ITEM), relevant_items.as_ref())?;
        Ok(Self { offsets, base: first, items })
    }

    #[inline]
    fn read(&self, row: usize) -> Vec<C::Value> {
        let mut values = Vec::new();
        self.read_into(row, &mut values);
        values
    }

    #[inline]
    fn read_into(&self, row: usize, values: &mut Vec<C::Value>) {
        let start = (self.offsets[row] - self.base) as usize;
        let end = (self.offsets[row + 1] - self.base) as usize;
        self.items.read_range(start..end, values);
    }
}

/// Spreads the relevance of lists over their items; absent if every item counts.
fn relevant_items(offsets: &OffsetBuffer<i32>, relevant: Option<&NullBuffer>) -> Option<NullBuffer> {
    if !offsets.has_non_empty_nulls(relevant) {
        return None;
    }
    let relevant = relevant?;
    let mut items = BooleanBufferBuilder::new(0);
    for (row, length) in offsets.lengths().enumerate() {
        items.append_n(length, relevant.is_valid(row));
    }
    Some(NullBuffer::new(items.finish()))
}

/// Collects a column of lists.
pub struct ListBuilder<C> {
    /// The end of each list in `items`, after a leading zero. Wraps around silently when there are
    /// more items than `i32` counts, which `finish` refuses.
    offsets: Vec<i32>,
    items: C,
    item_field: FieldRef,
}

impl<C: ColumnBuilder> Default for ListBuilder<C> {
    fn default() -> Self {
        Self { offsets: vec![0], items: C::default(), item_field: item_field::<C::Value>() }
    }
}

impl<C: ColumnBuilder> ListBuilder<C> {
    /// Appends a list of what `append_items` appends.
    #[inline]
    pub fn append_list(&mut self, append_items: impl FnOnce(&mut C)) {
        append_items(&mut self.items);
        self.offsets.push(self.items.len() as i32);
    }
}

impl<C: ColumnBuilder<Value: ListItem>> ColumnBuilder for ListBuilder<C> {
    type Value = Vec<C::Value>;

    #[inline]
    fn append(&mut self, value: &Vec<C::Value>) {
        self.append_list(|items| items.append_slice(value));
    }

    #[inline]
    fn append_filler(&mut self) {
        self.append_list(|_| ());
    }

    #[inline]
    fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    #[inline]
    fn byte_len(&self) -> usize {
        size_of_val(self.offsets.as_slice()) + self.items.byte_len()
    }

    fn finish(&mut self, path: &ColumnPath<'_>, nulls: Option<NullBuffer>) -> Result<ArrayRef, RecordError> {
        let mut offsets = Vec::with_capacity(self.offsets.len());
        offsets.push(0);
        let offsets = std::mem::replace(&mut self.offsets, offsets);
        let num_items = self.items.len();
        let items = self.items.finish(&path.child(ITEM), None)?;
        if num_items > i32::MAX as usize {
            return Err(RecordError::TooLarge { column: path.to_string(), size: num_items });
        }
        let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
        let list = ListArray::try_new(self.item_field.clone(), offsets, items, nulls)
            .map_err(|source| RecordError::Arrow { column: path.to_string(), source })?;
        Ok(Arc::new(list))
    }
}

fn item_field<F: Record>() -> FieldRef {
    Arc::new(Field::new(ITEM, F::data_type(), F::NULLABLE))
}

impl<F: ListItem> Record for Vec<F> {
    type Reader = ListReader<F::Reader>;
    type Builder = ListBuilder<F::Builder>;
    type Ref<'a> = &'a [F];

    fn data_type() -> DataType {
        DataType::List(item_field::<F>())
    }
    #[inline]
    fn scratch() -> Self {
        Vec::new()
    }
    #[inline]
    fn heap_bytes(&self) -> usize {
        self.capacity() * size_of::<F>() + self.iter().map(Record::heap_bytes).sum::<usize>()
    }
}

impl<F: ListItem> ListItem for Vec<F> {}
