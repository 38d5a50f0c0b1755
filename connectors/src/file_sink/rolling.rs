//! When a part file is finished and the next begins: the deciding half of the file sink.

use std::time::Duration;

use pelton_runtime_core::operator::{OperatorError, OperatorResult};
use pelton_runtime_core::time::EpochMillis;

/// When a part is finished. The defaults are Flink's: 128 MiB, open for 60 s, 60 s without a record; and, unlike there, at
/// every checkpoint, so that results are visible as soon as they are safe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RollingPolicy {
    max_part_bytes: u64,
    rollover_interval: Duration,
    inactivity_interval: Duration,
    on_checkpoint: bool,
}

impl Default for RollingPolicy {
    fn default() -> Self {
        Self {
            max_part_bytes: 128 << 20,
            rollover_interval: Duration::from_secs(60),
            inactivity_interval: Duration::from_secs(60),
            on_checkpoint: true,
        }
    }
}

impl RollingPolicy {
    /// Parts are finished by checkpoints alone, as by Flink's `OnCheckpointRollingPolicy`. Without checkpoints a part ends
    /// with its input.
    pub fn only_on_checkpoint() -> Self {
        let never = Duration::MAX;
        Self { max_part_bytes: u64::MAX, rollover_interval: never, inactivity_interval: never, on_checkpoint: true }
    }

    /// Whether every checkpoint finishes the part. If not, a part goes on growing over checkpoints, as with Flink's
    /// `DefaultRollingPolicy`: files are fewer and visible later. Parquet files and objects of an object store are
    /// finished by every checkpoint nevertheless.
    #[must_use]
    pub fn roll_on_checkpoint(mut self, rolls: bool) -> Self {
        self.on_checkpoint = rolls;
        self
    }

    /// A part is finished when it has so many bytes, up to one batch more.
    #[must_use]
    pub fn max_part_bytes(mut self, bytes: u64) -> Self {
        self.max_part_bytes = bytes;
        self
    }

    /// A part is finished so long after its first record, in processing time.
    #[must_use]
    pub fn rollover_interval(mut self, interval: Duration) -> Self {
        self.rollover_interval = interval;
        self
    }

    /// A part is finished so long after its last record, in processing time.
    #[must_use]
    pub fn inactivity_interval(mut self, interval: Duration) -> Self {
        self.inactivity_interval = interval;
        self
    }

    pub(super) fn validate(&self) -> OperatorResult {
        if self.max_part_bytes == 0 {
            return Err(OperatorError::data("the file sink's parts cannot have at most 0 bytes"));
        }
        for (name, interval) in [("rollover", self.rollover_interval), ("inactivity", self.inactivity_interval)] {
            if interval.as_millis() == 0 {
                return Err(OperatorError::data(format!("the file sink's {name} interval is at least 1 ms")));
            }
        }
        Ok(())
    }

    pub(super) fn rolls_on_checkpoint(&self) -> bool {
        self.on_checkpoint
    }

    /// Whether a part of this age and size is finished.
    pub(super) fn is_due(&self, part: &PartAge, bytes: u64, now: EpochMillis) -> bool {
        bytes >= self.max_part_bytes || now >= self.deadline(part)
    }

    /// When a part is finished, if nothing is added to it.
    pub(super) fn deadline(&self, part: &PartAge) -> EpochMillis {
        let after = |time: EpochMillis, interval: Duration| {
            time.saturating_add(EpochMillis::try_from(interval.as_millis()).unwrap_or(EpochMillis::MAX))
        };
        after(part.opened, self.rollover_interval).min(after(part.last_record, self.inactivity_interval))
    }
}

/// When an open part got its records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PartAge {
    pub(super) opened: EpochMillis,
    pub(super) last_record: EpochMillis,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_finished_by_size_by_age_and_by_inactivity() {
        let policy = RollingPolicy::default()
            .max_part_bytes(10)
            .rollover_interval(Duration::from_millis(100))
            .inactivity_interval(Duration::from_millis(30));
        let part = PartAge { opened: 1000, last_record: 1050 };
        assert!(!policy.is_due(&part, 9, 1079));
        assert!(policy.is_due(&part, 10, 1050));
        assert!(policy.is_due(&part, 0, 1080));
        assert!(policy.is_due(&PartAge { opened: 1000, last_record: 1090 }, 0, 1100));
    }
}
