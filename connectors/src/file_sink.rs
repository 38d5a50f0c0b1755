//! Writes records to files in a directory, here or in an object store.
//!
//! ```text
//!  task ─► queue ─► thread: bucket of each row ─► encode ─► .part-….inprogress ─► committable ─► part-…
//! ```
//!
//! A two-phase sink (see [`committing`]): a part that is finished is a committable, and publishing it
//! is the commit. Parts are called `<prefix>-<uid>-<n><suffix>`, in the directory or in a subdirectory that a
//! [`BucketAssigner`] chooses for every row; the uid says which attempt of which subtask of which sink of which job wrote
//! it. A part is invisible until it is published: locally its name starts with a dot and ends with `.inprogress` until
//! then, in an object store it is a multipart upload. A part is finished when
//! - it has reached the size of the [`RollingPolicy`],
//! - it has been open for the rollover interval, or had no record for the inactivity interval,
//! - a checkpoint's barrier comes, unless the policy keeps parts open over checkpoints,
//! - there are too many open ones,
//! - the input has ended.
//!
//! What is visible is exactly once what completed checkpoints cover, whatever crashes when. A part that is kept open over
//! a checkpoint is listed by it with its length of that moment; after a restart that much of it is published, and a new
//! part goes on.
//!
//! After a restart, open parts that earlier attempts of the same job left are removed; those of other sinks and jobs,
//! and finished ones, are never touched. In S3 the same holds for uploads; in other object stores, those that a crash left
//! open are invisible and stay until the store's rule for incomplete uploads removes them.
//!
//! Without checkpoints a finished part is published at once. A job that fails or is cancelled abandons its open parts
//! and removes them where it still can; finished parts stay. So after a failure the directory holds whole parts of a part
//! of the input.
//!
//! Flush policy: a batch is handed to the operating system when it is encoded (Parquet: when a row group is full);
//! a finished part is synced to its disk before it is listed or gets its name.

mod bucket;
mod committer;
mod date_time;
mod encoder;
mod kept;
mod leftovers;
mod names;
mod part;
mod pending;
mod resumable;
mod rolling;
mod writer;

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use pelton_filesystem::location::{Location, Place};
use pelton_runtime_core::failure::error_chain;
use pelton_runtime_core::operator::{Operator, OperatorError, OperatorFactory, OperatorResult, OperatorRuntime};

pub use bucket::{BucketAssigner, Buckets, ColumnBuckets};
pub use date_time::{DateTimeBuckets, InvalidPattern};
pub use rolling::RollingPolicy;

use self::committer::FileCommitter;
use self::pending::PendingPart;
use self::writer::{FileWriter, Settings};
use crate::committing::{self, Committer, CommittingSink, SinkWriter};

/// How records become bytes.
#[derive(Debug, Clone)]
pub enum FileSinkFormat {
    /// One line per record, in the form of [`RowFormatter`](crate::RowFormatter).
    Text,
    /// Comma-separated values.
    Csv {
        /// Whether every part starts with the columns' names.
        header: bool,
        /// What separates fields.
        delimiter: u8,
        /// What stands for null.
        null_literal: String,
    },
    /// One JSON object per line; null columns are left out.
    Json,
    /// Apache Parquet, compressed with Snappy. The schema is needed because a file has one before its first row.
    Parquet(SchemaRef),
}

impl FileSinkFormat {
    /// CSV with commas, without a header, null as nothing.
    pub fn csv() -> Self {
        Self::Csv { header: false, delimiter: b',', null_literal: String::new() }
    }

    fn suffix(&self) -> &'static str {
        match self {
            Self::Text => "",
            Self::Csv { .. } => ".csv",
            Self::Json => ".json",
            Self::Parquet(_) => ".parquet",
        }
    }
}

/// Writes records to part files in a directory. See the module's documentation.
#[derive(Debug, Clone)]
pub struct FileSink {
    directory: String,
    format: FileSinkFormat,
    rolling: RollingPolicy,
    prefix: String,
    suffix: String,
    buckets: Option<Arc<dyn BucketAssigner>>,
    left_out: Vec<String>,
}

impl FileSink {
    /// Writes to `directory`: a path, or a URL of an object store. It is made when it is missing.
    pub fn new(directory: impl Into<String>, format: FileSinkFormat) -> Self {
        let suffix = format.suffix().to_owned();
        let rolling = RollingPolicy::default();
        let prefix = "part".into();
        Self { directory: directory.into(), format, rolling, prefix, suffix, buckets: None, left_out: Vec::new() }
    }

    /// Lines of text.
    pub fn text(directory: impl Into<String>) -> Self {
        Self::new(directory, FileSinkFormat::Text)
    }

