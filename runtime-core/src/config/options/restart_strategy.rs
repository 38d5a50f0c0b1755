//! Whether and when a job that failed is tried again.

use std::time::Duration;

use crate::config::Configuration;
use crate::config::option::options;
use crate::config::value::RestartStrategyType;

options! {
    "Restart strategies";

    /// What happens when a job fails: `none` (also `off`, `disable`), `fixed-delay`, `failure-rate` or
    /// `exponential-delay`. If not set, jobs with checkpoints use `exponential-delay` and others fail.
    TYPE: Option<RestartStrategyType> = "restart-strategy.type", fallback ["restart-strategy"];

    /// How many failures `fixed-delay` answers with a restart.
    FIXED_DELAY_ATTEMPTS: u32 = "restart-strategy.fixed-delay.attempts", default "1";

    /// How long `fixed-delay` waits before a restart.
    FIXED_DELAY_DELAY: Duration = "restart-strategy.fixed-delay.delay", default "1 s";

    /// How many failures within the interval `failure-rate` answers with a restart.
    FAILURE_RATE_MAX_FAILURES_PER_INTERVAL: u32 = "restart-strategy.failure-rate.max-failures-per-interval",
        default "1",
        must (|failures| *failures > 0, "more than 0");

    /// The interval in which `failure-rate` counts.
    FAILURE_RATE_INTERVAL: Duration = "restart-strategy.failure-rate.failure-rate-interval", default "1 min",
        must (|interval| !interval.is_zero(), "more than 0");

    /// How long `failure-rate` waits before a restart.
    FAILURE_RATE_DELAY: Duration = "restart-strategy.failure-rate.delay", default "1 s";

    /// How long `exponential-delay` waits before the first restart.
    EXPONENTIAL_DELAY_INITIAL_BACKOFF: Duration = "restart-strategy.exponential-delay.initial-backoff", default "1 s",
        must (|backoff| backoff.as_millis() > 0, "at least 1 ms");

    /// The longest that `exponential-delay` waits before a restart.
    EXPONENTIAL_DELAY_MAX_BACKOFF: Duration = "restart-strategy.exponential-delay.max-backoff", default "1 min",
        must (|backoff| backoff.as_millis() > 0, "at least 1 ms");

    /// What `exponential-delay` multiplies its waiting time by after every failure.
    EXPONENTIAL_DELAY_BACKOFF_MULTIPLIER: f64 = "restart-strategy.exponential-delay.backoff-multiplier",
        default "1.5",
        must (|multiplier| *multiplier > 1.0, "more than 1");

    /// How long a job must run after a restart for the waiting time of `exponential-delay` to begin anew.
    EXPONENTIAL_DELAY_RESET_BACKOFF_THRESHOLD: Duration =
        "restart-strategy.exponential-delay.reset-backoff-threshold", default "1 h",
        must (|threshold| threshold.as_millis() > 0, "at least 1 ms");

    /// The share by which `exponential-delay` makes its waiting time longer or shorter at random, so that jobs that
    /// failed together do not come back together.
    EXPONENTIAL_DELAY_JITTER_FACTOR: f64 = "restart-strategy.exponential-delay.jitter-factor", default "0.1",
        must (|jitter| (0.0..=1.0).contains(jitter), "from 0 to 1");

    /// How many failures `exponential-delay` answers with a restart before its waiting time begins anew.
    EXPONENTIAL_DELAY_ATTEMPTS: Option<u32> = "restart-strategy.exponential-delay.attempts-before-reset-backoff",
        shown "infinite",
        must (|attempts| *attempts != Some(0), "at least 1");
}

/// Whether jobs of this configuration take checkpoints.
pub fn checkpoints_are_on(configuration: &Configuration) -> bool {
    configuration.get(&super::checkpointing::INTERVAL).is_some_and(|interval| !interval.is_zero())
}
