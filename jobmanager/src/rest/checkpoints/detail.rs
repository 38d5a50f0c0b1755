//! One checkpoint as Flink shows it: in brief, with its vertices, or one vertex with its subtasks.
//!
//! `checkpointed_size` is what was written for the checkpoint, `state_size` all that it names. Nothing is ever buffered,
//! so `alignment_buffered` is 0.

use std::time::Duration;

use pelton_runtime_core::checkpoint::statistics::{
    AcknowledgedSubtask, CheckpointDetails, CheckpointStatus, Spread, VertexDetails,
};
use pelton_runtime_core::element::{AfterSavepoint, SavepointFormat};
use pelton_runtime_core::time::EpochMillis;
use serde_json::{Map, Value, json};

use crate::view::CheckpointsView;

/// A checkpoint without its vertices.
pub(super) fn brief(checkpoints: &CheckpointsView, details: &CheckpointDetails) -> Value {
    with_tasks(checkpoints, details, Map::new())
}

/// A checkpoint with its vertices.
pub(super) fn whole(checkpoints: &CheckpointsView, details: &CheckpointDetails) -> Value {
    let tasks = details.vertices.iter().map(|vertex| {
        let part = Part::of(details, [vertex]);
        (vertex.id.to_string(), part.to_json(details).into())
    });
    with_tasks(checkpoints, details, tasks.collect())
}

fn with_tasks(checkpoints: &CheckpointsView, details: &CheckpointDetails, tasks: Map<String, Value>) -> Value {
    let (state_bytes, written_bytes) = (details.state_bytes(), details.written_bytes());
    let all = Part { state_bytes, written_bytes, ..Part::of(details, &details.vertices) };
    let mut fields = all.to_json(details);
    let mut set = |name: &str, value: Value| drop(fields.insert(name.to_owned(), value));
    let savepoint = details.savepoint.as_deref();
    set("is_savepoint", savepoint.is_some().into());
    let format = savepoint.map(|savepoint| match savepoint.format {
        SavepointFormat::Canonical => "CANONICAL",
        SavepointFormat::Native => "NATIVE",
    });
    set("savepointFormat", format.into());
    let kind = match savepoint.map(|savepoint| savepoint.then) {
        None => "CHECKPOINT",
        Some(AfterSavepoint::GoOn | AfterSavepoint::Cancel) => "SAVEPOINT",
        Some(AfterSavepoint::Stop | AfterSavepoint::Drain) => "SYNC_SAVEPOINT",
    };
    set("checkpoint_type", kind.into());
    set("trigger_timestamp", details.triggered_at.into());
    set("tasks", tasks.into());
    if !matches!(details.status, CheckpointStatus::Completed { .. }) {
        // Only how many had finished is known, not of which vertices.
        set("num_acknowledged_subtasks", (all.acknowledged.len() + details.already_finished).into());
    }
    match &details.status {
        CheckpointStatus::InProgress => set("className", "in_progress".into()),
        CheckpointStatus::Completed { discarded, .. } => {
            set("className", "completed".into());
            set("external_path", checkpoints.path_of(details.checkpoint).into());
            set("discarded", (*discarded).into());
        }
        CheckpointStatus::Failed { at, message } => {
            set("className", "failed".into());
            set("end_to_end_duration", (at - details.triggered_at).max(0).into());
            set("failure_timestamp", (*at).into());
            set("failure_message", message.as_str().into());
        }
    }
    fields.into()
}

/// A vertex of a checkpoint with its subtasks.
pub(super) fn vertex(details: &CheckpointDetails, vertex: &VertexDetails) -> Value {
    let part = Part::of(details, [vertex]);
    let figures = |of: fn(&AcknowledgedSubtask) -> u64| unranked(part.acknowledged.iter().map(of).collect());
    let duration = |of: fn(&AcknowledgedSubtask) -> Duration| {
        unranked(part.acknowledged.iter().map(|subtask| u64::try_from(millis(of(subtask))).unwrap_or(0)).collect())
    };
    let since_trigger = |subtask: &AcknowledgedSubtask| u64::try_from(end_to_end(details, subtask)).unwrap_or(0);
    let mut fields = part.to_json(details);
    let summary = json!({
        "checkpointed_size": figures(|subtask| subtask.written_bytes),
        "state_size": figures(|subtask| subtask.state_bytes),
        "end_to_end_duration": unranked(part.acknowledged.iter().map(since_trigger).collect()),
        "checkpoint_duration": {
            "sync": duration(|subtask| subtask.stats.synchronous),
            "async": duration(|subtask| subtask.stats.asynchronous),
        },
        "alignment": {
            "buffered": nothing_buffered(),
            "processed": figures(|subtask| subtask.stats.processed_bytes),
            "persisted": figures(|subtask| subtask.stats.persisted_bytes),
            "duration": duration(|subtask| subtask.stats.alignment),
        },
        "start_delay": duration(|subtask| subtask.stats.start_delay),
    });
    let subtasks: Vec<Value> = (0..).zip(&vertex.subtasks).map(|(index, part)| subtask(details, index, part)).collect();
    fields.insert("summary".to_owned(), summary);
    fields.insert("subtasks".to_owned(), subtasks.into());
    fields.into()
}

