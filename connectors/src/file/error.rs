//! Why files cannot be read.

use std::fmt;
use std::io;

use pelton_filesystem::location::LocationError;
use pelton_runtime_core::operator::OperatorError;

/// Why a file, or a row in it, cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// A file that a restored reader must go on in, and cannot.
    #[error("`{path}` cannot be read again from where the checkpoint was: it is no regular file")]
    NotRepeatable {
        /// The path.
        path: String,
    },
    /// The location cannot be used.
    #[error(transparent)]
    Location(#[from] LocationError),
    /// Nothing is there.
    #[error("`{path}` does not exist{}", where_it_must_be(path))]
    Missing {
        /// The path or URL.
        path: String,
    },
    /// The operating system refused.
    #[error("cannot read `{path}`")]
    Io {
        /// The path or URL.
        path: String,
        /// What it answered.
        source: io::Error,
    },
    /// The object store refused.
    #[error("cannot read `{path}`")]
    Store {
        /// The URL.
        path: String,
        /// What it answered.
        source: object_store::Error,
    },
    /// The process is shutting down.
    #[error("reading `{path}` was interrupted by the end of the process")]
    Interrupted {
        /// The path or URL.
        path: String,
    },
    /// A compression that is known but not built.
    #[error(
        "cannot read `{path}`: `.{extension}` is not supported; supported are .gz, .gzip, .deflate, .zst and .zstd"
    )]
    Compression {
        /// The path or URL.
        path: String,
        /// The file's extension.
        extension: String,
    },
    /// A line or record has no end.
    #[error(
        "`{path}` {start}: a record of more than {limit} bytes; is it a file of such records? The source's \
         `max_record_bytes` says how long one may be"
    )]
    RecordTooLong {
        /// The path or URL.
        path: String,
        /// Where it starts.
        start: RecordStart,
        /// How long a record may be.
        limit: usize,
    },
    /// The header lacks a column.
    #[error("`{path}` has no column `{column}`; its columns are {}", found.join(", "))]
    MissingColumn {
        /// The path or URL.
        path: String,
        /// The column that was asked for.
        column: String,
        /// The columns that are there.
        found: Vec<String>,
    },
    /// A column of a file with a schema has another type, and its values do not convert.
    #[error("column `{column}` of `{path}` is {found} and cannot be read as {expected}")]
    ColumnType {
        /// The path or URL.
        path: String,
        /// The column.
        column: String,
        /// Its type.
        found: String,
        /// The type that was asked for, or a value of it.
        expected: String,
    },
    /// A row does not fit the schema.
    #[error("`{path}` line {line}: {problem}")]
    BadRow {
        /// The path or URL.
        path: String,
        /// The line, starting at 1.
        line: u64,
        /// What is wrong.
        problem: RowProblem,
    },
    /// Not a Parquet file, or a damaged one.
    #[error("cannot read `{path}` as Parquet")]
    Parquet {
        /// The path or URL.
        path: String,
        /// What is wrong.
        source: ::parquet::errors::ParquetError,
    },
    /// Arrow could not decode.
    #[error("cannot decode `{path}`")]
    Arrow {
        /// The path or URL.
        path: String,
        /// What is wrong.
        source: arrow::error::ArrowError,
    },
}

/// Where a record starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordStart {
    /// In this line, starting at 1.
    Line(u64),
    /// At this byte, in an input that cannot be read again to count its lines.
    Byte(u64),
}

impl fmt::Display for RecordStart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(line) => write!(f, "line {line}"),
            Self::Byte(offset) => write!(f, "after byte {offset}"),
        }
    }
}

/// What is wrong with a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RowProblem {
    /// A value is not of the column's type.
    Value {
        /// The column.
        column: String,
        /// What is there.
        value: String,
        /// What was expected.
        expected: String,
    },
    /// There is no value, and the column needs one.
    Null {
        /// The column.
        column: String,
        /// What was expected.
        expected: String,
    },
    /// The row has another number of fields.
    FieldCount {
        /// How many it has.
        found: usize,
        /// How many were expected.
        expected: usize,
    },
    /// The line is not what the format calls a row.
    Malformed {
        /// The line, shortened.
        line: String,
        /// What the decoder says.
        reason: String,
    },
}

impl fmt::Display for RowProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value { column, value, expected } => {
                write!(f, "column `{column}`: `{}` is not {expected}", shortened(value))
            }
            Self::Null { column, expected } => {
                write!(f, "column `{column}`: no value, and the column is not nullable ({expected})")
            }
            Self::FieldCount { found, expected } => write!(f, "{found} fields, expected {expected}"),
            Self::Malformed { line, reason } => write!(f, "`{}`: {reason}", shortened(line)),
        }
    }
}

/// What those forget whose TaskManagers have several hosts.
fn where_it_must_be(path: &str) -> &'static str {
    if path.contains("://") { "" } else { " on this host; a path must be there on the host of every TaskManager" }
}

/// As much of `text` as an error message should carry.
fn shortened(text: &str) -> String {
    const LIMIT: usize = 100;
    match text.char_indices().nth(LIMIT) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

impl ReadError {
    pub(super) fn io(path: &str, source: io::Error) -> Self {
        match source.kind() {
            io::ErrorKind::NotFound => Self::Missing { path: path.to_owned() },
            _ => Self::Io { path: path.to_owned(), source },
        }
    }

    pub(super) fn store(path: &str, source: object_store::Error) -> Self {
        match source {
            object_store::Error::NotFound { .. } => Self::Missing { path: path.to_owned() },
            source => Self::Store { path: path.to_owned(), source },
        }
    }

    pub(super) fn arrow(path: &str, source: arrow::error::ArrowError) -> Self {
        Self::Arrow { path: path.to_owned(), source }
    }
}

impl From<ReadError> for OperatorError {
    fn from(error: ReadError) -> Self {
        let action = error.to_string();
        match error {
            ReadError::Io { source, .. } => Self::external(action, source),
            ReadError::Store { source, .. } => Self::external(action, source),
            ReadError::Interrupted { .. } => Self::external(action, pelton_runtime_core::env::Stopped),
            ReadError::BadRow { .. } => Self::data(format!("{action}; the source's `on_bad_row` can skip such rows")),
            error => Self::data(pelton_runtime_core::failure::error_chain(&error)),
        }
    }
}

/// Why a reader's thread stops early.
#[derive(Debug)]
pub(super) enum Halt {
    /// The task is gone.
    Cancelled,
    /// The input cannot be read.
    Failed(ReadError),
}

impl<E: Into<ReadError>> From<E> for Halt {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}
