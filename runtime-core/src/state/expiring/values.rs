//! At most one value per slot.

use std::ops::Range;

use arrow::array::ArrayRef;

use super::{Ttl, UNKNOWN, Used, is_over, joined, parted, raise, time_of};
use crate::state::codec::{ColumnError, ValueCodec};
use crate::state::{Slot, StateColumn};
use crate::time::EpochMillis;

/// At most one value per slot, which expires.
#[derive(Debug)]
pub struct ExpiringValues<V> {
    values: Vec<Option<V>>,
    used: Vec<Used>,
    ttl: Ttl,
    codec: ValueCodec<V>,
}

impl<V> ExpiringValues<V> {
    /// A column without slots.
    pub fn new(ttl: Ttl, codec: ValueCodec<V>) -> Self {
        Self { values: Vec::new(), used: Vec::new(), ttl, codec }
    }

    /// The slot's value, expired or not.
    #[inline]
    pub fn get(&self, slot: Slot) -> Option<&V> {
        self.values[slot as usize].as_ref()
    }

    /// Whether the slot's value has expired.
    #[inline]
    pub fn is_over(&self, slot: Slot, now: EpochMillis) -> bool {
        is_over(&self.used[slot as usize], self.ttl, now)
    }

    /// The slot's value is used now.
    #[inline]
    pub fn touch(&self, slot: Slot, now: EpochMillis) {
        self.used[slot as usize].set(now);
    }

    /// The slot's value, if it has not expired, to be changed, set or removed in place. That is a use.
    #[inline]
    pub fn entry(&mut self, slot: Slot, now: EpochMillis) -> &mut Option<V> {
        let value = &mut self.values[slot as usize];
        if value.is_some() && is_over(&self.used[slot as usize], self.ttl, now) {
            *value = None;
        }
        self.used[slot as usize].set(now);
        value
    }
}

impl<V: Send + 'static> StateColumn for ExpiringValues<V> {
    fn grow(&mut self, slots: usize) {
        if slots > self.values.len() {
            self.values.resize_with(slots, || None);
            self.used.resize_with(slots, || Used::new(UNKNOWN));
        }
    }

    fn is_empty(&self, slot: Slot) -> bool {
        self.values[slot as usize].is_none()
    }

    fn snapshot(&mut self, slots: &[Slot]) -> Result<Option<ArrayRef>, ColumnError> {
        let values: Vec<Option<&V>> = slots.iter().map(|slot| self.get(*slot)).collect();
        let used = slots.iter().map(|slot| self.used[*slot as usize].get());
        joined(self.codec.encode(&values)?, used).map(Some)
    }

    fn restore(&mut self, slots: &[Slot], values: &ArrayRef) -> Result<(), ColumnError> {
        let (values, used) = parted(values);
        for (row, (slot, value)) in slots.iter().zip(self.codec.decode(&values)?).enumerate() {
            self.values[*slot as usize] = value;
            self.used[*slot as usize].set(time_of(used.as_ref(), row));
        }
        Ok(())
    }

    fn is_evictable(&self) -> bool {
        true
    }

    fn clear(&mut self, slots: &[Slot]) {
        for slot in slots {
            self.values[*slot as usize] = None;
            self.used[*slot as usize].set(UNKNOWN);
        }
    }

    fn slot_bytes(&self) -> usize {
        size_of::<Option<V>>() + size_of::<Used>()
    }

    fn add_heap_bytes(&self, slots: &[Slot], bytes: &mut [usize]) {
        for (slot, bytes) in slots.iter().zip(bytes) {
            *bytes += self.get(*slot).map_or(0, |value| self.codec.heap_bytes(value));
        }
    }

    fn time_to_live(&self) -> Option<Ttl> {
        Some(self.ttl)
    }

    fn raise_expiry(&self, slots: &[Slot], now: EpochMillis, times: &mut [EpochMillis]) {
        for (slot, time) in slots.iter().zip(times).filter(|(slot, _)| !self.is_empty(**slot)) {
            raise(time, &self.used[*slot as usize], self.ttl, now);
        }
    }

    fn expire(&mut self, slots: Range<Slot>, now: EpochMillis, emptied: &mut Vec<Slot>) {
        let range = slots.start as usize..slots.end as usize;
        let entries = self.values[range.clone()].iter_mut().zip(&self.used[range]);
        for (slot, (value, used)) in slots.zip(entries) {
            if value.is_some() && is_over(used, self.ttl, now) {
                *value = None;
                emptied.push(slot);
            }
        }
    }
}
