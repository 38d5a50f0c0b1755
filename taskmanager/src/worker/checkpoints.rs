//! A worker's part in checkpoints: its tasks' state on the way to storage, and back at a restart.
//!
//! ```text
//!  task ── snapshot ──► bytes ── at most `inline_max`: in the acknowledgement ──────────────► JobMaster
//!                         └───── more: a file, durable before it is acknowledged ──► storage
//! ```
//!
//! State in the files of a store and state in layers take ways of their own (`increments`, `layers`).
//!
//! Nothing of this runs on a task's thread but handing over. What cannot be stored is declined with the reason; the task
//! goes on. A finished task's last state must be stored, or the task counts as failed: no later checkpoint could be
//! taken without it.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use parking_lot::Mutex;
use pelton_filesystem::location::LocationError;
use pelton_proto as proto;
use pelton_runtime_core::checkpoint::coordinator::CheckpointSettings;
use pelton_runtime_core::checkpoint::in_flight::{InFlight, redistribute};
use pelton_runtime_core::checkpoint::layout;
use pelton_runtime_core::checkpoint::record::{StateFileHandle, StateHandle};
use pelton_runtime_core::checkpoint::snapshot::{OperatorSnapshot, RestoredState, Unclaimed};
use pelton_runtime_core::checkpoint::state_file::{self, StateFileError};
use pelton_runtime_core::checkpoint::storage::{CheckpointStorageSettings, MemoryStorage, Storage, StorageError};
use pelton_runtime_core::checkpoint::store::{CheckpointStore, StoreError};
use pelton_runtime_core::config::{CheckpointingMode, Configuration, options};
use pelton_runtime_core::element::{BarrierMode, CheckpointId, Savepoint};
use pelton_runtime_core::env::{Env, Stopped};
use pelton_runtime_core::failure::{Classify, FailureClass, error_chain};
use pelton_runtime_core::graph::JobGraph;
use pelton_runtime_core::id::{Epoch, ExecutionAttemptId, JobId, OperatorId};
use pelton_runtime_core::key_group::KeyGroupRange;
use pelton_runtime_core::operator::{OperatorError, OperatorResult};
use pelton_runtime_core::state::StateError;
use pelton_runtime_core::state::cold::ColdBackend;
use pelton_runtime_core::state::files::Increments;
use pelton_runtime_core::task::checkpointing::{CheckpointListener, DeclineReason, TaskSnapshot};
use pelton_runtime_core::time::EpochMillis;
use pelton_runtime_core::wire::BadMessage;
use pelton_runtime_core::wire::checkpoint::{Acknowledged, RestoredSubtask};
use proto::worker_report::Report;
use sha2::{Digest, Sha256};

use super::increments::KnownFiles;
use super::local_state::LocalState;
use super::report::Reporter;
use super::setup::WorkerSetup;
use super::spill_file;
use super::uploads::Uploads;

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
    /// The worker's folder has no place for it.
    #[error("state cannot be kept in the worker's folder `{folder}`")]
    Spill {
        /// The folder.
        folder: String,
        /// Why.
        source: io::Error,
    },
    /// It lies in files that this program cannot read.
    #[error(transparent)]
    State(#[from] StateError),
    /// A checkpoint builds on a layer that is not there: its base was not whole.
    #[error("state builds on a layer that was never written")]
    UnwrittenLayer,
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
            Self::State(_) => FailureClass::Unrecoverable,
            Self::Location(_)
            | Self::Spill { .. }
            | Self::UnwrittenLayer
            | Self::TooLarge { .. }
            | Self::Stopped(_)
            | Self::BadMessage(_) => FailureClass::System,
        }
    }
}

