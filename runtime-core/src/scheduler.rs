//! What decides about slots, executions and failures; plain synchronous code.
//!
//! ```text
//!  need ──► slots::SlotMatching ──► grant        facts ──► job::JobScheduler ──► actions
//! ```
//!
//! No clock, channel or I/O: callers bring the time and perform the actions.

pub mod heartbeat;
pub mod job;
pub mod restart;
pub mod slots;
pub mod status;
