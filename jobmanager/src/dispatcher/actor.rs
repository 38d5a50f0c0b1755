//! The loop that owns the table of jobs.

use std::collections::BTreeMap;
use std::sync::Arc;

use pelton_runtime_core::checkpoint::coordinator::CheckpointSettings;
use pelton_runtime_core::checkpoint::storage::{CheckpointStorageSettings, MemoryStorage};
use pelton_runtime_core::checkpoint::store::CheckpointStore;
use pelton_runtime_core::config::{Configuration, Origin, options};
use pelton_runtime_core::env::Env;
use pelton_runtime_core::id::JobId;
use pelton_runtime_core::scheduler::job::SchedulerSettings;
use pelton_runtime_core::scheduler::restart::RestartSettings;
use tokio::sync::{mpsc, oneshot};
use tracing::debug;

use super::job_store::JobStore;
use super::{DispatcherSettings, JobEntry, Message, ProgramSource, SubmitError};
use crate::blob::BlobStore;
use crate::job_master::{self, CheckpointPlace, JobDescription, JobMasterHandle, JobMasterSettings, Recovered};
use crate::resource_manager::ResourceManagerHandle;
use crate::view::JobView;

/// Ended jobs on their way to the table.
const ENDED_CAPACITY: usize = 1024;

/// Runs until the last handle is dropped.
pub(super) async fn run(
    env: Env,
    settings: DispatcherSettings,
    resource_manager: ResourceManagerHandle,
    blobs: Arc<BlobStore>,
    mut messages: mpsc::Receiver<Message>,
) {
    let (settled, mut ended) = mpsc::channel(ENDED_CAPACITY);
    let mut actor = Dispatcher {
        store: JobStore::new(settings.job_store_capacity, settings.job_store_expiration),
        env,
        settings,
        resource_manager,
        blobs,
        running: BTreeMap::new(),
        settled,
        shutting_down: None,
    };
    loop {
        tokio::select! {
            biased;
            Some(view) = ended.recv() => actor.job_ended(view).await,
            () = actor.env.sleep_until(actor.store.next_expiration()) => actor.store.expire(actor.env.moment()),
            message = messages.recv() => match message {
                Some(message) => actor.handle(message).await,
                None => return,
            },
        }
    }
}

struct Dispatcher {
    env: Env,
    settings: DispatcherSettings,
    resource_manager: ResourceManagerHandle,
    blobs: Arc<BlobStore>,
    running: BTreeMap<JobId, (JobMasterHandle, Option<String>)>,
    store: JobStore,
    settled: mpsc::Sender<Arc<JobView>>,
    /// Who waits for the last job to be gone.
    shutting_down: Option<Vec<oneshot::Sender<()>>>,
}

impl Dispatcher {
    async fn handle(&mut self, message: Message) {
        // Who asked may have stopped waiting; that is its right.
        match message {
            Message::Submit { job, recovered, reply } => drop(reply.send(self.submit(job, recovered).await)),
            Message::Jobs(reply) => {
                let running = self.running.iter().map(|(&id, (master, _))| (id, JobEntry::Running(master.clone())));
                let ended = self.store.iter().map(|view| (view.id, JobEntry::Ended(Arc::clone(view))));
                drop(reply.send(running.chain(ended).collect()));
            }
            Message::Job { id, reply } => {
                let running = self.running.get(&id).map(|(master, _)| JobEntry::Running(master.clone()));
                let entry = running.or_else(|| self.store.get(id).cloned().map(JobEntry::Ended));
                drop(reply.send(entry));
            }
            Message::ShutDown { reason, reply } => self.shut_down(reason, reply),
        }
    }

    async fn submit(&mut self, job: JobDescription, recovered: Option<Recovered>) -> Result<(), SubmitError> {
        if self.shutting_down.is_some() {
            return Err(SubmitError::ShuttingDown);
        }
        let known = self.running.get(&job.id).map(|(master, _)| master.fingerprint().to_owned());
        let known = known.or_else(|| self.store.get(job.id).map(|view| view.graph.fingerprint()));
        if let Some(fingerprint) = known {
            let repeated = fingerprint == job.graph.fingerprint();
            return if repeated { Ok(()) } else { Err(SubmitError::IdTaken(job.id)) };
        }
        let configuration = self.configuration_of(&job)?;
        let checkpoints = self.checkpoints_of(&job, &configuration)?;
        match &job.artifact {
            Some(digest) if !self.blobs.retain(digest) => return Err(SubmitError::NoArtifact(digest.clone())),
            None if self.settings.programs == ProgramSource::Artifacts => require_stock(&job)?,
            Some(_) | None => {}
        }
        let settings = JobMasterSettings {
            scheduler: scheduler_settings(&configuration),
            checkpoints: Some(checkpoints),
            recovered,
            heartbeat: self.settings.heartbeat,
            address: self.settings.job_master_address.clone(),
            epoch: self.settings.epoch,
        };
        let (id, artifact) = (job.id, job.artifact.clone());
        let manager = self.resource_manager.clone();
        let master = job_master::spawn(&self.env, job, settings, manager, self.settled.clone()).await?;
        self.running.insert(id, (master, artifact));
        Ok(())
    }

