use std::time::Duration;

use pelton_proto as proto;
use pelton_runtime_core::id::{JobId, TaskManagerId, WorkerId};
use pelton_runtime_core::scheduler::job::Fact;
use proto::task_manager_command::Command;
use proto::task_manager_report::Report;
use tokio::sync::mpsc;

use super::*;
use crate::manual_world::ManualClock;
use crate::view::{HardwareView, MemoryView};

const HEARTBEAT: HeartbeatSettings =
    HeartbeatSettings { interval: Duration::from_secs(10), timeout: Duration::from_secs(50) };

struct Cluster {
    clock: ManualClock,
    manager: ResourceManagerHandle,
}

struct TaskManager {
    connection: ConnectionId,
    commands: mpsc::Receiver<Result<proto::TaskManagerCommand, tonic::Status>>,
}

struct Job {
    id: JobId,
    news: mpsc::Receiver<News>,
    granted: Option<ConnectionId>,
}

fn id() -> TaskManagerId {
    TaskManagerId("tm".into())
}

impl Cluster {
    fn start() -> Self {
        let (clock, env) = ManualClock::new();
        Self { clock, manager: spawn(&env, HEARTBEAT) }
    }

    async fn register(&self) -> TaskManager {
        let registration = Registration {
            id: id(),
            host: "host".into(),
            rpc_port: 1,
            data_port: 0,
            slots: 2,
            hardware: HardwareView { cpu_cores: 1, physical_memory_bytes: 1 },
            memory: MemoryView::default(),
            workers: Vec::new(),
        };
        let (sender, commands) = mpsc::channel(COMMANDS_CAPACITY);
        let connection = self.manager.register(registration, sender).await.expect("registered");
        TaskManager { connection, commands }
    }

    async fn heartbeat(&self, task_manager: &TaskManager) {
        let report = Report::Heartbeat(proto::TaskManagerHeartbeat::default());
        self.manager.report(id(), task_manager.connection, report).await.expect("taken");
    }

    async fn job(&self, slots: u32) -> Job {
        let job = JobId::from_bytes([7; 16]);
        let (sender, news) = mpsc::channel(NEWS_CAPACITY);
        self.manager.open_job(job, sender).await.expect("taken");
        self.manager.declare_need(job, slots).await.expect("taken");
        Job { id: job, news, granted: None }
    }

    async fn start_worker(&self, job: &Job) {
        let connection = job.granted.expect("slots");
        let (job, worker, task_manager) = (job.id, WorkerId::from_bytes([9; 16]), id());
        let command = proto::StartWorker::default();
        let order = WorkerOrder { job, worker, task_manager, connection, slots: 2, command };
        self.manager.start_worker(order).await.expect("taken");
    }

    /// What the job was told since the last time, but for what it waits for.
    async fn news(&self, job: &mut Job) -> Vec<&'static str> {
        self.slots_free().await;
        let mut news = Vec::new();
        while let Ok(heard) = job.news.try_recv() {
            match heard {
                News::SlotsGranted(offers) => {
                    job.granted = Some(offers[0].connection);
                    news.push("granted");
                }
                News::Fact(Fact::TaskManagerLost { .. }) => news.push("lost"),
                News::Fact(Fact::SlotsMissing(_)) => {}
                other => panic!("unexpected {other:?}"),
            }
        }
        news
    }

    /// The answer comes after everything that was said before has had its effect.
    async fn slots_free(&self) -> Vec<u32> {
        self.manager.view().await.expect("answered").iter().map(|view| view.slots_free).collect()
    }
}

impl TaskManager {
    fn was_told_to_start_a_worker(&mut self) -> bool {
        let commands = std::iter::from_fn(|| self.commands.try_recv().ok());
        commands.flatten().any(|message| matches!(message.command, Some(Command::StartWorker(_))))
    }
}

#[tokio::test]
async fn slots_count_from_the_first_heartbeat_so_that_a_slow_registration_fails_no_job() {
    let cluster = Cluster::start();
    let mut job = cluster.job(2).await;
    let _impatient = cluster.register().await;
    assert!(cluster.news(&mut job).await.is_empty(), "it may not have waited for the answer");
    let again = cluster.register().await;
    assert!(cluster.news(&mut job).await.is_empty());
    cluster.heartbeat(&again).await;
    assert_eq!(cluster.news(&mut job).await, ["granted"]);
    cluster.heartbeat(&again).await;
    assert_eq!((cluster.slots_free().await, cluster.news(&mut job).await.len()), (vec![0], 0));
}

#[tokio::test]
async fn a_task_manager_that_is_silent_for_the_timeout_is_lost() {
    let cluster = Cluster::start();
    let mut job = cluster.job(2).await;
    let task_manager = cluster.register().await;
    cluster.heartbeat(&task_manager).await;
    assert_eq!(cluster.news(&mut job).await, ["granted"]);
    cluster.start_worker(&job).await;
    for _ in 0..5 {
        cluster.clock.advance(HEARTBEAT.interval);
        assert!(cluster.news(&mut job).await.is_empty());
    }
    cluster.clock.advance(HEARTBEAT.interval);
    assert_eq!(cluster.news(&mut job).await, ["lost"]);
}

#[tokio::test]
async fn a_job_manager_that_was_stopped_gives_everybody_a_fresh_timeout() {
    let cluster = Cluster::start();
    let mut job = cluster.job(2).await;
    let task_manager = cluster.register().await;
    cluster.heartbeat(&task_manager).await;
    assert_eq!(cluster.news(&mut job).await, ["granted"]);
    cluster.start_worker(&job).await;
    cluster.clock.advance(HEARTBEAT.timeout * 3);
    for _ in 0..5 {
        assert!(cluster.news(&mut job).await.is_empty(), "heartbeats may wait to be read");
        cluster.clock.advance(HEARTBEAT.interval);
    }
    assert!(cluster.news(&mut job).await.is_empty());
    cluster.clock.advance(HEARTBEAT.interval);
    assert_eq!(cluster.news(&mut job).await, ["lost"]);
}

#[tokio::test]
async fn a_worker_for_an_earlier_incarnation_of_a_task_manager_is_not_started_on_the_next() {
    let cluster = Cluster::start();
    let mut job = cluster.job(2).await;
    let gone = cluster.register().await;
    cluster.heartbeat(&gone).await;
    assert_eq!(cluster.news(&mut job).await, ["granted"]);
    let mut next = cluster.register().await;
    cluster.heartbeat(&next).await;
    cluster.start_worker(&job).await;
    assert_eq!(cluster.news(&mut job).await, ["lost"], "once");
    assert_eq!(cluster.slots_free().await, [2]);
    assert!(!next.was_told_to_start_a_worker());
}
