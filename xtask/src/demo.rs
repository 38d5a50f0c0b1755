//! `cargo xtask demo`: from a fresh checkout to results, building nothing else than the job needs.
//!
//! It uses the development profile, so that the demo, the tests and development share one build.

mod summary;

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{ChildStdout, Stdio};

use anyhow::{Context, Result, bail};

use crate::stopwatch::Stopwatch;
use crate::tool;
use crate::workspace::{Workspace, check};

use self::summary::Summary;

const JOB: &str = "flight_delays";
const INPUT: &str = "examples/data/flights.csv.gz";
const AIRLINES: &str = "examples/data/airlines.csv";
/// How many results are shown one after the other before only every [`EVERY`]th is.
const FIRST: u64 = 10;
const EVERY: u64 = 5_000;

/// What `cargo xtask demo` is told.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Shows all results
    #[arg(long)]
    all: bool,
    /// Arguments for the job, after `--`; its output is then shown as it is
    #[arg(last = true, value_name = "ARGUMENTS")]
    arguments: Vec<String>,
}

/// Builds and runs the job.
pub fn run(workspace: &Workspace, arguments: &Arguments) -> Result<()> {
    let all = Stopwatch::start();
    println!("The hourly mean departure delay per carrier and origin, from all flights out of New York in 2013.\n");
    println!("Building the job. The first time compiles the libraries too, which takes minutes.");
    tool::MAKE.ensure()?;
    check(workspace.cargo("build").args(["-p", "pelton-examples", "--example", JOB]))?;
    println!("Built in {}.\n", all.elapsed());

    let mut job = workspace.command(workspace.built("debug").join("examples").join(JOB));
    if !arguments.arguments.is_empty() {
        return check(job.args(&arguments.arguments));
    }
    println!("Running it in an embedded cluster (a JobManager and a TaskManager in this one process) on {INPUT}.");
    let running = Stopwatch::start();
    let mut child = job.stdout(Stdio::piped()).spawn().with_context(|| format!("cannot start `{JOB}`"))?;
    let results = child.stdout.take().context("the job's output is a pipe")?;
    let (count, summary) = show(results, running, arguments.all)?;
    let status = child.wait().context("cannot wait for the job")?;
    if !status.success() {
        bail!("the job failed ({status}); what it said is above");
    }
    println!("{count} results after {}.\n", running.elapsed());

    let airlines = fs::read_to_string(workspace.path(AIRLINES)).with_context(|| format!("cannot read `{AIRLINES}`"))?;
    println!("The mean delays of the year, from those results:\n{}", summary.table(&airlines));
    println!("From start to end: {}.", all.elapsed());
    println!("Next: `cargo xtask demo --all`, the job's own options with `cargo xtask demo -- --help`,");
    println!("      its source in examples/examples/{JOB}.rs, and a real cluster as README.md shows.");
    Ok(())
}

/// Prints results as they come.
fn show(results: ChildStdout, running: Stopwatch, all: bool) -> Result<(u64, Summary)> {
    let mut summary = Summary::default();
    let mut count = 0;
    for line in BufReader::new(results).lines() {
        let line = line.context("cannot read the job's results")?;
        summary.add(&line);
        if count == 0 {
            println!(
                "(hour, carrier, origin, flights scheduled, of these cancelled, mean delay of the others in minutes)"
            );
            println!("The first result came after {}:", running.elapsed());
        }
        count += 1;
        if all || count <= FIRST || count % EVERY == 0 {
            println!("  {line}");
        }
        if !all && count == FIRST {
            println!("  … and then every {EVERY}th:");
        }
    }
    Ok((count, summary))
}
