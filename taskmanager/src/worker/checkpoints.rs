//! A worker's part in checkpoints: its tasks' state on the way to storage, and back at a restart.
//!
//! ```text
//!  task ── snapshot ──► bytes ── at most `inline_max`: in the acknowledgement ──────────────► JobMaster
//!                         └───── more: a file, durable before it is acknowledged ──► storage
//! ```
//!
//! Nothing of this runs on a task's thread but handing over. What cannot be stored is declined with the reason; the task
//! goes on. A finished task's last state must be stored, or the task counts as failed: no later checkpoint could be
//! taken without it.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use pelton_filesystem::location::LocationError;
use pelton_proto as proto;
use pelton_runtime_core::checkpoint::coordinator::CheckpointSettings;
use pelton_runtime_core::checkpoint::layout;
use pelton_runtime_core::checkpoint::record::StateHandle;
use pelton_runtime_core::checkpoint::snapshot::{OperatorSnapshot, RestoredState};
use pelton_runtime_core::checkpoint::state_file::{self, StateFileError};
use pelton_runtime_core::checkpoint::storage::{CheckpointStorageSettings, MemoryStorage, Storage, StorageError};
use pelton_runtime_core::checkpoint::store::{CheckpointStore, StoreError};
use pelton_runtime_core::config::Configuration;
use pelton_runtime_core::element::CheckpointId;
use pelton_runtime_core::env::{Env, Stopped};
use pelton_runtime_core::failure::{Classify, FailureClass, error_chain};
use pelton_runtime_core::id::{Epoch, ExecutionAttemptId, JobId, OperatorId};
use pelton_runtime_core::key_group::KeyGroupRange;
use pelton_runtime_core::task::checkpointing::{CheckpointListener, DeclineReason, TaskSnapshot};
use pelton_runtime_core::wire::BadMessage;
use pelton_runtime_core::wire::checkpoint::{Acknowledged, RestoredSubtask};
use proto::worker_report::Report;

use super::report::Reporter;
use super::setup::WorkerSetup;

