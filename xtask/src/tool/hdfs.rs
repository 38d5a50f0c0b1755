//! The Hadoop file system that tests run against: Hadoop's own name and data nodes, from Maven Central.
//!
//! The files are held to digests here. They are 87 MB, fetched once; what runs them is Java. Where either is missing, the
//! tests that need them are named as not run: a network that is away is no reason to run no tests at all. A file that is not
//! what it was is an error.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::workspace::{Workspace, check, output};

use super::{CURL, cache, on_path};

const REPOSITORY: &str = "https://repo1.maven.org/maven2";
const VERSION: &str = "3.4.1";

/// The tests that need it.
const TESTS: &str = "tests/tests/hdfs.rs";

/// Path in the repository, and SHA-256.
const FILES: [(&str, &str); 7] = [
    (
        "org/apache/hadoop/hadoop-client-api/3.4.1/hadoop-client-api-3.4.1.jar",
        "a964d4daa054c9615bbafb4553efbb140fa7fb9ac6f358a24393f183a5703438",
    ),
    (
        "org/apache/hadoop/hadoop-client-runtime/3.4.1/hadoop-client-runtime-3.4.1.jar",
        "f6a800a159f918670db533606d33560d6c13b7e13f14eda493280ae33b9eeb2f",
    ),
    (
        "org/apache/hadoop/hadoop-client-minicluster/3.4.1/hadoop-client-minicluster-3.4.1.jar",
        "5b90be54a39d856f237a4530e25f62aea4b67c180c73b5cfb1aff35c502b2d29",
    ),
    (
        "commons-logging/commons-logging/1.3.0/commons-logging-1.3.0.jar",
        "66d3c980470b99b0c511dad3dfc0ae7b265ec1fb144e96bc0253a8a175fd34d9",
    ),
    ("junit/junit/4.13.2/junit-4.13.2.jar", "8e495b634469d64fb8acfa3495a065cbacc8a0fff55ce1e31007be4c16dc57d3"),
    (
        "org/slf4j/slf4j-api/1.7.36/slf4j-api-1.7.36.jar",
        "d3ef575e3e4979678dc01bf1dcce51021493b4d11fb7f1be8ad982877c16a1c0",
    ),
    (
        "org/slf4j/slf4j-simple/1.7.36/slf4j-simple-1.7.36.jar",
        "2f39bed943d624dfa8f4102d0571283a10870b6aa36f197a8a506f147010c10f",
    ),
];

/// Fetches the jars if they are not there. Where that cannot be, or there is no Java, the tests are named that are not run.
pub fn ensure(workspace: &Workspace) -> Result<()> {
    if !folder()?.is_dir() && on_path("java").is_some() {
        let fetched = match CURL.ensure() {
            Ok(()) => fetch_all(workspace)?,
            missing => missing,
        };
        if let Err(away) = fetched {
            eprintln!("{away:#}");
        }
    }
    report(workspace)
}

/// Names the tests that are not run, if they are not.
pub fn report(workspace: &Workspace) -> Result<()> {
    let reason = match (on_path("java"), folder()?.is_dir()) {
        (None, _) => "`java` is missing, which runs it; install Java 11 or newer and run this again",
        (_, false) => "Hadoop could not be fetched; run this again when there is a network",
        _ => return Ok(()),
    };
    eprintln!("\n!!! NOT TESTED: everything against a real HDFS.\n!!! {reason}.\n!!! Not run, in `{TESTS}`:");
    tests(&workspace.path(TESTS))?.iter().for_each(|test| eprintln!("!!!   {test}"));
    eprintln!();
    Ok(())
}

/// The names of the tests in a file.
fn tests(file: &Path) -> Result<Vec<String>> {
    let text = fs::read_to_string(file).with_context(|| format!("cannot read `{}`", file.display()))?;
    let mut names = Vec::new();
    let mut is_test = false;
    for line in text.lines() {
        if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            is_test = true;
        } else if is_test && let Some((_, rest)) = line.split_once("fn ") {
            names.extend(rest.split_once('(').map(|(name, _)| name.to_owned()));
            is_test = false;
        }
    }
    Ok(names)
}

fn folder() -> Result<PathBuf> {
    Ok(cache()?.join("tools").join(format!("hadoop-{VERSION}")))
}

/// The inner error is for a network that is away, the outer one for what must not be.
fn fetch_all(workspace: &Workspace) -> Result<Result<()>> {
    let folder = folder()?;
    println!("fetching Hadoop {VERSION} for the tests, once for all checkouts");
    let partial = folder.with_extension("partial");
    fs::create_dir_all(&partial).with_context(|| format!("cannot make `{}`", partial.display()))?;
    for (path, digest) in FILES {
        let file = partial.join(path.rsplit('/').next().unwrap_or(path));
        let url = format!("{REPOSITORY}/{path}");
        let mut curl = workspace.command("curl");
        curl.args(["--fail", "--silent", "--show-error", "--location", "--retry", "3", "-o"]).arg(&file).arg(&url);
        if let Err(away) = check(&mut curl) {
            return Ok(Err(away));
        }
        let sum = output(workspace.command("sha256sum").arg("-b").arg(&file))?;
        ensure!(sum.starts_with(digest), "{url} is not what it was: its SHA-256 is not {digest} but {sum}");
    }
    fs::rename(&partial, &folder)
        .with_context(|| format!("cannot move `{}` to `{}`", partial.display(), folder.display()))?;
    Ok(Ok(()))
}

#[cfg(test)]
mod tests_of_names {
    use super::*;

    #[test]
    fn the_tests_are_known_by_name() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let names = tests(&root.join(TESTS)).expect("read");
        assert_eq!(names.len(), 2, "{names:?}");
        assert!(names[1].starts_with("a_job_with_checkpoints"), "{names:?}");
    }
}
