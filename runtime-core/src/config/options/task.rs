//! What happens to tasks that do not end when told to.

use std::time::Duration;

use crate::config::option::options;

options! {
    "Cancelling tasks";

    /// How often a task that is being cancelled is told so again.
    CANCELLATION_INTERVAL: Duration = "task.cancellation.interval", default "30 s",
        fallback ["task.cancellation-interval"],
        must (|interval| !interval.is_zero(), "more than 0");

    /// How long a task may take to end after being told so; then the job's worker process is killed, and
    /// nothing else. 0 waits for ever.
    CANCELLATION_TIMEOUT: Duration = "task.cancellation.timeout", default "3 min";
}
