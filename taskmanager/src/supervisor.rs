//! The actor that owns the table of workers.
//!
//! ```text
//!  JobManager ─► Command ─┐                      ┌─► launcher: start, stop, kill
//!  launcher ───► Worker ──┼─► Workers (decides) ─┤
//!  clock ──────► expire ──┘                      └─► reports, kept while no JobManager hears them
//! ```
//!
//! It ends when its last handle is dropped; workers that still live are killed by that.

mod actor;
pub(crate) mod command;
pub(crate) mod report;
mod workers;

use std::sync::Arc;
use std::time::Duration;

use pelton_runtime_core::env::{Env, Stopped};
use pelton_runtime_core::id::WorkerId;
use tokio::sync::{mpsc, oneshot};

use self::actor::Actor;
pub(crate) use self::actor::OrderBlank;
use self::command::Command;
use self::report::{Report, RunningWorker};
use crate::launcher::{WorkerEvent, WorkerLauncher};

/// How many messages may wait for the actor before their senders do.
const MAILBOX_CAPACITY: usize = 256;

/// How many reports may wait for the network.
pub(crate) const REPORTS_CAPACITY: usize = 1024;

/// What reaches the actor.
#[derive(Debug)]
pub(crate) enum Message {
    /// The JobManager wants something.
    Command(Command),
    /// A start that cannot be understood is answered all the same.
    Refused(WorkerId, String),
    /// Something happened to a worker.
    Worker(WorkerId, WorkerEvent),
    /// A JobManager listens from now on.
    Connected(mpsc::Sender<Report>),
    /// Who fills slots?
    Running(oneshot::Sender<Vec<RunningWorker>>),
    /// Which processes run?
    Processes(oneshot::Sender<Vec<(WorkerId, u32)>>),
    /// End all workers, then answer.
    ShutDown { grace: Duration, done: oneshot::Sender<()> },
}

/// Address of the supervisor.
#[derive(Clone, Debug)]
pub(crate) struct SupervisorHandle {
    mailbox: mpsc::Sender<Message>,
}

impl SupervisorHandle {
    /// Starts the actor. `blank` is what every worker of this host is told alike.
    pub(crate) fn spawn(env: &Env, launcher: Arc<dyn WorkerLauncher>, blank: OrderBlank) -> Self {
        let (mailbox, messages) = mpsc::channel(MAILBOX_CAPACITY);
        let actor = Actor::new(env.clone(), launcher, blank, mailbox.downgrade());
        env.spawn("supervisor", actor.run(messages));
        Self { mailbox }
    }

    pub(crate) async fn command(&self, command: Command) -> Result<(), Stopped> {
        self.send(Message::Command(command)).await
    }

    pub(crate) async fn refuse(&self, worker: WorkerId, message: String) -> Result<(), Stopped> {
        self.send(Message::Refused(worker, message)).await
    }

    pub(crate) async fn connected(&self, reports: mpsc::Sender<Report>) -> Result<(), Stopped> {
        self.send(Message::Connected(reports)).await
    }

    pub(crate) async fn running(&self) -> Result<Vec<RunningWorker>, Stopped> {
        self.ask(Message::Running).await
    }

    pub(crate) async fn processes(&self) -> Result<Vec<(WorkerId, u32)>, Stopped> {
        self.ask(Message::Processes).await
    }

    /// Ends all workers, those that do not end within `grace` by force.
    pub(crate) async fn shut_down(&self, grace: Duration) -> Result<(), Stopped> {
        self.ask(|done| Message::ShutDown { grace, done }).await
    }

    async fn ask<T>(&self, message: impl FnOnce(oneshot::Sender<T>) -> Message) -> Result<T, Stopped> {
        let (reply, answer) = oneshot::channel();
        self.send(message(reply)).await?;
        answer.await.map_err(|_| Stopped)
    }

    async fn send(&self, message: Message) -> Result<(), Stopped> {
        self.mailbox.send(message).await.map_err(|_| Stopped)
    }
}
