//! Finds the checkpoint or savepoint that a job is to begin from, and whether it fits.
//!
//! ```text
//!  …/chk-5, …/chk-5/_metadata, …/savepoint-ab12cd-0123456789ab ─► record ─► files there? ─► fits the graph?
//! ```
//!
//! Whatever can be known before the job exists is refused here, so that whoever submits it reads why.

use std::sync::Arc;
use std::time::Duration;

use pelton_filesystem::location::LocationError;
use pelton_runtime_core::checkpoint::coordinator::Ownership;
use pelton_runtime_core::checkpoint::layout;
use pelton_runtime_core::checkpoint::matching::{Contents, Doubt, Unfit, suspects};
use pelton_runtime_core::checkpoint::record::{CheckpointRecord, RecordError, RecordKind, StateHandle};
use pelton_runtime_core::checkpoint::state_file::{self, StateFileError};
use pelton_runtime_core::checkpoint::storage::{Storage, StorageError};
use pelton_runtime_core::checkpoint::store::{CheckpointStore, StoreError};
use pelton_runtime_core::config::options::state_recovery;
use pelton_runtime_core::config::{ClaimMode, Configuration, format_duration};
use pelton_runtime_core::env::{Env, TimedOut};
use pelton_runtime_core::graph::JobGraph;
use pelton_runtime_core::id::OperatorId;

use super::SubmitError;
use crate::job_master::{Lies, Recovered};

/// How long the storage may take to show what a job is to begin from.
const STORAGE_TIMEOUT: Duration = Duration::from_secs(60);

/// How many files of a savepoint its storage removes before it counts as silent.
const REMOVED_AT_ONCE: usize = 32;

