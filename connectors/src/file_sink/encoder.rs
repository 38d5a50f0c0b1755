//! Records into the bytes of a part.

use std::sync::Arc;

use arrow::csv::WriterBuilder;
use arrow::error::ArrowError;
use arrow::json::LineDelimitedWriter;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use pelton_runtime_core::element::StreamBatch;
use pelton_runtime_core::operator::OperatorError;
use std::io::Write;

use super::FileSinkFormat;
use super::part::{Part, WriteError};
use super::pending::PendingPart;
use crate::print::write_lines;

/// Bytes of memory that a Parquet row group may take before it is written.
const ROW_GROUP_BYTES: usize = 64 << 20;

/// Why a batch is not in the part.
#[derive(Debug, thiserror::Error)]
pub(super) enum EncodeError {
    #[error(transparent)]
    Write(#[from] WriteError),
    #[error(transparent)]
    Format(OperatorError),
}

impl From<EncodeError> for OperatorError {
    fn from(error: EncodeError) -> Self {
        match error {
            EncodeError::Write(error) => {
                let action = error.to_string();
                Self::external(action, error.source)
            }
            EncodeError::Format(error) => error,
        }
    }
}

/// A part and how it is written.
pub(super) enum Encoder {
    /// Each batch becomes bytes of its own.
    Rows { part: Box<Part>, format: FileSinkFormat, text: Vec<u8>, first: bool },
    /// The file has an inner order.
    Parquet { writer: Box<ArrowWriter<Part>>, path: String },
}

impl Encoder {
    pub(super) fn new(format: &FileSinkFormat, part: Part) -> Result<Self, EncodeError> {
        let FileSinkFormat::Parquet(schema) = format else {
            return Ok(Self::Rows { part: Box::new(part), format: format.clone(), text: Vec::new(), first: true });
        };
        let path = part.path().to_owned();
        let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
        let writer = ArrowWriter::try_new(part, Arc::clone(schema), Some(properties))
            .map_err(|error| parquet_error(&path, error))?;
        Ok(Self::Parquet { writer: Box::new(writer), path })
    }

    pub(super) fn write(&mut self, batch: &StreamBatch) -> Result<(), EncodeError> {
        match self {
            Self::Rows { part, format, text, first } => {
                text.clear();
                encode(format, batch, std::mem::take(first), text).map_err(EncodeError::Format)?;
                part.write_all(text).map_err(|source| WriteError { path: part.path().to_owned(), source }.into())
            }
            Self::Parquet { writer, path } => {
                writer.write(batch.records()).map_err(|error| parquet_error(path, error))?;
                if writer.in_progress_size() >= ROW_GROUP_BYTES {
                    writer.flush().map_err(|error| parquet_error(path, error))?;
                }
                Ok(())
            }
        }
    }

    /// Bytes the part has, or will have as far as one can tell.
    pub(super) fn bytes(&self) -> u64 {
        match self {
            Self::Rows { part, .. } => part.bytes(),
            Self::Parquet { writer, .. } => (writer.bytes_written() + writer.in_progress_size()) as u64,
        }
    }

    /// Whether [`so_far`](Self::so_far) can be asked for: the bytes up to now are a file of their own.
    pub(super) fn can_be_cut(&self) -> bool {
        match self {
            Self::Rows { part, .. } => part.can_be_cut(),
            Self::Parquet { .. } => false,
        }
    }

    /// The part up to now, durable.
    pub(super) fn so_far(&mut self) -> Result<PendingPart, EncodeError> {
        match self {
            Self::Rows { part, .. } => Ok(part.so_far()?),
            Self::Parquet { path, .. } => {
                let source = std::io::Error::other("a Parquet file cannot be cut");
                Err(WriteError { path: path.clone(), source }.into())
            }
        }
    }

    /// The part with all its bytes.
    pub(super) fn finish(self) -> Result<Part, EncodeError> {
        match self {
            Self::Rows { part, .. } => Ok(*part),
            Self::Parquet { writer, path } => writer.into_inner().map_err(|error| parquet_error(&path, error)),
        }
    }
}

fn encode(format: &FileSinkFormat, batch: &StreamBatch, first: bool, text: &mut Vec<u8>) -> Result<(), OperatorError> {
    match format {
        FileSinkFormat::Text => write_lines(batch, "", text),
        FileSinkFormat::Csv { header, delimiter, null_literal } => {
            let mut writer = WriterBuilder::new()
                .with_header(*header && first)
                .with_delimiter(*delimiter)
                .with_null(null_literal.clone())
                .build(text);
            Ok(writer.write(batch.records())?)
        }
        FileSinkFormat::Json => {
            let mut writer = LineDelimitedWriter::new(text);
            writer.write(batch.records())?;
            Ok(writer.finish()?)
        }
        FileSinkFormat::Parquet(_) => unreachable!("Parquet has an encoder of its own"),
    }
}

fn parquet_error(path: &str, error: ParquetError) -> EncodeError {
    match error {
        ParquetError::External(source) => {
            WriteError { path: path.to_owned(), source: std::io::Error::other(source) }.into()
        }
        error => EncodeError::Format(OperatorError::Arrow(ArrowError::ParquetError(format!("`{path}`: {error}")))),
    }
}
