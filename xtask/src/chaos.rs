//! `cargo xtask chaos`: real processes on hosts of their own, while they die, freeze, and lose their network and disk.

use anyhow::Result;

use crate::workspace::{Workspace, check};

/// What `cargo xtask chaos` is told.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// How many things break, for each state backend; every one takes about a second
    #[arg(long, default_value_t = 200)]
    faults: u64,
    /// Decides what breaks
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Lets a job with either state backend survive.
pub fn run(workspace: &Workspace, arguments: &Arguments) -> Result<()> {
    let mut test = workspace.cargo("test");
    test.args(["-p", "pelton-tests", "--test", "chaos", "--", "--nocapture", "--test-threads", "1"]);
    // Without hosts of its own nothing is shown, which is an error here.
    test.env("CI", "true");
    test.env("PELTON_CHAOS_FAULTS", arguments.faults.to_string());
    check(test.env("PELTON_CHAOS_SEED", arguments.seed.to_string()))
}
