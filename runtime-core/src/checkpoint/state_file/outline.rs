//! What is in a state file beside its rows of keys, for whoever has none of the keys: read from its end and a few places.
//!
//! ```text
//!  … │ magic 8 │ XXH3 of index 8 │ index │ index length 8 │ checksum 8
//!    └───────────────────── tail ─────────────────────────┘
//! ```
//!
//! The checksum of the whole file says nothing here, so index and tables of the subtask have their own.
//!
//! Invariant: what is read is what was written, or an error that names the file. A file without such an index, or with records
//! in flight, is to be read as a whole.

use std::ops::Range;

use bytes::Bytes;
use prost::Message;
use twox_hash::XxHash3_64;

use super::index::{Index, TableKind};
use super::{StateFileError, TableName, operator_table};
use crate::checkpoint::envelope::{CHECKSUM_BYTES, Damage, HEADER_BYTES};
use crate::checkpoint::snapshot::{KeyedTable, OperatorSnapshot};
use crate::id::OperatorId;

/// What an index begins with that can be checked by itself.
const MAGIC: [u8; 8] = *b"PELTONIX";

/// How much is read of the end of a file at first; few indexes are longer.
const TAIL_BYTES: u64 = 16 << 10;

/// Magic and checksum in front of an index, its length behind it.
const BEFORE: usize = 16;
const LENGTH: usize = 8;

/// What goes in front of an index.
pub(super) fn before(index: &[u8]) -> [u8; BEFORE] {
    let mut before = [0; BEFORE];
    before[..8].copy_from_slice(&MAGIC);
    before[8..].copy_from_slice(&XxHash3_64::oneshot(index).to_le_bytes());
    before
}

/// The checksum of a table.
pub(super) fn checksum(table: &[u8]) -> u64 {
    XxHash3_64::oneshot(table)
}

/// What came of a look at the end of a file.
#[derive(Debug)]
pub enum Outlined {
    /// What there is.
    Whole(Outline),
    /// More of the end has to be read: this.
    More(Range<u64>),
    /// The file cannot be read in parts.
    Never,
}

/// What is in a state file, without any rows.
#[derive(Debug)]
pub struct Outline {
    file: String,
    index: Index,
    /// Where its body ends.
    body: u64,
}

impl Outline {
    /// What to read at first of a file of this length.
    pub fn tail_of(file_bytes: u64) -> Range<u64> {
        file_bytes.saturating_sub(TAIL_BYTES)..file_bytes
    }

    /// Reads the end of `file`, which has so many bytes.
    ///
    /// # Errors
    ///
    /// When the end is none of a state file, or not the one that was written.
    pub fn of_tail(file: &str, file_bytes: u64, tail: &Bytes) -> Result<Outlined, StateFileError> {
        let damaged = |damage| StateFileError::Damaged { file: file.to_owned(), damage };
        let short = || damaged(Damage::Malformed("it has no index".to_owned()));
        let length_end = tail.len().checked_sub(CHECKSUM_BYTES).ok_or_else(short)?;
        let index_end = length_end.checked_sub(LENGTH).ok_or_else(short)?;
        let length = u64::from_le_bytes(tail[index_end..length_end].try_into().expect("8 bytes"));
        let needed = length.saturating_add((BEFORE + LENGTH + CHECKSUM_BYTES) as u64);
        if needed > file_bytes.saturating_sub(HEADER_BYTES as u64) {
            // Of another form, or damaged: whoever reads all of it finds out.
            return Ok(Outlined::Never);
        }
        if needed > tail.len() as u64 {
            return Ok(Outlined::More(file_bytes - needed..file_bytes));
        }
        let index_start = index_end - length as usize;
        let index = tail.slice(index_start..index_end);
        if tail[index_start - BEFORE..index_start - LENGTH] != MAGIC {
            return Ok(Outlined::Never);
        }
        if tail[index_start - BEFORE..index_start] != before(&index) {
            return Err(damaged(Damage::Checksum));
        }
        let index = Index::decode(index).map_err(|error| damaged(Damage::Malformed(error.to_string())))?;
        if index.in_flight.is_some() {
            return Ok(Outlined::Never);
        }
        let body = file_bytes - (HEADER_BYTES + CHECKSUM_BYTES) as u64;
        Ok(Outlined::Whole(Self { file: file.to_owned(), index, body }))
    }

    /// The tables in the file.
    ///
    /// # Errors
    ///
    /// When one is of no known kind.
    pub fn tables(&self) -> Result<Vec<TableName>, StateFileError> {
        super::names(&self.file, &self.index)
    }

    /// Where in the file the tables of the subtask are, those that belong to no key.
    ///
    /// # Errors
    ///
    /// When one lies outside the file.
    pub fn operator_tables(&self) -> Result<Vec<Range<u64>>, StateFileError> {
        let mut places = Vec::new();
        for table in self.index.operators.iter().flat_map(|operator| &operator.tables) {
            if let TableKind::Operator(_) = table.kind().map_err(|damage| self.damaged(damage))? {
                let range = table.range(self.body as usize).map_err(|damage| self.damaged(damage))?;
                places.push((range.start + HEADER_BYTES) as u64..(range.end + HEADER_BYTES) as u64);
            }
        }
        Ok(places)
    }

