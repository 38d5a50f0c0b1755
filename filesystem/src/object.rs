//! Checkpoints in an object store.
//!
//! An object is complete and durable as soon as the store says so. The record is written with the store's own
//! condition that there is none; a store without such a condition is refused with the first record. What is written under
//! another name first has a hidden one beside the file, and is swept with the other leftovers if it stays.

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{Error, ObjectStore, ObjectStoreExt, PutMode, PutOptions, WriteMultipart};
use pelton_runtime_core::checkpoint::layout;
use pelton_runtime_core::checkpoint::storage::{
    FileParts, PutIfAbsent, Storage, StorageAction, StorageError, StoredFile,
};

use crate::hdfs::HdfsFailure;

/// Objects up to this size are written with one request, larger ones in parts of this size.
const PART_BYTES: usize = 16 << 20;

/// How many parts are on their way at once.
const PARTS_AT_ONCE: usize = 4;

/// Objects below a prefix.
#[derive(Debug)]
pub struct ObjectStorage {
    store: Arc<dyn ObjectStore>,
    root: Path,
    url: String,
}

impl ObjectStorage {
    /// The objects of `store` below `root`, which people find under `url`.
    pub fn new(store: Arc<dyn ObjectStore>, root: Path, url: String) -> Self {
        Self { store, root, url }
    }

    fn place(&self, path: &str) -> Result<Path, StorageError> {
        if !layout::is_valid(path) {
            return Err(StorageError::InvalidPath { path: path.to_owned() });
        }
        Ok(path.split('/').fold(self.root.clone(), |place, part| place.join(part)))
    }

    fn failed(&self, action: StorageAction, path: &str, error: Error) -> StorageError {
        match error {
            Error::NotFound { .. } if action == StorageAction::Read => StorageError::NotFound { file: self.url(path) },
            source => StorageError::Failed { action, file: self.url(path), source: source.into() },
        }
    }

    async fn put_in_parts(&self, place: &Path, bytes: Bytes) -> object_store::Result<()> {
        let upload = self.store.put_multipart(place).await?;
        let mut writer = WriteMultipart::new_with_chunk_size(upload, PART_BYTES);
        for start in (0..bytes.len()).step_by(PART_BYTES) {
            writer.wait_for_capacity(PARTS_AT_ONCE - 1).await?;
            writer.put(bytes.slice(start..bytes.len().min(start + PART_BYTES)));
        }
        // Gives the upload up when it fails.
        writer.finish().await.map(drop)
    }
}

#[async_trait]
impl Storage for ObjectStorage {
    fn url(&self, path: &str) -> String {
        if path.is_empty() { self.url.clone() } else { format!("{}/{path}", self.url) }
    }

    async fn put(&self, path: &str, bytes: Bytes) -> Result<(), StorageError> {
        let place = self.place(path)?;
        let written = if bytes.len() <= PART_BYTES {
            self.store.put(&place, bytes.into()).await.map(drop)
        } else {
            self.put_in_parts(&place, bytes).await
        };
        written.map_err(|error| self.failed(StorageAction::Write, path, error))
    }

    async fn put_parts(&self, path: &str, mut parts: FileParts) -> Result<(), StorageError> {
        let failed = |error| self.failed(StorageAction::Write, path, error);
        let upload = self.store.put_multipart(&self.place(path)?).await.map_err(failed)?;
        let mut writer = WriteMultipart::new_with_chunk_size(upload, PART_BYTES);
        loop {
            match parts.try_next().await {
                Ok(Some(part)) => {
                    writer.wait_for_capacity(PARTS_AT_ONCE - 1).await.map_err(failed)?;
                    writer.put(part);
                }
                Ok(None) => return writer.finish().await.map(drop).map_err(failed),
                Err(error) => {
                    // One that stays open is removed by the store's own rule.
                    drop(writer.abort().await);
                    return Err(error);
                }
            }
        }
    }

    async fn put_if_absent(&self, path: &str, bytes: Bytes) -> Result<PutIfAbsent, StorageError> {
        let place = self.place(path)?;
        let options = PutOptions::from(PutMode::Create);
        match self.store.put_opts(&place, bytes.into(), options).await {
            Ok(_) => Ok(PutIfAbsent::Stored),
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => Ok(PutIfAbsent::Existed),
            Err(error) if was_refused(&error) => Err(self.failed(StorageAction::Write, path, error)),
            Err(error) => Ok(PutIfAbsent::Unknown { reason: error.to_string() }),
        }
    }

    async fn get(&self, path: &str) -> Result<Bytes, StorageError> {
        let place = self.place(path)?;
        let read = async { self.store.get(&place).await?.bytes().await };
        read.await.map_err(|error| self.failed(StorageAction::Read, path, error))
    }

    async fn get_parts(&self, path: &str) -> Result<FileParts, StorageError> {
        let found = self.store.get(&self.place(path)?).await;
        let parts = found.map_err(|error| self.failed(StorageAction::Read, path, error))?.into_stream();
        let url = self.url(path);
        let failed = move |source: Error| StorageError::Failed {
            action: StorageAction::Read,
            file: url.clone(),
            source: source.into(),
        };
        Ok(parts.map_err(failed).boxed())
    }

    async fn get_range(&self, path: &str, range: Range<u64>) -> Result<Bytes, StorageError> {
        let read = self.store.get_range(&self.place(path)?, range).await;
        read.map_err(|error| self.failed(StorageAction::Read, path, error))
    }

    async fn delete(&self, path: &str) -> Result<(), StorageError> {
        match self.store.delete(&self.place(path)?).await {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(self.failed(StorageAction::Remove, path, error)),
        }
    }

    async fn list(&self) -> Result<Vec<StoredFile>, StorageError> {
        let listed: Result<Vec<_>, _> = self.store.list(Some(&self.root)).try_collect().await;
        let objects = listed.map_err(|error| self.failed(StorageAction::List, "", error))?;
        let relative = |place: &Path| {
            let parts: Vec<String> = place.prefix_match(&self.root)?.map(|part| part.as_ref().to_owned()).collect();
            Some(parts.join("/"))
        };
        let mut found: Vec<_> = objects
            .into_iter()
            .filter_map(|object| Some(StoredFile { path: relative(&object.location)?, bytes: object.size }))
            .collect();
        found.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        Ok(found)
    }
}

/// Whether the store has said no. After anything else the object may be there.
fn was_refused(error: &Error) -> bool {
    matches!(
        error,
        Error::NotImplemented { .. }
            | Error::NotSupported { .. }
            | Error::PermissionDenied { .. }
            | Error::Unauthenticated { .. }
            | Error::InvalidPath { .. }
            | Error::UnknownConfigurationKey { .. }
    ) || HdfsFailure::says_not_written(error)
}

#[cfg(test)]
mod tests;
