//! The command line client: plans a user's program, submits it, and asks the cluster about jobs.
//!
//! ```text
//!  client run ARTIFACT args ─► ARTIFACT (role plan) ─► JobGraph ─┬─► JobManager (gRPC): artifact, by digest
//!                                                                └─► JobManager (gRPC): submit, await
//! ```
//!
//! Owns no state: every call starts from the cluster's answer. What it prints follows Flink's client; results go to
//! standard output, problems to standard error ([`output`]), and the exit code is 0 exactly when the verb did what it says.

pub mod artifact;
pub mod cluster;
pub mod command;
pub mod habits;
pub mod output;
pub mod plan;
pub mod sql;
pub mod verb;
