//! How live the figures in REST answers are.

use std::time::Duration;

use crate::config::option::options;

options! {
    "Metrics";

    /// How old the figures in REST answers may be.
    FETCHER_UPDATE_INTERVAL: Duration = "metrics.fetcher.update-interval", default "10 s";
}
