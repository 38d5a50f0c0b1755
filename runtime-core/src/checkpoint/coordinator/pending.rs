//! A checkpoint that has begun and does not exist yet.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::fact::RequestId;
use super::tasks::{TaskKey, Tasks};
use crate::checkpoint::layout::{self, Owner};
use crate::checkpoint::record::{
    CheckpointRecord, OperatorRecord, RecordKind, StateFileHandle, StateHandle, SubtaskRecord, VertexRecord,
};
use crate::element::{AfterSavepoint, CheckpointId, Savepoint};
use crate::graph::JobGraph;
use crate::id::{Epoch, ExecutionAttemptId, JobId};
use crate::planted::{PlantedFault, is_planted};
use crate::time::EpochMillis;

/// How far it is.
#[derive(Debug, PartialEq)]
pub(super) enum Stage {
    /// Tasks have still to acknowledge.
    Collecting,
    /// Its record is being stored; it may exist. Its storage has given no answer so many times.
    Storing(Arc<CheckpointRecord>, u32),
}

#[derive(Debug)]
pub(super) struct Pending {
    pub(super) checkpoint: CheckpointId,
    pub(super) triggered_at: EpochMillis,
    pub(super) savepoint: Option<Arc<Savepoint>>,
    pub(super) stage: Stage,
    /// The checkpoint whose files it may name again, so that these stay.
    pub(super) base: Option<Arc<CheckpointRecord>>,
    /// Those who asked for it.
    pub(super) requests: Vec<RequestId>,
    /// Executions that ran when it began.
    participants: Vec<ExecutionAttemptId>,
    told: BTreeSet<ExecutionAttemptId>,
    waiting: BTreeMap<ExecutionAttemptId, TaskKey>,
    states: BTreeMap<TaskKey, SubtaskRecord>,
}

impl Pending {
    pub(super) fn new(
        checkpoint: CheckpointId,
        triggered_at: EpochMillis,
        savepoint: Option<Arc<Savepoint>>,
        base: Option<Arc<CheckpointRecord>>,
        tasks: &Tasks,
        requests: Vec<RequestId>,
    ) -> Self {
        let finished = |state: &StateHandle| SubtaskRecord { state: state.clone(), finished: true };
        Self {
            checkpoint,
            triggered_at,
            savepoint,
            stage: Stage::Collecting,
            base,
            requests,
            participants: tasks.running().map(|(_, attempt)| attempt).collect(),
            told: BTreeSet::new(),
            waiting: tasks.running().map(|(key, attempt)| (attempt, key)).collect(),
            states: tasks.finished().map(|(key, state)| (key, finished(state))).collect(),
        }
    }

    /// How many tasks had finished when it began.
    pub(super) fn already_finished(&self) -> usize {
        self.states.len()
    }

    pub(super) fn participants(&self) -> &[ExecutionAttemptId] {
        &self.participants
    }

    /// Whether this task has yet to be told; it counts as told from now on.
    pub(super) fn tell(&mut self, attempt: ExecutionAttemptId) -> bool {
        self.waiting.contains_key(&attempt) && self.told.insert(attempt)
    }

    pub(super) fn waits_for(&self, attempt: ExecutionAttemptId) -> Option<TaskKey> {
        self.waiting.get(&attempt).copied()
    }

    pub(super) fn acknowledged(&mut self, task: TaskKey, attempt: ExecutionAttemptId, state: StateHandle) {
        if self.waiting.remove(&attempt).is_some() {
            self.states.insert(task, SubtaskRecord { state, finished: false });
        }
    }

    /// The task has ended without passing the barrier: its last state is its part.
    pub(super) fn finished(&mut self, task: TaskKey, attempt: ExecutionAttemptId, state: StateHandle) {
        if self.waiting.remove(&attempt).is_some() {
            self.states.insert(task, SubtaskRecord { state, finished: true });
        }
    }

    /// Whether every part is there and its record can be stored.
    pub(super) fn is_ready(&self) -> bool {
        self.stage == Stage::Collecting && self.waiting.is_empty()
    }

    pub(super) fn is_storing(&self) -> bool {
        matches!(self.stage, Stage::Storing(..))
    }

