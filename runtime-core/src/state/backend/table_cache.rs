//! What a table must know of its slots to be a cache of a store: which are used, which differ from their rows, which
//! were wanted lately, and what they weigh.
//!
//! ```text
//!  slots of a batch ──► fresh ones are read from the store ──► all count as changed, and get warmer
//!  too much is held ──► the hand goes round: warm slots get colder, cold ones are written and freed
//! ```
//!
//! A new slot is cold: a key that is seen once leaves before one that is seen often.
//!
//! Invariants: a slot in use has the flag `USED`, others have none; a slot without `DIRTY` holds what its row holds, or
//! has no row and is empty; a slot without `STORED` has no row.

use std::sync::Arc;

use parking_lot::Mutex;

use super::Namespace;
use super::cold_part::ColdPart;
use crate::state::key_index::SLOT_BYTES;
use crate::state::{KeyIndex, Slot, StateColumn, StateError};

const USED: u8 = 1;
const DIRTY: u8 = 1 << 1;
const STORED: u8 = 1 << 2;
/// How often the hand spares a slot, in the bits above.
const WARMER: u8 = 1 << 4;
const HOTTEST: u8 = 3 << 4;

/// Bytes that this file keeps for every slot.
const OWN_SLOT_BYTES: usize = size_of::<u8>() + size_of::<u32>();

/// How many candidates are looked at between two writes.
const CANDIDATES: usize = 4096;

/// The cache side of one table.
pub(super) struct TableCache {
    pub(super) namespace: Namespace,
    cold: Arc<Mutex<ColdPart>>,
    names: Arc<[String]>,
    flags: Vec<u8>,
    /// What every slot weighs beside `slot_bytes`.
    weights: Vec<u32>,
    slot_bytes: usize,
    used_slots: usize,
    weight: usize,
    /// Slots whose weight may have changed.
    touched: Vec<Slot>,
    hand: usize,
    /// Whether keys of the namespace may have rows.
    has_rows: bool,
    /// Whether keys of the namespace may have rows and no slot.
    is_spilled: bool,
    /// When the table was last used, by the backend's count.
    pub(super) last_use: u64,
    scratch: Vec<usize>,
}

impl TableCache {
    pub(super) fn new(
        namespace: Namespace,
        cold: Arc<Mutex<ColdPart>>,
        names: Arc<[String]>,
        columns: &[Box<dyn StateColumn>],
    ) -> Self {
        let of_columns: usize = columns.iter().map(|column| column.slot_bytes()).sum();
        Self {
            namespace,
            cold,
            names,
            flags: Vec::new(),
            weights: Vec::new(),
            slot_bytes: of_columns + SLOT_BYTES + OWN_SLOT_BYTES,
            used_slots: 0,
            weight: 0,
            touched: Vec::new(),
            hand: 0,
            has_rows: false,
            is_spilled: false,
            last_use: 0,
            scratch: Vec::new(),
        }
    }

    /// Whether keys of the namespace may have rows and no slot.
    pub(super) fn is_spilled(&self) -> bool {
        self.is_spilled
    }

    /// The store has got rows of the namespace that were never here.
    pub(super) fn note_rows(&mut self) {
        (self.has_rows, self.is_spilled) = (true, true);
    }

    /// What the table holds on the heap, as of the last [`measure`](Self::measure).
    pub(super) fn held_bytes(&self) -> usize {
        self.used_slots * self.slot_bytes + self.weight
    }

    /// Takes in the slots that the index has just answered, of which new ones get what the store has of their keys.
    pub(super) fn resolved(
        &mut self,
        index: &KeyIndex,
        columns: &mut [Box<dyn StateColumn>],
        slots: &[Slot],
    ) -> Result<(), StateError> {
        self.admit(index);
        if self.is_spilled && !index.fresh().is_empty() {
            let found = self.cold.lock().read(self.namespace, index, columns, &self.names, index.fresh())?;
            found.iter().for_each(|slot| self.flags[*slot as usize] |= STORED);
        }
        self.touch(slots);
        Ok(())
    }

    /// Takes in new slots of which the store has nothing.
    pub(super) fn admit(&mut self, index: &KeyIndex) {
        if index.slot_count() > self.flags.len() {
            self.flags.resize(index.slot_count(), 0);
            self.weights.resize(index.slot_count(), 0);
        }
        index.fresh().iter().for_each(|slot| self.flags[*slot as usize] = USED);
        self.used_slots += index.fresh().len();
    }

    /// These slots are being used, and may be changed.
    pub(super) fn touch(&mut self, slots: &[Slot]) {
        for slot in slots {
            let flags = &mut self.flags[*slot as usize];
            *flags |= DIRTY;
            if *flags < HOTTEST {
                *flags += WARMER;
            }
        }
        self.touched.extend_from_slice(slots);
    }

    /// Those of `slots` that have no row.
    pub(super) fn without_row(&self, slots: &[Slot]) -> Vec<Slot> {
        slots.iter().copied().filter(|slot| self.flags[*slot as usize] & STORED == 0).collect()
    }

