//! What a task and its worker say to each other about checkpoints.
//!
//! ```text
//!  worker ── CheckpointCommand (TaskControl::send) ──► task ── CheckpointListener ──► worker
//! ```
//!
//! A snapshot is complete when it reaches the listener. Operators that finish theirs off the task's thread hold it up
//! (see [`Operator::poll_snapshot`](crate::operator::Operator::poll_snapshot)), not the task.

use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use crate::checkpoint::in_flight::{InFlight, InFlightChannel, Origin};
use crate::checkpoint::snapshot::OperatorSnapshot;
use crate::element::{CheckpointBarrier, CheckpointId, Savepoint, StreamBatch};
use crate::exchange::recording::TooMuchInFlight;
use crate::id::OperatorId;
use crate::time::Moment;

use super::alignment::Late;
use super::replay::GateChannel;

/// Names the snapshot of a task that has finished; it belongs to every later checkpoint, and to none by number.
pub const FINAL_SNAPSHOT: CheckpointId = CheckpointId(u64::MAX);

/// What a task is told about checkpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CheckpointCommand {
    /// Take this checkpoint. For tasks that nobody running writes to.
    Trigger(CheckpointBarrier),
    /// This checkpoint is durable, and with it all before.
    Completed(CheckpointId),
    /// This checkpoint is given up.
    Aborted(CheckpointId),
}

/// The state of one task at one checkpoint.
#[derive(Debug)]
pub struct TaskSnapshot {
    /// The checkpoint.
    pub checkpoint: CheckpointId,
    /// What makes it a savepoint; none for a checkpoint.
    pub savepoint: Option<Arc<Savepoint>>,
    /// The checkpoint whose files it may name again.
    pub base: Option<CheckpointId>,
    /// The state of every operator that has some, in the order of the chain.
    pub operators: Vec<(OperatorId, OperatorSnapshot)>,
    /// What its barrier has overtaken.
    pub in_flight: InFlight,
    /// Its barrier was one that overtakes, whether or not there was something to overtake.
    pub unaligned: bool,
    /// From the checkpoint's trigger to its first barrier here.
    pub start_delay: Duration,
    /// From the first barrier here to the last.
    pub alignment: Duration,
    /// How much was processed in that time.
    pub processed_bytes: u64,
    /// How long the task's thread was occupied.
    pub synchronous: Duration,
}

impl TaskSnapshot {
    /// The snapshot of a task that has finished, without its parts.
    pub(super) fn last() -> Self {
        Self {
            checkpoint: FINAL_SNAPSHOT,
            savepoint: None,
            base: None,
            operators: Vec::new(),
            in_flight: InFlight::default(),
            unaligned: false,
            start_delay: Duration::ZERO,
            alignment: Duration::ZERO,
            processed_bytes: 0,
            synchronous: Duration::ZERO,
        }
    }
}

/// Why a task does not take a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DeclineReason {
    /// It does not run (any more).
    #[error("the task is not running")]
    NotRunning,
    /// It has told its successors that nothing follows, so no barrier can follow; they are to be triggered instead.
    #[error("the task has ended its outputs and is about to finish")]
    Ending,
    /// A newer checkpoint has come before this one was aligned, or before it was triggered.
    #[error("checkpoint {} has overtaken it", .0.0)]
    Overtaken(CheckpointId),
    /// It would have to keep too much.
    #[error(transparent)]
    TooMuchInFlight(TooMuchInFlight),
    /// The task was told before that this checkpoint is given up.
    #[error("it was aborted")]
    Aborted,
}

impl DeclineReason {
    /// Whether `checkpoint` cannot complete because of it, which its coordinator must know. Not when the task is about
    /// to finish or has, as its end is its part then, and not when it took this checkpoint already.
    pub fn prevents(self, checkpoint: CheckpointId) -> bool {
        match self {
            Self::NotRunning | Self::Ending => false,
            Self::Overtaken(by) => by != checkpoint,
            Self::Aborted | Self::TooMuchInFlight(_) => true,
        }
    }
}

impl From<Late> for DeclineReason {
    fn from(late: Late) -> Self {
        match late {
            Late::Overtaken(by) => Self::Overtaken(by),
            Late::Aborted => Self::Aborted,
        }
    }
}

/// Takes what a task has to say about checkpoints. Called on the task's thread, so it hands on and returns.
pub trait CheckpointListener: Send + Sync {
    /// The task's state at a checkpoint.
    fn snapshot(&self, snapshot: TaskSnapshot);

    /// The task does not take this checkpoint.
    fn declined(&self, checkpoint: CheckpointId, reason: DeclineReason);

    /// The task's state for all checkpoints to come. Its end is reported after this.
    fn finished(&self, operators: Vec<(OperatorId, OperatorSnapshot)>);

    /// Whether somebody keeps the task's last state; if not, there is none.
    fn keeps_last_state(&self) -> bool {
        true
    }

    /// Every input has ended, and an operator waits: perhaps for a checkpoint that completes. Called once.
    fn waits_for_checkpoint(&self) {}
}

/// A snapshot in the making.
pub(super) struct PartialSnapshot {
    pub(super) snapshot: TaskSnapshot,
    /// Per operator of the chain: its part, and whether it is whole.
    pub(super) parts: Vec<Part>,
    /// What is in flight before it is still being recorded.
    pub(super) recording: Option<Recording>,
}

/// A recording of what is in flight.
pub(super) struct Recording {
    /// When the first barrier came.
    pub(super) since: Moment,
}

pub(super) struct Part {
    pub(super) operator: OperatorId,
    pub(super) snapshot: OperatorSnapshot,
    pub(super) whole: bool,
}

impl Part {
    /// Adds what the operator says now.
    pub(super) fn add(&mut self, polled: Poll<OperatorSnapshot>) {
        if let Poll::Ready(rest) = polled {
            self.snapshot.extend(rest);
            self.whole = true;
        }
    }
}

impl PartialSnapshot {
    pub(super) fn is_whole(&self) -> bool {
        self.recording.is_none() && self.parts.iter().all(|part| part.whole)
    }

    /// Adds what was recorded, by channel.
    pub(super) fn add_in_flight(&mut self, recorded: Vec<Vec<StreamBatch>>, gate: &[GateChannel]) {
        self.recording = None;
        for (batches, channel) in recorded.into_iter().zip(gate) {
            if !batches.is_empty() {
                let origin = Origin::Edge(channel.origin);
                self.snapshot.in_flight.channels.push(InFlightChannel { origin, batches });
            }
        }
    }

    pub(super) fn give_to(self, listener: &dyn CheckpointListener) {
        let operators = self.parts.into_iter().map(|part| (part.operator, part.snapshot));
        let operators = operators.filter(|(_, snapshot)| !snapshot.is_empty()).collect();
        if self.snapshot.checkpoint == FINAL_SNAPSHOT {
            listener.finished(operators);
        } else {
            listener.snapshot(TaskSnapshot { operators, ..self.snapshot });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_no_report_will_make_up_for_prevents_a_checkpoint() {
        let one = CheckpointId(1);
        for (reason, prevents) in [
            (DeclineReason::Ending, false),
            (DeclineReason::NotRunning, false),
            (DeclineReason::Overtaken(one), false),
            (DeclineReason::Overtaken(CheckpointId(2)), true),
            (DeclineReason::Aborted, true),
        ] {
            assert_eq!(reason.prevents(one), prevents, "{reason}");
        }
    }
}
