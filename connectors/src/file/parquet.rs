//! Apache Parquet: columns by name, row groups as splits.
//!
//! A column that the file lacks is null where the schema allows it. A column of another type is converted; a value
//! that does not survive that fails the job, as a file with a schema of its own has no bad rows.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, BufReader, Cursor, Read};
use std::sync::Arc;

use ::parquet::arrow::ProjectionMask;
use ::parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use ::parquet::errors::ParquetError;
use ::parquet::file::reader::{ChunkReader, Length};
use arrow::array::{Array, ArrayRef, RecordBatch, new_null_array};
use arrow::compute::{CastOptions, can_cast_types, cast_with_options};
use arrow::datatypes::{Schema, SchemaRef};
use bytes::Bytes;
use object_store::ObjectStore;
use object_store::path::Path as StorePath;
use parking_lot::Mutex;
use pelton_filesystem::location::Place;
use pelton_runtime_core::env::Env;
use pelton_runtime_core::operator::TARGET_BATCH_ROWS;

use super::error::{Halt, ReadError};
use super::input;
use super::source::{Output, SplitContext};
use super::split::Part;

/// How Parquet files are read.
#[derive(Debug, Clone)]
pub struct ParquetOptions {
    schema: SchemaRef,
}

impl ParquetOptions {
    /// Rows of this schema.
    pub fn new(schema: SchemaRef) -> Self {
        Self { schema }
    }

    /// The rows' schema.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }
}

pub(super) fn read(options: &ParquetOptions, split: &SplitContext<'_>, output: &mut Output<'_>) -> Result<(), Halt> {
    let path = &split.file().name;
    let failed = |source| ReadError::Parquet { path: path.clone(), source };
    let chunks = match &split.file().place {
        Place::Local(local) => Chunks::Local(File::open(local).map_err(|source| ReadError::io(path, source))?),
        Place::Remote { store, path: object } => Chunks::Remote(RemoteFile {
            store: Arc::clone(store),
            path: object.clone(),
            size: split.file().size.unwrap_or(0),
            env: split.env().clone(),
            windows: Mutex::new(VecDeque::new()),
        }),
    };
    let builder = ParquetRecordBatchReaderBuilder::try_new(chunks).map_err(failed)?;
    let row_groups: Vec<usize> = (0..builder.metadata().num_row_groups())
        .filter(|&group| match split.part() {
            Part::RowGroups { share, shares } => group % shares as usize == share as usize,
            _ => true,
        })
        .collect();
    if row_groups.is_empty() {
        return Ok(());
    }
    check_columns(&options.schema, builder.schema(), path)?;
    let wanted = builder
        .schema()
        .fields()
        .iter()
        .enumerate()
        .filter(|(_, field)| options.schema.column_with_name(field.name()).is_some())
        .map(|(index, _)| index);
    let mask = ProjectionMask::roots(builder.parquet_schema(), wanted);
    let mut position = split.position().unwrap_or(0);
    let skipped = usize::try_from(position).map_err(|error| failed(ParquetError::External(error.into())))?;
    let batches = builder
        .with_projection(mask)
        .with_row_groups(row_groups)
        .with_offset(skipped)
        .with_batch_size(TARGET_BATCH_ROWS)
        .build()
        .map_err(failed)?;
    for batch in batches {
        let batch = batch.map_err(|source| ReadError::arrow(path, source))?;
        position += batch.num_rows() as u64;
        output.emit(arrange(&options.schema, &batch, path)?, position)?;
    }
    Ok(())
}

fn check_columns(wanted: &Schema, found: &Schema, path: &str) -> Result<(), ReadError> {
    for column in wanted.fields() {
        match found.column_with_name(column.name()) {
            Some((_, field)) if can_cast_types(field.data_type(), column.data_type()) => {}
            Some((_, field)) => {
                return Err(ReadError::ColumnType {
                    path: path.to_owned(),
                    column: column.name().clone(),
                    found: field.data_type().to_string(),
                    expected: column.data_type().to_string(),
                });
            }
            None if column.is_nullable() => {}
            None => {
                return Err(ReadError::MissingColumn {
                    path: path.to_owned(),
                    column: column.name().clone(),
                    found: found.fields().iter().map(|field| field.name().clone()).collect(),
                });
            }
        }
    }
    Ok(())
}

