//! The role `plan`: say what the job is, and end.

use std::io::Write;

use pelton_runtime_core::config::Configuration;
use pelton_runtime_core::graph::JobGraph;
use pelton_runtime_core::graph::planned::{PLAN_CONFIGURATION_VARIABLE, plan_line};

use super::Settings;

/// The settings that the client passes. A client writes valid JSON; by hand, anything else means no settings.
pub(super) fn configuration() -> Settings {
    std::env::var(PLAN_CONFIGURATION_VARIABLE)
        .ok()
        .and_then(|json| serde_json::from_str(&json).ok())
        .unwrap_or_default()
}

/// Describes the job to the client, with the folder that its relative paths are in unless `configuration` names one.
pub(super) fn print(mut graph: JobGraph, configuration: &Configuration) -> ! {
    graph.configuration.extend(super::working_directory(configuration));
    let mut stdout = std::io::stdout().lock();
    // A client that has gone away cannot be told more than the exit code.
    let written = stdout.write_all(plan_line(&graph).as_bytes()).and_then(|()| stdout.flush());
    std::process::exit(if written.is_ok() { 0 } else { 1 })
}