/// Why a job cannot begin from a path.
#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    /// It is no place.
    #[error(transparent)]
    Location(#[from] LocationError),
    /// There is nothing.
    #[error("there is no checkpoint and no savepoint: `{place}` does not exist or is empty")]
    Nothing {
        /// Where it was looked for.
        place: String,
    },
    /// There are checkpoints in it.
    #[error("it is a directory of checkpoints and not one of them: it has {}", .checkpoints.join(", "))]
    Several {
        /// Their names.
        checkpoints: Vec<String>,
    },
    /// Something else is there.
    #[error("it is no checkpoint and no savepoint: `{record}` does not exist, although other files are there")]
    NoRecord {
        /// The file that makes one.
        record: String,
    },
    /// The record is damaged.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// A checkpoint, where only a savepoint will do.
    #[error("it is checkpoint {checkpoint} of a job, and only savepoints are disposed of")]
    NoSavepoint {
        /// Its id.
        checkpoint: u64,
    },
    /// A checkpoint under another name.
    #[error(
        "it is checkpoint {checkpoint}, whose directory has to keep its name `{name}` and its place beside `shared`: \
         only savepoints can be moved by themselves"
    )]
    Moved {
        /// Its id.
        checkpoint: u64,
        /// What it was called.
        name: String,
    },
    /// A file is missing or damaged, or the storage does not show it.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A state file that is whole makes no sense.
    #[error(transparent)]
    State(#[from] StateFileError),
    /// It is of another job, as it seems.
    #[error(transparent)]
    Unfit(#[from] Unfit),
    /// The storage says nothing.
    #[error("its storage has not answered for {}", format_duration(STORAGE_TIMEOUT))]
    Silent,
}

impl From<StorageError> for RecoveryError {
    fn from(error: StorageError) -> Self {
        Self::Store(error.into())
    }
}

/// A checkpoint or savepoint by its path.
pub(crate) struct Found {
    /// What it consists of.
    pub record: CheckpointRecord,
    /// Its own directory, as people name it.
    pub path: String,
    /// What its paths are relative to.
    pub directory: String,
    /// The same.
    pub store: CheckpointStore,
}

/// What the configuration says that a job begins from; nothing for the beginning.
pub(super) async fn recover(
    env: &Env,
    configuration: &Configuration,
    graph: &JobGraph,
) -> Result<Option<Recovered>, SubmitError> {
    let Some(path) = configuration.get(&state_recovery::PATH) else { return Ok(None) };
    let refused = |source: RecoveryError| SubmitError::Recovery { path: path.clone(), source: Box::new(source) };
    let drops_orphans = configuration.get(&state_recovery::IGNORE_UNCLAIMED_STATE);
    let looked_for = async {
        let found = find(env, configuration, &path).await?;
        fits(&found, graph, drops_orphans).await?;
        Ok(found)
    };
    let found = env.timeout(STORAGE_TIMEOUT, looked_for).await;
    let Found { record, path: place, directory, store } =
        found.unwrap_or(Err(RecoveryError::Silent)).map_err(refused)?;
    let ownership = match configuration.get(&state_recovery::CLAIM_MODE) {
        ClaimMode::Claim => Ownership::Own,
        ClaimMode::NoClaim => Ownership::Foreign,
    };
    let lies = Lies { directory, store, path: place };
    Ok(Some(Recovered { record: Arc::new(record), lies, ownership }))
}

/// The checkpoint or savepoint at a path, whole as far as can be seen without reading it all.
///
/// # Errors
///
/// When there is none, or it is damaged.
pub(crate) async fn find(env: &Env, configuration: &Configuration, path: &str) -> Result<Found, RecoveryError> {
    let found = find_record(env, configuration, path).await?;
    found.store.check(&found.record).await?;
    Ok(found)
}

/// The record at a path.
async fn find_record(env: &Env, configuration: &Configuration, path: &str) -> Result<Found, RecoveryError> {
    let configured = configuration.to_map();
    let place = pelton_filesystem::absolute(path, &configured)?;
    let own = place.strip_suffix(layout::RECORD).map_or(place.as_str(), |own| own.trim_end_matches('/'));
    let storage = pelton_filesystem::checkpoint_storage(own, &configured, env)?;
    let record = match storage.get(layout::RECORD).await {
        Ok(bytes) => CheckpointRecord::decode(&storage.url(layout::RECORD), &bytes)?,
        Err(StorageError::NotFound { .. }) => return Err(explain_absence(&*storage).await),
        Err(error) => return Err(error.into()),
    };
    let (directory, store) = match record.kind {
        RecordKind::Savepoint => (own.to_owned(), CheckpointStore::new(record.job, Arc::clone(&storage))),
        RecordKind::Checkpoint => {
            let name = layout::directory(record.checkpoint);
            let moved = || RecoveryError::Moved { checkpoint: record.checkpoint.0, name: name.clone() };
            let above = own.strip_suffix(&name).and_then(|above| above.strip_suffix('/')).ok_or_else(moved)?;
            let above = if above.is_empty() { "/" } else { above };
            let storage = pelton_filesystem::checkpoint_storage(above, &configured, env)?;
            (above.to_owned(), CheckpointStore::new(record.job, storage))
        }
    };
    Ok(Found { record, path: storage.url(""), directory, store })
}

/// Removes a savepoint: its record first, and then its files.
///
/// # Errors
///
/// When there is none, or its storage refuses.
pub(super) async fn dispose(env: &Env, configuration: &Configuration, path: &str) -> Result<(), RecoveryError> {
    let found = env.timeout(STORAGE_TIMEOUT, find_record(env, configuration, path)).await;
    let Found { record, store, .. } = found.unwrap_or(Err(RecoveryError::Silent))?;
    if record.kind == RecordKind::Checkpoint {
        return Err(RecoveryError::NoSavepoint { checkpoint: record.checkpoint.0 });
    }
    let answered = |removed: Result<Result<(), StorageError>, TimedOut>| match removed {
        Ok(removed) => removed.map_err(RecoveryError::from),
        Err(TimedOut(_)) => Err(RecoveryError::Silent),
    };
    answered(env.timeout(STORAGE_TIMEOUT, store.discard(&[layout::RECORD.to_owned()])).await)?;
    // There may be many files: as long as they become fewer, the storage answers.
    let files: Vec<String> = record.paths().into_iter().map(str::to_owned).collect();
    let mut outcome = Ok(());
    for some in files.chunks(REMOVED_AT_ONCE) {
        let removed = answered(env.timeout(STORAGE_TIMEOUT, store.discard(some)).await);
        if matches!(removed, Err(RecoveryError::Silent)) {
            return removed;
        }
        outcome = outcome.and(removed);
    }
    outcome
}

/// Says what is there instead of a checkpoint.
async fn explain_absence(storage: &dyn Storage) -> RecoveryError {
    let files = match storage.list().await {
        Ok(files) => files,
        Err(error) => return error.into(),
    };
    let of_checkpoint = |path: &str| {
        let (directory, name) = path.rsplit_once('/')?;
        (name == layout::RECORD).then(|| format!("`{directory}`"))
    };
    let checkpoints: Vec<String> = files.iter().filter_map(|file| of_checkpoint(&file.path)).take(SHOWN_MAX).collect();
    if files.is_empty() {
        RecoveryError::Nothing { place: storage.url("") }
    } else if checkpoints.is_empty() {
        RecoveryError::NoRecord { record: storage.url(layout::RECORD) }
    } else {
        RecoveryError::Several { checkpoints }
    }
}

/// How many names are shown at most.
const SHOWN_MAX: usize = 5;

async fn fits(found: &Found, graph: &JobGraph, drops_orphans: bool) -> Result<(), RecoveryError> {
    for suspect in suspects(&found.record, graph) {
        if drops_orphans && suspect.doubt == Doubt::Missing {
            continue;
        }
        let contents = found.contents_of(suspect.operator.id).await?;
        if let Some(unfit) = suspect.judge(&contents) {
            return Err(unfit.into());
        }
    }
    Ok(())
}

impl Found {
    /// What there is in the files of the subtasks that hold an operator's state.
    async fn contents_of(&self, operator: OperatorId) -> Result<Contents, RecoveryError> {
        let mut contents = Contents::default();
        for handle in self.record.states_of(&[operator]) {
            let name = handle.state.file().map_or(layout::RECORD, |file| file.path.as_str());
            if let StateHandle::File(file) = handle.state
                && let Some(outline) = self.store.outline(file).await?
            {
                contents.tables.extend(outline.tables()?);
                continue;
            }
            if let Some(bytes) = self.store.get_state(handle.state).await? {
                contents.tables.extend(state_file::tables(name, &bytes)?);
                contents.in_flight |= state_file::has_in_flight(name, &bytes)?;
            }
        }
        Ok(contents)
    }
}
