//! The file of one subtask: the tables of all its operators, each an Arrow stream with its schema.
//!
//! ```text
//!  header │ table │ table │ … │ in flight │ index: operator ─► table ─► kind, offset, length │ index length 8 │ checksum
//! ```
//!
//! Who has none of the keys in a file reads its end and its tables of the subtask alone ([`Outline`]). Of tables that lie
//! in files of their own, those of a store, the file has their names, their columns and where the files are.
//! The same goes for tables that lie in layers ([`layers`](crate::state::layers)), of which the highest may be in the file itself.
//! Tables begin at multiples of 64 bytes and are read without a copy. The first column of a keyed table is the key
//! group. See [`envelope`] for header and checksum.
//!
//! Invariant: what is read is what was written, or an error that names the file.

mod index;
mod outline;
mod stored;

use std::collections::BTreeSet;
use std::io::{self, Read, Seek, Write};
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::buffer::Buffer;
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, UInt32Type};
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamDecoder;
use arrow::ipc::writer::StreamWriter;
use bytes::Bytes;

use self::index::{Index, IndexedLayers, IndexedOperator, IndexedTable, TableKind};
pub use self::outline::{Outline, Outlined};
use super::body::Body;
use super::envelope::{self, Damage, Kind};
use super::in_flight::{self, InFlight, ReadError};
use super::snapshot::{KeyedTable, OperatorSnapshot, OperatorTable, Redistribution, StreamedTable};
use crate::failure::{Classify, FailureClass};
use crate::id::OperatorId;
use crate::state::StateError;
use crate::state::layers::{LayeredSnapshot, Layers, VoidKeys};

const KIND: Kind = Kind { magic: *b"PELTONST", version: 1 };

