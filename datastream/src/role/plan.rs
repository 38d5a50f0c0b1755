//! The role `plan`: say what the job is, and end, or go on when it is submitted ([`super::attached`]).

use std::io::{self, Write};

use pelton_runtime_core::config::Configuration;
use pelton_runtime_core::graph::JobGraph;
use pelton_runtime_core::graph::planned::{PLAN_CONFIGURATION_VARIABLE, attached_plan_line, plan_line};

use super::Settings;

/// The settings that the client passes. A client writes valid JSON; by hand, anything else means no settings.
pub(super) fn configuration() -> Settings {
    std::env::var(PLAN_CONFIGURATION_VARIABLE)
        .ok()
        .and_then(|json| serde_json::from_str(&json).ok())
        .unwrap_or_default()
}

/// Describes the job to the client, and ends the process.
pub(super) fn print(graph: JobGraph, configuration: &Configuration) -> ! {
    // A client that has gone away cannot be told more than the exit code.
    let written = say(graph, configuration, plan_line);
    std::process::exit(if written.is_ok() { 0 } else { 1 })
}

/// Describes the job to the client, and says that the program goes on when it is submitted.
pub(super) fn describe(graph: JobGraph, configuration: &Configuration) -> io::Result<()> {
    say(graph, configuration, attached_plan_line)
}

/// With the folder that the job's relative paths are in, unless `configuration` names one.
fn say(mut graph: JobGraph, configuration: &Configuration, line: fn(&JobGraph) -> String) -> io::Result<()> {
    graph.configuration.extend(super::working_directory(configuration));
    let mut stdout = io::stdout().lock();
    stdout.write_all(line(&graph).as_bytes())?;
    stdout.flush()
}
