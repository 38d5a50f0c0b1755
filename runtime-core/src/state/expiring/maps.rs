//! A map per slot, whose entries expire one by one.

use std::hash::Hash;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, ListArray, StructArray};
use arrow::datatypes::{DataType, Field, Fields};

use super::{Ttl, UNKNOWN, USED, Used, is_over, raise, time_of};
use crate::state::codec::{ColumnError, LIST_ITEM, ValueCodec, offsets};
use crate::state::column::{MapColumn, StateMap};
use crate::state::{Slot, StateColumn};
use crate::time::EpochMillis;

#[derive(Debug)]
struct Entry<V> {
    value: V,
    used: Used,
}

/// A map per slot, whose entries expire.
#[derive(Debug)]
pub struct ExpiringMaps<K, V> {
    maps: Vec<StateMap<K, Entry<V>>>,
    ttl: Ttl,
    keys: ValueCodec<K>,
    values: ValueCodec<V>,
}

impl<K: Eq + Hash, V> ExpiringMaps<K, V> {
    /// A column without slots.
    pub fn new(ttl: Ttl, keys: ValueCodec<K>, values: ValueCodec<V>) -> Self {
        Self { maps: Vec::new(), ttl, keys, values }
    }

    /// The value under `key` and whether it has expired; `touch` makes the read of one that has not a use.
    #[inline]
    pub fn get(&self, slot: Slot, key: &K, now: EpochMillis, touch: bool) -> Option<(&V, bool)> {
        let entry = self.maps[slot as usize].get(key)?;
        Some((&entry.value, self.read(entry, now, touch)))
    }

    /// Every entry and whether it has expired; `touch` makes the read of those that have not a use.
    pub fn iter(&self, slot: Slot, now: EpochMillis, touch: bool) -> impl Iterator<Item = (&K, &V, bool)> {
        let entries = self.maps[slot as usize].iter();
        entries.map(move |(key, entry)| (key, &entry.value, self.read(entry, now, touch)))
    }

    #[inline]
    fn read(&self, entry: &Entry<V>, now: EpochMillis, touch: bool) -> bool {
        let over = is_over(&entry.used, self.ttl, now);
        if touch && !over {
            entry.used.set(now);
        }
        over
    }

    /// Sets the value under `key`.
    #[inline]
    pub fn insert(&mut self, slot: Slot, key: K, value: V, now: EpochMillis) {
        self.maps[slot as usize].insert(key, Entry { value, used: Used::new(now) });
    }

    /// Removes the value under `key`; answers with it when it has not expired.
    pub fn remove(&mut self, slot: Slot, key: &K, now: EpochMillis) -> Option<V> {
        let entry = self.maps[slot as usize].remove(key)?;
        (!is_over(&entry.used, self.ttl, now)).then_some(entry.value)
    }

    /// Removes every entry.
    pub fn clear(&mut self, slot: Slot) {
        self.maps[slot as usize] = StateMap::default();
    }
}

impl<K: Eq + Hash + Send + 'static, V: Send + 'static> StateColumn for ExpiringMaps<K, V> {
    fn grow(&mut self, slots: usize) {
        if slots > self.maps.len() {
            self.maps.resize_with(slots, StateMap::default);
        }
    }

    fn is_empty(&self, slot: Slot) -> bool {
        self.maps[slot as usize].is_empty()
    }

