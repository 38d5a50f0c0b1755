//! The keys under which slots are stored: by key group, then by namespace, then by key.
//!
//! ```text
//!  row key   = 'k' | key group: u16 | namespace | key
//!  namespace = 0x00                              (no window)
//!            | 0x01 start: 8 bytes, end: 8 bytes (a window; ordered by time)
//!  key       = the bytes of the key index: a word, or those of key_codec
//! ```
//!
//! Numbers are big-endian, so that rows are in the order of key groups and a group's windows in that of time: what
//! belongs to a key group, or to a window within one, is one range.

use super::key_index::{KeyIndex, Slot};
use super::{Namespace, StateError};
use crate::window::TimeWindow;

/// What the keys of rows begin with; leaves room for rows of other kinds.
const KEYED: u8 = b'k';

const NO_WINDOW: u8 = 0;
const WINDOW: u8 = 1;

/// Appends the part of a row's key that all keys of a namespace share in a key group.
fn append_prefix(bytes: &mut Vec<u8>, key_group: u32, namespace: Namespace) {
    bytes.push(KEYED);
    // There are at most 32,768 key groups.
    bytes.extend_from_slice(&(key_group as u16).to_be_bytes());
    match namespace {
        Namespace::Void => bytes.push(NO_WINDOW),
        Namespace::Window(window) => {
            bytes.push(WINDOW);
            bytes.extend_from_slice(&ordered(window.start));
            bytes.extend_from_slice(&ordered(window.end));
        }
    }
}

/// Appends the key of a slot's row.
#[inline]
pub(super) fn append(bytes: &mut Vec<u8>, index: &KeyIndex, slot: Slot, namespace: Namespace, max_parallelism: u32) {
    append_prefix(bytes, index.key_group(slot, max_parallelism).0, namespace);
    index.append_key(slot, bytes);
}

/// The range in which all rows lie.
pub(super) fn everything() -> (Vec<u8>, Vec<u8>) {
    (vec![KEYED], vec![KEYED + 1])
}

/// The range in which the rows of a namespace lie in a key group.
pub(super) fn range(key_group: u32, namespace: Namespace) -> (Vec<u8>, Vec<u8>) {
    let mut from = Vec::with_capacity(20);
    append_prefix(&mut from, key_group, namespace);
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
fn ordered(number: i64) -> [u8; 8] {
    ((number as u64) ^ (1 << 63)).to_be_bytes()
}

fn from_ordered(bytes: &[u8]) -> Option<i64> {
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
        let rest = bytes.strip_prefix(&[KEYED])?;
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
            append(&mut key, &index, *slot, namespace, 128);
            key
        };
        let keys: Vec<Vec<u8>> = slots.iter().map(row_key).collect();
        let parsed: Vec<RowKey<'_>> = keys.iter().map(|key| RowKey::read(key).unwrap()).collect();
        for ((row, slot), key) in parsed.iter().zip(&slots).zip(&keys) {
            assert_eq!(row.key_group, index.key_group(*slot, 128).0);
            assert_eq!(row.namespace, namespace);
            let (from, until) = range(row.key_group, namespace);
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
                range(7, Namespace::Window(TimeWindow::new(start, end))).0
            };
            prop_assert_eq!(key(one).cmp(&key(other)), window(one).cmp(&window(other)));
        }

        #[test]
        fn arbitrary_bytes_are_refused_without_a_panic(bytes: Vec<u8>) {
            if let Ok(row) = RowKey::read(&bytes) {
                let _ = key_columns(&[DataType::Int64], vec![row.key]);
                let _ = key_columns(&[DataType::Utf8, DataType::Int64], vec![row.key]);
            }
        }
    }
}
