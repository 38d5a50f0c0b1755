//! The states of jobs and of executions, named as Flink names them, and when each was entered.
//!
//! Which state follows which is the scheduler's business; here are only the words.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use crate::time::EpochMillis;

/// A word that names no state of the expected kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{word}` is no {kind}")]
pub struct UnknownStatus {
    /// Job status or execution state.
    pub kind: &'static str,
    /// What was found.
    pub word: String,
}

macro_rules! states {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $($(#[$variant_doc:meta])* $variant:ident = $word:literal),+ $(,)?) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)+
        }

        impl $name {
            /// Every state, in declaration order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// Flink's word for it.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }

            /// The state that Flink calls so.
            ///
            /// # Errors
            ///
            /// When Flink calls no state so.
            pub fn parse(word: &str) -> Result<Self, UnknownStatus> {
                match word {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(UnknownStatus { kind: $kind, word: word.to_owned() }),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = UnknownStatus;

            fn from_str(word: &str) -> Result<Self, UnknownStatus> {
                Self::parse(word)
            }
        }
    };
}

states! {
    /// Where a job is in its life.
    JobStatus, "job status",
    /// Submitted; its JobMaster is being set up.
    Initializing = "INITIALIZING",
    /// Set up; no subtask has been deployed.
    Created = "CREATED",
    /// At least one subtask has been scheduled.
    Running = "RUNNING",
    /// Failed; its subtasks are being cancelled and it will not come back.
    Failing = "FAILING",
    /// Failed for good.
    Failed = "FAILED",
    /// Asked to cancel; its subtasks are being cancelled.
    Cancelling = "CANCELLING",
    /// Cancelled, and nothing of it runs any more.
    Canceled = "CANCELED",
    /// All subtasks have finished.
    Finished = "FINISHED",
    /// Failed; its subtasks are being cancelled and deployed again.
    Restarting = "RESTARTING",
    /// Its JobMaster has lost leadership; another may take over.
    Suspended = "SUSPENDED",
    /// A new leader is adopting running executions.
    Reconciling = "RECONCILING",
}

impl JobStatus {
    /// Whether the job has ended on this cluster and on every other.
    pub const fn is_globally_terminal(self) -> bool {
        matches!(self, Self::Failed | Self::Canceled | Self::Finished)
    }

    /// Whether this JobManager has no more to do for the job.
    pub const fn is_terminal(self) -> bool {
        self.is_globally_terminal() || matches!(self, Self::Suspended)
    }
}

states! {
    /// Where one execution of a subtask is in its life.
    ExecutionState, "execution state",
    /// Known, without a slot.
    Created = "CREATED",
    /// Waiting for a slot.
    Scheduled = "SCHEDULED",
    /// Sent to its worker.
    Deploying = "DEPLOYING",
    /// Restoring its state.
    Initializing = "INITIALIZING",
    /// Processing.
    Running = "RUNNING",
    /// Reached the end of its input.
    Finished = "FINISHED",
    /// Asked to cancel.
    Canceling = "CANCELING",
    /// Cancelled.
    Canceled = "CANCELED",
    /// Failed.
    Failed = "FAILED",
    /// Being adopted by a new leader.
    Reconciling = "RECONCILING",
}

impl ExecutionState {
    /// Whether the execution has ended.
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Finished | Self::Canceled | Self::Failed)
    }

    /// The state that stands for several executions, as Flink's dashboard shows it for a vertex.
    pub fn aggregate(states: impl IntoIterator<Item = Self>) -> Self {
        let mut counts: BTreeMap<Self, usize> = BTreeMap::new();
        states.into_iter().for_each(|state| *counts.entry(state).or_default() += 1);
        let seen = |state: Self| counts.contains_key(&state);
        if seen(Self::Failed) {
            Self::Failed
        } else if seen(Self::Canceling) {
            Self::Canceling
        } else if seen(Self::Canceled) {
            Self::Canceled
        } else if seen(Self::Initializing) {
            Self::Initializing
        } else if seen(Self::Running) {
            Self::Running
        } else if seen(Self::Finished) {
            if counts.len() == 1 { Self::Finished } else { Self::Running }
        } else {
            Self::Created
        }
    }
}

/// When each state was entered last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusTimestamps<S>(BTreeMap<S, EpochMillis>);

impl<S> Default for StatusTimestamps<S> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<S: Ord + Copy> StatusTimestamps<S> {
    /// Remembers that `state` was entered `at` this time.
    pub fn enter(&mut self, state: S, at: EpochMillis) {
        self.0.insert(state, at);
    }

    /// When `state` was entered; none when it never was.
    pub fn get(&self, state: S) -> Option<EpochMillis> {
        self.0.get(&state).copied()
    }

    /// The latest of all.
    pub fn latest(&self) -> Option<EpochMillis> {
        self.0.values().copied().max()
    }

    /// The states that were entered, in the order of time.
    pub fn in_order(&self) -> Vec<(S, EpochMillis)> {
        let mut entered: Vec<_> = self.0.iter().map(|(&state, &at)| (state, at)).collect();
        // Stable, so that states entered in the same millisecond stay in the order of their life.
        entered.sort_by_key(|&(_, at)| at);
        entered
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_is_found_by_its_word() {
        for &status in JobStatus::ALL {
            assert_eq!(JobStatus::parse(status.as_str()), Ok(status));
        }
        for &state in ExecutionState::ALL {
            assert_eq!(ExecutionState::parse(state.as_str()), Ok(state));
        }
        assert_eq!(JobStatus::parse("running").expect_err("case matters").to_string(), "`running` is no job status");
    }

    #[test]
    fn one_failed_subtask_makes_the_vertex_failed() {
        use ExecutionState::{Created, Failed, Finished, Running};
        assert_eq!(ExecutionState::aggregate([Running, Failed]), Failed);
        assert_eq!(ExecutionState::aggregate([Running, Finished]), Running);
        assert_eq!(ExecutionState::aggregate([Finished, Finished]), Finished);
        assert_eq!(ExecutionState::aggregate([Created, Finished]), Running);
        assert_eq!(ExecutionState::aggregate([]), Created);
    }

    #[test]
    fn states_entered_in_one_millisecond_stay_in_the_order_of_their_life() {
        let mut timestamps = StatusTimestamps::default();
        timestamps.enter(ExecutionState::Running, 5);
        timestamps.enter(ExecutionState::Deploying, 5);
        timestamps.enter(ExecutionState::Created, 1);
        let states: Vec<_> = timestamps.in_order().into_iter().map(|(state, _)| state).collect();
        assert_eq!(states, [ExecutionState::Created, ExecutionState::Deploying, ExecutionState::Running]);
    }
}
