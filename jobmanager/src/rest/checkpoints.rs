//! `/jobs/:jobid/checkpoints...`, as a Flink cluster answers for a streaming job without checkpoints.

use pelton_runtime_core::id::JobId;
use serde_json::{Value, json};

use super::answer::Answer;
use super::error::RestError;
use super::params::{in_path, job_id, vertex_id};
use super::request::Request;
use super::{Answered, Context, job};

/// Everything below `/jobs/:jobid/checkpoints`.
pub(super) async fn get(cx: &Context, request: &Request, id: &str, rest: &[&str]) -> Answered {
    let id = job_id(id)?;
    match *rest {
        [] => statistics(cx, id).await,
        ["config"] => config(cx, id).await,
        ["details", checkpoint] => details(cx, id, checkpoint).await,
        ["details", checkpoint, "subtasks", vertex] => {
            in_path::<u64>("checkpointid", checkpoint)?;
            vertex_id(vertex)?;
            details(cx, id, checkpoint).await
        }
        [trigger] => operation("checkpoint", id, trigger),
        _ => Err(RestError::NoSuchFile { path: request.path.clone() }),
    }
}

async fn statistics(cx: &Context, id: JobId) -> Answered {
    job::find(cx, id).await?;
    let unknown = json!("NaN");
    Ok(Answer::ok(json!({
        "counts": { "restored": 0, "total": 0, "in_progress": 0, "completed": 0, "failed": 0 },
        "summary": {
            "checkpointed_size": no_spread(&unknown),
            "state_size": no_spread(&unknown),
            "end_to_end_duration": no_spread(&unknown),
            "alignment_buffered": no_spread(&json!(0.0)),
            "processed_data": no_spread(&unknown),
            "persisted_data": no_spread(&unknown),
        },
        "latest": { "completed": null, "savepoint": null, "failed": null, "restored": null },
        "history": [],
    })))
}

fn no_spread(percentile: &Value) -> Value {
    json!({
        "min": 0, "max": 0, "avg": 0,
        "p50": percentile, "p90": percentile, "p95": percentile, "p99": percentile, "p999": percentile,
    })
}

async fn config(cx: &Context, id: JobId) -> Answered {
    job::find(cx, id).await?;
    Ok(Answer::ok(json!({
        "mode": "at_least_once",
        "interval": i64::MAX,
        "timeout": 600_000,
        "min_pause": 0,
        "max_concurrent": 1,
        "externalization": { "enabled": false, "delete_on_cancellation": true },
        "state_backend": "HashMapStateBackend",
        "checkpoint_storage": "JobManagerCheckpointStorage",
        "unaligned_checkpoints": false,
        "tolerable_failed_checkpoints": 0,
        "aligned_checkpoint_timeout": 0,
        "checkpoints_after_tasks_finish": true,
        "state_changelog_enabled": false,
        "changelog_periodic_materialization_interval": 600_000,
        "changelog_storage": "memory",
    })))
}

async fn details(cx: &Context, id: JobId, checkpoint: &str) -> Answered {
    let checkpoint: u64 = in_path("checkpointid", checkpoint)?;
    job::find(cx, id).await?;
    Err(RestError::NotFound(format!("job {id} has no checkpoint {checkpoint}")))
}

/// `/jobs/:jobid/savepoints/:triggerid`
pub(super) fn savepoint_operation(job: &str, trigger: &str) -> Answered {
    operation("savepoint", job_id(job)?, trigger)
}

/// Nothing was ever triggered, so nothing is found; the Kubernetes operator knows this sentence.
fn operation(kind: &str, job: JobId, trigger: &str) -> Answered {
    // A trigger's id has the form of a job's.
    let trigger: JobId = in_path("triggerid", trigger)?;
    Err(RestError::NotFound(format!("There is no {kind} operation with triggerId={trigger} for job {job}.")))
}
