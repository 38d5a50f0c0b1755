//! One key with its text and the place it was written in.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// Where a setting comes from, in the words a person needs to find it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A line of a file, counted from 1.
    File {
        /// The file as it was named when it was opened.
        file: Arc<Path>,
        /// The line of the key.
        line: usize,
    },
    /// A line of the environment variable `FLINK_PROPERTIES`, counted from 1.
    FlinkProperties {
        /// The line of the key.
        line: usize,
    },
    /// An environment variable of its own.
    Environment {
        /// The variable's name.
        variable: String,
    },
    /// `-Dkey=value`.
    CommandLine,
    /// The configuration that travelled with a job.
    Job,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { file, line } => write!(f, "{}:{line}", file.display()),
            Self::FlinkProperties { line } => write!(f, "line {line} of the environment variable FLINK_PROPERTIES"),
            Self::Environment { variable } => write!(f, "environment variable {variable}"),
            Self::CommandLine => write!(f, "-D on the command line"),
            Self::Job => write!(f, "the job's configuration"),
        }
    }
}

/// A key with a value that nobody has looked at yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Setting {
    pub(super) key: String,
    pub(super) value: String,
    pub(super) origin: Origin,
}
