//! The JobManager: takes jobs, runs a JobMaster for each, and shows the cluster to those outside.

pub mod rest;
pub mod view;
