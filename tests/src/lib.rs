//! A cluster of real processes for tests: the built binaries, real ports, real signals.
//!
//! Owns what it starts: when a [`Cluster`] is dropped, its processes are gone. Nothing here sleeps for a guess; what
//! takes time is awaited with a deadline ([`eventually`]).

pub mod chaos;
pub mod cluster;
pub mod counts;
pub mod deadline;
pub mod disk;
pub mod footprint;
pub mod hdfs;
pub mod hosts;
pub mod meetings;
pub mod output;
pub mod programs;
pub mod s3;
pub mod troubled_proxy;

pub use cluster::{Cluster, ClusterOptions};
pub use deadline::{eventually, within};
pub use disk::Disk;
pub use hdfs::Hdfs;
pub use hosts::Hosts;
pub use s3::S3Server;
pub use troubled_proxy::{Trouble, TroubledProxy};
