//! The worker: what runs the subtasks of one job.

pub mod setup;
