//! The JobMaster: one actor per job, the doing half of [`JobScheduler`].
//!
//! ```text
//!  worker ─ Attach stream ─► reports ─┐                    ┌─► commands to workers
//!  ResourceManager ─────────► news ───┼─► JobScheduler ────┼─► needs, starts, stops
//!  timers, cancel, views ─────────────┘                    └─► status, log lines
//! ```
//!
//! Keeps what workers measure, per attempt. Ends when its job has settled, or when the ResourceManager has given it up
//! and nobody would tell how its workers end; after it has handed its last view on.

mod actor;
mod checkpoints;
mod metrics;
mod orders;
mod results;
#[cfg(test)]
mod tests;
mod view;

use std::sync::Arc;

use pelton_proto as proto;
use pelton_runtime_core::env::{Env, Stopped};
use pelton_runtime_core::graph::JobGraph;
use pelton_runtime_core::id::{Epoch, JobId, OperatorId, WorkerId};
use pelton_runtime_core::scheduler::job::{Attach, AttachRefused, SchedulerSettings};
use pelton_runtime_core::scheduler::slots::SlotSupply;
use pelton_runtime_core::scheduler::status::JobStatus;
use tokio::sync::{mpsc, oneshot, watch};

pub use self::checkpoints::{CheckpointPlace, Lies, Recovered};
pub use self::orders::{CheckpointOrder, Taken};
use self::results::ResultsReply;
use crate::resource_manager::{HeartbeatSettings, NEWS_CAPACITY, ResourceManagerHandle};
use crate::view::JobView;

/// Messages that wait for the actor; workers that report faster are slowed down.
const MAILBOX_CAPACITY: usize = 1024;

/// Commands that wait for a worker; one that reads slower than this is lost.
pub const COMMANDS_CAPACITY: usize = 1024;

/// Commands on their way to a worker.
pub type WorkerCommands = mpsc::Sender<Result<proto::WorkerCommand, tonic::Status>>;

/// What a job consists of.
#[derive(Debug, Clone)]
pub struct JobDescription {
    /// Its id.
    pub id: JobId,
    /// What it runs.
    pub graph: Arc<JobGraph>,
    /// The user's program; none for jobs of stock operators.
    pub artifact: Option<String>,
    /// The program's arguments.
    pub arguments: Vec<String>,
}

/// What a JobMaster works with.
#[derive(Clone)]
pub struct JobMasterSettings {
    /// How patient it is.
    pub scheduler: SchedulerSettings,
    /// How it notices silent workers.
    pub heartbeat: HeartbeatSettings,
    /// Where its workers find it, `host:port`.
    pub address: String,
    /// What it signs its messages with.
    pub epoch: Epoch,
    /// How and where it takes checkpoints and is saved; none if it never is.
    pub checkpoints: Option<CheckpointPlace>,
    /// What it begins from; none for the beginning.
    pub recovered: Option<Recovered>,
}

/// The cluster has too few slots for a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlotsWait {
    /// How many it waits for.
    pub needed: u32,
    /// What there is.
    pub supply: SlotSupply,
}

