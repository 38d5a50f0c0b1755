//! Subtasks and their executions: which state each is in, since when, and where it runs.

use crate::failure::FailureCause;
use crate::id::{AttemptNumber, ExecutionAttemptId, SubtaskIndex, TaskManagerId, WorkerId};
use crate::scheduler::status::{ExecutionState, StatusTimestamps};
use crate::time::EpochMillis;

/// A subtask by the index of its vertex and its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct TaskIndex {
    /// Index of its vertex.
    pub vertex: usize,
    /// Its index.
    pub subtask: SubtaskIndex,
}

/// Where an execution runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The worker.
    pub worker: WorkerId,
    /// Its TaskManager.
    pub task_manager: TaskManagerId,
    /// The TaskManager's host.
    pub host: String,
    /// Where the worker's exchange listens, known once it has attached.
    pub data_address: Option<String>,
    /// Which of the worker's slots.
    pub slot: u32,
}

/// One execution of a subtask.
#[derive(Debug, Clone)]
pub struct Execution {
    /// Its id.
    pub attempt: ExecutionAttemptId,
    /// How often the subtask was started before.
    pub number: AttemptNumber,
    /// Where it is in its life.
    pub state: ExecutionState,
    /// When it entered each state.
    pub timestamps: StatusTimestamps<ExecutionState>,
    /// Where it runs; none before it has a slot.
    pub place: Option<Place>,
    /// Why it failed.
    pub failure: Option<FailureCause>,
}

impl Execution {
    pub(super) fn new(attempt: ExecutionAttemptId, number: AttemptNumber, now: EpochMillis) -> Self {
        let mut timestamps = StatusTimestamps::default();
        timestamps.enter(ExecutionState::Created, now);
        Self { attempt, number, state: ExecutionState::Created, timestamps, place: None, failure: None }
    }

    pub(super) fn enter(&mut self, state: ExecutionState, now: EpochMillis) {
        self.state = state;
        self.timestamps.enter(state, now);
    }

    /// Whether a worker has been told about it and has not ended it.
    pub(super) fn is_deployed(&self) -> bool {
        use ExecutionState::{Canceling, Deploying, Initializing, Running};
        matches!(self.state, Deploying | Initializing | Running | Canceling)
    }

    pub(super) fn runs_in(&self, worker: WorkerId) -> bool {
        self.place.as_ref().is_some_and(|place| place.worker == worker)
    }
}

/// A parallel instance of a vertex.
#[derive(Debug, Clone)]
pub struct Subtask {
    /// The execution that runs, or ran last.
    pub current: Execution,
    /// Executions before it, oldest first.
    pub earlier: Vec<Execution>,
}
