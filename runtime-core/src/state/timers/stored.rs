//! Timers in a store: those that are due next are in memory, all others are rows.
//!
//! ```text
//!  of every key group:   near, in memory ──┤ cursor ├── far, rows of the store ──►  time
//! ```
//!
//! A timer names its key by the key's bytes, so a key need not be on the heap for its timers' sake. Near timers of all
//! groups are in one order; far ones are read, some of a group at a time, when a clock has come to where a group's near
//! ones end. Changes of rows are collected and written together by [`StoredTimers::settle`].
//!
//! Invariants: a timer before its group's cursor is in memory, every other is a row or among the collected changes; a
//! timer fires only when no group can have an earlier one in the store; what is collected is written before rows are
//! read.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, UInt32Array};
use arrow::datatypes::DataType;
use parking_lot::Mutex;

use super::{Due, timed_rows};
use crate::checkpoint::snapshot::{KeyedBatches, OperatorSnapshot, StreamedTable};
use crate::key_group::KeyGroupRange;
use crate::state::backend::ColdPart;
use crate::state::cold::{ByteRows, ColdSnapshot, KeyedRows, ScanLimit};
use crate::state::files::{StoredPart, StoredRows, StoredSnapshot, StoredTable};
use crate::state::key_index::key_columns;
use crate::state::row_key::{TimerName, TimerRows, successor};
use crate::state::table_columns::{TIME, key_name, key_types, table};
use crate::state::{KeyBatch, KeyIndex, KeyedStateBackend, Namespace, Rows, Slot, StateError};
use crate::time::EpochMillis;
use crate::window::TimeDomain;

/// How many changes are collected before they are written.
const PENDING_CHANGES: usize = 4096;

/// What a timer in memory takes at most, about, for a key of usual length.
const NEAR_TIMER_BYTES: usize = 160;

/// Bounds of the number of timers in memory.
const NEAR_TIMERS: std::ops::RangeInclusive<usize> = 16..=65_536;

/// The fewest rows of a group that are read at once.
const LEAST_ROWS: usize = 16;

/// How much of a snapshot is in memory at once.
const BATCH: ScanLimit = ScanLimit { rows: 8192, bytes: 4 << 20 };

/// The timers of one clock.
pub struct StoredTimers {
    clock: TimeDomain,
    rows: TimerRows,
    cold: Arc<Mutex<ColdPart>>,
    max_parallelism: u32,
    groups: KeyGroupRange,
    /// Known from the first timer on.
    key_types: Option<Arc<[DataType]>>,
    /// The names of near timers, which are ordered by time, and whether each has a row.
    near: BTreeMap<Box<[u8]>, bool>,
    /// Where each group's far timers begin; none where there are none.
    cursors: Vec<Option<Cursor>>,
    /// The groups that have a cursor, by the least time that a far timer of theirs can have.
    frontier: BTreeSet<(EpochMillis, u32)>,
    /// Row keys, and whether there is to be a row.
    pending: BTreeMap<Box<[u8]>, bool>,
    scratch: Vec<u8>,
}

/// Where far timers begin.
#[derive(Debug, Clone)]
struct Cursor {
    /// No far timer's row is less.
    from: Vec<u8>,
    /// No far timer is earlier.
    least: EpochMillis,
}

impl std::fmt::Debug for StoredTimers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (near, far_groups) = (self.near.len(), self.frontier.len());
        f.debug_struct("StoredTimers").field("near", &near).field("far_groups", &far_groups).finish()
    }
}

impl StoredTimers {
    pub(in crate::state) fn new(clock: TimeDomain, cold: Arc<Mutex<ColdPart>>) -> Self {
        let (max_parallelism, groups) = {
            let mut cold = cold.lock();
            cold.add_clock();
            (cold.max_parallelism(), cold.groups())
        };
        Self {
            clock,
            rows: TimerRows::of(clock),
            cold,
            max_parallelism,
            groups,
            key_types: None,
            near: BTreeMap::new(),
            cursors: vec![None; (groups.end - groups.start) as usize],
            frontier: BTreeSet::new(),
            pending: BTreeMap::new(),
            scratch: Vec::new(),
        }
    }

