//! The port to where checkpoints are kept: files below one directory, here or in an object store.
//!
//! Owns what a checkpoint needs of a file system and no more. [`CheckpointStore`](super::store::CheckpointStore) gives
//! the files their meaning; adapters live in the crate `filesystem`, [`MemoryStorage`] here.

mod memory;
mod settings;

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};

pub use self::memory::MemoryStorage;
pub use self::settings::{CheckpointStorageConflict, CheckpointStorageSettings};
use crate::failure::{Classify, FailureClass};

/// A directory of durable files. Paths are relative to it and have [the form](super::layout::is_valid) of our own.
#[async_trait]
pub trait Storage: fmt::Debug + Send + Sync + 'static {
    /// How people find this file; the directory itself for an empty path.
    fn url(&self, path: &str) -> String;

    /// Writes a file, in place of one that is there. When it returns, the file is durable and complete.
    async fn put(&self, path: &str, bytes: Bytes) -> Result<(), StorageError>;

    /// The same, a part at a time, for a file that may be more than fits into memory. When a part cannot be had, there is no file.
    async fn put_parts(&self, path: &str, parts: FileParts) -> Result<(), StorageError> {
        let parts: Vec<Bytes> = parts.try_collect().await?;
        self.put(path, parts.concat().into()).await
    }

    /// Writes a file unless there is one. Of several writers at most one is told [`PutIfAbsent::Stored`].
    ///
    /// # Errors
    ///
    /// When the file was certainly not written and never will be by this call.
    async fn put_if_absent(&self, path: &str, bytes: Bytes) -> Result<PutIfAbsent, StorageError>;

    /// The bytes of a file.
    async fn get(&self, path: &str) -> Result<Bytes, StorageError>;

    /// The same, a part at a time, for files that may be more than fits into memory.
    async fn get_parts(&self, path: &str) -> Result<FileParts, StorageError> {
        let bytes = self.get(path).await?;
        Ok(futures::stream::once(async { Ok(bytes) }).boxed())
    }

    /// Some bytes of a file; fewer when it is shorter.
    async fn get_range(&self, path: &str, range: Range<u64>) -> Result<Bytes, StorageError> {
        let bytes = self.get(path).await?;
        let within = |at: u64| usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len());
        Ok(bytes.slice(within(range.start)..within(range.end)))
    }

    /// Where a file is in the file system of this host, if it is in one: it may be linked, as it never changes under its
    /// name.
    fn local_path(&self, _path: &str) -> Option<PathBuf> {
        None
    }

    /// Removes a file; one that is not there is removed already.
    async fn delete(&self, path: &str) -> Result<(), StorageError>;

    /// All files, also in directories below; what is half written may be among them. Empty when there is no directory.
    async fn list(&self) -> Result<Vec<StoredFile>, StorageError>;
}

/// The bytes of a file, one part after the other.
pub type FileParts = BoxStream<'static, Result<Bytes, StorageError>>;

/// What became of a file that was to be written unless there was one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PutIfAbsent {
    /// It is written, durable and complete.
    Stored,
    /// There is one already, which is left as it is.
    Existed,
    /// It may be written, now or a little later.
    Unknown {
        /// What went wrong.
        reason: String,
    },
}

/// A file that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredFile {
    /// Its path.
    pub path: String,
    /// Its length.
    pub bytes: u64,
}

/// What was to be done with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StorageAction {
    /// Write it.
    Write,
    /// Read it.
    Read,
    /// Remove it.
    Remove,
    /// List what is in it.
    List,
}

impl fmt::Display for StorageAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Write => "write",
            Self::Read => "read",
            Self::Remove => "remove",
            Self::List => "list",
        })
    }
}

/// Why storage did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// There is no such file.
    #[error("there is no file `{file}`")]
    NotFound {
        /// The file.
        file: String,
    },
    /// A path that leads nowhere below the directory.
    #[error("`{path}` is not a path of a checkpoint's file")]
    InvalidPath {
        /// The path.
        path: String,
    },
    /// The storage said no.
    #[error("cannot {action} `{file}`")]
    Failed {
        /// What was to be done.
        action: StorageAction,
        /// With which file.
        file: String,
        /// What the storage said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl Classify for StorageError {
    fn class(&self) -> FailureClass {
        match self {
            Self::NotFound { .. } => FailureClass::Corrupt,
            Self::InvalidPath { .. } => FailureClass::System,
            Self::Failed { .. } => FailureClass::Transient,
        }
    }
}
