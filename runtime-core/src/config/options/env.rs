//! What the scripts in `bin/` set up for the processes they start.

use crate::config::option::options;
use crate::config::value::{LocalPath, LogLevel};

options! {
    "Processes and logs";

    /// Folder of the log files. `PELTON_LOG_DIR` and `FLINK_LOG_DIR` win over it.
    LOG_DIR: Option<LocalPath> = "env.log.dir", shown "`log` beside `bin`";

    /// The least important messages that are logged.
    LOG_LEVEL: LogLevel = "env.log.level", default "INFO";

    /// How many old log files are kept of every process.
    LOG_MAX: u32 = "env.log.max", default "10";

    /// Folder in which `start-cluster` remembers the processes that `stop-cluster` ends.
    PID_DIR: LocalPath = "env.pid.dir", default "/tmp";
}
