//! Runs a job in an embedded cluster: a JobManager, a TaskManager and its workers in this process.
//!
//! It is the real cluster, with the real protocol over loopback on ports of its own; only workers are components
//! instead of processes, so a crash of user code is a crash of the program. A thread owns the cluster from its start to
//! its end, so that `execute` can be called from anywhere, an async runtime's threads included.
//!
//! Who interrupts the process cancels the job, and the process ends when the cluster is gone: [`super::interruption`].

use std::sync::Arc;

use pelton_jobmanager as jobmanager;
use pelton_proto as proto;
use pelton_proto::dispatcher_client::DispatcherClient;
use pelton_runtime_core::config::{Configuration, Origin, options};
use pelton_runtime_core::env::Env;
use pelton_runtime_core::failure::FailureCause;
use pelton_runtime_core::graph::program::Program;
use pelton_runtime_core::id::JobId;
use pelton_runtime_core::scheduler::status::JobStatus;
use pelton_runtime_core::wire;
use pelton_taskmanager::{self as taskmanager, Workers, worker};
use tokio::sync::{oneshot, watch};
use tonic::transport::Channel;

use super::interruption::{self, Interruption, Running};
use super::{ExecuteError, JobExecutionResult};

/// Threads for control; tasks have threads of their own.
const RUNTIME_THREADS: usize = 2;

/// A job that runs in an embedded cluster. Dropping it lets the job go on as long as the process lives.
#[derive(Debug)]
pub struct JobClient {
    job_id: JobId,
    cancel: watch::Sender<bool>,
    result: oneshot::Receiver<Result<JobExecutionResult, ExecuteError>>,
}

impl JobClient {
    /// The job.
    pub fn job_id(&self) -> JobId {
        self.job_id
    }

    /// Asks the job to end. [`JobClient::wait`] tells when it has.
    pub fn cancel(&self) {
        self.cancel.send_replace(true);
    }

    /// Blocks until the job has ended and the cluster is gone.
    ///
    /// # Errors
    ///
    /// When the job failed or was canceled.
    pub fn wait(mut self) -> Result<JobExecutionResult, ExecuteError> {
        // The thread that blocks here may belong to an async runtime, where tokio's own blocking calls are refused.
        futures::executor::block_on(self.ended())
    }

    /// What [`wait`](Self::wait) waits for. Says it once; may be given up and asked again before.
    pub(crate) async fn ended(&mut self) -> Result<JobExecutionResult, ExecuteError> {
        (&mut self.result).await.map_err(|_| cluster("finish the job", "its thread ended"))?
    }
}

pub(super) fn start(program: Program, configuration: &Configuration) -> Result<JobClient, ExecuteError> {
    let configuration = embedded(&program, configuration)?;
    let (started, starting) = oneshot::channel();
    let (result_sender, result) = oneshot::channel();
    let (cancel, canceled) = watch::channel(false);
    let run = move || {
        let outcome = match interruption::begin() {
            Ok(running) => {
                let outcome = run(program, configuration, canceled, &running, started);
                let failed = outcome.as_ref().err().filter(|error| !matches!(error, ExecuteError::Canceled { .. }));
                running.end(failed);
                outcome
            }
            Err(source) => Err(cluster("hear signals", source)),
        };
        // Whoever started the job may not care how it ends.
        drop(result_sender.send(outcome));
    };
    let thread = std::thread::Builder::new().name("embedded-cluster".to_owned()).spawn(run);
    thread.map_err(|source| cluster("start a thread", source))?;
    match futures::executor::block_on(starting) {
        Ok(job_id) => Ok(JobClient { job_id, cancel, result }),
        // It did not get that far; its outcome says why.
        Err(_) => match futures::executor::block_on(result) {
            Ok(Err(error)) => Err(error),
            _ => Err(cluster("start", "its thread ended")),
        },
    }
}

/// The configuration of a cluster that is only for this job: free ports, loopback, as many slots as the job needs.
fn embedded(program: &Program, configuration: &Configuration) -> Result<Configuration, ExecuteError> {
    let slots: u32 = program.graph.slots_needed().values().sum();
    let overrides = [
        (options::rest::BIND_PORT.key(), "0".to_owned()),
        (options::rest::BIND_ADDRESS.key(), LOOPBACK.to_owned()),
        (options::jobmanager::RPC_ADDRESS.key(), LOOPBACK.to_owned()),
        (options::jobmanager::RPC_PORT.key(), "0".to_owned()),
        (options::jobmanager::BIND_HOST.key(), LOOPBACK.to_owned()),
        (options::taskmanager::HOST.key(), LOOPBACK.to_owned()),
        (options::taskmanager::BIND_HOST.key(), LOOPBACK.to_owned()),
        (options::taskmanager::NUMBER_OF_TASK_SLOTS.key(), slots.to_string()),
    ];
    let overrides = overrides.map(|(key, value)| (key.to_owned(), value));
    let overrides = overrides.into_iter().chain(super::working_directory(configuration));
    Ok(configuration.with_overrides(overrides, &Origin::Job)?)
}

const LOOPBACK: &str = "127.0.0.1";

fn run(
    program: Program,
    configuration: Configuration,
    canceled: watch::Receiver<bool>,
    running: &Running,
    started: oneshot::Sender<JobId>,
) -> Result<JobExecutionResult, ExecuteError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(RUNTIME_THREADS)
        .thread_name("embedded")
        .enable_all()
        .build()
        .map_err(|source| cluster("start its threads", source))?;
    let env = Env::on(runtime.handle().clone());
    let result = runtime.block_on(run_job(env, program, configuration, canceled, running, started));
    // Tasks that are stuck in user code must not keep the caller.
    runtime.shutdown_background();
    result
}

