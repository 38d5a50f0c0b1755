//! Whether silence can be trusted.
//!
//! Who looks after heartbeats wakes up once per interval. One that wakes up much later did not run: the process was
//! stopped (SIGSTOP, a paused machine), and what was said meanwhile still waits to be read. It must not take its own
//! absence for the others' silence, so it gives everybody a fresh timeout.

use std::time::Duration;

use crate::time::Moment;

/// How long the process did not run, when it wakes up `now` and wanted to at `due`; none when it is just a bit late.
///
/// A bit is half an interval: peers whose timeout is at least 2.5 intervals are then never lost for such a pause.
pub fn pause(due: Moment, now: Moment, interval: Duration) -> Option<Duration> {
    let late = now.since(due);
    (late > interval / 2).then_some(late)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn being_late_by_more_than_half_an_interval_is_a_pause() {
        let (due, interval) = (Moment(1000), Duration::from_nanos(100));
        for (now, expected) in [(900, None), (1000, None), (1050, None), (1051, Some(51)), (9000, Some(8000))] {
            assert_eq!(pause(due, Moment(now), interval), expected.map(Duration::from_nanos), "{now}");
        }
    }
}