/// Where this worker's tasks store their state.
#[derive(Debug, Clone)]
pub struct Checkpoints {
    pub(super) env: Env,
    job: JobId,
    epoch: Epoch,
    pub(super) store: CheckpointStore,
    /// Where `store` is; empty for the JobManager's memory.
    directory: String,
    inline: Inline,
    /// How much state of a task is in a savepoint's record; more goes to a file.
    savepoint_inline_max: u64,
    /// Where files are put together that may be more than fits into memory.
    pub(super) spill_folder: PathBuf,
    /// Whether a checkpoint may name files of an earlier one again.
    is_incremental: bool,
    /// By which files of a store are read.
    pub(super) cold_backend: Option<Arc<dyn ColdBackend>>,
    /// For what lies elsewhere.
    configuration: Arc<BTreeMap<String, String>>,
    /// Whether the job takes checkpoints by itself.
    are_taken: bool,
    mode: CheckpointingMode,
    unaligned_after: Option<Duration>,
    uploads: Uploads,
    /// Where copies of state files are kept on this host; none if they are not.
    pub(super) keeps_copies: Option<LocalState>,
    /// Where such copies are looked for.
    pub(super) reads_copies: Option<LocalState>,
    /// What becomes of state that operators have no place for.
    unclaimed: Unclaimed,
}

/// A checkpoint that tasks begin from.
#[derive(Debug, Clone)]
pub(super) struct Origin {
    pub(super) checkpoint: CheckpointId,
    /// Where its files are.
    pub(super) store: CheckpointStore,
}

/// How much state of a task travels with its acknowledgement.
#[derive(Debug, Clone, Copy)]
enum Inline {
    /// So many bytes; more goes to a file.
    UpTo(u64),
    /// All: the JobManager keeps it in its memory, and more than [`IN_MEMORY_MAX`] is refused.
    All,
}

/// How many files of a checkpoint are read at once: more would only share the way to the storage, and each is in memory.
pub(super) const READS_AT_ONCE: usize = 4;

/// State up to this size is in memory while it is written, though it was put together in a file.
pub(super) const SPILL_MIN: u64 = 1 << 20;

/// The most state of one task that the JobManager keeps in its memory, as in Flink.
pub(super) const IN_MEMORY_MAX: usize = 5 << 20;

impl Checkpoints {
    /// Whether the job takes checkpoints by itself. If not, only savepoints are taken, and nobody keeps what tasks finish
    /// with.
    pub fn are_taken(&self) -> bool {
        self.are_taken
    }

    /// Whether channels do not wait for each other's barriers.
    pub fn counts_at_least_once(&self) -> bool {
        self.mode == CheckpointingMode::AtLeastOnce
    }

    /// What the attempt is storing for this checkpoint is not needed.
    pub fn give_up(&self, checkpoint: CheckpointId, attempt: ExecutionAttemptId) {
        self.uploads.give_up(checkpoint, attempt);
        self.with_copies(move |local| local.aborted(checkpoint));
    }

    /// The attempt is cancelled: nothing that it is storing is needed.
    pub fn give_up_all(&self, attempt: ExecutionAttemptId) {
        self.uploads.give_up_all(attempt);
    }

    /// A checkpoint is complete.
    pub fn completed(&self, checkpoint: CheckpointId) {
        self.with_copies(move |local| local.completed(checkpoint));
    }

    /// A task has failed by no fault of its program. Blocks.
    pub(super) fn distrust_copies(&self) {
        if let Some(local) = &self.keeps_copies {
            local.distrust();
        }
    }

    /// The job is over here: nothing of it is kept on this host.
    pub async fn clear(&self) {
        if let Some(local) = self.keeps_copies.clone()
            && self.env.blocking(move || local.clear()).await.is_err()
        {
            tracing::debug!("copies of state are left to the TaskManager, as the worker is ending");
        }
    }

    fn with_copies(&self, work: impl FnOnce(&LocalState) + Send + 'static) {
        if let Some(local) = self.keeps_copies.clone() {
            let env = self.env.clone();
            env.clone().spawn("local-state", async move {
                if env.blocking(move || work(&local)).await.is_err() {
                    tracing::debug!("copies of state are left as they are, as the worker is ending");
                }
            });
        }
    }

    /// Whether the barriers of a checkpoint that was triggered at this time overtake records, and when.
    pub fn barrier_mode(&self, triggered_at: EpochMillis) -> BarrierMode {
        match self.unaligned_after {
            None => BarrierMode::Aligned,
            Some(after) if after.is_zero() => BarrierMode::Unaligned,
            Some(after) => {
                let after = i64::try_from(after.as_millis()).unwrap_or(i64::MAX);
                BarrierMode::AlignedUntil(triggered_at.saturating_add(after))
            }
        }
    }

