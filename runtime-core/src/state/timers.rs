//! Timers of keys: a sorted set of (time, namespace, slot).
//!
//! A timer is registered once however often it is asked for, and fires in the order of time. The queue does not keep its
//! keys alive: whoever registers a timer for a slot must not free the slot before the timer is gone
//! (see [`TimerQueue::registered`], which answers whether there was one already).

use std::collections::BTreeSet;

use super::Slot;
use crate::time::EpochMillis;

/// The timers of one time domain; `N` is the namespace, `()` for functions without windows.
#[derive(Debug)]
pub struct TimerQueue<N = ()> {
    timers: BTreeSet<(EpochMillis, N, Slot)>,
}

impl<N: Ord + Copy> Default for TimerQueue<N> {
    fn default() -> Self {
        Self { timers: BTreeSet::new() }
    }
}

impl<N: Ord + Copy> TimerQueue<N> {
    /// Registers a timer; answers `false` when it was registered already.
    pub fn register(&mut self, time: EpochMillis, namespace: N, slot: Slot) -> bool {
        self.timers.insert((time, namespace, slot))
    }

    /// Deletes a timer; answers `false` when there was none.
    pub fn delete(&mut self, time: EpochMillis, namespace: N, slot: Slot) -> bool {
        self.timers.remove(&(time, namespace, slot))
    }

    /// Whether the timer is registered.
    pub fn registered(&self, time: EpochMillis, namespace: N, slot: Slot) -> bool {
        self.timers.contains(&(time, namespace, slot))
    }

    /// Takes the earliest timer that is due at `time`. Timers that are registered while earlier ones fire take part.
    pub fn pop_due(&mut self, time: EpochMillis) -> Option<(EpochMillis, N, Slot)> {
        if self.timers.first()?.0 <= time { self.timers.pop_first() } else { None }
    }

    /// The earliest timer.
    pub fn first(&self) -> Option<(EpochMillis, N, Slot)> {
        self.timers.first().copied()
    }

    /// When the earliest timer is due.
    pub fn next(&self) -> Option<EpochMillis> {
        self.first().map(|timer| timer.0)
    }

    /// Every timer, in the order of time.
    pub fn iter(&self) -> impl Iterator<Item = (EpochMillis, N, Slot)> + '_ {
        self.timers.iter().copied()
    }

    /// Number of timers.
    pub fn len(&self) -> usize {
        self.timers.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.timers.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timers_fire_once_and_in_the_order_of_time() {
        let mut timers = TimerQueue::default();
        for (time, slot) in [(30, 1), (10, 7), (20, 0), (10, 7), (10, 3)] {
            timers.register(time, (), slot);
        }
        assert!(timers.delete(20, (), 0));
        assert!(!timers.delete(20, (), 0));
        let mut fired = Vec::new();
        while let Some((time, (), slot)) = timers.pop_due(25) {
            fired.push((time, slot));
            if time == 10 && slot == 3 {
                timers.register(12, (), 3);
                timers.register(26, (), 3);
            }
        }
        assert_eq!(fired, [(10, 3), (10, 7), (12, 3)]);
        assert_eq!(timers.next(), Some(26));
    }
}
