//! A cluster that exists only as views: one job running, one finished, one failed, one TaskManager.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use pelton_runtime_core::accumulator::AccumulatorValue;
use pelton_runtime_core::element::CheckpointId;
use pelton_runtime_core::failure::{FailureCause, FailureClass};
use pelton_runtime_core::graph::{
    ChainedInput, DEFAULT_SLOT_SHARING_GROUP, JobEdge, JobGraph, JobVertex, OperatorNode, OperatorRole, Partitioner,
};
use pelton_runtime_core::id::{ExecutionAttemptId, JobId, JobVertexId, OperatorId, TaskManagerId, TriggerId};
use pelton_runtime_core::scheduler::status::{ExecutionState, JobStatus, StatusTimestamps};
use pelton_runtime_core::time::EpochMillis;

use super::checkpoints;
use crate::view::*;

/// When the test happens.
pub(super) const NOW: EpochMillis = 1_795_243_038_462;
/// The TaskManager.
pub(super) const TASK_MANAGER: &str = "127.0.0.1:16131-324f25";

/// A job's id, by its state.
pub(super) fn job_id(status: JobStatus) -> JobId {
    JobId::from_bytes([0xa0 + status as u8; 16])
}

/// The id of the vertex with an input.
pub(super) fn window() -> JobVertexId {
    JobVertexId::from_bytes([3; 16])
}

/// Remembers what it was told to do.
#[derive(Default)]
pub(super) struct MadeUpCluster {
    pub(super) cancelled: Mutex<Vec<JobId>>,
    pub(super) shut_down: Mutex<bool>,
    /// What was started; each is done by the second look.
    pub(super) started: Mutex<Vec<(TriggerId, Operation, bool)>>,
    /// Why it answers nothing, when it does not.
    pub(super) unavailable: Option<&'static str>,
}

fn operator(byte: u8, name: &str, role: OperatorRole, input: Option<ChainedInput>) -> OperatorNode {
    OperatorNode { id: OperatorId::from_bytes([byte; 16]), uid: None, name: name.to_owned(), role, input, stock: None }
}

fn vertex(id: JobVertexId, name: &str, operators: Vec<OperatorNode>) -> JobVertex {
    JobVertex {
        id,
        name: name.to_owned(),
        parallelism: 2,
        max_parallelism: 128,
        slot_sharing_group: DEFAULT_SLOT_SHARING_GROUP.to_owned(),
        operators,
    }
}

fn graph() -> JobGraph {
    let head = Some(ChainedInput { operator: 0, port: 0 });
    let source = vertex(
        JobVertexId::from_bytes([1; 16]),
        "Source: gen -> to-kv",
        vec![
            operator(1, "Source: gen", OperatorRole::Source, None),
            operator(2, "to-kv", OperatorRole::Transform, head),
        ],
    );
    let window = vertex(
        window(),
        "window-sum -> discard: Writer",
        vec![
            operator(3, "window-sum", OperatorRole::Transform, None),
            operator(4, "discard: Writer", OperatorRole::Sink, head),
        ],
    );
    JobGraph {
        name: "stream-running".to_owned(),
        vertices: vec![source, window],
        edges: vec![JobEdge {
            source: 0,
            source_operator: 1,
            source_port: 0,
            target: 1,
            target_input: 0,
            partitioner: Partitioner::Hash { key_columns: vec!["k".to_owned()] },
        }],
        configuration: BTreeMap::new(),
    }
}

fn attempt(subtask: u8, state: ExecutionState) -> AttemptView {
    let mut timestamps = StatusTimestamps::default();
    let life = [
        (ExecutionState::Created, 5000),
        (ExecutionState::Scheduled, 4900),
        (ExecutionState::Deploying, 4700),
        (ExecutionState::Initializing, 4500),
        (ExecutionState::Running, 4000),
    ];
    life.into_iter().for_each(|(state, ago)| timestamps.enter(state, NOW - ago));
    if state.is_terminal() {
        timestamps.enter(state, NOW - 1000);
    }
    AttemptView {
        number: 0,
        id: ExecutionAttemptId::from_bytes([subtask; 16]),
        state,
        timestamps,
        location: Some(AttemptLocation {
            task_manager: TaskManagerId(TASK_MANAGER.to_owned()),
            endpoint: "localhost:35519".to_owned(),
        }),
        metrics: metrics(u64::from(subtask)),
        failure: None,
    }
}