    /// What the operators of one task are told about snapshots that may consist of files.
    pub fn increments(&self) -> Increments {
        match self.inline {
            Inline::UpTo(bytes) if self.is_incremental => {
                Increments::enabled().with_inline_max(usize::try_from(bytes).unwrap_or(usize::MAX))
            }
            _ => Increments::default(),
        }
    }

    /// What the task that runs as `attempt` tells of its checkpoints.
    pub fn listener(&self, attempt: ExecutionAttemptId, is_source: bool, reporter: &Reporter) -> Arc<TaskCheckpoints> {
        Arc::new(TaskCheckpoints {
            checkpoints: self.clone(),
            attempt,
            is_source,
            reporter: reporter.clone(),
            known: Arc::default(),
            told: Mutex::default(),
        })
    }

    /// Reads the state of a checkpoint, as far as it concerns this worker's tasks. Every file is read once; one that has only
    /// others' keys is read without them.
    ///
    /// # Errors
    ///
    /// When a file is missing or damaged; the error names it.
    pub async fn read(
        &self,
        message: &proto::RestoreFrom,
        keys: &WantedKeys,
    ) -> Result<RestoredCheckpoint, StateTransferError> {
        let origin =
            Origin { checkpoint: CheckpointId(message.checkpoint_id), store: self.store_in(&message.directory)? };
        let start = self.env.moment();
        let subtasks = message.subtasks.iter().cloned().map(RestoredSubtask::from_wire);
        let subtasks = subtasks.collect::<Result<Vec<_>, _>>()?;
        let with_keys = keys.wanted_of(&subtasks);
        let reads = subtasks.into_iter().zip(with_keys).map(|(subtask, with_keys)| {
            let (checkpoints, origin) = (self.clone(), origin.clone());
            async move { checkpoints.read_subtask(&origin, subtask, with_keys).await }
        });
        let reads: Vec<_> = reads.collect();
        let states: Vec<_> = futures::stream::iter(reads).buffered(READS_AT_ONCE).try_collect().await?;
        let bytes: u64 = states.iter().map(|state: &WrittenState| state.read_bytes).sum();
        let took = self.env.moment().since(start);
        tracing::info!(checkpoint = message.checkpoint_id, files = states.len(), bytes, ?took, "state was read");
        Ok(RestoredCheckpoint { checkpoint: origin.checkpoint, states, unclaimed: self.unclaimed })
    }

    /// The files of a directory: the job's own, or another that it begins from.
    fn store_in(&self, directory: &str) -> Result<CheckpointStore, StateTransferError> {
        if directory == self.directory {
            return Ok(self.store.clone());
        }
        let storage = pelton_filesystem::checkpoint_storage(directory, &self.configuration, &self.env)?;
        Ok(CheckpointStore::new(self.job, storage))
    }

    async fn read_subtask(
        &self,
        origin: &Origin,
        subtask: RestoredSubtask,
        with_keys: bool,
    ) -> Result<WrittenState, StateTransferError> {
        let store = &origin.store;
        if let StateHandle::File(file) = &subtask.state
            && !with_keys
            && let Some(operators) = store.get_without_keys(file).await?
        {
            let (operators, in_flight) = (operators.into_iter().collect(), InFlight::default());
            return Ok(WrittenState { subtask, operators, in_flight, read_bytes: 0 });
        }
        let file = match subtask.state.own() {
            StateHandle::File(file) => file.path.clone(),
            _ => "in the checkpoint's record".to_owned(),
        };
        let copy = match (subtask.state.own(), self.reads_copies.clone()) {
            (StateHandle::File(file), Some(local)) => {
                let file = file.clone();
                self.env.blocking(move || local.read(&file)).await?
            }
            _ => None,
        };
        let bytes = match copy {
            Some(copy) => Some(copy),
            None => match subtask.state.own() {
                StateHandle::File(file) if file.bytes > IN_MEMORY_MAX as u64 => Some(self.fetch(store, file).await?),
                state => store.get_state(state).await?,
            },
        };
        let (mut operators, in_flight) = match bytes {
            None => (Vec::new(), InFlight::default()),
            Some(bytes) => self.env.blocking(move || state_file::decode_known(&file, &bytes)).await??,
        };
        if with_keys {
            self.fetch_files(origin, &subtask.state, &subtask.operators, &mut operators).await?;
            self.read_layers(origin, &subtask.state, &subtask.operators, &mut operators).await?;
        } else {
            operators.iter_mut().for_each(|(_, snapshot)| snapshot.forget_stored());
        }
        let read_bytes = subtask.state.size_bytes();
        Ok(WrittenState { subtask, operators: operators.into_iter().collect(), in_flight, read_bytes })
    }