async fn run_job(
    env: Env,
    program: Program,
    configuration: Configuration,
    canceled: watch::Receiver<bool>,
    running: &Running,
    started: oneshot::Sender<JobId>,
) -> Result<JobExecutionResult, ExecuteError> {
    let interruption = running.interruption().map_err(|source| cluster("hear signals", source))?;
    let end = ReasonsToEnd { canceled, interruption };
    let job_manager = jobmanager::start(env.clone(), configuration.clone(), jobmanager::StartOptions::default())
        .await
        .map_err(|source| cluster("start its JobManager", source))?;
    let address = job_manager.rpc_address();
    let task_configuration = configuration
        .with_overrides([(options::jobmanager::RPC_PORT.key().to_owned(), address.port().to_string())], &Origin::Job)?;
    let graph = program.graph.to_wire();
    let workers = in_process(&env, program);
    let task_manager = taskmanager::start(env.clone(), &task_configuration, workers)
        .await
        .map_err(|source| cluster("start its TaskManager", source))?;
    let result = submit_and_wait(&env, &address.to_string(), graph, end, started).await;
    task_manager.stop().await;
    job_manager.shutdown("the embedded job has ended").await;
    result
}

fn in_process(env: &Env, program: Program) -> Workers {
    let (env, program) = (env.clone(), Arc::new(program));
    Workers::InProcess(Arc::new(move |setup, stop| {
        let (env, program) = (env.clone(), Arc::clone(&program));
        Box::pin(async move {
            tokio::select! {
                result = worker::run(env, setup, program) => result.map_err(|error| worker::explain(&error)),
                () = stop => Ok(()),
            }
        })
    }))
}

/// Why a job is canceled.
struct ReasonsToEnd {
    canceled: watch::Receiver<bool>,
    interruption: Interruption,
}

impl ReasonsToEnd {
    /// Waits for one of them.
    async fn any(&mut self) {
        tokio::select! {
            // An error means that nobody can cancel any more.
            Ok(_) = self.canceled.wait_for(|canceled| *canceled) => {}
            signal = self.interruption.came() => if let Some(signal) = signal {
                eprintln!("{signal}: the job is being canceled; a second one ends the program at once");
            },
        }
    }
}

/// What an answer may be: it has the job's accumulators.
const MESSAGE_BYTES_MAX: usize = 64 << 20;

async fn submit_and_wait(
    env: &Env,
    address: &str,
    graph: proto::JobGraph,
    mut reasons_to_end: ReasonsToEnd,
    started: oneshot::Sender<JobId>,
) -> Result<JobExecutionResult, ExecuteError> {
    let mut dispatcher = DispatcherClient::<Channel>::connect(format!("http://{address}"))
        .await
        .map_err(|source| cluster("reach its JobManager", source))?
        .max_decoding_message_size(MESSAGE_BYTES_MAX);
    let job_id = JobId::random(env);
    let request = proto::SubmitJobRequest {
        graph: Some(graph),
        artifact_digest: None,
        arguments: Vec::new(),
        job_id: Some(job_id.to_wire()),
    };
    dispatcher.submit_job(request).await.map_err(|status| cluster("take the job", said(&status)))?;
    // Nobody may be waiting for the id any more.
    let _ = started.send(job_id);
    let mut waiting = dispatcher.clone();
    let end = waiting.await_job(proto::AwaitJobRequest { job_id: job_id.to_wire() });
    tokio::pin!(end);
    let reply = tokio::select! {
        reply = &mut end => reply,
        () = reasons_to_end.any() => {
            let canceled = dispatcher.cancel_job(proto::CancelJobRequest { job_id: job_id.to_wire() }).await;
            match canceled {
                // It ended by itself at the same moment; how, is what the caller wants to know.
                Err(status) if status.code() != tonic::Code::FailedPrecondition => {
                    return Err(cluster("cancel the job", said(&status)));
                }
                _ => end.await,
            }
        }
    };
    let reply = reply.map_err(|status| cluster("say how the job ended", said(&status)))?.into_inner();
    outcome(job_id, reply)
}

fn outcome(job_id: JobId, reply: proto::AwaitJobReply) -> Result<JobExecutionResult, ExecuteError> {
    match (JobStatus::parse(&reply.state), reply.failure) {
        (Ok(JobStatus::Finished), _) => {
            let millis = u64::try_from(reply.net_runtime_ms).unwrap_or(0);
            let accumulators =
                reply.accumulators.into_iter().map(wire::accumulator::from_wire).collect::<Result<_, _>>();
            let accumulators = accumulators.map_err(|source| cluster("say what accumulators have come to", source))?;
            Ok(JobExecutionResult { job_id, net_runtime: std::time::Duration::from_millis(millis), accumulators })
        }
        (Ok(JobStatus::Canceled), _) => Err(ExecuteError::Canceled { job_id }),
        (_, Some(failure)) => Err(ExecuteError::Failed { job_id, cause: Box::new(FailureCause::from(failure)) }),
        (_, None) => Err(cluster("say why the job failed", format!("it ended as {}", reply.state))),
    }
}

fn cluster(action: &'static str, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> ExecuteError {
    ExecuteError::Cluster { action, source: source.into() }
}

fn said(status: &tonic::Status) -> String {
    status.message().to_owned()
}
