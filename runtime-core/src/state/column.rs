//! The columns of a table: one value, list or map per slot.
//!
//! A column grows with its table and never shrinks; a slot that is freed is cleared first. What a state kind means to a
//! user (reducing, aggregating) is decided above; here is only where it is kept.
//!
//! In a snapshot a value is a value, a list is a list, and a map is a list of structs `key`, `value`.

use std::any::Any;
use std::hash::Hash;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, StructArray};
use arrow::datatypes::{DataType, Field, FieldRef, Fields};
use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::Slot;
use super::adapt::adapt;
use super::codec::{ColumnError, LIST_ITEM, ValueCodec, list_items, offsets};
use super::expiring::{Ttl, lists_without_times, maps_without_times, without_times};
use super::row_expiry::NEVER;
use crate::time::EpochMillis;

/// Values of one state, indexed by slot.
pub trait StateColumn: Any + Send {
    /// Makes room for slots below `slots`; new ones are empty.
    fn grow(&mut self, slots: usize);

    /// Whether the slot holds nothing, so that its key need not be kept for this column's sake.
    fn is_empty(&self, slot: Slot) -> bool;

    /// Keeps those of `slots` that hold nothing.
    fn retain_empty(&self, slots: &mut Vec<Slot>) {
        slots.retain(|slot| self.is_empty(*slot));
    }

    /// What the slots hold, one value each; absent when the column is no part of a snapshot, as its owner rebuilds it.
    ///
    /// # Errors
    ///
    /// When the values exceed what a column can hold.
    fn snapshot(&mut self, slots: &[Slot]) -> Result<Option<ArrayRef>, ColumnError>;

    /// Takes back what a snapshot holds. The slots are those of keys that are new in the table; they are distinct.
    ///
    /// # Errors
    ///
    /// When `values` are of a type that does not fit.
    fn restore(&mut self, slots: &[Slot], values: &ArrayRef) -> Result<(), ColumnError>;

    /// Whether slots can leave for a store and return: whether [`clear`](Self::clear) works, and
    /// [`restore`](Self::restore) for any empty slots. A table with a column that says no stays on the heap as a whole, and is
    /// written as a whole by every checkpoint.
    fn is_evictable(&self) -> bool {
        false
    }

    /// Makes slots empty whose content has been written away.
    fn clear(&mut self, _slots: &[Slot]) {}

    /// Bytes that every slot takes in this column.
    fn slot_bytes(&self) -> usize {
        0
    }

    /// Adds to `bytes` what each of `slots` holds beside [`slot_bytes`](Self::slot_bytes).
    fn add_heap_bytes(&self, _slots: &[Slot], _bytes: &mut [usize]) {}

    /// How long what the column holds lives, if it does not live for ever.
    fn time_to_live(&self) -> Option<Ttl> {
        None
    }

    /// Raises the times of `slots` to those from which on everything in them has expired, where it is later: never, for
    /// content that does not expire. Content of unknown age counts as used `now`.
    fn raise_expiry(&self, slots: &[Slot], _now: EpochMillis, times: &mut [EpochMillis]) {
        for (slot, time) in slots.iter().zip(times) {
            if !self.is_empty(*slot) {
                *time = NEVER;
            }
        }
    }

    /// Drops what has expired at `now` in a range of slots, and appends the slots that something was dropped of.
    fn expire(&mut self, _slots: Range<Slot>, _now: EpochMillis, _emptied: &mut Vec<Slot>) {}
}

/// At most one value per slot.
#[derive(Debug)]
pub struct ValueColumn<V> {
    values: Vec<Option<V>>,
    codec: ValueCodec<V>,
}

impl<V> ValueColumn<V> {
    /// A column without slots.
    pub fn new(codec: ValueCodec<V>) -> Self {
        Self { values: Vec::new(), codec }
    }

    /// The slot's value.
    #[inline]
    pub fn get(&self, slot: Slot) -> Option<&V> {
        self.values[slot as usize].as_ref()
    }