    /// Stores state in a savepoint's directory. Both formats are the same for state that is kept in memory.
    async fn put_into(
        &self,
        savepoint: &Savepoint,
        attempt: ExecutionAttemptId,
        operators: Vec<(OperatorId, OperatorSnapshot)>,
        in_flight: InFlight,
    ) -> Result<StateHandle, StateTransferError> {
        let store = self.store_in(&savepoint.directory)?;
        let spill_folder = self.spill_folder.clone();
        let bytes = self.env.blocking(move || put_together(&operators, &in_flight, &spill_folder)).await??;
        Ok(store.put_state(layout::savepoint_state(attempt), bytes, self.savepoint_inline_max).await?)
    }

    /// A file that may be more than fits into memory.
    pub(super) async fn fetch(
        &self,
        store: &CheckpointStore,
        handle: &StateFileHandle,
    ) -> Result<Bytes, StateTransferError> {
        let folder = self.spill_folder.clone();
        let unplaced = |source| self.unplaced(source);
        let mut file = self.env.blocking(move || spill_file::create(&folder)).await?.map_err(unplaced)?;
        let mut parts = store.state_parts(handle).await?;
        let mut digest = Sha256::new();
        let mut next = parts.try_next().await?;
        while let Some(part) = next {
            // The next part is read while this one is written.
            let written = self.env.blocking(move || {
                file.write_all(&part)?;
                digest.update(&part);
                Ok((file, digest))
            });
            let (written, read) = tokio::join!(written, parts.try_next());
            (file, digest) = written?.map_err(unplaced)?;
            next = read?;
        }
        let bytes = spill_file::mapped(&file).map_err(unplaced)?;
        store.check_digest(handle, bytes.len() as u64, digest.finalize().into())?;
        Ok(bytes)
    }

    pub(super) fn unplaced(&self, source: io::Error) -> StateTransferError {
        StateTransferError::Spill { folder: self.spill_folder.display().to_string(), source }
    }

    /// Stores state of which other checkpoints may have a part.
    async fn put_increment(
        &self,
        (checkpoint, base): (CheckpointId, Option<CheckpointId>),
        attempt: ExecutionAttemptId,
        mut operators: Vec<(OperatorId, OperatorSnapshot)>,
        in_flight: InFlight,
        known: &KnownFiles,
    ) -> Result<StateHandle, StateTransferError> {
        let mut shared = self.place_files((checkpoint, base), attempt, &mut operators, known).await?;
        shared.append(&mut self.place_layers(checkpoint, attempt, &mut operators).await?);
        let own = self.put(layout::state(checkpoint, attempt), operators, in_flight).await?;
        Ok(own.with_shared(shared))
    }

    /// State that needs no file; `None` if it does.
    async fn small_state(
        &self,
        operators: Vec<(OperatorId, OperatorSnapshot)>,
    ) -> Result<Option<StateHandle>, StateTransferError> {
        let spill_folder = self.spill_folder.clone();
        let together = move || put_together(&operators, &InFlight::default(), &spill_folder);
        Ok(match self.env.blocking(together).await?? {
            None => Some(StateHandle::Empty),
            Some(bytes) if bytes.len() as u64 <= self.savepoint_inline_max => Some(StateHandle::Inline(bytes)),
            Some(_) => None,
        })
    }

    async fn put(
        &self,
        path: String,
        operators: Vec<(OperatorId, OperatorSnapshot)>,
        in_flight: InFlight,
    ) -> Result<StateHandle, StateTransferError> {
        let spill_folder = self.spill_folder.clone();
        let bytes = self.env.blocking(move || put_together(&operators, &in_flight, &spill_folder)).await??;
        let inline_max = match self.inline {
            Inline::UpTo(bytes) => bytes,
            Inline::All => match bytes.as_ref().map_or(0, Bytes::len) {
                len if len > IN_MEMORY_MAX => return Err(StateTransferError::TooLarge { bytes: len }),
                _ => u64::MAX,
            },
        };
        let Some(local) = self.keeps_copies.clone() else {
            return Ok(self.store.put_state(path, bytes, inline_max).await?);
        };
        let copied = self.env.blocking(move || {
            if let Some(bytes) = bytes.as_ref().filter(|bytes| bytes.len() as u64 > inline_max) {
                local.keep(&path, bytes);
            }
            (path, bytes)
        });
        let (path, bytes) = copied.await?;
        Ok(self.store.put_state(path, bytes, inline_max).await?)
    }
}

