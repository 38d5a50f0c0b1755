//! The rows of every key, in their order: a column of keyed state.

use std::sync::Arc;

use arrow::array::ArrayRef;
use pelton_runtime_core::state::{ColumnError, Slot, StateColumn};

use super::Codecs;

/// A row and its place in the order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) place: Box<[u8]>,
    pub(super) content: Content,
}

/// A row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Content {
    /// As bytes.
    Kept(Box<[u8]>),
    /// In the batch that is looked at.
    New(u32),
}

pub(super) struct Entries {
    codecs: Arc<Codecs>,
    lists: Vec<Vec<Entry>>,
}

impl Entries {
    pub(super) fn new(codecs: Arc<Codecs>) -> Self {
        Self { codecs, lists: Vec::new() }
    }

    pub(super) fn lists_mut(&mut self) -> &mut [Vec<Entry>] {
        &mut self.lists
    }
}

impl Entry {
    /// The row's bytes. Between two batches all are kept.
    fn bytes(&self) -> &[u8] {
        match &self.content {
            Content::Kept(bytes) => bytes,
            Content::New(_) => &[],
        }
    }
}

impl StateColumn for Entries {
    fn grow(&mut self, slots: usize) {
        if slots > self.lists.len() {
            self.lists.resize_with(slots, Vec::new);
        }
    }

    fn is_empty(&self, slot: Slot) -> bool {
        self.lists[slot as usize].is_empty()
    }

    fn snapshot(&mut self, slots: &[Slot]) -> Result<Option<ArrayRef>, ColumnError> {
        let lists = || slots.iter().map(|slot| &self.lists[*slot as usize]);
        Ok(Some(self.codecs.rows.stored(lists().map(Vec::len), lists().flatten().map(Entry::bytes))?))
    }

    fn restore(&mut self, slots: &[Slot], values: &ArrayRef) -> Result<(), ColumnError> {
        let failed = |error| ColumnError::Values(Box::new(error));
        self.grow(slots.iter().map(|slot| *slot as usize + 1).max().unwrap_or(0));
        let (columns, ends) = self.codecs.rows.restored(values)?;
        let rows = self.codecs.rows.encode(&columns).map_err(failed)?;
        let places = self.codecs.places(&columns).map_err(failed)?;
        let entry = |row: usize| Entry {
            place: places.as_ref().map_or_else(Box::default, |places| places.row(row).data().into()),
            content: Content::Kept(rows.row(row).data().into()),
        };
        let mut row = 0;
        for (slot, end) in slots.iter().zip(ends) {
            self.lists[*slot as usize] = (row..end).map(entry).collect();
            row = end;
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
        size_of::<Vec<Entry>>()
    }

    fn add_heap_bytes(&self, slots: &[Slot], bytes: &mut [usize]) {
        for (slot, bytes) in slots.iter().zip(bytes) {
            let of_entry = |entry: &Entry| size_of::<Entry>() + entry.place.len() + entry.bytes().len();
            *bytes += self.lists[*slot as usize].iter().map(of_entry).sum::<usize>();
        }
    }
}
