//! Where the checkout and its build directory are, and how cargo is called there.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// The version of everything in the workspace.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A checkout of the project.
#[derive(Debug)]
pub struct Workspace {
    root: PathBuf,
    target: PathBuf,
}

impl Workspace {
    /// The checkout that this executable was built in.
    pub fn of_this_build() -> Result<Self> {
        let manifest = std::env::var_os("CARGO_MANIFEST_DIR").context("run this as `cargo xtask`")?;
        let root = Path::new(&manifest).parent().context("the manifest of xtask lies in a folder of the workspace")?;
        let target = match std::env::var_os("CARGO_TARGET_DIR") {
            Some(target) if !target.is_empty() => root.join(target),
            _ => root.join("target"),
        };
        Ok(Self { root: root.to_owned(), target })
    }

    /// The top of the checkout.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// A path in the checkout.
    pub fn path(&self, relative: impl AsRef<Path>) -> PathBuf {
        self.root.join(relative)
    }

    /// Where cargo puts what it builds with a profile (`debug`, `release`).
    pub fn built(&self, profile: &str) -> PathBuf {
        self.target.join(profile)
    }

    /// A command that runs at the top of the checkout and cannot wait for somebody to type.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(&self.root).stdin(Stdio::null());
        // What `cargo run` tells this process about itself. Some build scripts look at it, and would make cargo compile
        // them, and all that depends on them, anew whenever xtask and people at a shell build in turn.
        let variables = std::env::vars_os().map(|(variable, _)| variable);
        for variable in variables.filter(|variable| tells_about_xtask(&variable.to_string_lossy())) {
            command.env_remove(variable);
        }
        command
    }

    /// The cargo that runs this task. `Cargo.lock` is what it says or the command fails.
    pub fn cargo(&self, subcommand: &str) -> Command {
        let mut command = self.command(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.arg(subcommand);
        if !matches!(subcommand, "fmt" | "install") {
            command.arg("--locked");
        }
        command
    }
}

fn tells_about_xtask(variable: &str) -> bool {
    let prefixes = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_"];
    variable == "CARGO"
        || variable == "CARGO_PRIMARY_PACKAGE"
        || prefixes.iter().any(|prefix| variable.starts_with(prefix))
}

/// Runs a command to its end; failing is an error that names it.
pub fn check(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot start `{}`", line(command)))?;
    if !status.success() {
        bail!("`{}` failed ({status})", line(command));
    }
    Ok(())
}

/// What a command writes to standard output.
pub fn output(command: &mut Command) -> Result<String> {
    let output =
        command.stderr(Stdio::inherit()).output().with_context(|| format!("cannot start `{}`", line(command)))?;
    if !output.status.success() {
        bail!("`{}` failed ({})", line(command), output.status);
    }
    String::from_utf8(output.stdout).with_context(|| format!("`{}` wrote no text", line(command)))
}

/// The command as one would type it.
pub fn line(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let words = std::iter::once(program).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