/// The bytes of a state file. Rows that are not in memory go to a file on local disk, which is mapped.
fn put_together(
    operators: &[(OperatorId, OperatorSnapshot)],
    in_flight: &InFlight,
    spill_folder: &Path,
) -> Result<Option<Bytes>, StateFileError> {
    if operators.iter().all(|(_, snapshot)| snapshot.streamed.is_empty()) {
        return Ok(state_file::encode_with(operators, in_flight)?.map(Bytes::from));
    }
    let mut file = spill_file::create(spill_folder)?;
    let written = state_file::encode_into(operators, in_flight, &mut file)?;
    let Some(length) = written else { return Ok(None) };
    let bytes = spill_file::mapped(&file)?;
    // Little is not worth a file that stays open while it travels.
    Ok(Some(if length <= SPILL_MIN { Bytes::copy_from_slice(&bytes) } else { bytes }))
}

/// What one task tells of its checkpoints.
pub struct TaskCheckpoints {
    checkpoints: Checkpoints,
    attempt: ExecutionAttemptId,
    is_source: bool,
    reporter: Reporter,
    known: Arc<KnownFiles>,
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
    /// Stores the state that the task finished with. Answers with where it is, if somebody keeps it, and with the newest
    /// checkpoint that the task took.
    ///
    /// # Errors
    ///
    /// When it cannot be stored.
    pub async fn store_last(&self) -> Result<(Option<StateHandle>, Option<CheckpointId>), StateTransferError> {
        let Told { newest, last } = std::mem::take(&mut *self.told.lock());
        if !self.checkpoints.are_taken {
            let kept = if self.is_source { self.checkpoints.small_state(last).await? } else { None };
            return Ok((kept, newest));
        }
        let path = layout::final_state(self.checkpoints.epoch, self.attempt);
        Ok((Some(self.checkpoints.put(path, last, InFlight::default()).await?), newest))
    }
}

impl TaskCheckpoints {
    /// The task has failed by no fault of its program: what its stores began from may be damaged. Blocks.
    pub(super) fn distrust_copies(&self) {
        self.checkpoints.distrust_copies();
    }

    /// The task begins from this state of one of its operators.
    pub(super) fn begins_from(&self, checkpoint: CheckpointId, operator: OperatorId, state: &RestoredState) {
        self.known.begins_from(checkpoint, operator, state);
    }
}

