//! Writes records to files in a directory, here or in an object store.
//!
//! ```text
//!  task ─► queue, bounded in bytes ─► thread: encode ─► .part-….inprogress ─► rename ─► part-…
//! ```
//!
//! Each subtask writes part files `<prefix>-<uid>-<subtask>-<n><suffix>`; the uid says which attempt of which sink of
//! which job wrote it. A part is invisible until it is published: locally its name starts with a dot and ends
//! with `.inprogress` until then, in an object store it is a multipart upload. A part is finished when
//! - it has reached the size of the [`RollingPolicy`],
//! - it has been open for the rollover interval, or had no record for the inactivity interval,
//! - a checkpoint's barrier comes,
//! - the input has ended.
//!
//! With checkpoints a finished part is *pending*: durable, invisible, and listed in the checkpoint's state. It is
//! published when a checkpoint that lists it has completed, and again by whoever restores that checkpoint, which does
//! nothing where it has its name already. A sink whose input has ended waits for the checkpoint that publishes its last
//! parts. So what is visible is exactly once what completed checkpoints cover, whatever crashes when.
//!
//! ```text
//!  write ─► close ─► snapshot lists it ─► checkpoint completes ─► publish        a crash ...
//!     └── removed ──┴── removed ──────────┴── published at restore ──┴── known to be published
//! ```
//!
//! After a restart, open parts that earlier attempts of the same job left are removed; those of other sinks and jobs,
//! and finished ones, are never touched. Uploads that a crash left open in an object store are invisible; the store's
//! rule for incomplete uploads removes them.
//!
//! Without checkpoints a finished part is published at once. A job that fails or is cancelled abandons its open parts
//! and removes them where it still can; finished parts stay. So after a failure the directory holds whole parts of a part
//! of the input.
//!
//! Flush policy: a batch is handed to the operating system when it is encoded (Parquet: when a row group is full);
//! a finished part is synced to its disk before it is listed or gets its name.

mod encoder;
mod operator;
mod part;
mod pending;
mod resumable;
mod rolling;
mod writer;

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use pelton_filesystem::location::Location;
use pelton_runtime_core::operator::{Operator, OperatorError, OperatorFactory, OperatorResult, OperatorRuntime};

pub use rolling::RollingPolicy;

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
}

impl FileSink {
    /// Writes to `directory`: a path, or a URL of an object store. It is made when it is missing.
    pub fn new(directory: impl Into<String>, format: FileSinkFormat) -> Self {
        let suffix = format.suffix().to_owned();
        Self { directory: directory.into(), format, rolling: RollingPolicy::default(), prefix: "part".into(), suffix }
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
            .map_err(|error| OperatorError::data(pelton_runtime_core::failure::error_chain(&error)))?;
        let publish = match runtime.checkpointing {
            true => part::Publish::WithCheckpoint,
            false => part::Publish::AtOnce,
        };
        self.operator_in(directory, publish, runtime)
    }
}

impl FileSink {
    fn operator_in(
        &self,
        directory: Location,
        publish: part::Publish,
        runtime: &OperatorRuntime,
    ) -> OperatorResult<Box<dyn Operator>> {
        let is_local = matches!(directory.place(), pelton_filesystem::location::Place::Local(_));
        if publish == part::Publish::WithCheckpoint && !is_local && directory.multipart().is_none() {
            return Err(OperatorError::data(format!(
                "the file sink cannot write to `{directory}` with checkpoints: its object store cannot complete an \
                 upload by its id"
            )));
        }
        let settings = writer::Settings {
            parts: part::PartNames {
                publish,
                directory,
                writer: pending::WriterId::new(&self.prefix, runtime),
                suffix: self.suffix.clone(),
            },
            format: self.format.clone(),
            rolling: self.rolling.clone(),
            env: runtime.env.clone(),
        };
        Ok(Box::new(operator::FileSinkOperator::new(Arc::new(settings))))
    }
}

#[cfg(test)]
mod tests;
