//! `filesystem`: files of rows, read once; and written, each complete when it is seen.
//!
//! | option | |
//! |---|---|
//! | `path` | a file or a directory, here or in an object store |
//! | `format` | `csv`, `json` or `parquet` |
//! | `csv.field-delimiter`, `csv.quote-character`, `csv.escape-character`, `csv.null-literal`, `csv.disable-quote-character`, `csv.allow-comments` | how values are written |
//! | `sink.rolling-policy.file-size`, `sink.rolling-policy.rollover-interval`, `sink.rolling-policy.inactivity-interval` | when a file is complete, beside every checkpoint |
//! | `sink.parallelism` | how many write |

use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use pelton_connectors::{
    ColumnBuckets, CsvOptions, FileFormat, FileSink, FileSinkFormat, FileSource, JsonOptions, ParquetOptions,
    RollingPolicy,
};
use pelton_runtime_core::config::{ByteSize, parse_duration};

use super::{Accepts, Connector, Options, ReadTable, TableSink, TableSource, Times};
use crate::catalog::Table;
use crate::error::SqlError;

pub(super) struct Filesystem;

impl Connector for Filesystem {
    fn source(&self, read: &ReadTable<'_>, options: &mut Options<'_>) -> Result<TableSource, SqlError> {
        let table = read.table;
        if !table.partitioned_by.is_empty() {
            return Err(SqlError::not_supported(table.place, "reading a table that is PARTITIONED BY", ""));
        }
        let path = options.require("path")?;
        let stored = table.stored();
        let format = options.require("format")?;
        let (format, schema) = match format {
            "csv" => (FileFormat::Csv(csv(&stored, options)?), stored),
            "json" => (FileFormat::Json(JsonOptions::new(Arc::clone(&stored))), stored),
            // Columns that nobody reads are not read.
            "parquet" => {
                let fields: Vec<_> = read.columns.iter().map(|column| Arc::clone(&column.field)).collect();
                let schema = Arc::new(arrow::datatypes::Schema::new(fields));
                (FileFormat::Parquet(ParquetOptions::new(Arc::clone(&schema))), schema)
            }
            other => return Err(unknown_format(table, other)),
        };
        // `file:/path` is a path; the rest is an object store's business.
        let path = path.strip_prefix("file://").or_else(|| path.strip_prefix("file:")).unwrap_or(path);
        Ok(TableSource { factory: Arc::new(FileSource::new(path, format)), schema, parallelism: None })
    }

    fn sink(&self, table: &Table, options: &mut Options<'_>) -> Result<TableSink, SqlError> {
        for missing in ["sink.partition-commit.trigger", "sink.partition-commit.policy.kind", "auto-compaction"] {
            if let Some(option) = options.take(missing) {
                let why = "a partition is seen as its files are";
                return Err(SqlError::not_supported(option.place, format!("the option '{missing}'"), why));
            }
        }
        let path = options.require("path")?;
        let path = path.strip_prefix("file://").or_else(|| path.strip_prefix("file:")).unwrap_or(path);
        let format = options.require("format")?;
        let is_partition = |field: &arrow::datatypes::FieldRef| table.partitioned_by.contains(field.name());
        let (format, times) = match format {
            "csv" => (written_csv(options)?, Times::Texts),
            "json" => (FileSinkFormat::Json, Times::Texts),
            "parquet" => {
                let fields: Vec<_> =
                    table.stored().fields().iter().filter(|field| !is_partition(field)).cloned().collect();
                (FileSinkFormat::Parquet(Arc::new(arrow::datatypes::Schema::new(fields))), Times::Values)
            }
            other => return Err(unknown_format(table, other)),
        };
        let mut sink = FileSink::new(path, format).rolling(rolling(options)?);
        if !table.partitioned_by.is_empty() {
            let columns = table.partitioned_by.clone();
            sink = sink.bucket_assigner(ColumnBuckets::new(columns.clone())).leave_out(columns);
        }
        let parallelism = options.parallelism("sink.parallelism")?;
        Ok(TableSink { operator: Arc::new(sink), parallelism, accepts: Accepts::Inserts, times })
    }
}

