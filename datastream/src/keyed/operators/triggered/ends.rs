//! When something is due in windows with triggers: a timer of the trigger, or the window's end.

use pelton_runtime_core::time::EpochMillis;
use pelton_runtime_core::window::{TimeDomain, TimeWindow};

use super::entries::Entry;

/// Both clocks, in the order of an operator's alarms.
pub(super) const CLOCKS: [TimeDomain; 2] = [TimeDomain::EventTime, TimeDomain::ProcessingTime];

/// When windows are dropped, and by which clock: not at all, if there is one without end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ends {
    pub(super) domain: Option<TimeDomain>,
    pub(super) allowed_lateness_ms: i64,
}

impl Ends {
    /// When a window is dropped.
    pub(super) fn of(self, window: &TimeWindow) -> Option<EpochMillis> {
        match self.domain? {
            TimeDomain::EventTime => Some(window.max_timestamp().saturating_add(self.allowed_lateness_ms)),
            TimeDomain::ProcessingTime => Some(window.max_timestamp()),
        }
    }

    /// When something is due in a window by `clock`.
    fn due<H, S, W>(self, entry: &Entry<H, S, W>, clock: TimeDomain) -> Option<EpochMillis> {
        let end = if self.domain == Some(clock) { self.of(&entry.window) } else { None };
        entry.timers(clock).iter().copied().chain(end).min()
    }

    /// When the first of a key's windows is due by `clock`.
    pub(super) fn first_due<H, S, W>(self, entries: &[Entry<H, S, W>], clock: TimeDomain) -> Option<EpochMillis> {
        entries.iter().filter_map(|entry| self.due(entry, clock)).min()
    }
}

/// Where the alarms of a clock are.
pub(super) fn position_of(clock: TimeDomain) -> usize {
    match clock {
        TimeDomain::EventTime => 0,
        TimeDomain::ProcessingTime => 1,
    }
}
