//! Credit accounting of one channel: how much may be sent, and when the receiver gives more.
//!
//! Credit is counted in bytes of frame bodies, which both sides know exactly. Records, watermarks and the like may be
//! sent while credit is above zero, so the last frame may overdraw it. Barriers and the end of input need none, so that
//! they never wait for a slow consumer; they are few. What is ahead of a barrier that overtakes it at the receiver goes
//! without credit too, and the sender counts it until credit has come for it, so that a channel holds no more than
//! otherwise, only more of it at the receiver. The receiver returns credit when a quarter of the capacity has
//! been consumed; as less than that is never enough to use up all credit, the sender is never stuck.

use crate::element::CONTROL_ELEMENT_BYTES;

/// What a frame with a body of `body_bytes` costs.
pub(super) fn cost_bytes(body_bytes: usize) -> usize {
    body_bytes.max(CONTROL_ELEMENT_BYTES)
}

/// The sender's side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct SendCredit {
    opened: bool,
    bytes: i64,
}

impl SendCredit {
    /// Credit has come; the first says that the channel is open.
    pub(super) fn grant(&mut self, bytes: u64) {
        self.opened = true;
        self.bytes = self.bytes.saturating_add(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    pub(super) fn spend(&mut self, cost_bytes: usize) {
        self.bytes = self.bytes.saturating_sub(i64::try_from(cost_bytes).unwrap_or(i64::MAX));
    }

    /// How much was sent without credit and has not been returned.
    pub(super) fn overdraft_bytes(self) -> usize {
        usize::try_from(self.bytes.saturating_neg().max(0)).unwrap_or(usize::MAX)
    }

    /// Whether elements that need no credit may go.
    pub(super) const fn is_open(self) -> bool {
        self.opened
    }

    /// Whether any element may go.
    pub(super) const fn has_credit(self) -> bool {
        self.opened && self.bytes > 0
    }
}

/// The receiver's side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ReceiveCredit {
    capacity: i64,
    /// Arrived and not returned yet, consumed or not.
    outstanding: i64,
    /// Consumed and not returned yet.
    owed: i64,
}

impl ReceiveCredit {
    pub(super) fn new(capacity_bytes: usize) -> Self {
        // Without any credit nothing would ever move.
        let capacity = i64::try_from(capacity_bytes).unwrap_or(i64::MAX / 4).clamp(1, i64::MAX / 4);
        Self { capacity, outstanding: 0, owed: 0 }
    }

    /// What the sender may start with.
    pub(super) const fn initial(self) -> u64 {
        self.capacity.unsigned_abs()
    }

    /// Whether a sender that keeps the rules can have had credit. The sender never knows of more than this side.
    pub(super) const fn has_credit(self) -> bool {
        self.outstanding < self.capacity
    }

    pub(super) fn arrived(&mut self, cost_bytes: usize) {
        self.outstanding = self.outstanding.saturating_add(i64::try_from(cost_bytes).unwrap_or(i64::MAX));
    }

    /// So much was consumed; how much to return now.
    pub(super) fn consumed(&mut self, cost_bytes: usize) -> Option<u64> {
        self.owed = self.owed.saturating_add(i64::try_from(cost_bytes).unwrap_or(i64::MAX));
        if self.owed < (self.capacity / 4).max(1) {
            return None;
        }
        self.outstanding -= self.owed;
        Some(std::mem::take(&mut self.owed).unsigned_abs())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever the sizes and however late everything happens: the sender is never stuck with an empty channel, the
        /// receiver never sees data without credit, and holds at most its capacity and one frame.
        #[test]
        fn a_channel_is_bounded_and_never_stuck(
            capacity in 0_usize..5000,
            frames in proptest::collection::vec(64_usize..4000, 1..50),
            delays in proptest::collection::vec(any::<bool>(), 200),
        ) {
            let mut receiver = ReceiveCredit::new(capacity);
            let mut sender = SendCredit::default();
            sender.grant(receiver.initial());
            let mut queued = std::collections::VecDeque::new();
            let mut returning: Vec<u64> = Vec::new();
            let mut delays = delays.into_iter().cycle();
            for &frame in &frames {
                while !sender.has_credit() {
                    if delays.next().unwrap_or(true) && !returning.is_empty() {
                        sender.grant(returning.remove(0));
                    } else if let Some(cost) = queued.pop_front() {
                        returning.extend(receiver.consumed(cost));
                    } else {
                        prop_assert!(!returning.is_empty(), "stuck");
                    }
                }
                sender.spend(frame);
                prop_assert!(receiver.has_credit());
                receiver.arrived(frame);
                queued.push_back(frame);
                let held: usize = queued.iter().sum();
                prop_assert!(held < capacity.max(1) + frame);
            }
        }
    }
}