    /// All files that it names so far.
    pub(super) fn files(&self) -> impl Iterator<Item = &StateFileHandle> {
        self.states.values().flat_map(|subtask| subtask.state.files())
    }

    /// The first of the files of this state that is neither the execution's own nor the base's.
    pub(super) fn foreign<'h>(&self, attempt: ExecutionAttemptId, state: &'h StateHandle) -> Option<&'h str> {
        let own = layout::increments(self.checkpoint, attempt);
        let known: BTreeSet<&str> = self.base.iter().flat_map(|base| base.shared_paths()).collect();
        let is_known = |path: &str| path.starts_with(&own) || known.contains(path);
        let shared = state.shared().iter().map(|file| file.path.as_str()).find(|path| !is_known(path));
        let path = self.state_path(attempt);
        shared.or(state.file().map(|file| file.path.as_str()).filter(|named| *named != path))
    }

    /// The file that an execution writes for it.
    pub(super) fn state_path(&self, attempt: ExecutionAttemptId) -> String {
        match self.savepoint {
            Some(_) => layout::savepoint_state(attempt),
            None => layout::state(self.checkpoint, attempt),
        }
    }

    /// Whether the job stops after it, or is cancelled.
    pub(super) fn ends_job(&self) -> bool {
        self.savepoint.as_ref().is_some_and(|savepoint| savepoint.then != AfterSavepoint::GoOn)
    }

    /// Whether event time ends for it.
    pub(super) fn drains_job(&self) -> bool {
        self.savepoint.as_ref().is_some_and(|savepoint| savepoint.then == AfterSavepoint::Drain)
    }

    /// The files that were written for this checkpoint alone; those of a savepoint are all in its directory.
    pub(super) fn own_files(&self) -> Vec<String> {
        if self.savepoint.is_some() {
            return Vec::new();
        }
        let own = [Owner::Checkpoint(self.checkpoint), Owner::Increment(self.checkpoint)];
        let is_own = |path: &String| layout::owner(path).is_some_and(|owner| own.contains(&owner));
        self.files().map(|file| file.path.clone()).filter(is_own).collect()
    }

    /// The files that have to be copied into the savepoint's directory, and their names there.
    pub(super) fn copies(&self) -> Vec<(String, String)> {
        let files = self.states.values().filter_map(|subtask| subtask.state.file());
        let foreign = files.filter_map(|file| Some((file.path.clone(), copied(&file.path)?)));
        if self.savepoint.is_some() { foreign.collect() } else { Vec::new() }
    }

    /// A part as the record names it.
    fn placed(&self, part: &SubtaskRecord) -> SubtaskRecord {
        let mut part = part.clone();
        if let (StateHandle::File(file), true) = (&mut part.state, self.savepoint.is_some())
            && let Some(path) = copied(&file.path)
        {
            file.path = path;
        }
        part
    }

    pub(super) fn record(&self, job: JobId, epoch: Epoch, graph: &JobGraph, now: EpochMillis) -> CheckpointRecord {
        let nothing = SubtaskRecord { state: StateHandle::Empty, finished: false };
        let state = |key: TaskKey| match key.subtask {
            0 if is_planted(PlantedFault::StateOfOneSubtaskMissing) => &nothing,
            _ => &self.states[&key],
        };
        let vertices = graph.vertices.iter().enumerate().map(|(vertex, described)| VertexRecord {
            id: described.id,
            name: described.name.clone(),
            max_parallelism: described.max_parallelism,
            operators: described
                .operators
                .iter()
                .map(|operator| OperatorRecord {
                    id: operator.id,
                    uid: operator.uid.clone(),
                    name: operator.name.clone(),
                })
                .collect(),
            subtasks: (0..described.parallelism)
                .map(|subtask| self.placed(state(TaskKey { vertex, subtask })))
                .collect(),
        });
        CheckpointRecord {
            kind: if self.savepoint.is_some() { RecordKind::Savepoint } else { RecordKind::Checkpoint },
            job,
            checkpoint: self.checkpoint,
            epoch,
            triggered_at: self.triggered_at,
            completed_at: now,
            vertices: vertices.collect(),
        }
    }
}

/// What the last state of a finished task is called in a savepoint; none for a file that is there already.
fn copied(path: &str) -> Option<String> {
    path.rsplit_once('/').map(|(_, name)| name.to_owned())
}
