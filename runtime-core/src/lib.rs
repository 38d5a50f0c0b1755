//! The heart of Pelton: what a job is, how a task steps, how batches and control move, and what decides.
//!
//! Owns the domain types ([`id`], [`graph`]), the data model ([`element`]), the operator and source ports
//! ([`operator`], [`source`]), the task as a steppable state machine ([`task`]), the exchange between tasks
//! ([`exchange`]), keyed state behind a batched port ([`state`]), checkpoints ([`checkpoint`]), and the deciders
//! ([`scheduler`]).
//!
//! Knows no RocksDB, DataFusion, axum, Kubernetes or child processes. Time, randomness and spawning come from
//! [`env::Env`] alone.

pub mod accumulator;
pub mod checkpoint;
pub mod config;
pub mod element;
pub mod env;
pub mod exchange;
pub mod failure;
pub mod graph;
pub mod id;
pub mod key_group;
pub mod metrics;
pub mod operator;
pub mod planted;
pub mod results;
pub mod scheduler;
pub mod source;
pub mod state;
pub mod task;
pub mod time;
pub mod watermark_groups;
pub mod window;
pub mod wire;
