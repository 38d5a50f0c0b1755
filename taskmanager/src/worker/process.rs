//! A worker as a process of its own, in the user's program or in the taskmanager binary.

use std::io::Read;
use std::process::ExitCode;
use std::sync::Arc;

use pelton_process::logging;
use pelton_runtime_core::config::Configuration;
use pelton_runtime_core::env::Env;
use pelton_runtime_core::graph::program::Program;

use super::setup::{ROLE_VARIABLE, WORKER_ROLE, WORKER_VARIABLE, WorkerSetup};
use super::{WorkerError, crash, explain, run};

/// Threads for control and network; tasks have threads of their own.
const RUNTIME_THREADS: usize = 2;

/// Whether this process was started as a worker.
pub fn is_worker() -> bool {
    std::env::var(ROLE_VARIABLE).is_ok_and(|role| role == WORKER_ROLE)
}

/// What the supervisor said.
///
/// # Errors
///
/// [`WorkerError::Setup`] when the environment holds no setup, or one of another version.
pub fn setup() -> Result<WorkerSetup, WorkerError> {
    let json = std::env::var(WORKER_VARIABLE).map_err(|error| WorkerError::Setup(error.into()))?;
    serde_json::from_str(&json).map_err(|error| WorkerError::Setup(error.into()))
}

/// Runs the worker and answers with the process's exit code. Errors are on standard error, where the supervisor keeps
/// the last lines.
pub fn main(setup: WorkerSetup, program: Program) -> ExitCode {
    log(&setup);
    match start(setup, program) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}", explain(&error));
            ExitCode::FAILURE
        }
    }
}

/// Logs to standard error, which the supervisor keeps in the worker's log. A program that logs in its own way keeps it.
fn log(setup: &WorkerSetup) {
    match Configuration::from_map(setup.configuration.clone()) {
        Ok(configuration) => drop(logging::to_standard_error(&configuration)),
        Err(errors) => eprintln!("{errors}"),
    }
}

fn start(setup: WorkerSetup, program: Program) -> Result<(), WorkerError> {
    crash::install().map_err(WorkerError::Start)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(RUNTIME_THREADS)
        .thread_name("worker")
        .enable_all()
        .build()
        .map_err(WorkerError::Start)?;
    let env = Env::on(runtime.handle().clone());
    env.spawn_thread("supervisor-link", end_with_supervisor).map_err(WorkerError::Start)?;
    let result = runtime.block_on(run(env, setup, Arc::new(program)));
    // Task threads may be stuck in user code; the process's end is theirs.
    runtime.shutdown_background();
    result
}

/// Ends the process when the supervisor closes its end of standard input, on purpose or by dying.
fn end_with_supervisor() {
    let mut buffer = [0; 256];
    loop {
        match std::io::stdin().read(&mut buffer) {
            Ok(0) => std::process::exit(0),
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => std::process::exit(1),
        }
    }
}
