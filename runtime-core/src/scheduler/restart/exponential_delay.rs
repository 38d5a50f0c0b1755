//! `exponential-delay`: pauses that grow from failure to failure, until the job has run well for a while.

use std::time::Duration;

use super::{RestartDecision, RestartStrategy, millis};
use crate::failure::FailureCause;
use crate::time::EpochMillis;

/// `restart-strategy.exponential-delay.*`
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ExponentialDelaySettings {
    /// The first pause.
    pub initial_backoff: Duration,
    /// The longest pause.
    pub max_backoff: Duration,
    /// What each pause is multiplied by for the next one; more than 1.
    pub multiplier: f64,
    /// How long the job must run after a restart for the pauses to begin anew.
    pub reset_threshold: Duration,
    /// The share of a pause that it may be longer or shorter by, 0 to 1.
    pub jitter: f64,
    /// How many failures are answered with a restart before the pauses begin anew; none for any number.
    pub attempts: Option<u32>,
}

/// Restarts after pauses that grow.
#[derive(Debug, Clone)]
pub struct ExponentialDelay {
    settings: ExponentialDelaySettings,
    /// Restarts since the pauses began anew.
    attempt: u32,
    /// When the last pause ends, or ended.
    next_restart: Option<EpochMillis>,
    dice: u64,
}

impl ExponentialDelay {
    /// A job that has not failed yet; `seed` decides about jitter.
    pub fn new(settings: ExponentialDelaySettings, seed: u64) -> Self {
        Self { settings, attempt: 0, next_restart: None, dice: seed }
    }

    /// The pause before the next restart.
    fn pause_ms(&mut self) -> i64 {
        let ExponentialDelaySettings { initial_backoff, max_backoff, multiplier, jitter, .. } = self.settings;
        let (initial, max) = (millis(initial_backoff), millis(max_backoff).max(millis(initial_backoff)));
        let exponent = i32::try_from(self.attempt).unwrap_or(i32::MAX);
        // Casts from floats saturate, and the bounds hold whatever they make.
        let pause = (initial as f64 * multiplier.powi(exponent)).min(max as f64);
        let offset = pause * jitter * self.roll();
        ((pause + offset) as i64).clamp(initial, max)
    }

    /// A number from -1 to 1 (SplitMix64).
    fn roll(&mut self) -> f64 {
        self.dice = self.dice.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.dice;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^= bits >> 31;
        bits as f64 / u64::MAX as f64 * 2.0 - 1.0
    }
}

impl RestartStrategy for ExponentialDelay {
    fn on_failure(&mut self, _cause: &FailureCause, now: EpochMillis) -> RestartDecision {
        let longest = millis(self.settings.max_backoff).max(millis(self.settings.initial_backoff));
        match self.next_restart {
            // Part of the failure that is being waited out. A clock that was set back is no reason to wait longer.
            Some(next) if now <= next && next.saturating_sub(now) <= longest => {
                return RestartDecision::Restart { delay: Duration::from_millis(next.abs_diff(now)) };
            }
            Some(next) if now.saturating_sub(next) >= millis(self.settings.reset_threshold) => self.attempt = 0,
            _ => {}
        }
        if self.settings.attempts.is_some_and(|attempts| self.attempt >= attempts) {
            return RestartDecision::Fail;
        }
        let pause = self.pause_ms();
        self.attempt = self.attempt.saturating_add(1);
        self.next_restart = Some(now.saturating_add(pause));
        RestartDecision::Restart { delay: Duration::from_millis(pause.unsigned_abs()) }
    }

    fn name(&self) -> String {
        let settings = &self.settings;
        // `infinite` is the greatest number of Flink's.
        let attempts = settings.attempts.map_or(i64::from(i32::MAX), i64::from);
        format!(
            "ExponentialDelayRestartBackoffTimeStrategy(initialBackoffMS={}, maxBackoffMS={}, backoffMultiplier={:?}, \
             resetBackoffThresholdMS={}, jitterFactor={:?}, attemptsBeforeResetBackoff={attempts}, \
             currentRestartAttempt={}, nextRestartTimestamp={})",
            millis(settings.initial_backoff),
            millis(settings.max_backoff),
            settings.multiplier,
            millis(settings.reset_threshold),
            settings.jitter,
            self.attempt,
            self.next_restart.unwrap_or(i64::from(i32::MIN)),
        )
    }
}
