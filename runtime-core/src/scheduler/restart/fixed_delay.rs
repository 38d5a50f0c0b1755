//! `fixed-delay`: a number of restarts for the whole life of the job, the same pause before each.

use std::time::Duration;

use super::{RestartDecision, RestartStrategy, millis};
use crate::failure::FailureCause;
use crate::time::EpochMillis;

/// `restart-strategy.fixed-delay.*`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FixedDelaySettings {
    /// How many failures are answered with a restart.
    pub attempts: u32,
    /// The pause before a restart.
    pub delay: Duration,
}

/// Restarts so many times.
#[derive(Debug, Clone)]
pub struct FixedDelay {
    settings: FixedDelaySettings,
    failures: u32,
}

impl FixedDelay {
    /// A job that has not failed yet.
    pub fn new(settings: FixedDelaySettings) -> Self {
        Self { settings, failures: 0 }
    }
}

impl RestartStrategy for FixedDelay {
    fn on_failure(&mut self, _cause: &FailureCause, _now: EpochMillis) -> RestartDecision {
        if self.failures >= self.settings.attempts {
            return RestartDecision::Fail;
        }
        self.failures += 1;
        RestartDecision::Restart { delay: self.settings.delay }
    }

    fn name(&self) -> String {
        let FixedDelaySettings { attempts, delay } = self.settings;
        format!(
            "FixedDelayRestartBackoffTimeStrategy(maxNumberRestartAttempts={attempts}, backoffTimeMS={})",
            millis(delay)
        )
    }
}
