//! The user's guide: built as a book, every page of it in the table of contents, and no link of any document dead.
//!
//! Only links within the tree are followed; what others publish may move without a change here.

mod links;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::tool;
use crate::workspace::{Workspace, check};

use super::sources::tracked;

const BOOK: &str = "docs";

/// Builds the book and follows the links of all documents.
pub fn run(workspace: &Workspace) -> Result<()> {
    let mdbook = tool::MDBOOK.ensure(workspace)?;
    check(workspace.command(mdbook).args(["build", BOOK, "--dest-dir"]).arg(workspace.built("guide")))?;
    let documents: Vec<_> = tracked(workspace)?.into_iter().filter(|file| file.ends_with(".md")).collect();
    let mut found = unlisted(workspace, &documents)?;
    for document in &documents {
        let text = read(&workspace.path(document))?;
        let dead =
            links::of(&text).into_iter().filter_map(|link| Some((dead(workspace, document, &link.target)?, link)));
        found.extend(dead.map(|(why, link)| format!("{document}:{}: `{}` {why}", link.line, link.target)));
    }
    ensure!(found.is_empty(), "documents that do not fit together:\n{}", found.join("\n"));
    Ok(())
}

/// Pages of the book that its table of contents does not name.
fn unlisted(workspace: &Workspace, documents: &[String]) -> Result<Vec<String>> {
    let contents = format!("{BOOK}/SUMMARY.md");
    let listed: BTreeSet<_> = links::of(&read(&workspace.path(&contents))?)
        .into_iter()
        .map(|link| format!("{BOOK}/{}", link.target))
        .collect();
    let pages = documents.iter().filter(|file| file.starts_with(&format!("{BOOK}/")) && **file != contents);
    Ok(pages
        .filter(|page| !listed.contains(*page))
        .map(|page| format!("{page}: {contents} does not list it"))
        .collect())
}

/// What is wrong with a link of a document, if something is.
fn dead(workspace: &Workspace, document: &str, target: &str) -> Option<String> {
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let (path, anchor) = target.split_once('#').map_or((target, None), |(path, anchor)| (path, Some(anchor)));
    let folder = workspace.path(document).parent().map(Path::to_owned).unwrap_or_default();
    let file: PathBuf = if path.is_empty() { workspace.path(document) } else { folder.join(path) };
    if !file.exists() {
        return Some("leads nowhere".to_owned());
    }
    let anchor = anchor?;
    let text = fs::read_to_string(&file).ok()?;
    (!links::anchors(&text).contains(anchor)).then(|| "leads to a page without that heading".to_owned())
}

fn read(file: &Path) -> Result<String> {
    fs::read_to_string(file).with_context(|| format!("cannot read `{}`", file.display()))
}