/// Why state has no form in bytes, or bytes are no state.
#[derive(Debug, thiserror::Error)]
pub enum StateFileError {
    /// An operator handed over a table that is none.
    #[error("table `{table}` of operator {operator} cannot be written")]
    Unwritable {
        /// Whose.
        operator: OperatorId,
        /// Which.
        table: String,
        /// Why.
        source: ArrowError,
    },
    /// What is in flight cannot be written.
    #[error("records in flight cannot be written")]
    InFlight(#[source] ArrowError),
    /// Where the file is put together there is no place for it.
    #[error("a state file cannot be put together")]
    Unplaced(#[from] io::Error),
    /// The bytes are not those of a state file, or not the ones that were written.
    #[error("the state file `{file}` {damage}")]
    Damaged {
        /// The file.
        file: String,
        /// What is wrong with it.
        damage: Damage,
    },
    /// A table of a file whose checksum matches cannot be read.
    #[error("table `{table}` of operator {operator} in the state file `{file}` cannot be read")]
    Unreadable {
        /// The file.
        file: String,
        /// Whose.
        operator: OperatorId,
        /// Which.
        table: String,
        /// Why.
        source: ArrowError,
    },
    /// A layer has no state of the operator that names it.
    #[error("the state file `{file}` has no state of operator {operator}, which names it")]
    OtherOperator {
        /// The file.
        file: String,
        /// Who names it.
        operator: OperatorId,
    },
    /// What was in flight, in a file whose checksum matches, cannot be read.
    #[error("records in flight in the state file `{file}` cannot be read")]
    UnreadableInFlight {
        /// The file.
        file: String,
        /// Why.
        source: ArrowError,
    },
}

impl Classify for StateFileError {
    fn class(&self) -> FailureClass {
        match self {
            Self::Unwritable { .. } | Self::InFlight(_) | Self::Unplaced(_) => FailureClass::System,
            Self::Damaged { .. }
            | Self::Unreadable { .. }
            | Self::UnreadableInFlight { .. }
            | Self::OtherOperator { .. } => FailureClass::Corrupt,
        }
    }
}

/// The bytes of a file with the state of these operators. Operators without state are left out; none if all are.
///
/// # Errors
///
/// When a table's key groups are not as many as its rows, or Arrow cannot write it.
pub fn encode(operators: &[(OperatorId, OperatorSnapshot)]) -> Result<Option<Vec<u8>>, StateFileError> {
    encode_with(operators, &InFlight::default())
}

/// The bytes of a file with the state of these operators and what was in flight towards them; none if there is nothing.
///
/// # Errors
///
/// As of [`encode`].
pub fn encode_with(
    operators: &[(OperatorId, OperatorSnapshot)],
    in_flight: &InFlight,
) -> Result<Option<Vec<u8>>, StateFileError> {
    let mut file = io::Cursor::new(Vec::new());
    Ok(encode_into(operators, in_flight, &mut file)?.map(|_| file.into_inner()))
}

/// The same in `file`, which is empty: only a part of it is in memory at once. Answers with its length.
///
/// # Errors
///
/// As of [`encode`], and when the file cannot be written.
pub fn encode_into(
    operators: &[(OperatorId, OperatorSnapshot)],
    in_flight: &InFlight,
    file: &mut (impl Read + Write + Seek),
) -> Result<Option<u64>, StateFileError> {
    if operators.iter().all(|(_, snapshot)| snapshot.is_empty()) && in_flight.is_empty() {
        return Ok(None);
    }
    let mut file = Body::begin(&KIND, file);
    let mut index = Index::default();
    for (id, snapshot) in operators.iter().filter(|(_, snapshot)| !snapshot.is_empty()) {
        let unwritable =
            |table: &str, source| StateFileError::Unwritable { operator: *id, table: table.to_owned(), source };
        let stored = snapshot.stored.as_ref().map(|stored| stored::append(&mut file, stored));
        let stored = stored.transpose().map_err(|error| unwritable("stored", error))?;
        let mut tables = Vec::with_capacity(snapshot.keyed.len() + snapshot.operator.len());
        for table in &snapshot.keyed {
            let written = with_key_groups(&table.key_groups, &table.rows).and_then(|rows| append(&mut file, &rows));
            let range = written.map_err(|error| unwritable(&table.name, error))?;
            tables.push(IndexedTable::keyed(&table.name, range));
        }
        for table in &snapshot.streamed {
            if let Some(range) = append_streamed(&mut file, table).map_err(|error| unwritable(&table.name, error))? {
                tables.push(IndexedTable::keyed(&table.name, range));
            }
        }
        for table in &snapshot.operator {
            let written = append_checked(&mut file, &table.rows);
            let (range, checksum) = written.map_err(|error| unwritable(&table.name, error))?;
            tables.push(IndexedTable::of_subtask(&table.name, table.redistribution, range, checksum));
        }
        for VoidKeys { table, keys } in &snapshot.void {
            let range = append(&mut file, keys).map_err(|error| unwritable(table, error))?;
            tables.push(IndexedTable::void(table, range));
        }
        let layered = snapshot.layered.as_deref().map(indexed_layers).transpose();
        let layered = layered.map_err(|error| unwritable("layered", error))?;
        index.operators.push(IndexedOperator::new(*id, tables, stored, layered));
    }
    if !in_flight.is_empty() {
        index.in_flight = Some(in_flight::append(&mut file, in_flight).map_err(StateFileError::InFlight)?);
    }
    index.append_to(&mut file)?;
    Ok(Some(file.seal()?))
}

/// The state in these bytes of `file`.
///
/// # Errors
///
/// When the bytes are not a state file's, not complete or not the written ones, or something was in flight.
pub fn decode(file: &str, bytes: &Bytes) -> Result<Vec<(OperatorId, OperatorSnapshot)>, StateFileError> {
    let (operators, in_flight) = decode_with(file, bytes)?;
    if in_flight.is_empty() {
        return Ok(operators);
    }
    let damage = Damage::Malformed("it has records in flight where none can be".to_owned());
    Err(StateFileError::Damaged { file: file.to_owned(), damage })
}

/// The state in these bytes of `file`, and what was in flight.
///
/// # Errors
///
/// When the bytes are not a state file's, not complete or not the written ones.
pub fn decode_with(
    file: &str,
    bytes: &Bytes,
) -> Result<(Vec<(OperatorId, OperatorSnapshot)>, InFlight), StateFileError> {
    let damaged = |damage| StateFileError::Damaged { file: file.to_owned(), damage };
    decode_body(file, &envelope::open(&KIND, bytes).map_err(damaged)?)
}

/// The same of bytes that are known to be those that were written, by their SHA-256.
///
/// # Errors
///
/// When the bytes are not a state file's.
pub fn decode_known(
    file: &str,
    bytes: &Bytes,
) -> Result<(Vec<(OperatorId, OperatorSnapshot)>, InFlight), StateFileError> {
    let damaged = |damage| StateFileError::Damaged { file: file.to_owned(), damage };
    decode_body(file, &envelope::open_known(&KIND, bytes).map_err(damaged)?)
}

fn decode_body(file: &str, body: &Bytes) -> Result<(Vec<(OperatorId, OperatorSnapshot)>, InFlight), StateFileError> {
    let damaged = |damage| StateFileError::Damaged { file: file.to_owned(), damage };
    let index = Index::read(body).map_err(damaged)?;
    let mut operators = Vec::with_capacity(index.operators.len());
    for operator in index.operators {
        let id = operator.id().map_err(damaged)?;
        let mut snapshot = OperatorSnapshot::default();
        let mut names = Vec::with_capacity(operator.tables.len());
        for table in operator.tables {
            let range = table.range(body.len()).map_err(damaged)?;
            let kind = table.kind().map_err(damaged)?;
            let name = table.name.as_str();
            if kind != TableKind::Void {
                names.push((kind == TableKind::Keyed, name.to_owned()));
            }
            let unreadable = |source| {
                let (file, table) = (file.to_owned(), name.to_owned());
                StateFileError::Unreadable { file, operator: id, table, source }
            };
            match kind {
                TableKind::Operator(redistribution) => {
                    let table = operator_table(name, redistribution, body.slice(range));
                    snapshot.operator.push(table.map_err(unreadable)?);
                }
                TableKind::Void => {
                    let (schema, batches) = read_table(body.slice(range)).map_err(unreadable)?;
                    let keys = concat_batches(&schema, &batches).map_err(unreadable)?;
                    snapshot.void.push(VoidKeys { table: name.to_owned(), keys });
                }
                // Many rows come in several batches, which are never put together: they may be more than fits.
                TableKind::Keyed => {
                    let (_, batches) = read_table(body.slice(range)).map_err(unreadable)?;
                    for rows in batches {
                        let (key_groups, rows) = split_key_groups(&rows).map_err(unreadable)?;
                        snapshot.keyed.push(KeyedTable { name: name.to_owned(), key_groups, rows });
                    }
                }
            }
        }
        if let Some(stored) = operator.stored {
            let stored = stored::read(body, stored).map_err(|error| match error {
                stored::ReadError::Damage(damage) => damaged(damage),
                stored::ReadError::Arrow(source) => {
                    let (file, table) = (file.to_owned(), "stored".to_owned());
                    StateFileError::Unreadable { file, operator: id, table, source }
                }
            })?;
            names.extend(stored.tables.iter().map(|table| (true, table.name.clone())));
            snapshot.stored = Some(stored);
        }
        if let Some(IndexedLayers { tables, paths }) = operator.layered {
            snapshot.layered = Some(Box::new(LayeredSnapshot { tables, layers: Layers::Placed(paths) }));
        }
        refuse_repeated(names).map_err(damaged)?;
        operators.push((id, snapshot));
    }
    let in_flight = index.in_flight.map_or_else(|| Ok(InFlight::default()), |index| in_flight::read(body, index));
    let in_flight = in_flight.map_err(|error| match error {
        ReadError::Damage(damage) => damaged(damage),
        ReadError::Arrow(source) => StateFileError::UnreadableInFlight { file: file.to_owned(), source },
    })?;
    Ok((operators, in_flight))
}

/// A table of a state file, without its rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableName {
    /// Whose.
    pub operator: OperatorId,
    /// Its name.
    pub name: String,
    /// Whether its rows belong to keys.
    pub keyed: bool,
}

/// What tables there are in these bytes of `file`; their rows are not looked at.
///
/// # Errors
///
/// When the bytes are not a state file's, not complete or not the written ones.
pub fn tables(file: &str, bytes: &Bytes) -> Result<Vec<TableName>, StateFileError> {
    let damaged = |damage| StateFileError::Damaged { file: file.to_owned(), damage };
    let body = envelope::open(&KIND, bytes).map_err(damaged)?;
    names(file, &Index::read(&body).map_err(damaged)?)
}

/// Whether records were in flight to the subtask that wrote these bytes of `file`.
///
/// # Errors
///
/// When the bytes are not a state file's, not complete or not the written ones.
pub fn has_in_flight(file: &str, bytes: &Bytes) -> Result<bool, StateFileError> {
    let damaged = |damage| StateFileError::Damaged { file: file.to_owned(), damage };
    let body = envelope::open(&KIND, bytes).map_err(damaged)?;
    Ok(Index::read(&body).map_err(damaged)?.in_flight.is_some())
}

fn names(file: &str, index: &Index) -> Result<Vec<TableName>, StateFileError> {
    let damaged = |damage| StateFileError::Damaged { file: file.to_owned(), damage };
    let mut names = Vec::new();
    for operator in &index.operators {
        let id = operator.id().map_err(damaged)?;
        for table in &operator.tables {
            let keyed = match table.kind().map_err(damaged)? {
                TableKind::Keyed => true,
                TableKind::Operator(_) => false,
                TableKind::Void => continue,
            };
            names.push(TableName { operator: id, name: table.name.clone(), keyed });
        }
        let elsewhere = operator.tables_elsewhere();
        names.extend(elsewhere.map(|name| TableName { operator: id, name: name.to_owned(), keyed: true }));
    }
    Ok(names)
}

/// Where the layers under an operator's tables are.
fn indexed_layers(layered: &LayeredSnapshot) -> Result<IndexedLayers, ArrowError> {
    match &layered.layers {
        Layers::Placed(paths) => Ok(IndexedLayers { tables: layered.tables.clone(), paths: paths.clone() }),
        Layers::Held { .. } => {
            Err(ArrowError::InvalidArgumentError("layers have their places before they are named".to_owned()))
        }
    }
}

/// A table of a subtask.
fn operator_table(name: &str, redistribution: Redistribution, bytes: Bytes) -> Result<OperatorTable, ArrowError> {
    let (schema, batches) = read_table(bytes)?;
    Ok(OperatorTable { name: name.to_owned(), redistribution, rows: concat_batches(&schema, &batches)? })
}

fn refuse_repeated(names: Vec<(bool, String)>) -> Result<(), Damage> {
    if names.len() != names.iter().collect::<BTreeSet<_>>().len() {
        return Err(Damage::Malformed("an operator has two tables of one name".to_owned()));
    }
    Ok(())
}

/// Appends a table as an Arrow stream; its place counts from the body's beginning.
fn append(file: &mut Body<'_>, rows: &RecordBatch) -> Result<Range<usize>, ArrowError> {
    let start = file.align();
    let mut writer = StreamWriter::try_new(&mut *file, rows.schema_ref())?;
    writer.write(rows)?;
    writer.finish()?;
    drop(writer);
    Ok(start..file.len())
}

/// The same of a small table, with the checksum of its bytes.
fn append_checked(file: &mut Body<'_>, rows: &RecordBatch) -> Result<(Range<usize>, u64), ArrowError> {
    let start = file.align();
    let mut bytes = Vec::new();
    let mut writer = StreamWriter::try_new(&mut bytes, rows.schema_ref())?;
    writer.write(rows)?;
    writer.finish()?;
    drop(writer);
    file.write_all(&bytes)?;
    Ok((start..file.len(), outline::checksum(&bytes)))
}

/// Appends a table whose rows come in batches; none when there are no rows.
fn append_streamed(file: &mut Body<'_>, table: &StreamedTable) -> Result<Option<Range<usize>>, ArrowError> {
    let failed = |error: StateError| ArrowError::ExternalError(Box::new(error));
    let mut batches = table.rows.batches();
    let Some(first) = batches.next() else { return Ok(None) };
    let start = file.align();
    let (groups, rows) = first.map_err(failed)?;
    let first = with_key_groups(&groups, &rows)?;
    let mut writer = StreamWriter::try_new(&mut *file, first.schema_ref())?;
    writer.write(&first)?;
    for batch in batches {
        let (groups, rows) = batch.map_err(failed)?;
        writer.write(&with_key_groups(&groups, &rows)?)?;
    }
    writer.finish()?;
    drop(writer);
    Ok(Some(start..file.len()))
}

/// The schema of a table and its rows, of which there is at least one batch.
fn read_table(bytes: Bytes) -> Result<(SchemaRef, Vec<RecordBatch>), ArrowError> {
    let mut decoder = StreamDecoder::new();
    let mut buffer = Buffer::from(bytes);
    let mut batches = Vec::new();
    while !buffer.is_empty() {
        batches.extend(decoder.decode(&mut buffer)?);
    }
    decoder.finish()?;
    let schema = decoder.schema().ok_or_else(|| ArrowError::IpcError("there is no schema".to_owned()))?;
    if batches.is_empty() {
        batches.push(RecordBatch::new_empty(schema.clone()));
    }
    Ok((schema, batches))
}

/// The rows behind a column of their key groups.
fn with_key_groups(key_groups: &UInt32Array, rows: &RecordBatch) -> Result<RecordBatch, ArrowError> {
    let schema = rows.schema_ref();
    let mut fields = vec![Arc::new(Field::new("key_group", DataType::UInt32, false))];
    fields.extend(schema.fields().iter().cloned());
    let mut columns: Vec<ArrayRef> = vec![Arc::new(key_groups.clone())];
    columns.extend(rows.columns().iter().cloned());
    if key_groups.len() != rows.num_rows() {
        let (groups, rows) = (key_groups.len(), rows.num_rows());
        return Err(ArrowError::InvalidArgumentError(format!("{groups} key groups for {rows} rows")));
    }
    RecordBatch::try_new(Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone())), columns)
}

/// The key groups and the rows behind them.
fn split_key_groups(rows: &RecordBatch) -> Result<(UInt32Array, RecordBatch), ArrowError> {
    let groups = rows.columns().first().and_then(|column| column.as_primitive_opt::<UInt32Type>());
    let groups = groups.ok_or_else(|| ArrowError::SchemaError("the first column is no key group".to_owned()))?;
    if groups.null_count() > 0 || !groups.values().is_sorted() {
        return Err(ArrowError::InvalidArgumentError("the key groups are not in order".to_owned()));
    }
    let schema = rows.schema_ref();
    let fields: Vec<_> = schema.fields().iter().skip(1).cloned().collect();
    let schema = Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()));
    let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
    let columns = rows.columns()[1..].to_vec();
    Ok((groups.clone(), RecordBatch::try_new_with_options(schema, columns, &options)?))
}

#[cfg(test)]
mod tests;
