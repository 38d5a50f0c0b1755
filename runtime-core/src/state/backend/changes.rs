//! Which keys of a table have changed, by the barriers between which they did: what an incremental checkpoint writes.
//!
//! ```text
//!  ── epoch, ended by checkpoint 7 ── 7 ── epoch, ended by 8 ── 8 ── since the last barrier ──►
//!     changed slots, removed keys          changed, removed         changed, removed, born
//! ```
//!
//! A slot of an epoch may have another key by now: the key that it has is in it since then, so it has changed, too. A key that is
//! born and removed between two barriers was in no checkpoint, and is in no list.
//!
//! Invariant: the epochs behind a checkpoint together have at least every key that is not what it was then.

use std::collections::BTreeSet;

use crate::element::CheckpointId;
use crate::state::cold::ByteRows;
use crate::state::{KeyIndex, NO_SLOT, Slot};

/// The changes of one table.
#[derive(Debug, Default)]
pub(super) struct Changes {
    current: Epoch,
    /// Slots whose keys are not older than the last barrier.
    born: Bits,
    /// Whether a barrier has seen the table.
    seen: bool,
    /// What was before the last barrier, ascending.
    past: Vec<(CheckpointId, Epoch)>,
}

#[derive(Debug, Default)]
struct Epoch {
    changed: Bits,
    removed: ByteRows,
}

impl Changes {
    /// These slots are being used, and may be changed.
    #[inline]
    pub(super) fn touch(&mut self, index: &KeyIndex, slots: &[Slot]) {
        self.current.changed.grow(index.slot_count());
        slots.iter().for_each(|slot| self.current.changed.set(*slot));
    }

    /// The same, where keys without a slot are among them.
    pub(super) fn touch_known(&mut self, index: &KeyIndex, slots: &[Slot]) {
        self.current.changed.grow(index.slot_count());
        slots.iter().filter(|slot| **slot != NO_SLOT).for_each(|slot| self.current.changed.set(*slot));
    }

    /// The same of the slots that the index has just answered, of which some may be new.
    #[inline]
    pub(super) fn resolved(&mut self, index: &KeyIndex, slots: &[Slot]) {
        if !index.fresh().is_empty() {
            self.born.grow(index.slot_count());
            index.fresh().iter().for_each(|slot| self.born.set(*slot));
        }
        self.touch(index, slots);
    }

    /// The keys in these slots are about to be forgotten.
    pub(super) fn forget(&mut self, index: &KeyIndex, slots: &[Slot]) {
        for slot in slots {
            if !self.born.take(*slot) {
                self.current.removed.push_with(|bytes| index.append_key(*slot, bytes));
            }
        }
    }

    /// Whether some checkpoint may have keys of the table.
    pub(super) fn is_saved(&self) -> bool {
        self.seen
    }

    /// The barrier of a checkpoint, whose snapshot has been taken.
    pub(super) fn end_epoch(&mut self, checkpoint: CheckpointId) {
        self.past.push((checkpoint, std::mem::take(&mut self.current)));
        self.born.clear();
        self.seen = true;
    }

    /// Nothing is asked for since another barrier than these, or since one before `oldest`.
    pub(super) fn keep(&mut self, oldest: CheckpointId, barriers: &BTreeSet<CheckpointId>) {
        let mut kept: Vec<(CheckpointId, Epoch)> = Vec::new();
        for (ended_by, epoch) in self.past.drain(..).filter(|(ended_by, _)| *ended_by > oldest) {
            let ended_by = barriers.range(ended_by..).next().copied().unwrap_or(ended_by);
            match kept.last_mut().filter(|(last, _)| *last == ended_by) {
                Some((_, last)) => last.add(&epoch),
                None => kept.push((ended_by, epoch)),
            }
        }
        self.past = kept;
    }

    /// How many keys have changed or were removed since a barrier, at most.
    pub(super) fn count(&self, since: CheckpointId) -> usize {
        self.changed(since).count() + self.epochs(since).map(|epoch| epoch.removed.len()).sum::<usize>()
    }

    /// The slots that have changed since a barrier; some may be free.
    pub(super) fn changed(&self, since: CheckpointId) -> Bits {
        let mut all = self.current.changed.clone();
        self.epochs(since).for_each(|epoch| all.add(&epoch.changed));
        all
    }

    /// The keys that were removed since a barrier; some may be there again.
    pub(super) fn removed(&self, since: CheckpointId) -> impl Iterator<Item = &[u8]> {
        self.epochs(since).flat_map(|epoch| epoch.removed.iter())
    }

    /// How many keys are on the lists of those that were removed.
    pub(super) fn removed_count(&self) -> usize {
        self.past.iter().map(|(_, epoch)| epoch.removed.len()).sum()
    }

    fn epochs(&self, since: CheckpointId) -> impl Iterator<Item = &Epoch> {
        self.past.iter().filter(move |(ended_by, _)| *ended_by > since).map(|(_, epoch)| epoch).chain([&self.current])
    }
}

impl Epoch {
    fn add(&mut self, later: &Self) {
        self.changed.add(&later.changed);
        later.removed.iter().for_each(|key| self.removed.push(key));
    }
}

/// A set of slots.
#[derive(Debug, Default, Clone)]
pub(super) struct Bits(Vec<u64>);

impl Bits {
    #[inline]
    fn grow(&mut self, slots: usize) {
        let words = slots.div_ceil(64);
        if words > self.0.len() {
            self.0.resize(words, 0);
        }
    }

    #[inline]
    fn set(&mut self, slot: Slot) {
        self.0[(slot >> 6) as usize] |= 1 << (slot & 63);
    }

    /// Whether the slot is in the set.
    pub(super) fn has(&self, slot: Slot) -> bool {
        self.0.get((slot >> 6) as usize).is_some_and(|word| word & (1 << (slot & 63)) != 0)
    }

    fn take(&mut self, slot: Slot) -> bool {
        let had = self.has(slot);
        if had {
            self.0[(slot >> 6) as usize] &= !(1 << (slot & 63));
        }
        had
    }

    fn clear(&mut self) {
        self.0.fill(0);
    }

    fn add(&mut self, other: &Self) {
        self.grow(other.0.len() * 64);
        self.0.iter_mut().zip(&other.0).for_each(|(word, other)| *word |= other);
    }

    fn count(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// The slots in the set, ascending.
    pub(super) fn slots(&self) -> impl Iterator<Item = Slot> + '_ {
        (0..).zip(&self.0).filter(|(_, word)| **word != 0).flat_map(|(index, word)| {
            (0..64).filter(move |bit| word & (1 << bit) != 0).map(move |bit| index * 64 + bit)
        })
    }
}