    pub(super) fn register(&mut self, time: EpochMillis, index: &KeyIndex, slot: Slot) {
        if self.key_types.is_none() {
            self.key_types = Some(index.types().clone());
        }
        let mut name = std::mem::take(&mut self.scratch);
        TimerName::write(&mut name, time, index, slot, self.max_parallelism);
        self.add(&name);
        self.scratch = name;
    }

    fn add(&mut self, name: &[u8]) {
        match self.far_row(name) {
            Some(row) => drop(self.pending.insert(row, true)),
            None if self.near.contains_key(name) => {}
            None => drop(self.near.insert(name.into(), false)),
        }
    }

    pub(super) fn delete(&mut self, time: EpochMillis, index: &KeyIndex, slot: Slot) {
        let mut name = std::mem::take(&mut self.scratch);
        TimerName::write(&mut name, time, index, slot, self.max_parallelism);
        match self.far_row(&name) {
            Some(row) => drop(self.pending.insert(row, false)),
            None => {
                if self.near.remove(name.as_slice()) == Some(true) {
                    self.pending.insert(self.rows.key_of(&name), false);
                }
            }
        }
        self.scratch = name;
    }

    /// The key of the timer's row, if the timer is far.
    fn far_row(&self, name: &[u8]) -> Option<Box<[u8]>> {
        let cursor = self.cursors[(TimerName(name).key_group() - self.groups.start) as usize].as_ref()?;
        Some(self.rows.key_of(name)).filter(|row| row.as_ref() >= cursor.from.as_slice())
    }

    /// The least time that a timer can have.
    pub(super) fn next(&self) -> Option<EpochMillis> {
        let near = self.near.first_key_value().map(|(name, _)| TimerName(name).time());
        let far = self.frontier.first().map(|(time, _)| *time);
        near.into_iter().chain(far).min()
    }

    /// The keys of some of the timers that are due at `time`, in slots of the backend's table without a window.
    pub(super) fn due(
        &mut self,
        time: EpochMillis,
        limit: usize,
        backend: &mut KeyedStateBackend,
    ) -> Result<Option<Due>, StateError> {
        self.read_until(time)?;
        let Some(key_types) = self.key_types.clone() else { return Ok(None) };
        let timers = self.near.keys().take_while(|name| TimerName(name).time() <= time).take(limit);
        let mut names: Vec<&[u8]> = timers.map(|name| TimerName(name).group_and_key()).collect();
        if names.is_empty() {
            return Ok(None);
        }
        names.sort_unstable();
        names.dedup();
        let mut keys = ByteRows::default();
        names.iter().for_each(|name| keys.push(name));
        let columns = key_columns(&key_types, names.iter().map(|name| TimerName::key_of(name)).collect())?;
        let (mut batch, mut slots) = (KeyBatch::default(), Vec::new());
        batch.read(&columns, keys.len())?;
        backend.table(Namespace::Void, &key_types).slots(&batch, Rows::All(keys.len()), &mut slots)?;
        Ok(Some(Due { columns, slots, keys }))
    }

    /// Takes the earliest timer that is due at `time`, and says which of the keys it is of; none when it is of another,
    /// or when the store may have an earlier one.
    pub(super) fn pop(&mut self, time: EpochMillis, due: &Due) -> Option<(EpochMillis, usize)> {
        let first = self.near.first_entry()?;
        let name = TimerName(first.key());
        let at = name.time();
        if at > time || self.frontier.first().is_some_and(|(least, _)| *least < at) {
            return None;
        }
        let row = due.find(name.group_and_key())?;
        let (name, has_row) = first.remove_entry();
        if has_row {
            self.pending.insert(self.rows.key_of(&name), false);
        }
        Some((at, row))
    }

    /// Reads far timers until the earliest of all that are due at `time` are in memory.
    fn read_until(&mut self, time: EpochMillis) -> Result<(), StateError> {
        while let Some((least, group)) = self.frontier.first().copied() {
            let near = self.near.first_key_value().map(|(name, _)| TimerName(name).time());
            if least > time || near.is_some_and(|near| near <= least) {
                break;
            }
            self.read_more(group)?;
        }
        Ok(())
    }

