//! Scripts and properties of the strategies.

use proptest::prelude::*;

use super::*;
use crate::config::{Configuration, Origin};
use crate::failure::FailureClass;

fn configured(settings: &[(&str, &str)]) -> RestartSettings {
    let settings = settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    let configuration = Configuration::default().with_overrides(settings, &Origin::Job).expect("valid");
    RestartSettings::from_configuration(&configuration)
}

fn exponential(settings: &[(&str, &str)]) -> Box<dyn RestartStrategy> {
    let long = |key: &str| format!("restart-strategy.exponential-delay.{key}");
    let mut all: Vec<(String, &str)> = settings.iter().map(|(key, value)| (long(key), *value)).collect();
    all.push(("restart-strategy.type".to_owned(), "exponential-delay"));
    let all: Vec<(&str, &str)> = all.iter().map(|(key, value)| (key.as_str(), *value)).collect();
    configured(&all).strategy(7)
}

/// Fails at these milliseconds and collects the pauses; `-` stands for the end of the job.
fn pauses(mut strategy: Box<dyn RestartStrategy>, failures: &[i64]) -> Vec<String> {
    let cause = FailureCause::new(FailureClass::User, "broken", 0);
    let decisions = failures.iter().map(|&now| match strategy.on_failure(&cause, now) {
        RestartDecision::Fail => "-".to_owned(),
        RestartDecision::Restart { delay } => delay.as_millis().to_string(),
    });
    decisions.collect()
}

#[test]
fn fixed_delay_counts_failures_for_ever() {
    let settings = [
        ("restart-strategy.type", "fixed-delay"),
        ("restart-strategy.fixed-delay.attempts", "2"),
        ("restart-strategy.fixed-delay.delay", "3 s"),
    ];
    let settings = configured(&settings);
    assert_eq!(pauses(settings.strategy(0), &[0, 1_000_000, 2_000_000]), ["3000", "3000", "-"]);
    assert_eq!(settings.describe(), "Restart with fixed delay (PT3S). #2 restart attempts.");
    let name = "FixedDelayRestartBackoffTimeStrategy(maxNumberRestartAttempts=2, backoffTimeMS=3000)";
    assert_eq!(settings.strategy(0).name(), name);
}

#[test]
fn failure_rate_forgets_failures_that_are_older_than_its_interval() {
    let settings = [
        ("restart-strategy.type", "failure-rate"),
        ("restart-strategy.failure-rate.max-failures-per-interval", "2"),
        ("restart-strategy.failure-rate.failure-rate-interval", "1 min"),
        ("restart-strategy.failure-rate.delay", "500 ms"),
    ];
    let settings = configured(&settings);
    assert_eq!(pauses(settings.strategy(0), &[0, 30_000, 60_001, 60_002]), ["500", "500", "500", "-"]);
    assert_eq!(
        settings.describe(),
        "Failure rate restart with maximum of 2 failures within interval PT1M and fixed delay PT0.5S."
    );
}

#[test]
fn exponential_delay_grows_to_its_maximum_and_begins_anew_after_a_quiet_time() {
    let settings = [
        ("initial-backoff", "1 s"),
        ("backoff-multiplier", "2.0"),
        ("max-backoff", "4 s"),
        ("jitter-factor", "0"),
        ("reset-backoff-threshold", "1 min"),
    ];
    let failures = [0, 2_000, 5_000, 10_000, 20_000, 84_000];
    assert_eq!(pauses(exponential(&settings), &failures), ["1000", "2000", "4000", "4000", "4000", "1000"]);
}

#[test]
fn exponential_delay_takes_failures_during_a_pause_for_one() {
    let settings = [("jitter-factor", "0"), ("attempts-before-reset-backoff", "1")];
    assert_eq!(pauses(exponential(&settings), &[0, 400, 1000, 1001]), ["1000", "600", "0", "-"]);
}

#[test]
fn a_clock_that_was_set_back_does_not_prolong_a_pause() {
    let settings = [("jitter-factor", "0"), ("backoff-multiplier", "2.0")];
    assert_eq!(pauses(exponential(&settings), &[1_000_000_000, 0]), ["1000", "2000"]);
}

