//! Runs a user's program in the role `plan` and reads the JobGraph it prints.
//!
//! The program is a child process with a time limit and bounded output. Its standard error is the user's: it is passed
//! on as it comes.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use pelton_runtime_core::config::format_duration;
use pelton_runtime_core::env::Env;
use pelton_runtime_core::graph::JobGraph;
use pelton_runtime_core::graph::planned::{
    NotAPlan, PLAN_CONFIGURATION_VARIABLE, PLAN_ROLE, ROLE_VARIABLE, graph_of_output,
};
use tokio::io::AsyncReadExt;
use tokio::process::Command;

/// The longest plan that is read; a graph of ten thousand operators is far below.
const PLAN_BYTES_MAX: u64 = 64 << 20;

/// Why a program has no plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The operating system cannot start it.
    #[error("the program `{}` cannot be started", program.display())]
    Start {
        /// The program.
        program: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It takes too long.
    #[error(
        "the program `{}` did not finish describing its job in {}: it must reach `execute` without waiting for \
         anything; a longer time can be given with --plan-timeout",
        program.display(),
        format_duration(*limit)
    )]
    TimedOut {
        /// The program.
        program: PathBuf,
        /// The limit.
        limit: Duration,
    },
    /// It failed.
    #[error("the program `{}` failed while describing its job: {how}; what it said is above", program.display())]
    Failed {
        /// The program.
        program: PathBuf,
        /// Exit code or signal.
        how: String,
    },
    /// It prints without end.
    #[error(
        "the program `{}` wrote more than {} MiB to standard output instead of a job graph: is it built with the `pelton` crate? \
         While a job is planned, print to standard error (`eprintln!`)", program.display(), PLAN_BYTES_MAX >> 20
    )]
    TooLong {
        /// The program.
        program: PathBuf,
    },
    /// What it printed is no plan.
    #[error("the program `{}` gave no plan", program.display())]
    NotAPlan {
        /// The program.
        program: PathBuf,
        /// What it is instead.
        #[source]
        source: NotAPlan,
    },
}

/// The exit code of a Rust program that panicked.
const PANIC_EXIT_CODE: i32 = 101;

/// The job that `program` describes with these arguments and settings.
///
/// # Errors
///
/// When it does not describe one, with the reason.
pub async fn plan(
    env: &Env,
    program: &Path,
    arguments: &[OsString],
    settings: &BTreeMap<String, String>,
    limit: Duration,
) -> Result<JobGraph, PlanError> {
    let named = || program.to_owned();
    // A bare name means a file here, not one of the search path.
    let executable = if program.components().count() == 1 { Path::new(".").join(program) } else { named() };
    let settings = serde_json::Value::from_iter(settings.iter().map(|(key, value)| (key.clone(), value.clone())));
    let start = |source| PlanError::Start { program: named(), source };
    let mut child = Command::new(executable)
        .args(arguments)
        .env(ROLE_VARIABLE, PLAN_ROLE)
        .env(PLAN_CONFIGURATION_VARIABLE, settings.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .spawn()
        .map_err(start)?;
    let stdout = child.stdout.take();
    let run = async {
        let mut output = Vec::new();
        if let Some(stdout) = stdout {
            stdout.take(PLAN_BYTES_MAX + 1).read_to_end(&mut output).await.map_err(start)?;
        }
        if output.len() as u64 > PLAN_BYTES_MAX {
            return Err(PlanError::TooLong { program: named() });
        }
        let status = child.wait().await.map_err(start)?;
        Ok((status, output))
    };
    let (status, output) =
        env.timeout(limit, run).await.map_err(|_| PlanError::TimedOut { program: named(), limit })??;
    if !status.success() {
        return Err(PlanError::Failed { program: named(), how: explain(status) });
    }
    graph_of_output(&output).map_err(|source| PlanError::NotAPlan { program: named(), source })
}

fn explain(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(PANIC_EXIT_CODE), _) => "it panicked".to_owned(),
        (Some(code), _) => format!("exit code {code}"),
        (_, Some(signal)) => format!("signal {signal}"),
        _ => "it ended".to_owned(),
    }
}
