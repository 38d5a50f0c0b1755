//! Decides when a task of a job that counts records at least once takes a checkpoint: when the barriers of all channels
//! have come, or barriers of later checkpoints. No channel waits for another, so what a channel brings after its barrier
//! may be in the state already and come again after a restart.
//!
//! Invariants: checkpoints are taken in the order of their ids, each at most once; whatever precedes a checkpoint's
//! barrier on any channel is in its state; one that was aborted is never taken.

use std::collections::{BTreeMap, BTreeSet};

use super::alignment::{Aligned, Decision, Late};
use crate::element::{CheckpointBarrier, CheckpointId};
use crate::time::Moment;

/// How many checkpoints are remembered of each kind; their barriers may still come.
const REMEMBERED_MAX: usize = 128;

/// The barriers of one task.
#[derive(Debug)]
pub struct Tracking {
    channels: Vec<Channel>,
    /// Checkpoints of which a barrier or a trigger has come.
    begun: BTreeMap<CheckpointId, Aligned>,
    /// This one and all before are taken or given up.
    passed: Option<CheckpointId>,
    aborted: BTreeSet<CheckpointId>,
}

#[derive(Debug, Clone, Copy)]
enum Channel {
    /// Its newest barrier.
    Open(Option<CheckpointId>),
    Ended,
}

impl Tracking {
    /// For a task with so many channels.
    pub fn new(channels: usize) -> Self {
        Self {
            channels: vec![Channel::Open(None); channels],
            begun: BTreeMap::new(),
            passed: None,
            aborted: BTreeSet::new(),
        }
    }

    /// A barrier came on `channel`.
    pub fn barrier(&mut self, channel: usize, barrier: CheckpointBarrier, now: Moment) -> Decision {
        if let Channel::Open(newest) = &mut self.channels[channel] {
            *newest = (*newest).max(Some(barrier.checkpoint));
        }
        // One that is late may complete nothing, but what it says of its channel counts.
        let _ = self.begin(barrier, now);
        self.complete()
    }

    /// The task was told to take a checkpoint.
    ///
    /// # Errors
    ///
    /// When the checkpoint has passed already.
    pub fn triggered(&mut self, barrier: CheckpointBarrier, now: Moment) -> Result<Decision, Late> {
        self.begin(barrier, now)?;
        Ok(self.complete())
    }

    /// `channel` has ended.
    pub fn ended(&mut self, channel: usize) -> Decision {
        self.channels[channel] = Channel::Ended;
        self.complete()
    }

    /// The task was told that a checkpoint is given up.
    pub fn aborted(&mut self, checkpoint: CheckpointId) {
        if self.passed.is_some_and(|passed| checkpoint <= passed) {
            return;
        }
        self.begun.remove(&checkpoint);
        self.aborted.insert(checkpoint);
        if self.aborted.len() > REMEMBERED_MAX {
            self.aborted.pop_first();
        }
    }

    /// The newest checkpoint that has begun or was taken.
    pub fn latest(&self) -> Option<CheckpointId> {
        self.begun.last_key_value().map(|(checkpoint, _)| *checkpoint).or(self.passed)
    }

    fn begin(&mut self, barrier: CheckpointBarrier, now: Moment) -> Result<(), Late> {
        let checkpoint = barrier.checkpoint;
        if let Some(passed) = self.passed.filter(|passed| checkpoint <= *passed) {
            return Err(Late::Overtaken(passed));
        }
        if self.aborted.contains(&checkpoint) {
            return Err(Late::Aborted);
        }
        self.begun.entry(checkpoint).or_insert(Aligned { barrier, started: now, overtakes: false });
        if self.begun.len() > REMEMBERED_MAX {
            self.begun.pop_first();
        }
        Ok(())
    }

    fn complete(&mut self) -> Decision {
        let mut decision = Decision::default();
        while let Some(first) = self.begun.first_entry() {
            let checkpoint = *first.key();
            let has_passed = |channel: &Channel| match channel {
                Channel::Open(newest) => newest.is_some_and(|newest| newest >= checkpoint),
                Channel::Ended => true,
            };
            if !self.channels.iter().all(has_passed) {
                break;
            }
            decision.take.push(first.remove());
            self.passed = Some(checkpoint);
            self.aborted.retain(|aborted| *aborted > checkpoint);
        }
        decision
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::element::BarrierMode;

    fn barrier(checkpoint: u64) -> CheckpointBarrier {
        CheckpointBarrier {
            checkpoint: CheckpointId(checkpoint),
            triggered_at: 0,
            mode: BarrierMode::Aligned,
            savepoint: None,
            base: None,
        }
    }

    fn taken(decision: &Decision) -> String {
        assert!(decision.block.is_none() && decision.release.is_empty(), "no channel waits for another");
        let taken: Vec<_> = decision.take.iter().map(|taken| taken.barrier.checkpoint.0.to_string()).collect();
        taken.join(", ")
    }

    #[test]
    fn checkpoints_are_taken_when_every_channel_has_passed_them_however_far_some_are_ahead() {
        let mut tracking = Tracking::new(2);
        let mut at = |channel, checkpoint| taken(&tracking.barrier(channel, barrier(checkpoint), Moment(0)));
        assert_eq!(at(0, 1), "");
        assert_eq!(at(0, 2), "");
        assert_eq!(at(1, 1), "1");
        assert_eq!(at(0, 3), "");
        assert_eq!(
            at(1, 3),
            "2, 3",
            "2 was given up by who sends on channel 1, and is contained in what came before 3"
        );
        assert_eq!(at(1, 2), "");
    }

    #[test]
    fn ends_count_and_aborted_ones_do_not() {
        let mut tracking = Tracking::new(2);
        assert_eq!(taken(&tracking.barrier(0, barrier(1), Moment(0))), "");
        tracking.aborted(CheckpointId(1));
        assert_eq!(taken(&tracking.barrier(1, barrier(1), Moment(0))), "");
        assert_eq!(tracking.triggered(barrier(1), Moment(0)), Err(Late::Aborted));
        assert_eq!(taken(&tracking.barrier(0, barrier(4), Moment(0))), "");
        assert_eq!(taken(&tracking.barrier(0, barrier(5), Moment(0))), "");
        assert_eq!(taken(&tracking.ended(1)), "4, 5");
        assert_eq!(tracking.triggered(barrier(5), Moment(0)), Err(Late::Overtaken(CheckpointId(5))));
        assert_eq!(tracking.latest(), Some(CheckpointId(5)));
    }
}
