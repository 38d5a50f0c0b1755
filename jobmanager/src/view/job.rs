//! A job, its vertices, their subtasks and what they have done.

use std::collections::BTreeMap;
use std::sync::Arc;

use pelton_runtime_core::accumulator::{self, AccumulatorValue};
use pelton_runtime_core::failure::FailureCause;
use pelton_runtime_core::graph::{JobGraph, JobVertex};
use pelton_runtime_core::id::{AttemptNumber, ExecutionAttemptId, JobId, JobVertexId, SubtaskIndex, TaskManagerId};
use pelton_runtime_core::scheduler::status::{ExecutionState, JobStatus, StatusTimestamps};
use pelton_runtime_core::time::EpochMillis;

use super::CheckpointsView;

/// A job at one moment.
#[derive(Debug, Clone)]
pub struct JobView {
    /// Its id.
    pub id: JobId,
    /// What people call it.
    pub name: String,
    /// What it runs.
    pub graph: Arc<JobGraph>,
    /// Where it is in its life.
    pub status: JobStatus,
    /// When it entered each state; the job started when it entered `INITIALIZING`.
    pub timestamps: StatusTimestamps<JobStatus>,
    /// One per vertex of the graph, in its order.
    pub vertices: Vec<VertexView>,
    /// Failures, the newest first, at most `web.exception-history-size`.
    pub exceptions: Vec<ExceptionView>,
    /// Whether older failures have been forgotten.
    pub exceptions_truncated: bool,
    /// How often it was restarted.
    pub restarts: u64,
    /// The restart strategy in words.
    pub restart_strategy: String,
    /// The configuration that the client or the program set for it.
    pub configuration: BTreeMap<String, String>,
    /// The program's arguments.
    pub arguments: Vec<String>,
    /// Its checkpoints; none if it takes none.
    pub checkpoints: Option<Arc<CheckpointsView>>,
}

impl JobView {
    /// When it was submitted.
    pub fn start_time(&self) -> EpochMillis {
        self.timestamps.get(JobStatus::Initializing).unwrap_or(0)
    }

    /// When it ended; none while it has not.
    pub fn end_time(&self) -> Option<EpochMillis> {
        if self.status.is_globally_terminal() { self.timestamps.get(self.status) } else { None }
    }

    /// How long it has run, or ran.
    pub fn duration_ms(&self, now: EpochMillis) -> i64 {
        (self.end_time().unwrap_or(now) - self.start_time()).max(0)
    }

    /// When anything about it changed last.
    pub fn last_modification(&self) -> EpochMillis {
        let subtasks = self.vertices.iter().flat_map(|vertex| &vertex.subtasks);
        subtasks
            .filter_map(|subtask| subtask.current.timestamps.latest())
            .chain(self.timestamps.latest())
            .max()
            .unwrap_or(0)
    }

    /// The vertex with this id, in the graph and as it runs.
    pub fn vertex(&self, id: JobVertexId) -> Option<(&JobVertex, &VertexView)> {
        self.vertices().find(|(vertex, _)| vertex.id == id)
    }

    /// What the functions of all vertices have added up.
    pub fn accumulators(&self) -> accumulator::Merged {
        accumulator::merge(self.vertices.iter().flat_map(VertexView::own_accumulators))
    }

    /// All vertices, in the graph and as they run.
    pub fn vertices(&self) -> impl Iterator<Item = (&JobVertex, &VertexView)> {
        self.graph.vertices.iter().zip(&self.vertices)
    }
}

/// A vertex at one moment.
#[derive(Debug, Clone, Default)]
pub struct VertexView {
    /// One per parallel instance, by index.
    pub subtasks: Vec<SubtaskView>,
}

impl VertexView {
    /// What the functions of its current attempts have added up.
    pub fn accumulators(&self) -> accumulator::Merged {
        accumulator::merge(self.own_accumulators())
    }

    fn own_accumulators(&self) -> impl Iterator<Item = (&String, &AccumulatorValue)> {
        let current = self.subtasks.iter().map(|subtask| &subtask.current);
        current.flat_map(|attempt| &attempt.metrics.accumulators).map(|(name, value)| (name, value))
    }

    /// The subtasks' current attempts with their indices.
    pub fn current(&self) -> impl Iterator<Item = (SubtaskIndex, &AttemptView)> {
        (0..).zip(self.subtasks.iter().map(|subtask| &subtask.current))
    }
}

/// A parallel instance of a vertex at one moment.
#[derive(Debug, Clone)]
pub struct SubtaskView {
    /// The attempt that runs, or ran last.
    pub current: AttemptView,
    /// Attempts before it, oldest first; bounded by who keeps them.
    pub earlier: Vec<AttemptView>,
}