    /// The slot's value, to be changed, set or removed in place.
    #[inline]
    pub fn entry(&mut self, slot: Slot) -> &mut Option<V> {
        &mut self.values[slot as usize]
    }
}

impl<V: Send + 'static> StateColumn for ValueColumn<V> {
    fn grow(&mut self, slots: usize) {
        if slots > self.values.len() {
            self.values.resize_with(slots, || None);
        }
    }

    fn is_empty(&self, slot: Slot) -> bool {
        self.values[slot as usize].is_none()
    }

    fn snapshot(&mut self, slots: &[Slot]) -> Result<Option<ArrayRef>, ColumnError> {
        let values: Vec<Option<&V>> = slots.iter().map(|slot| self.get(*slot)).collect();
        Ok(Some(self.codec.encode(&values)?))
    }

    fn restore(&mut self, slots: &[Slot], values: &ArrayRef) -> Result<(), ColumnError> {
        for (slot, value) in slots.iter().zip(self.codec.decode(&without_times(values))?) {
            self.values[*slot as usize] = value;
        }
        Ok(())
    }

    fn is_evictable(&self) -> bool {
        true
    }

    fn clear(&mut self, slots: &[Slot]) {
        slots.iter().for_each(|slot| self.values[*slot as usize] = None);
    }

    fn slot_bytes(&self) -> usize {
        size_of::<Option<V>>()
    }

    fn add_heap_bytes(&self, slots: &[Slot], bytes: &mut [usize]) {
        for (slot, bytes) in slots.iter().zip(bytes) {
            *bytes += self.get(*slot).map_or(0, |value| self.codec.heap_bytes(value));
        }
    }
}

/// A list of values per slot.
#[derive(Debug)]
pub struct ListColumn<V> {
    lists: Vec<Vec<V>>,
    codec: ValueCodec<V>,
}

impl<V> ListColumn<V> {
    /// A column without slots.
    pub fn new(codec: ValueCodec<V>) -> Self {
        Self { lists: Vec::new(), codec }
    }

    /// The slot's list.
    #[inline]
    pub fn get(&self, slot: Slot) -> &[V] {
        &self.lists[slot as usize]
    }

    /// The slot's list, to be changed.
    #[inline]
    pub fn entry(&mut self, slot: Slot) -> &mut Vec<V> {
        &mut self.lists[slot as usize]
    }
}

impl<V: Send + 'static> StateColumn for ListColumn<V> {
    fn grow(&mut self, slots: usize) {
        if slots > self.lists.len() {
            self.lists.resize_with(slots, Vec::new);
        }
    }

    fn is_empty(&self, slot: Slot) -> bool {
        self.lists[slot as usize].is_empty()
    }

    fn snapshot(&mut self, slots: &[Slot]) -> Result<Option<ArrayRef>, ColumnError> {
        let lists: Vec<Option<&[V]>> = slots.iter().map(|slot| Some(self.get(*slot))).collect();
        Ok(Some(self.codec.encode_lists(&lists)?))
    }

    fn restore(&mut self, slots: &[Slot], values: &ArrayRef) -> Result<(), ColumnError> {
        for (slot, list) in slots.iter().zip(self.codec.decode_lists(&lists_without_times(values)?)?) {
            self.lists[*slot as usize] = list.unwrap_or_default();
        }
        Ok(())
    }

    fn is_evictable(&self) -> bool {
        true
    }

    fn clear(&mut self, slots: &[Slot]) {
        slots.iter().for_each(|slot| self.lists[*slot as usize] = Vec::new());
    }

    fn slot_bytes(&self) -> usize {
        size_of::<Vec<V>>()
    }

    fn add_heap_bytes(&self, slots: &[Slot], bytes: &mut [usize]) {
        for (slot, bytes) in slots.iter().zip(bytes) {
            let list = &self.lists[*slot as usize];
            *bytes += list.capacity() * size_of::<V>() + self.codec.heap_bytes_of(list.iter());
        }
    }
}

