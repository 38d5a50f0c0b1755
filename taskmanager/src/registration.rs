//! The connection to the JobManager: made, kept alive, and made again whenever it is lost.
//!
//! ```text
//!  attempt ─► Register ─► Registered ─► commands, reports, heartbeats ─┐
//!     ▲                                                                │ lost
//!     └─────────────── pause, doubled with every failure ◄─────────────┘
//! ```
//!
//! Workers do not notice: they go on, and the next registration names those that still run. Only a TaskManager that
//! has never been registered gives up, after `taskmanager.registration.timeout`: its address is probably wrong.

use std::time::Duration;

use pelton_process::machine::resident_bytes;
use pelton_proto as proto;
use pelton_proto::resource_manager_client::ResourceManagerClient;
use pelton_proto::task_manager_command::Command as Wire;
use pelton_proto::task_manager_report::Report as WireReport;
use pelton_runtime_core::env::{Env, Stopped, TimedOut};
use pelton_runtime_core::failure::error_chain;
use pelton_runtime_core::scheduler::heartbeat;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::Channel;
use tonic::{Status, Streaming};

use crate::settings::Times;
use crate::supervisor::command::{Command, StartWorker, StopWorker};
use crate::supervisor::report::Report;
use crate::supervisor::{REPORTS_CAPACITY, SupervisorHandle};

/// The longest pause between two attempts: a JobManager that comes back shall not be kept waiting.
const MAX_PAUSE: Duration = Duration::from_secs(2);

/// Everything the connection needs.
pub(crate) struct Registration {
    pub(crate) env: Env,
    pub(crate) supervisor: SupervisorHandle,
    pub(crate) channel: Channel,
    /// Where the JobManager is, for people.
    pub(crate) address: String,
    /// What is said first; the workers that run are added.
    pub(crate) introduction: proto::RegisterTaskManager,
    pub(crate) times: Times,
    pub(crate) registered: watch::Sender<bool>,
}

/// The JobManager was never reached.
#[derive(Debug, thiserror::Error)]
#[error(
    "no JobManager registered this TaskManager within {timeout:?} (`taskmanager.registration.timeout`): is one running \
     at {address} (`jobmanager.rpc.address` and `jobmanager.rpc.port`)? The last attempt ended with: {last}"
)]
pub struct NeverRegistered {
    address: String,
    timeout: Duration,
    last: String,
}