    /// The cluster's configuration under the job's own.
    fn configuration_of(&self, job: &JobDescription) -> Result<Configuration, SubmitError> {
        let own = job.graph.configuration.clone();
        Ok(self.settings.configuration.with_overrides(own, &Origin::Job)?)
    }

    fn checkpoints_of(
        &self,
        job: &JobDescription,
        configuration: &Configuration,
    ) -> Result<CheckpointPlace, SubmitError> {
        let settings = CheckpointSettings::of(configuration);
        let savepoint_directory = configuration.get(&options::checkpointing::SAVEPOINT_DIRECTORY);
        let own = Arc::new(configuration.to_map());
        let directory = CheckpointStorageSettings::of(configuration)?.directory;
        let Some(directory) = directory.filter(|_| settings.interval.is_some()) else {
            // Everything is in acknowledgements and records, which are kept here.
            let storage = Arc::new(MemoryStorage::default());
            let (store, directory) = (CheckpointStore::new(job.id, storage), String::new());
            return Ok(CheckpointPlace { settings, store, directory, savepoint_directory, configuration: own });
        };
        let directory = pelton_filesystem::job_directory(&directory, job.id);
        let storage = pelton_filesystem::checkpoint_storage(&directory, &configuration.to_map(), &self.env).map_err(
            |source| SubmitError::CheckpointDirectory { directory: directory.clone(), source: Box::new(source) },
        )?;
        let store = CheckpointStore::new(job.id, storage);
        Ok(CheckpointPlace { settings, store, directory, savepoint_directory, configuration: own })
    }

    async fn job_ended(&mut self, view: Arc<JobView>) {
        debug!(job = %view.id, status = %view.status, "nothing of the job runs any more");
        if let Some((_, Some(digest))) = self.running.remove(&view.id) {
            self.blobs.release(&digest).await;
        }
        self.store.put(view, self.env.moment());
        self.answer_shut_down();
    }

    fn shut_down(&mut self, reason: String, reply: oneshot::Sender<()>) {
        self.shutting_down.get_or_insert_default().push(reply);
        for (master, _) in self.running.values() {
            let (master, reason) = (master.clone(), reason.clone());
            // A JobMaster with a full mailbox must not hold up the others.
            self.env.spawn("suspend-job", async move {
                // One that has ended needs no suspension.
                let _ = master.suspend(reason).await;
            });
        }
        self.answer_shut_down();
    }

    fn answer_shut_down(&mut self) {
        if self.running.is_empty() {
            for waiting in self.shutting_down.iter_mut().flat_map(|waiting| waiting.drain(..)) {
                let _ = waiting.send(());
            }
        }
    }
}

/// Only stock operators run without a program.
fn require_stock(job: &JobDescription) -> Result<(), SubmitError> {
    let needs_program = |vertex: &&pelton_runtime_core::graph::JobVertex| {
        vertex.operators.iter().any(|operator| operator.stock.is_none())
    };
    match job.graph.vertices.iter().find(needs_program) {
        Some(vertex) => Err(SubmitError::NeedsArtifact { vertex: vertex.name.clone() }),
        None => Ok(()),
    }
}

fn scheduler_settings(configuration: &Configuration) -> SchedulerSettings {
    let timeout = configuration.get(&options::task::CANCELLATION_TIMEOUT);
    SchedulerSettings {
        slot_request_timeout: configuration.get(&options::slot::REQUEST_TIMEOUT),
        slot_idle_timeout: configuration.get(&options::slot::IDLE_TIMEOUT),
        cancellation_interval: configuration.get(&options::task::CANCELLATION_INTERVAL),
        cancellation_timeout: (!timeout.is_zero()).then_some(timeout),
        exception_history_size: configuration.get(&options::web::EXCEPTION_HISTORY_SIZE) as usize,
        attempts_history_size: configuration.get(&options::jobmanager::ATTEMPTS_HISTORY_SIZE) as usize,
        restart: RestartSettings::from_configuration(configuration),
        whole_vertices: CheckpointSettings::of(configuration).interval.is_some()
            || configuration.get(&options::state_recovery::PATH).is_some(),
        ..SchedulerSettings::default()
    }
}
