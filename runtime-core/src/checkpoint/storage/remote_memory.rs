//! A worker's view of checkpoints that are kept in the JobManager's memory: state travels in messages or not at all.

use async_trait::async_trait;
use bytes::Bytes;

use super::{PutIfAbsent, Storage, StorageAction, StorageError, StoredFile};

/// The JobManager's memory as a worker sees it: there are no files.
#[derive(Debug, Default)]
pub struct JobManagerStorage;

impl JobManagerStorage {
    fn no_files(&self, action: StorageAction, path: &str, bytes: usize) -> StorageError {
        let reason = format!(
            "state of {bytes} bytes is too much for the JobManager's memory; set `execution.checkpointing.dir`"
        );
        StorageError::Failed { action, file: self.url(path), source: reason.into() }
    }
}

#[async_trait]
impl Storage for JobManagerStorage {
    fn url(&self, path: &str) -> String {
        format!("jobmanager:{path}")
    }

    async fn put(&self, path: &str, bytes: Bytes) -> Result<(), StorageError> {
        Err(self.no_files(StorageAction::Write, path, bytes.len()))
    }

    async fn put_if_absent(&self, path: &str, bytes: Bytes) -> Result<PutIfAbsent, StorageError> {
        Err(self.no_files(StorageAction::Write, path, bytes.len()))
    }

    async fn get(&self, path: &str) -> Result<Bytes, StorageError> {
        Err(StorageError::NotFound { file: self.url(path) })
    }

    async fn delete(&self, _path: &str) -> Result<(), StorageError> {
        Ok(())
    }

    async fn list(&self) -> Result<Vec<StoredFile>, StorageError> {
        Ok(Vec::new())
    }
}
