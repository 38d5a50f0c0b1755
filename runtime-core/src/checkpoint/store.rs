//! The checkpoints of one job in their storage.
//!
//! ```text
//!  workers:    put_state ──► chk-n/<attempt>.state, durable ──► handle ──► acknowledgement
//!  JobMaster:  write_record, create-if-absent ──► the checkpoint exists
//!              remove: the record first, then its files      latest: the newest one that is whole
//! ```
//!
//! Invariants: a checkpoint exists exactly when its record does; a record is never overwritten; what a record names is
//! removed only after the record; what cannot be read is not touched.

mod sweep;

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use sha2::{Digest, Sha256};

use super::layout::{self, Owner};
use super::record::{CheckpointRecord, RecordError, RecordKind, StateFileHandle, StateHandle};
use super::snapshot::OperatorSnapshot;
use super::state_file::{Outline, Outlined, StateFileError};
use super::storage::{FileParts, PutIfAbsent, Storage, StorageError, StoredFile};
use crate::element::CheckpointId;
use crate::failure::{Classify, FailureClass, error_chain};
use crate::id::{JobId, OperatorId};
use crate::planted::{PlantedFault, is_planted};

/// The checkpoints of one job. Cheap to clone.
#[derive(Debug, Clone)]
pub struct CheckpointStore {
    job: JobId,
    storage: Arc<dyn Storage>,
}

/// What became of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordOutcome {
    /// The checkpoint exists.
    Stored,
    /// The record may exist, now or a little later. Writing it again finds out.
    Unknown {
        /// What went wrong.
        reason: String,
    },
    /// Another JobMaster took a checkpoint of this id, or something lies in its place; this one does not exist.
    Taken {
        /// What is there.
        by: String,
    },
}

/// The newest checkpoint that is whole, and the newer ones that are not.
#[derive(Debug, Default)]
pub struct Latest {
    /// The newest checkpoint that is whole.
    pub record: Option<Arc<CheckpointRecord>>,
    /// Newer ones and what is wrong with each, the newest first.
    pub refused: Vec<(CheckpointId, StoreError)>,
}

/// Why a checkpoint cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The storage's own failure.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The record is none.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// A state file is none, or not what was written.
    #[error(transparent)]
    State(#[from] StateFileError),
    /// The record belongs to something else than its place says.
    #[error("the record `{file}` is that of checkpoint {found} of job {job}")]
    Misplaced {
        /// The file.
        file: String,
        /// The checkpoint it is of.
        found: u64,
        /// The job it is of.
        job: JobId,
    },
    /// A file has another length than the record says.
    #[error("the state file `{file}` has {found} bytes and should have {expected}")]
    Length {
        /// The file.
        file: String,
        /// What the record says.
        expected: u64,
        /// What it has.
        found: u64,
    },
    /// A file has other bytes than those that were written.
    #[error("the state file `{file}` is damaged: its SHA-256 is not the one that its checkpoint's record names")]
    Digest {
        /// The file.
        file: String,
    },
}

impl Classify for StoreError {
    fn class(&self) -> FailureClass {
        match self {
            Self::Storage(error) => error.class(),
            Self::State(error) => error.class(),
            Self::Record(_) | Self::Misplaced { .. } | Self::Length { .. } | Self::Digest { .. } => {
                FailureClass::Corrupt
            }
        }
    }
}

impl CheckpointStore {
    /// The checkpoints of `job` in a directory that is its own.
    pub fn new(job: JobId, storage: Arc<dyn Storage>) -> Self {
        Self { job, storage }
    }

    /// Where this checkpoint is, as people name it.
    pub fn url(&self, checkpoint: CheckpointId) -> String {
        self.storage.url(&layout::directory(checkpoint))
    }

    /// Makes a subtask's state durable: up to `inline_max` bytes in the handle itself, more in a file at `path`, which
    /// is [`layout::state`] or [`layout::final_state`]. None is a subtask without state.
    ///
    /// # Errors
    ///
    /// When the storage fails; then something may lie at `path`, which is swept later.
    pub async fn put_state(
        &self,
        path: String,
        state: Option<impl Into<Bytes>>,
        inline_max: u64,
    ) -> Result<StateHandle, StorageError> {
        let Some(bytes) = state.map(Into::<Bytes>::into) else { return Ok(StateHandle::Empty) };
        if bytes.len() as u64 <= inline_max {
            return Ok(StateHandle::Inline(bytes));
        }
        let handle = StateFileHandle { bytes: bytes.len() as u64, sha256: Sha256::digest(&bytes).into(), path };
        if !is_planted(PlantedFault::AcknowledgedBeforeWritten) {
            self.storage.put(&handle.path, bytes).await?;
        }
        Ok(StateHandle::File(handle))
    }

