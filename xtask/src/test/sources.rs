//! The tree itself: the lock file, places that only one machine has, and files that a run leaves behind.

use std::fs;
use std::process::Stdio;

use anyhow::{Context, Result, bail, ensure};

use crate::workspace::{Workspace, check, output};

const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// `Cargo.lock` fits the manifests, and everything in it comes from crates.io.
pub fn lock(workspace: &Workspace) -> Result<()> {
    check(workspace.cargo("metadata").args(["--format-version", "1"]).stdout(Stdio::null()))?;
    let lock = fs::read_to_string(workspace.path("Cargo.lock")).context("cannot read Cargo.lock")?;
    let sources = lock.lines().filter_map(|line| line.strip_prefix("source = ")).map(|source| source.trim_matches('"'));
    match sources.into_iter().find(|source| *source != CRATES_IO) {
        Some(other) => bail!("Cargo.lock names `{other}`, expected crates.io alone"),
        None => Ok(()),
    }
}

/// No text file of the tree has a path of somebody's machine.
pub fn places(workspace: &Workspace) -> Result<()> {
    let here = workspace.root().to_string_lossy().into_owned();
    // In halves, so that this file is not what is found.
    let homes = ["/ro-ot/", "/ho-me/", "/Us-ers/"].map(|half| half.replace('-', ""));
    let places: Vec<&str> = homes.iter().map(String::as_str).chain([here.as_str()]).collect();
    let mut found = Vec::new();
    for file in tracked(workspace)? {
        // Tracked but deleted, or data: neither has lines.
        let Ok(text) = fs::read_to_string(workspace.path(&file)) else { continue };
        found.extend(lines_with(&text, &places).map(|line| format!("{file}:{line}")));
    }
    ensure!(found.is_empty(), "places of one machine in\n{}", found.join("\n"));
    Ok(())
}

/// Numbers and text of the lines in which one of `places` begins a path.
fn lines_with<'a>(text: &'a str, places: &'a [&str]) -> impl Iterator<Item = String> + 'a {
    let begins_path = |line: &str, place: &str| {
        line.match_indices(place)
            .any(|(at, _)| !line[..at].ends_with(|before: char| before.is_alphanumeric() || ".}~_-".contains(before)))
    };
    let lines = text.lines().enumerate();
    lines
        .filter(move |(_, line)| places.iter().any(|place| begins_path(line, place)))
        .map(|(index, line)| format!("{}: {}", index + 1, line.trim()))
}

/// All files that are under version control.
pub fn tracked(workspace: &Workspace) -> Result<Vec<String>> {
    let files = output(workspace.command("git").args(["ls-files", "-z"]))?;
    Ok(files.split_terminator('\0').map(str::to_owned).collect())
}

/// What differs from the commit, as git says.
pub fn changes(workspace: &Workspace) -> Result<String> {
    output(workspace.command("git").args(["status", "--porcelain"]))
}

/// Nothing was changed or left behind since `before`.
pub fn untouched(workspace: &Workspace, before: &str) -> Result<()> {
    let now = changes(workspace)?;
    let new: Vec<_> = now.lines().filter(|line| !before.lines().any(|old| old == *line)).collect();
    ensure!(new.is_empty(), "the run changed or left files in the tree:\n{}", new.join("\n"));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_found_where_it_begins() {
        let places = ["/places/"];
        let text = "see /places/ann\nin ${X}/places/ and docs/places/\n\"/places/bob\"";
        let found: Vec<_> = lines_with(text, &places).collect();
        assert_eq!(found, ["1: see /places/ann", "3: \"/places/bob\""]);
    }
}
