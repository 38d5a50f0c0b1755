//! Tasks of the project: `cargo xtask demo | test | bench | sim | chaos | dist`.
//!
//! Owns how the tools are called and what is said about it; what is built and tested is the workspace's business.
//! Nothing here runs in a cluster, so time and processes are used directly.
#![allow(clippy::disallowed_methods)]

mod bench;
mod chaos;
mod demo;
mod dist;
mod simulate;
mod stopwatch;
mod test;
mod tool;
mod workspace;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use crate::workspace::Workspace;

/// Tasks of the project
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Builds the main job and runs it on real input in an embedded cluster
    Demo(demo::Arguments),
    /// Checks everything that continuous integration checks
    Test(test::Arguments),
    /// Runs the benchmarks and writes benches/RESULTS.md
    Bench(bench::Arguments),
    /// Runs a cluster in a simulated world that breaks
    Sim(simulate::Arguments),
    /// Runs a job on real processes that die, freeze, and lose their network and disk
    Chaos(chaos::Arguments),
    /// Builds a relocatable folder with everything that a cluster needs
    Dist(dist::Arguments),
}

fn main() -> ExitCode {
    match run(&Arguments::parse().task) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(task: &Task) -> Result<()> {
    let workspace = Workspace::of_this_build()?;
    match task {
        Task::Demo(arguments) => demo::run(&workspace, arguments),
        Task::Test(arguments) => test::run(&workspace, arguments),
        Task::Bench(arguments) => bench::run(&workspace, arguments),
        Task::Sim(arguments) => simulate::run(&workspace, arguments),
        Task::Chaos(arguments) => chaos::run(&workspace, arguments),
        Task::Dist(arguments) => dist::run(&workspace, arguments),
    }
}