    /// The bytes that a handle stands for, none for a subtask without state. Of state in shared files these are what says
    /// what is in them.
    ///
    /// # Errors
    ///
    /// When they cannot be read or are not those that were written; the error names the file.
    pub async fn get_state(&self, handle: &StateHandle) -> Result<Option<Bytes>, StoreError> {
        match handle.own() {
            StateHandle::Empty | StateHandle::Shared { .. } => Ok(None),
            StateHandle::Inline(bytes) => Ok(Some(bytes.clone())),
            StateHandle::File(file) => {
                let bytes = self.storage.get(&file.path).await?;
                self.check_state(file, &bytes)?;
                Ok(Some(bytes))
            }
        }
    }

    /// Makes one of the files durable that checkpoints share.
    ///
    /// # Errors
    ///
    /// As of [`put_state`](Self::put_state).
    pub async fn put_shared(
        &self,
        path: String,
        bytes: Bytes,
        sha256: [u8; 32],
    ) -> Result<StateFileHandle, StorageError> {
        let handle = StateFileHandle { bytes: bytes.len() as u64, sha256, path };
        self.storage.put(&handle.path, bytes).await?;
        Ok(handle)
    }

    /// The bytes of a state file, a part at a time. When they are all there, [`check_state`](Self::check_state) says whether they are
    /// those that were written.
    ///
    /// # Errors
    ///
    /// When they cannot be read; the error names the file.
    pub async fn state_parts(&self, file: &StateFileHandle) -> Result<FileParts, StoreError> {
        Ok(self.storage.get_parts(&file.path).await?)
    }

    /// Where a state file is in the file system of this host, if it is in one: it may be linked.
    pub fn local_path(&self, file: &StateFileHandle) -> Option<PathBuf> {
        self.storage.local_path(&file.path)
    }

    /// What a state file has beside its rows of keys, when it can be read without them: a small part of the file. None when it
    /// must be read as a whole.
    ///
    /// # Errors
    ///
    /// When it cannot be read or is not what was written; the error names the file.
    pub async fn outline(&self, file: &StateFileHandle) -> Result<Option<Outline>, StoreError> {
        let mut range = Outline::tail_of(file.bytes);
        loop {
            let tail = self.get_range(file, range.clone()).await?;
            match Outline::of_tail(&self.storage.url(&file.path), file.bytes, &tail)? {
                Outlined::Whole(outline) => return Ok(Some(outline)),
                Outlined::Never => return Ok(None),
                // It is longer than what was read, and not longer than the file.
                Outlined::More(more) => range = more,
            }
        }
    }

    /// The state in a file without its rows of keys, when it can be read without them.
    ///
    /// # Errors
    ///
    /// As of [`outline`](Self::outline).
    pub async fn get_without_keys(
        &self,
        file: &StateFileHandle,
    ) -> Result<Option<Vec<(OperatorId, OperatorSnapshot)>>, StoreError> {
        let Some(outline) = self.outline(file).await? else { return Ok(None) };
        let mut tables = Vec::new();
        for range in outline.operator_tables()? {
            tables.push(self.get_range(file, range).await?);
        }
        Ok(Some(outline.without_keys(tables)?))
    }

    async fn get_range(&self, file: &StateFileHandle, range: Range<u64>) -> Result<Bytes, StoreError> {
        let (start, wanted) = (range.start, range.end - range.start);
        let bytes = self.storage.get_range(&file.path, range).await?;
        if bytes.len() as u64 == wanted {
            return Ok(bytes);
        }
        let (file, expected) = (self.storage.url(&file.path), file.bytes);
        Err(StoreError::Length { file, expected, found: start + bytes.len() as u64 })
    }

    /// Refuses bytes that are not those of the file.
    ///
    /// # Errors
    ///
    /// When they are not; the error names the file.
    pub fn check_state(&self, file: &StateFileHandle, bytes: &[u8]) -> Result<(), StoreError> {
        self.check_length(file, bytes.len() as u64)?;
        self.check_digest(file, bytes.len() as u64, Sha256::digest(bytes).into())
    }

    /// Refuses bytes of this length and SHA-256 that are not those of the file.
    ///
    /// # Errors
    ///
    /// When they are not; the error names the file.
    pub fn check_digest(&self, file: &StateFileHandle, length: u64, sha256: [u8; 32]) -> Result<(), StoreError> {
        self.check_length(file, length)?;
        if sha256 != file.sha256 {
            return Err(StoreError::Digest { file: self.storage.url(&file.path) });
        }
        Ok(())
    }