    /// When a part is finished and the next begins.
    #[must_use]
    pub fn rolling(mut self, policy: RollingPolicy) -> Self {
        self.rolling = policy;
        self
    }

    /// Which subdirectory a row goes to. Without this all parts are in the directory itself.
    #[must_use]
    pub fn bucket_assigner(mut self, buckets: impl BucketAssigner) -> Self {
        self.buckets = Some(Arc::new(buckets));
        self
    }

    /// Columns that are not written, as the subdirectory has their values in its name.
    #[must_use]
    pub fn leave_out(mut self, columns: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.left_out = columns.into_iter().map(Into::into).collect();
        self
    }

    /// What names of parts start with instead of `part`.
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// What names of parts end with instead of the format's own.
    #[must_use]
    pub fn suffix(mut self, suffix: impl Into<String>) -> Self {
        self.suffix = suffix.into();
        self
    }

    /// Checks the settings, without touching the directory.
    ///
    /// # Errors
    ///
    /// Names the setting that cannot be.
    pub fn validate(&self) -> OperatorResult {
        if self.directory.is_empty() {
            return Err(OperatorError::data("the file sink has no directory to write to"));
        }
        if self.directory.starts_with("http:") || self.directory.starts_with("https:") {
            let message = format!("the file sink cannot write to `{}`: HTTP servers are only read", self.directory);
            return Err(OperatorError::data(message));
        }
        if self.prefix.is_empty() || self.prefix.starts_with(['.', '_']) {
            return Err(OperatorError::data(format!(
                "the file sink's prefix `{}` would hide its files: it must not be empty nor start with `.` or `_`",
                self.prefix
            )));
        }
        if let Some(affix) = [&self.prefix, &self.suffix].into_iter().find(|affix| affix.contains('/')) {
            return Err(OperatorError::data(format!("the file sink's prefix or suffix `{affix}` contains `/`")));
        }
        match &self.format {
            FileSinkFormat::Csv { delimiter: delimiter @ (b'"' | b'\n' | b'\r' | 128..), .. } => {
                let delimiter = char::from(*delimiter);
                Err(OperatorError::data(format!("{delimiter:?} cannot be the delimiter of CSV files")))
            }
            _ => self.rolling.validate(),
        }
    }
}

impl OperatorFactory for FileSink {
    fn create(&self, runtime: &OperatorRuntime) -> OperatorResult<Box<dyn Operator>> {
        self.validate()?;
        let directory = Location::parse(&self.directory, &runtime.configuration)
            .map_err(|error| OperatorError::data(error_chain(&error)))?;
        self.operator_in(directory, runtime)
    }
}

impl FileSink {
    fn operator_in(&self, directory: Location, runtime: &OperatorRuntime) -> OperatorResult<Box<dyn Operator>> {
        if matches!(directory.place(), Place::Remote { .. }) && directory.multipart().is_none() {
            return Err(OperatorError::data(format!(
                "the file sink cannot write to `{directory}`: its object store cannot complete an upload by its id"
            )));
        }
        committing::create(&Arc::new(Placed { sink: self.clone(), directory }), runtime)
    }
}

/// A file sink and where it writes.
struct Placed {
    sink: FileSink,
    directory: Location,
}

impl Placed {
    fn writer_id(&self, runtime: &OperatorRuntime) -> names::WriterId {
        names::WriterId::new(&self.sink.prefix, runtime)
    }
}

impl CommittingSink for Placed {
    type Committable = PendingPart;

    fn writer(&self, runtime: &OperatorRuntime) -> OperatorResult<Box<dyn SinkWriter<PendingPart>>> {
        let FileSink { format, rolling, suffix, buckets, left_out, .. } = self.sink.clone();
        Ok(Box::new(FileWriter::new(Settings {
            parts: part::Target {
                directory: self.directory.clone(),
                writer: self.writer_id(runtime),
                suffix,
                env: runtime.env.clone(),
            },
            format,
            rolling,
            buckets,
            left_out,
        })))
    }

    fn committer(&self, runtime: &OperatorRuntime) -> OperatorResult<Box<dyn Committer<PendingPart>>> {
        Ok(Box::new(FileCommitter::new(self.directory.clone(), self.writer_id(runtime), runtime)))
    }

    fn encode(&self, parts: &[PendingPart]) -> OperatorResult<RecordBatch> {
        pending::encode(parts)
    }

    fn decode(&self, rows: &RecordBatch) -> OperatorResult<Vec<PendingPart>> {
        pending::decode(rows)
    }
}

#[cfg(test)]
mod tests;
