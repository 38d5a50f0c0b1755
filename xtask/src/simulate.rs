//! `cargo xtask sim`: runs seeds of the simulator, some hundred to a process and a process per core.
//!
//! What a simulated process leaves when it is killed stays in memory until the simulator's own process ends, as with
//! real ones; so no process runs many seeds.

use std::process::Child;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::stopwatch::Stopwatch;
use crate::workspace::{Workspace, check};

/// Seeds that one process runs.
const CHUNK: u64 = 50;

/// How long the simulation of `cargo xtask test` begins new seeds.
const SHORT_RUN: Duration = Duration::from_secs(60);

/// What `cargo xtask sim` is told.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// How many seeds to run
    #[arg(long, default_value_t = 1)]
    seeds: u64,
    /// The first of them
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// How many things break at most in a run; 0 for a quiet world
    #[arg(long, default_value_t = 8)]
    faults: usize,
    /// Prints what happens
    #[arg(long)]
    trace: bool,
    /// Prints every step as well
    #[arg(long, requires = "trace")]
    steps: bool,
    /// Plants one bug after the other into a build of its own, and says after how many seeds it is found
    #[arg(long, conflicts_with = "trace")]
    planted: bool,
}

/// Runs the seeds that were asked for.
pub fn run(workspace: &Workspace, arguments: &Arguments) -> Result<()> {
    if arguments.planted {
        return plant(workspace, arguments);
    }
    let mut flags = vec!["--faults".to_owned(), arguments.faults.to_string()];
    flags.extend(arguments.trace.then(|| "--trace".to_owned()));
    flags.extend(arguments.steps.then(|| "--steps".to_owned()));
    simulate(workspace, arguments.from, Some(arguments.seeds), &flags)
}

/// Lets the simulator look for bugs that are planted.
fn plant(workspace: &Workspace, arguments: &Arguments) -> Result<()> {
    let features = ["-p", "pelton-sim", "--features", "pelton-sim/planted-faults"];
    let mut simulator = workspace.cargo("run");
    simulator.arg("--quiet").args(features).args(["--bin", "pelton-sim", "--", "--planted"]);
    simulator.args(["--from", &arguments.from.to_string(), "--seeds", &arguments.seeds.to_string()]);
    check(simulator.args(["--faults", &arguments.faults.to_string()]))
}

/// Runs as many seeds as begin within a minute, the first ones always.
pub fn short_run(workspace: &Workspace) -> Result<()> {
    simulate(workspace, 1, None, &[])
}

/// Runs `seeds` seeds, or as many as there is time for.
fn simulate(workspace: &Workspace, from: u64, seeds: Option<u64>, flags: &[String]) -> Result<()> {
    check(workspace.cargo("build").args(["--quiet", "-p", "pelton-sim", "-p", "pelton", "--bins"]))?;
    let program = workspace.built("debug").join("pelton-sim");
    let watch = Stopwatch::start();
    let processes = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let (mut next, mut running, mut failed) = (from, Vec::new(), false);
    loop {
        let left = match seeds {
            Some(seeds) => from.saturating_add(seeds) - next,
            None if watch.elapsed().0 < SHORT_RUN => CHUNK,
            None => 0,
        };
        if left > 0 && running.len() < processes {
            let chunk = left.min(CHUNK);
            let mut command = workspace.command(&program);
            command.args(["--from", &next.to_string(), "--seeds", &chunk.to_string()]).args(flags);
            running.push(command.spawn().with_context(|| format!("cannot start {}", program.display()))?);
            next += chunk;
        } else if running.is_empty() {
            break;
        } else {
            failed |= !ends_well(&mut running.remove(0))?;
        }
    }
    println!("{} seeds in {}", next - from, watch.elapsed());
    if failed {
        bail!("some seeds failed");
    }
    Ok(())
}

fn ends_well(child: &mut Child) -> Result<bool> {
    Ok(child.wait().context("cannot wait for the simulator")?.success())
}
