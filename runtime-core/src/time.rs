//! Points in time: event time and wall time in epoch milliseconds, and a monotonic clock for durations.

use std::fmt;
use std::time::Duration;

/// Milliseconds since the Unix epoch, UTC; used for event time and for wall-clock time alike.
pub type EpochMillis = i64;

/// Event time that is later than every record's: nothing can follow it.
pub const MAX_WATERMARK: EpochMillis = i64::MAX;

/// Event time before every record's: no watermark has been seen.
pub const MIN_WATERMARK: EpochMillis = i64::MIN;

/// A point on the monotonic clock of one process, in nanoseconds since an arbitrary start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Moment(pub u64);

impl Moment {
    /// A moment that is never reached.
    pub const NEVER: Self = Self(u64::MAX);

    /// The time from `earlier` to here, zero when `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// This moment and `delay`, saturating at [`Moment::NEVER`].
    pub fn after(self, delay: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(delay.as_nanos()).unwrap_or(u64::MAX)))
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "+{:?}", Duration::from_nanos(self.0))
    }
}