/// A map's hasher, the same in every run so that simulations replay.
pub type StateMap<K, V> = HashMap<K, V, FixedState>;

/// The lengths of maps, and the keys and values of all their entries.
type DecodedMaps<K, V> = (Vec<usize>, Vec<K>, Vec<V>);

/// A map per slot. An empty one takes no memory beyond its header.
#[derive(Debug)]
pub struct MapColumn<K, V> {
    maps: Vec<StateMap<K, V>>,
    keys: ValueCodec<K>,
    values: ValueCodec<V>,
}

impl<K, V> MapColumn<K, V> {
    /// A column without slots.
    pub fn new(keys: ValueCodec<K>, values: ValueCodec<V>) -> Self {
        Self { maps: Vec::new(), keys, values }
    }

    /// The fields of an entry.
    pub(super) fn entry_fields(keys: &ValueCodec<K>, values: &ValueCodec<V>) -> Fields {
        let field = |name, of: &DataType| Field::new(name, of.clone(), true);
        Fields::from(vec![field("key", keys.data_type()), field("value", values.data_type())])
    }

    fn list_item(keys: &ValueCodec<K>, values: &ValueCodec<V>) -> FieldRef {
        Arc::new(Field::new(LIST_ITEM, DataType::Struct(Self::entry_fields(keys, values)), false))
    }

    /// The lengths of a column's maps, and the keys and values of all their entries.
    pub(super) fn decode(
        maps: &ArrayRef,
        keys: &ValueCodec<K>,
        values: &ValueCodec<V>,
    ) -> Result<DecodedMaps<K, V>, ColumnError> {
        let partial = || ColumnError::Corrupt { what: "a map has an entry without a key or a value" };
        let maps = adapt(maps, &DataType::List(Self::list_item(keys, values)))?;
        let maps = maps.as_list::<i32>();
        let items = list_items(maps);
        let entries = items.as_struct();
        let keys = keys.decode(entries.column(0))?.into_iter().collect::<Option<_>>().ok_or_else(partial)?;
        let values = values.decode(entries.column(1))?.into_iter().collect::<Option<_>>().ok_or_else(partial)?;
        let lengths = (0..maps.len()).map(|row| maps.value_length(row) as usize).collect();
        Ok((lengths, keys, values))
    }

    /// The slot's map.
    #[inline]
    pub fn get(&self, slot: Slot) -> &StateMap<K, V> {
        &self.maps[slot as usize]
    }

    /// The slot's map, to be changed.
    #[inline]
    pub fn entry(&mut self, slot: Slot) -> &mut StateMap<K, V> {
        &mut self.maps[slot as usize]
    }
}

impl<K: Eq + Hash + Send + 'static, V: Send + 'static> StateColumn for MapColumn<K, V> {
    fn grow(&mut self, slots: usize) {
        if slots > self.maps.len() {
            self.maps.resize_with(slots, StateMap::default);
        }
    }

    fn is_empty(&self, slot: Slot) -> bool {
        self.maps[slot as usize].is_empty()
    }

    fn snapshot(&mut self, slots: &[Slot]) -> Result<Option<ArrayRef>, ColumnError> {
        let maps = || slots.iter().map(|slot| self.get(*slot));
        let keys: Vec<Option<&K>> = maps().flat_map(|map| map.keys()).map(Some).collect();
        let values: Vec<Option<&V>> = maps().flat_map(|map| map.values()).map(Some).collect();
        let columns = vec![self.keys.encode(&keys)?, self.values.encode(&values)?];
        let entries = StructArray::try_new(Self::entry_fields(&self.keys, &self.values), columns, None)?;
        let offsets = offsets(maps().map(|map| map.len()))?;
        let item = Self::list_item(&self.keys, &self.values);
        Ok(Some(Arc::new(ListArray::try_new(item, offsets, Arc::new(entries), None)?)))
    }

