//! Rows in keyed state: as bytes while they are held, as columns when they leave.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, StructArray, new_null_array};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, Fields};
use arrow::row::{RowConverter, Rows, SortField};
use pelton_runtime_core::operator::OperatorResult;
use pelton_runtime_core::state::{ColumnError, Slot, StateColumn};

/// From columns to rows of bytes and back.
#[derive(Debug)]
pub(super) struct RowCodec {
    fields: Fields,
    converter: RowConverter,
    /// A row without values.
    nulls: Box<[u8]>,
}

const OTHER_ROWS: ColumnError = ColumnError::Corrupt { what: "rows of other columns" };

impl RowCodec {
    /// Of rows with these columns, of which there is at least one.
    pub(super) fn new<'f>(fields: impl Iterator<Item = &'f Arc<Field>>) -> OperatorResult<Self> {
        // The names may be the same, and anything may be NULL.
        let field =
            |(index, field): (usize, &Arc<Field>)| Field::new(index.to_string(), field.data_type().clone(), true);
        let fields: Fields = fields.enumerate().map(field).collect();
        let converter =
            RowConverter::new(fields.iter().map(|field| SortField::new(field.data_type().clone())).collect())?;
        let nothing: Vec<ArrayRef> = fields.iter().map(|field| new_null_array(field.data_type(), 1)).collect();
        let nulls = converter.convert_columns(&nothing)?.row(0).data().into();
        Ok(Self { fields, converter, nulls })
    }

    pub(super) fn encode(&self, columns: &[ArrayRef]) -> OperatorResult<Rows> {
        Ok(self.converter.convert_columns(columns)?)
    }

    /// The columns of rows; what is not there is a row of NULLs.
    pub(super) fn decode<'b>(
        &'b self,
        rows: impl IntoIterator<Item = Option<&'b [u8]>>,
    ) -> Result<Vec<ArrayRef>, arrow::error::ArrowError> {
        let parser = self.converter.parser();
        let rows: Vec<&[u8]> = rows.into_iter().map(|row| row.unwrap_or(&self.nulls)).collect();
        self.converter.convert_rows(rows.iter().map(|row| parser.parse(row)))
    }

    /// Lists of rows as a column.
    pub(super) fn stored<'b>(
        &'b self,
        lengths: impl Iterator<Item = usize>,
        rows: impl Iterator<Item = &'b [u8]>,
    ) -> Result<ArrayRef, ColumnError> {
        let rows = StructArray::try_new(self.fields.clone(), self.decode(rows.map(Some))?, None)?;
        let item = Arc::new(Field::new("item", DataType::Struct(self.fields.clone()), false));
        Ok(Arc::new(ListArray::try_new(item, OffsetBuffer::from_lengths(lengths), Arc::new(rows), None)?))
    }

    /// The columns of all rows of such lists, and where each list ends among them.
    pub(super) fn restored(&self, stored: &ArrayRef) -> Result<(Vec<ArrayRef>, Vec<usize>), ColumnError> {
        let lists = stored.as_list_opt::<i32>().ok_or(OTHER_ROWS)?;
        let rows = lists.values().as_struct_opt().ok_or(OTHER_ROWS)?;
        if !rows.fields().iter().map(|field| field.data_type()).eq(self.fields.iter().map(|field| field.data_type())) {
            return Err(OTHER_ROWS);
        }
        let offsets = lists.value_offsets();
        let first = offsets[0] as usize;
        let count = offsets[lists.len()] as usize - first;
        let columns = rows.columns().iter().map(|column| column.slice(first, count)).collect();
        Ok((columns, offsets[1..].iter().map(|end| *end as usize - first).collect()))
    }
}

/// A list of rows: the length of each, then its bytes.
#[derive(Debug, Default, Clone)]
pub(super) struct RowList {
    bytes: Vec<u8>,
    rows: u32,
}

const LENGTH_BYTES: usize = 4;

impl RowList {
    pub(super) fn len(&self) -> usize {
        self.rows as usize
    }

    pub(super) fn push(&mut self, row: &[u8]) {
        self.bytes.extend_from_slice(&(row.len() as u32).to_le_bytes());
        self.bytes.extend_from_slice(row);
        self.rows += 1;
    }

    /// Takes one row away that is equal to this; answers whether there was one.
    pub(super) fn remove(&mut self, row: &[u8]) -> bool {
        let mut start = 0;
        while start < self.bytes.len() {
            let end = self.end(start);
            if self.bytes[start + LENGTH_BYTES..end] == *row {
                self.bytes.drain(start..end);
                self.rows -= 1;
                return true;
            }
            start = end;
        }
        false
    }

