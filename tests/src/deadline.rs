//! Waiting for conditions.

#![allow(clippy::disallowed_methods, reason = "tests run on the real clock")]

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How long a condition is not looked at, at first and at most. What takes long is looked at less often, so that the
/// looking costs nothing that counts and the time of what is awaited is known to 2 %.
const FIRST_GLANCE: Duration = Duration::from_millis(5);
const LAST_GLANCE: Duration = Duration::from_millis(200);
const GLANCES: u32 = 50;

/// How long a condition may take that normally holds within a second; the machine may be busy.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The value of `condition` as soon as there is one.
///
/// # Panics
///
/// When there is none within [`PATIENCE`]; `what` says what was awaited.
pub fn eventually<T>(what: &str, condition: impl FnMut() -> Option<T>) -> T {
    within(PATIENCE, what, condition)
}

/// The value of `condition` as soon as there is one.
///
/// # Panics
///
/// When there is none within `limit`; `what` says what was awaited.
pub fn within<T>(limit: Duration, what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(start.elapsed() < limit, "{what}: not within {limit:?}");
        std::thread::sleep((start.elapsed() / GLANCES).clamp(FIRST_GLANCE, LAST_GLANCE));
    }
}

/// What `work` answers, and how long it took.
pub fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let value = work();
    (value, start.elapsed())
}

/// The wall clock in milliseconds, as REST has it.
pub fn wall_clock() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
    i64::try_from(since.as_millis()).expect("a clock of this age")
}
