//! Decides when the barriers of a task's channels are aligned: when everything before a checkpoint has been taken from
//! every channel, and nothing after it.
//!
//! ```text
//!              first barrier, or trigger                  every channel has its barrier or has ended
//!  no checkpoint ──────────────────────► aligning: block ─────────────────────────────────────────► take it, release
//!       ▲                                   │
//!       └── told of its abort: release ─────┴── barrier of a newer one: give up, release, align that
//! ```
//!
//! A task without channels (a source) and one whose channels have all ended is aligned as soon as it is triggered. A
//! trigger of a task whose channels have not all ended says that they will, as those who write them have finished; what
//! they wrote is still before the checkpoint, so the task aligns with their ends.
//!
//! A barrier may overtake what is before it: at once, or when it has waited for too long. Then the checkpoint is taken as
//! soon as the barriers of those channels are there that cannot be overtaken, and what is in flight on the others belongs
//! to it.
//!
//! The alignment performs nothing: it gets facts and answers with what has to be done to the channels.
//!
//! Invariants: checkpoints are taken in the order of their ids, each at most once; no channel is blocked unless a
//! checkpoint is being aligned; a checkpoint that was given up is never taken, however late its barriers come.

use std::collections::BTreeSet;

use crate::element::{BarrierMode, CheckpointBarrier, CheckpointId};
use crate::time::{EpochMillis, Moment};

/// How many aborted checkpoints are remembered; as in Flink. Their barriers may still come.
const ABORTED_MAX: usize = 128;

/// What has to be done after a fact, in the order of the fields.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// This checkpoint is given up, as a newer one has come.
    pub superseded: Option<CheckpointId>,
    /// These channels are polled again.
    pub release: Vec<usize>,
    /// This channel is not polled any more.
    pub block: Option<usize>,
    /// These checkpoints are taken now, in this order.
    pub take: Vec<Aligned>,
}

/// A checkpoint that is taken now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aligned {
    /// The barrier that goes on to the outputs.
    pub barrier: CheckpointBarrier,
    /// When its first barrier came.
    pub started: Moment,
    /// Not all barriers are there: what is in flight before them belongs to it.
    pub overtakes: bool,
}

/// Why a checkpoint that a task is triggered for cannot be aligned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Late {
    /// A newer one was taken, or is being aligned.
    Overtaken(CheckpointId),
    /// It was aborted.
    Aborted,
}

/// The barriers of one task.
#[derive(Debug)]
pub struct Alignment {
    channels: Vec<Channel>,
    /// Per channel: barriers may overtake what it holds.
    overtaken: Vec<bool>,
    current: Option<Aligned>,
    /// A barrier that overtakes when its time has come, and when it came.
    due: Option<(CheckpointBarrier, EpochMillis, Moment)>,
    /// This one and all before are taken or given up.
    passed: Option<CheckpointId>,
    /// Aborted ones beyond `passed`.
    aborted: BTreeSet<CheckpointId>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Channel {
    Open,
    /// Its barrier of the current checkpoint has come; it is blocked.
    Blocked,
    Ended,
}

impl Alignment {
    /// For a task with these channels: whether barriers may overtake what each of them holds.
    pub fn new(overtaken: Vec<bool>) -> Self {
        let channels = vec![Channel::Open; overtaken.len()];
        Self { channels, overtaken, current: None, due: None, passed: None, aborted: BTreeSet::new() }
    }

    /// A barrier came on `channel`.
    pub fn barrier(&mut self, channel: usize, barrier: CheckpointBarrier, now: Moment) -> Decision {
        let mut decision = Decision::default();
        if self.start(barrier, now, &mut decision).is_err() {
            return decision;
        }
        if self.channels[channel] == Channel::Open {
            self.channels[channel] = Channel::Blocked;
            decision.block = Some(channel);
        }
        self.complete(&mut decision);
        decision
    }

