//! The `taskmanager` binary: one per host, in the foreground until it is told to end.

mod script_settings;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, Subcommand};
use pelton_process::allocator::{self, Jemalloc};
use pelton_process::flags::{ConfigFlags, Settings};
use pelton_process::limits::raise_open_files;
use pelton_process::log_files::{LogFiles, Role};
use pelton_process::logging;
use pelton_process::panics::log_panics;
use pelton_process::signals::Termination;
use pelton_runtime_core::env::Env;
use pelton_runtime_core::failure::error_chain;
use pelton_taskmanager::worker::setup::WORKER_VARIABLE;
use pelton_taskmanager::{TaskManager, Workers, start};

#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// The supervisor waits and rarely works; a second thread keeps heartbeats going while a log file is slow.
const RUNTIME_THREADS: usize = 2;

/// Offers this host's slots to a cluster and runs the jobs' workers, each in a process of its own.
///
/// It registers with the JobManager at jobmanager.rpc.address:jobmanager.rpc.port, keeps trying while that is not
/// there, and runs in the foreground until SIGTERM or Ctrl-C; then the workers end first. `bin/start-cluster` runs it
/// in the background.
#[derive(Parser)]
#[command(
    name = "taskmanager",
    version,
    after_help = "\
Often used settings (docs/configuration.md has all of them):
  -Djobmanager.rpc.address=HOST             where the JobManager is
  -Dtaskmanager.numberOfTaskSlots=4         how many parallel pipelines run here at once
  -Dtaskmanager.memory.process.size=8g      memory of the TaskManager and all of its workers
  -Dtaskmanager.host=HOST                   under which name others reach this host

Logs go to the terminal and to $PELTON_LOG_DIR, or `log` beside `bin`; what jobs print goes to the .out file there.

Exit code: 0 after SIGTERM or Ctrl-C, 1 when it cannot start or never finds a JobManager."
)]
struct Arguments {
    #[command(flatten)]
    config: ConfigFlags,

    #[command(subcommand)]
    role: Option<HiddenRole>,
}

#[derive(Subcommand)]
enum HiddenRole {
    /// Runs a job without a program of its own; started by a TaskManager only
    #[command(hide = true)]
    Worker,
    /// Prints what the scripts need of the configuration
    #[command(hide = true)]
    ScriptSettings,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match arguments.role {
        Some(HiddenRole::Worker) => return worker(),
        Some(HiddenRole::ScriptSettings) => return print_script_settings(&arguments.config),
        None => {}
    }
    match set_up(&arguments.config).and_then(|(settings, files)| serve(&settings, files)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let error = error_chain(error.as_ref());
            tracing::error!("{error}");
            // A daemon's log is a file; its standard error is where its starter looks.
            if !tracing::enabled!(tracing::Level::ERROR) || std::env::var_os(LOG_FILE).is_some() {
                eprintln!("taskmanager: {error}");
            }
            ExitCode::FAILURE
        }
    }
}

const LOG_FILE: &str = pelton_process::log_files::LOG_FILE_VARIABLE;

/// No job without a program can be submitted yet, so a worker without one has nothing to run.
fn worker() -> ExitCode {
    let who = match std::env::var_os(WORKER_VARIABLE) {
        Some(_) => "jobs without a program of their own are not supported yet",
        None => "`taskmanager worker` is started by a TaskManager only",
    };
    eprintln!("{who}");
    ExitCode::FAILURE
}

fn print_script_settings(config: &ConfigFlags) -> ExitCode {
    match config.load() {
        Ok(settings) => {
            print!("{}", script_settings::render(&settings));
            ExitCode::SUCCESS
        }
        Err(errors) => {
            eprintln!("{errors}");
            ExitCode::FAILURE
        }
    }
}

fn set_up(config: &ConfigFlags) -> anyhow::Result<(Settings, Option<Arc<LogFiles>>)> {
    let settings = config.load()?;
    let files = logging::to_files(Role::TaskManager, &settings)?;
    log_panics();
    for warning in settings.configuration.warnings() {
        tracing::warn!("{warning}");
    }
    if let Err(error) = raise_open_files() {
        tracing::warn!(%error, "cannot raise the number of open files");
    }
    if let Err(error) = allocator::return_idle_memory() {
        tracing::warn!(%error, "freed memory stays with the process for longer");
    }
    let version = env!("CARGO_PKG_VERSION");
    tracing::info!(version, process = std::process::id(), directory = ?settings.directory.path(), "TaskManager starts");
    for (key, value) in settings.configuration.entries() {
        tracing::info!("setting {key}: {value}");
    }
    Ok((settings, files))
}

fn serve(settings: &Settings, files: Option<Arc<LogFiles>>) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(RUNTIME_THREADS)
        .thread_name("taskmanager")
        .enable_all()
        .build()?;
    let served = runtime.block_on(run(settings, files));
    // Whatever still runs is not worth waiting for: workers are gone, and reads of logs have no reader.
    runtime.shutdown_background();
    served
}

async fn run(settings: &Settings, files: Option<Arc<LogFiles>>) -> anyhow::Result<()> {
    let mut termination = Termination::listen()?;
    let stock: PathBuf = std::env::current_exe()?;
    let starting = start(Env::production(), &settings.configuration, Workers::Processes { files, stock });
    let mut task_manager = tokio::select! {
        started = starting => started?,
        signal = termination.received() => {
            tracing::info!("{signal}: ending before the start was done");
            return Ok(());
        }
    };
    tracing::info!(id = %task_manager.id(), rpc = task_manager.rpc_address(), "TaskManager started");
    tokio::select! {
        error = task_manager.failed() => {
            task_manager.stop().await;
            Err(error.into())
        }
        signal = termination.received() => {
            tracing::info!("{signal}: ending the workers");
            end(task_manager, &mut termination).await;
            Ok(())
        }
    }
}

async fn end(task_manager: TaskManager, termination: &mut Termination) {
    tokio::select! {
        () = task_manager.stop() => tracing::info!("TaskManager ended"),
        signal = termination.received() => tracing::warn!("{signal} again: killing the workers"),
    }
}
