//! What the licences of all dependencies allow, checked by cargo-deny against `deny.toml`.

use anyhow::Result;

use crate::tool;
use crate::workspace::{Workspace, check};

/// Checks licences, bans and origins. Advisories change from day to day and are no property of a commit, so they are
/// not looked at here.
pub fn run(workspace: &Workspace) -> Result<()> {
    let deny = tool::CARGO_DENY.ensure(workspace)?;
    check(workspace.command(deny).args(["--locked", "check", "--hide-inclusion-graph", "licenses", "bans", "sources"]))
}
