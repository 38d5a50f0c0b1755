//! What the benchmarks and the programs they measure share.
//!
//! ```text
//!  pelton-benches ──► bench-job   the job on Pelton, embedded or given to a cluster
//!                └──► by-hand     the same job as a person writes it in one thread
//! ```
//!
//! Every program is a process of its own, so that the operating system counts its time. Both sides make the same rows
//! ([`rows`]) and say what they came to ([`tally`]), and a benchmark in which they disagree is no result.
#![allow(clippy::disallowed_methods, reason = "a benchmark measures real time")]

pub mod histogram;
pub mod log;
pub mod mark;
pub mod rows;
pub mod tally;
pub mod window;