    /// A barrier that may overtake has come to a channel that lets it, and waits behind what the channel holds.
    pub fn announced(&mut self, barrier: CheckpointBarrier, now: Moment) -> Decision {
        let mut decision = Decision::default();
        match barrier.mode {
            BarrierMode::Unaligned => {
                if self.start(barrier, now, &mut decision).is_ok() {
                    self.complete(&mut decision);
                }
            }
            BarrierMode::AlignedUntil(_) => self.note_due(&barrier, now),
            BarrierMode::Aligned => {}
        }
        decision
    }

    /// When a barrier has waited for too long.
    pub fn due(&self) -> Option<EpochMillis> {
        self.due.as_ref().map(|(_, at, _)| *at)
    }

    /// It is `wall` now: a barrier that has waited for too long overtakes.
    pub fn overtake(&mut self, wall: EpochMillis) -> Decision {
        let mut decision = Decision::default();
        if let Some((barrier, _, came)) = self.due.take_if(|(_, at, _)| *at <= wall) {
            let barrier = CheckpointBarrier { mode: BarrierMode::Unaligned, ..barrier };
            if self.start(barrier, came, &mut decision).is_ok() {
                self.complete(&mut decision);
            }
        }
        decision
    }

    /// The task was told to take a checkpoint: it has no channels, or whoever writes them has finished.
    ///
    /// # Errors
    ///
    /// When the checkpoint has passed already.
    pub fn triggered(&mut self, barrier: CheckpointBarrier, now: Moment) -> Result<Decision, Late> {
        let mut decision = Decision::default();
        self.start(barrier, now, &mut decision)?;
        self.complete(&mut decision);
        Ok(decision)
    }

    /// `channel` has ended: whatever it held is before any checkpoint.
    pub fn ended(&mut self, channel: usize) -> Decision {
        let mut decision = Decision::default();
        self.channels[channel] = Channel::Ended;
        self.complete(&mut decision);
        decision
    }

    /// The task was told that a checkpoint is given up.
    pub fn aborted(&mut self, checkpoint: CheckpointId) -> Decision {
        let mut decision = Decision::default();
        if self.passed.is_some_and(|passed| checkpoint <= passed) {
            return decision;
        }
        self.aborted.insert(checkpoint);
        if self.aborted.len() > ABORTED_MAX {
            self.aborted.pop_first();
        }
        self.due.take_if(|(due, _, _)| due.checkpoint == checkpoint);
        if self.current.as_ref().is_some_and(|current| current.barrier.checkpoint == checkpoint) {
            self.current = None;
            self.release(&mut decision);
        }
        decision
    }

    /// The newest checkpoint that is being aligned or was taken.
    pub fn latest(&self) -> Option<CheckpointId> {
        self.current.as_ref().map(|current| current.barrier.checkpoint).or(self.passed)
    }

    fn start(&mut self, barrier: CheckpointBarrier, now: Moment, decision: &mut Decision) -> Result<(), Late> {
        let checkpoint = barrier.checkpoint;
        if let Some(passed) = self.passed.filter(|passed| checkpoint <= *passed) {
            return Err(Late::Overtaken(passed));
        }
        if self.aborted.contains(&checkpoint) {
            return Err(Late::Aborted);
        }
        self.note_due(&barrier, now);
        match &mut self.current {
            Some(current) if checkpoint < current.barrier.checkpoint => {
                return Err(Late::Overtaken(current.barrier.checkpoint));
            }
            Some(current) if checkpoint == current.barrier.checkpoint => {
                if barrier.mode == BarrierMode::Unaligned {
                    current.barrier.mode = BarrierMode::Unaligned;
                }
                return Ok(());
            }
            Some(current) => {
                let superseded = current.barrier.checkpoint;
                decision.superseded = Some(superseded);
                self.pass(superseded);
                self.release(decision);
            }
            None => {}
        }
        self.current = Some(Aligned { barrier, started: now, overtakes: false });
        Ok(())
    }

    /// The newest barrier that may overtake later; older ones have been given up by those who sent them.
    fn note_due(&mut self, barrier: &CheckpointBarrier, now: Moment) {
        let checkpoint = barrier.checkpoint;
        let is_over = self.passed.is_some_and(|passed| checkpoint <= passed) || self.aborted.contains(&checkpoint);
        let is_known = self.due.as_ref().is_some_and(|(due, _, _)| checkpoint <= due.checkpoint);
        if let (BarrierMode::AlignedUntil(at), false, false) = (barrier.mode, is_over, is_known) {
            self.due = Some((barrier.clone(), at, now));
        }
    }

