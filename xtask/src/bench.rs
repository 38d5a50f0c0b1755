//! `cargo xtask bench`: the benchmarks, optimized as releases are.

use anyhow::Result;

use crate::stopwatch::Stopwatch;
use crate::tool;
use crate::workspace::{Workspace, check};

/// What `cargo xtask bench` is told.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Arguments for the benchmarks, in place of `all`
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENTS")]
    arguments: Vec<String>,
}

/// Builds what is measured, then measures.
pub fn run(workspace: &Workspace, arguments: &Arguments) -> Result<()> {
    tool::MAKE.ensure()?;
    // RocksDB takes long to compile, so it is built for those benchmarks alone that measure it.
    let named = |name: &str| arguments.arguments.iter().any(|argument| argument == name);
    let with_rocksdb = arguments.arguments.is_empty()
        || ["all", "state", "large-state", "checkpoints", "recovery"].into_iter().any(named);
    let features: &[&str] = if with_rocksdb { &["--features", "pelton-benches/rocksdb"] } else { &[] };
    if with_rocksdb {
        tool::ensure_libclang()?;
    }
    let building = Stopwatch::start();
    let packages = ["pelton-jobmanager", "pelton-taskmanager", "pelton-client", "pelton-benches"];
    let mut build = workspace.cargo("build");
    build.args(["--release", "--bins"]).args(features);
    check(build.args(packages.iter().flat_map(|package| ["-p", package])))?;
    println!("built in {}", building.elapsed());

    let measuring = Stopwatch::start();
    let mut benches = workspace.cargo("run");
    benches.args(["--quiet", "--release", "-p", "pelton-benches"]).args(features).arg("--");
    match arguments.arguments.as_slice() {
        [] => benches.arg("all"),
        given => benches.args(given),
    };
    check(&mut benches)?;
    println!("measured in {}", measuring.elapsed());
    Ok(())
}