    /// These slots are about to be freed, and their rows with them.
    pub(super) fn forget(&mut self, index: &KeyIndex, slots: &[Slot]) {
        for slot in slots {
            if self.flags[*slot as usize] & STORED != 0 {
                self.cold.lock().remove(index, *slot, self.namespace);
            }
            self.release(*slot);
        }
    }

    fn release(&mut self, slot: Slot) {
        self.flags[slot as usize] = 0;
        self.weight -= std::mem::take(&mut self.weights[slot as usize]) as usize;
        self.used_slots -= 1;
    }

    /// Weighs what was touched since the last time; answers what the table holds.
    pub(super) fn measure(&mut self, index: &KeyIndex, columns: &[Box<dyn StateColumn>]) -> usize {
        let mut touched = std::mem::take(&mut self.touched);
        touched.retain(|slot| self.flags[*slot as usize] & USED != 0);
        self.scratch.clear();
        self.scratch.resize(touched.len(), 0);
        columns.iter().for_each(|column| column.add_heap_bytes(&touched, &mut self.scratch));
        for (slot, bytes) in touched.iter().zip(&self.scratch) {
            let weight = u32::try_from(bytes + index.key_bytes(*slot)).unwrap_or(u32::MAX);
            let before = std::mem::replace(&mut self.weights[*slot as usize], weight);
            self.weight = self.weight + weight as usize - before as usize;
        }
        touched.clear();
        self.touched = touched;
        self.held_bytes()
    }

    /// Writes away and frees slots until the table holds at most `bytes`.
    pub(super) fn shrink_to(
        &mut self,
        bytes: usize,
        index: &mut KeyIndex,
        columns: &mut [Box<dyn StateColumn>],
    ) -> Result<(), StateError> {
        let mut steps = self.flags.len() * (usize::from(HOTTEST / WARMER) + 1);
        let mut candidates = Vec::new();
        while self.held_bytes() > bytes && steps > 0 {
            candidates.clear();
            let mut leaving = 0;
            let excess = self.held_bytes() - bytes;
            while steps > 0 && candidates.len() < CANDIDATES && leaving < excess {
                steps -= 1;
                let slot = self.hand;
                self.hand = (slot + 1) % self.flags.len();
                let flags = &mut self.flags[slot];
                if *flags & USED == 0 {
                    continue;
                }
                if *flags >= 2 * WARMER {
                    *flags -= WARMER;
                    continue;
                }
                candidates.push(slot as Slot);
                leaving += self.slot_bytes + self.weights[slot] as usize;
            }
            // The hand may have passed a slot twice.
            candidates.sort_unstable();
            candidates.dedup();
            self.evict(&candidates, index, columns)?;
        }
        Ok(())
    }

    /// Writes away and frees all slots.
    pub(super) fn evict_all(
        &mut self,
        index: &mut KeyIndex,
        columns: &mut [Box<dyn StateColumn>],
    ) -> Result<(), StateError> {
        let used = |slot: &Slot| self.flags[*slot as usize] & USED != 0;
        let slots: Vec<Slot> = (0..self.flags.len() as Slot).filter(used).collect();
        self.evict(&slots, index, columns)
    }

    fn evict(
        &mut self,
        slots: &[Slot],
        index: &mut KeyIndex,
        columns: &mut [Box<dyn StateColumn>],
    ) -> Result<(), StateError> {
        self.write_back(slots, index, columns)?;
        self.is_spilled |= slots.iter().any(|slot| self.flags[*slot as usize] & STORED != 0);
        columns.iter_mut().for_each(|column| column.clear(slots));
        slots.iter().for_each(|slot| self.release(*slot));
        index.remove(slots);
        Ok(())
    }

    /// Writes those of `slots` that differ from their rows.
    fn write_back(
        &mut self,
        slots: &[Slot],
        index: &KeyIndex,
        columns: &mut [Box<dyn StateColumn>],
    ) -> Result<(), StateError> {
        let dirty: Vec<Slot> = slots.iter().copied().filter(|slot| self.flags[*slot as usize] & DIRTY != 0).collect();
        if dirty.is_empty() {
            return Ok(());
        }
        self.cold.lock().write(self.namespace, index, columns, &self.names, &dirty)?;
        self.has_rows = true;
        for slot in dirty {
            let flags = &mut self.flags[slot as usize];
            *flags = (*flags & !DIRTY) | STORED;
        }
        Ok(())
    }

    /// Writes all slots that differ from their rows, and keeps them.
    pub(super) fn flush(&mut self, index: &KeyIndex, columns: &mut [Box<dyn StateColumn>]) -> Result<(), StateError> {
        let slots: Vec<Slot> = (0..self.flags.len() as Slot).collect();
        self.write_back(&slots, index, columns)
    }

    /// Forgets slots that are gone with their table, of which none was in use.
    pub(super) fn reset(&mut self) {
        self.flags = Vec::new();
        self.weights = Vec::new();
        self.touched = Vec::new();
        self.hand = 0;
    }

    /// Forgets the rows of the namespace.
    pub(super) fn remove_rows(&mut self) -> Result<(), StateError> {
        if self.has_rows { self.cold.lock().remove_namespace(self.namespace) } else { Ok(()) }
    }
}
