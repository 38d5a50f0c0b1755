//! What every Pelton process does before and around its real work: read its configuration, write its log, hear
//! signals, say what its machine is, give memory back, and reach others.
//!
//! ```text
//!  flags ──► Configuration ──► logging ──► the process's own work ──► signals ──► exit code
//! ```
//!
//! Knows nothing of jobs and clusters.

pub mod allocator;
pub mod channel;
pub mod flags;
pub mod limits;
pub mod log_files;
pub mod logging;
pub mod machine;
pub mod panics;
pub mod rotating_file;
pub mod signals;
