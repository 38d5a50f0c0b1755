//! `filesystem`: files of rows, read once.
//!
//! | option | |
//! |---|---|
//! | `path` | a file or a directory, here or in an object store |
//! | `format` | `csv`, `json` or `parquet` |
//! | `csv.field-delimiter`, `csv.quote-character`, `csv.escape-character`, `csv.null-literal`, `csv.disable-quote-character`, `csv.allow-comments` | how values are written |

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use pelton_connectors::{CsvOptions, FileFormat, FileSource, JsonOptions, ParquetOptions};

use super::{Connector, Options, ReadTable, TableSink, TableSource};
use crate::catalog::Table;
use crate::error::SqlError;

pub(super) struct Filesystem;

impl Connector for Filesystem {
    fn source(&self, read: &ReadTable<'_>, options: &mut Options<'_>) -> Result<TableSource, SqlError> {
        let table = read.table;
        if table.is_partitioned {
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
            "avro" | "raw" | "debezium-json" | "canal-json" | "maxwell-json" | "ogg-json" | "orc" | "protobuf" => {
                return Err(SqlError::not_supported(table.place, format!("the format `{format}`"), ""));
            }
            other => return Err(SqlError::unknown(table.place, "format", other, ["csv", "json", "parquet"])),
        };
        // `file:/path` is a path; the rest is an object store's business.
        let path = path.strip_prefix("file://").or_else(|| path.strip_prefix("file:")).unwrap_or(path);
        Ok(TableSource { factory: Arc::new(FileSource::new(path, format)), schema, parallelism: None })
    }

    fn sink(&self, table: &Table, _options: &mut Options<'_>) -> Result<TableSink, SqlError> {
        let why = "`print` and `blackhole` can be written to";
        Err(SqlError::not_supported(table.place, "INSERT INTO a table of the connector `filesystem`", why))
    }
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
