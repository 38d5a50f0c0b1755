//! A worker: runs the subtasks of one job that its JobMaster deploys to it.
//!
//! ```text
//!  JobMaster ◄══ Attach (gRPC, both ways) ══► worker ── one thread per subtask ── StreamTask
//!                                               └── exchange ◄══ TCP ══► workers of the same job
//! ```
//!
//! Owns the connection to the JobMaster, the exchange and the task threads. Decides nothing: what fails is reported,
//! and the JobMaster says what follows. In production it is a process of its own ([`process`]), in the embedded cluster
//! a component; the difference is only who starts it and what the end of the function means.
//!
//! Invariants: a command of another epoch is refused; every deployed attempt reports exactly one terminal state; when
//! [`run`] returns, every task thread has been told to stop.

mod attempts;
pub mod checkpoints;
pub mod crash;
pub mod deployment;
mod increments;
mod launch;
mod layers;
mod local_state;
pub mod peers;
pub mod process;
pub mod report;
pub mod setup;
mod spill_file;
mod uploads;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use pelton_process::channel::connect;
use pelton_proto as proto;
use pelton_proto::job_master_client::JobMasterClient;
use pelton_runtime_core::element::{BarrierMode, CheckpointBarrier, CheckpointId, Savepoint};
use pelton_runtime_core::env::Env;
use pelton_runtime_core::failure::error_chain;
use pelton_runtime_core::graph::JobGraph;
use pelton_runtime_core::graph::program::Program;
use pelton_runtime_core::id::ExecutionAttemptId;
use pelton_runtime_core::planted::{PlantedFault, is_planted};
use pelton_runtime_core::results::{Results, ResultsRequest};
use pelton_runtime_core::scheduler::heartbeat;
use pelton_runtime_core::task::checkpointing::CheckpointCommand;
use pelton_runtime_core::task::driver::{NotTold, TaskControl};
use pelton_runtime_core::time::Moment;
use pelton_runtime_core::wire::{self, BadMessage};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use self::deployment::{DeployError, Deployment};
use self::report::Reporter;
use self::setup::WorkerSetup;

/// Reports that wait for the network at most; tasks report states only, so this is never reached in practice.
const REPORTS_MAX: usize = 1024;

/// The largest command: a deployment may carry the small state of all subtasks of its vertices.
const MAX_COMMAND_BYTES: usize = 1 << 30;

/// How often counters are reported.
const METRICS_INTERVAL: Duration = Duration::from_millis(500);

/// How long a request for results waits for some.
const RESULTS_WAIT: Duration = Duration::from_secs(1);

/// How long the first connection to the JobMaster may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How often a connection that says nothing is asked whether it is alive.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(10);

/// How long it may take to answer.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(20);