    /// Makes a checkpoint exist; everything that its record names is durable already. May be repeated.
    ///
    /// # Errors
    ///
    /// When the record was certainly not written.
    pub async fn write_record(&self, record: &CheckpointRecord) -> Result<RecordOutcome, StorageError> {
        let path = match record.kind {
            RecordKind::Checkpoint => layout::record(record.checkpoint),
            RecordKind::Savepoint => layout::RECORD.to_owned(),
        };
        let bytes = Bytes::from(record.encode());
        match self.storage.put_if_absent(&path, bytes.clone()).await? {
            PutIfAbsent::Stored => Ok(RecordOutcome::Stored),
            PutIfAbsent::Unknown { reason } => Ok(RecordOutcome::Unknown { reason }),
            PutIfAbsent::Existed => Ok(match self.storage.get(&path).await {
                Ok(found) if found == bytes => RecordOutcome::Stored,
                Ok(found) => RecordOutcome::Taken { by: describe(&self.storage.url(&path), &found) },
                Err(error) => RecordOutcome::Unknown { reason: error_chain(&error) },
            }),
        }
    }

    /// The record of a checkpoint.
    ///
    /// # Errors
    ///
    /// When there is none, or it is damaged or belongs elsewhere; the error names the file.
    pub async fn read_record(&self, checkpoint: CheckpointId) -> Result<CheckpointRecord, StoreError> {
        let path = layout::record(checkpoint);
        let bytes = self.storage.get(&path).await?;
        let file = self.storage.url(&path);
        let record = CheckpointRecord::decode(&file, &bytes)?;
        if record.checkpoint != checkpoint || record.job != self.job {
            return Err(StoreError::Misplaced { file, found: record.checkpoint.0, job: record.job });
        }
        Ok(record)
    }

    /// The checkpoints that exist, the oldest first.
    ///
    /// # Errors
    ///
    /// When the storage cannot be listed.
    pub async fn checkpoints(&self) -> Result<Vec<CheckpointId>, StorageError> {
        Ok(records_among(&self.storage.list().await?))
    }

    /// The newest checkpoint whose record is whole and whose files are there in their lengths. Their bytes are checked
    /// by whoever reads them.
    ///
    /// # Errors
    ///
    /// When the storage cannot be listed or a record not be read for another reason than its absence or damage: an
    /// older checkpoint is no answer to a storage that is away.
    pub async fn latest(&self) -> Result<Latest, StorageError> {
        let files = self.storage.list().await?;
        let mut latest = Latest::default();
        for checkpoint in records_among(&files).into_iter().rev() {
            let checked = match self.read_record(checkpoint).await {
                Ok(record) => self.check_files(&record, &files).map(|()| record),
                Err(StoreError::Storage(error @ StorageError::Failed { .. })) => return Err(error),
                Err(error) => Err(error),
            };
            match checked {
                Ok(record) => {
                    latest.record = Some(Arc::new(record));
                    break;
                }
                Err(error) => latest.refused.push((checkpoint, error)),
            }
        }
        Ok(latest)
    }

    /// Reads every file of a checkpoint.
    ///
    /// # Errors
    ///
    /// The first file that is missing or damaged.
    pub async fn verify(&self, record: &CheckpointRecord) -> Result<(), StoreError> {
        for vertex in &record.vertices {
            for subtask in &vertex.subtasks {
                self.get_state(&subtask.state).await?;
                for file in subtask.state.shared() {
                    self.check_state(file, &self.storage.get(&file.path).await?)?;
                }
            }
        }
        Ok(())
    }

    /// Removes a checkpoint: its record, and after it these files, which no other checkpoint names.
    ///
    /// # Errors
    ///
    /// When the storage fails; what is left of a checkpoint without a record is swept later.
    pub async fn remove(&self, checkpoint: CheckpointId, files: &[String]) -> Result<(), StorageError> {
        self.storage.delete(&layout::record(checkpoint)).await?;
        self.discard(files).await
    }

    /// Removes files that no checkpoint names.
    ///
    /// # Errors
    ///
    /// The first failure, after every file was tried.
    pub async fn discard(&self, files: &[String]) -> Result<(), StorageError> {
        let mut outcome = Ok(());
        for path in files {
            outcome = outcome.and(self.storage.delete(path).await);
        }
        outcome
    }

    /// Whether every file that a record names is there in its length. Their bytes are checked by whoever reads them.
    ///
    /// # Errors
    ///
    /// The first one that is not.
    pub async fn check(&self, record: &CheckpointRecord) -> Result<(), StoreError> {
        let files = self.storage.list().await?;
        self.check_files(record, &files)
    }