/// How an attempt ended.
#[derive(Debug, thiserror::Error)]
enum Lost {
    #[error("the JobManager refused: {}", .0.message())]
    Refused(Status),
    #[error("connection failed: {}", describe(.0))]
    Failed(Status),
    #[error("no answer within {:?}", .0.0)]
    NoAnswer(#[from] TimedOut),
    #[error("no sign of life within {0:?}")]
    Silent(Duration),
    #[error("the JobManager closed the connection")]
    Closed,
    #[error("the JobManager did not answer with a registration")]
    NotRegistered,
    #[error("the connection does not take what is sent")]
    Stuck,
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// The causes beneath a status, which say more than its own text when the transport failed.
fn describe(status: &Status) -> String {
    std::error::Error::source(status).map_or_else(|| status.message().to_owned(), error_chain)
}

impl From<Status> for Lost {
    fn from(status: Status) -> Self {
        use tonic::Code::{AlreadyExists, FailedPrecondition, InvalidArgument, PermissionDenied, Unimplemented};
        match status.code() {
            AlreadyExists | FailedPrecondition | InvalidArgument | PermissionDenied | Unimplemented => {
                Self::Refused(status)
            }
            _ => Self::Failed(status),
        }
    }
}

impl Registration {
    /// Keeps the TaskManager registered; answers only when it gave up or the supervisor ended.
    pub(crate) async fn run(self) -> Result<Stopped, NeverRegistered> {
        let give_up_at = self.env.moment().after(self.times.registration);
        let mut ever_registered = false;
        let mut failures: u32 = 0;
        let mut said = String::new();
        loop {
            let begun = self.env.moment();
            let patience = self.patience(failures);
            let lost = match self.attempt(patience).await {
                Lost::Stopped(stopped) => return Ok(stopped),
                lost => lost.to_string(),
            };
            if self.registered.send_replace(false) {
                ever_registered = true;
                failures = 0;
                tracing::warn!(job_manager = self.address, "lost the JobManager, workers go on: {lost}");
            } else {
                failures = failures.saturating_add(1);
                if lost != said {
                    tracing::warn!(job_manager = self.address, "cannot register, trying again: {lost}");
                }
            }
            if !ever_registered && self.env.moment() >= give_up_at {
                let (address, timeout) = (self.address, self.times.registration);
                return Err(NeverRegistered { address, timeout, last: lost });
            }
            said = lost;
            self.env.sleep_until(begun.after(patience.min(MAX_PAUSE))).await;
        }
    }

    /// How long the answer to an attempt may take, doubled with every failure.
    fn patience(&self, failures: u32) -> Duration {
        let doubled = self.times.first_answer.saturating_mul(1_u32.checked_shl(failures).unwrap_or(u32::MAX));
        doubled.min(self.times.longest_answer)
    }

    /// Registers and serves the connection to its end.
    async fn attempt(&self, patience: Duration) -> Lost {
        match self.env.timeout(patience, self.register()).await {
            Ok(Ok(connection)) => connection.serve(self).await,
            Ok(Err(lost)) => lost,
            Err(timed_out) => timed_out.into(),
        }
    }

    async fn register(&self) -> Result<Connection, Lost> {
        let workers = self.supervisor.running().await?.into_iter().map(Into::into).collect();
        let register = proto::RegisterTaskManager { workers, ..self.introduction.clone() };
        let (outgoing, stream) = mpsc::channel(REPORTS_CAPACITY);
        let first = proto::TaskManagerReport { report: Some(WireReport::Register(register)) };
        outgoing.try_send(first).map_err(|_| Lost::Stuck)?;
        let mut client = ResourceManagerClient::new(self.channel.clone());
        let mut commands = client.register(ReceiverStream::new(stream)).await?.into_inner();
        match commands.message().await?.ok_or(Lost::Closed)?.command {
            Some(Wire::Registered(registered)) => {
                let interval = Duration::from_millis(registered.heartbeat_interval_ms);
                let timeout = Duration::from_millis(registered.heartbeat_timeout_ms);
                let (interval, timeout) = match !interval.is_zero() && timeout > interval {
                    true => (interval, timeout),
                    false => (self.times.heartbeat_interval, self.times.heartbeat_timeout),
                };
                Ok(Connection { outgoing, commands, interval, timeout })
            }
            _ => Err(Lost::NotRegistered),
        }
    }
}

/// A registration that lives.
struct Connection {
    outgoing: mpsc::Sender<proto::TaskManagerReport>,
    commands: Streaming<proto::TaskManagerCommand>,
    interval: Duration,
    timeout: Duration,
}

impl Connection {
    async fn serve(mut self, registration: &Registration) -> Lost {
        registration.registered.send_replace(true);
        tracing::info!(job_manager = registration.address, id = registration.introduction.id, "registered");
        match self.exchange(registration).await {
            Ok(never) => match never {},
            Err(lost) => lost,
        }
    }

    async fn exchange(&mut self, registration: &Registration) -> Result<std::convert::Infallible, Lost> {
        let Registration { env, supervisor, .. } = registration;
        let (reports, mut to_send) = mpsc::channel::<Report>(REPORTS_CAPACITY);
        supervisor.connected(reports).await?;
        let mut heard = env.moment();
        let mut next_heartbeat = heard;
        loop {
            tokio::select! {
                biased;
                report = to_send.recv() => match report {
                    Some(report) => self.send(report.into())?,
                    None => return Err(Lost::Stuck),
                },
                command = self.commands.message() => {
                    let command = command?.ok_or(Lost::Closed)?;
                    heard = env.moment();
                    follow(supervisor, command).await?;
                }
                // Before the silence is judged: a heartbeat that is late tells whose silence it was.
                () = env.sleep_until(next_heartbeat) => {
                    let now = env.moment();
                    if let Some(pause) = heartbeat::pause(next_heartbeat, now, self.interval) {
                        tracing::warn!(?pause, "this TaskManager was stopped for a while; its JobManager gets a fresh timeout");
                        heard = now;
                    }
                    next_heartbeat = now.after(self.interval);
                    self.send(sign_of_life(supervisor).await?)?;
                }
                () = env.sleep_until(heard.after(self.timeout)) => return Err(Lost::Silent(self.timeout)),
            }
        }
    }

    fn send(&self, report: proto::TaskManagerReport) -> Result<(), Lost> {
        self.outgoing.try_send(report).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Lost::Stuck,
            mpsc::error::TrySendError::Closed(_) => Lost::Closed,
        })
    }
}

async fn follow(supervisor: &SupervisorHandle, command: proto::TaskManagerCommand) -> Result<(), Stopped> {
    match command.command {
        Some(Wire::StartWorker(start)) => match StartWorker::try_from(start) {
            Ok(start) => supervisor.command(Command::Start(start)).await,
            Err((Some(worker), error)) => supervisor.refuse(worker, error_chain(&error)).await,
            Err((None, error)) => ignore(&error),
        },
        Some(Wire::StopWorker(stop)) => match StopWorker::try_from(stop) {
            Ok(stop) => supervisor.command(Command::Stop(stop)).await,
            Err(error) => ignore(&error),
        },
        // That it came is all that it says.
        Some(Wire::Heartbeat(proto::ResourceManagerHeartbeat {}) | Wire::Registered(_)) | None => Ok(()),
    }
}

fn ignore(error: &(dyn std::error::Error + 'static)) -> Result<(), Stopped> {
    tracing::error!("ignoring a command that means nothing: {}", error_chain(error));
    Ok(())
}

async fn sign_of_life(supervisor: &SupervisorHandle) -> Result<proto::TaskManagerReport, Stopped> {
    let usage = |(worker, process): (pelton_runtime_core::id::WorkerId, u32)| {
        // A worker that has just ended is no news here; its exit is reported for itself.
        let resident_bytes = resident_bytes(process).ok()?;
        Some(proto::WorkerUsage { worker_id: worker.to_wire(), resident_bytes })
    };
    let workers = supervisor.processes().await?.into_iter().filter_map(usage).collect();
    let own = resident_bytes(std::process::id()).unwrap_or(0);
    let heartbeat = proto::TaskManagerHeartbeat { resident_bytes: own, workers };
    Ok(proto::TaskManagerReport { report: Some(WireReport::Heartbeat(heartbeat)) })
}
