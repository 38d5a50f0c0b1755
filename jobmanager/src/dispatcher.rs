//! The Dispatcher: takes jobs in, finds their JobMasters, and remembers those that have ended.

mod actor;
mod job_store;
mod recovery;

use std::sync::Arc;
use std::time::Duration;

use pelton_filesystem::location::LocationError;
use pelton_runtime_core::checkpoint::storage::CheckpointStorageConflict;
use pelton_runtime_core::config::{ConfigErrors, Configuration, Origin};
use pelton_runtime_core::env::{Env, Stopped};
use pelton_runtime_core::failure::error_chain;
use pelton_runtime_core::id::{Epoch, JobId};
use pelton_runtime_core::scheduler::status::JobStatus;
use tokio::sync::{mpsc, oneshot};

pub use self::recovery::RecoveryError;
use crate::blob::BlobStore;
use crate::job_master::{CheckpointOrder, JobDescription, JobMasterHandle, Recovered, Taken};
use crate::resource_manager::{HeartbeatSettings, ResourceManagerHandle};
use crate::view::{CancelError, JobView, Unavailable};

/// Messages that wait for the actor.
const MAILBOX_CAPACITY: usize = 1024;

/// Where the code of operators that are not stock comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProgramSource {
    /// From the executable that was uploaded with the job.
    Artifacts,
    /// Workers have it already: the cluster is embedded in the program.
    Embedded,
}

/// What the Dispatcher works with.
#[derive(Clone)]
pub struct DispatcherSettings {
    /// Where the code of jobs comes from.
    pub programs: ProgramSource,
    /// The cluster's configuration; a job's own goes above it.
    pub configuration: Configuration,
    /// How JobMasters notice silent workers.
    pub heartbeat: HeartbeatSettings,
    /// Where workers find their JobMaster, `host:port`.
    pub job_master_address: String,
    /// What JobMasters sign their messages with.
    pub epoch: Epoch,
    /// How many ended jobs are remembered.
    pub job_store_capacity: usize,
    /// How long they are remembered.
    pub job_store_expiration: Duration,
}

