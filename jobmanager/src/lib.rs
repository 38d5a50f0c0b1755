//! The JobManager: takes jobs, runs a JobMaster for each, and shows the cluster to those outside.
//!
//! ```text
//!  REST ─► ClusterPort ─┐                     ┌─► JobMaster (one per job) ─► JobScheduler
//!  gRPC ─► rpc ─────────┴─► Dispatcher ───────┘         │ needs, starts, stops
//!                 └───────► ResourceManager ◄───────────┘
//! ```
//!
//! Everything that waits is an actor with a handle; what decides lives in `pelton-runtime-core`'s `scheduler`.

mod blob;
mod cluster;
mod dispatcher;
mod job_master;
#[cfg(test)]
mod manual_world;
mod operations;
mod own_logs;
mod process_metrics;
mod resource_manager;
pub mod rest;
mod rpc;
mod server;
mod start;
pub mod view;

pub use blob::BlobError;
pub use dispatcher::ProgramSource;
pub use own_logs::OwnLogs;
pub use server::BindError;
pub use start::{JobManager, StartError, StartOptions, start};