fn subtask(details: &CheckpointDetails, index: usize, part: &Option<AcknowledgedSubtask>) -> Value {
    let Some(subtask) = resolved(details, part) else {
        return json!({ "className": "pending", "index": index, "status": "pending_or_failed" });
    };
    let stats = &subtask.stats;
    json!({
        "className": "completed",
        "index": index,
        "status": "completed",
        "ack_timestamp": subtask.at,
        "end_to_end_duration": end_to_end(details, &subtask),
        "checkpointed_size": subtask.written_bytes,
        "state_size": subtask.state_bytes,
        "checkpoint": { "sync": millis(stats.synchronous), "async": millis(stats.asynchronous) },
        "alignment": {
            "buffered": 0,
            "processed": stats.processed_bytes,
            "persisted": stats.persisted_bytes,
            "duration": millis(stats.alignment),
        },
        "start_delay": millis(stats.start_delay),
        "unaligned_checkpoint": stats.unaligned,
        "aborted": false,
    })
}

/// What some or all vertices contribute.
struct Part {
    subtasks: usize,
    acknowledged: Vec<AcknowledgedSubtask>,
    state_bytes: u64,
    written_bytes: u64,
}

impl Part {
    fn of<'a>(details: &CheckpointDetails, vertices: impl IntoIterator<Item = &'a VertexDetails>) -> Self {
        let subtasks: Vec<_> = vertices.into_iter().flat_map(|vertex| &vertex.subtasks).collect();
        let acknowledged: Vec<_> = subtasks.iter().filter_map(|part| resolved(details, part)).collect();
        let state_bytes = acknowledged.iter().map(|subtask| subtask.state_bytes).sum();
        let written_bytes = acknowledged.iter().map(|subtask| subtask.written_bytes).sum();
        Self { subtasks: subtasks.len(), acknowledged, state_bytes, written_bytes }
    }

    /// The fields that a checkpoint and its vertices share.
    fn to_json(&self, details: &CheckpointDetails) -> Map<String, Value> {
        let last = self.acknowledged.iter().max_by_key(|subtask| subtask.at);
        let sum = |of: fn(&AcknowledgedSubtask) -> u64| self.acknowledged.iter().map(of).sum::<u64>();
        let status = match details.status {
            CheckpointStatus::InProgress => "IN_PROGRESS",
            CheckpointStatus::Completed { .. } => "COMPLETED",
            CheckpointStatus::Failed { .. } => "FAILED",
        };
        let fields: [(&str, Value); 10] = [
            ("id", details.checkpoint.0.into()),
            ("status", status.into()),
            ("latest_ack_timestamp", last.map_or(-1, |subtask| subtask.at).into()),
            ("checkpointed_size", self.written_bytes.into()),
            ("state_size", self.state_bytes.into()),
            ("end_to_end_duration", last.map_or(-1, |subtask| end_to_end(details, subtask)).into()),
            ("alignment_buffered", 0.into()),
            ("processed_data", sum(|subtask| subtask.stats.processed_bytes).into()),
            ("persisted_data", sum(|subtask| subtask.stats.persisted_bytes).into()),
            ("num_subtasks", self.subtasks.into()),
        ];
        let count = ("num_acknowledged_subtasks", self.acknowledged.len().into());
        fields.into_iter().chain([count]).map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

/// A subtask's part. Those of a completed checkpoint that did not acknowledge had finished: Flink shows them as if they
/// had at once, with nothing.
fn resolved(details: &CheckpointDetails, part: &Option<AcknowledgedSubtask>) -> Option<AcknowledgedSubtask> {
    let finished =
        AcknowledgedSubtask { at: details.triggered_at, state_bytes: 0, written_bytes: 0, stats: Default::default() };
    part.or_else(|| matches!(details.status, CheckpointStatus::Completed { .. }).then_some(finished))
}

fn end_to_end(details: &CheckpointDetails, subtask: &AcknowledgedSubtask) -> EpochMillis {
    (subtask.at - details.triggered_at).max(0)
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// A spread with percentiles.
pub(super) fn spread(spread: &Spread, percentile: impl Fn(f64) -> Value) -> Value {
    json!({
        "min": spread.min, "max": spread.max, "avg": spread.avg,
        "p50": percentile(50.0), "p90": percentile(90.0), "p95": percentile(95.0),
        "p99": percentile(99.0), "p999": percentile(99.9),
    })
}

/// A spread over subtasks, for which Flink has no percentiles.
fn unranked(figures: Spread) -> Value {
    spread(&figures, |_| json!("NaN"))
}

/// The spread of what Flink once buffered during alignment.
pub(super) fn nothing_buffered() -> Value {
    spread(&Spread::default(), |_| json!(0.0))
}
