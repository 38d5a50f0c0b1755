//! A real TaskManager and real processes, with a JobManager that does what the test says.

#![allow(clippy::unwrap_used, reason = "these are tests")]

mod cluster;
mod job_manager;
mod lives;
mod machine;
mod orphans;
mod serves;
