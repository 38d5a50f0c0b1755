//! Scripts as a user writes them, planned and run in this process.

#[path = "sql/gathering.rs"]
mod gathering;
#[path = "sql/nexmark.rs"]
mod nexmark;
#[path = "sql/scripts.rs"]
mod scripts;