/// Why a job was not taken.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// Another job has its id.
    #[error("there is another job with the id {0}")]
    IdTaken(JobId),
    /// Its program was not uploaded, or not recently.
    #[error("the artifact {0} is not here; upload it first")]
    NoArtifact(String),
    /// It needs a program for some of its operators.
    #[error("the job has no artifact, and `{vertex}` has operators that need one")]
    NeedsArtifact {
        /// One of those vertices.
        vertex: String,
    },
    /// Its configuration is wrong.
    #[error("the job's configuration is wrong")]
    Configuration(#[from] ConfigErrors),
    /// Its checkpoints cannot be where its configuration says.
    #[error("the job's checkpoints cannot be kept in `{directory}` (`execution.checkpointing.dir`)")]
    CheckpointDirectory {
        /// The job's directory.
        directory: String,
        /// Why.
        source: Box<LocationError>,
    },
    /// Its checkpoints cannot be kept as its configuration says.
    #[error(transparent)]
    CheckpointStorage(#[from] CheckpointStorageConflict),
    /// It cannot begin from the checkpoint that it is to begin from.
    #[error("the job cannot begin from `{path}`")]
    Recovery {
        /// What was asked for.
        path: String,
        /// Why.
        source: Box<RecoveryError>,
    },
    /// The JobManager ends.
    #[error("the JobManager is shutting down")]
    ShuttingDown,
    /// The Dispatcher has ended.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// A job as the Dispatcher knows it.
#[derive(Clone)]
pub enum JobEntry {
    /// Its JobMaster is there.
    Running(JobMasterHandle),
    /// It has ended, and this is what is left.
    Ended(Arc<JobView>),
}

enum Message {
    Submit { job: JobDescription, recovered: Option<Recovered>, reply: oneshot::Sender<Result<(), SubmitError>> },
    Jobs(oneshot::Sender<Vec<(JobId, JobEntry)>>),
    Job { id: JobId, reply: oneshot::Sender<Option<JobEntry>> },
    ShutDown { reason: String, reply: oneshot::Sender<()> },
}

/// Address of the Dispatcher, which ends when its last handle is dropped.
#[derive(Clone)]
pub struct DispatcherHandle {
    mailbox: mpsc::Sender<Message>,
    env: Env,
    configuration: Arc<Configuration>,
}

/// Starts the Dispatcher.
pub fn spawn(
    env: &Env,
    settings: DispatcherSettings,
    resource_manager: ResourceManagerHandle,
    blobs: Arc<BlobStore>,
) -> DispatcherHandle {
    let (mailbox, messages) = mpsc::channel(MAILBOX_CAPACITY);
    let configuration = Arc::new(settings.configuration.clone());
    env.spawn("dispatcher", actor::run(env.clone(), settings, resource_manager, blobs, messages));
    DispatcherHandle { mailbox, env: env.clone(), configuration }
}

impl DispatcherHandle {
    /// Takes a job. Taking the same job again changes nothing.
    ///
    /// # Errors
    ///
    /// When it cannot be run.
    pub async fn submit(&self, job: JobDescription) -> Result<(), SubmitError> {
        let recovered = match self.entry(job.id).await? {
            // It is the same job again, or refused: what it began from may be gone by now.
            Some(_) => None,
            None => {
                let own = job.graph.configuration.clone();
                let configuration = self.configuration.with_overrides(own, &Origin::Job)?;
                recovery::recover(&self.env, &configuration, &job.graph).await?
            }
        };
        self.ask(|reply| Message::Submit { job, recovered, reply }).await?
    }

    /// All jobs.
    ///
    /// # Errors
    ///
    /// When the Dispatcher has ended; so with every method below.
    pub async fn jobs(&self) -> Result<Vec<Arc<JobView>>, Stopped> {
        let entries = self.ask(Message::Jobs).await?;
        let views = entries.into_iter().map(|(id, entry)| self.view_of(id, entry));
        let mut views: Vec<Arc<JobView>> = futures::future::join_all(views).await.into_iter().flatten().collect();
        views.sort_by_key(|view| std::cmp::Reverse((view.start_time(), view.id)));
        Ok(views)
    }

    /// One job; none when it is unknown.
    pub async fn job(&self, id: JobId) -> Result<Option<Arc<JobView>>, Stopped> {
        match self.entry(id).await? {
            Some(entry) => Ok(self.view_of(id, entry).await),
            None => Ok(None),
        }
    }

    /// One job as the Dispatcher knows it.
    pub async fn entry(&self, id: JobId) -> Result<Option<JobEntry>, Stopped> {
        self.ask(|reply| Message::Job { id, reply }).await
    }

    /// The job once it has ended for good, or was suspended; none when it is unknown.
    pub async fn ended(&self, id: JobId) -> Result<Option<Arc<JobView>>, Stopped> {
        if let Some(JobEntry::Running(master)) = self.entry(id).await? {
            // When the JobMaster is gone, its last status stays.
            drop(master.status().wait_for(|status: &JobStatus| status.is_terminal()).await);
        }
        self.job(id).await
    }

    /// Asks a job to cancel; one that was cancelled before is fine.
    ///
    /// # Errors
    ///
    /// When there is no such job, or it ended otherwise.
    pub async fn cancel(&self, job: JobId) -> Result<(), CancelError> {
        let gone = |stopped: Stopped| Unavailable { reason: stopped.to_string() };
        let ended = |status: JobStatus| match status {
            JobStatus::Canceled => Ok(()),
            status => Err(CancelError::AlreadyTerminal { job, status }),
        };
        match self.entry(job).await.map_err(gone)? {
            None => Err(CancelError::UnknownJob(job)),
            Some(JobEntry::Ended(view)) => ended(view.status),
            Some(JobEntry::Running(master)) => {
                let status = *master.status().borrow();
                if status.is_terminal() {
                    return ended(status);
                }
                match master.cancel().await {
                    Ok(()) => Ok(()),
                    // It settled in between.
                    Err(Stopped) => ended(*master.status().borrow()),
                }
            }
        }
    }

    /// Takes a checkpoint or savepoint of a job, as [`JobMasterHandle::take`] has it.
    ///
    /// # Errors
    ///
    /// Why there is none.
    pub async fn take(&self, job: JobId, order: CheckpointOrder) -> Result<Taken, String> {
        match self.entry(job).await.map_err(|stopped| stopped.to_string())? {
            None => Err(format!("Could not find Flink job ({job})")),
            Some(JobEntry::Ended(view)) => Err(format!("job {job} has already ended as {}", view.status)),
            Some(JobEntry::Running(master)) => match master.take(order).await {
                Ok(taken) => taken,
                Err(Stopped) => Err(format!("job {job} has ended as {}", *master.status().borrow())),
            },
        }
    }

    /// Removes a savepoint.
    ///
    /// # Errors
    ///
    /// Why it is still there, or was not there.
    pub async fn dispose(&self, path: &str) -> Result<(), String> {
        recovery::dispose(&self.env, &self.configuration, path)
            .await
            .map_err(|error| format!("could not dispose of savepoint `{path}`: {}", error_chain(&error)))
    }

    /// Suspends all jobs and answers when nothing of them runs any more.
    pub async fn shut_down(&self, reason: String) -> Result<(), Stopped> {
        self.ask(|reply| Message::ShutDown { reason, reply }).await
    }

    async fn view_of(&self, id: JobId, entry: JobEntry) -> Option<Arc<JobView>> {
        match entry {
            JobEntry::Ended(view) => Some(view),
            JobEntry::Running(master) => match master.view().await {
                Ok(view) => Some(view),
                // It settled in between; what is left of it is on its way to the Dispatcher.
                Err(Stopped) => match self.entry(id).await {
                    Ok(Some(JobEntry::Ended(view))) => Some(view),
                    _ => None,
                },
            },
        }
    }

    async fn ask<T>(&self, message: impl FnOnce(oneshot::Sender<T>) -> Message) -> Result<T, Stopped> {
        let (reply, answer) = oneshot::channel();
        self.mailbox.send(message(reply)).await.map_err(|_| Stopped)?;
        answer.await.map_err(|_| Stopped)
    }
}
