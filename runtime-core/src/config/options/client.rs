//! How long clients wait.

use std::time::Duration;

use crate::config::option::options;

options! {
    "Client";

    /// How long a client waits for the answer to one request.
    TIMEOUT: Duration = "client.timeout", default "1 min", fallback ["akka.client.timeout"],
        must (|timeout| !timeout.is_zero(), "more than 0");

    /// How often an attached client asks whether its job has ended.
    RETRY_PERIOD: Duration = "client.retry-period", default "2 s",
        must (|period| !period.is_zero(), "more than 0");
}
