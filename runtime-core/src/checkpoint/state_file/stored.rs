//! Tables in the files of a store: what a state file has of them.

use std::io::Write;
use std::ops::Range;

use arrow::array::RecordBatch;
use arrow::error::ArrowError;
use bytes::Bytes;
use prost::Message;

use super::{append as append_table, read_table};
use crate::checkpoint::body::Body;
use crate::checkpoint::envelope::Damage;
use crate::checkpoint::layout;
use crate::key_group::KeyGroupRange;
use crate::state::Namespace;
use crate::state::files::{FilePlace, PlacedFile, StoredFiles, StoredRows, StoredSnapshot, StoredTable};
use crate::window::TimeWindow;

/// The tables and files of one operator instance. Places count from the body's beginning.
#[derive(Message)]
pub(super) struct IndexedStore {
    #[prost(uint32, tag = "1")]
    first_group: u32,
    #[prost(uint32, tag = "2")]
    end_group: u32,
    #[prost(message, repeated, tag = "3")]
    pub(super) tables: Vec<IndexedStoredTable>,
    #[prost(message, repeated, tag = "4")]
    files: Vec<IndexedFile>,
}

/// One table, of which there is a batch without rows in the body.
#[derive(Message)]
pub(super) struct IndexedStoredTable {
    #[prost(string, tag = "1")]
    pub(super) name: String,
    #[prost(uint32, tag = "2")]
    rows: u32,
    #[prost(sint64, tag = "3")]
    now_ms: i64,
    #[prost(message, repeated, tag = "4")]
    namespaces: Vec<IndexedNamespace>,
    #[prost(uint64, tag = "5")]
    offset_bytes: u64,
    #[prost(uint64, tag = "6")]
    length_bytes: u64,
}

/// A window, or none.
#[derive(Message)]
struct IndexedNamespace {
    #[prost(sint64, optional, tag = "1")]
    window_start_ms: Option<i64>,
    #[prost(sint64, tag = "2")]
    window_end_ms: i64,
}

/// A file: with a path, or in the body.
#[derive(Message)]
struct IndexedFile {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, optional, tag = "2")]
    path: Option<String>,
    #[prost(uint64, tag = "3")]
    offset_bytes: u64,
    #[prost(uint64, tag = "4")]
    length_bytes: u64,
}

/// Why it cannot be read.
pub(super) enum ReadError {
    Damage(Damage),
    Arrow(ArrowError),
}

impl From<Damage> for ReadError {
    fn from(damage: Damage) -> Self {
        Self::Damage(damage)
    }
}

/// Appends what has to be known of the tables, whose files have their places.
pub(super) fn append(file: &mut Body<'_>, stored: &StoredSnapshot) -> Result<IndexedStore, ArrowError> {
    let StoredFiles::Placed(placed) = &stored.files else {
        return Err(ArrowError::InvalidArgumentError("the files of a store have no place yet".to_owned()));
    };
    let mut tables = Vec::with_capacity(stored.tables.len());
    for table in &stored.tables {
        let columns = append_table(file, &RecordBatch::new_empty(table.schema.clone()))?;
        let namespaces = table.namespaces.iter().map(|namespace| match namespace.window() {
            Some(window) => IndexedNamespace { window_start_ms: Some(window.start), window_end_ms: window.end },
            None => IndexedNamespace { window_start_ms: None, window_end_ms: 0 },
        });
        tables.push(IndexedStoredTable {
            name: table.name.clone(),
            rows: table.rows.number(),
            now_ms: table.now,
            namespaces: namespaces.collect(),
            offset_bytes: columns.start as u64,
            length_bytes: columns.len() as u64,
        });
    }
    let mut files = Vec::with_capacity(placed.len());
    for PlacedFile { name, place } in placed {
        let name = name.clone();
        files.push(match place {
            FilePlace::At(path) => IndexedFile { name, path: Some(path.clone()), offset_bytes: 0, length_bytes: 0 },
            FilePlace::Here(bytes) => {
                let start = file.len();
                file.write_all(bytes)?;
                IndexedFile { name, path: None, offset_bytes: start as u64, length_bytes: bytes.len() as u64 }
            }
        });
    }
    let KeyGroupRange { start: first_group, end: end_group } = stored.groups;
    Ok(IndexedStore { first_group, end_group, tables, files })
}

/// What a body has of a store.
pub(super) fn read(body: &Bytes, index: IndexedStore) -> Result<StoredSnapshot, ReadError> {
    let tables = index.tables.into_iter().map(|table| {
        let malformed = || Damage::Malformed(format!("table `{}` is of no known kind", table.name));
        let columns = body.slice(range(table.offset_bytes, table.length_bytes, body.len())?);
        let (schema, _) = read_table(columns).map_err(ReadError::Arrow)?;
        let namespaces = table.namespaces.iter().map(|namespace| match namespace.window_start_ms {
            Some(start) => Namespace::Window(TimeWindow::new(start, namespace.window_end_ms)),
            None => Namespace::Void,
        });
        Ok(StoredTable {
            rows: StoredRows::of(table.rows).ok_or_else(malformed)?,
            schema,
            now: table.now_ms,
            namespaces: namespaces.collect(),
            name: table.name,
        })
    });
    let tables = tables.collect::<Result<Vec<_>, ReadError>>()?;
    let files = index.files.into_iter().map(|file| {
        // A name becomes one of a local file.
        if !layout::is_valid(&file.name) || file.name.contains('/') {
            return Err(Damage::Malformed(format!("no file of a store is called `{}`", file.name)));
        }
        let place = match file.path {
            Some(path) => FilePlace::At(path),
            None => FilePlace::Here(body.slice(range(file.offset_bytes, file.length_bytes, body.len())?)),
        };
        Ok(PlacedFile { name: file.name, place })
    });
    Ok(StoredSnapshot {
        groups: KeyGroupRange { start: index.first_group, end: index.end_group },
        tables,
        files: StoredFiles::Placed(files.collect::<Result<Vec<_>, Damage>>()?),
    })
}

fn range(offset: u64, length: u64, body: usize) -> Result<Range<usize>, Damage> {
    let end = offset.checked_add(length).filter(|end| *end <= body as u64);
    let end = end.ok_or_else(|| Damage::Malformed("a part of a store lies outside".to_owned()))?;
    Ok(offset as usize..end as usize)
}
