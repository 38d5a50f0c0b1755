//! The failed job has taken checkpoints: 1, from which it restarted; 2, which failed; 3; and 4, which is on its way.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use pelton_runtime_core::checkpoint::coordinator::{
    CheckpointCoordinator, CheckpointSettings, DeployedTask, Fact, Retention, Timer,
};
use pelton_runtime_core::checkpoint::record::StateHandle;
use pelton_runtime_core::checkpoint::statistics::AckStats;
use pelton_runtime_core::element::CheckpointId;
use pelton_runtime_core::graph::JobGraph;
use pelton_runtime_core::id::{Epoch, ExecutionAttemptId};
use pelton_runtime_core::scheduler::status::JobStatus;
use pelton_runtime_core::time::EpochMillis;
use serde_json::{Value, json};

use super::cluster::{job_id, window};
use super::get;
use crate::view::CheckpointsView;

/// A job of 2 vertices with 2 subtasks each, whose coordinator is told what happens.
struct Coordinated {
    coordinator: CheckpointCoordinator,
    now: EpochMillis,
    deployments: u8,
}

impl Coordinated {
    fn tell(&mut self, fact: Fact) {
        // What the coordinator wants done happens as the script goes on.
        self.coordinator.handle(self.now, fact);
    }

    fn tasks(&self) -> [DeployedTask; 4] {
        [(0, 0), (0, 1), (1, 0), (1, 1)].map(|(vertex, subtask)| {
            let mut id = [0; 16];
            id[..3].copy_from_slice(&[self.deployments, vertex as u8, subtask as u8]);
            DeployedTask { vertex, subtask, attempt: ExecutionAttemptId::from_bytes(id) }
        })
    }

    fn deploy(&mut self) {
        self.deployments += 1;
        self.tell(Fact::TasksDeployed(self.tasks().to_vec()));
        self.tasks().iter().for_each(|task| self.tell(Fact::TaskRunning { attempt: task.attempt }));
    }

    fn trigger_at(&mut self, at: EpochMillis) {
        self.now = at;
        self.tell(Fact::TimerFired(Timer::Periodic));
    }

    /// A task acknowledges so much state, 10 ms after whatever was before.
    fn acknowledge(&mut self, checkpoint: u64, task: usize, state_bytes: usize) {
        self.now += 10;
        let stats = AckStats {
            start_delay: Duration::from_millis(task as u64),
            alignment: Duration::from_millis(2),
            synchronous: Duration::from_millis(3),
            asynchronous: Duration::from_millis(4),
            processed_bytes: 5,
            persisted_bytes: 0,
            unaligned: false,
        };
        let state = StateHandle::Inline(Bytes::from(vec![0; state_bytes]));
        let attempt = self.tasks()[task].attempt;
        self.tell(Fact::Acknowledged { attempt, checkpoint: CheckpointId(checkpoint), state, stats });
    }

    fn complete(&mut self, checkpoint: u64, state_bytes: usize) {
        (0..4).for_each(|task| self.acknowledge(checkpoint, task, state_bytes));
        self.tell(Fact::RecordStored { checkpoint: CheckpointId(checkpoint) });
    }
}

pub(super) fn made_up(graph: JobGraph) -> CheckpointsView {
    let settings = CheckpointSettings {
        interval: Some(Duration::from_secs(5)),
        timeout: Duration::from_secs(60),
        min_pause: Duration::from_secs(1),
        max_concurrent: 1,
        mode: pelton_runtime_core::config::CheckpointingMode::ExactlyOnce,
        unaligned_after: None,
        incremental: false,
        tolerable_failures: 3,
        retained: 1,
        retention: Retention::RetainOnCancellation,
        history: 10,
    };
    let coordinator = CheckpointCoordinator::new(job(), Epoch(1), Arc::new(graph), settings.clone());
    let mut job = Coordinated { coordinator, now: 0, deployments: 0 };
    job.deploy();
    job.trigger_at(10_000);
    job.complete(1, 100);
    job.now = 11_000;
    job.tell(Fact::Restarting { attempts: job.tasks().map(|task| task.attempt).to_vec() });
    job.deploy();
    job.trigger_at(20_000);
    job.acknowledge(2, 0, 100);
    job.now = 20_500;
    let attempt = job.tasks()[1].attempt;
    job.tell(Fact::Declined { attempt, checkpoint: CheckpointId(2), reason: "the disk is full".to_owned() });
    job.trigger_at(30_000);
    job.complete(3, 200);
    job.trigger_at(40_000);
    job.acknowledge(4, 2, 50);
    let statistics = job.coordinator.statistics().clone();
    CheckpointsView {
        settings,
        directory: Some("file:///checkpoints/job".to_owned()),
        elsewhere: Default::default(),
        statistics,
    }
}

fn job() -> pelton_runtime_core::id::JobId {
    job_id(JobStatus::Failed)
}

async fn ask(path: &str) -> Value {
    let reply = get(&format!("/jobs/{}/checkpoints{path}", job())).await;
    assert_eq!(reply.status, StatusCode::OK, "{path}: {}", reply.text());
    reply.json()
}

