//! Programs that tasks need beside cargo: found, or installed where that is possible without asking.

pub mod hdfs;
pub mod s3_server;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::workspace::{Workspace, check};

/// A program of the operating system.
#[derive(Debug, Clone, Copy)]
pub struct Tool {
    /// What is called.
    pub program: &'static str,
    /// The Debian package that has it.
    pub package: &'static str,
    /// What needs it.
    pub needed_by: &'static str,
}

/// Builds the allocator that every binary uses.
pub const MAKE: Tool = Tool { program: "make", package: "make", needed_by: "the build of jemalloc" };
/// Network namespaces, which play separate hosts.
pub const IP: Tool = Tool { program: "ip", package: "iproute2", needed_by: "the tests with several hosts" };

/// Fetches what has no installer.
pub const CURL: Tool = Tool { program: "curl", package: "curl", needed_by: "the tests on HDFS" };

impl Tool {
    /// Installs the program with apt where it is missing.
    pub fn ensure(self) -> Result<()> {
        if on_path(self.program).is_some() { Ok(()) } else { install(self) }
    }
}

/// Reads the headers of RocksDB when it is built.
const LIBCLANG: Tool = Tool { program: "libclang", package: "libclang-dev", needed_by: "the build of RocksDB" };

/// Installs libclang with apt where it is missing.
pub fn ensure_libclang() -> Result<()> {
    let named = std::env::var_os("LIBCLANG_PATH").is_some_and(|path| !path.is_empty());
    if named || has_libclang() { Ok(()) } else { install(LIBCLANG) }
}

/// Whether libclang is where build scripts look for it: beside the system's libraries, or in a folder of LLVM.
fn has_libclang() -> bool {
    let system =
        ["/usr/lib", "/usr/lib64", "/usr/local/lib", "/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu"];
    let llvm = named(Path::new("/usr/lib"), "llvm").into_iter().map(|folder| folder.join("lib"));
    let mut folders = system.into_iter().map(PathBuf::from).chain(llvm);
    folders.any(|folder| ["libclang.so", "libclang-"].iter().any(|start| !named(&folder, start).is_empty()))
}

/// What is in a folder under a name that begins so; nothing when there is no folder.
fn named(folder: &Path, start: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(start)).map(|entry| entry.path()).collect()
}

/// Installs the package with apt.
fn install(Tool { program, package, needed_by }: Tool) -> Result<()> {
    let by_hand = || format!("`{program}` is missing, which {needed_by} needs: install the package `{package}`");
    if on_path("apt-get").is_none() {
        bail!(by_hand());
    }
    println!("installing {package}, which {needed_by} needs");
    // Not every cause of a failing update (a stale third-party list) keeps the package from being installed.
    if let Err(error) = check(apt().args(["update", "-qq"])) {
        eprintln!("{error:#}; trying to install nevertheless");
    }
    check(apt().args(["install", "-y", "-qq", "--no-install-recommends", package])).with_context(by_hand)
}

/// `apt-get`, through `sudo` where that is needed and asks nothing.
fn apt() -> Command {
    let root = std::fs::metadata("/proc/self").is_ok_and(|me| std::os::unix::fs::MetadataExt::uid(&me) == 0);
    let mut command = if root || on_path("sudo").is_none() {
        Command::new("apt-get")
    } else {
        let mut sudo = Command::new("sudo");
        sudo.args(["--non-interactive", "apt-get"]);
        sudo
    };
    command.env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null());
    command
}

/// Installs a component of the Rust toolchain where it is missing.
pub fn ensure_component(workspace: &Workspace, subcommand: &str, component: &str) -> Result<()> {
    let mut probe = workspace.command("cargo");
    let answers = probe.args([subcommand, "--version"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    if answers.is_ok_and(|status| status.success()) {
        return Ok(());
    }
    println!("installing {component}");
    check(workspace.command("rustup").args(["component", "add", component]))
        .with_context(|| format!("cargo has no `{subcommand}`: install the toolchain's component `{component}`"))
}

/// A program that cargo builds.
#[derive(Debug, Clone, Copy)]
pub struct CargoTool {
    /// The crate, which is also what is called.
    name: &'static str,
    /// The version that is installed when there is none.
    version: &'static str,
    features: &'static [&'static str],
}

/// Checks the licences of dependencies.
pub const CARGO_DENY: CargoTool = CargoTool { name: "cargo-deny", version: "0.20.2", features: &[] };
/// Builds the user's guide; what it has beyond that (a server, a search) is left out.
pub const MDBOOK: CargoTool = CargoTool { name: "mdbook", version: "0.5.4", features: &["--no-default-features"] };

impl CargoTool {
    /// The path of the program. Building it takes minutes, so it is kept in the user's cache, outside of every checkout.
    pub fn ensure(self, workspace: &Workspace) -> Result<PathBuf> {
        let Self { name, version, features } = self;
        if let Some(installed) = on_path(name) {
            return Ok(installed);
        }
        let tools = cache()?.join("tools");
        let program = tools.join("bin").join(name);
        if !program.exists() {
            println!("installing {name} {version}, once for all checkouts");
            let mut install = workspace.cargo("install");
            install.args([name, "--version", version, "--locked", "--debug", "--root"]).arg(&tools).args(features);
            // Its own target directory: what it is built of has nothing in common with the workspace's build.
            let build = tools.join("build");
            check(install.arg("--target-dir").arg(&build))?;
            std::fs::remove_dir_all(&build).with_context(|| format!("cannot remove `{}`", build.display()))?;
        }
        Ok(program)
    }
}

fn cache() -> Result<PathBuf> {
    let set = |variable| std::env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("XDG_CACHE_HOME")
        .or_else(|| set("HOME").map(|home| home.join(".cache")))
        .map(|cache| cache.join("pelton"))
        .context("neither XDG_CACHE_HOME nor HOME is set, so there is no place to keep tools")
}

fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    // Those who administer a system often have these only in root's PATH.
    let system = ["/usr/sbin", "/sbin"].map(|directory| Path::new(directory).to_owned());
    std::env::split_paths(&path).chain(system).map(|directory| directory.join(program)).find(|file| file.is_file())
}
