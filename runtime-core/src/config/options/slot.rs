//! How long jobs wait for slots and slots for jobs.

use std::time::Duration;

use crate::config::option::options;

options! {
    "Slots";

    /// How long a job waits for the slots it needs before it fails.
    REQUEST_TIMEOUT: Duration = "slot.request.timeout", default "5 min";

    /// How long a job keeps the slots of a worker whose subtasks have all finished, while others of its subtasks go on.
    IDLE_TIMEOUT: Duration = "slot.idle.timeout", default "50 s";
}