/// Why state did not reach the storage, or did not come back.
#[derive(Debug, thiserror::Error)]
pub enum StateTransferError {
    /// It has no form in bytes, or bytes are no state.
    #[error(transparent)]
    Form(#[from] StateFileError),
    /// It lies where this worker cannot look.
    #[error(transparent)]
    Location(#[from] LocationError),
    /// The storage refuses.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// A file of the checkpoint is missing or damaged.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It is too much for the JobManager's memory.
    #[error(
        "a task's state of {bytes} bytes is more than the {IN_MEMORY_MAX} that the JobManager keeps: set \
         `execution.checkpointing.dir` to a directory that all hosts share"
    )]
    TooLarge {
        /// How much it is.
        bytes: usize,
    },
    /// The worker is ending.
    #[error(transparent)]
    Stopped(#[from] Stopped),
    /// The JobMaster's word about it cannot be understood.
    #[error(transparent)]
    BadMessage(#[from] BadMessage),
}

impl Classify for StateTransferError {
    fn class(&self) -> FailureClass {
        match self {
            Self::Form(error) => error.class(),
            Self::Storage(error) => error.class(),
            Self::Store(error) => error.class(),
            Self::Location(_) | Self::TooLarge { .. } | Self::Stopped(_) | Self::BadMessage(_) => FailureClass::System,
        }
    }
}

/// Where this worker's tasks store their state.
#[derive(Debug, Clone)]
pub struct Checkpoints {
    env: Env,
    job: JobId,
    epoch: Epoch,
    store: CheckpointStore,
    /// Where `store` is; empty for the JobManager's memory.
    directory: String,
    inline: Inline,
    /// For what lies elsewhere.
    configuration: Arc<BTreeMap<String, String>>,
}

/// How much state of a task travels with its acknowledgement.
#[derive(Debug, Clone, Copy)]
enum Inline {
    /// So many bytes; more goes to a file.
    UpTo(u64),
    /// All: the JobManager keeps it in its memory, and more than [`IN_MEMORY_MAX`] is refused.
    All,
}

/// The most state of one task that the JobManager keeps in its memory, as in Flink.
const IN_MEMORY_MAX: usize = 5 << 20;

impl Checkpoints {
    /// What the task that runs as `attempt` tells of its checkpoints.
    pub fn listener(&self, attempt: ExecutionAttemptId, reporter: &Reporter) -> Arc<TaskCheckpoints> {
        Arc::new(TaskCheckpoints {
            checkpoints: self.clone(),
            attempt,
            reporter: reporter.clone(),
            told: Mutex::default(),
        })
    }

    /// Reads the state of a checkpoint, as far as it concerns this worker's tasks. Every file is read once.
    ///
    /// # Errors
    ///
    /// When a file is missing or damaged; the error names it.
    pub async fn read(&self, message: &proto::RestoreFrom) -> Result<RestoredCheckpoint, StateTransferError> {
        let store = self.store_in(&message.directory)?;
        let mut states = Vec::with_capacity(message.subtasks.len());
        for subtask in &message.subtasks {
            let subtask = RestoredSubtask::from_wire(subtask.clone())?;
            let file = match &subtask.state {
                StateHandle::File(file) => file.path.clone(),
                StateHandle::Empty | StateHandle::Inline(_) => "in the checkpoint's record".to_owned(),
            };
            let operators = match store.get_state(&subtask.state).await? {
                None => Vec::new(),
                Some(bytes) => self.env.blocking(move || state_file::decode(&file, &bytes)).await??,
            };
            states.push((subtask, operators.into_iter().collect()));
        }
        Ok(RestoredCheckpoint { states })
    }

    /// The files of a directory: the job's own, or another that it begins from.
    fn store_in(&self, directory: &str) -> Result<CheckpointStore, StateTransferError> {
        if directory == self.directory {
            return Ok(self.store.clone());
        }
        let storage = pelton_filesystem::checkpoint_storage(directory, &self.configuration, &self.env)?;
        Ok(CheckpointStore::new(self.job, storage))
    }

    async fn put(
        &self,
        path: String,
        operators: Vec<(OperatorId, OperatorSnapshot)>,
    ) -> Result<StateHandle, StateTransferError> {
        let bytes = self.env.blocking(move || state_file::encode(&operators)).await??;
        let inline_max = match self.inline {
            Inline::UpTo(bytes) => bytes,
            Inline::All => match bytes.as_ref().map_or(0, Vec::len) {
                len if len > IN_MEMORY_MAX => return Err(StateTransferError::TooLarge { bytes: len }),
                _ => u64::MAX,
            },
        };
        Ok(self.store.put_state(path, bytes, inline_max).await?)
    }
}

/// What one task tells of its checkpoints.
pub struct TaskCheckpoints {
    checkpoints: Checkpoints,
    attempt: ExecutionAttemptId,
    reporter: Reporter,
    told: Mutex<Told>,
}

/// What the task has said so far.
#[derive(Default)]
struct Told {
    /// The newest checkpoint that it took.
    newest: Option<CheckpointId>,
    /// The state that it finished with.
    last: Vec<(OperatorId, OperatorSnapshot)>,
}

impl TaskCheckpoints {
    /// Stores the state that the task finished with. Answers with where it is, and with the newest checkpoint that the
    /// task took.
    ///
    /// # Errors
    ///
    /// When it cannot be stored.
    pub async fn store_last(&self) -> Result<(StateHandle, Option<CheckpointId>), StateTransferError> {
        let Told { newest, last } = std::mem::take(&mut *self.told.lock());
        let path = layout::final_state(self.checkpoints.epoch, self.attempt);
        Ok((self.checkpoints.put(path, last).await?, newest))
    }
}

impl CheckpointListener for TaskCheckpoints {
    fn snapshot(&self, snapshot: TaskSnapshot) {
        self.told.lock().newest = Some(snapshot.checkpoint);
        let (checkpoints, attempt, reporter) = (self.checkpoints.clone(), self.attempt, self.reporter.clone());
        let env = checkpoints.env.clone();
        env.clone().spawn("checkpoint", async move {
            let TaskSnapshot { checkpoint, operators, start_delay, alignment, synchronous } = snapshot;
            let start = env.moment();
            let stored = checkpoints.put(layout::state(checkpoint, attempt), operators).await;
            let report = match stored {
                Ok(state) => Report::CheckpointAcknowledged(
                    Acknowledged {
                        attempt,
                        checkpoint,
                        state,
                        start_delay,
                        alignment,
                        synchronous,
                        asynchronous: env.moment().since(start),
                    }
                    .to_wire(),
                ),
                Err(error) => {
                    let reason = error_chain(&error);
                    tracing::warn!(%attempt, checkpoint = checkpoint.0, reason, "state could not be stored");
                    declined(attempt, checkpoint, reason)
                }
            };
            reporter.send(report).await;
        });
    }

    fn declined(&self, checkpoint: CheckpointId, reason: DeclineReason) {
        // What the task's end or its acknowledgement makes up for must not cost the checkpoint.
        if reason.prevents(checkpoint) {
            self.reporter.send_blocking(declined(self.attempt, checkpoint, reason.to_string()));
        }
    }

    fn finished(&self, operators: Vec<(OperatorId, OperatorSnapshot)>) {
        self.told.lock().last = operators;
    }

    fn waits_for_checkpoint(&self) {
        let waits = proto::WaitsForCheckpoint { attempt_id: self.attempt.to_wire() };
        self.reporter.send_blocking(Report::WaitsForCheckpoint(waits));
    }
}

/// A task's answer to a checkpoint that it does not take.
pub fn declined(attempt: ExecutionAttemptId, checkpoint: CheckpointId, reason: String) -> Report {
    Report::CheckpointDeclined(proto::CheckpointDeclined {
        attempt_id: attempt.to_wire(),
        checkpoint_id: checkpoint.0,
        reason,
    })
}

/// The state of a checkpoint, as far as it concerns the tasks of one deployment.
pub struct RestoredCheckpoint {
    /// What each subtask wrote: for which operators, and what.
    states: Vec<(RestoredSubtask, BTreeMap<OperatorId, OperatorSnapshot>)>,
}

impl RestoredCheckpoint {
    /// Whether every subtask that wrote state of this operator had reached the end of its input.
    pub fn all_finished(&self, operator: OperatorId) -> bool {
        let mut wrote = self.states.iter().filter(|(wrote, _)| wrote.operators.contains(&operator)).peekable();
        wrote.peek().is_some() && wrote.all(|(wrote, _)| wrote.finished)
    }

    /// What instance `subtask` of `parallelism` of an operator gets back.
    pub fn state_of(
        &self,
        operator: OperatorId,
        range: KeyGroupRange,
        subtask: u32,
        parallelism: u32,
    ) -> RestoredState {
        let wrote = self.states.iter().filter(|(wrote, _)| wrote.operators.contains(&operator));
        let mut snapshots: Vec<_> = wrote
            .filter_map(|(wrote, states)| states.get(&operator).map(|state| (wrote.subtask, state.clone())))
            .collect();
        snapshots.sort_by_key(|(subtask, _)| *subtask);
        let snapshots: Vec<OperatorSnapshot> = snapshots.into_iter().map(|(_, snapshot)| snapshot).collect();
        RestoredState::assign(&snapshots, range, subtask, parallelism)
    }
}

/// What a worker of a job does about checkpoints; none for a job that takes none.
///
/// # Errors
///
/// When the configuration names no directory that can be used.
pub fn of_job(env: &Env, setup: &WorkerSetup, configuration: &Configuration) -> io::Result<Option<Checkpoints>> {
    if CheckpointSettings::of(configuration).is_none() {
        return Ok(None);
    }
    let invalid = |message: String| io::Error::new(io::ErrorKind::InvalidInput, message);
    let kept = CheckpointStorageSettings::of(configuration).map_err(|error| invalid(error.to_string()))?;
    let (storage, directory, inline): (Arc<dyn Storage>, _, _) = match kept.directory {
        None => (Arc::new(MemoryStorage::default()), String::new(), Inline::All),
        Some(directory) => {
            let directory = pelton_filesystem::job_directory(&directory, setup.job_id);
            let storage =
                pelton_filesystem::checkpoint_storage(&directory, &setup.configuration, env).map_err(|error| {
                    invalid(format!("checkpoints cannot be kept in `{directory}`: {}", error_chain(&error)))
                })?;
            (storage, directory, Inline::UpTo(kept.inline_max.as_bytes()))
        }
    };
    Ok(Some(Checkpoints {
        env: env.clone(),
        job: setup.job_id,
        epoch: setup.epoch,
        store: CheckpointStore::new(setup.job_id, storage),
        directory,
        inline,
        configuration: Arc::new(setup.configuration.clone()),
    }))
}
