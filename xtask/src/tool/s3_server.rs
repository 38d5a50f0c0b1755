//! The S3-compatible server that tests run against: versitygw, built by Go from the module proxy.
//!
//! It keeps objects as files of a folder, has multipart uploads and the condition `If-None-Match: *`, and takes about two
//! minutes to build, once. Its own sources are held to a digest here, those of its dependencies to Go's checksum database.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::workspace::{check, line};

use super::{cache, on_path};

const MODULE: &str = "github.com/versity/versitygw";
const VERSION: &str = "v1.8.0";
/// What Go says of the module's sources.
const SUM: &str = "h1:au+wI+aybno/STsQiSm35Uu6Q6iK5MWReQxgO6SEMFc=";

/// The server, installed if it was not. `None` where there is no Go to build it with; that is said, as tests are skipped.
pub fn ensure() -> Result<Option<PathBuf>> {
    let tools = cache()?.join("tools");
    let program = tools.join("bin").join(format!("versitygw-{VERSION}"));
    if program.exists() {
        return Ok(Some(program));
    }
    let Some(go) = on_path("go").or_else(|| Some(PathBuf::from("/usr/local/go/bin/go")).filter(|go| go.is_file()))
    else {
        eprintln!(
            "\n!!! NOT TESTED: everything against a real S3 server.\n!!! `go` is missing, which builds that server \
             ({MODULE} {VERSION}); install Go 1.25 or newer and run this again.\n"
        );
        return Ok(None);
    };
    println!("installing {MODULE} {VERSION}, once for all checkouts");
    let build = tools.join("build-s3");
    let installed = install(&go, &build, &program);
    // A failed build leaves nothing behind that the next one could trip over.
    if build.exists() {
        fs::remove_dir_all(&build).with_context(|| format!("cannot remove `{}`", build.display()))?;
    }
    installed.map(|()| Some(program))
}

fn install(go: &Path, build: &Path, program: &Path) -> Result<()> {
    fs::create_dir_all(build).with_context(|| format!("cannot make `{}`", build.display()))?;
    let module = format!("{MODULE}@{VERSION}");
    let mut download = go_command(go, build);
    download.args(["mod", "download", "-json", &module]).stderr(Stdio::inherit());
    let output = download.output().with_context(|| format!("cannot start `{}`", line(&download)))?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "`{}` failed ({}): {said}", line(&download), output.status);
    ensure!(said.contains(SUM), "{module} is not what it was: its digest is not {SUM} but\n{said}");
    check(
        go_command(go, build).args(["install", "-ldflags", "-s -w"]).arg(format!("{MODULE}/cmd/versitygw@{VERSION}")),
    )?;
    let folder = program.parent().context("it is in a folder")?;
    fs::create_dir_all(folder).with_context(|| format!("cannot make `{}`", folder.display()))?;
    let built = build.join("bin/versitygw");
    fs::rename(&built, program).with_context(|| format!("cannot move `{}` to `{}`", built.display(), program.display()))
}

/// Go, on whatever else the machine does last, with all that it keeps below `build`.
fn go_command(go: &Path, build: &Path) -> Command {
    let mut command = Command::new("nice");
    command.args(["-n", "10"]).arg(go).current_dir(build).stdin(Stdio::null());
    command
        .env("GOBIN", build.join("bin"))
        .env("GOCACHE", build.join("cache"))
        .env("GOMODCACHE", build.join("modules"));
    // The toolchain that is there, checked sources, and folders that can be removed again.
    command.env("GOTOOLCHAIN", "local").env("GOFLAGS", "-trimpath -modcacherw").env("CGO_ENABLED", "0");
    for variable in ["GONOSUMDB", "GONOSUMCHECK", "GOPRIVATE", "GOINSECURE", "GOWORK"] {
        command.env_remove(variable);
    }
    command
}
