//! Default parallelism, registration and shutdown of the processes of a cluster.

use std::time::Duration;

use crate::config::option::options;

options! {
    "Cluster";

    /// Parallelism of operators and jobs that say nothing else.
    DEFAULT_PARALLELISM: u32 = "parallelism.default", default "1",
        must (|parallelism| (1..=32_768).contains(parallelism), "between 1 and 32768");

    /// How long a process waits for the answer to its first attempt to register; doubled with every further one.
    REGISTRATION_INITIAL_TIMEOUT: Duration = "cluster.registration.initial-timeout", default "100 ms",
        must (|timeout| !timeout.is_zero(), "more than 0");

    /// The longest wait for the answer to an attempt to register.
    REGISTRATION_MAX_TIMEOUT: Duration = "cluster.registration.max-timeout", default "30 s",
        must (|timeout| !timeout.is_zero(), "more than 0");

    /// How long a process may take to end in good order before it ends anyway.
    SHUTDOWN_TIMEOUT: Duration = "cluster.services.shutdown-timeout", default "30 s";
}
