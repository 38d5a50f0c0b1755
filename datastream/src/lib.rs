//! Pelton's DataStream API: distributed stream processing in Rust.
//!
//! A job is an ordinary program. It describes sources, operators and sinks on a [`StreamExecutionEnvironment`] and calls
//! `execute`. Run by hand, the job runs in a cluster embedded in the program; given to `client run`, the same program
//! runs on a cluster.

extern crate self as pelton;

/// Batches are allocated and freed by the thousand; glibc's allocator maps and unmaps each large one.
#[cfg(feature = "jemalloc")]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

pub mod accumulators;
pub mod async_io;
pub mod cep;
pub mod connected;
pub mod environment;
pub mod graph_builder;
#[cfg(any(test, doctest))]
mod guide;
pub mod joins;
pub mod keyed;
pub mod metrics;
pub mod operator_state;
pub mod parameters;
pub mod prelude;
pub mod record;
pub mod role;
pub mod sinks;
pub mod sources;
mod state_codec;
pub mod stream;
pub mod testing;
pub mod watermarks;

pub use environment::StreamExecutionEnvironment;
pub use pelton_runtime_core::failure::Unrecoverable;
pub use record::Record;
pub use role::{ExecuteError, JobClient, JobExecutionResult};
