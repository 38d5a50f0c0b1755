//! `cargo xtask test`: everything that continuous integration checks, in steps.
//!
//! A step that fails does not keep the others from running: one run says everything that is wrong. At the end each step
//! is listed with its time, slowest first, and so are the slowest groups of tests.

mod guide;
mod licences;
mod sources;
mod suites;

use anyhow::{Result, bail};

use crate::stopwatch::{Stopwatch, Took};
use crate::tool;
use crate::workspace::{Workspace, check};

/// What `cargo xtask test` is told.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Runs only these steps
    #[arg(long, value_name = "STEP", value_delimiter = ',', value_parser = step_name)]
    only: Vec<String>,
    /// Leaves these steps out
    #[arg(long, value_name = "STEP", value_delimiter = ',', value_parser = step_name)]
    skip: Vec<String>,
    /// Names the steps and ends
    #[arg(long)]
    list: bool,
}

/// One thing to check.
struct Step {
    name: &'static str,
    what: &'static str,
    run: fn(&Workspace) -> Result<()>,
}

/// Cheap steps first.
const STEPS: [Step; 11] = [
    Step { name: "tools", what: "what the other steps need is installed", run: tools },
    Step { name: "lock", what: "Cargo.lock fits the manifests and names crates.io alone", run: sources::lock },
    Step { name: "sources", what: "no file of the tree names a place of some machine", run: sources::places },
    Step { name: "format", what: "rustfmt has nothing to change", run: format },
    Step { name: "licences", what: "dependencies have licences that allow this use", run: licences::run },
    Step { name: "guide", what: "the user's guide builds, and no document has a dead link", run: guide::run },
    Step { name: "clippy", what: "no warning anywhere", run: clippy },
    Step { name: "build", what: "executables and examples", run: build },
    Step { name: "tests", what: "unit, integration and documentation tests", run: suites::run },
    Step { name: "sim", what: "a minute of seeds in a simulated world that breaks", run: crate::simulate::short_run },
    Step { name: "docs", what: "the API documentation builds without a warning", run: docs },
];

/// Runs the steps.
pub fn run(workspace: &Workspace, arguments: &Arguments) -> Result<()> {
    if arguments.list {
        STEPS.iter().for_each(|step| println!("{:<10} {}", step.name, step.what));
        return Ok(());
    }
    let wanted = |step: &&Step| {
        (arguments.only.is_empty() || arguments.only.iter().any(|name| name == step.name))
            && !arguments.skip.iter().any(|name| name == step.name)
    };
    let before = sources::changes(workspace)?;
    let all = Stopwatch::start();
    let mut ran = Vec::new();
    for step in STEPS.iter().filter(wanted) {
        println!("\n==> {}: {}", step.name, step.what);
        let watch = Stopwatch::start();
        let outcome = (step.run)(workspace);
        if let Err(error) = &outcome {
            eprintln!("{} failed: {error:#}", step.name);
        }
        ran.push((watch.elapsed(), step.name, outcome.is_ok()));
    }
    let untouched = sources::untouched(workspace, &before);
    report(workspace, ran, all.elapsed(), untouched)
}

fn report(workspace: &Workspace, mut ran: Vec<(Took, &str, bool)>, all: Took, untouched: Result<()>) -> Result<()> {
    ran.sort_by(|a, b| b.cmp(a));
    println!("\nsteps, slowest first:");
    for (took, name, passed) in &ran {
        println!("{took:>12}  {name}{}", if *passed { "" } else { "  FAILED" });
    }
    println!("{all:>12}  together");
    let failed: Vec<_> = ran.iter().filter(|(_, _, passed)| !passed).map(|(_, name, _)| *name).collect();
    untouched?;
    if ran.iter().any(|(_, name, _)| *name == "tests") {
        // Said again where it is seen, when there is none.
        tool::hdfs::report(workspace)?;
        tool::s3_server::ensure()?;
    }
    if !failed.is_empty() {
        bail!("failed: {}", failed.join(", "));
    }
    println!("all passed");
    Ok(())
}

fn step_name(text: &str) -> Result<String, String> {
    let names = STEPS.map(|step| step.name);
    if names.contains(&text) { Ok(text.to_owned()) } else { Err(format!("steps are {}", names.join(", "))) }
}

fn tools(workspace: &Workspace) -> Result<()> {
    tool::MAKE.ensure()?;
    tool::IP.ensure()?;
    tool::ensure_libclang()?;
    tool::ensure_component(workspace, "fmt", "rustfmt")?;
    tool::ensure_component(workspace, "clippy", "clippy")?;
    tool::hdfs::ensure(workspace)?;
    tool::s3_server::ensure().map(drop)
}

fn format(workspace: &Workspace) -> Result<()> {
    check(workspace.cargo("fmt").args(["--all", "--", "--check"]))
}

fn clippy(workspace: &Workspace) -> Result<()> {
    check(workspace.cargo("clippy").args(["--workspace", "--all-targets", "--", "-D", "warnings"]))
}

fn build(workspace: &Workspace) -> Result<()> {
    check(workspace.cargo("build").args(["--workspace", "--bins", "--examples"]))
}

fn docs(workspace: &Workspace) -> Result<()> {
    check(workspace.cargo("doc").args(["--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings"))
}
