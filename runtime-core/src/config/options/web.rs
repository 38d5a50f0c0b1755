//! What the dashboard may do and how often it asks.

use std::time::Duration;

use crate::config::option::options;

options! {
    "Dashboard";

    /// How often the dashboard asks for news.
    REFRESH_INTERVAL: Duration = "web.refresh-interval", default "3 s",
        fallback ["jobmanager.web.refresh-interval"],
        must (|interval| !interval.is_zero(), "more than 0");

    /// Value of the header `Access-Control-Allow-Origin` in every answer.
    ACCESS_CONTROL_ALLOW_ORIGIN: String = "web.access-control-allow-origin", default "*",
        fallback ["jobmanager.web.access-control-allow-origin"];

    /// Whether the dashboard offers to cancel jobs.
    CANCEL_ENABLE: bool = "web.cancel.enable", default "true";

    /// How many checkpoints of a job REST answers remember in detail.
    CHECKPOINT_HISTORY: u32 = "web.checkpoints.history", default "10",
        fallback ["jobmanager.web.checkpoints.history"];

    /// How many failures of a job REST answers remember.
    EXCEPTION_HISTORY_SIZE: u32 = "web.exception-history-size", default "16",
        must (|failures| *failures > 0, "more than 0");
}
