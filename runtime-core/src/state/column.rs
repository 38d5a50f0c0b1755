//! The columns of a table: one value, list or map per slot.
//!
//! A column grows with its table and never shrinks; a slot that is freed is cleared first. What a state kind means to a
//! user (reducing, aggregating) is decided above; here is only where it is kept.

use std::any::Any;

use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::Slot;

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
}

/// At most one value per slot.
#[derive(Debug)]
pub struct ValueColumn<V> {
    values: Vec<Option<V>>,
}

impl<V> Default for ValueColumn<V> {
    fn default() -> Self {
        Self { values: Vec::new() }
    }
}

impl<V> ValueColumn<V> {
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
}

/// A list of values per slot.
#[derive(Debug)]
pub struct ListColumn<V> {
    lists: Vec<Vec<V>>,
}

impl<V> Default for ListColumn<V> {
    fn default() -> Self {
        Self { lists: Vec::new() }
    }
}

impl<V> ListColumn<V> {
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
}

/// A map's hasher, the same in every run so that simulations replay.
pub type StateMap<K, V> = HashMap<K, V, FixedState>;

/// A map per slot. An empty one takes no memory beyond its header.
#[derive(Debug)]
pub struct MapColumn<K, V> {
    maps: Vec<StateMap<K, V>>,
}

impl<K, V> Default for MapColumn<K, V> {
    fn default() -> Self {
        Self { maps: Vec::new() }
    }
}

impl<K, V> MapColumn<K, V> {
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

impl<K: Send + 'static, V: Send + 'static> StateColumn for MapColumn<K, V> {
    fn grow(&mut self, slots: usize) {
        if slots > self.maps.len() {
            self.maps.resize_with(slots, StateMap::default);
        }
    }

    fn is_empty(&self, slot: Slot) -> bool {
        self.maps[slot as usize].is_empty()
    }
}
