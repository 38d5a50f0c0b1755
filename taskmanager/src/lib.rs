//! The TaskManager: a supervisor, one per host, and the workers it guards, one per job.
//!
//! The supervisor owns slots, artifacts, the memory budget, logs and the processes. It runs no user code: that is the
//! [`worker`]'s business, which is a process of its own in production and a component in the embedded cluster.

pub mod worker;