    /// The state in the file without its rows of keys: `tables` are the bytes of its [`operator_tables`](Self::operator_tables).
    ///
    /// # Errors
    ///
    /// When they are not those that were written.
    pub fn without_keys(self, tables: Vec<Bytes>) -> Result<Vec<(OperatorId, OperatorSnapshot)>, StateFileError> {
        let mut bytes = tables.into_iter();
        let mut operators = Vec::with_capacity(self.index.operators.len());
        for operator in &self.index.operators {
            let id = operator.id().map_err(|damage| self.damaged(damage))?;
            let mut snapshot = OperatorSnapshot::default();
            snapshot.keyed.extend(operator.tables_elsewhere().map(KeyedTable::without_rows));
            for table in &operator.tables {
                match table.kind().map_err(|damage| self.damaged(damage))? {
                    // Whoever gets no rows of it knows all the same that there is one.
                    TableKind::Keyed => snapshot.keyed.push(KeyedTable::without_rows(&table.name)),
                    TableKind::Void => {}
                    TableKind::Operator(redistribution) => {
                        let missing = || self.damaged(Damage::Malformed(format!("table `{}` is missing", table.name)));
                        let bytes = bytes.next().ok_or_else(missing)?;
                        if checksum(&bytes) != table.checksum() {
                            return Err(self.damaged(Damage::Checksum));
                        }
                        let read = operator_table(&table.name, redistribution, bytes);
                        snapshot.operator.push(read.map_err(|source| {
                            let (file, table) = (self.file.clone(), table.name.clone());
                            StateFileError::Unreadable { file, operator: id, table, source }
                        })?);
                    }
                }
            }
            operators.push((id, snapshot));
        }
        Ok(operators)
    }

    fn damaged(&self, damage: Damage) -> StateFileError {
        StateFileError::Damaged { file: self.file.clone(), damage }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, RecordBatch, UInt32Array};

    use super::*;
    use crate::checkpoint::snapshot::{OperatorTable, Redistribution};
    use crate::checkpoint::state_file::{decode, encode};

    fn rows(values: std::ops::Range<i64>) -> RecordBatch {
        let column: ArrayRef = Arc::new(Int64Array::from_iter_values(values));
        RecordBatch::try_from_iter([("n", column)]).expect("a column")
    }

    fn file(keys: i64) -> Bytes {
        let key_groups = UInt32Array::from_iter_values((0..keys).map(|key| (key / 1000) as u32));
        let keyed = vec![KeyedTable { name: "keys".to_owned(), key_groups, rows: rows(0..keys) }];
        let table = |name: &str, values| OperatorTable {
            name: name.to_owned(),
            redistribution: Redistribution::Union,
            rows: rows(values),
        };
        let first = OperatorSnapshot { keyed, operator: vec![table("a", 0..3)], ..OperatorSnapshot::default() };
        let second = OperatorSnapshot { operator: vec![table("b", 5..9)], ..OperatorSnapshot::default() };
        let id = |byte| OperatorId::from_bytes([byte; 16]);
        encode(&[(id(1), first), (id(2), second)]).expect("encoded").expect("state").into()
    }

    /// What a reader without keys gets, and how much it has read.
    fn without_keys(bytes: &Bytes) -> Result<(Vec<(OperatorId, OperatorSnapshot)>, u64), StateFileError> {
        let slice = |range: &Range<u64>| bytes.slice(range.start as usize..range.end as usize);
        let length = bytes.len() as u64;
        let mut tail = Outline::tail_of(length);
        let outline = loop {
            match Outline::of_tail("f", length, &slice(&tail))? {
                Outlined::Whole(outline) => break outline,
                Outlined::More(more) => tail = more,
                Outlined::Never => return Ok((decode("f", bytes)?, length)),
            }
        };
        let places = outline.operator_tables()?;
        let read = places.iter().chain([&tail]).map(|range| range.end - range.start).sum();
        Ok((outline.without_keys(places.iter().map(slice).collect())?, read))
    }

    #[test]
    fn who_has_none_of_the_keys_reads_little_and_gets_everything_else() {
        let bytes = file(100_000);
        let (found, read) = without_keys(&bytes).expect("whole");
        assert!(read < 20_000 && bytes.len() > 1_000_000, "{read} of {}", bytes.len());
        let whole = decode("f", &bytes).expect("whole");
        assert_eq!(found.len(), whole.len());
        for ((id, found), (expected, state)) in found.iter().zip(&whole) {
            assert_eq!(id, expected);
            assert_eq!(found.keyed.len(), state.keyed.len());
            assert!(found.keyed.iter().all(|table| table.name == "keys" && table.rows.num_rows() == 0));
            let tables = |state: &OperatorSnapshot| -> Vec<(String, RecordBatch)> {
                state.operator.iter().map(|table| (table.name.clone(), table.rows.clone())).collect()
            };
            assert_eq!(tables(found), tables(state));
        }
    }

    #[test]
    fn a_file_in_which_any_byte_that_is_read_has_changed_is_refused() {
        let bytes = file(10);
        let (whole, _) = without_keys(&bytes).expect("whole");
        let mut refused = 0;
        for at in 0..bytes.len() {
            let mut changed = bytes.to_vec();
            changed[at] ^= 1 << (at % 8);
            match without_keys(&changed.into()) {
                Err(_) => refused += 1,
                // Rows of keys, fillings and the checksum of the whole are not looked at.
                Ok((found, _)) => {
                    assert_eq!(found.len(), whole.len(), "byte {at}");
                    for ((_, found), (_, whole)) in found.iter().zip(&whole) {
                        let same = found.operator.iter().zip(&whole.operator).all(|(a, b)| a.rows == b.rows);
                        assert!(same && found.operator.len() == whole.operator.len(), "byte {at}");
                    }
                }
            }
        }
        assert!(refused > 200, "{refused}");
    }
}
