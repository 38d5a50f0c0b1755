//! Somebody who submits a job, does things with it while it runs, and waits for its end.
//!
//! ```text
//!  submit ─► wait ─► savepoint ─► wait ─► stop with a savepoint ─► submit anew, from that, at another parallelism ─► wait ─► end
//! ```
//!
//! Jobs are submitted and waited for through connections that may break. Savepoints are asked for where the JobManager is, so
//! that it is known what became of them.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{Either, select};
use parking_lot::Mutex;
use pelton_jobmanager::JobManager;
use pelton_jobmanager::view::{Operation, OperationResult};
use pelton_process::channel::connect;
use pelton_proto as proto;
use pelton_proto::dispatcher_client::DispatcherClient;
use pelton_runtime_core::element::{AfterSavepoint, SavepointFormat};
use pelton_runtime_core::env::Env;
use pelton_runtime_core::graph::program::Program;
use pelton_runtime_core::id::JobId;
use pelton_runtime_core::time::Moment;
use rand::Rng;
use rand::rngs::StdRng;
use tonic::transport::Endpoint;

use crate::cluster::{JOB_MANAGER_HOST, RPC_PORT};
use crate::simulator::Simulator;

/// Between two tries of the client.
const CLIENT_PAUSE: Duration = Duration::from_millis(500);

/// Between two looks at what was asked for.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// How often a job is moved at most.
const MOVES_MAX: usize = 2;

/// What is done with a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Move {
    /// A savepoint is taken and removed.
    Savepoint,
    /// It is stopped with a savepoint, and goes on from that.
    Stop {
        /// At this parallelism.
        parallelism: u32,
    },
    /// It is cancelled with a savepoint, and goes on from that.
    Cancel {
        /// At this parallelism.
        parallelism: u32,
    },
}

/// What is done, and when.
#[derive(Debug, Clone)]
pub struct Course {
    /// The job's parallelism at first.
    pub parallelism: u32,
    /// What then happens to it, in this order.
    pub moves: Vec<(Moment, Move)>,
}

impl Course {
    /// Nothing or some moves before `until`.
    pub fn draw(random: &mut StdRng, parallelism: u32, until: Moment) -> Self {
        let count = if random.random_bool(0.5) { random.random_range(1..=MOVES_MAX) } else { 0 };
        let mut moves: Vec<(Moment, Move)> = (0..count)
            .map(|_| {
                let at = Moment(random.random_range(0..until.0));
                let parallelism = random.random_range(1..=4);
                let step = match random.random_range(0..4) {
                    0 => Move::Savepoint,
                    1 => Move::Cancel { parallelism },
                    _ => Move::Stop { parallelism },
                };
                (at, step)
            })
            .collect();
        moves.sort_by_key(|(at, _)| *at);
        Self { parallelism, moves }
    }
}

/// How a job ended, as its client was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobEnd {
    /// Its status.
    pub status: String,
    /// Why it failed.
    pub failure: Option<String>,
}

/// What is known of a user.
#[derive(Debug, Clone, Default)]
pub struct Experience {
    /// How the last job ended.
    pub end: Option<JobEnd>,
    /// The savepoints that a job has begun from, which are its own.
    pub claimed: Vec<String>,
    /// Whether there was a savepoint from which no job has begun.
    pub unclaimed: bool,
    /// What went otherwise than promised.
    pub wrong: Vec<String>,
}

/// Makes the program of a job at a parallelism, that begins from a savepoint or from nothing.
pub type MakeProgram = Box<dyn Fn(u32, Option<&str>) -> anyhow::Result<Arc<Program>> + Send + Sync>;

/// Somebody who uses a cluster.
pub(crate) struct User {
    pub(crate) env: Env,
    pub(crate) simulator: Simulator,
    pub(crate) job_manager: Arc<Mutex<Option<JobManager>>>,
    pub(crate) make: MakeProgram,
    pub(crate) experience: Arc<Mutex<Experience>>,
}

impl User {
    /// Follows a course to its end.
    pub(crate) async fn follow(self, course: Course) {
        let end = self
            .go(course)
            .await
            .unwrap_or_else(|error| JobEnd { status: "NOT MADE".to_owned(), failure: Some(format!("{error:#}")) });
        self.simulator.note(format_args!("client: the job has ended as {}", end.status));
        self.experience.lock().end = Some(end);
    }