    /// Where the row ends that starts there.
    fn end(&self, start: usize) -> usize {
        let mut length = [0; LENGTH_BYTES];
        length.copy_from_slice(&self.bytes[start..start + LENGTH_BYTES]);
        start + LENGTH_BYTES + u32::from_le_bytes(length) as usize
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut start = 0;
        std::iter::from_fn(move || {
            let from = start;
            (from < self.bytes.len()).then(|| {
                start = self.end(from);
                &self.bytes[from + LENGTH_BYTES..start]
            })
        })
    }
}

/// The rows of both inputs of a join, by key.
pub(super) struct SideLists {
    sides: [OneSide; 2],
}

struct OneSide {
    codec: Arc<RowCodec>,
    lists: Vec<RowList>,
}

impl SideLists {
    pub(super) fn new(codecs: [Arc<RowCodec>; 2]) -> Self {
        Self { sides: codecs.map(|codec| OneSide { codec, lists: Vec::new() }) }
    }

    /// The lists of one side, to be changed, and of the other.
    pub(super) fn own_and_other(&mut self, side: usize) -> (&mut [RowList], &[RowList]) {
        let [left, right] = &mut self.sides;
        if side == 0 { (&mut left.lists, &right.lists) } else { (&mut right.lists, &left.lists) }
    }
}

impl StateColumn for SideLists {
    fn grow(&mut self, slots: usize) {
        for side in &mut self.sides {
            if slots > side.lists.len() {
                side.lists.resize_with(slots, RowList::default);
            }
        }
    }

    fn is_empty(&self, slot: Slot) -> bool {
        self.sides.iter().all(|side| side.lists[slot as usize].len() == 0)
    }

    fn snapshot(&mut self, slots: &[Slot]) -> Result<Option<ArrayRef>, ColumnError> {
        let mut columns = Vec::with_capacity(2);
        for side in &self.sides {
            let lists = || slots.iter().map(|slot| &side.lists[*slot as usize]);
            columns.push(side.codec.stored(lists().map(RowList::len), lists().flat_map(RowList::iter))?);
        }
        let field = |(name, column): (&str, &ArrayRef)| Field::new(name, column.data_type().clone(), true);
        let fields: Fields = ["left", "right"].into_iter().zip(&columns).map(field).collect();
        Ok(Some(Arc::new(StructArray::try_new(fields, columns, None)?)))
    }

    fn restore(&mut self, slots: &[Slot], values: &ArrayRef) -> Result<(), ColumnError> {
        let values = values.as_struct_opt().ok_or(OTHER_ROWS)?;
        self.grow(slots.iter().map(|slot| *slot as usize + 1).max().unwrap_or(0));
        for (side, name) in self.sides.iter_mut().zip(["left", "right"]) {
            let stored = values.column_by_name(name).ok_or(OTHER_ROWS)?;
            let (columns, ends) = side.codec.restored(stored)?;
            let rows = side.codec.encode(&columns).map_err(|error| ColumnError::Values(Box::new(error)))?;
            let mut row = 0;
            for (slot, end) in slots.iter().zip(ends) {
                let list = &mut side.lists[*slot as usize];
                (row..end).for_each(|row| list.push(rows.row(row).data()));
                row = end;
            }
        }
        Ok(())
    }

    fn is_evictable(&self) -> bool {
        true
    }

    fn clear(&mut self, slots: &[Slot]) {
        for side in &mut self.sides {
            slots.iter().for_each(|slot| side.lists[*slot as usize] = RowList::default());
        }
    }

    fn slot_bytes(&self) -> usize {
        2 * size_of::<RowList>()
    }

    fn add_heap_bytes(&self, slots: &[Slot], bytes: &mut [usize]) {
        for (slot, bytes) in slots.iter().zip(bytes) {
            *bytes += self.sides.iter().map(|side| side.lists[*slot as usize].bytes.capacity()).sum::<usize>();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_gives_back_its_rows_in_their_order() {
        let mut list = RowList::default();
        for row in [&b"one"[..], b"", b"three", b"one"] {
            list.push(row);
        }
        assert!(list.remove(b"one") && !list.remove(b"two") && list.remove(b""));
        assert_eq!((list.len(), list.iter().collect::<Vec<_>>()), (2, vec![&b"three"[..], b"one"]));
    }
}
