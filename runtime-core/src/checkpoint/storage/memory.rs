//! Files in the memory of this process: the JobManager's own storage, and that of tests.

use std::collections::BTreeMap;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;

use super::{PutIfAbsent, Storage, StorageError, StoredFile};
use crate::checkpoint::layout;

/// Files in memory, as durable as the process.
#[derive(Debug, Default)]
pub struct MemoryStorage {
    files: Mutex<BTreeMap<String, Bytes>>,
}

fn checked(path: &str) -> Result<&str, StorageError> {
    if layout::is_valid(path) { Ok(path) } else { Err(StorageError::InvalidPath { path: path.to_owned() }) }
}

#[async_trait]
impl Storage for MemoryStorage {
    fn url(&self, path: &str) -> String {
        if path.is_empty() { "memory".to_owned() } else { format!("memory:{path}") }
    }

    async fn put(&self, path: &str, bytes: Bytes) -> Result<(), StorageError> {
        self.files.lock().insert(checked(path)?.to_owned(), bytes);
        Ok(())
    }

    async fn put_if_absent(&self, path: &str, bytes: Bytes) -> Result<PutIfAbsent, StorageError> {
        let mut files = self.files.lock();
        if files.contains_key(checked(path)?) {
            return Ok(PutIfAbsent::Existed);
        }
        files.insert(path.to_owned(), bytes);
        Ok(PutIfAbsent::Stored)
    }

    async fn get(&self, path: &str) -> Result<Bytes, StorageError> {
        let found = self.files.lock().get(path).cloned();
        found.ok_or_else(|| StorageError::NotFound { file: self.url(path) })
    }

    async fn delete(&self, path: &str) -> Result<(), StorageError> {
        self.files.lock().remove(path);
        Ok(())
    }

    async fn list(&self) -> Result<Vec<StoredFile>, StorageError> {
        let files = self.files.lock();
        Ok(files.iter().map(|(path, bytes)| StoredFile { path: path.clone(), bytes: bytes.len() as u64 }).collect())
    }
}
