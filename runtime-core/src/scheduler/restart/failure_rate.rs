//! `failure-rate`: restarts as long as failures do not come too fast.

use std::collections::VecDeque;
use std::time::Duration;

use super::{RestartDecision, RestartStrategy, millis};
use crate::failure::FailureCause;
use crate::time::EpochMillis;

/// `restart-strategy.failure-rate.*`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FailureRateSettings {
    /// How many failures within the interval are answered with a restart; at least 1.
    pub max_failures_per_interval: u32,
    /// The interval.
    pub interval: Duration,
    /// The pause before a restart.
    pub delay: Duration,
}

/// Restarts unless there were too many failures lately.
#[derive(Debug, Clone)]
pub struct FailureRate {
    settings: FailureRateSettings,
    /// Failures that were answered with a restart, the oldest first, at most as many as an interval may have.
    restarted: VecDeque<EpochMillis>,
}

impl FailureRate {
    /// A job that has not failed yet.
    pub fn new(settings: FailureRateSettings) -> Self {
        Self { settings, restarted: VecDeque::new() }
    }
}

impl RestartStrategy for FailureRate {
    fn on_failure(&mut self, _cause: &FailureCause, now: EpochMillis) -> RestartDecision {
        let interval = millis(self.settings.interval);
        while self.restarted.front().is_some_and(|&at| now.saturating_sub(at) > interval) {
            self.restarted.pop_front();
        }
        if self.restarted.len() >= self.settings.max_failures_per_interval as usize {
            return RestartDecision::Fail;
        }
        self.restarted.push_back(now);
        RestartDecision::Restart { delay: self.settings.delay }
    }

    fn name(&self) -> String {
        let FailureRateSettings { max_failures_per_interval, interval, delay } = self.settings;
        // The repeated name is Flink's.
        format!(
            "FailureRateRestartBackoffTimeStrategy(FailureRateRestartBackoffTimeStrategy(failuresIntervalMS={},\
             backoffTimeMS={},maxFailuresPerInterval={max_failures_per_interval})",
            millis(interval),
            millis(delay),
        )
    }
}
