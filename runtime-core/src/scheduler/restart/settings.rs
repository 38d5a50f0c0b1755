//! Which strategy a job is configured with.

use super::{
    ExponentialDelay, ExponentialDelaySettings, FailureRate, FailureRateSettings, FixedDelay, FixedDelaySettings,
    NoRestart, RestartStrategy, iso_8601,
};
use crate::config::{Configuration, RestartStrategyType, options};

/// A strategy and its figures.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum RestartSettings {
    /// Never.
    #[default]
    None,
    /// So many times.
    FixedDelay(FixedDelaySettings),
    /// Unless failures come too fast.
    FailureRate(FailureRateSettings),
    /// After pauses that grow.
    ExponentialDelay(ExponentialDelaySettings),
}

impl RestartSettings {
    /// What `configuration` says, or what follows when it says nothing: `exponential-delay` for a job with
    /// checkpoints, no restart for one without.
    pub fn from_configuration(configuration: &Configuration) -> Self {
        use options::restart_strategy as keys;
        let otherwise = if keys::checkpoints_are_on(configuration) {
            RestartStrategyType::ExponentialDelay
        } else {
            RestartStrategyType::None
        };
        match configuration.get(&keys::TYPE).unwrap_or(otherwise) {
            RestartStrategyType::None => Self::None,
            RestartStrategyType::FixedDelay => Self::FixedDelay(FixedDelaySettings {
                attempts: configuration.get(&keys::FIXED_DELAY_ATTEMPTS),
                delay: configuration.get(&keys::FIXED_DELAY_DELAY),
            }),
            RestartStrategyType::FailureRate => Self::FailureRate(FailureRateSettings {
                max_failures_per_interval: configuration.get(&keys::FAILURE_RATE_MAX_FAILURES_PER_INTERVAL),
                interval: configuration.get(&keys::FAILURE_RATE_INTERVAL),
                delay: configuration.get(&keys::FAILURE_RATE_DELAY),
            }),
            RestartStrategyType::ExponentialDelay => Self::ExponentialDelay(ExponentialDelaySettings {
                initial_backoff: configuration.get(&keys::EXPONENTIAL_DELAY_INITIAL_BACKOFF),
                max_backoff: configuration.get(&keys::EXPONENTIAL_DELAY_MAX_BACKOFF),
                multiplier: configuration.get(&keys::EXPONENTIAL_DELAY_BACKOFF_MULTIPLIER),
                reset_threshold: configuration.get(&keys::EXPONENTIAL_DELAY_RESET_BACKOFF_THRESHOLD),
                jitter: configuration.get(&keys::EXPONENTIAL_DELAY_JITTER_FACTOR),
                attempts: configuration.get(&keys::EXPONENTIAL_DELAY_ATTEMPTS),
            }),
        }
    }

    /// The decider for one job. `seed` decides about jitter.
    pub fn strategy(&self, seed: u64) -> Box<dyn RestartStrategy> {
        match *self {
            Self::None => Box::new(NoRestart),
            Self::FixedDelay(settings) => Box::new(FixedDelay::new(settings)),
            Self::FailureRate(settings) => Box::new(FailureRate::new(settings)),
            Self::ExponentialDelay(settings) => Box::new(ExponentialDelay::new(settings, seed)),
        }
    }

    /// The strategy in Flink's words for `/jobs/:id/config`.
    pub fn describe(&self) -> String {
        match self {
            Self::None => "Restart deactivated.".to_owned(),
            Self::FixedDelay(FixedDelaySettings { attempts, delay }) => {
                format!("Restart with fixed delay ({}). #{attempts} restart attempts.", iso_8601(*delay))
            }
            Self::FailureRate(FailureRateSettings { max_failures_per_interval, interval, delay }) => format!(
                "Failure rate restart with maximum of {max_failures_per_interval} failures within interval {} and \
                 fixed delay {}.",
                iso_8601(*interval),
                iso_8601(*delay)
            ),
            Self::ExponentialDelay(settings) => format!(
                "Restart with exponential delay: starting at {}, increasing by {:.6}, with maximum {}. \
                 Delay resets after {} with jitter {:.6}",
                iso_8601(settings.initial_backoff),
                settings.multiplier,
                iso_8601(settings.max_backoff),
                iso_8601(settings.reset_threshold),
                settings.jitter
            ),
        }
    }
}
