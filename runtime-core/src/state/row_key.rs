//! The keys under which slots and timers are stored: by key group, then by namespace or time, then by key.
//!
//! ```text
//!  row key   = 'k' | key group: u16 | namespace | key         (a slot)
//!            | 'e' | key group: u16 | namespace | key         (a slot whose states expire)
//!            | 't' | clock: u8 | key group: u16 | time: 8 bytes | key   (a timer)
//!  namespace = 0x00                              (no window)
//!            | 0x01 start: 8 bytes, end: 8 bytes (a window; ordered by time)
//!  key       = the bytes of the key index: a word, or those of key_codec
//! ```
//!
//! Numbers are big-endian, so that rows are in the order of key groups and a group's windows in that of time: what
//! belongs to a key group, or to a window within one, is one range.

use std::ops::Range;

use super::files::StoredRows;
use super::key_index::{KeyIndex, Slot};
use super::{Namespace, StateError};
use crate::time::EpochMillis;
use crate::window::{TimeDomain, TimeWindow};

/// What the keys of slots begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum SlotRows {
    /// Rows that stay until they are removed.
    Lasting = b'k',
    /// Rows that begin with the time at which they are void, see [`row_expiry`](super::row_expiry).
    Expiring = b'e',
}

impl From<SlotRows> for StoredRows {
    fn from(rows: SlotRows) -> Self {
        match rows {
            SlotRows::Lasting => Self::Lasting,
            SlotRows::Expiring => Self::Expiring,
        }
    }
}

const NO_WINDOW: u8 = 0;
const WINDOW: u8 = 1;

/// Appends the part of a row's key that all keys of a namespace share in a key group.
fn append_prefix(bytes: &mut Vec<u8>, kind: SlotRows, key_group: u32, namespace: Namespace) {
    bytes.push(kind as u8);
    bytes.extend_from_slice(&group_bytes(key_group));
    match namespace {
        Namespace::Void => bytes.push(NO_WINDOW),
        Namespace::Window(window) => {
            bytes.push(WINDOW);
            bytes.extend_from_slice(&ordered(window.start));
            bytes.extend_from_slice(&ordered(window.end));
        }
    }
}

/// There are at most 32,768 key groups.
fn group_bytes(key_group: u32) -> [u8; 2] {
    (key_group as u16).to_be_bytes()
}

/// Appends the key of a slot's row.
#[inline]
pub(super) fn append(
    bytes: &mut Vec<u8>,
    kind: SlotRows,
    index: &KeyIndex,
    slot: Slot,
    namespace: Namespace,
    max_parallelism: u32,
) {
    append_prefix(bytes, kind, index.key_group(slot, max_parallelism).0, namespace);
    index.append_key(slot, bytes);
}

/// The range in which the rows of slots of these key groups lie.
pub(super) fn of_slots(kind: SlotRows, groups: Range<u32>) -> (Vec<u8>, Vec<u8>) {
    between(&[kind as u8], groups)
}

/// The ranges in which the rows of these key groups lie, those of timers, too.
pub(super) fn of_groups(kind: SlotRows, groups: Range<u32>) -> [(Vec<u8>, Vec<u8>); 3] {
    let timers = [TimeDomain::EventTime, TimeDomain::ProcessingTime].map(TimerRows::of);
    [of_slots(kind, groups.clone()), timers[0].of_groups(groups.clone()), timers[1].of_groups(groups)]
}

/// The range of what begins with `prefix` and one of these key groups.
fn between(prefix: &[u8], groups: Range<u32>) -> (Vec<u8>, Vec<u8>) {
    let at = |group: u32| [prefix, &group_bytes(group)].concat();
    (at(groups.start), at(groups.end))
}

/// The range in which the rows of a namespace lie in a key group.
pub(super) fn range(kind: SlotRows, key_group: u32, namespace: Namespace) -> (Vec<u8>, Vec<u8>) {
    let mut from = Vec::with_capacity(20);
    append_prefix(&mut from, kind, key_group, namespace);
    let until = after_all_with(&from);
    (from, until)
}

/// The least bytes that follow everything with this prefix, which does not consist of the greatest byte alone.
fn after_all_with(prefix: &[u8]) -> Vec<u8> {
    let mut until = prefix.to_vec();
    while let Some(last) = until.pop() {
        if last < u8::MAX {
            until.push(last + 1);
            break;
        }
    }
    until
}

/// The least key that follows this one.
pub(super) fn successor(key: &[u8]) -> Vec<u8> {
    let mut next = Vec::with_capacity(key.len() + 1);
    next.extend_from_slice(key);
    next.push(0);
    next
}

/// A number whose bytes are in the order of numbers.
pub(super) fn ordered(number: i64) -> [u8; 8] {
    ((number as u64) ^ (1 << 63)).to_be_bytes()
}

