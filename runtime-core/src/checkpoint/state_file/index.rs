//! What is where in a state file.

use std::io::{self, Write};
use std::ops::Range;

use bytes::Bytes;
use prost::Message;

use super::outline;
use super::stored::IndexedStore;
use crate::checkpoint::envelope::Damage;
use crate::checkpoint::in_flight::IndexedInFlight;
use crate::checkpoint::snapshot::Redistribution;
use crate::id::OperatorId;

/// The length of the index's length.
const LENGTH_BYTES: usize = 8;

/// The operators in a file.
#[derive(Message)]
pub(super) struct Index {
    #[prost(message, repeated, tag = "1")]
    pub(super) operators: Vec<IndexedOperator>,
    #[prost(message, optional, tag = "2")]
    pub(super) in_flight: Option<IndexedInFlight>,
}

/// The tables of one operator.
#[derive(Message)]
pub(super) struct IndexedOperator {
    #[prost(bytes = "bytes", tag = "1")]
    id: Bytes,
    #[prost(message, repeated, tag = "2")]
    pub(super) tables: Vec<IndexedTable>,
    #[prost(message, optional, tag = "3")]
    pub(super) stored: Option<IndexedStore>,
    #[prost(message, optional, tag = "4")]
    pub(super) layered: Option<IndexedLayers>,
}

/// The layers under the tables of these names that are in the file, if they are.
#[derive(Message)]
pub(super) struct IndexedLayers {
    #[prost(string, repeated, tag = "1")]
    pub(super) tables: Vec<String>,
    /// The lowest comes first.
    #[prost(string, repeated, tag = "2")]
    pub(super) paths: Vec<String>,
}

/// One table; its place counts from the body's beginning.
#[derive(Message)]
pub(super) struct IndexedTable {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(uint32, tag = "2")]
    kind: u32,
    #[prost(uint64, tag = "3")]
    offset_bytes: u64,
    #[prost(uint64, tag = "4")]
    length_bytes: u64,
    /// Of a table of the subtask.
    #[prost(fixed64, tag = "5")]
    checksum: u64,
}

/// What kind of state a table holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TableKind {
    /// Rows of keys.
    Keyed,
    /// Rows of a subtask.
    Operator(Redistribution),
    /// Keys that are void in the layers below.
    Void,
}

/// The number of [`TableKind::Keyed`].
const KEYED: u32 = 1;

impl TableKind {
    const ALL: [(u32, Self); 5] = [
        (KEYED, Self::Keyed),
        (2, Self::Operator(Redistribution::Split)),
        (3, Self::Operator(Redistribution::Union)),
        (4, Self::Operator(Redistribution::Broadcast)),
        (5, Self::Void),
    ];

    fn number(self) -> u32 {
        let (number, _) = Self::ALL.into_iter().find(|(_, known)| *known == self).expect("all kinds are listed");
        number
    }
}

impl Index {
    /// Appends index and its length to the body.
    pub(super) fn append_to(&self, file: &mut impl Write) -> io::Result<()> {
        let index = self.encode_to_vec();
        file.write_all(&outline::before(&index))?;
        file.write_all(&index)?;
        file.write_all(&(index.len() as u64).to_le_bytes())
    }

    /// The index at the end of a body.
    pub(super) fn read(body: &Bytes) -> Result<Self, Damage> {
        let malformed = || Damage::Malformed("it has no index".to_owned());
        let end = body.len().checked_sub(LENGTH_BYTES).ok_or_else(malformed)?;
        let length = u64::from_le_bytes(body[end..].try_into().expect("8 bytes"));
        let length = usize::try_from(length).map_err(|_| malformed())?;
        let start = end.checked_sub(length).ok_or_else(malformed)?;
        Self::decode(body.slice(start..end)).map_err(|error| Damage::Malformed(error.to_string()))
    }
}

impl IndexedOperator {
    pub(super) fn new(
        id: OperatorId,
        tables: Vec<IndexedTable>,
        stored: Option<IndexedStore>,
        layered: Option<IndexedLayers>,
    ) -> Self {
        Self { id: Bytes::copy_from_slice(id.as_bytes()), tables, stored, layered }
    }

    /// The names of tables of which there may be nothing in the file itself.
    pub(super) fn tables_elsewhere(&self) -> impl Iterator<Item = &str> {
        let in_layers = self.layered.iter().flat_map(|layered| &layered.tables).map(String::as_str);
        let stored = self.stored.iter().flat_map(|stored| &stored.tables).map(|table| table.name.as_str());
        let is_here = |name: &&str| self.tables.iter().any(|table| table.name == *name && table.kind == KEYED);
        stored.chain(in_layers.filter(move |name| !is_here(name)))
    }

    pub(super) fn id(&self) -> Result<OperatorId, Damage> {
        OperatorId::try_from(self.id.as_ref()).map_err(|error| Damage::Malformed(error.to_string()))
    }
}

impl IndexedTable {
    /// A table of keys.
    pub(super) fn keyed(name: &str, range: Range<usize>) -> Self {
        Self::new(name, TableKind::Keyed, range, 0)
    }

    /// Keys of a table that are void in the layers below.
    pub(super) fn void(name: &str, range: Range<usize>) -> Self {
        Self::new(name, TableKind::Void, range, 0)
    }

    /// A table of the subtask.
    pub(super) fn of_subtask(name: &str, redistribution: Redistribution, range: Range<usize>, checksum: u64) -> Self {
        Self::new(name, TableKind::Operator(redistribution), range, checksum)
    }

    fn new(name: &str, kind: TableKind, range: Range<usize>, checksum: u64) -> Self {
        Self {
            name: name.to_owned(),
            kind: kind.number(),
            offset_bytes: range.start as u64,
            length_bytes: (range.end - range.start) as u64,
            checksum,
        }
    }

    /// The checksum of a table of the subtask.
    pub(super) fn checksum(&self) -> u64 {
        self.checksum
    }

    pub(super) fn kind(&self) -> Result<TableKind, Damage> {
        let found = TableKind::ALL.into_iter().find(|(number, _)| *number == self.kind);
        found.map(|(_, kind)| kind).ok_or_else(|| Damage::Malformed(format!("no table has kind {}", self.kind)))
    }

    /// Where the table is in a body of this length.
    pub(super) fn range(&self, body: usize) -> Result<Range<usize>, Damage> {
        let end = self.offset_bytes.checked_add(self.length_bytes).filter(|end| *end <= body as u64);
        let end = end.ok_or_else(|| Damage::Malformed(format!("table `{}` lies outside", self.name)))?;
        Ok(self.offset_bytes as usize..end as usize)
    }
}