    /// Removes a checkpoint that other checkpoints in the same directory may share files with: those stay. The job that took
    /// it is over, so what it has left beside goes, too, unless there is a newer checkpoint, from which another may go on.
    ///
    /// # Errors
    ///
    /// When the storage fails, or any of the others cannot be read, so that nobody knows what they share; then what may be
    /// shared stays.
    pub async fn remove_claimed(&self, record: &CheckpointRecord) -> Result<(), StoreError> {
        let (mut kept, mut unread) = (Vec::new(), None);
        for other in self.checkpoints().await?.into_iter().filter(|other| *other != record.checkpoint) {
            match self.read_record(other).await {
                Ok(other) => kept.push(other),
                // Removed since it was listed.
                Err(StoreError::Storage(StorageError::NotFound { .. })) => {}
                Err(error) => unread = Some(error),
            }
        }
        self.storage.delete(&layout::record(record.checkpoint)).await?;
        let is_own = |path: &str| matches!(layout::owner(path), Some(Owner::Checkpoint(_)));
        let is_shared = |path: &str| {
            kept.iter().any(|other| other.files().any(|file| file.path == path)) || (unread.is_some() && !is_own(path))
        };
        let files: Vec<String> =
            record.paths().into_iter().filter(|path| !is_shared(path)).map(str::to_owned).collect();
        self.discard(&files).await?;
        unread.map_or(Ok(()), Err)?;
        if kept.iter().all(|other| other.checkpoint < record.checkpoint) {
            self.sweep_all_but(&kept).await?;
        }
        Ok(())
    }

    /// Copies files of this directory into another one, under the second name each. `copied` counts the bytes that were
    /// read so far.
    ///
    /// # Errors
    ///
    /// The first file that cannot be read or written.
    pub async fn copy_to(
        &self,
        other: &Self,
        copies: &[(String, String)],
        copied: &Arc<AtomicU64>,
    ) -> Result<(), StorageError> {
        for (from, to) in copies {
            let copied = Arc::clone(copied);
            let count = move |part: &Bytes| {
                copied.fetch_add(part.len() as u64, Ordering::Relaxed);
            };
            let parts = self.storage.get_parts(from).await?.inspect_ok(count);
            other.storage.put_parts(to, parts.boxed()).await?;
        }
        Ok(())
    }

    /// Removes all files of this directory, which is that of a savepoint that is not to be.
    ///
    /// # Errors
    ///
    /// The first failure, after every file was tried.
    pub async fn remove_all(&self) -> Result<(), StorageError> {
        let mut files: Vec<String> = self.storage.list().await?.into_iter().map(|file| file.path).collect();
        files.sort_by_key(|path| path != layout::RECORD);
        self.discard(&files).await
    }

    /// Removes a savepoint, whose directory this is: its record, and then its files.
    ///
    /// # Errors
    ///
    /// When the storage fails; what is left without a record is no savepoint any more.
    pub async fn remove_savepoint(&self, record: &CheckpointRecord) -> Result<(), StoreError> {
        self.storage.delete(layout::RECORD).await?;
        let files: Vec<String> = record.paths().into_iter().map(str::to_owned).collect();
        Ok(self.discard(&files).await?)
    }

    fn check_files(&self, record: &CheckpointRecord, files: &[StoredFile]) -> Result<(), StoreError> {
        let lengths: BTreeMap<&str, u64> = files.iter().map(|file| (file.path.as_str(), file.bytes)).collect();
        for file in record.files() {
            match lengths.get(file.path.as_str()) {
                Some(&bytes) => self.check_length(file, bytes)?,
                None => return Err(StorageError::NotFound { file: self.storage.url(&file.path) }.into()),
            }
        }
        Ok(())
    }

    fn check_length(&self, file: &StateFileHandle, found: u64) -> Result<(), StoreError> {
        if found == file.bytes {
            return Ok(());
        }
        Err(StoreError::Length { file: self.storage.url(&file.path), expected: file.bytes, found })
    }
}

fn records_among(files: &[StoredFile]) -> Vec<CheckpointId> {
    let mut found: Vec<_> = files
        .iter()
        .filter_map(|file| match layout::owner(&file.path) {
            Some(Owner::Record(checkpoint)) => Some(checkpoint),
            _ => None,
        })
        .collect();
    found.sort_unstable();
    found
}

fn describe(file: &str, bytes: &Bytes) -> String {
    match CheckpointRecord::decode(file, bytes) {
        Ok(other) => format!("`{file}` is that of job {} in epoch {}", other.job, other.epoch),
        Err(error) => error.to_string(),
    }
}

#[cfg(test)]
mod tests;
