//! Which committables are committed when: the deciding half of a two-phase sink.
//!
//! ```text
//!  prepared ─► unlisted ── checkpoint n ─► listed by n ── n, or a later one, completes ─► due ─► committed
//!                                             restored from a checkpoint that lists it ─► due
//! ```
//!
//! Invariants:
//! - with checkpoints nothing is due that no completed checkpoint lists;
//! - a snapshot lists everything that is not known to be committed;
//! - what is due is committed in the order of the checkpoints, and what fails holds up what follows.

use std::collections::{BTreeMap, VecDeque};

use pelton_runtime_core::element::CheckpointId;
use pelton_runtime_core::planted::{PlantedFault, is_planted};
use pelton_runtime_core::time::EpochMillis;

/// How long a commit that has failed once waits, and how long at most; the pause doubles.
const FIRST_PAUSE_MILLIS: EpochMillis = 100;
const LONGEST_PAUSE_MILLIS: EpochMillis = 10_000;

/// When what is prepared may be committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// At once: the job takes no checkpoints.
    AtOnce,
    /// When a checkpoint that lists it has completed.
    WithCheckpoints,
}

/// What to do after a commit that failed for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AfterFailure {
    /// It is tried again then.
    RetryAt(EpochMillis),
    /// It was tried often enough.
    GiveUp { tries: u32 },
}

/// The committables of one subtask.
#[derive(Debug)]
pub(super) struct CommitProtocol<C> {
    mode: Mode,
    retries_max: u32,
    /// Prepared, and no checkpoint lists them yet.
    unlisted: Vec<C>,
    /// By the first checkpoint that lists them.
    listed: BTreeMap<CheckpointId, Vec<C>>,
    due: VecDeque<C>,
    /// How often the first that is due has failed, and when it is tried again.
    failures: u32,
    retry_at: Option<EpochMillis>,
}

impl<C: Clone> CommitProtocol<C> {
    pub(super) fn new(mode: Mode, retries_max: u32) -> Self {
        Self {
            mode,
            retries_max,
            unlisted: Vec::new(),
            listed: BTreeMap::new(),
            due: VecDeque::new(),
            failures: 0,
            retry_at: None,
        }
    }

    /// The writer has made these ready.
    pub(super) fn prepared(&mut self, committables: impl IntoIterator<Item = C>) {
        match self.mode {
            Mode::AtOnce => self.due.extend(committables),
            Mode::WithCheckpoints => self.unlisted.extend(committables),
        }
    }

    /// A completed checkpoint, from which the job starts, lists these.
    pub(super) fn restored(&mut self, committables: impl IntoIterator<Item = C>) {
        self.due.extend(committables);
    }

    /// What a checkpoint must list.
    pub(super) fn checkpoint(&mut self, checkpoint: CheckpointId) -> Vec<C> {
        let unlisted = std::mem::take(&mut self.unlisted);
        if !unlisted.is_empty() {
            self.listed.entry(checkpoint).or_default().extend(unlisted);
        }
        if is_planted(PlantedFault::DueCommittablesNotListed) {
            return self.listed.get(&checkpoint).cloned().unwrap_or_default();
        }
        self.due.iter().chain(self.listed.values().flatten()).cloned().collect()
    }

    /// This checkpoint is durable, and so what it and those before it list is due.
    pub(super) fn completed(&mut self, checkpoint: CheckpointId) {
        let later = self.listed.split_off(&CheckpointId(checkpoint.0.saturating_add(1)));
        self.due.extend(std::mem::replace(&mut self.listed, later).into_values().flatten());
    }

    /// What to commit at `now`.
    pub(super) fn next(&self, now: EpochMillis) -> Option<&C> {
        if self.retry_at.is_some_and(|retry_at| now < retry_at) { None } else { self.due.front() }
    }

    /// The first that was due is committed.
    pub(super) fn committed(&mut self) {
        self.due.pop_front();
        self.failures = 0;
        self.retry_at = None;
    }

    /// The first that is due could not be committed at `now`.
    pub(super) fn failed_for_now(&mut self, now: EpochMillis) -> AfterFailure {
        self.failures += 1;
        if self.failures > self.retries_max {
            return AfterFailure::GiveUp { tries: self.failures };
        }
        let doublings = (self.failures - 1).min(16);
        let retry_at = now.saturating_add((FIRST_PAUSE_MILLIS << doublings).min(LONGEST_PAUSE_MILLIS));
        self.retry_at = Some(retry_at);
        AfterFailure::RetryAt(retry_at)
    }

    /// When a commit is tried again.
    pub(super) fn retry_at(&self) -> Option<EpochMillis> {
        self.retry_at
    }

    /// Whether everything is committed.
    pub(super) fn is_settled(&self) -> bool {
        self.unlisted.is_empty() && self.listed.is_empty() && self.due.is_empty()
    }