impl CheckpointListener for TaskCheckpoints {
    fn snapshot(&self, snapshot: TaskSnapshot) {
        self.told.lock().newest = Some(snapshot.checkpoint);
        let (checkpoints, attempt, reporter) = (self.checkpoints.clone(), self.attempt, self.reporter.clone());
        let (env, uploads) = (checkpoints.env.clone(), checkpoints.uploads.clone());
        let known = Arc::clone(&self.known);
        uploads.start(&env.clone(), snapshot.checkpoint, attempt, async move {
            let TaskSnapshot { checkpoint, savepoint, base, operators, in_flight, .. } = snapshot;
            let TaskSnapshot { unaligned, start_delay, alignment, processed_bytes, synchronous, .. } = snapshot;
            let start = env.moment();
            let persisted_bytes = in_flight.size_bytes();
            let stored = match &savepoint {
                Some(savepoint) => checkpoints.put_into(savepoint, attempt, operators, in_flight).await,
                None => checkpoints.put_increment((checkpoint, base), attempt, operators, in_flight, &known).await,
            };
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
                        processed_bytes,
                        persisted_bytes,
                        unaligned,
                    }
                    .to_wire(),
                ),
                Err(error) => {
                    if matches!(error, StateTransferError::Form(_)) {
                        // Its rows may be in a store that cannot read them any more.
                        checkpoints.with_copies(LocalState::distrust);
                    }
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

    /// In a job that takes no checkpoints there may be savepoints; what is left of a source that has ended is little, and
    /// without it there were none as soon as one ends.
    fn keeps_last_state(&self) -> bool {
        self.checkpoints.are_taken || self.is_source
    }

    fn waits_for_checkpoint(&self) {
        if !self.checkpoints.are_taken {
            return;
        }
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
    /// Which one.
    pub(super) checkpoint: CheckpointId,
    states: Vec<WrittenState>,
    unclaimed: Unclaimed,
}

/// What one subtask wrote.
struct WrittenState {
    subtask: RestoredSubtask,
    operators: BTreeMap<OperatorId, OperatorSnapshot>,
    in_flight: InFlight,
    /// How much was read for it.
    read_bytes: u64,
}

/// The key groups that the tasks of a worker have, by operator.
#[derive(Debug, Default)]
pub struct WantedKeys(BTreeMap<OperatorId, (u32, Vec<KeyGroupRange>)>);

impl WantedKeys {
    /// Those of these subtasks, by vertex.
    pub fn of(graph: &JobGraph, subtasks: impl IntoIterator<Item = (usize, u32)>) -> Self {
        let mut wanted = Self::default();
        for (vertex, subtask) in subtasks {
            let vertex = &graph.vertices[vertex];
            let range = KeyGroupRange::of_subtask(vertex.max_parallelism, vertex.parallelism, subtask);
            for operator in &vertex.operators {
                let (_, ranges) = wanted.0.entry(operator.id).or_insert((vertex.max_parallelism, Vec::new()));
                ranges.push(range);
            }
        }
        wanted
    }

    /// Whether keys of each of these may be wanted; they are all that their vertices wrote.
    fn wanted_of(&self, written: &[RestoredSubtask]) -> Vec<bool> {
        let is_wanted = |subtask: &RestoredSubtask| {
            let parallelism = written.iter().filter(|other| other.operators == subtask.operators).count();
            subtask.operators.iter().any(|operator| match self.0.get(operator) {
                Some((max_parallelism, ranges)) => {
                    let wrote = KeyGroupRange::of_subtask(*max_parallelism, parallelism as u32, subtask.subtask);
                    ranges.iter().any(|range| range.overlaps(wrote))
                }
                None => false,
            })
        };
        written.iter().map(is_wanted).collect()
    }
}

impl RestoredCheckpoint {
    /// Whether every subtask that wrote state of this operator had reached the end of its input.
    pub fn all_finished(&self, operator: OperatorId) -> bool {
        let mut wrote = self.states.iter().filter(|state| state.subtask.operators.contains(&operator)).peekable();
        wrote.peek().is_some() && wrote.all(|state| state.subtask.finished)
    }

    /// What a subtask of a vertex has to process before anything else.
    ///
    /// # Errors
    ///
    /// When records in flight have no place in this graph.
    pub fn in_flight_to(&self, graph: &JobGraph, vertex: usize, subtask: u32) -> OperatorResult<InFlight> {
        let described = &graph.vertices[vertex];
        let head = described.operators[0].id;
        let mut written = Vec::new();
        let mut written_parallelism = 0;
        for state in &self.states {
            if state.subtask.operators.contains(&head) {
                written_parallelism += 1;
                written.push((state.subtask.subtask, &state.in_flight));
            } else if !state.in_flight.is_empty()
                && described.operators.iter().any(|operator| state.subtask.operators.contains(&operator.id))
            {
                return Err(OperatorError::misfit(format!(
                    "the checkpoint has records in flight to an operator that is chained to others in `{}` now: change \
                     how operators are chained from a savepoint, or from a checkpoint that is not unaligned",
                    described.name
                )));
            }
        }
        written.sort_by_key(|(written_by, _)| *written_by);
        redistribute::to_subtask(graph, vertex, subtask, &written, written_parallelism)
    }

    /// What instance `subtask` of `parallelism` of an operator gets back.
    pub fn state_of(
        &self,
        operator: OperatorId,
        range: KeyGroupRange,
        subtask: u32,
        parallelism: u32,
    ) -> RestoredState {
        let wrote = self.states.iter().filter(|state| state.subtask.operators.contains(&operator));
        let mut snapshots: Vec<_> = wrote
            .filter_map(|wrote| wrote.operators.get(&operator).map(|state| (wrote.subtask.subtask, state.clone())))
            .collect();
        snapshots.sort_by_key(|(subtask, _)| *subtask);
        let snapshots: Vec<OperatorSnapshot> = snapshots.into_iter().map(|(_, snapshot)| snapshot).collect();
        let state = RestoredState::assign(&snapshots, range, subtask, parallelism);
        RestoredState { unclaimed: self.unclaimed, ..state }
    }
}

/// What a worker of a job does about checkpoints; a job that takes none is saved when somebody asks for it.
///
/// # Errors
///
/// When the configuration names no directory that can be used.
pub fn of_job(
    env: &Env,
    setup: &WorkerSetup,
    configuration: &Configuration,
    cold_backend: Option<Arc<dyn ColdBackend>>,
) -> io::Result<Checkpoints> {
    let CheckpointSettings { interval, mode, unaligned_after, incremental, .. } = CheckpointSettings::of(configuration);
    let uploads = Uploads::default();
    let local = |wanted: bool| wanted.then(|| LocalState::new(setup.local_state_dir.clone()));
    let keeps_copies = local(configuration.get(&options::checkpointing::LOCAL_BACKUP));
    let reads_copies = local(configuration.get(&options::checkpointing::FROM_LOCAL));
    if mode == CheckpointingMode::AtLeastOnce && configuration.get(&options::checkpointing::UNALIGNED) {
        tracing::warn!("execution.checkpointing.unaligned.enabled has no effect in the mode AT_LEAST_ONCE");
    }
    let invalid = |message: String| io::Error::new(io::ErrorKind::InvalidInput, message);
    let kept = CheckpointStorageSettings::of(configuration).map_err(|error| invalid(error.to_string()))?;
    let (storage, directory, inline): (Arc<dyn Storage>, _, _) = match kept.directory.filter(|_| interval.is_some()) {
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
    Ok(Checkpoints {
        env: env.clone(),
        job: setup.job_id,
        epoch: setup.epoch,
        store: CheckpointStore::new(setup.job_id, storage),
        directory,
        inline,
        // What the JobManager keeps in its memory has no files.
        is_incremental: incremental && matches!(inline, Inline::UpTo(_)),
        cold_backend,
        savepoint_inline_max: configuration.get(&options::checkpointing::DATA_INLINE_THRESHOLD).as_bytes(),
        spill_folder: setup.tmp_dir.join("state"),
        configuration: Arc::new(setup.configuration.clone()),
        are_taken: interval.is_some(),
        mode,
        unaligned_after,
        uploads,
        keeps_copies,
        reads_copies,
        unclaimed: match configuration.get(&options::state_recovery::IGNORE_UNCLAIMED_STATE) {
            true => Unclaimed::Dropped,
            false => Unclaimed::Refused,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_wants_the_keys_of_its_own_tasks_whatever_the_parallelism_was() {
        let operator = OperatorId::from_bytes([1; 16]);
        let written = |parallelism| -> Vec<RestoredSubtask> {
            let subtask = |subtask| {
                let (operators, state) = (vec![operator], StateHandle::Empty);
                RestoredSubtask { operators, subtask, state, finished: false }
            };
            (0..parallelism).map(subtask).collect()
        };
        let range = |parallelism, subtask| KeyGroupRange::of_subtask(128, parallelism, subtask);
        let wanted = |ranges: &[KeyGroupRange], parallelism| {
            WantedKeys([(operator, (128, ranges.to_vec()))].into()).wanted_of(&written(parallelism))
        };
        assert_eq!(wanted(&[range(3, 1)], 3), [false, true, false]);
        assert_eq!(wanted(&[range(3, 0), range(3, 2)], 3), [true, false, true]);
        assert_eq!(wanted(&[range(2, 0)], 4), [true, true, false, false]);
        assert_eq!(wanted(&[range(4, 1)], 2), [true, false]);
        assert_eq!(wanted(&[range(4, 1)], 3), [true, true, false], "a key group in common is enough");
        assert_eq!(WantedKeys::default().wanted_of(&written(1)), [false], "not an operator of its tasks");
    }
}