/// Why a worker ended before its JobMaster asked it to.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The supervisor's setup cannot be read.
    #[error("the worker's setup cannot be read from {}", setup::WORKER_VARIABLE)]
    Setup(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The operating system refuses something that every worker needs.
    #[error("the worker cannot start")]
    Start(#[source] std::io::Error),
    /// The program built another graph than the one that was submitted.
    #[error(
        "the program built a different job graph here than when it was submitted (fingerprint {here}, submitted \
         {submitted}): a program must build the same graph every time, whatever the host, the time or its environment"
    )]
    Fingerprint {
        /// What was built here.
        here: String,
        /// What was submitted.
        submitted: String,
    },
    /// The exchange could not listen.
    #[error("the worker cannot listen for data")]
    Listen(#[source] std::io::Error),
    /// The JobMaster cannot be reached.
    #[error("the JobMaster at {address} cannot be reached")]
    Connect {
        /// Its address.
        address: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The JobMaster closed the connection, or it broke.
    #[error("the connection to the JobMaster at {address} was lost")]
    Lost {
        /// Its address.
        address: String,
        /// Why, when the JobMaster said so.
        #[source]
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// Nothing was heard from the JobMaster for too long.
    #[error("nothing was heard from the JobMaster at {address} for {silence:?}")]
    Silent {
        /// Its address.
        address: String,
        /// For how long.
        silence: Duration,
    },
    /// The JobMaster said something that means nothing.
    #[error("the JobMaster sent a message that cannot be understood")]
    BadMessage(#[from] BadMessage),
    /// The tasks could not be set up.
    #[error("the tasks cannot be deployed")]
    Deploy(#[from] DeployError),
}

/// Runs a worker until its JobMaster shuts it down.
///
/// `program` is the job's graph and code, as rebuilt here.
///
/// # Errors
///
/// When the worker cannot start, or loses its JobMaster. All tasks are stopped then.
pub async fn run(env: Env, setup: WorkerSetup, program: Arc<Program>) -> Result<(), WorkerError> {
    let here = program.graph.fingerprint();
    if here != setup.fingerprint {
        return Err(WorkerError::Fingerprint { here, submitted: setup.fingerprint });
    }
    let deployment = Deployment::start(&env, &setup, program).await.map_err(WorkerError::Listen)?;
    let mut worker = Worker::connect(env, setup, deployment).await?;
    worker.serve().await
}

struct Worker {
    env: Env,
    setup: WorkerSetup,
    deployment: Deployment,
    reporter: Reporter,
    commands: tonic::Streaming<proto::WorkerCommand>,
    tasks: BTreeMap<ExecutionAttemptId, TaskControl>,
    heartbeat_interval: Duration,
    heartbeat_timeout: Duration,
    last_heard: Moment,
}

impl Worker {
    async fn connect(env: Env, setup: WorkerSetup, deployment: Deployment) -> Result<Self, WorkerError> {
        let address = setup.job_master_address.clone();
        let unreachable = |source: Box<dyn std::error::Error + Send + Sync>| WorkerError::Connect {
            address: address.clone(),
            source,
        };
        let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{address}"))
            .map_err(|error| unreachable(error.into()))?
            .connect_timeout(CONNECT_TIMEOUT)
            .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
            .keep_alive_while_idle(true)
            .tcp_nodelay(true);
        let channel = connect(&env, endpoint).await.map_err(|error| unreachable(error.into()))?;
        let mut client = JobMasterClient::new(channel).max_decoding_message_size(MAX_COMMAND_BYTES);
        let (reports, outgoing) = mpsc::channel(REPORTS_MAX);
        let reporter = Reporter::new(&setup, reports);
        reporter
            .send(proto::worker_report::Report::Register(proto::RegisterWorker {
                fingerprint: setup.fingerprint.clone(),
                data_address: deployment.data_address(),
                process_id: std::process::id(),
            }))
            .await;
        let commands = client
            .attach(ReceiverStream::new(outgoing))
            .await
            .map_err(|status| unreachable(Box::new(Refusal(status.message().to_owned()))))?
            .into_inner();
        let last_heard = env.moment();
        Ok(Self {
            env,
            setup,
            deployment,
            reporter,
            commands,
            tasks: BTreeMap::new(),
            // Replaced by what the JobMaster says at registration.
            heartbeat_interval: Duration::from_secs(10),
            heartbeat_timeout: Duration::from_secs(50),
            last_heard,
        })
    }

    async fn serve(&mut self) -> Result<(), WorkerError> {
        let mut next_heartbeat = self.env.moment().after(self.heartbeat_interval);
        let mut next_metrics = self.env.moment().after(METRICS_INTERVAL);
        let mut last_watermarks = self.env.moment();
        let mut lost_peers = self.deployment.lost_peers();
        loop {
            let groups = self.deployment.watermark_groups().clone();
            let next_watermarks = groups.interval().map_or(Moment::NEVER, |interval| last_watermarks.after(interval));
            tokio::select! {
                biased;
                command = self.commands.message() => match command {
                    Ok(Some(command)) => {
                        self.last_heard = self.env.moment();
                        if self.handle(command).await? == Next::ShutDown {
                            return Ok(());
                        }
                        next_heartbeat = next_heartbeat.min(self.env.moment().after(self.heartbeat_interval));
                    }
                    Ok(None) => return Err(self.lost(None)),
                    Err(status) => return Err(self.lost(Some(Box::new(Refusal(status.message().to_owned()))))),
                },
                lost = lost_peers.recv() => {
                    if let Some(lost) = lost {
                        self.deployment.fail_tasks_of(&lost, &self.tasks);
                    }
                },
                () = self.env.sleep_until(next_metrics) => {
                    next_metrics = self.env.moment().after(METRICS_INTERVAL);
                    let reports = self.deployment.metrics(self.env.moment());
                    self.forget_ended_tasks();
                    for report in reports {
                        self.reporter.send(proto::worker_report::Report::Metrics(report)).await;
                    }
                },
                () = groups.joined() => {}
                () = self.env.sleep_until(next_watermarks) => {
                    last_watermarks = self.env.moment();
                    if let Some(groups) = groups.report() {
                        let groups = groups.into_iter().map(|(group, watermark_ms)| proto::GroupWatermark {
                            group: group.to_string(),
                            watermark_ms,
                        });
                        let report = proto::GroupWatermarks { groups: groups.collect() };
                        self.reporter.send(proto::worker_report::Report::GroupWatermarks(report)).await;
                    }
                },
                () = self.env.sleep_until(next_heartbeat) => {
                    let now = self.env.moment();
                    if let Some(pause) = heartbeat::pause(next_heartbeat, now, self.heartbeat_interval) {
                        tracing::warn!(?pause, "this worker was stopped for a while; its JobMaster gets a fresh timeout");
                        self.last_heard = now;
                    }
                    next_heartbeat = now.after(self.heartbeat_interval);
                    let silence = now.since(self.last_heard);
                    if silence > self.heartbeat_timeout {
                        return Err(WorkerError::Silent { address: self.setup.job_master_address.clone(), silence });
                    }
                    self.reporter.send(proto::worker_report::Report::Heartbeat(proto::WorkerHeartbeat {})).await;
                },
            }
        }
    }

    fn forget_ended_tasks(&mut self) {
        let deployment = &self.deployment;
        self.tasks.retain(|attempt, _| deployment.holds(*attempt));
    }

    async fn handle(&mut self, command: proto::WorkerCommand) -> Result<Next, WorkerError> {
        use proto::worker_command::Command;
        if command.epoch != self.setup.epoch.0 {
            tracing::warn!(epoch = command.epoch, own = %self.setup.epoch, "refused a command of another epoch");
            return Ok(Next::Continue);
        }
        match wire::required(command.command, "command")? {
            Command::Registered(registered) => {
                self.heartbeat_interval = Duration::from_millis(registered.heartbeat_interval_ms.max(1));
                self.heartbeat_timeout = Duration::from_millis(registered.heartbeat_timeout_ms.max(1));
            }
            Command::Deploy(deploy) => {
                if let Some(graph) = deploy.graph.clone() {
                    // A stock job's graph travels with its deployment; a program's is the one that was built here.
                    self.deployment.check_graph(&JobGraph::from_wire(graph)?)?;
                }
                let tasks = self.deployment.deploy(&deploy, &self.reporter).await?;
                self.tasks.extend(tasks);
            }
            Command::Cancel(cancel) => {
                for attempt in &cancel.attempt_ids {
                    let attempt = wire::id(attempt, "attempt_id")?;
                    if let Some(task) = self.tasks.get(&attempt) {
                        task.cancel();
                    }
                    self.deployment.give_up_all(attempt);
                }
            }
            Command::ShutDown(_) => {
                self.deployment.clear().await;
                return Ok(Next::ShutDown);
            }
            Command::Heartbeat(_) => {}
            Command::GroupWatermarks(leasts) => {
                let groups = self.deployment.watermark_groups();
                leasts.groups.iter().for_each(|least| groups.align(&least.group, least.watermark_ms));
            }
            Command::TriggerCheckpoint(trigger) => self.trigger(&trigger).await?,
            Command::CheckpointCompleted(completed) => {
                let checkpoint = CheckpointId(completed.checkpoint_id);
                self.deployment.completed(checkpoint);
                if !is_planted(PlantedFault::CompletionNotTold) {
                    self.tell(&completed.attempt_ids, &CheckpointCommand::Completed(checkpoint))?;
                }
            }
            Command::CheckpointAborted(aborted) => {
                let checkpoint = CheckpointId(aborted.checkpoint_id);
                for attempt in &aborted.attempt_ids {
                    self.deployment.give_up(checkpoint, wire::id(attempt, "attempt_id")?);
                }
                self.tell(&aborted.attempt_ids, &CheckpointCommand::Aborted(checkpoint))?;
            }
            Command::FetchResults(fetch) => self.serve_results(fetch)?,
        }
        Ok(Next::Continue)
    }

    /// Has tasks take part in a checkpoint. Those that are gone do so by their end, which is on its way.
    async fn trigger(&mut self, trigger: &proto::TriggerCheckpoint) -> Result<(), WorkerError> {
        let checkpoint = CheckpointId(trigger.checkpoint_id);
        let triggered_at = trigger.triggered_at_ms;
        let savepoint = trigger.savepoint.clone().map(|savepoint| Arc::new(Savepoint::from_wire(savepoint)));
        // What is in flight belongs to this job's own channels, and a savepoint to whoever asked for it.
        let mode = match savepoint {
            Some(_) => BarrierMode::Aligned,
            None => self.deployment.barrier_mode(triggered_at),
        };
        let base = trigger.base_checkpoint_id.map(CheckpointId);
        let barrier = CheckpointBarrier { checkpoint, triggered_at, mode, savepoint, base };
        for attempt in &trigger.attempt_ids {
            let attempt: ExecutionAttemptId = wire::id(attempt, "attempt_id")?;
            let told = match self.tasks.get(&attempt) {
                Some(task) => task.send(CheckpointCommand::Trigger(barrier.clone())),
                None => Err(NotTold::Ended),
            };
            if let Err(reason @ NotTold::Stuck) = told {
                self.reporter.send(checkpoints::declined(attempt, checkpoint, reason.to_string())).await;
            }
        }
        Ok(())
    }

    /// Tells tasks what became of a checkpoint; those that are gone need not know.
    fn tell(&self, attempts: &[Vec<u8>], command: &CheckpointCommand) -> Result<(), WorkerError> {
        for attempt in attempts {
            let attempt: ExecutionAttemptId = wire::id(attempt, "attempt_id")?;
            if let Some(task) = self.tasks.get(&attempt)
                && let Err(reason) = task.send(command.clone())
            {
                tracing::debug!(%attempt, ?command, %reason, "a task was not told of a checkpoint");
            }
        }
        Ok(())
    }

    /// Answers with results of a sink as soon as there are some.
    fn serve_results(&self, fetch: proto::FetchResults) -> Result<(), WorkerError> {
        let request = wire::required(fetch.request, "request")?;
        let served = self.deployment.results_of(wire::id(&request.operator_id, "operator_id")?);
        let (env, reporter) = (self.env.clone(), self.reporter.clone());
        self.env.spawn("results", async move {
            let request = ResultsRequest::from_wire(&request);
            let results = match served {
                Some(served) => match env.timeout(RESULTS_WAIT, served.fetch(request)).await {
                    Ok(results) => results,
                    Err(_) => served.now(request),
                },
                None => Results::none(),
            };
            let fetched = proto::ResultsFetched { request_id: fetch.request_id, results: Some(results.to_wire()) };
            reporter.send(proto::worker_report::Report::ResultsFetched(fetched)).await;
        });
        Ok(())
    }

    fn lost(&self, source: Option<Box<dyn std::error::Error + Send + Sync>>) -> WorkerError {
        WorkerError::Lost { address: self.setup.job_master_address.clone(), source }
    }
}

impl Drop for Worker {
    /// However a worker ends, also when it is given up while it waits: its tasks end with it.
    fn drop(&mut self) {
        self.tasks.values().for_each(TaskControl::cancel);
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Next {
    Continue,
    ShutDown,
}

/// What the other side said when it refused.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Refusal(String);

/// The chain of causes in one line.
pub fn explain(error: &WorkerError) -> String {
    error_chain(error)
}
