//! The fallback for failures that no closed socket shows.

use std::time::Duration;

use crate::config::option::options;

options! {
    "Heartbeats";

    /// How often JobManager, TaskManagers and workers ask each other for a sign of life.
    INTERVAL: Duration = "heartbeat.interval", default "10 s",
        must (|interval| !interval.is_zero(), "more than 0");

    /// How long a peer may be silent before it counts as lost. Longer than `heartbeat.interval`.
    TIMEOUT: Duration = "heartbeat.timeout", default "50 s",
        must (|timeout| !timeout.is_zero(), "more than 0");
}