#[test]
fn what_is_not_configured_follows_from_checkpoints() {
    assert_eq!(configured(&[]), RestartSettings::None);
    let exponential = configured(&[("execution.checkpointing.interval", "10 s")]);
    assert_eq!(
        exponential.describe(),
        "Restart with exponential delay: starting at PT1S, increasing by 1.500000, with maximum PT1M. \
         Delay resets after PT1H with jitter 0.100000"
    );
    let off = [("execution.checkpointing.interval", "10 s"), ("restart-strategy.type", "off")];
    assert_eq!(configured(&off), RestartSettings::None);
}

#[test]
fn every_name_of_a_strategy_is_understood() {
    for name in ["none", "off", "disable", "disabled", "None"] {
        assert_eq!(configured(&[("restart-strategy.type", name)]), RestartSettings::None);
    }
    for name in ["fixed-delay", "fixeddelay", "FIXED-DELAY"] {
        assert!(matches!(configured(&[("restart-strategy", name)]), RestartSettings::FixedDelay(_)));
    }
    for name in ["failure-rate", "failurerate"] {
        assert!(matches!(configured(&[("restart-strategy.type", name)]), RestartSettings::FailureRate(_)));
    }
    for name in ["exponential-delay", "exponentialdelay"] {
        assert!(matches!(configured(&[("restart-strategy.type", name)]), RestartSettings::ExponentialDelay(_)));
    }
}

#[test]
fn durations_are_written_as_flink_writes_them() {
    let written = [(0, "PT0S"), (500, "PT0.5S"), (60_000, "PT1M"), (90_000, "PT1M30S"), (3_600_000, "PT1H")];
    for (ms, text) in written {
        assert_eq!(iso_8601(Duration::from_millis(ms)), text);
    }
}

proptest! {
    #[test]
    fn pauses_of_exponential_delay_stay_within_their_bounds(
        seed in any::<u64>(),
        initial in 1..5_000u64,
        more in 0..100_000u64,
        multiplier in 1.01..10.0f64,
        jitter in 0.0..=1.0f64,
        gaps in prop::collection::vec(0..10_000_000i64, 1..40),
    ) {
        let settings = ExponentialDelaySettings {
            initial_backoff: Duration::from_millis(initial),
            max_backoff: Duration::from_millis(initial + more),
            multiplier,
            reset_threshold: Duration::from_secs(3600),
            jitter,
            attempts: None,
        };
        let cause = FailureCause::new(FailureClass::User, "broken", 0);
        let mut strategy = ExponentialDelay::new(settings, seed);
        let mut again = ExponentialDelay::new(settings, seed);
        let mut now = 0;
        let mut waiting_until = -1;
        for gap in gaps {
            now += gap;
            let decision = strategy.on_failure(&cause, now);
            prop_assert_eq!(decision, again.on_failure(&cause, now), "the same seed gives the same pauses");
            let RestartDecision::Restart { delay } = decision else {
                return Err(TestCaseError::fail("it never gives up"));
            };
            let delay = millis(delay);
            if now <= waiting_until {
                prop_assert_eq!(now + delay, waiting_until);
            } else {
                prop_assert!(delay >= initial as i64 && delay <= (initial + more) as i64, "{}", delay);
            }
            waiting_until = now + delay;
        }
    }

    #[test]
    fn no_interval_sees_more_restarts_than_failure_rate_allows(
        max in 1..5u32,
        interval in 1..10_000u64,
        gaps in prop::collection::vec(0..5_000i64, 1..60),
    ) {
        let settings = FailureRateSettings {
            max_failures_per_interval: max,
            interval: Duration::from_millis(interval),
            delay: Duration::ZERO,
        };
        let cause = FailureCause::new(FailureClass::User, "broken", 0);
        let mut strategy = FailureRate::new(settings);
        let mut now = 0;
        let mut restarts: Vec<i64> = Vec::new();
        for gap in gaps {
            now += gap;
            let lately = restarts.iter().filter(|&&at| now - at <= interval as i64).count();
            let expected = lately < max as usize;
            let restarted = strategy.on_failure(&cause, now) != RestartDecision::Fail;
            prop_assert_eq!(restarted, expected);
            if restarted {
                restarts.push(now);
            }
        }
    }
}