impl SubtaskView {
    /// The attempt with this number, when it is still remembered.
    pub fn attempt(&self, number: AttemptNumber) -> Option<&AttemptView> {
        std::iter::once(&self.current).chain(&self.earlier).find(|attempt| attempt.number == number)
    }
}

/// One execution of a subtask at one moment.
#[derive(Debug, Clone)]
pub struct AttemptView {
    /// How often the subtask was started before.
    pub number: AttemptNumber,
    /// Its id.
    pub id: ExecutionAttemptId,
    /// Where it is in its life.
    pub state: ExecutionState,
    /// When it entered each state.
    pub timestamps: StatusTimestamps<ExecutionState>,
    /// Where it runs; none before it has a slot.
    pub location: Option<AttemptLocation>,
    /// What it has done.
    pub metrics: TaskMetricsView,
    /// Why it failed.
    pub failure: Option<FailureCause>,
}

/// Where an attempt runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptLocation {
    /// The TaskManager.
    pub task_manager: TaskManagerId,
    /// `host:port` of its data exchange.
    pub endpoint: String,
}

impl AttemptView {
    /// When it was sent to its worker; none before.
    pub fn start_time(&self) -> Option<EpochMillis> {
        self.timestamps.get(ExecutionState::Deploying)
    }

    /// When it ended; none while it has not.
    pub fn end_time(&self) -> Option<EpochMillis> {
        if self.state.is_terminal() { self.timestamps.get(self.state) } else { None }
    }
}

/// What an attempt has done since it started.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TaskMetricsView {
    /// Whether the attempt has reported at all.
    pub reported: bool,
    /// Rows read from other tasks.
    pub records_in: u64,
    /// Rows sent to other tasks.
    pub records_out: u64,
    /// Bytes read from other tasks.
    pub bytes_in: u64,
    /// Bytes sent to other tasks.
    pub bytes_out: u64,
    /// Nanoseconds spent working.
    pub busy_ns: u64,
    /// Nanoseconds spent without input.
    pub idle_ns: u64,
    /// Nanoseconds spent waiting for room downstream.
    pub backpressured_ns: u64,
    /// The report's number among those about the attempt.
    pub number: u64,
    /// What happened per second in the last reporting interval.
    pub rates: TaskRatesView,
    /// The combined watermark of the inputs.
    pub watermark: Option<EpochMillis>,
    /// Rows that came too late for their window.
    pub late_records_dropped: u64,
    /// The chain's operators, in order.
    pub operators: Vec<OperatorMetricsView>,
    /// What the functions of its chain have added up, each under its name; one name may come from several operators.
    pub accumulators: Vec<(String, AccumulatorValue)>,
}

/// What an attempt does per second.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct TaskRatesView {
    /// Rows read per second.
    pub records_in: f64,
    /// Rows sent per second.
    pub records_out: f64,
    /// Bytes read per second.
    pub bytes_in: f64,
    /// Bytes sent per second.
    pub bytes_out: f64,
    /// Milliseconds of work per second, 0 to 1000.
    pub busy_ms: f64,
    /// Milliseconds without input per second, 0 to 1000.
    pub idle_ms: f64,
    /// Milliseconds without room downstream per second, 0 to 1000.
    pub backpressured_ms: f64,
    /// When these rates were measured.
    pub measured_at: EpochMillis,
}

/// What one operator instance has done.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct OperatorMetricsView {
    /// Rows that came in.
    pub records_in: u64,
    /// Rows that went out.
    pub records_out: u64,
    /// Rows in per second.
    pub records_in_per_second: f64,
    /// Rows out per second.
    pub records_out_per_second: f64,
    /// The watermark the operator has seen.
    pub watermark: Option<EpochMillis>,
    /// The operator's own counters.
    pub counters: BTreeMap<String, u64>,
    /// The numbers that the operator has set.
    pub gauges: BTreeMap<String, f64>,
    /// How many events its meters have counted, and how many there are per second.
    pub meters: BTreeMap<String, (u64, f64)>,
}

/// A failure that the job has seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExceptionView {
    /// Why.
    pub cause: FailureCause,
    /// Why the job was not restarted, in Flink's words; none when it was, or when this was no root cause.
    pub suppressed: Option<String>,
    /// The subtask's name as `name (i/n) - execution #k`, when one failed.
    pub task_name: Option<String>,
    /// `host:port` of the TaskManager, when one is concerned.
    pub endpoint: Option<String>,
    /// Labels that enrichers gave it.
    pub labels: BTreeMap<String, String>,
    /// Failures that came while this one was handled.
    pub concurrent: Vec<ExceptionView>,
}
