//! Window assigners under Flink's names.

use std::time::Duration;

use pelton_runtime_core::window::{InvalidWindow, TimeDomain, WindowAssigner};

use crate::record::Record;
use crate::stream::Parallel;

use super::dynamic_sessions::DynamicSessionWindows;

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
            /// ```
            /// # use pelton::testing::Harness;
            /// # fn main() -> Result<(), pelton::testing::TestError> {
            /// # let mut harness = Harness::new();
            /// use std::time::Duration;
            ///
            #[doc = concat!("use pelton::keyed::", stringify!($name), ";")]
            ///
            /// let millis = Duration::from_millis;
            /// let (numbers, input) = harness.source::<i64>();
            #[doc = concat!("let windows = numbers.window_all(", stringify!($name), "::of(millis(10)));")]
            /// let sums = harness.collect(windows.reduce(|a, b| a + b));
            /// // Records come at their times.
            /// for (time, number) in [(0, 3), (9, 2), (10, 7)] {
            ///     harness.advance_processing_time(time)?;
            ///     harness.push(&input, [(number, time)])?;
            /// }
            /// harness.advance_processing_time(100)?;
            /// harness.end()?;
            /// assert_eq!(sums.take_records(), [3 + 2, 7]);
            /// # Ok(())
            /// # }
            /// ```
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
            /// ```
            /// # use pelton::testing::Harness;
            /// # fn main() -> Result<(), pelton::testing::TestError> {
            /// # let mut harness = Harness::new();
            /// use std::time::Duration;
            ///
            #[doc = concat!("use pelton::keyed::", stringify!($name), ";")]
            ///
            /// let millis = Duration::from_millis;
            /// let (numbers, input) = harness.source::<i64>();
            #[doc = concat!("let windows = numbers.window_all(", stringify!($name), "::with_offset(millis(10), millis(5)));")]
            /// let sums = harness.collect(windows.reduce(|a, b| a + b));
            /// // Records come at their times.
            /// for (time, number) in [(0, 3), (9, 2), (10, 7)] {
            ///     harness.advance_processing_time(time)?;
            ///     harness.push(&input, [(number, time)])?;
            /// }
            /// harness.advance_processing_time(100)?;
            /// harness.end()?;
            /// assert_eq!(sums.take_records(), [3, 2 + 7]);
            /// # Ok(())
            /// # }
            /// ```
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
            /// ```
            /// # use pelton::testing::Harness;
            /// # fn main() -> Result<(), pelton::testing::TestError> {
            /// # let mut harness = Harness::new();
            /// use std::time::Duration;
            ///
            #[doc = concat!("use pelton::keyed::", stringify!($name), ";")]
            ///
            /// let millis = Duration::from_millis;
            /// let (numbers, input) = harness.source::<i64>();
            #[doc = concat!("let windows = numbers.window_all(", stringify!($name), "::of(millis(10), millis(5)));")]
            /// let sums = harness.collect(windows.reduce(|a, b| a + b));
            /// // Records come at their times.
            /// for (time, number) in [(0, 3), (9, 2), (10, 7)] {
            ///     harness.advance_processing_time(time)?;
            ///     harness.push(&input, [(number, time)])?;
            /// }
            /// harness.advance_processing_time(100)?;
            /// harness.end()?;
            /// assert_eq!(sums.take_records(), [3, 3 + 2, 2 + 7, 7]);
            /// # Ok(())
            /// # }
            /// ```
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
            /// ```
            /// # use pelton::testing::Harness;
            /// # fn main() -> Result<(), pelton::testing::TestError> {
            /// # let mut harness = Harness::new();
            /// use std::time::Duration;
            ///
            #[doc = concat!("use pelton::keyed::", stringify!($name), ";")]
            ///
            /// let millis = Duration::from_millis;
            /// let (numbers, input) = harness.source::<i64>();
            #[doc = concat!("let windows = numbers.window_all(", stringify!($name), "::with_offset(millis(10), millis(5), millis(2)));")]
            /// let sums = harness.collect(windows.reduce(|a, b| a + b));
            /// // Records come at their times.
            /// for (time, number) in [(0, 3), (9, 2), (10, 7)] {
            ///     harness.advance_processing_time(time)?;
            ///     harness.push(&input, [(number, time)])?;
            /// }
            /// harness.advance_processing_time(100)?;
            /// harness.end()?;
            /// assert_eq!(sums.take_records(), [3, 3, 2 + 7, 2 + 7]);
            /// # Ok(())
            /// # }
            /// ```
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
    ($(#[$doc:meta])* $name:ident, $domain:ident, $(#[$dynamic:meta])*) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub enum $name {}

        impl $name {
            /// Windows that end when a key is silent for `gap`.
            ///
            /// ```
            /// # use pelton::testing::Harness;
            /// # fn main() -> Result<(), pelton::testing::TestError> {
            /// # let mut harness = Harness::new();
            /// use std::time::Duration;
            ///
            #[doc = concat!("use pelton::keyed::", stringify!($name), ";")]
            ///
            /// let millis = Duration::from_millis;
            /// let (numbers, input) = harness.source::<i64>();
            #[doc = concat!("let windows = numbers.window_all(", stringify!($name), "::with_gap(millis(5)));")]
            /// let sums = harness.collect(windows.reduce(|a, b| a + b));
            /// // Records come at their times.
            /// for (time, number) in [(0, 3), (9, 2), (10, 7)] {
            ///     harness.advance_processing_time(time)?;
            ///     harness.push(&input, [(number, time)])?;
            /// }
            /// harness.advance_processing_time(100)?;
            /// harness.end()?;
            /// assert_eq!(sums.take_records(), [3, 2 + 7]);
            /// # Ok(())
            /// # }
            /// ```
            ///
            /// # Panics
            ///
            /// When the gap is below a millisecond.
            #[track_caller]
            pub fn with_gap(gap: Duration) -> WindowAssigner {
                valid(WindowAssigner::session(millis(gap), TimeDomain::$domain))
            }

            /// Windows that end when a key is silent for as long as `gap` says of a record. A record does not shorten what
            /// an earlier one said. A gap below a millisecond fails the job.
            ///
            $(#[$dynamic])*
            pub fn with_dynamic_gap<T: Record>(
                gap: impl Fn(&T) -> Duration + Parallel,
            ) -> DynamicSessionWindows<T> {
                DynamicSessionWindows::new(gap, TimeDomain::$domain)
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
    EventTime,
    /// ```
    /// # use pelton::testing::Harness;
    /// # fn main() -> Result<(), pelton::testing::TestError> {
    /// # let mut harness = Harness::new();
    /// use std::time::Duration;
    ///
    /// use pelton::keyed::EventTimeSessionWindows;
    /// use pelton::record::field;
    ///
    /// // Who watches a video (user, page, length in milliseconds) is expected back when it is over.
    /// let (visits, input) = harness.source::<(String, String, i64)>();
    /// let back_within = |visit: &(String, String, i64)| Duration::from_millis(visit.2.unsigned_abs() + 10);
    /// let pages = visits
    ///     .key_by(field::<0, _>())
    ///     .window(EventTimeSessionWindows::with_dynamic_gap(back_within))
    ///     .process(|_user, _window, visits, out| out.collect(visits.len() as i64));
    /// let pages = harness.collect::<i64>(pages);
    /// harness.push(&input, [(("ann", "home", 0), 0), (("ann", "video", 100), 9)])?;
    /// harness.push(&input, [(("ann", "home", 0), 110), (("ann", "home", 0), 130)])?;
    /// harness.end()?;
    /// assert_eq!(pages.take_records(), [3, 1]);
    /// # Ok(())
    /// # }
    /// ```
);
session!(
    /// Windows of activity of each key, closed by the wall clock.
    ProcessingTimeSessionWindows,
    ProcessingTime,
    /// ```
    /// # use pelton::testing::Harness;
    /// # fn main() -> Result<(), pelton::testing::TestError> {
    /// # let mut harness = Harness::new();
    /// use std::time::Duration;
    ///
    /// use pelton::keyed::ProcessingTimeSessionWindows;
    /// use pelton::record::field;
    ///
    /// let (visits, input) = harness.source::<(String, i64)>();
    /// let back_within = |visit: &(String, i64)| Duration::from_millis(visit.1.unsigned_abs());
    /// let windows = visits.key_by(field::<0, _>()).window(ProcessingTimeSessionWindows::with_dynamic_gap(back_within));
    /// let sums = harness.collect(windows.sum(field::<1, _>()));
    /// harness.push_untimed(&input, [("ann", 100), ("bob", 10)])?;
    /// harness.advance_processing_time(50)?;
    /// assert_eq!(sums.take_records(), [("bob".to_owned(), 10)]);
    /// # Ok(())
    /// # }
    /// ```
);
