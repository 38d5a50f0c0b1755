//! The port behind which workers come to life and end.
//!
//! [`process`] starts each as an operating-system process under a guard, [`in_process`] as a component of the
//! embedded cluster. Either way the life of a worker is the same sequence of events:
//!
//! ```text
//!  launch ─┬─► StartFailed
//!          └─► Started ─► Exited        a worker stopped before it started says Exited alone
//! ```
//!
//! Exactly one of `StartFailed` and `Exited` is said for every launch, and it is the last thing said: by then
//! nothing of the worker is left, its folder and its output included.

use std::fmt;

use pelton_runtime_core::id::WorkerId;
use tokio::sync::{mpsc, watch};

use crate::artifact::ArtifactDigest;
use crate::supervisor::Message;
use crate::worker::setup::WorkerSetup;

pub mod in_process;
pub mod process;

/// What to start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerOrder {
    /// What the worker is told.
    pub setup: WorkerSetup,
    /// The user's program; absent for jobs made of stock operators only.
    pub artifact: Option<ArtifactDigest>,
    /// The program's arguments.
    pub arguments: Vec<String>,
}

/// What the supervisor wants of a worker. It only ever grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Want {
    /// Let it live.
    Run,
    /// Ask it to end.
    Stop,
    /// End it.
    Kill,
}

/// What happened to a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WorkerEvent {
    /// It lives; the number is its process's.
    Started {
        /// The operating system's number of the process.
        process_id: u32,
    },
    /// It never lived, for this reason.
    StartFailed(String),
    /// It has ended.
    Exited(WorkerEnd),
}

/// How a worker ended.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WorkerEnd {
    /// The code it exited with, if it did.
    pub exit_code: Option<i32>,
    /// The signal that ended it, by name, if one did.
    pub signal: Option<String>,
    /// Why the supervisor killed it, if it did so on its own.
    pub reason: Option<String>,
    /// The last lines of its standard error.
    pub stderr_tail: Vec<String>,
    /// The task whose thread received the signal, if the worker could say so.
    pub crashed_task: Option<String>,
}

impl fmt::Display for WorkerEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.reason, &self.signal, self.exit_code) {
            (Some(reason), ..) => f.write_str(reason),
            (None, Some(signal), _) => write!(f, "killed by {signal}"),
            (None, None, Some(code)) => write!(f, "exit code {code}"),
            (None, None, None) => f.write_str("ended"),
        }
    }
}

/// Where a launcher tells what happens to one worker.
#[derive(Debug, Clone)]
pub struct WorkerEvents {
    pub(crate) worker: WorkerId,
    /// Weak, so that workers do not keep the supervisor alive.
    pub(crate) mailbox: mpsc::WeakSender<Message>,
}

impl WorkerEvents {
    /// Tells it. A supervisor that has ended needs to know nothing.
    pub async fn tell(&self, event: WorkerEvent) {
        if let Some(mailbox) = self.mailbox.upgrade() {
            drop(mailbox.send(Message::Worker(self.worker, event)).await);
        }
    }
}

/// Brings workers to life.
pub trait WorkerLauncher: Send + Sync + 'static {
    /// Starts a worker in the background and tells `events` about it. The launcher does what `want` says; it treats a
    /// supervisor that dropped its end as [`Want::Kill`].
    fn launch(&self, order: WorkerOrder, want: watch::Receiver<Want>, events: WorkerEvents);
}

/// Completes when at least `level` is wanted.
pub(crate) async fn wanted(want: &mut watch::Receiver<Want>, level: Want) {
    // An error means that the supervisor is gone.
    drop(want.wait_for(|want| *want >= level).await);
}