    fn snapshot(&mut self, slots: &[Slot]) -> Result<Option<ArrayRef>, ColumnError> {
        let entries = || slots.iter().flat_map(|slot| &self.maps[*slot as usize]);
        let keys: Vec<Option<&K>> = entries().map(|(key, _)| Some(key)).collect();
        let values: Vec<Option<&V>> = entries().map(|(_, entry)| Some(&entry.value)).collect();
        let times = entries().map(|(_, entry)| Some(entry.used.get()).filter(|used| *used != UNKNOWN));
        let times: ArrayRef = Arc::new(times.collect::<Int64Array>());
        let mut fields = MapColumn::entry_fields(&self.keys, &self.values).to_vec();
        fields.push(Arc::new(Field::new(USED, DataType::Int64, true)));
        let columns = vec![self.keys.encode(&keys)?, self.values.encode(&values)?, times];
        let entries = StructArray::try_new(Fields::from(fields), columns, None)?;
        let offsets = offsets(slots.iter().map(|slot| self.maps[*slot as usize].len()))?;
        let item = Arc::new(Field::new(LIST_ITEM, entries.data_type().clone(), false));
        Ok(Some(Arc::new(ListArray::try_new(item, offsets, Arc::new(entries), None)?)))
    }

    fn restore(&mut self, slots: &[Slot], values: &ArrayRef) -> Result<(), ColumnError> {
        let (maps, used) = parted(values)?;
        let (lengths, keys, values) = MapColumn::decode(&maps, &self.keys, &self.values)?;
        let mut entries = keys.into_iter().zip(values).enumerate();
        for (slot, length) in slots.iter().zip(lengths) {
            let map = &mut self.maps[*slot as usize];
            for (row, (key, value)) in entries.by_ref().take(length) {
                map.insert(key, Entry { value, used: Used::new(time_of(used.as_ref(), row)) });
            }
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
        size_of::<StateMap<K, Entry<V>>>()
    }

    fn add_heap_bytes(&self, slots: &[Slot], bytes: &mut [usize]) {
        for (slot, bytes) in slots.iter().zip(bytes) {
            let map = &self.maps[*slot as usize];
            *bytes += map.allocation_size() + self.keys.heap_bytes_of(map.keys());
            *bytes += self.values.heap_bytes_of(map.values().map(|entry| &entry.value));
        }
    }

    fn time_to_live(&self) -> Option<Ttl> {
        Some(self.ttl)
    }

    fn raise_expiry(&self, slots: &[Slot], now: EpochMillis, times: &mut [EpochMillis]) {
        for (slot, time) in slots.iter().zip(times) {
            self.maps[*slot as usize].values().for_each(|entry| raise(time, &entry.used, self.ttl, now));
        }
    }

    fn expire(&mut self, slots: Range<Slot>, now: EpochMillis, emptied: &mut Vec<Slot>) {
        for slot in slots {
            let map = &mut self.maps[slot as usize];
            if map.is_empty() {
                continue;
            }
            map.retain(|_, entry| !is_over(&entry.used, self.ttl, now));
            if map.is_empty() {
                *map = StateMap::default();
                emptied.push(slot);
            }
        }
    }
}

/// The maps of a column that may have times beside their entries, and the times of all entries, the first of which
/// belongs to the first map's first entry.
pub(super) fn parted(column: &ArrayRef) -> Result<(ArrayRef, Option<ArrayRef>), ColumnError> {
    let with_times = column.as_list_opt::<i32>().and_then(|maps| Some((maps, maps.values().as_struct_opt()?)));
    let Some((maps, entries)) = with_times else { return Ok((column.clone(), None)) };
    let Some(used) = entries.column_by_name(USED) else { return Ok((column.clone(), None)) };
    let kept = entries.fields().iter().zip(entries.columns()).filter(|(field, _)| field.name() != USED);
    let (fields, columns): (Vec<_>, Vec<_>) = kept.map(|(field, column)| (field.clone(), column.clone())).unzip();
    let fields = Fields::from(fields);
    let without = StructArray::try_new(fields.clone(), columns, entries.nulls().cloned())?;
    let item = Arc::new(Field::new(LIST_ITEM, DataType::Struct(fields), false));
    let (first, last) = (maps.value_offsets()[0] as usize, maps.value_offsets()[maps.len()] as usize);
    let without = ListArray::try_new(item, maps.offsets().clone(), Arc::new(without), maps.nulls().cloned())?;
    Ok((Arc::new(without), Some(used.slice(first, last - first))))
}
