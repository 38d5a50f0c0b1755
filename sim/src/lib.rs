//! The simulator: a whole cluster on one thread, under one seed, in a world that breaks.
//!
//! ```text
//!   seed ──► dice ──► who runs next, how long everything takes, what breaks and when
//!
//!   jobmanager │ taskmanager 1 │ worker │ worker │ taskmanager 2 │ ...      the real code, each with its own Env
//!   ───────────┴───────────────┴────────┴────────┴───────────────────
//!   simulator: one run queue, one clock   network: connections   storage: files of checkpoints
//!
//!   outside: faults strike; checkers look at what was committed and stored, and know only the contract
//! ```
//!
//! Real are JobManager, TaskManagers and workers with all their actors and deciders, gRPC and the exchange with their
//! encodings, the tasks with their operators and state, the code of checkpoints, and the file sink, which writes to memory
//! files. Simulated are time, chance, processes, threads' turns, connections and the storage of checkpoints. A run is its
//! seed: the same seed does the same again, step by step.
//!
//! Bugs can be planted (`cargo xtask sim --planted`), to see that the checkers find them.
//!
//! Not there yet: the file sink's files do not fail, as they belong to the real system; object stores behind sources and sinks,
//! whose threads wait where the simulator does not see it; a JobManager that is killed, or several of them; RocksDB.
//! What gRPC's own timers guard (keep-alive, connection attempts) never strikes here: those timers are tokio's, and stand
//! still.

pub mod checkpoint_rules;
pub mod cluster;
pub mod faults;
pub mod launcher;
mod log;
pub mod network;
pub mod run;
pub mod simulator;
pub mod storage;
mod threads;
pub mod trace;
pub mod user;
pub mod workload;
pub mod world;
