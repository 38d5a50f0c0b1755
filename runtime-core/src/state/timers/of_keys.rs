//! The timers of keys without windows, wherever the backend keeps its state.

use arrow::array::{ArrayRef, RecordBatch};

use super::{StoredTimers, TimerQueue};
use crate::checkpoint::snapshot::{OperatorSnapshot, RestoredState};
use crate::state::cold::ByteRows;
use crate::state::{KeyIndex, KeyedStateBackend, Namespace, Slot, StateError};
use crate::time::EpochMillis;

/// The timers of one clock, made by [`KeyedStateBackend::timers`].
#[derive(Debug)]
pub enum KeyTimers {
    /// They name slots, which have to stay as long as they have timers.
    Heap(TimerQueue),
    /// They name keys.
    Stored(Box<StoredTimers>),
}

/// Some keys that have timers which are due.
#[derive(Debug)]
pub struct Due {
    /// The keys' columns.
    pub columns: Vec<ArrayRef>,
    /// Their slots.
    pub slots: Vec<Slot>,
    /// How stored timers name them, in order.
    pub(super) keys: ByteRows,
}

impl Due {
    /// Which key this is.
    pub(super) fn find(&self, group_and_key: &[u8]) -> Option<usize> {
        let (mut low, mut high) = (0, self.keys.len());
        while low < high {
            let middle = low + (high - low) / 2;
            match self.keys.get(middle).cmp(group_and_key) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Equal => return Some(middle),
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        None
    }
}

impl KeyTimers {
    /// Registers a timer; answers whether the slot has to stay for one timer more.
    pub fn register(&mut self, time: EpochMillis, index: &KeyIndex, slot: Slot) -> bool {
        match self {
            Self::Heap(timers) => timers.register(time, (), slot),
            Self::Stored(timers) => {
                timers.register(time, index, slot);
                false
            }
        }
    }

    /// Deletes a timer, if it is there; answers whether the slot has to stay for one timer less.
    pub fn delete(&mut self, time: EpochMillis, index: &KeyIndex, slot: Slot) -> bool {
        match self {
            Self::Heap(timers) => timers.delete(time, (), slot),
            Self::Stored(timers) => {
                timers.delete(time, index, slot);
                false
            }
        }
    }

    /// No timer is due before this time; there may be none then either.
    pub fn next(&self) -> Option<EpochMillis> {
        match self {
            Self::Heap(timers) => timers.next(),
            Self::Stored(timers) => timers.next(),
        }
    }

    /// The keys of the first timers that are due at `time`, of `limit` timers at most; none when none is due. Their
    /// slots are in the backend's table without a window, and count as used.
    ///
    /// # Errors
    ///
    /// When the store refuses.
    pub fn due(
        &mut self,
        time: EpochMillis,
        limit: usize,
        backend: &mut KeyedStateBackend,
    ) -> Result<Option<Due>, StateError> {
        let timers = match self {
            Self::Stored(timers) => return timers.due(time, limit, backend),
            Self::Heap(timers) => timers,
        };
        let due = timers.iter().take_while(|timer| timer.0 <= time).take(limit);
        let mut slots: Vec<Slot> = due.map(|timer| timer.2).collect();
        let Some(table) = backend.existing_mut(Namespace::Void).filter(|_| !slots.is_empty()) else { return Ok(None) };
        slots.sort_unstable();
        slots.dedup();
        table.touch(&slots);
        Ok(Some(Due { columns: table.index().columns(&slots)?, slots, keys: ByteRows::default() }))
    }

    /// Takes the earliest timer that is due at `time`: when it was due, and which of the keys it is of. None when it is of
    /// another: [`due`](Self::due) says of which. Timers that are registered while earlier ones fire take part.
    pub fn pop(&mut self, time: EpochMillis, due: &Due) -> Option<(EpochMillis, usize)> {
        match self {
            Self::Stored(timers) => timers.pop(time, due),
            Self::Heap(timers) => {
                let (at, (), slot) = timers.first().filter(|timer| timer.0 <= time)?;
                let row = due.slots.binary_search(&slot).ok()?;
                timers.pop_due(time);
                Some((at, row))
            }
        }
    }

    /// Keeps what is in memory within its bounds; called between two batches.
    ///
    /// # Errors
    ///
    /// When the store refuses.
    pub fn settle(&mut self) -> Result<(), StateError> {
        match self {
            Self::Heap(_) => Ok(()),
            Self::Stored(timers) => timers.settle(),
        }
    }

    /// Adds every timer to `snapshot`, as a table of this name. The [state of the keys](KeyedStateBackend::save) is added after
    /// that: where it leaves as files or as layers, timers are in them.
    ///
    /// # Errors
    ///
    /// When the keys cannot become columns, or the store refuses.
    pub fn save(
        &mut self,
        name: &str,
        backend: &KeyedStateBackend,
        max_parallelism: u32,
        snapshot: &mut OperatorSnapshot,
    ) -> Result<(), StateError> {
        match self {
            Self::Heap(timers) => backend.save_timers(timers, name, max_parallelism, snapshot),
            Self::Stored(timers) => timers.save(name, snapshot),
        }
    }

    /// Adds every timer to `snapshot` if that consists of the store's files, in which the timers' rows are anyway; for
    /// timers that can be told from the keys' state.
    ///
    /// # Errors
    ///
    /// When the store refuses.
    pub fn save_in_files(&mut self, name: &str, snapshot: &mut OperatorSnapshot) -> Result<(), StateError> {
        match self {
            Self::Stored(timers) if timers.leave_in_files() => timers.save(name, snapshot),
            _ => Ok(()),
        }
    }

    /// Takes back the timers of a table that are in files which the backend's store has taken over. Those in other files
    /// are passed over.
    ///
    /// # Errors
    ///
    /// When the files do not hold what is said of them.
    pub fn restore_adopted(&mut self, state: &mut RestoredState, name: &str) -> Result<(), StateError> {
        // A table in files is named among those of rows, too, and never has any.
        state.take_keyed(name);
        for part in state.take_stored(name).iter().filter(|part| part.files().0.get()) {
            if let Self::Stored(timers) = self {
                timers.restore_part(part)?;
            }
        }
        Ok(())
    }

    /// Takes back the timers of a table that were saved in whatever form, as far as they are of this instance's keys, after
    /// the state of the keys. Answers as [`restore`](Self::restore).
    ///
    /// # Errors
    ///
    /// As of [`restore`](Self::restore), and when files cannot be read.
    pub fn restore_from(
        &mut self,
        state: &mut RestoredState,
        name: &str,
        backend: &mut KeyedStateBackend,
    ) -> Result<Vec<Slot>, StateError> {
        let mut slots = self.restore(&state.take_keyed(name), backend)?;
        for part in state.take_stored(name) {
            match self {
                Self::Stored(timers) => timers.restore_part(&part)?,
                Self::Heap(timers) => {
                    for rows in part.rows()?.batches() {
                        slots.append(&mut timers.restore(&[rows?.1], backend)?);
                    }
                }
            }
        }
        Ok(slots)
    }

    /// Takes timers back that were saved; answers with the slots that have to stay for them, for each timer one.
    ///
    /// # Errors
    ///
    /// When the rows are no timers, or of other keys than the backend's, or the store refuses.
    pub fn restore(
        &mut self,
        batches: &[RecordBatch],
        backend: &mut KeyedStateBackend,
    ) -> Result<Vec<Slot>, StateError> {
        match self {
            Self::Heap(timers) => timers.restore(batches, backend),
            Self::Stored(timers) => timers.restore(batches).map(|()| Vec::new()),
        }
    }
}
