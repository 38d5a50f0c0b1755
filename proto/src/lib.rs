//! The generated code of the control protocol, and how much of it may be under way at once.
//!
//! Wire types are not domain types: they are met in `runtime-core`'s `wire` and in the binaries' `rpc` modules.

#[allow(missing_docs, clippy::all, reason = "generated code")]
mod generated {
    tonic::include_proto!("pelton.v1");
}

pub mod transport;

pub use generated::*;