    /// The task is gone: what no checkpoint lists will never be committed. What one lists may be, by others.
    pub(super) fn abandon(&mut self) -> Vec<C> {
        std::mem::take(&mut self.unlisted)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn commit_all(protocol: &mut CommitProtocol<u32>) -> Vec<u32> {
        std::iter::from_fn(|| {
            let next = *protocol.next(EpochMillis::MAX)?;
            protocol.committed();
            Some(next)
        })
        .collect()
    }

    #[test]
    fn a_committable_is_due_when_the_first_checkpoint_that_lists_it_or_a_later_one_completes() {
        let mut protocol = CommitProtocol::new(Mode::WithCheckpoints, 3);
        protocol.prepared([1]);
        assert_eq!(protocol.checkpoint(CheckpointId(1)), [1]);
        protocol.prepared([2]);
        assert_eq!(protocol.checkpoint(CheckpointId(2)), [1, 2]);
        protocol.prepared([3]);
        assert_eq!(commit_all(&mut protocol), [0; 0]);
        protocol.completed(CheckpointId(1));
        assert_eq!(commit_all(&mut protocol), [1]);
        assert_eq!(protocol.checkpoint(CheckpointId(4)), [2, 3]);
        protocol.completed(CheckpointId(4));
        assert_eq!(commit_all(&mut protocol), [2, 3]);
        assert!(protocol.is_settled());
    }

    #[test]
    fn without_checkpoints_everything_is_due_at_once() {
        let mut protocol = CommitProtocol::new(Mode::AtOnce, 3);
        protocol.prepared([1, 2]);
        assert_eq!(commit_all(&mut protocol), [1, 2]);
    }

    #[test]
    fn a_failing_commit_is_tried_later_and_later_and_then_given_up() {
        let mut protocol = CommitProtocol::new(Mode::AtOnce, 3);
        protocol.prepared([1]);
        let pauses = [100, 200, 400];
        let mut now = 0;
        for pause in pauses {
            assert_eq!(protocol.failed_for_now(now), AfterFailure::RetryAt(now + pause));
            assert_eq!(protocol.next(now + pause - 1), None);
            now += pause;
            assert_eq!(protocol.next(now), Some(&1));
        }
        assert_eq!(protocol.failed_for_now(now), AfterFailure::GiveUp { tries: 4 });
        protocol.committed();
        protocol.prepared([2]);
        assert_eq!(protocol.failed_for_now(0), AfterFailure::RetryAt(100), "the next begins anew");
    }

    #[derive(Debug, Clone, Copy)]
    enum Event {
        Prepare,
        /// A snapshot, whose record is written or not.
        Checkpoint(bool),
        /// The sink is told that the last checkpoint completed.
        Told,
        Commit,
        FailCommit,
        /// The process dies, before or after the commit that is under way took effect, and another restores.
        Crash(bool),
    }

    fn event() -> impl Strategy<Value = Event> {
        prop_oneof![
            3 => Just(Event::Prepare),
            3 => any::<bool>().prop_map(Event::Checkpoint),
            2 => Just(Event::Told),
            3 => Just(Event::Commit),
            1 => Just(Event::FailCommit),
            2 => any::<bool>().prop_map(Event::Crash),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        /// The outside world is a set: a commit that is done again changes nothing.
        #[test]
        fn what_is_committed_is_what_the_last_durable_checkpoint_covers(
            events in prop::collection::vec(event(), 1..60),
        ) {
            let mut protocol = CommitProtocol::new(Mode::WithCheckpoints, u32::MAX);
            let mut world: std::collections::BTreeSet<u32> = Default::default();
            let (mut next, mut checkpoint) = (0u32, 0u64);
            // Of the last durable checkpoint: its id, what it lists, and how many were prepared before it.
            let mut durable: (CheckpointId, Vec<u32>, u32) = (CheckpointId(0), Vec::new(), 0);
            for event in events {
                match event {
                    Event::Prepare => {
                        protocol.prepared([next]);
                        next += 1;
                    }
                    Event::Checkpoint(written) => {
                        checkpoint += 1;
                        let listed = protocol.checkpoint(CheckpointId(checkpoint));
                        if written {
                            durable = (CheckpointId(checkpoint), listed, next);
                        }
                    }
                    Event::Told => protocol.completed(durable.0),
                    Event::Commit => {
                        if let Some(committable) = protocol.next(EpochMillis::MAX) {
                            world.insert(*committable);
                            protocol.committed();
                        }
                    }
                    Event::FailCommit => {
                        if protocol.next(EpochMillis::MAX).is_some() {
                            protocol.failed_for_now(0);
                        }
                    }
                    Event::Crash(took_effect) => {
                        if let (true, Some(committable)) = (took_effect, protocol.next(EpochMillis::MAX)) {
                            world.insert(*committable);
                        }
                        protocol = CommitProtocol::new(Mode::WithCheckpoints, u32::MAX);
                        protocol.restored(durable.1.clone());
                        next = durable.2;
                    }
                }
                prop_assert!(world.iter().all(|committed| *committed < durable.2), "{world:?} of {}", durable.2);
            }
            protocol.checkpoint(CheckpointId(checkpoint + 1));
            protocol.completed(CheckpointId(checkpoint + 1));
            world.extend(commit_all(&mut protocol));
            prop_assert!(world.into_iter().eq(0..next));
            prop_assert!(protocol.is_settled());
        }
    }
}
