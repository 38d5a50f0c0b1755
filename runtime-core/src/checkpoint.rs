//! Checkpoints: what state looks like when it leaves its operator, and what decides about it.
//!
//! ```text
//!  operator ── snapshot ──► tables ── one file per subtask ──► storage ── all files durable ──► record (create-if-absent)
//!  operator ◄── restore ─── tables ◄─ rows of my key groups ── storage ◄─────────────────────── record
//! ```
//!
//! Owns the form in which state is handed over ([`snapshot`]), its form in bytes ([`state_file`], [`record`]) and its
//! place ([`layout`], [`store`] above the port [`storage`]). A table is an Arrow batch, so that any backend can write
//! it, any backend can read it, and its schema is stored with it.

mod body;
pub mod coordinator;
mod envelope;
pub mod in_flight;
pub mod layout;
pub mod matching;
pub mod record;
pub mod snapshot;
pub mod state_file;
pub mod statistics;
pub mod storage;
pub mod store;
