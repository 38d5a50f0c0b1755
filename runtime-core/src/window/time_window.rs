//! A window of time.

use std::fmt;

use crate::time::EpochMillis;

/// The times `start..end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimeWindow {
    /// First millisecond.
    pub start: EpochMillis,
    /// One past the last millisecond.
    pub end: EpochMillis,
}

impl TimeWindow {
    /// The window `start..end`.
    pub const fn new(start: EpochMillis, end: EpochMillis) -> Self {
        Self { start, end }
    }

    /// The last millisecond that belongs to the window; its results carry this time.
    pub const fn max_timestamp(&self) -> EpochMillis {
        self.end.saturating_sub(1)
    }

    /// Whether the windows overlap or touch, which is when sessions merge.
    pub const fn intersects(&self, other: &Self) -> bool {
        self.start <= other.end && self.end >= other.start
    }

    /// The smallest window that covers both.
    #[must_use]
    pub fn cover(&self, other: &Self) -> Self {
        Self { start: self.start.min(other.start), end: self.end.max(other.end) }
    }
}

impl fmt::Display for TimeWindow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TimeWindow{{start={}, end={}}}", self.start, self.end)
    }
}