pub(super) fn from_ordered(bytes: &[u8]) -> Option<i64> {
    Some((u64::from_be_bytes(bytes.try_into().ok()?) ^ (1 << 63)) as i64)
}

/// A row's key, taken apart.
pub(super) struct RowKey<'a> {
    pub(super) key_group: u32,
    pub(super) namespace: Namespace,
    /// The key's own bytes, for [`key_columns`](super::key_index::key_columns).
    pub(super) key: &'a [u8],
}

impl<'a> RowKey<'a> {
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, StateError> {
        Self::parse(bytes).ok_or(StateError::CorruptKey)
    }

    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (kind, rest) = bytes.split_first()?;
        if ![SlotRows::Lasting as u8, SlotRows::Expiring as u8].contains(kind) {
            return None;
        }
        let (group, rest) = rest.split_at_checked(2)?;
        let key_group = u32::from(u16::from_be_bytes(group.try_into().ok()?));
        let (kind, rest) = rest.split_first()?;
        match *kind {
            NO_WINDOW => Some(Self { key_group, namespace: Namespace::Void, key: rest }),
            WINDOW => {
                let (bounds, key) = rest.split_at_checked(16)?;
                let (start, end) = (from_ordered(&bounds[..8])?, from_ordered(&bounds[8..])?);
                Some(Self { key_group, namespace: Namespace::Window(TimeWindow::new(start, end)), key })
            }
            _ => None,
        }
    }
}

/// What begins the keys of timers' rows.
const TIMER: u8 = b't';

const TIME_BYTES: usize = 8;
const GROUP_BYTES: usize = 2;

/// What a timer is called in memory: its time, its key group and the bytes of its key, in this order, which is that of
/// time.
#[derive(Debug, Clone, Copy)]
pub(super) struct TimerName<'a>(pub(super) &'a [u8]);

impl<'a> TimerName<'a> {
    /// Writes the name of the timer of a slot's key.
    #[inline]
    pub(super) fn write(name: &mut Vec<u8>, time: EpochMillis, index: &KeyIndex, slot: Slot, max_parallelism: u32) {
        name.clear();
        name.extend_from_slice(&ordered(time));
        name.extend_from_slice(&group_bytes(index.key_group(slot, max_parallelism).0));
        index.append_key(slot, name);
    }

    /// What no timer at `time` is less than, and every one before is.
    pub(super) fn least_at(time: EpochMillis) -> [u8; TIME_BYTES] {
        ordered(time)
    }

    pub(super) fn time(self) -> EpochMillis {
        from_ordered(&self.0[..TIME_BYTES]).expect("a timer's name begins with its time")
    }

    pub(super) fn key_group(self) -> u32 {
        u32::from(u16::from_be_bytes([self.0[TIME_BYTES], self.0[TIME_BYTES + 1]]))
    }

    /// What tells keys apart, in the order of key groups.
    pub(super) fn group_and_key(self) -> &'a [u8] {
        &self.0[TIME_BYTES..]
    }

    /// The key's own bytes in [`group_and_key`](Self::group_and_key), for
    /// [`key_columns`](super::key_index::key_columns).
    pub(super) fn key_of(group_and_key: &[u8]) -> &[u8] {
        &group_and_key[GROUP_BYTES..]
    }
}

/// The rows of one clock's timers.
#[derive(Debug, Clone, Copy)]
pub(super) struct TimerRows {
    prefix: [u8; 2],
}

impl TimerRows {
    pub(super) fn of(clock: TimeDomain) -> Self {
        let clock = match clock {
            TimeDomain::EventTime => 0,
            TimeDomain::ProcessingTime => 1,
        };
        Self { prefix: [TIMER, clock] }
    }

    /// The row of the timer with this name.
    pub(super) fn key_of(self, name: &[u8]) -> Box<[u8]> {
        let (time, rest) = name.split_at(TIME_BYTES);
        let (group, key) = rest.split_at(GROUP_BYTES);
        [&self.prefix, group, time, key].concat().into()
    }

    /// The name of the timer that has this row.
    pub(super) fn name_of(self, row: &[u8]) -> Result<Box<[u8]>, StateError> {
        let parts = row.strip_prefix(&self.prefix).and_then(|rest| {
            let (group, rest) = rest.split_at_checked(GROUP_BYTES)?;
            let (time, key) = rest.split_at_checked(TIME_BYTES)?;
            Some([time, group, key].concat().into())
        });
        parts.ok_or(StateError::CorruptKey)
    }

    /// The range in which the rows of these key groups lie.
    pub(super) fn of_groups(self, groups: Range<u32>) -> (Vec<u8>, Vec<u8>) {
        between(&self.prefix, groups)
    }

    /// The end of the range in which a group's rows lie.
    pub(super) fn end_of(self, key_group: u32) -> Vec<u8> {
        after_all_with(&[self.prefix, group_bytes(key_group)].concat())
    }