    fn restore(&mut self, slots: &[Slot], values: &ArrayRef) -> Result<(), ColumnError> {
        let (lengths, keys, values) = Self::decode(&maps_without_times(values)?, &self.keys, &self.values)?;
        let mut entries = keys.into_iter().zip(values);
        for (slot, length) in slots.iter().zip(lengths) {
            self.maps[*slot as usize].extend(entries.by_ref().take(length));
        }
        Ok(())
    }

    fn is_evictable(&self) -> bool {
        true
    }

    fn clear(&mut self, slots: &[Slot]) {
        slots.iter().for_each(|slot| self.maps[*slot as usize] = StateMap::default());
    }

    fn slot_bytes(&self) -> usize {
        size_of::<StateMap<K, V>>()
    }

    fn add_heap_bytes(&self, slots: &[Slot], bytes: &mut [usize]) {
        for (slot, bytes) in slots.iter().zip(bytes) {
            let map = self.get(*slot);
            *bytes += map.allocation_size();
            *bytes += self.keys.heap_bytes_of(map.keys()) + self.values.heap_bytes_of(map.values());
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use arrow::array::{BooleanArray, Int64Array};
    use arrow::datatypes::Int64Type;

    use super::*;

    pub(in crate::state) fn numbers() -> ValueCodec<i64> {
        ValueCodec::new(
            DataType::Int64,
            |values| Ok(Arc::new(values.iter().map(|value| value.copied()).collect::<Int64Array>())),
            |column| Ok(column.as_primitive::<Int64Type>().iter().collect()),
        )
    }

    pub(in crate::state) fn booleans() -> ValueCodec<bool> {
        ValueCodec::new(
            DataType::Boolean,
            |values| Ok(Arc::new(values.iter().map(|value| value.copied()).collect::<BooleanArray>())),
            |column| Ok(column.as_boolean().iter().collect()),
        )
    }

    fn returned<C: StateColumn>(mut from: C, mut to: C, slots: &[Slot]) -> C {
        let column = from.snapshot(slots).unwrap().unwrap();
        // As when it came as a part of something larger.
        let column = arrow::compute::concat(&[column.as_ref(), column.as_ref()]).unwrap();
        to.grow(8);
        to.restore(slots, &column.slice(slots.len(), slots.len())).unwrap();
        to
    }

    #[test]
    fn values_lists_and_maps_leave_and_return() {
        let mut column = ValueColumn::new(numbers());
        column.grow(8);
        *column.entry(3) = Some(30);
        *column.entry(5) = Some(50);
        let column = returned(column, ValueColumn::new(numbers()), &[5, 4, 3]);
        assert_eq!([column.get(3), column.get(4), column.get(5)], [Some(&30), None, Some(&50)]);

        let mut column = ListColumn::new(numbers());
        column.grow(8);
        column.entry(1).extend([1, 2, 3]);
        column.entry(7).push(7);
        let column = returned(column, ListColumn::new(numbers()), &[7, 2, 1]);
        assert_eq!([column.get(1), column.get(2), column.get(7)], [&[1, 2, 3][..], &[], &[7]]);

        let mut column = MapColumn::new(numbers(), booleans());
        column.grow(8);
        column.entry(0).extend([(1, true), (2, false)]);
        column.entry(6).insert(3, true);
        let column = returned(column, MapColumn::new(numbers(), booleans()), &[6, 1, 0]);
        assert_eq!((column.get(0).get(&1), column.get(0).get(&2), column.get(0).len()), (Some(&true), Some(&false), 2));
        assert_eq!((column.get(6).get(&3), column.get(1).len()), (Some(&true), 0));
    }

    #[test]
    fn a_column_of_another_kind_is_refused() {
        let mut list = ListColumn::new(numbers());
        let error = list.restore(&[], &(Arc::new(BooleanArray::from(vec![true])) as ArrayRef)).unwrap_err();
        assert!(error.to_string().contains("has type Boolean in the checkpoint"), "{error}");
    }
}
