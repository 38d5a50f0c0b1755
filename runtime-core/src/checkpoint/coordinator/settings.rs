//! How checkpoints of a job are taken and kept.

use std::time::Duration;

use crate::config::options::{checkpointing, web};
use crate::config::{CheckpointRetention, CheckpointingMode, Configuration};
use crate::scheduler::status::JobStatus;

/// How checkpoints of a job are taken and kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckpointSettings {
    /// From the beginning of one to that of the next; none for a job that takes no checkpoints, but savepoints that are
    /// asked for.
    pub interval: Option<Duration>,
    /// How long one may take until all tasks have acknowledged.
    pub timeout: Duration,
    /// From the end of one to the beginning of the next at least.
    pub min_pause: Duration,
    /// How many may be on their way at once.
    pub max_concurrent: u32,
    /// How often a record may count.
    pub mode: CheckpointingMode,
    /// How old a checkpoint must be before its barriers overtake records; none if they never do.
    pub unaligned_after: Option<Duration>,
    /// Whether one may name files of an earlier one again.
    pub incremental: bool,
    /// How many may fail in a row before the job does.
    pub tolerable_failures: u32,
    /// How many are kept.
    pub retained: u32,
    /// Whether they are kept after the job's end.
    pub retention: Retention,
    /// How many the statistics remember.
    pub history: usize,
}

impl CheckpointSettings {
    /// What a configuration says.
    pub fn of(configuration: &Configuration) -> Self {
        let interval = configuration.get(&checkpointing::INTERVAL).filter(|interval| !interval.is_zero());
        let min_pause = configuration.get(&checkpointing::MIN_PAUSE);
        let max_concurrent = configuration.get(&checkpointing::MAX_CONCURRENT);
        let mode = configuration.get(&checkpointing::MODE);
        let unaligned = configuration.get(&checkpointing::UNALIGNED) && mode == CheckpointingMode::ExactlyOnce;
        let unaligned_after = unaligned.then(|| configuration.get(&checkpointing::ALIGNED_TIMEOUT));
        Self {
            interval,
            timeout: configuration.get(&checkpointing::TIMEOUT),
            min_pause,
            // A pause between checkpoints and two at once contradict each other; the pause wins, as in Flink. And what
            // is in flight is recorded for one checkpoint at a time.
            max_concurrent: if min_pause.is_zero() && unaligned_after.is_none() { max_concurrent } else { 1 },
            mode,
            unaligned_after,
            incremental: configuration.get(&checkpointing::INCREMENTAL),
            tolerable_failures: configuration.get(&checkpointing::TOLERABLE_FAILURES),
            retained: configuration.get(&checkpointing::NUM_RETAINED),
            retention: match configuration.get(&checkpointing::RETENTION) {
                CheckpointRetention::NoExternalizedCheckpoints => Retention::NoExternalizedCheckpoints,
                CheckpointRetention::DeleteOnCancellation => Retention::DeleteOnCancellation,
                CheckpointRetention::RetainOnCancellation => Retention::RetainOnCancellation,
            },
            history: configuration.get(&web::CHECKPOINT_HISTORY) as usize,
        }
    }
}

/// What happens to checkpoints when their job is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retention {
    /// They are removed.
    NoExternalizedCheckpoints,
    /// Kept when the job failed.
    DeleteOnCancellation,
    /// Kept when the job failed or was cancelled.
    RetainOnCancellation,
}

impl Retention {
    /// Whether the checkpoints of a job that ended like this stay. A suspended job may go on elsewhere.
    pub fn keeps_after(self, status: JobStatus) -> bool {
        match status {
            JobStatus::Suspended => true,
            JobStatus::Canceled => self == Self::RetainOnCancellation,
            JobStatus::Failed => self != Self::NoExternalizedCheckpoints,
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(settings: &[(&str, &str)]) -> CheckpointSettings {
        let map = settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        CheckpointSettings::of(&Configuration::from_map(map).expect("valid"))
    }

    #[test]
    fn without_an_interval_there_are_no_checkpoints() {
        assert_eq!(of(&[]).interval, None);
        assert_eq!(of(&[("execution.checkpointing.interval", "0 ms")]).interval, None);
    }

    #[test]
    fn defaults_are_flinks() {
        let settings = of(&[("execution.checkpointing.interval", "5 s")]);
        let expected = CheckpointSettings {
            interval: Some(Duration::from_secs(5)),
            timeout: Duration::from_secs(600),
            min_pause: Duration::ZERO,
            max_concurrent: 1,
            mode: CheckpointingMode::ExactlyOnce,
            unaligned_after: None,
            incremental: false,
            tolerable_failures: 0,
            retained: 1,
            retention: Retention::NoExternalizedCheckpoints,
            history: 10,
        };
        assert_eq!(settings, expected);
    }

    #[test]
    fn a_pause_means_one_at_a_time() {
        let settings = of(&[
            ("execution.checkpointing.interval", "5 s"),
            ("execution.checkpointing.min-pause", "1 s"),
            ("execution.checkpointing.max-concurrent-checkpoints", "4"),
        ]);
        assert_eq!(settings.max_concurrent, 1);
    }

    #[test]
    fn barriers_overtake_only_where_records_count_once_and_one_checkpoint_at_a_time() {
        let unaligned = |more: &[(&str, &str)]| {
            let of_all = [
                ("execution.checkpointing.interval", "5 s"),
                ("execution.checkpointing.max-concurrent-checkpoints", "4"),
                ("execution.checkpointing.unaligned.enabled", "true"),
            ];
            let settings = of(&[&of_all, more].concat());
            (settings.unaligned_after, settings.max_concurrent)
        };
        assert_eq!(unaligned(&[]), (Some(Duration::ZERO), 1));
        let later = ("execution.checkpointing.aligned-checkpoint-timeout", "3 s");
        assert_eq!(unaligned(&[later]), (Some(Duration::from_secs(3)), 1));
        assert_eq!(unaligned(&[("execution.checkpointing.mode", "AT_LEAST_ONCE"), later]), (None, 4));
    }

    #[test]
    fn what_is_not_built_is_refused() {
        for (key, value, expected) in [
            ("execution.checkpointing.interval", "5 ms", "at least 10 ms"),
            ("state.backend.type", "forst", "`forst` is not supported"),
            ("state.backend", "forst", "`forst` is not supported"),
            ("execution.checkpointing.data-inline-threshold", "2 mb", "at most 1 mb"),
        ] {
            let error = Configuration::from_map([(key.to_owned(), value.to_owned())].into()).expect_err(key);
            assert!(error.to_string().contains(expected), "{error}");
        }
    }
}