    /// What no row of a group at `time` is less than, and every one before is.
    pub(super) fn first_at(self, key_group: u32, time: EpochMillis) -> Vec<u8> {
        [&self.prefix[..], &group_bytes(key_group), &ordered(time)].concat()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Array, ArrayRef, Int32Array, StringArray};
    use arrow::datatypes::DataType;
    use proptest::prelude::*;

    use super::super::key_index::key_columns;
    use super::super::{KeyBatch, Rows};
    use super::*;

    fn round_trip(column: ArrayRef, namespace: Namespace) {
        let mut batch = KeyBatch::default();
        batch.read(std::slice::from_ref(&column), column.len()).unwrap();
        let mut index = KeyIndex::new(batch.types());
        let mut slots = Vec::new();
        index.slots(&batch, Rows::All(column.len()), &mut slots).unwrap();
        let row_key = |slot: &Slot| {
            let mut key = Vec::new();
            append(&mut key, SlotRows::Expiring, &index, *slot, namespace, 128);
            key
        };
        let keys: Vec<Vec<u8>> = slots.iter().map(row_key).collect();
        let parsed: Vec<RowKey<'_>> = keys.iter().map(|key| RowKey::read(key).unwrap()).collect();
        for ((row, slot), key) in parsed.iter().zip(&slots).zip(&keys) {
            assert_eq!(row.key_group, index.key_group(*slot, 128).0);
            assert_eq!(row.namespace, namespace);
            let (from, until) = range(SlotRows::Expiring, row.key_group, namespace);
            assert!(from <= *key && *key < until);
        }
        let back = key_columns(batch.types(), parsed.iter().map(|row| row.key).collect()).unwrap();
        assert_eq!(&back[0], &column);
    }

    proptest! {
        #[test]
        fn keys_come_back_as_they_went_in(
            numbers: Vec<Option<i32>>,
            texts: Vec<Option<String>>,
            window in prop::option::of((any::<i64>(), any::<i64>())),
        ) {
            let window = window.map(|(start, end)| Namespace::Window(TimeWindow::new(start.min(end), start.max(end))));
            let namespace = window.unwrap_or(Namespace::Void);
            round_trip(Arc::new(Int32Array::from(numbers)), namespace);
            round_trip(Arc::new(StringArray::from_iter(texts)), namespace);
        }

        #[test]
        fn windows_are_in_the_order_of_time(one: [i32; 2], other: [i32; 2]) {
            let window = |[start, length]: [i32; 2]| (i64::from(start), i64::from(start) + i64::from(length).abs());
            let key = |bounds| {
                let (start, end) = window(bounds);
                range(SlotRows::Lasting, 7, Namespace::Window(TimeWindow::new(start, end))).0
            };
            prop_assert_eq!(key(one).cmp(&key(other)), window(one).cmp(&window(other)));
        }

        #[test]
        fn timers_are_in_the_order_of_time_and_come_back_from_their_rows(times: Vec<i64>, texts: Vec<String>) {
            let rows = TimerRows::of(TimeDomain::ProcessingTime);
            let column: ArrayRef = Arc::new(StringArray::from_iter_values(&texts));
            let mut batch = KeyBatch::default();
            batch.read(std::slice::from_ref(&column), column.len()).unwrap();
            let mut index = KeyIndex::new(batch.types());
            let mut slots = Vec::new();
            index.slots(&batch, Rows::All(column.len()), &mut slots).unwrap();
            let mut names: Vec<(i64, Vec<u8>)> = Vec::new();
            for (time, slot) in times.iter().zip(&slots) {
                let mut name = Vec::new();
                TimerName::write(&mut name, *time, &index, *slot, 128);
                let (group, row) = (index.key_group(*slot, 128).0, rows.key_of(&name));
                prop_assert_eq!((TimerName(&name).time(), TimerName(&name).key_group()), (*time, group));
                prop_assert_eq!(rows.name_of(&row).unwrap().into_vec(), name.clone());
                prop_assert!(rows.first_at(group, *time).as_slice() <= row.as_ref());
                prop_assert!(row.as_ref() < rows.end_of(group).as_slice());
                names.push((*time, name));
            }
            names.sort_by(|one, other| one.1.cmp(&other.1));
            prop_assert!(names.is_sorted_by_key(|name| name.0));
        }

        #[test]
        fn arbitrary_bytes_are_refused_without_a_panic(bytes: Vec<u8>) {
            let _ = TimerRows::of(TimeDomain::EventTime).name_of(&bytes);
            if let Ok(row) = RowKey::read(&bytes) {
                let _ = key_columns(&[DataType::Int64], vec![row.key]);
                let _ = key_columns(&[DataType::Utf8, DataType::Int64], vec![row.key]);
            }
        }
    }
}