fn metrics(subtask: u64) -> TaskMetricsView {
    TaskMetricsView {
        reported: true,
        number: 1,
        records_in: 1000 + subtask,
        records_out: 10,
        bytes_in: 32_000,
        bytes_out: 320,
        busy_ns: 900_000_000,
        idle_ns: 3_000_000_000,
        backpressured_ns: 100_000_000,
        rates: TaskRatesView {
            records_in: 250.0,
            busy_ms: 225.5,
            idle_ms: 749.6,
            backpressured_ms: 24.9,
            measured_at: NOW - 500,
            ..TaskRatesView::default()
        },
        watermark: Some(NOW - 2000),
        late_records_dropped: 0,
        operators: vec![
            OperatorMetricsView {
                counters: BTreeMap::from([("numLateRecordsDropped".to_owned(), 7)]),
                ..OperatorMetricsView::default()
            },
            OperatorMetricsView {
                records_in: 144,
                gauges: BTreeMap::from([("custom.load".to_owned(), 0.5)]),
                meters: BTreeMap::from([("custom.events".to_owned(), (100, 25.0))]),
                ..OperatorMetricsView::default()
            },
        ],
        accumulators: vec![
            ("my-int-counter".to_owned(), AccumulatorValue::IntCounter(17_931)),
            ("my-long-counter".to_owned(), AccumulatorValue::LongCounter(100 + subtask as i64)),
        ],
    }
}

fn job(status: JobStatus, state: ExecutionState) -> Arc<JobView> {
    let mut timestamps = StatusTimestamps::default();
    timestamps.enter(JobStatus::Initializing, NOW - 6000);
    timestamps.enter(JobStatus::Created, NOW - 5500);
    timestamps.enter(JobStatus::Running, NOW - 5000);
    if status.is_terminal() {
        timestamps.enter(status, NOW - 1000);
    }
    let subtask = |index| SubtaskView { current: attempt(index, state), earlier: Vec::new() };
    let vertex = VertexView { subtasks: vec![subtask(0), subtask(1)] };
    Arc::new(JobView {
        id: job_id(status),
        name: "stream-running".to_owned(),
        graph: Arc::new(graph()),
        status,
        timestamps,
        vertices: vec![vertex.clone(), vertex],
        exceptions: if status == JobStatus::Failed { vec![exception()] } else { Vec::new() },
        exceptions_truncated: false,
        restarts: 0,
        restart_strategy: "none".to_owned(),
        configuration: BTreeMap::from([(
            "pipeline.global-job-parameters".to_owned(),
            "demo.param:hello,db.password:hunter2".to_owned(),
        )]),
        arguments: Vec::new(),
        checkpoints: (status == JobStatus::Failed).then(|| Arc::new(checkpoints::made_up(graph()))),
    })
}

fn exception() -> ExceptionView {
    let task_failure = ExceptionView {
        suppressed: None,
        cause: FailureCause {
            task_manager: Some(TaskManagerId(TASK_MANAGER.to_owned())),
            signal_or_exit: Some("SIGSEGV".to_owned()),
            stderr_tail: vec!["the last words".to_owned()],
            ..FailureCause::new(FailureClass::User, "synthetic failure", NOW - 1100)
        },
        task_name: Some("Source: gen -> to-kv (1/2) - execution #0".to_owned()),
        endpoint: Some("localhost:35519".to_owned()),
        labels: BTreeMap::from([("kind".to_owned(), "synthetic".to_owned())]),
        concurrent: Vec::new(),
    };
    ExceptionView {
        cause: FailureCause::new(FailureClass::System, "no more restarts", NOW - 1000),
        suppressed: None,
        task_name: None,
        endpoint: None,
        labels: BTreeMap::new(),
        concurrent: vec![task_failure],
    }
}

fn task_manager() -> TaskManagerView {
    TaskManagerView {
        id: TaskManagerId(TASK_MANAGER.to_owned()),
        path: "http://127.0.0.1:16131".to_owned(),
        host: "127.0.0.1".to_owned(),
        data_port: 39_133,
        last_heartbeat: NOW - 300,
        slots_total: 2,
        slots_free: 1,
        allocated: vec![AllocatedSlotView { job: job_id(JobStatus::Running) }],
        hardware: HardwareView { cpu_cores: 2, physical_memory_bytes: 25_276_502_016 },
        memory: MemoryView {
            process_bytes: 1_811_939_328,
            task_bytes: 402_653_184,
            managed_bytes: 536_870_912,
            network_bytes: 134_217_728,
            framework_bytes: 134_217_728,
            overhead_bytes: 201_326_592,
        },
        metrics: ProcessMetricsView { resident_bytes: 20_000_000, ..ProcessMetricsView::default() },
        blocked: false,
    }
}

fn log_files() -> Vec<LogFileView> {
    vec![LogFileView { name: "taskmanager.log".to_owned(), size_bytes: 9, modified: NOW }]
}

fn log(which: &WhichLog) -> Result<LogBody, LogError> {
    let content: &'static [u8] = match which {
        WhichLog::Log => b"main log\n",
        WhichLog::Stdout => b"",
        WhichLog::Named(name) if name == "taskmanager.log" => b"named log\n",
        WhichLog::Named(name) => return Err(LogError::NoSuchFile(name.clone())),
    };
    Ok(Box::pin(futures::stream::iter([Ok(Bytes::from_static(content))])))
}