    /// Lets the first far timers of a group be near.
    fn read_more(&mut self, group: u32) -> Result<(), StateError> {
        self.write()?;
        let wanted = (self.near_limit() / 4 / self.cursors.len().max(1)).max(LEAST_ROWS);
        let cursor = &mut self.cursors[(group - self.groups.start) as usize];
        let Some(Cursor { from, least }) = cursor.take() else { return Ok(()) };
        self.frontier.remove(&(least, group));
        let mut found = KeyedRows::default();
        let limit = ScanLimit { rows: wanted, bytes: usize::MAX };
        self.cold.lock().scan(&from, &self.rows.end_of(group), limit, &mut found)?;
        for row in found.keys.iter() {
            self.near.insert(self.rows.name_of(row)?, true);
        }
        if let Some(last) = found.keys.last().filter(|_| found.len() >= wanted) {
            let least = TimerName(&self.rows.name_of(last)?).time();
            *cursor = Some(Cursor { from: successor(last), least });
            self.frontier.insert((least, group));
        }
        Ok(())
    }

    fn near_limit(&self) -> usize {
        (self.cold.lock().clock_bytes() / NEAR_TIMER_BYTES).clamp(*NEAR_TIMERS.start(), *NEAR_TIMERS.end())
    }

    /// Keeps what is in memory within its bounds; called between two batches.
    pub(super) fn settle(&mut self) -> Result<(), StateError> {
        if self.near.len() > *NEAR_TIMERS.start() {
            let limit = self.near_limit();
            if self.near.len() > limit {
                self.keep_nearest(limit / 2);
            }
        }
        if self.pending.len() >= PENDING_CHANGES { self.write() } else { Ok(()) }
    }

    /// Lets those timers be far that are not among the first so many, or are as late as the last of these.
    fn keep_nearest(&mut self, count: usize) {
        let Some(cut) = self.near.keys().nth(count).map(|name| TimerName(name).time()) else { return };
        let far = self.near.split_off(TimerName::least_at(cut).as_slice());
        for (name, has_row) in far {
            let group = TimerName(&name).key_group();
            let cursor = &mut self.cursors[(group - self.groups.start) as usize];
            let from = self.rows.first_at(group, cut);
            if cursor.as_ref().is_none_or(|cursor| cursor.from > from) {
                if let Some(former) = cursor.replace(Cursor { from, least: cut }) {
                    self.frontier.remove(&(former.least, group));
                }
                self.frontier.insert((cut, group));
            }
            if !has_row {
                self.pending.insert(self.rows.key_of(&name), true);
            }
        }
    }

