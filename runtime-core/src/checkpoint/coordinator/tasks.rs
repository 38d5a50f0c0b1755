//! The executions of the job's tasks, as far as checkpoints care: which run, which have finished with which state.

use std::collections::BTreeMap;

use super::fact::DeployedTask;
use crate::checkpoint::record::StateHandle;
use crate::element::CheckpointId;
use crate::graph::{JobGraph, Partitioner};
use crate::id::{ExecutionAttemptId, SubtaskIndex};

/// A task by the index of its vertex and its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::checkpoint) struct TaskKey {
    pub(in crate::checkpoint) vertex: usize,
    pub(in crate::checkpoint) subtask: SubtaskIndex,
}

#[derive(Debug)]
struct Task {
    attempt: ExecutionAttemptId,
    state: TaskState,
    /// It waits for a checkpoint that has its last results.
    waits: Waits,
}

/// Whether a task has nothing left to do but to wait for a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Waits {
    No,
    /// For one that has not begun.
    ForTheNext,
    /// For this one, or a later one.
    For(CheckpointId),
}

#[derive(Debug, PartialEq)]
enum TaskState {
    Deployed,
    Running,
    Finished(StateHandle),
    /// Finished, with a state that nobody has kept.
    Forgotten,
}

/// The current executions.
#[derive(Debug)]
pub(super) struct Tasks {
    by_attempt: BTreeMap<ExecutionAttemptId, TaskKey>,
    tasks: BTreeMap<TaskKey, Task>,
    /// How many there must be.
    expected: usize,
    /// Vertices without inputs.
    sources: Vec<bool>,
    deployed: usize,
    running: usize,
}

impl Tasks {
    /// None is deployed.
    pub(super) fn none(graph: &JobGraph) -> Self {
        let mut sources = vec![true; graph.vertices.len()];
        graph.edges.iter().for_each(|edge| sources[edge.target] = false);
        Self {
            by_attempt: BTreeMap::new(),
            tasks: BTreeMap::new(),
            expected: graph.vertices.iter().map(|vertex| vertex.parallelism as usize).sum(),
            sources,
            deployed: 0,
            running: 0,
        }
    }

    /// These are deployed, in place of earlier executions of the same tasks, and do not run yet.
    pub(super) fn deploy(&mut self, graph: &JobGraph, deployed: &[DeployedTask]) {
        for task in deployed {
            if graph.vertices.get(task.vertex).is_none_or(|vertex| task.subtask >= vertex.parallelism) {
                continue;
            }
            let key = TaskKey { vertex: task.vertex, subtask: task.subtask };
            if let Some(earlier) = self.tasks.get(&key).map(|earlier| earlier.attempt) {
                self.end(earlier);
            }
            self.tasks.insert(key, Task { attempt: task.attempt, state: TaskState::Deployed, waits: Waits::No });
            self.by_attempt.insert(task.attempt, key);
            self.deployed += 1;
        }
    }

    /// This execution is over; the file of its last state, if it had finished with one.
    pub(super) fn end(&mut self, attempt: ExecutionAttemptId) -> Option<String> {
        let task = self.tasks.remove(&self.by_attempt.remove(&attempt)?)?;
        match task.state {
            TaskState::Deployed => self.deployed -= 1,
            TaskState::Running => self.running -= 1,
            TaskState::Forgotten => {}
            TaskState::Finished(state) => return state.file().map(|file| file.path.clone()),
        }
        None
    }

    pub(super) fn attempts(&self) -> Vec<ExecutionAttemptId> {
        self.by_attempt.keys().copied().collect()
    }

    pub(super) fn task_of(&self, attempt: ExecutionAttemptId) -> Option<TaskKey> {
        self.by_attempt.get(&attempt).copied()
    }

    pub(super) fn run(&mut self, attempt: ExecutionAttemptId) {
        let task = self.by_attempt.get(&attempt).and_then(|key| self.tasks.get_mut(key));
        if let Some(task) = task.filter(|task| task.state == TaskState::Deployed) {
            task.state = TaskState::Running;
            self.deployed -= 1;
            self.running += 1;
        }
    }

    /// This execution, if it runs, waits for a checkpoint that has its last results.
    pub(super) fn wait(&mut self, attempt: ExecutionAttemptId) {
        let task = self.by_attempt.get(&attempt).and_then(|key| self.tasks.get_mut(key));
        if let Some(task) = task.filter(|task| task.state == TaskState::Running && task.waits == Waits::No) {
            task.waits = Waits::ForTheNext;
        }
    }