/// The file's columns in the order and types of `schema`.
fn arrange(schema: &SchemaRef, batch: &RecordBatch, path: &str) -> Result<RecordBatch, ReadError> {
    let exact = CastOptions { safe: false, ..CastOptions::default() };
    let columns = schema
        .fields()
        .iter()
        .map(|field| -> Result<ArrayRef, ReadError> {
            let column = match batch.column_by_name(field.name()) {
                None => new_null_array(field.data_type(), batch.num_rows()),
                Some(column) if column.data_type() == field.data_type() => Arc::clone(column),
                Some(column) => {
                    cast_with_options(column, field.data_type(), &exact).map_err(|error| ReadError::ColumnType {
                        path: path.to_owned(),
                        column: field.name().clone(),
                        found: column.data_type().to_string(),
                        expected: format!("{} ({error})", field.data_type()),
                    })?
                }
            };
            if !field.is_nullable() && column.null_count() > 0 {
                return Err(ReadError::ColumnType {
                    path: path.to_owned(),
                    column: field.name().clone(),
                    found: "null in some rows".to_owned(),
                    expected: format!("{} without nulls", field.data_type()),
                });
            }
            Ok(column)
        })
        .collect::<Result<_, _>>()?;
    RecordBatch::try_new(Arc::clone(schema), columns).map_err(|source| ReadError::arrow(path, source))
}

/// Random access to a file.
enum Chunks {
    Local(File),
    Remote(RemoteFile),
}

/// An object that is read in windows: the reader asks for many small pieces, and a request costs more than a window.
struct RemoteFile {
    store: Arc<dyn ObjectStore>,
    path: StorePath,
    size: u64,
    env: Env,
    /// Where a window starts, and its bytes; the oldest first.
    windows: Mutex<VecDeque<(u64, Bytes)>>,
}

/// More than any page header has.
const PAGE_HEADER_BYTES: u64 = 64 << 10;

const WINDOW_BYTES: u64 = 2 << 20;

/// Columns are read side by side, each in its own place.
const MAX_WINDOWS: usize = 16;

/// What the footer's reader is given to read from.
enum ChunkRead {
    Local(BufReader<File>),
    Remote(Cursor<Bytes>),
}

impl Read for ChunkRead {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Local(file) => file.read(buffer),
            Self::Remote(bytes) => bytes.read(buffer),
        }
    }
}

impl Length for Chunks {
    fn len(&self) -> u64 {
        match self {
            Self::Local(file) => Length::len(file),
            Self::Remote(file) => file.size,
        }
    }
}

impl RemoteFile {
    fn get(&self, start: u64, length: u64) -> Result<Bytes, ParquetError> {
        let window = self.window(start, length)?;
        let length = usize::try_from(length).map_err(|error| ParquetError::External(error.into()))?;
        if window.len() < length {
            return Err(ParquetError::EOF(format!("{length} bytes at {start} are beyond the end")));
        }
        Ok(window.slice(..length))
    }

    /// Bytes from `start` on: at least `length` where the object has them.
    fn window(&self, start: u64, length: u64) -> Result<Bytes, ParquetError> {
        let end = (start + length).min(self.size);
        let mut windows = self.windows.lock();
        let covering = windows.iter().find(|(at, bytes)| *at <= start && end <= at + bytes.len() as u64);
        if let Some((at, bytes)) = covering {
            // The difference is smaller than the window, which is in memory.
            return Ok(bytes.slice((start - at) as usize..));
        }
        let wanted = length.max(WINDOW_BYTES).min(self.size.saturating_sub(start));
        let wanted = usize::try_from(wanted).map_err(|error| ParquetError::External(error.into()))?;
        let bytes = input::fetch(&self.store, &self.path, start, wanted, &self.env)?;
        if windows.len() == MAX_WINDOWS {
            windows.pop_front();
        }
        windows.push_back((start, bytes.clone()));
        Ok(bytes)
    }
}

impl ChunkReader for Chunks {
    type T = ChunkRead;

    fn get_read(&self, start: u64) -> Result<ChunkRead, ParquetError> {
        match self {
            Self::Local(file) => Ok(ChunkRead::Local(file.get_read(start)?)),
            // Readers ask so for page headers, whose length they do not know.
            Self::Remote(file) => Ok(ChunkRead::Remote(Cursor::new(file.window(start, PAGE_HEADER_BYTES)?))),
        }
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        match self {
            Self::Local(file) => file.get_bytes(start, length),
            Self::Remote(file) => file.get(start, length as u64),
        }
    }
}
