//! How a job is run.

use std::time::Duration;

use crate::config::option::options;
use crate::config::value::{LocalPath, RuntimeMode};

options! {
    "Execution";

    /// `STREAMING`, for bounded and unbounded input alike. Flink's other modes are refused.
    RUNTIME_MODE: RuntimeMode = "execution.runtime-mode", default "STREAMING";

    /// Whether batches wait at most `execution.buffer-timeout.interval` before they are sent. If not, they are
    /// sent when they are full or when the task runs out of input.
    BUFFER_TIMEOUT_ENABLED: bool = "execution.buffer-timeout.enabled", default "true";

    /// The longest that a record may wait for its batch to fill. A task that runs out of input sends at once,
    /// so this bound matters for busy tasks with rarely used outputs only; 0 sends after every input batch.
    BUFFER_TIMEOUT: Duration = "execution.buffer-timeout.interval", default "100 ms",
        fallback ["execution.buffer-timeout"];

    /// Whether `client run` waits for the end of the job.
    ATTACHED: bool = "execution.attached", default "true";

    /// The folder that relative paths of the job's sources and sinks are in, on every host. Unless set, it is the
    /// folder in which the program was started: by `client run`, or by hand.
    WORKING_DIRECTORY: Option<LocalPath> = "pelton.working-directory", shown "(where the program is started)",
        must (|path| path.as_ref().is_none_or(|path| path.0.is_absolute()), "which is absolute");
}