/// Why a worker was not let in.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// It belongs to another leadership.
    #[error("the JobMaster of job {job} has epoch {expected}, the worker says {found}")]
    StaleEpoch {
        /// The job.
        job: JobId,
        /// The JobMaster's.
        expected: Epoch,
        /// The worker's.
        found: Epoch,
    },
    /// The scheduler does not want it.
    #[error(transparent)]
    Refused(#[from] AttachRefused),
    /// The JobMaster has ended.
    #[error("the job has ended")]
    Ended(#[from] Stopped),
}

/// What a worker reports once it is attached.
pub(crate) type Report = proto::worker_report::Report;

enum Message {
    Attach { attach: Attach, epoch: Epoch, commands: WorkerCommands, reply: oneshot::Sender<Result<(), AttachError>> },
    Report { worker: WorkerId, report: Box<Report> },
    Detached { worker: WorkerId, reason: String },
    Cancel,
    Suspend { reason: String },
    FetchResults { operator: OperatorId, request: Box<proto::CollectRequest>, reply: ResultsReply },
    Take { order: CheckpointOrder, reply: oneshot::Sender<Result<Taken, String>> },
    View(oneshot::Sender<Arc<JobView>>),
}

/// Address of a JobMaster.
#[derive(Clone)]
pub struct JobMasterHandle {
    mailbox: mpsc::Sender<Message>,
    status: watch::Receiver<JobStatus>,
    waiting: watch::Receiver<Option<SlotsWait>>,
    fingerprint: Arc<str>,
}

/// Starts the JobMaster of a job. `settled` gets the last view when nothing of the job runs any more.
///
/// # Errors
///
/// When the ResourceManager has ended.
pub async fn spawn(
    env: &Env,
    job: JobDescription,
    settings: JobMasterSettings,
    resource_manager: ResourceManagerHandle,
    settled: mpsc::Sender<Arc<JobView>>,
) -> Result<JobMasterHandle, Stopped> {
    let (mailbox, mut messages) = mpsc::channel(MAILBOX_CAPACITY);
    let (news_in, news) = mpsc::channel(NEWS_CAPACITY);
    let (waiting_in, waiting) = watch::channel(None);
    let (status_in, status) = watch::channel(JobStatus::Created);
    let fingerprint = job.graph.fingerprint().into();
    resource_manager.open_job(job.id, news_in).await?;
    let actor = actor::JobMaster::new(env.clone(), job, settings, resource_manager, status_in, waiting_in);
    env.spawn("job-master", async move {
        let last = actor.run(&mut messages, news).await;
        // The dispatcher may be gone; then nobody asks any more.
        drop(settled.send(last).await);
        // Only now does the mailbox close: who finds it closed finds the job's end at the dispatcher.
        drop(messages);
    });
    Ok(JobMasterHandle { mailbox, status, waiting, fingerprint })
}

impl JobMasterHandle {
    /// A worker wants in; afterwards it listens to `commands`.
    ///
    /// # Errors
    ///
    /// When it is not wanted.
    pub async fn attach(&self, attach: Attach, epoch: Epoch, commands: WorkerCommands) -> Result<(), AttachError> {
        let (reply, answer) = oneshot::channel();
        self.tell(Message::Attach { attach, epoch, commands, reply }).await?;
        answer.await.map_err(|_| Stopped)?
    }

    /// What an attached worker says.
    ///
    /// # Errors
    ///
    /// When the JobMaster has ended; so with every method below.
    pub(crate) async fn report(&self, worker: WorkerId, report: Report) -> Result<(), Stopped> {
        self.tell(Message::Report { worker, report: Box::new(report) }).await
    }

    /// An attached worker's stream has ended.
    pub async fn detached(&self, worker: WorkerId, reason: String) -> Result<(), Stopped> {
        self.tell(Message::Detached { worker, reason }).await
    }

    /// Asks the job to cancel.
    pub async fn cancel(&self) -> Result<(), Stopped> {
        self.tell(Message::Cancel).await
    }

    /// Takes a checkpoint or savepoint. Answers when it exists, or why there is none; when the job stops after it, at
    /// the job's end.
    pub async fn take(&self, order: CheckpointOrder) -> Result<Result<Taken, String>, Stopped> {
        let (reply, answer) = oneshot::channel();
        self.tell(Message::Take { order, reply }).await?;
        answer.await.map_err(|_| Stopped)
    }

    /// What a sink holds for the program that reads it: an answer when there is some, or after a while. None when the sink
    /// does not run now.
    pub async fn fetch_results(
        &self,
        operator: OperatorId,
        request: proto::CollectRequest,
    ) -> Result<Option<proto::CollectedResults>, Stopped> {
        let (reply, answer) = oneshot::channel();
        self.tell(Message::FetchResults { operator, request: Box::new(request), reply }).await?;
        Ok(answer.await.ok())
    }

    /// Stops the job here without ending it for good.
    pub async fn suspend(&self, reason: String) -> Result<(), Stopped> {
        self.tell(Message::Suspend { reason }).await
    }

    /// The job at this moment.
    pub async fn view(&self) -> Result<Arc<JobView>, Stopped> {
        let (reply, answer) = oneshot::channel();
        self.tell(Message::View(reply)).await?;
        answer.await.map_err(|_| Stopped)
    }

    /// Where the job is in its life; the last value stays when the JobMaster has ended.
    pub fn status(&self) -> watch::Receiver<JobStatus> {
        self.status.clone()
    }

    /// The slots that the job waits for, none while it waits for none; ends with the JobMaster.
    pub fn waiting(&self) -> watch::Receiver<Option<SlotsWait>> {
        self.waiting.clone()
    }

    /// The graph's fingerprint.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    async fn tell(&self, message: Message) -> Result<(), Stopped> {
        self.mailbox.send(message).await.map_err(|_| Stopped)
    }
}
