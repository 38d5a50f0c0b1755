//! What a process cost, as the operating system counts it, and the median of several.

use std::ffi::OsStr;
use std::io::Read;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::machine::cpu_time;

/// What one run of a process cost, start and end included.
#[derive(Debug, Clone, Copy)]
pub struct Cost {
    /// Elapsed time.
    pub wall: Duration,
    /// User and system time of all threads and of children that were waited for.
    pub cpu: Duration,
    /// The most memory it ever held.
    pub peak_bytes: u64,
}

/// Runs a process to its end; answers with its cost and its standard output.
pub fn run(command: &mut Command) -> Result<(Cost, String)> {
    let start = Instant::now();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {}", command.get_program().display()))?;
    let mut output = String::new();
    child.stdout.take().context("the output is a pipe")?.read_to_string(&mut output)?;
    let mut status = 0;
    // SAFETY: an all-zero `rusage` is valid, and the pointers are to live values.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        let waited = libc::wait4(child.id().cast_signed(), &mut status, 0, &mut usage);
        ensure!(waited > 0, "cannot wait for {}", command.get_program().display());
        usage
    };
    let wall = start.elapsed();
    if !(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0) {
        bail!("{command:?} failed with status {status}");
    }
    Ok((Cost { wall, cpu: cpu_time(&usage), peak_bytes: usage.ru_maxrss.unsigned_abs() * 1024 }, output))
}

/// A binary of this build: `bench-job`, `jobmanager`, ….
pub fn built(name: &str) -> Result<PathBuf> {
    let own = std::env::current_exe().context("this process has no path")?;
    let path = own.with_file_name(name);
    ensure!(path.exists(), "{} is not built; `cargo xtask bench` builds what it measures", path.display());
    Ok(path)
}

/// A command for a binary of this build.
pub fn program<S: AsRef<OsStr>>(name: &str, arguments: impl IntoIterator<Item = S>) -> Result<Command> {
    let mut command = Command::new(built(name)?);
    command.args(arguments);
    Ok(command)
}

/// The middle one of some figures.
pub fn median(figures: impl IntoIterator<Item = f64>) -> f64 {
    let mut figures: Vec<f64> = figures.into_iter().collect();
    figures.sort_by(f64::total_cmp);
    match figures.len() {
        0 => f64::NAN,
        count if count % 2 == 1 => figures[count / 2],
        count => f64::midpoint(figures[count / 2 - 1], figures[count / 2]),
    }
}

/// The medians of some costs, in seconds and MiB.
#[derive(Debug, Clone, Copy)]
pub struct Median {
    /// Elapsed seconds.
    pub wall: f64,
    /// CPU seconds.
    pub cpu: f64,
    /// Peak memory.
    pub peak_mib: f64,
}

impl Median {
    /// Of these runs.
    pub fn of(costs: &[Cost]) -> Self {
        Self {
            wall: median(costs.iter().map(|cost| cost.wall.as_secs_f64())),
            cpu: median(costs.iter().map(|cost| cost.cpu.as_secs_f64())),
            peak_mib: median(costs.iter().map(|cost| cost.peak_bytes as f64 / f64::from(1 << 20))),
        }
    }
}
