//! `pelton-sim --seeds N --from S`: runs seeds, and says of those that fail how to see why.

#[cfg(feature = "planted-faults")]
mod planted;

use std::process::ExitCode;

use clap::Parser;
use pelton_sim::run::{Faults, Plan, run};

/// Runs a cluster in a simulated world that breaks
#[derive(Debug, Parser)]
#[command(name = "pelton-sim")]
struct Arguments {
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
    /// Plants one bug after the other, and says after how many of so many seeds it is found
    #[cfg(feature = "planted-faults")]
    #[arg(long, conflicts_with = "trace")]
    planted: bool,
    /// Plants this bug
    #[cfg(feature = "planted-faults")]
    #[arg(long, value_name = "BUG", conflicts_with_all = ["trace", "planted"])]
    plant: Option<String>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    #[cfg(feature = "planted-faults")]
    if arguments.planted || arguments.plant.is_some() {
        let seeds = planted::Seeds { from: arguments.from, count: arguments.seeds, faults: arguments.faults };
        return planted::find(arguments.plant.as_deref(), seeds);
    }
    match go(&arguments) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Answers how many seeds failed.
fn go(arguments: &Arguments) -> anyhow::Result<u64> {
    let faults = if arguments.faults == 0 { Faults::None } else { Faults::UpTo(arguments.faults) };
    let (mut failed, mut struck, mut checkpoints, mut simulated) = (0, 0, 0, std::time::Duration::ZERO);
    for seed in arguments.from..arguments.from.saturating_add(arguments.seeds) {
        let outcome = run(Plan { seed, faults, every_step: arguments.steps })?;
        if arguments.trace {
            outcome.lines.iter().for_each(|line| println!("{line}"));
            println!("digest {:016x}, {} polls", outcome.digest, outcome.polls);
        }
        struck += outcome.faults;
        checkpoints += outcome.checkpoints;
        simulated += outcome.simulated;
        if !outcome.wrong.is_empty() {
            failed += 1;
            println!("seed {seed} FAILED:");
            outcome.wrong.iter().take(10).for_each(|line| println!("    {line}"));
            println!("  again, with what happens: cargo xtask sim --from {seed} --faults {} --trace", arguments.faults);
        }
    }
    println!(
        "{} seeds, {failed} failed; {struck} faults, {checkpoints} checkpoints, {:.0} simulated seconds",
        arguments.seeds,
        simulated.as_secs_f64()
    );
    Ok(failed)
}