    fn complete(&mut self, decision: &mut Decision) {
        let Some(current) = &self.current else { return };
        let is_open = |channel: &Channel| *channel == Channel::Open;
        let overtakes = self.channels.iter().any(is_open);
        if overtakes {
            let mut channels = self.channels.iter().zip(&self.overtaken);
            let must_wait = channels.any(|(channel, overtaken)| is_open(channel) && !overtaken);
            if must_wait || current.barrier.mode != BarrierMode::Unaligned {
                return;
            }
        }
        let Some(mut aligned) = self.current.take() else { return };
        aligned.overtakes = overtakes;
        self.pass(aligned.barrier.checkpoint);
        self.release(decision);
        // Whoever was to be blocked by the last barrier need not be.
        if let Some(last) = decision.block.take() {
            decision.release.retain(|channel| *channel != last);
        }
        decision.take.push(aligned);
    }

    fn pass(&mut self, checkpoint: CheckpointId) {
        self.passed = Some(checkpoint);
        self.due.take_if(|(due, _, _)| due.checkpoint <= checkpoint);
        self.aborted.retain(|aborted| *aborted > checkpoint);
    }

    fn release(&mut self, decision: &mut Decision) {
        for (index, channel) in self.channels.iter_mut().enumerate() {
            if *channel == Channel::Blocked {
                *channel = Channel::Open;
                decision.release.push(index);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::element::StreamElement;
    use crate::exchange::input_queue::InputQueue;
    use crate::operator::TaskWaker;

    fn barrier(checkpoint: u64) -> CheckpointBarrier {
        CheckpointBarrier {
            checkpoint: CheckpointId(checkpoint),
            triggered_at: 0,
            mode: BarrierMode::Aligned,
            savepoint: None,
            base: None,
        }
    }

    /// A barrier that overtakes at the time 100.
    fn until(checkpoint: u64) -> CheckpointBarrier {
        CheckpointBarrier { mode: BarrierMode::AlignedUntil(100), ..barrier(checkpoint) }
    }

    /// Facts in, decisions out.
    fn check(channels: usize, script: &[(&str, usize, u64, &str)]) {
        check_channels(vec![false; channels], script);
    }

    fn check_channels(overtaken: Vec<bool>, script: &[(&str, usize, u64, &str)]) {
        let mut alignment = Alignment::new(overtaken);
        for (fact, channel, checkpoint, expected) in script {
            let decision = match *fact {
                "barrier" => alignment.barrier(*channel, barrier(*checkpoint), Moment(0)),
                "waiting" => alignment.barrier(*channel, until(*checkpoint), Moment(0)),
                "announce waiting" => alignment.announced(until(*checkpoint), Moment(0)),
                "announce" => {
                    let barrier = CheckpointBarrier { mode: BarrierMode::Unaligned, ..barrier(*checkpoint) };
                    alignment.announced(barrier, Moment(0))
                }
                "time" => alignment.overtake(*checkpoint as i64),
                "end" => alignment.ended(*channel),
                "abort" => alignment.aborted(CheckpointId(*checkpoint)),
                "trigger" => match alignment.triggered(barrier(*checkpoint), Moment(0)) {
                    Ok(decision) => decision,
                    Err(late) => {
                        assert_eq!(format!("{late:?}"), *expected);
                        continue;
                    }
                },
                other => panic!("{other}"),
            };
            let mut said = Vec::new();
            said.extend(decision.superseded.map(|id| format!("give up {}", id.0)));
            said.extend(decision.release.iter().map(|channel| format!("release {channel}")));
            said.extend(decision.block.map(|channel| format!("block {channel}")));
            said.extend(decision.take.iter().map(|aligned| {
                let how = if aligned.overtakes { "overtake" } else { "take" };
                format!("{how} {}", aligned.barrier.checkpoint.0)
            }));
            assert_eq!(said.join(", "), *expected, "{fact} {channel} {checkpoint}");
        }
    }

    #[test]
    fn a_checkpoint_is_taken_when_every_channel_has_its_barrier_or_has_ended() {
        check(
            3,
            &[
                ("barrier", 0, 1, "block 0"),
                ("end", 2, 0, ""),
                ("barrier", 1, 1, "release 0, take 1"),
                ("barrier", 1, 2, "block 1"),
                ("end", 0, 0, "release 1, take 2"),
                ("barrier", 1, 3, "take 3"),
            ],
        );
    }

    #[test]
    fn a_newer_barrier_ends_the_older_checkpoint_and_late_ones_are_ignored() {
        check(
            3,
            &[
                ("barrier", 0, 1, "block 0"),
                ("barrier", 1, 2, "give up 1, release 0, block 1"),
                ("barrier", 2, 1, ""),
                ("barrier", 0, 2, "block 0"),
                ("barrier", 2, 2, "release 0, release 1, take 2"),
                ("barrier", 2, 2, ""),
            ],
        );
    }

    #[test]
    fn an_aborted_checkpoint_is_never_taken() {
        check(
            2,
            &[
                ("barrier", 0, 1, "block 0"),
                ("abort", 0, 1, "release 0"),
                ("barrier", 1, 1, ""),
                ("abort", 0, 2, ""),
                ("barrier", 1, 2, ""),
                ("barrier", 0, 3, "block 0"),
                ("abort", 0, 4, ""),
                ("barrier", 1, 3, "release 0, take 3"),
                ("barrier", 1, 4, ""),
            ],
        );
    }

    #[test]
    fn a_trigger_waits_for_the_ends_of_the_channels() {
        check(0, &[("trigger", 0, 1, "take 1"), ("trigger", 0, 1, "Overtaken(CheckpointId(1))")]);
        check(
            2,
            &[
                ("end", 0, 0, ""),
                ("trigger", 0, 4, ""),
                ("trigger", 0, 3, "Overtaken(CheckpointId(4))"),
                ("end", 1, 0, "take 4"),
                ("abort", 0, 5, ""),
                ("trigger", 0, 5, "Aborted"),
                ("trigger", 0, 6, "take 6"),
            ],
        );
    }

    #[test]
    fn a_barrier_that_overtakes_waits_for_the_channels_that_cannot_be_overtaken_only() {
        check_channels(
            vec![true, true, false],
            &[
                ("announce", 0, 1, ""),
                ("barrier", 1, 1, "block 1"),
                ("barrier", 2, 1, "release 1, overtake 1"),
                ("barrier", 0, 1, ""),
                ("barrier", 2, 2, "block 2"),
                ("announce", 1, 2, "release 2, overtake 2"),
                ("announce", 0, 2, ""),
                ("end", 2, 0, ""),
                ("announce", 0, 3, "overtake 3"),
                ("abort", 0, 4, ""),
                ("announce", 0, 4, ""),
            ],
        );
    }

    #[test]
    fn a_barrier_that_has_waited_for_too_long_overtakes_unless_its_checkpoint_is_over() {
        check_channels(
            vec![true, true],
            &[
                ("announce waiting", 0, 1, ""),
                ("time", 0, 99, ""),
                ("time", 0, 100, "overtake 1"),
                ("time", 0, 100, ""),
                ("waiting", 0, 2, "block 0"),
                ("time", 0, 100, "release 0, overtake 2"),
                ("waiting", 0, 3, "block 0"),
                ("waiting", 1, 3, "release 0, take 3"),
                ("time", 0, 100, ""),
                ("announce waiting", 0, 4, ""),
                ("abort", 0, 4, ""),
                ("time", 0, 100, ""),
            ],
        );
    }

    /// What one channel will bring: barriers by id, and records (as watermarks that count up).
    fn channel_script() -> impl Strategy<Value = Vec<Option<u64>>> {
        prop::collection::vec(prop::option::weighted(0.4, Just(0)), 0..12).prop_map(|mut elements| {
            let mut id = 0;
            for element in elements.iter_mut().flatten() {
                id += 1;
                *element = id;
            }
            elements
        })
    }

    proptest! {
        #[test]
        fn every_checkpoint_cuts_each_channel_at_its_barrier(
            scripts in prop::collection::vec(channel_script(), 1..5),
            skipped in prop::collection::btree_map(0usize..5, 1u64..6, 0..3),
            aborts in prop::collection::btree_map(0usize..40, 1u64..8, 0..4),
            order in prop::collection::vec(0usize..5, 60),
        ) {
            let channels = scripts.len();
            let queue = InputQueue::new(channels, usize::MAX, TaskWaker::noop());
            let mut alignment = Alignment::new(vec![false; channels]);
            let mut to_write: Vec<_> = scripts
                .iter()
                .enumerate()
                .map(|(index, script)| {
                    // A task that gave a checkpoint up never sends its barrier.
                    let skip = skipped.get(&index).copied();
                    script.iter().copied().filter(move |element| element.is_none() || *element != skip).rev().collect::<Vec<_>>()
                })
                .collect();
            // Per channel: records taken so far, and how many were before each barrier.
            let mut records = vec![0i64; channels];
            let mut written = vec![0i64; channels];
            let mut before: Vec<BTreeMap<u64, i64>> = vec![BTreeMap::new(); channels];
            let mut ended = vec![false; channels];
            let mut last_taken = 0;
            let mut aborted = BTreeSet::new();
            let mut blocked = BTreeSet::new();
            let mut writes = order.iter().copied().chain((0..channels).cycle());
            let mut step = 0;
            loop {
                let remaining = to_write.iter().any(|script| !script.is_empty());
                if remaining || ended.iter().any(|ended| !ended) {
                    let channel = writes.next().unwrap() % channels;
                    match to_write[channel].pop() {
                        Some(Some(id)) => {
                            before[channel].insert(id, written[channel]);
                            queue.writer(channel).push(StreamElement::Barrier(barrier(id)));
                        }
                        Some(None) => {
                            written[channel] += 1;
                            queue.writer(channel).push(StreamElement::Watermark(written[channel]));
                        }
                        None if !ended[channel] => {
                            ended[channel] = true;
                            queue.writer(channel).push(StreamElement::EndOfInput);
                        }
                        None => {}
                    }
                } else if queue.is_empty() {
                    break;
                }
                let decision = if let Some(id) = aborts.get(&step) {
                    aborted.insert(*id);
                    alignment.aborted(CheckpointId(*id))
                } else {
                    match queue.poll() {
                        Some((channel, StreamElement::Barrier(barrier))) => {
                            alignment.barrier(channel, barrier, Moment(0))
                        }
                        Some((channel, StreamElement::EndOfInput)) => alignment.ended(channel),
                        Some((channel, StreamElement::Watermark(_))) => {
                            prop_assert!(!blocked.contains(&channel));
                            records[channel] += 1;
                            Decision::default()
                        }
                        Some(other) => panic!("{other:?}"),
                        None => {
                            prop_assert!(remaining || ended.iter().any(|e| !e) || queue.is_empty(), "a channel is stuck");
                            Decision::default()
                        }
                    }
                };
                for channel in &decision.release {
                    prop_assert!(blocked.remove(channel));
                    queue.unblock(*channel);
                }
                if let Some(channel) = decision.block {
                    blocked.insert(channel);
                    queue.block(channel);
                }
                for aligned in decision.take {
                    let id = aligned.barrier.checkpoint.0;
                    prop_assert!(id > last_taken && !aborted.contains(&id));
                    last_taken = id;
                    prop_assert!(blocked.is_empty());
                    for channel in 0..channels {
                        let total = scripts[channel].iter().filter(|element| element.is_none()).count() as i64;
                        // A channel that never brought this barrier counts with its end.
                        let expected = before[channel].get(&id).copied().unwrap_or(total);
                        prop_assert_eq!(records[channel], expected, "checkpoint {} channel {}", id, channel);
                    }
                }
                step += 1;
            }
            prop_assert!(blocked.is_empty());
        }
    }
}
