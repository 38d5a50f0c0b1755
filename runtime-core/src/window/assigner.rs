//! To which windows a record belongs, and when a window is over.
//!
//! Pure arithmetic on milliseconds that saturates instead of overflowing, for records and watermarks may carry any time.

use crate::time::EpochMillis;

/// Which clock closes windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TimeDomain {
    /// Watermarks; records carry their own time.
    EventTime,
    /// The wall clock; a record's time is that of its arrival.
    ProcessingTime,
}

/// A window that nothing could be assigned to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidWindow {
    /// A length is zero or negative.
    #[error("{what} of a window must be positive, not {millis} ms")]
    NotPositive {
        /// Which length.
        what: &'static str,
        /// Its value.
        millis: i64,
    },
    /// The offset does not lie within one window.
    #[error("a window's offset must be smaller than its {what} of {length} ms, not {offset} ms")]
    OffsetTooLarge {
        /// What bounds it.
        what: &'static str,
        /// The bound.
        length: i64,
        /// The offset.
        offset: i64,
    },
    /// Records are never late by a negative time.
    #[error("the allowed lateness must not be negative, but is {millis} ms")]
    NegativeLateness {
        /// Its value.
        millis: i64,
    },
}

/// How time is cut into windows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WindowAssigner {
    /// Windows of `size_ms` that start every `slide_ms`, at times that leave the remainder `offset_ms`. Tumbling windows
    /// slide by their size.
    Aligned {
        /// Length of a window.
        size_ms: i64,
        /// Distance between the starts of windows.
        slide_ms: i64,
        /// Shifts every start.
        offset_ms: i64,
        /// Which clock closes them.
        domain: TimeDomain,
    },
    /// Windows that last as long as no gap of `gap_ms` is between a key's records.
    Session {
        /// The silence that ends a session.
        gap_ms: i64,
        /// Which clock closes them.
        domain: TimeDomain,
    },
}

impl WindowAssigner {
    /// Windows of `size_ms` side by side.
    ///
    /// # Errors
    ///
    /// When the size is not positive or the offset not smaller than it.
    pub fn tumbling(size_ms: i64, offset_ms: i64, domain: TimeDomain) -> Result<Self, InvalidWindow> {
        positive("size", size_ms)?;
        within("size", size_ms, offset_ms)?;
        Ok(Self::Aligned { size_ms, slide_ms: size_ms, offset_ms, domain })
    }

    /// Windows of `size_ms` that start every `slide_ms`.
    ///
    /// # Errors
    ///
    /// When size or slide are not positive or the offset is not smaller than the slide.
    pub fn sliding(size_ms: i64, slide_ms: i64, offset_ms: i64, domain: TimeDomain) -> Result<Self, InvalidWindow> {
        positive("size", size_ms)?;
        positive("slide", slide_ms)?;
        within("slide", slide_ms, offset_ms)?;
        Ok(Self::Aligned { size_ms, slide_ms, offset_ms, domain })
    }

    /// Windows that end after a silence of `gap_ms`.
    ///
    /// # Errors
    ///
    /// When the gap is not positive.
    pub fn session(gap_ms: i64, domain: TimeDomain) -> Result<Self, InvalidWindow> {
        positive("gap", gap_ms)?;
        Ok(Self::Session { gap_ms, domain })
    }

    /// Which clock closes the windows.
    pub const fn domain(&self) -> TimeDomain {
        match self {
            Self::Aligned { domain, .. } | Self::Session { domain, .. } => *domain,
        }
    }
}

fn positive(what: &'static str, millis: i64) -> Result<(), InvalidWindow> {
    if millis > 0 { Ok(()) } else { Err(InvalidWindow::NotPositive { what, millis }) }
}

fn within(what: &'static str, length: i64, offset: i64) -> Result<(), InvalidWindow> {
    if offset.unsigned_abs() < length.unsigned_abs() {
        Ok(())
    } else {
        Err(InvalidWindow::OffsetTooLarge { what, length, offset })
    }
}

/// The start of the last window at or before `time`, of those that start every `slide_ms` shifted by `offset_ms`.
#[inline(always)]
pub fn window_start(time: EpochMillis, offset_ms: i64, slide_ms: i64) -> EpochMillis {
    match time.checked_sub(offset_ms) {
        Some(shifted) => time.saturating_sub(shifted.rem_euclid(slide_ms)),
        None => {
            let remainder = (i128::from(time) - i128::from(offset_ms)).rem_euclid(i128::from(slide_ms));
            // The remainder is below the slide, which is an i64.
            time.saturating_sub(remainder as i64)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::TimeWindow;
    use super::*;

    proptest! {
        #[test]
        fn a_time_lies_in_the_window_that_starts_last_before_it(
            time: i64, slide in 1..i64::MAX, offset: i64,
        ) {
            let offset = offset % slide;
            let start = window_start(time, offset, slide);
            prop_assert!(start <= time);
            if start > i64::MIN {
                prop_assert!(i128::from(time) - i128::from(start) < i128::from(slide));
                prop_assert_eq!((i128::from(start) - i128::from(offset)).rem_euclid(i128::from(slide)), 0);
            }
        }
    }

    #[test]
    fn windows_start_at_multiples_of_their_size_plus_the_offset() {
        assert_eq!(window_start(0, 0, 10), 0);
        assert_eq!(window_start(9, 0, 10), 0);
        assert_eq!(window_start(-1, 0, 10), -10);
        assert_eq!(window_start(12, 3, 10), 3);
        assert_eq!(window_start(2, 3, 10), -7);
        assert_eq!(window_start(2, -3, 10), -3);
    }

    #[test]
    fn nonsense_is_refused_with_its_numbers() {
        let refused = |assigner: Result<WindowAssigner, InvalidWindow>| assigner.unwrap_err().to_string();
        let event = TimeDomain::EventTime;
        assert_eq!(refused(WindowAssigner::tumbling(0, 0, event)), "size of a window must be positive, not 0 ms");
        assert_eq!(
            refused(WindowAssigner::sliding(10, 5, 5, event)),
            "a window's offset must be smaller than its slide of 5 ms, not 5 ms"
        );
        assert!(WindowAssigner::session(-1, event).is_err());
        assert_eq!(window_start(i64::MIN, 0, 7), i64::MIN);
        assert!(TimeWindow::new(5, i64::MAX).max_timestamp() == i64::MAX - 1);
    }
}