    /// Writes what was collected.
    fn write(&mut self) -> Result<(), StateError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let (mut rows, mut removed) = (KeyedRows::default(), ByteRows::default());
        for (row, is_there) in std::mem::take(&mut self.pending) {
            if is_there {
                rows.keys.push(&row);
                rows.values.push(&[]);
            } else {
                removed.push(&row);
            }
        }
        self.cold.lock().write_rows(&rows, &removed)
    }

    /// Whether the snapshot that is being taken consists of the store's files.
    pub(super) fn leave_in_files(&self) -> bool {
        self.cold.lock().wants_files()
    }

    /// Adds every timer to a snapshot, as rows that are read when they are written away, or that are in the files of
    /// which the keys' own state tells.
    pub(super) fn save(&mut self, name: &str, snapshot: &mut OperatorSnapshot) -> Result<(), StateError> {
        let Some(key_types) = self.key_types.clone() else { return Ok(()) };
        for (name, has_row) in &mut self.near {
            if !std::mem::replace(has_row, true) {
                self.pending.insert(self.rows.key_of(name), true);
            }
        }
        self.write()?;
        let mut cold = self.cold.lock();
        if cold.wants_files() {
            let schema = timers_of(self.rows, &key_types, &KeyedRows::default())?.1.schema();
            let (rows, namespaces) = (StoredRows::Timers(self.clock), vec![Namespace::Void]);
            let table = StoredTable { name: name.to_owned(), rows, schema, now: EpochMillis::MIN, namespaces };
            snapshot.stored.get_or_insert_with(|| StoredSnapshot::new(self.groups)).tables.push(table);
            return Ok(());
        }
        let (held, groups) = (cold.hold_rows()?.into(), self.groups.start..self.groups.end);
        let rows = Arc::new(SavedTimers { snapshot: held, rows: self.rows, key_types, groups });
        snapshot.streamed.push(StreamedTable { name: name.to_owned(), rows });
        Ok(())
    }

    /// Takes back timers that are in files: those that the store has taken over are there already.
    pub(super) fn restore_part(&mut self, part: &StoredPart) -> Result<(), StateError> {
        if !part.adopted.get() {
            for rows in part.rows()?.batches() {
                self.restore(&[rows?.1])?;
            }
            return Ok(());
        }
        self.key_types = Some(key_types(&part.table.schema));
        for group in part.own.clone() {
            let cursor = Cursor { from: self.rows.first_at(group, EpochMillis::MIN), least: EpochMillis::MIN };
            self.cursors[(group - self.groups.start) as usize] = Some(cursor);
            self.frontier.insert((EpochMillis::MIN, group));
        }
        Ok(())
    }

    /// Takes timers back that any kind of timers has saved.
    pub(super) fn restore(&mut self, batches: &[RecordBatch]) -> Result<(), StateError> {
        let (mut slots, mut name) = (Vec::new(), Vec::new());
        for batch in batches {
            let (keys, times) = timed_rows(batch)?;
            let mut index = KeyIndex::new(keys.types());
            index.slots(&keys, Rows::All(keys.len()), &mut slots)?;
            self.key_types = Some(index.types().clone());
            for (row, (slot, time)) in slots.iter().zip(times.values()).enumerate() {
                TimerName::write(&mut name, *time, &index, *slot, self.max_parallelism);
                self.add(&name);
                if row % PENDING_CHANGES == 0 {
                    self.settle()?;
                }
            }
            self.settle()?;
        }
        Ok(())
    }
}

/// The timers of one clock at one moment, in some key groups.
pub(in crate::state) struct SavedTimers {
    snapshot: Arc<dyn ColdSnapshot>,
    rows: TimerRows,
    key_types: Arc<[DataType]>,
    groups: Range<u32>,
}

impl KeyedBatches for SavedTimers {
    fn batches(&self) -> Box<dyn Iterator<Item = Result<(UInt32Array, RecordBatch), StateError>> + '_> {
        let (mut from, until) = self.rows.of_groups(self.groups.clone());
        let mut rows = KeyedRows::default();
        Box::new(std::iter::from_fn(move || {
            rows.clear();
            if let Err(error) = self.snapshot.scan(&from, &until, BATCH, &mut rows) {
                // Nothing can be said about what follows.
                from.clone_from(&until);
                return Some(Err(error.into()));
            }
            from = successor(rows.keys.last()?);
            Some(timers_of(self.rows, &self.key_types, &rows))
        }))
    }
}

impl SavedTimers {
    /// Those of a table of timers in the files of a store.
    pub(in crate::state) fn stored(
        snapshot: Arc<dyn ColdSnapshot>,
        clock: TimeDomain,
        table: &StoredTable,
        groups: Range<u32>,
    ) -> Self {
        Self { snapshot, rows: TimerRows::of(clock), key_types: key_types(&table.schema), groups }
    }
}

/// Rows of the store as timers with their key groups.
fn timers_of(
    kind: TimerRows,
    key_types: &[DataType],
    rows: &KeyedRows,
) -> Result<(UInt32Array, RecordBatch), StateError> {
    let names = rows.keys.iter().map(|row| kind.name_of(row)).collect::<Result<Vec<_>, _>>()?;
    let groups = UInt32Array::from_iter_values(names.iter().map(|name| TimerName(name).key_group()));
    let keys = names.iter().map(|name| TimerName::key_of(TimerName(name).group_and_key())).collect();
    let keys = key_columns(key_types, keys)?.into_iter().enumerate();
    let mut columns: Vec<(String, ArrayRef)> = keys.map(|(index, column)| (key_name(index), column)).collect();
    let times = Int64Array::from_iter_values(names.iter().map(|name| TimerName(name).time()));
    columns.push((TIME.to_owned(), Arc::new(times)));
    Ok((groups, table(columns, names.len())?))
}
