//! A list of values per slot, whose elements expire one by one.
//!
//! Invariant: the times of a list ascend, so that what has expired is its beginning. A wall clock that is set back
//! makes elements live longer, never shorter.

use std::cell::Cell;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray};
use arrow::datatypes::Field;

use super::{Ttl, UNKNOWN, Used, joined, parted_lists, raise, time_of};
use crate::state::codec::{ColumnError, LIST_ITEM, ValueCodec};
use crate::state::{Slot, StateColumn};
use crate::time::EpochMillis;

#[derive(Debug)]
struct Elements<V> {
    values: Vec<V>,
    used: Vec<Used>,
}

impl<V> Default for Elements<V> {
    fn default() -> Self {
        Self { values: Vec::new(), used: Vec::new() }
    }
}

impl<V> Elements<V> {
    /// How many elements at the beginning have expired.
    #[inline]
    fn over(&self, ttl: Ttl, now: EpochMillis) -> usize {
        // They came back together, before any other was added.
        self.used.iter().take_while(|used| used.get() == UNKNOWN).for_each(|used| used.set(now));
        self.used.partition_point(|used| ttl.is_over(used.get(), now))
    }

    fn drop_over(&mut self, ttl: Ttl, now: EpochMillis) -> bool {
        let over = self.over(ttl, now);
        self.values.drain(..over);
        self.used.drain(..over);
        if self.values.is_empty() {
            *self = Self::default();
        }
        over > 0
    }
}

/// A list of values per slot, which expire.
#[derive(Debug)]
pub struct ExpiringLists<V> {
    lists: Vec<Elements<V>>,
    ttl: Ttl,
    codec: ValueCodec<V>,
}

impl<V> ExpiringLists<V> {
    /// A column without slots.
    pub fn new(ttl: Ttl, codec: ValueCodec<V>) -> Self {
        Self { lists: Vec::new(), ttl, codec }
    }

    /// The slot's list with all elements, expired or not.
    #[inline]
    pub fn get(&self, slot: Slot) -> &[V] {
        &self.lists[slot as usize].values
    }

    /// The elements of the slot's list that have not expired.
    #[inline]
    pub fn live(&self, slot: Slot, now: EpochMillis) -> &[V] {
        let list = &self.lists[slot as usize];
        &list.values[list.over(self.ttl, now)..]
    }

    /// The elements that have not expired are used now.
    pub fn touch(&self, slot: Slot, now: EpochMillis) {
        let list = &self.lists[slot as usize];
        let (over, last) = (list.over(self.ttl, now), list.used.last().map_or(now, Cell::get));
        list.used[over..].iter().for_each(|used| used.set(now.max(last)));
    }

    /// Appends an element.
    #[inline]
    pub fn push(&mut self, slot: Slot, value: V, now: EpochMillis) {
        let list = &mut self.lists[slot as usize];
        list.drop_over(self.ttl, now);
        let last = list.used.last().map_or(now, Cell::get);
        list.values.push(value);
        list.used.push(Used::new(now.max(last)));
    }

    /// Replaces the list.
    pub fn replace(&mut self, slot: Slot, values: Vec<V>, now: EpochMillis) {
        let used = values.iter().map(|_| Used::new(now)).collect();
        self.lists[slot as usize] = Elements { values, used };
    }
}

impl<V: Send + 'static> StateColumn for ExpiringLists<V> {
    fn grow(&mut self, slots: usize) {
        if slots > self.lists.len() {
            self.lists.resize_with(slots, Elements::default);
        }
    }

    fn is_empty(&self, slot: Slot) -> bool {
        self.lists[slot as usize].values.is_empty()
    }

    fn snapshot(&mut self, slots: &[Slot]) -> Result<Option<ArrayRef>, ColumnError> {
        let lists: Vec<Option<&[V]>> = slots.iter().map(|slot| Some(self.get(*slot))).collect();
        let lists = self.codec.encode_lists(&lists)?;
        let lists = lists.as_list::<i32>();
        let used = slots.iter().flat_map(|slot| self.lists[*slot as usize].used.iter().map(Cell::get));
        let items = joined(lists.values().clone(), used)?;
        let item = Arc::new(Field::new(LIST_ITEM, items.data_type().clone(), true));
        Ok(Some(Arc::new(ListArray::try_new(item, lists.offsets().clone(), items, lists.nulls().cloned())?)))
    }

    fn restore(&mut self, slots: &[Slot], values: &ArrayRef) -> Result<(), ColumnError> {
        let (lists, used) = parted_lists(values)?;
        let mut element = 0;
        for (slot, list) in slots.iter().zip(self.codec.decode_lists(&lists)?) {
            let values = list.unwrap_or_default();
            let times = (element..element + values.len()).map(|row| Used::new(time_of(used.as_ref(), row))).collect();
            element += values.len();
            self.lists[*slot as usize] = Elements { values, used: times };
        }
        Ok(())
    }

    fn is_evictable(&self) -> bool {
        true
    }

    fn clear(&mut self, slots: &[Slot]) {
        slots.iter().for_each(|slot| self.lists[*slot as usize] = Elements::default());
    }

    fn slot_bytes(&self) -> usize {
        size_of::<Elements<V>>()
    }

    fn add_heap_bytes(&self, slots: &[Slot], bytes: &mut [usize]) {
        for (slot, bytes) in slots.iter().zip(bytes) {
            let list = &self.lists[*slot as usize];
            *bytes += list.values.capacity() * size_of::<V>() + list.used.capacity() * size_of::<Used>();
            *bytes += self.codec.heap_bytes_of(list.values.iter());
        }
    }

    fn time_to_live(&self) -> Option<Ttl> {
        Some(self.ttl)
    }

    fn raise_expiry(&self, slots: &[Slot], now: EpochMillis, times: &mut [EpochMillis]) {
        for (slot, time) in slots.iter().zip(times) {
            self.lists[*slot as usize].used.iter().for_each(|used| raise(time, used, self.ttl, now));
        }
    }

    fn expire(&mut self, slots: Range<Slot>, now: EpochMillis, emptied: &mut Vec<Slot>) {
        for slot in slots {
            let list = &mut self.lists[slot as usize];
            if !list.values.is_empty() && list.drop_over(self.ttl, now) {
                emptied.push(slot);
            }
        }
    }
}
