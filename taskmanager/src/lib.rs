//! The TaskManager: a supervisor, one per host, and the workers it guards, one per job.
//!
//! ```text
//!                 ┌─ registration ◄─────────► JobManager
//!  task_manager ──┼─ supervisor (decides) ──► launcher ─┬─► guard ─► worker process
//!                 └─ rpc: logs, threads                 └─► in_process (embedded cluster)
//! ```
//!
//! The supervisor owns slots, artifacts, the memory budget, logs and the processes. It runs no user code: that is the
//! [`worker`]'s business, which is a process of its own in production and a component in the embedded cluster.

pub mod artifact;
pub mod guard;
pub mod launcher;
mod memory;
mod network;
mod registration;
mod rpc;
mod settings;
mod supervisor;
mod task_manager;
pub mod worker;
mod workspace;

pub use network::NoPort;
pub use registration::NeverRegistered;
pub use task_manager::{StartError, TaskManager, Workers, start};
pub use workspace::WorkspaceError;