    /// A checkpoint has begun: who waits for the next waits for this one.
    pub(super) fn begun(&mut self, checkpoint: CheckpointId) {
        for task in self.tasks.values_mut().filter(|task| task.waits == Waits::ForTheNext) {
            task.waits = Waits::For(checkpoint);
        }
    }

    /// A checkpoint was given up: who waits for it waits for the next.
    pub(super) fn given_up(&mut self, checkpoint: CheckpointId) {
        for task in self.tasks.values_mut().filter(|task| task.waits == Waits::For(checkpoint)) {
            task.waits = Waits::ForTheNext;
        }
    }

    /// Whether a running task waits for a checkpoint that has not begun.
    pub(super) fn any_waits(&self) -> bool {
        self.tasks.values().any(|task| task.state == TaskState::Running && task.waits == Waits::ForTheNext)
    }

    /// Answers whether that is news.
    pub(super) fn finish(&mut self, attempt: ExecutionAttemptId, state: Option<StateHandle>) -> bool {
        let Some(task) = self.by_attempt.get(&attempt).and_then(|key| self.tasks.get_mut(key)) else { return false };
        match task.state {
            TaskState::Deployed => self.deployed -= 1,
            TaskState::Running => self.running -= 1,
            TaskState::Finished(_) | TaskState::Forgotten => return false,
        }
        task.state = state.map_or(TaskState::Forgotten, TaskState::Finished);
        true
    }

    /// Whether every task runs or has finished.
    pub(super) fn all_started(&self) -> bool {
        self.tasks.len() == self.expected && self.deployed == 0
    }

    pub(super) fn any_running(&self) -> bool {
        self.running > 0
    }

    pub(super) fn is_running(&self, attempt: ExecutionAttemptId) -> bool {
        let task = self.by_attempt.get(&attempt).and_then(|key| self.tasks.get(key));
        task.is_some_and(|task| task.state == TaskState::Running)
    }

    pub(super) fn running(&self) -> impl Iterator<Item = (TaskKey, ExecutionAttemptId)> {
        self.tasks.iter().filter(|(_, task)| task.state == TaskState::Running).map(|(key, task)| (*key, task.attempt))
    }

    pub(super) fn finished(&self) -> impl Iterator<Item = (TaskKey, &StateHandle)> {
        self.tasks.iter().filter_map(|(key, task)| match &task.state {
            TaskState::Finished(state) => Some((*key, state)),
            _ => None,
        })
    }

    /// Whether the state of a task that has finished is gone.
    pub(super) fn any_forgotten(&self) -> bool {
        self.tasks.values().any(|task| task.state == TaskState::Forgotten)
    }

    pub(super) fn sources_have_finished(&self) -> bool {
        let mut sources = self.tasks.iter().filter(|(key, _)| self.sources[key.vertex]);
        sources.all(|(_, task)| matches!(task.state, TaskState::Finished(_) | TaskState::Forgotten))
    }

    /// Running tasks that no barrier will reach by itself.
    pub(super) fn without_running_predecessor(&self, graph: &JobGraph) -> impl Iterator<Item = ExecutionAttemptId> {
        let parallelism = |vertex: usize| graph.vertices[vertex].parallelism;
        let mut reached: Vec<Vec<bool>> =
            (0..graph.vertices.len()).map(|vertex| vec![false; parallelism(vertex) as usize]).collect();
        let mut writers: Vec<Vec<SubtaskIndex>> = vec![Vec::new(); graph.vertices.len()];
        self.running().for_each(|(key, _)| writers[key.vertex].push(key.subtask));
        for edge in &graph.edges {
            let (from, to) = (parallelism(edge.source), parallelism(edge.target));
            let one_to_some = matches!(edge.partitioner, Partitioner::Forward | Partitioner::Rescale);
            let writers = &writers[edge.source];
            // Otherwise any writer reaches all readers, and one stands for all.
            let writers = if one_to_some { &writers[..] } else { &writers[..writers.len().min(1)] };
            for &writer in writers {
                for reader in edge.partitioner.targets(writer, from, to).filter(|reader| *reader < to) {
                    reached[edge.target][reader as usize] = true;
                }
            }
        }
        self.running().filter(move |(key, _)| !reached[key.vertex][key.subtask as usize]).map(|(_, attempt)| attempt)
    }
}