fn unknown_format(table: &Table, format: &str) -> SqlError {
    const MISSING: [&str; 8] =
        ["avro", "raw", "debezium-json", "canal-json", "maxwell-json", "ogg-json", "orc", "protobuf"];
    if MISSING.contains(&format) {
        return SqlError::not_supported(table.place, format!("the format `{format}`"), "");
    }
    SqlError::unknown(table.place, "format", format, ["csv", "json", "parquet"])
}

/// When a part is complete.
fn rolling(options: &mut Options<'_>) -> Result<RollingPolicy, SqlError> {
    let mut policy = RollingPolicy::default();
    if let Some(option) = options.take("sink.rolling-policy.file-size") {
        let size: ByteSize = option.value.parse().map_err(|_| options.refuse(option, "a size, such as 128MB"))?;
        policy = policy.max_part_bytes(size.as_bytes());
    }
    if let Some(interval) = duration(options, "sink.rolling-policy.rollover-interval")? {
        policy = policy.rollover_interval(interval);
    }
    if let Some(interval) = duration(options, "sink.rolling-policy.inactivity-interval")? {
        policy = policy.inactivity_interval(interval);
    }
    // How often it is looked whether a part is complete: here it is when it is due.
    duration(options, "sink.rolling-policy.check-interval")?;
    Ok(policy)
}

fn duration(options: &mut Options<'_>, key: &'static str) -> Result<Option<Duration>, SqlError> {
    let Some(option) = options.take(key) else { return Ok(None) };
    match parse_duration(&option.value) {
        Some(duration) => Ok(Some(duration)),
        None => Err(options.refuse(option, "a duration, such as 1 min")),
    }
}

/// How values are written.
fn written_csv(options: &mut Options<'_>) -> Result<FileSinkFormat, SqlError> {
    let delimiter = byte(options, "csv.field-delimiter")?.unwrap_or(b',');
    let null_literal = options.take("csv.null-literal").map(|option| option.value.clone()).unwrap_or_default();
    for missing in ["csv.quote-character", "csv.disable-quote-character", "csv.escape-character"] {
        if let Some(option) = options.take(missing) {
            let what = format!("the option '{missing}' of a table that is written to");
            return Err(SqlError::not_supported(option.place, what, ""));
        }
    }
    Ok(FileSinkFormat::Csv { header: false, delimiter, null_literal })
}

fn csv(stored: &SchemaRef, options: &mut Options<'_>) -> Result<CsvOptions, SqlError> {
    let mut csv = CsvOptions::new(Arc::clone(stored));
    if let Some(delimiter) = byte(options, "csv.field-delimiter")? {
        csv = csv.delimiter(delimiter);
    }
    if let Some(quote) = byte(options, "csv.quote-character")? {
        csv = csv.quote(Some(quote));
    }
    if options.is_on("csv.disable-quote-character")? {
        csv = csv.quote(None);
    }
    if let Some(escape) = byte(options, "csv.escape-character")? {
        csv = csv.escape(Some(escape));
    }
    if options.is_on("csv.allow-comments")? {
        csv = csv.comment(Some(b'#'));
    }
    if let Some(null) = options.take("csv.null-literal") {
        csv = csv.null_literal(null.value.as_str());
    }
    Ok(csv)
}

/// An option of one ASCII character.
fn byte(options: &mut Options<'_>, key: &'static str) -> Result<Option<u8>, SqlError> {
    let Some(option) = options.take(key) else { return Ok(None) };
    match option.value.as_str() {
        "\\t" => Ok(Some(b'\t')),
        text if text.len() == 1 => Ok(text.bytes().next()),
        _ => Err(options.refuse(option, "one ASCII character")),
    }
}
