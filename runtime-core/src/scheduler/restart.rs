//! Whether a job that failed is tried again, and when: the restart strategies as deciders.
//!
//! ```text
//!  failure (cause, now) ──► RestartStrategy ──► Restart after a delay | Fail
//! ```
//!
//! A strategy remembers the failures it has seen and knows nothing else. It reads no clock and rolls no dice: the
//! time comes with the failure, the randomness of jitter from a seed. Words and numbers are Flink's.

mod exponential_delay;
mod failure_rate;
mod fixed_delay;
mod settings;

#[cfg(test)]
mod tests;

use std::fmt::Write;
use std::time::Duration;

pub use self::exponential_delay::{ExponentialDelay, ExponentialDelaySettings};
pub use self::failure_rate::{FailureRate, FailureRateSettings};
pub use self::fixed_delay::{FixedDelay, FixedDelaySettings};
pub use self::settings::RestartSettings;
use crate::failure::FailureCause;
use crate::time::EpochMillis;

/// What to do about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestartDecision {
    /// The job fails.
    Fail,
    /// What failed is deployed again.
    Restart {
        /// How long to wait before.
        delay: Duration,
    },
}

/// Decides about each failure of one job; remembers what it needs to.
pub trait RestartStrategy: Send {
    /// What to do about `cause`, which happened `now`.
    fn on_failure(&mut self, cause: &FailureCause, now: EpochMillis) -> RestartDecision;

    /// The strategy with its figures, as Flink names it where it says why a job is not restarted.
    fn name(&self) -> String;
}

/// Never restarts.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoRestart;

impl RestartStrategy for NoRestart {
    fn on_failure(&mut self, _cause: &FailureCause, _now: EpochMillis) -> RestartDecision {
        RestartDecision::Fail
    }

    fn name(&self) -> String {
        "NoRestartBackoffTimeStrategy".to_owned()
    }
}

/// Milliseconds on the scale of the wall clock.
fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// A duration in ISO 8601, as Flink writes it: `PT1M30S`.
fn iso_8601(duration: Duration) -> String {
    let (hours, minutes, seconds) = (duration.as_secs() / 3600, duration.as_secs() / 60 % 60, duration.as_secs() % 60);
    let mut text = "PT".to_owned();
    // Writing to a string cannot fail.
    if hours > 0 {
        let _ = write!(text, "{hours}H");
    }
    if minutes > 0 {
        let _ = write!(text, "{minutes}M");
    }
    match duration.subsec_nanos() {
        0 if seconds == 0 && text.len() > 2 => {}
        0 => drop(write!(text, "{seconds}S")),
        nanos => {
            let fraction = format!("{nanos:09}");
            let _ = write!(text, "{seconds}.{}S", fraction.trim_end_matches('0'));
        }
    }
    text
}
