//! Plants one bug after the other, and lets the checkers find it: each in a process of its own, as what is killed in a
//! simulation stays in memory.

use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};
use pelton_runtime_core::planted::{PlantedFault, plant};
use pelton_sim::run::{Faults, Plan, run};

/// How much of what a checker says is shown.
const SHOWN: usize = 110;

/// Which seeds may find a bug.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seeds {
    pub(crate) from: u64,
    pub(crate) count: u64,
    /// How many things break at most in a run.
    pub(crate) faults: usize,
}

/// Looks for the bug of this name, or for one after the other. Fails when one is not found.
pub(crate) fn find(name: Option<&str>, seeds: Seeds) -> ExitCode {
    let found = match name {
        Some(name) => find_one(name, seeds),
        None => find_all(seeds),
    };
    match found {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn find_all(seeds: Seeds) -> Result<bool> {
    println!("| planted bug | seeds until it is found | by |\n|---|---|---|");
    let mut all = true;
    for fault in PlantedFault::ALL {
        let mut command = Command::new(std::env::current_exe().context("cannot tell where this program is")?);
        command.args(["--plant", &format!("{fault:?}"), "--from", &seeds.from.to_string()]);
        command.args(["--seeds", &seeds.count.to_string(), "--faults", &seeds.faults.to_string()]);
        all &= command.status().context("cannot start this program again")?.success();
    }
    Ok(all)
}

fn find_one(name: &str, seeds: Seeds) -> Result<bool> {
    let Some(fault) = PlantedFault::ALL.into_iter().find(|fault| format!("{fault:?}") == name) else {
        bail!("there is no bug `{name}` to plant; there are {:?}", PlantedFault::ALL);
    };
    // Bugs make tasks panic, which is one way to find them.
    std::panic::set_hook(Box::new(|_| {}));
    plant(Some(fault));
    let found = (0..seeds.count).find_map(|number| {
        let plan =
            Plan { seed: seeds.from.saturating_add(number), faults: Faults::UpTo(seeds.faults), every_step: false };
        match run(plan) {
            Ok(outcome) => outcome.wrong.into_iter().next().map(|wrong| (number + 1, wrong)),
            Err(error) => Some((number + 1, format!("{error:#}"))),
        }
    });
    match &found {
        Some((after, wrong)) => {
            let wrong: String = wrong.lines().next().unwrap_or_default().chars().take(SHOWN).collect();
            println!("| `{name}` | {after} | {wrong} |");
        }
        None => println!("| `{name}` | **not within {}** | |", seeds.count),
    }
    Ok(found.is_some())
}
