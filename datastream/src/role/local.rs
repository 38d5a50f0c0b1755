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
use pelton_runtime_core::config::{Configuration, Origin, options};
use pelton_runtime_core::env::Env;
use pelton_runtime_core::graph::program::Program;
use pelton_runtime_core::id::JobId;
use pelton_taskmanager::{self as taskmanager, Workers, worker};

use super::interruption::{self, Running};
use super::job_client::{JobClient, JobEnds, ReasonsToEnd, Started, cluster, connect, said, until_ended};
use super::{ExecuteError, JobExecutionResult};

/// Threads for control; tasks have threads of their own.
const RUNTIME_THREADS: usize = 2;

pub(super) fn start(program: Program, configuration: &Configuration) -> Result<JobClient, ExecuteError> {
    let configuration = embedded(&program, configuration)?;
    JobClient::start("embedded-cluster", move |ends| {
        let running = interruption::begin().map_err(|source| cluster("hear signals", source))?;
        let outcome = run(program, configuration, ends, &running);
        let failed = outcome.as_ref().err().filter(|error| !matches!(error, ExecuteError::Canceled { .. }));
        running.end(failed);
        outcome
    })
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
    ends: JobEnds,
    running: &Running,
) -> Result<JobExecutionResult, ExecuteError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(RUNTIME_THREADS)
        .thread_name("embedded")
        .enable_all()
        .build()
        .map_err(|source| cluster("start its threads", source))?;
    let env = Env::on(runtime.handle().clone());
    let result = runtime.block_on(run_job(env, program, configuration, ends, running));
    // Tasks that are stuck in user code must not keep the caller.
    runtime.shutdown_background();
    result
}

async fn run_job(
    env: Env,
    program: Program,
    configuration: Configuration,
    ends: JobEnds,
    running: &Running,
) -> Result<JobExecutionResult, ExecuteError> {
    let interruption = running.interruption().map_err(|source| cluster("hear signals", source))?;
    let JobEnds { started, canceled } = ends;
    let end = ReasonsToEnd { canceled, interruption: Some(interruption) };
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
    let rest_address = job_manager.rest_address();
    // Nobody may be waiting for the id any more.
    let started = |job_id| drop(started.send(Started { job_id, rest_address: Some(rest_address) }));
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

async fn submit_and_wait(
    env: &Env,
    address: &str,
    graph: proto::JobGraph,
    reasons_to_end: ReasonsToEnd,
    started: impl FnOnce(JobId),
) -> Result<JobExecutionResult, ExecuteError> {
    let mut dispatcher = connect(address).await?;
    let job_id = JobId::random(env);
    let request = proto::SubmitJobRequest {
        graph: Some(graph),
        artifact_digest: None,
        arguments: Vec::new(),
        job_id: Some(job_id.to_wire()),
    };
    dispatcher.submit_job(request).await.map_err(|status| cluster("take the job", said(&status)))?;
    started(job_id);
    until_ended(dispatcher, job_id, reasons_to_end).await
}
