//! `/jobs/:jobid/checkpoints...`. A job without checkpoints gets what Flink answers for a streaming job without them.

mod detail;

use std::collections::BTreeMap;
use std::time::Duration;

use pelton_runtime_core::checkpoint::coordinator::Retention;
use pelton_runtime_core::checkpoint::record::RecordKind;
use pelton_runtime_core::checkpoint::statistics::{
    CheckpointDetails, CheckpointStatistics, CheckpointSummary, Summary,
};
use pelton_runtime_core::config::options::checkpointing;
use pelton_runtime_core::config::{CheckpointingMode, Configuration, StateBackend};
use pelton_runtime_core::element::CheckpointId;
use pelton_runtime_core::id::JobId;
use serde_json::{Value, json};

use super::answer::Answer;
use super::error::RestError;
use super::params::{in_path, job_id, vertex_id};
use super::request::Request;
use super::{Answered, Context, job, operations};
use crate::view::CheckpointsView;

/// Everything below `/jobs/:jobid/checkpoints`.
pub(super) async fn get(cx: &Context, request: &Request, id: &str, rest: &[&str]) -> Answered {
    let id = job_id(id)?;
    match *rest {
        [] => statistics(cx, id).await,
        ["config"] => config(cx, id).await,
        ["details", checkpoint] => details(cx, id, checkpoint, None).await,
        ["details", checkpoint, "subtasks", vertex] => details(cx, id, checkpoint, Some(vertex)).await,
        [trigger] => operations::checkpoint_status(cx, id, trigger),
        _ => Err(RestError::NoSuchFile { path: request.path.clone() }),
    }
}

async fn statistics(cx: &Context, id: JobId) -> Answered {
    let job = job::find(cx, id).await?;
    let checkpoints = job.checkpoints.as_deref();
    let none = CheckpointSummary::default();
    let statistics = checkpoints.map(|checkpoints| &checkpoints.statistics);
    let counts = statistics.map(CheckpointStatistics::counts).unwrap_or_default();
    let summary = statistics.map_or(&none, CheckpointStatistics::summary);
    let latest = |which: fn(&CheckpointStatistics) -> Option<&CheckpointDetails>| {
        checkpoints.and_then(|all| which(&all.statistics).map(|details| detail::brief(all, details)))
    };
    let history = checkpoints.into_iter().flat_map(|all| {
        let details = all.statistics.history().into_iter();
        details.map(|details| detail::brief(all, details))
    });
    Ok(Answer::ok(json!({
        "counts": {
            "restored": counts.restored,
            "total": counts.total,
            "in_progress": counts.in_progress,
            "completed": counts.completed,
            "failed": counts.failed,
        },
        "summary": {
            "checkpointed_size": spread(&summary.written_bytes),
            "state_size": spread(&summary.state_bytes),
            "end_to_end_duration": spread(&summary.end_to_end_ms),
            "alignment_buffered": detail::nothing_buffered(),
            "processed_data": spread(&summary.processed_bytes),
            "persisted_data": spread(&summary.persisted_bytes),
        },
        "latest": {
            "completed": latest(CheckpointStatistics::latest_completed),
            "savepoint": latest(CheckpointStatistics::latest_savepoint),
            "failed": latest(CheckpointStatistics::latest_failed),
            "restored": checkpoints.and_then(restored),
        },
        "history": history.collect::<Vec<_>>(),
    })))
}

fn spread(figures: &Summary) -> Value {
    let spread = figures.spread();
    detail::spread(&spread, |percent| spread.percentile(percent).map_or(json!("NaN"), Value::from))
}

fn restored(checkpoints: &CheckpointsView) -> Option<Value> {
    checkpoints.statistics.latest_restored().map(|restored| {
        json!({
            "id": restored.checkpoint.0,
            "restore_timestamp": restored.at,
            "is_savepoint": restored.kind == RecordKind::Savepoint,
            "external_path": checkpoints.path_of(restored.checkpoint),
        })
    })
}

