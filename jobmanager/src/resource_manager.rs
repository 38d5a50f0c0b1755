//! The ResourceManager: which TaskManagers there are, who has their slots, and which workers run there.
//!
//! ```text
//!  TaskManager ─ Register stream ─► actor ─► SlotMatching ─► grants ─► JobMaster
//!              ◄─ start/stop worker ─┘  ▲── needs, starts, stops ──────┘
//! ```
//!
//! A TaskManager's slots count from its first report: before, it may have given up on the answer to its registration
//! and be about to register again. A slot is free again when the process that filled it is gone, not when it was told to go. A TaskManager whose
//! stream ends or that is silent for `heartbeat.timeout` is lost, and its workers with it; when it comes back, the
//! workers that it still has belong to nobody and are stopped.

mod actor;
mod record;
#[cfg(test)]
mod tests;

use std::time::Duration;

use pelton_proto as proto;
use pelton_runtime_core::env::{Env, Stopped};
use pelton_runtime_core::id::{JobId, TaskManagerId, WorkerId};
use pelton_runtime_core::scheduler::job::{Fact, SlotOffer};
use tokio::sync::{mpsc, oneshot};

pub use self::record::{Registration, WorkerOrder};
use crate::view::TaskManagerView;

/// Messages that wait for the actor.
const MAILBOX_CAPACITY: usize = 4096;

/// Commands that wait for a TaskManager; one that reads slower than this is lost.
pub const COMMANDS_CAPACITY: usize = 4096;

/// News that wait for a JobMaster: a few per worker.
pub const NEWS_CAPACITY: usize = 65_536;

/// How patient the ResourceManager is.
#[derive(Debug, Clone, Copy)]
pub struct HeartbeatSettings {
    /// How often a sign of life is sent.
    pub interval: Duration,
    /// How long a peer may be silent.
    pub timeout: Duration,
}

/// One connection of a TaskManager; what is meant for an earlier one does not reach the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionId(pub u64);

/// Commands on their way to a TaskManager.
pub type Commands = mpsc::Sender<Result<proto::TaskManagerCommand, tonic::Status>>;

/// What a JobMaster is told.
#[derive(Debug)]
pub enum News {
    /// Something happened to its workers, or it waits.
    Fact(Fact),
    /// All the slots that it had declared to need.
    SlotsGranted(Vec<GrantedOffer>),
}

/// Slots that were granted, and the connection for which they were.
#[derive(Debug)]
pub struct GrantedOffer {
    /// The slots.
    pub offer: SlotOffer,
    /// Whoever fills or returns them names it.
    pub connection: ConnectionId,
}

enum Message {
    Register { registration: Registration, commands: Commands, reply: oneshot::Sender<ConnectionId> },
    Report { id: TaskManagerId, connection: ConnectionId, report: proto::task_manager_report::Report },
    Disconnected { id: TaskManagerId, connection: ConnectionId, reason: String },
    OpenJob { job: JobId, news: mpsc::Sender<News> },
    CloseJob(JobId),
    DeclareNeed { job: JobId, slots: u32 },
    ReturnSlots { job: JobId, task_manager: TaskManagerId, connection: ConnectionId, slots: u32 },
    StartWorker(WorkerOrder),
    StopWorker { worker: WorkerId, task_manager: TaskManagerId, grace: Duration, reason: String },
    View(oneshot::Sender<Vec<TaskManagerView>>),
    RpcAddress { id: TaskManagerId, reply: oneshot::Sender<Option<String>> },
    ShutDown,
}

/// Address of the ResourceManager, which ends when its last handle is dropped.
#[derive(Clone)]
pub struct ResourceManagerHandle {
    mailbox: mpsc::Sender<Message>,
}

/// Starts the ResourceManager.
pub fn spawn(env: &Env, heartbeat: HeartbeatSettings) -> ResourceManagerHandle {
    let (mailbox, messages) = mpsc::channel(MAILBOX_CAPACITY);
    env.spawn("resource-manager", actor::run(env.clone(), heartbeat, messages));
    ResourceManagerHandle { mailbox }
}

impl ResourceManagerHandle {
    /// A TaskManager is there and listens to `commands`.
    ///
    /// # Errors
    ///
    /// When the ResourceManager has ended; so with every method.
    pub async fn register(&self, registration: Registration, commands: Commands) -> Result<ConnectionId, Stopped> {
        self.ask(|reply| Message::Register { registration, commands, reply }).await
    }

    /// What a TaskManager says.
    pub async fn report(
        &self,
        id: TaskManagerId,
        connection: ConnectionId,
        report: proto::task_manager_report::Report,
    ) -> Result<(), Stopped> {
        self.tell(Message::Report { id, connection, report }).await
    }

    /// A TaskManager's stream has ended.
    pub async fn disconnected(
        &self,
        id: TaskManagerId,
        connection: ConnectionId,
        reason: String,
    ) -> Result<(), Stopped> {
        self.tell(Message::Disconnected { id, connection, reason }).await
    }

    /// A job begins; what happens to its slots and workers goes to `news`.
    pub async fn open_job(&self, job: JobId, news: mpsc::Sender<News>) -> Result<(), Stopped> {
        self.tell(Message::OpenJob { job, news }).await
    }

    /// Ends: every TaskManager sees its connection close.
    pub async fn shut_down(&self) -> Result<(), Stopped> {
        self.tell(Message::ShutDown).await
    }

    /// A job is over; whatever it still has is taken back.
    pub async fn close_job(&self, job: JobId) -> Result<(), Stopped> {
        self.tell(Message::CloseJob(job)).await
    }

    /// A job needs so many more slots, or none.
    pub async fn declare_need(&self, job: JobId, slots: u32) -> Result<(), Stopped> {
        self.tell(Message::DeclareNeed { job, slots }).await
    }

    /// Slots that were granted and never filled.
    pub async fn return_slots(
        &self,
        job: JobId,
        task_manager: TaskManagerId,
        connection: ConnectionId,
        slots: u32,
    ) -> Result<(), Stopped> {
        self.tell(Message::ReturnSlots { job, task_manager, connection, slots }).await
    }

    /// Fills granted slots with a worker.
    pub async fn start_worker(&self, order: WorkerOrder) -> Result<(), Stopped> {
        self.tell(Message::StartWorker(order)).await
    }

    /// Ends a worker.
    pub async fn stop_worker(
        &self,
        worker: WorkerId,
        task_manager: TaskManagerId,
        grace: Duration,
        reason: String,
    ) -> Result<(), Stopped> {
        self.tell(Message::StopWorker { worker, task_manager, grace, reason }).await
    }

    /// All TaskManagers.
    pub async fn view(&self) -> Result<Vec<TaskManagerView>, Stopped> {
        self.ask(Message::View).await
    }

    /// Where a TaskManager serves its logs, as `host:port`.
    pub async fn rpc_address(&self, id: TaskManagerId) -> Result<Option<String>, Stopped> {
        self.ask(|reply| Message::RpcAddress { id, reply }).await
    }

    async fn tell(&self, message: Message) -> Result<(), Stopped> {
        self.mailbox.send(message).await.map_err(|_| Stopped)
    }

    async fn ask<T>(&self, message: impl FnOnce(oneshot::Sender<T>) -> Message) -> Result<T, Stopped> {
        let (reply, answer) = oneshot::channel();
        self.tell(message(reply)).await?;
        answer.await.map_err(|_| Stopped)
    }
}
