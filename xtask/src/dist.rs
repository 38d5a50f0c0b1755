//! `cargo xtask dist`: a folder that runs wherever it is put.
//!
//! ```text
//! pelton-<version>/  bin/       jobmanager taskmanager client sql-job start-cluster stop-cluster
//!                    conf/      config.yaml masters workers
//!                    examples/  flight_delays word_count … and data/
//!                    log/       LICENSE  NOTICE
//! ```

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::stopwatch::Stopwatch;
use crate::tool;
use crate::workspace::{VERSION, Workspace, check};

/// The executables, which are built, and the scripts, which are in `bin/` of the checkout.
const EXECUTABLES: [&str; 4] = ["jobmanager", "taskmanager", "client", "sql-job"];
const SCRIPTS: [&str; 2] = ["start-cluster", "stop-cluster"];
const PACKAGES: [&str; 5] =
    ["pelton-jobmanager", "pelton-taskmanager", "pelton-client", "pelton-sql", "pelton-examples"];

/// What `cargo xtask dist` is told.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The folder to put `pelton-<version>` into
    #[arg(long, value_name = "DIRECTORY", default_value = "dist")]
    output: PathBuf,
    /// Also packs the folder as `pelton-<version>.tar.gz`
    #[arg(long)]
    archive: bool,
}

/// Builds and lays out the folder, in place of an older one of the same version.
pub fn run(workspace: &Workspace, arguments: &Arguments) -> Result<()> {
    tool::MAKE.ensure()?;
    let building = Stopwatch::start();
    let mut build = workspace.cargo("build");
    build.args(["--release", "--bins", "--examples"]);
    check(build.args(PACKAGES.iter().flat_map(|package| ["-p", package])))?;
    println!("built in {}", building.elapsed());

    let name = format!("pelton-{VERSION}");
    let parent = workspace.path(&arguments.output);
    let folder = parent.join(&name);
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("cannot remove `{}`", folder.display()))?;
    }
    lay_out(workspace, &folder)?;
    println!("{}", folder.display());
    if arguments.archive {
        let archive = parent.join(format!("{name}.tar.gz"));
        check(workspace.command("tar").arg("-C").arg(&parent).arg("-czf").arg(&archive).arg(&name))?;
        println!("{}", archive.display());
    }
    Ok(())
}

fn lay_out(workspace: &Workspace, folder: &Path) -> Result<()> {
    let built = workspace.built("release");
    for executable in EXECUTABLES {
        copy(&built.join(executable), &folder.join("bin").join(executable))?;
    }
    for script in SCRIPTS {
        copy(&workspace.path("bin").join(script), &folder.join("bin").join(script))?;
    }
    copy_files(&workspace.path("conf"), &folder.join("conf"))?;
    for example in examples(workspace)? {
        copy(&built.join("examples").join(&example), &folder.join("examples").join(&example))?;
    }
    copy_files(&workspace.path("examples/data"), &folder.join("examples/data"))?;
    for file in ["LICENSE", "NOTICE"] {
        copy(&workspace.path(file), &folder.join(file))?;
    }
    let log = folder.join("log");
    fs::create_dir_all(&log).with_context(|| format!("cannot create `{}`", log.display()))
}

/// The names of the examples: one file each.
fn examples(workspace: &Workspace) -> Result<Vec<String>> {
    let sources = files(&workspace.path("examples/examples"))?;
    let stems = sources.iter().filter(|path| path.extension().is_some_and(|extension| extension == "rs"));
    let names: Vec<String> = stems.filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned())).collect();
    ensure!(!names.is_empty(), "there are no examples in `examples/examples`");
    Ok(names)
}

fn files(directory: &Path) -> Result<Vec<PathBuf>> {
    let unreadable = || format!("cannot read `{}`", directory.display());
    let entries = fs::read_dir(directory).with_context(unreadable)?;
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>().with_context(unreadable)?;
    paths.retain(|path| path.is_file());
    paths.sort();
    Ok(paths)
}

fn copy_files(from: &Path, to: &Path) -> Result<()> {
    files(from)?.iter().try_for_each(|file| copy(file, &to.join(file.file_name().unwrap_or_default())))
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    let failed = || format!("cannot copy `{}` to `{}`", from.display(), to.display());
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent).with_context(failed)?;
    }
    fs::copy(from, to).map(drop).with_context(failed)
}