#[tokio::test]
async fn checkpoints_are_counted_summed_up_and_remembered() {
    let all = ask("").await;
    let counts = json!({ "restored": 1, "total": 4, "in_progress": 1, "completed": 2, "failed": 1 });
    assert_eq!(all["counts"], counts);
    let size = json!({
        "min": 400, "max": 800, "avg": 600, "p50": 600.0, "p90": 800.0, "p95": 800.0, "p99": 800.0, "p999": 800.0,
    });
    assert_eq!(all["summary"]["state_size"], size);
    assert_eq!(all["summary"]["processed_data"]["avg"], 20);
    assert_eq!(all["summary"]["end_to_end_duration"]["p50"], 40.0);
    let history: Vec<_> = all["history"].as_array().expect("a list").iter().map(|each| &each["className"]).collect();
    assert_eq!(history, ["in_progress", "completed", "failed", "completed"]);
    let latest = &all["latest"];
    assert_eq!((&latest["completed"], &latest["failed"]), (&all["history"][1], &all["history"][2]));
    let restored = json!({
        "id": 1, "restore_timestamp": 11_000, "is_savepoint": false, "external_path": "file:///checkpoints/job/chk-1",
    });
    assert_eq!(latest["restored"], restored);
}

#[tokio::test]
async fn a_checkpoint_shows_how_it_went() {
    let common = |checkpoint: u64| {
        json!({
            "id": checkpoint,
            "is_savepoint": false,
            "savepointFormat": null,
            "checkpoint_type": "CHECKPOINT",
            "alignment_buffered": 0,
            "persisted_data": 0,
            "num_subtasks": 4,
            "tasks": {},
        })
    };
    let expected = [
        json!({
            "className": "in_progress", "status": "IN_PROGRESS", "num_acknowledged_subtasks": 1, "state_size": 50,
            "checkpointed_size": 50, "processed_data": 5, "trigger_timestamp": 40_000, "latest_ack_timestamp": 40_010,
            "end_to_end_duration": 10,
        }),
        json!({
            "className": "completed", "status": "COMPLETED", "num_acknowledged_subtasks": 4, "state_size": 800,
            "checkpointed_size": 800, "processed_data": 20, "trigger_timestamp": 30_000, "latest_ack_timestamp": 30_040,
            "end_to_end_duration": 40, "external_path": "file:///checkpoints/job/chk-3", "discarded": false,
        }),
        json!({
            "className": "failed", "status": "FAILED", "num_acknowledged_subtasks": 1, "state_size": 100,
            "checkpointed_size": 100, "processed_data": 5, "trigger_timestamp": 20_000, "latest_ack_timestamp": 20_010,
            "end_to_end_duration": 500, "failure_timestamp": 20_500,
            "failure_message": "MESSAGE",
        }),
        json!({
            "className": "completed", "status": "COMPLETED", "num_acknowledged_subtasks": 4, "state_size": 400,
            "checkpointed_size": 400, "processed_data": 20, "trigger_timestamp": 10_000, "latest_ack_timestamp": 10_040,
            "end_to_end_duration": 40, "external_path": "file:///checkpoints/job/chk-1", "discarded": true,
        }),
    ];
    let mut all = ask("").await;
    let message = std::mem::replace(&mut all["history"][2]["failure_message"], "MESSAGE".into());
    assert!(message.as_str().expect("a sentence").ends_with("the disk is full"), "{message}");
    for (own, (shown, checkpoint)) in
        expected.iter().zip(all["history"].as_array().expect("a list").iter().zip((1..=4).rev()))
    {
        let mut expected = common(checkpoint);
        expected.as_object_mut().expect("fields").extend(own.as_object().expect("fields").clone());
        assert_eq!(shown, &expected);
    }
}

#[tokio::test]
async fn details_show_vertices_and_their_subtasks() {
    let details = ask("/details/3").await;
    let task = &details["tasks"][window().to_string()];
    assert_eq!(details["tasks"].as_object().map(serde_json::Map::len), Some(2));
    assert_eq!((&task["state_size"], &task["end_to_end_duration"]), (&json!(400), &json!(40)));

    let vertex = ask(&format!("/details/3/subtasks/{}", window())).await;
    assert_eq!(vertex["summary"]["start_delay"]["max"], 3);
    assert_eq!(vertex["summary"]["end_to_end_duration"]["min"], 30);
    let second = json!({
        "className": "completed", "index": 1, "ack_timestamp": 30_040, "end_to_end_duration": 40,
        "checkpointed_size": 200, "state_size": 200, "checkpoint": { "sync": 3, "async": 4 },
        "alignment": { "buffered": 0, "processed": 5, "persisted": 0, "duration": 2 }, "start_delay": 3,
        "unaligned_checkpoint": false, "aborted": false, "status": "completed",
    });
    assert_eq!(vertex["subtasks"][1], second);

    let on_its_way = ask(&format!("/details/4/subtasks/{}", window())).await;
    assert_eq!(on_its_way["subtasks"][0]["status"], "completed");
    let pending = json!({ "className": "pending", "index": 1, "status": "pending_or_failed" });
    assert_eq!(on_its_way["subtasks"][1], pending);
}

#[tokio::test]
async fn the_settings_are_those_of_the_job() {
    let config = ask("/config").await;
    assert_eq!((&config["mode"], &config["interval"]), (&json!("exactly_once"), &json!(5000)));
    assert_eq!((&config["min_pause"], &config["tolerable_failed_checkpoints"]), (&json!(1000), &json!(3)));
    assert_eq!(config["externalization"], json!({ "enabled": true, "delete_on_cancellation": false }));
    assert_eq!(config["checkpoint_storage"], "FileSystemCheckpointStorage");
}

#[tokio::test]
async fn what_is_not_known_is_not_found() {
    let unknown = "0".repeat(32);
    for path in
        ["/details/5".to_owned(), format!("/details/5/subtasks/{}", window()), format!("/details/3/subtasks/{unknown}")]
    {
        let reply = get(&format!("/jobs/{}/checkpoints{path}", job())).await;
        assert_eq!(reply.status, StatusCode::NOT_FOUND, "{path}");
    }
    let reply = get(&format!("/jobs/{}/checkpoints/details/3/subtasks/zz", job())).await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
}
