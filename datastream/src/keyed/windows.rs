//! Window assigners under Flink's names.

use std::time::Duration;

use pelton_runtime_core::window::{InvalidWindow, TimeDomain, WindowAssigner};

/// Milliseconds of a duration of the program; those beyond what fits are as good as for ever.
pub(super) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[track_caller]
fn valid(assigner: Result<WindowAssigner, InvalidWindow>) -> WindowAssigner {
    match assigner {
        Ok(assigner) => assigner,
        Err(error) => panic!("{error}"),
    }
}

macro_rules! tumbling {
    ($(#[$doc:meta])* $name:ident, $domain:ident) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub enum $name {}

        impl $name {
            /// Windows of this size.
            ///
            /// # Panics
            ///
            /// When the size is below a millisecond.
            #[track_caller]
            pub fn of(size: Duration) -> WindowAssigner {
                valid(WindowAssigner::tumbling(millis(size), 0, TimeDomain::$domain))
            }

            /// Windows of this size that start `offset` after multiples of it.
            ///
            /// # Panics
            ///
            /// When the size is below a millisecond or the offset not below the size.
            #[track_caller]
            pub fn with_offset(size: Duration, offset: Duration) -> WindowAssigner {
                valid(WindowAssigner::tumbling(millis(size), millis(offset), TimeDomain::$domain))
            }
        }
    };
}

macro_rules! sliding {
    ($(#[$doc:meta])* $name:ident, $domain:ident) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub enum $name {}

        impl $name {
            /// Windows of this size, one every `slide`.
            ///
            /// # Panics
            ///
            /// When size or slide are below a millisecond.
            #[track_caller]
            pub fn of(size: Duration, slide: Duration) -> WindowAssigner {
                valid(WindowAssigner::sliding(millis(size), millis(slide), 0, TimeDomain::$domain))
            }

            /// Windows of this size, one every `slide`, that start `offset` after multiples of the slide.
            ///
            /// # Panics
            ///
            /// When size or slide are below a millisecond or the offset is not below the slide.
            #[track_caller]
            pub fn with_offset(size: Duration, slide: Duration, offset: Duration) -> WindowAssigner {
                valid(WindowAssigner::sliding(millis(size), millis(slide), millis(offset), TimeDomain::$domain))
            }
        }
    };
}

macro_rules! session {
    ($(#[$doc:meta])* $name:ident, $domain:ident) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub enum $name {}

        impl $name {
            /// Windows that end when a key is silent for `gap`.
            ///
            /// # Panics
            ///
            /// When the gap is below a millisecond.
            #[track_caller]
            pub fn with_gap(gap: Duration) -> WindowAssigner {
                valid(WindowAssigner::session(millis(gap), TimeDomain::$domain))
            }
        }
    };
}

tumbling!(
    /// Windows side by side, closed by watermarks.
    TumblingEventTimeWindows,
    EventTime
);
tumbling!(
    /// Windows side by side, closed by the wall clock.
    TumblingProcessingTimeWindows,
    ProcessingTime
);
sliding!(
    /// Windows that overlap, closed by watermarks.
    SlidingEventTimeWindows,
    EventTime
);
sliding!(
    /// Windows that overlap, closed by the wall clock.
    SlidingProcessingTimeWindows,
    ProcessingTime
);
session!(
    /// Windows of activity of each key, closed by watermarks.
    EventTimeSessionWindows,
    EventTime
);
session!(
    /// Windows of activity of each key, closed by the wall clock.
    ProcessingTimeSessionWindows,
    ProcessingTime
);