async fn config(cx: &Context, id: JobId) -> Answered {
    let job = job::find(cx, id).await?;
    let checkpoints = job.checkpoints.as_deref();
    let settings = checkpoints.map(|checkpoints| &checkpoints.settings);
    let retention = settings.map_or(Retention::NoExternalizedCheckpoints, |settings| settings.retention);
    let unaligned_after = settings.and_then(|settings| settings.unaligned_after);
    let in_files = checkpoints.is_some_and(|checkpoints| checkpoints.directory.is_some());
    Ok(Answer::ok(json!({
        // As Flink has it of a job that takes none.
        "mode": match settings.filter(|settings| settings.interval.is_some()).map(|settings| settings.mode) {
            Some(CheckpointingMode::ExactlyOnce) => "exactly_once",
            Some(CheckpointingMode::AtLeastOnce) | None => "at_least_once",
        },
        "interval": settings.and_then(|settings| settings.interval).map_or(i64::MAX, millis),
        "timeout": settings.map_or(600_000, |settings| millis(settings.timeout)),
        "min_pause": settings.map_or(0, |settings| millis(settings.min_pause)),
        "max_concurrent": settings.map_or(1, |settings| settings.max_concurrent),
        "externalization": {
            "enabled": retention != Retention::NoExternalizedCheckpoints,
            "delete_on_cancellation": retention != Retention::RetainOnCancellation,
        },
        "state_backend": state_backend(cx, &job.configuration),
        "checkpoint_storage": if in_files { "FileSystemCheckpointStorage" } else { "JobManagerCheckpointStorage" },
        "unaligned_checkpoints": unaligned_after.is_some(),
        "tolerable_failed_checkpoints": settings.map_or(0, |settings| settings.tolerable_failures),
        "aligned_checkpoint_timeout": unaligned_after.map_or(0, millis),
        "checkpoints_after_tasks_finish": true,
        "state_changelog_enabled": false,
        "changelog_periodic_materialization_interval": 600_000,
        "changelog_storage": "memory",
    })))
}

/// What the job says itself, or else the cluster, in the names of Flink's classes.
fn state_backend(cx: &Context, of_job: &BTreeMap<String, String>) -> &'static str {
    let of_cluster = cx.cluster.configuration().into_iter().map(|entry| (entry.key, entry.value));
    let of_job = of_job.iter().map(|(key, value)| (key.clone(), value.clone()));
    // Both were accepted, so they are valid together.
    let configuration = Configuration::from_map(of_cluster.chain(of_job).collect());
    match configuration.map(|configuration| configuration.get(&checkpointing::STATE_BACKEND)) {
        Ok(StateBackend::RocksDb) => "EmbeddedRocksDBStateBackend",
        Ok(StateBackend::HashMap) | Err(_) => "HashMapStateBackend",
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

async fn details(cx: &Context, id: JobId, checkpoint: &str, vertex: Option<&str>) -> Answered {
    let checkpoint: u64 = in_path("checkpointid", checkpoint)?;
    let vertex = vertex.map(vertex_id).transpose()?;
    let job = job::find(cx, id).await?;
    let found = job.checkpoints.as_deref().and_then(|checkpoints| {
        let details = checkpoints.statistics.find(CheckpointId(checkpoint))?;
        Some((checkpoints, details))
    });
    let Some((checkpoints, details)) = found else {
        let last = "the last ones are known (`web.checkpoints.history`)";
        return Err(RestError::NotFound(format!(
            "nothing is known about a checkpoint {checkpoint} of job {id}; {last}"
        )));
    };
    let Some(vertex) = vertex else { return Ok(Answer::ok(detail::whole(checkpoints, details))) };
    let part = details.vertices.iter().find(|part| part.id == vertex).ok_or(RestError::UnknownVertex(vertex))?;
    Ok(Answer::ok(detail::vertex(details, part)))
}
