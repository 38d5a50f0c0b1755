//! The JobManager as a process: in the foreground, until it is told to end.

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use pelton_jobmanager::{OwnLogs, ProgramSource, StartOptions, start};
use pelton_process::flags::ConfigFlags;
use pelton_process::log_files::Role;
use pelton_process::signals::Termination;
use pelton_process::{allocator, limits, logging, panics};
use pelton_runtime_core::config::{HIDDEN, is_sensitive};
use pelton_runtime_core::env::Env;
use pelton_runtime_core::failure::error_chain;

#[global_allocator]
static ALLOCATOR: allocator::Jemalloc = allocator::Jemalloc;

/// Threads for control messages; they wait more than they work.
const WORKER_THREADS: usize = 2;

/// How long work on other threads may take to end after everything else has.
const THREADS_GRACE: Duration = Duration::from_secs(1);

/// Runs a Pelton JobManager in the foreground.
///
/// It takes jobs, gives them the slots of the TaskManagers that register with it, and serves REST and gRPC. SIGTERM
/// and SIGINT end it in good order: its jobs are suspended and their workers stopped.
///
/// Settings come from config.yaml, the environment (PELTON_ and the key in capitals, with _ for . and -) and -D, of
/// which the latter wins. The first ones to know: jobmanager.rpc.address, jobmanager.rpc.port (6123), rest.port
/// (8081), rest.bind-address.
#[derive(Parser)]
#[command(name = "jobmanager", version)]
struct Arguments {
    #[command(flatten)]
    config: ConfigFlags,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let text = error_chain(error.as_ref());
            tracing::error!("{text}");
            eprintln!("jobmanager: {text}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<(), Box<dyn std::error::Error>> {
    let settings = arguments.config.load()?;
    let files = logging::to_files(Role::JobManager, &settings)?;
    panics::log_panics();
    for warning in settings.configuration.warnings() {
        tracing::warn!("{warning}");
    }
    if let Err(error) = allocator::return_idle_memory() {
        tracing::warn!("{error}");
    }
    if let Err(error) = limits::raise_open_files() {
        tracing::warn!(%error, "cannot raise the number of open files");
    }
    let version = env!("CARGO_PKG_VERSION");
    tracing::info!(version, process = std::process::id(), directory = ?settings.directory.path(), "JobManager starts");
    for (key, value) in settings.configuration.entries() {
        tracing::info!("setting {key}: {value}");
    }
    let logs = match &files {
        Some(files) => OwnLogs::Files { log: files.log().to_owned(), out: files.out() },
        None => OwnLogs::Nowhere { reason: "it logs to standard error".to_owned() },
    };
    let options = StartOptions {
        environment: settings.environment,
        logs,
        arguments: shown_arguments(),
        programs: ProgramSource::Artifacts,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKER_THREADS)
        .thread_name("jobmanager")
        .enable_all()
        .build()?;
    let ended = runtime.block_on(async {
        let mut termination = Termination::listen()?;
        let mut manager = start(Env::production(), settings.configuration, options).await?;
        let reason = tokio::select! {
            signal = termination.received() => format!("the JobManager received {signal}"),
            () = manager.asked_to_end() => "the cluster was asked to end".to_owned(),
        };
        tokio::select! {
            () = manager.shutdown(&reason) => {}
            // A second signal means: at once.
            signal = termination.received() => tracing::warn!("ending at once on a second {signal}"),
        }
        Ok::<(), Box<dyn std::error::Error>>(())
    });
    runtime.shutdown_timeout(THREADS_GRACE);
    ended
}

/// The command line without secrets.
fn shown_arguments() -> Vec<String> {
    let hide = |argument: String| match argument.split_once('=') {
        Some((key, _)) if is_sensitive(key.trim_start_matches("-D")) => format!("{key}={HIDDEN}"),
        _ => argument,
    };
    std::env::args_os().skip(1).map(|argument| hide(argument.to_string_lossy().into_owned())).collect()
}
