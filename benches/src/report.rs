//! `RESULTS.md`: one section per benchmark, replaced when the benchmark runs again.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::machine;

const PREAMBLE: &str = "\
# Results

Written by `cargo xtask bench`; every section says when, where and by which command. Sides of a comparison take turns in
the same run, and figures are medians. On a busy machine elapsed times are worth less than ratios of CPU time.
";

/// What a benchmark found.
#[derive(Debug)]
pub struct Section {
    /// Its heading.
    pub title: &'static str,
    /// Markdown: what was compared, a table, and what to know about it.
    pub body: String,
}

/// The report's file.
#[derive(Debug)]
pub struct Report {
    path: PathBuf,
    /// Heading and text of each section.
    sections: Vec<(String, String)>,
}

impl Report {
    /// Reads what is there.
    pub fn open(path: &Path) -> Result<Self> {
        let text = if path.exists() {
            fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?
        } else {
            String::new()
        };
        let sections = text.split("\n## ").skip(1).filter_map(|section| section.split_once('\n'));
        Ok(Self {
            path: path.to_owned(),
            sections: sections.map(|(title, body)| (title.to_owned(), body.trim().to_owned())).collect(),
        })
    }

    /// Puts a section in the place of its predecessor and writes the file; answers with the section's text.
    pub fn put(&mut self, section: Section, command: &str, conditions: &str) -> Result<String> {
        let text = format!(
            "{}; {}. `{command}`. {conditions}.\n\n{}",
            machine::today(),
            machine::describe(),
            section.body.trim()
        );
        match self.sections.iter_mut().find(|(title, _)| title == section.title) {
            Some((_, old)) => old.clone_from(&text),
            None => self.sections.push((section.title.to_owned(), text.clone())),
        }
        let sections: String = self.sections.iter().map(|(title, text)| format!("\n## {title}\n\n{text}\n")).collect();
        fs::write(&self.path, format!("{PREAMBLE}{sections}"))
            .with_context(|| format!("cannot write {}", self.path.display()))?;
        Ok(text)
    }
}

/// Whether a target is met, as a word for tables.
pub fn verdict(met: bool) -> &'static str {
    if met { "met" } else { "**missed**" }
}