fn known(id: &TaskManagerId) -> Result<(), LogError> {
    if id.0 == TASK_MANAGER { Ok(()) } else { Err(LogError::UnknownTaskManager(id.clone())) }
}

fn threads() -> Vec<ThreadView> {
    vec![ThreadView { name: "main".to_owned(), text: "\"main\" waits".to_owned() }]
}

impl MadeUpCluster {
    fn check(&self) -> Result<(), Unavailable> {
        match self.unavailable {
            Some(reason) => Err(Unavailable { reason: reason.to_owned() }),
            None => Ok(()),
        }
    }
}

#[async_trait]
impl ClusterPort for MadeUpCluster {
    fn now(&self) -> EpochMillis {
        NOW
    }

    async fn jobs(&self) -> Result<Vec<Arc<JobView>>, Unavailable> {
        self.check()?;
        Ok(vec![
            job(JobStatus::Running, ExecutionState::Running),
            job(JobStatus::Finished, ExecutionState::Finished),
            job(JobStatus::Failed, ExecutionState::Failed),
            job(JobStatus::Canceled, ExecutionState::Canceled),
        ])
    }

    async fn job(&self, job: JobId) -> Result<Option<Arc<JobView>>, Unavailable> {
        Ok(self.jobs().await?.into_iter().find(|each| each.id == job))
    }

    async fn cancel(&self, job: JobId) -> Result<(), CancelError> {
        match self.job(job).await? {
            None => Err(CancelError::UnknownJob(job)),
            Some(view) if view.status.is_terminal() => Err(CancelError::AlreadyTerminal { job, status: view.status }),
            Some(_) => {
                self.cancelled.lock().push(job);
                Ok(())
            }
        }
    }

    fn new_trigger(&self) -> TriggerId {
        TriggerId::from_bytes([7; 16])
    }

    fn trigger(&self, id: TriggerId, operation: Operation) -> Result<(), TooManyOperations> {
        let mut started = self.started.lock();
        if started.iter().all(|(known, other, _)| other.key(*known) != operation.key(id)) {
            started.push((id, operation, false));
        }
        Ok(())
    }

    fn operation(&self, key: OperationKey) -> Option<Option<OperationOutcome>> {
        let mut started = self.started.lock();
        let (_, operation, looked) = started.iter_mut().find(|(id, operation, _)| operation.key(*id) == key)?;
        if !std::mem::replace(looked, true) {
            return Some(None);
        }
        Some(Some(match operation {
            Operation::Checkpoint { .. } => Ok(OperationResult::Checkpoint(CheckpointId(40))),
            Operation::Dispose { path } if path.contains("nope") => Err("there is none".to_owned()),
            Operation::Dispose { .. } => Ok(OperationResult::Disposed),
            Operation::Savepoint { directory: None, .. } => Err("nobody says where".to_owned()),
            Operation::Savepoint { directory: Some(directory), .. }
            | Operation::CancelWithSavepoint { directory: Some(directory), .. } => {
                Ok(OperationResult::Savepoint { location: format!("{directory}/savepoint-1") })
            }
            Operation::CancelWithSavepoint { directory: None, .. } => Err("nobody says where".to_owned()),
        }))
    }

    async fn task_managers(&self) -> Result<Vec<TaskManagerView>, Unavailable> {
        self.check()?;
        Ok(vec![task_manager()])
    }

    async fn task_manager_logs(&self, id: &TaskManagerId) -> Result<Vec<LogFileView>, LogError> {
        known(id)?;
        Ok(log_files())
    }

    async fn task_manager_log(&self, id: &TaskManagerId, which: WhichLog) -> Result<LogBody, LogError> {
        known(id)?;
        log(&which)
    }

    async fn task_manager_thread_dump(&self, id: &TaskManagerId) -> Result<Vec<ThreadView>, LogError> {
        known(id)?;
        Ok(threads())
    }

    async fn job_manager(&self) -> Result<JobManagerView, Unavailable> {
        self.check()?;
        Ok(JobManagerView {
            start_time: NOW - 10_000,
            metrics: ProcessMetricsView { resident_bytes: 10_000_000, ..ProcessMetricsView::default() },
            arguments: vec!["--configDir".to_owned()],
        })
    }

    fn configuration(&self) -> Vec<ConfigEntry> {
        vec![ConfigEntry { key: "rest.port".to_owned(), value: "8081".to_owned() }]
    }

    async fn job_manager_logs(&self) -> Result<Vec<LogFileView>, LogError> {
        Ok(log_files())
    }

    async fn job_manager_log(&self, which: WhichLog) -> Result<LogBody, LogError> {
        log(&which)
    }

    async fn job_manager_thread_dump(&self) -> Result<Vec<ThreadView>, LogError> {
        Ok(threads())
    }

    async fn shut_down(&self) -> Result<(), Unavailable> {
        *self.shut_down.lock() = true;
        Ok(())
    }
}
