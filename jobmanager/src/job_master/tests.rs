use std::collections::BTreeMap;
use std::time::Duration;

use pelton_runtime_core::graph::{JobVertex, OperatorNode, OperatorRole, StockOperator};
use pelton_runtime_core::id::{JobVertexId, OperatorId, TaskManagerId};
use pelton_runtime_core::scheduler::job::SchedulerSettings;
use proto::task_manager_command::Command;

use super::*;
use crate::manual_world::ManualClock;
use crate::resource_manager::{self, Registration};
use crate::view::{HardwareView, MemoryView};

const HEARTBEAT: HeartbeatSettings =
    HeartbeatSettings { interval: Duration::from_secs(10), timeout: Duration::from_secs(50) };
const JOB: JobId = JobId::from_bytes([7; 16]);

fn graph() -> JobGraph {
    let id = OperatorId::from_bytes([3; 16]);
    let stock = Some(StockOperator { kind: "numbers".into(), payload: Vec::new() });
    let name = "Source: Numbers".to_owned();
    let head = OperatorNode { id, uid: None, name: name.clone(), role: OperatorRole::Source, input: None, stock };
    let vertex = JobVertex {
        id: JobVertexId::of_head(id),
        name,
        parallelism: 1,
        max_parallelism: 128,
        slot_sharing_group: "default".into(),
        operators: vec![head],
    };
    JobGraph { name: "numbers".into(), vertices: vec![vertex], edges: Vec::new(), configuration: BTreeMap::new() }
}

/// A job with one worker, which is about to attach.
struct Job {
    clock: ManualClock,
    manager: ResourceManagerHandle,
    master: JobMasterHandle,
    settled: mpsc::Receiver<Arc<JobView>>,
    worker: WorkerId,
    task_manager: TaskManager,
}

struct TaskManager {
    id: TaskManagerId,
    connection: resource_manager::ConnectionId,
    commands: mpsc::Receiver<Result<proto::TaskManagerCommand, tonic::Status>>,
}

impl TaskManager {
    async fn command<T>(&mut self, wanted: impl Fn(Command) -> Option<T>) -> T {
        loop {
            let command = self.commands.recv().await.expect("open").expect("sound").command;
            if let Some(found) = command.and_then(&wanted) {
                return found;
            }
        }
    }
}

impl Job {
    async fn start() -> Self {
        let (clock, env) = ManualClock::new();
        let manager = resource_manager::spawn(&env, HEARTBEAT);
        let registration = Registration {
            id: TaskManagerId("tm".into()),
            host: "host".into(),
            rpc_port: 1,
            data_port: 0,
            slots: 1,
            hardware: HardwareView { cpu_cores: 1, physical_memory_bytes: 1 },
            memory: MemoryView::default(),
            workers: Vec::new(),
        };
        let id = registration.id.clone();
        let (sender, commands) = mpsc::channel(resource_manager::COMMANDS_CAPACITY);
        let connection = manager.register(registration, sender).await.expect("registered");
        let heartbeat = proto::task_manager_report::Report::Heartbeat(proto::TaskManagerHeartbeat::default());
        manager.report(id.clone(), connection, heartbeat).await.expect("taken");

        let job = JobDescription { id: JOB, graph: Arc::new(graph()), artifact: None, arguments: Vec::new() };
        let settings = JobMasterSettings {
            scheduler: SchedulerSettings::default(),
            heartbeat: HEARTBEAT,
            address: "localhost:1".into(),
            epoch: Epoch(1),
            checkpoints: None,
            recovered: None,
        };
        let (ended, settled) = mpsc::channel(1);
        let master = spawn(&env, job, settings, manager.clone(), ended).await.expect("spawned");
        let mut task_manager = TaskManager { id, connection, commands };
        let started = |command| if let Command::StartWorker(start) = command { Some(start.worker_id) } else { None };
        let worker = task_manager.command(started).await;
        let worker = WorkerId::try_from(worker.as_slice()).expect("an id");
        Self { clock, manager, master, settled, worker, task_manager }
    }

    async fn attach(&self) -> mpsc::Receiver<Result<proto::WorkerCommand, tonic::Status>> {
        let (sender, commands) = mpsc::channel(COMMANDS_CAPACITY);
        let fingerprint = self.master.fingerprint().to_owned();
        let attach = Attach { worker: self.worker, fingerprint, data_address: "host:9".into(), process_id: 1 };
        self.master.attach(attach, Epoch(1), sender).await.expect("let in");
        commands
    }

    async fn end(&mut self) -> JobStatus {
        self.settled.recv().await.expect("a last view").status
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_the_resource_manager_has_given_up_ends_and_releases_its_workers() {
    let mut job = Job::start().await;
    let mut worker = job.attach().await;
    job.manager.close_job(JOB).await.expect("taken");
    let ended = Env::production().timeout(Duration::from_secs(10), job.end()).await;
    assert_eq!(ended, Ok(JobStatus::Suspended));
    while worker.recv().await.is_some() {}
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_the_job_manager_has_left_waits_for_its_workers() {
    let Job { manager, master, mut settled, worker, mut task_manager, clock: _clock } = Job::start().await;
    drop(master);
    let stopped = |command| if let Command::StopWorker(stop) = command { Some(stop.worker_id) } else { None };
    assert_eq!(task_manager.command(stopped).await, worker.to_wire());
    let exited = proto::WorkerExited { worker_id: worker.to_wire(), requested: true, ..Default::default() };
    let exited = proto::task_manager_report::Report::WorkerExited(exited);
    manager.report(task_manager.id, task_manager.connection, exited).await.expect("taken");
    let last = Env::production().timeout(Duration::from_secs(10), settled.recv()).await.expect("in time");
    assert_eq!(last.expect("a last view").status, JobStatus::Suspended);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_manager_that_was_stopped_gives_workers_a_fresh_timeout() {
    let job = Job::start().await;
    let mut commands = job.attach().await;
    job.clock.advance(HEARTBEAT.timeout * 3);
    // The view is answered after the check.
    job.master.view().await.expect("answered");
    let attached = std::iter::from_fn(|| commands.try_recv().ok());
    let heartbeats = attached
        .flatten()
        .filter(|message| matches!(message.command, Some(proto::worker_command::Command::Heartbeat(_))));
    assert_eq!(heartbeats.count(), 1);
    assert!(!commands.is_closed());
}
