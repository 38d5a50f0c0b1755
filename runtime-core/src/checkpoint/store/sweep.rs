//! Removing what no checkpoint names: leftovers of aborted checkpoints and of crashes.

use std::collections::BTreeSet;

use super::{CheckpointStore, StoreError, records_among};
use crate::checkpoint::layout::{self, Owner};
use crate::checkpoint::record::CheckpointRecord;
use crate::checkpoint::storage::StorageError;
use crate::element::CheckpointId;
use crate::id::Epoch;

impl CheckpointStore {
    /// Removes the files that no checkpoint of this job names and nobody will name any more: those of checkpoints older
    /// than the newest that exists and than `before`, and, with `shared_up_to`, last states of finished subtasks that were
    /// written under an epoch up to that one, and whatever was written for checkpoints before `before`. Those only while no task
    /// of the job runs: a task that has just finished may have a file that the next checkpoint names. Answers with what was
    /// removed.
    ///
    /// `in_use` stays in any case. It has whatever checkpoints name that are kept, on their way, or the base of one on its
    /// way, and none of those before `before` is on its way: then whatever a later checkpoint names of what was written
    /// before is in it, however long this takes.
    ///
    /// # Errors
    ///
    /// When any record cannot be read: then nobody knows what it names, and nothing is removed. When the storage
    /// fails meanwhile, the rest stays.
    pub async fn sweep(
        &self,
        shared_up_to: Option<Epoch>,
        before: CheckpointId,
        in_use: &BTreeSet<String>,
    ) -> Result<Vec<String>, StoreError> {
        let files = self.storage.list().await?;
        let checkpoints = records_among(&files);
        let mut named: BTreeSet<String> = in_use.clone();
        for &checkpoint in &checkpoints {
            let record = match self.read_record(checkpoint).await {
                Ok(record) => record,
                // Removed since it was listed, and its files with it.
                Err(StoreError::Storage(StorageError::NotFound { .. })) => continue,
                Err(error) => return Err(error),
            };
            named.extend(record.files().map(|file| file.path.clone()));
        }
        let newest = checkpoints.last();
        let mut removed = Vec::new();
        for file in files {
            let abandoned = match layout::owner(&file.path) {
                Some(Owner::Checkpoint(checkpoint) | Owner::Increment(checkpoint)) => {
                    let is_older = newest.is_some_and(|newest| checkpoint < *newest);
                    checkpoint < before && (is_older || shared_up_to.is_some())
                }
                Some(Owner::Shared(writer)) => shared_up_to.is_some_and(|epoch| writer <= epoch),
                Some(Owner::Record(_)) | None => false,
            };
            if abandoned && !named.contains(&file.path) {
                self.storage.delete(&file.path).await?;
                removed.push(file.path);
            }
        }
        Ok(removed)
    }

    /// Removes every file of a job that is over but what these records name. They are all that there are.
    ///
    /// # Errors
    ///
    /// The first failure, after every file was tried.
    pub(super) async fn sweep_all_but(&self, kept: &[CheckpointRecord]) -> Result<(), StorageError> {
        let named: BTreeSet<&str> =
            kept.iter().flat_map(|record| record.files()).map(|file| file.path.as_str()).collect();
        let is_left = |path: &str| {
            let owner = layout::owner(path);
            owner.is_some_and(|owner| !matches!(owner, Owner::Record(_))) && !named.contains(path)
        };
        let files = self.storage.list().await?.into_iter().map(|file| file.path);
        let left: Vec<String> = files.filter(|path| is_left(path)).collect();
        self.discard(&left).await
    }

    /// Removes every file of a job that has ended and keeps no checkpoint, records first. `known` are there whatever the
    /// listing says, which may be of a moment ago.
    ///
    /// # Errors
    ///
    /// The first failure, after every record was tried, and every file as well if no record is left: what a record names that
    /// is there is there, too.
    pub async fn clear(&self, known: &[String]) -> Result<(), StorageError> {
        let listed = self.storage.list().await;
        let (listed, outcome) = listed.map_or_else(|error| (Vec::new(), Err(error)), |files| (files, Ok(())));
        let files: BTreeSet<String> = listed.into_iter().map(|file| file.path).chain(known.iter().cloned()).collect();
        let files = files.into_iter().filter(|path| layout::owner(path).is_some());
        let (records, others): (Vec<_>, Vec<_>) =
            files.partition(|path| matches!(layout::owner(path), Some(Owner::Record(_))));
        self.discard(&records).await?;
        outcome.and(self.discard(&others).await)
    }
}
