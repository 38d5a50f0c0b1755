//! Runs a user's program in the role `plan` and reads the JobGraph it prints.
//!
//! The program is a child process with a time limit and bounded output. Its standard error is the user's: it is passed
//! on as it comes. Its standard input is for what the client tells it.
//!
//! A program that reads its job's results says with the graph that it goes on. It is told its job then, or its end: when
//! [`AttachedProgram`] is dropped, it is killed.

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
    NotAPlan, PLAN_CONFIGURATION_VARIABLE, PLAN_ROLE, ROLE_VARIABLE, Submitted, end_of_attached_plan, graph_of_output,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::signal::unix::{SignalKind, signal};

use crate::output::{self, OutputError};

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

/// What a program has described.
#[derive(Debug)]
pub struct Plan {
    /// Its job.
    pub graph: JobGraph,
    /// The program, if it goes on when the job is submitted.
    pub program: Option<AttachedProgram>,
}

/// A program that waits for the submission of its job.
#[derive(Debug)]
pub struct AttachedProgram {
    named: PathBuf,
    child: Child,
    stdin: ChildStdin,
    stdout: ChildStdout,
    /// What it has printed of its own; nothing, unless it is in a hurry.
    printed: Vec<u8>,
}

impl AttachedProgram {
    /// Tells the program its job, passes its output on, and waits for its end. An interrupt is told to the program, which
    /// cancels a job whose results it reads.
    ///
    /// # Errors
    ///
    /// When the program cannot be talked to, or its output has no reader; the program is killed then, unless it has ended.
    pub async fn go_on(self, submitted: &Submitted) -> Result<ExitStatus, AttachedError> {
        let Self { named, mut child, stdin, mut stdout, printed } = self;
        let lost = |source| AttachedError::Lost { program: named.clone(), source };
        let mut stdin = Some(stdin);
        if let Some(stdin) = &mut stdin {
            // A program that has ended has closed it; how it ended is said below.
            drop(stdin.write_all(submitted.line().as_bytes()).await);
            drop(stdin.flush().await);
        }
        output::pass(&printed)?;
        // Listened to all the time: between two reads of output none may be missed.
        let mut interrupts = signal(SignalKind::interrupt()).map_err(lost)?;
        let mut chunk = vec![0; OUTPUT_CHUNK_BYTES];
        loop {
            tokio::select! {
                read = stdout.read(&mut chunk) => match read.map_err(lost)? {
                    0 => break,
                    bytes => output::pass(&chunk[..bytes])?,
                },
                _ = interrupts.recv(), if stdin.is_some() => stdin = None,
            }
        }
        child.wait().await.map_err(lost)
    }
}

/// Bytes of a program's output that are passed on at once.
const OUTPUT_CHUNK_BYTES: usize = 64 << 10;

/// Why a program that goes on cannot be followed to its end.
#[derive(Debug, thiserror::Error)]
pub enum AttachedError {
    /// The operating system cannot say what it does.
    #[error("lost the program `{}`", program.display())]
    Lost {
        /// The program.
        program: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Nobody takes its output.
    #[error(transparent)]
    Output(#[from] OutputError),
}

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
) -> Result<Plan, PlanError> {
    let named = || program.to_owned();
    // A bare name means a file here, not one of the search path.
    let executable = if program.components().count() == 1 { Path::new(".").join(program) } else { named() };
    let settings = serde_json::Value::from_iter(settings.iter().map(|(key, value)| (key.clone(), value.clone())));
    let start = |source| PlanError::Start { program: named(), source };
    let mut child = Command::new(executable)
        .args(arguments)
        .env(ROLE_VARIABLE, PLAN_ROLE)
        .env(PLAN_CONFIGURATION_VARIABLE, settings.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .spawn()
        .map_err(start)?;
    let (Some(stdin), Some(mut stdout)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(start(io::Error::other("it has no pipes")));
    };
    let run = async {
        let (output, attached) = described(&mut stdout).await.map_err(start)?;
        if output.len() as u64 > PLAN_BYTES_MAX {
            return Err(PlanError::TooLong { program: named() });
        }
        let ended = match attached {
            Some(_) => None,
            None => Some(child.wait().await.map_err(start)?),
        };
        Ok((output, attached, ended))
    };
    let (mut output, attached, ended) =
        env.timeout(limit, run).await.map_err(|_| PlanError::TimedOut { program: named(), limit })??;
    if let Some(status) = ended.filter(|status| !status.success()) {
        return Err(PlanError::Failed { program: named(), how: explain(status) });
    }
    let printed = attached.map(|end| output.split_off(end));
    let graph = graph_of_output(&output).map_err(|source| PlanError::NotAPlan { program: named(), source })?;
    let program = printed.map(|printed| AttachedProgram { named: named(), child, stdin, stdout, printed });
    Ok(Plan { graph, program })
}

/// What a program prints until it ends, says that it goes on, or prints too much; and where the line ends by which it says so.
async fn described(stdout: &mut ChildStdout) -> io::Result<(Vec<u8>, Option<usize>)> {
    let (mut output, mut begin) = (Vec::new(), 0);
    let mut chunk = vec![0; OUTPUT_CHUNK_BYTES];
    while output.len() as u64 <= PLAN_BYTES_MAX {
        let read = stdout.read(&mut chunk).await?;
        if read == 0 {
            break;
        }
        let before = output.len();
        output.extend_from_slice(&chunk[..read]);
        // Each line is looked at once, when it is complete.
        let Some(last) = chunk[..read].iter().rposition(|byte| *byte == b'\n') else { continue };
        if let Some(end) = end_of_attached_plan(&output[begin..]) {
            return Ok((output, Some(begin + end)));
        }
        begin = before + last + 1;
    }
    Ok((output, None))
}

fn explain(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(PANIC_EXIT_CODE), _) => "it panicked".to_owned(),
        (Some(code), _) => format!("exit code {code}"),
        (_, Some(signal)) => format!("signal {signal}"),
        _ => "it ended".to_owned(),
    }
}