    async fn go(&self, course: Course) -> anyhow::Result<JobEnd> {
        let mut moves = course.moves.into_iter();
        let mut next = moves.next();
        let mut left = false;
        let mut program = (self.make)(course.parallelism, None)?;
        loop {
            let job = JobId::random(&self.env);
            let mut ended = pin!(self.submit_and_wait(program.graph.to_wire(), job));
            let (location, parallelism, expected) = loop {
                let at = next.map_or(Moment::NEVER, |(at, _)| at);
                match select(ended.as_mut(), self.env.sleep_until(at)).await {
                    // Whatever was still to be done with it.
                    Either::Left((end, _)) => return Ok(end),
                    Either::Right(_) => {}
                }
                let Some((_, step)) = next else { continue };
                next = moves.next();
                self.simulator.note(format_args!("client: {step:?}"));
                self.experience.lock().unclaimed = true;
                match (self.save(job, step).await, step) {
                    (Ok(location), Move::Savepoint) => {
                        left = true;
                        self.dispose(&location).await;
                    }
                    (Ok(location), Move::Stop { parallelism }) => break (location, parallelism, "FINISHED"),
                    (Ok(location), Move::Cancel { parallelism }) => break (location, parallelism, "CANCELED"),
                    (Err(reason), _) => {
                        left = true;
                        self.simulator.note(format_args!("client: not done: {reason}"));
                    }
                }
            };
            let end = ended.await;
            if end.status != expected {
                let wrong = format!("a job of which savepoint {location} was the end ended as {}", end.status);
                self.experience.lock().wrong.push(wrong);
            }
            program = (self.make)(parallelism, Some(&location))?;
            let mut experience = self.experience.lock();
            experience.claimed.push(location);
            experience.unclaimed = left;
        }
    }

    /// Takes a savepoint, and answers where it is.
    async fn save(&self, job: JobId, step: Move) -> Result<String, String> {
        let (directory, format) = (None, SavepointFormat::Canonical);
        let operation = match step {
            Move::Savepoint => Operation::Savepoint { job, directory, format, then: AfterSavepoint::GoOn },
            Move::Stop { .. } => Operation::Savepoint { job, directory, format, then: AfterSavepoint::Stop },
            Move::Cancel { .. } => Operation::CancelWithSavepoint { job, directory, format },
        };
        match self.operate(operation).await? {
            OperationResult::Savepoint { location } => Ok(location),
            other => Err(format!("{other:?} is no savepoint")),
        }
    }

    /// Removes a savepoint, if the storage lets it be removed.
    async fn dispose(&self, path: &str) {
        if let Err(reason) = self.operate(Operation::Dispose { path: path.to_owned() }).await {
            self.simulator.note(format_args!("client: {path} is not removed: {reason}"));
        }
    }

    async fn operate(&self, operation: Operation) -> Result<OperationResult, String> {
        let port = loop {
            let port = self.job_manager.lock().as_ref().map(JobManager::cluster);
            match port {
                Some(port) => break port,
                None => self.env.sleep(LOOK_EVERY).await,
            }
        };
        let id = port.new_trigger();
        let key = operation.key(id);
        port.trigger(id, operation).map_err(|error| error.to_string())?;
        loop {
            match port.operation(key) {
                Some(Some(outcome)) => return outcome,
                Some(None) => self.env.sleep(LOOK_EVERY).await,
                None => return Err("it is forgotten".to_owned()),
            }
        }
    }

    /// Its connection may break like any other; a job that was submitted before is recognized.
    async fn submit_and_wait(&self, graph: proto::JobGraph, job: JobId) -> JobEnd {
        loop {
            match self.try_once(graph.clone(), job).await {
                Ok(end) => return end,
                Err(error) => self.simulator.note(format_args!("client: {error:#}")),
            }
            self.env.sleep(CLIENT_PAUSE).await;
        }
    }

    async fn try_once(&self, graph: proto::JobGraph, job: JobId) -> anyhow::Result<JobEnd> {
        let endpoint = Endpoint::from_shared(format!("http://{JOB_MANAGER_HOST}:{RPC_PORT}"))?;
        let mut dispatcher = DispatcherClient::new(connect(&self.env, endpoint).await?);
        let request = proto::SubmitJobRequest {
            graph: Some(graph),
            artifact_digest: None,
            arguments: Vec::new(),
            job_id: Some(job.to_wire()),
        };
        match dispatcher.submit_job(request).await {
            Ok(_) => {}
            // An earlier try did it, and its answer was lost.
            Err(status) if status.code() == tonic::Code::AlreadyExists => {}
            Err(status) => return Err(status.into()),
        }
        let reply = dispatcher.await_job(proto::AwaitJobRequest { job_id: job.to_wire() }).await?.into_inner();
        let failure = reply.failure.map(|failure| failure.message);
        Ok(JobEnd { status: reply.state, failure })
    }
}
