//! One job: `/jobs/:jobid` and what is directly below it.

use std::sync::Arc;

use pelton_runtime_core::config::options::pipeline;
use pelton_runtime_core::config::{Configuration, HIDDEN, is_sensitive};
use pelton_runtime_core::graph::JobVertex;
use pelton_runtime_core::graph::plan::plan_json;
use pelton_runtime_core::id::JobId;
use pelton_runtime_core::scheduler::status::{ExecutionState, JobStatus};
use pelton_runtime_core::time::EpochMillis;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::answer::Answer;
use super::error::RestError;
use super::params::{bad_query, job_id};
use super::request::Request;
use super::serialized_throwable::serialized;
use super::subtask::{Lifetime, lifetime_of_all};
use super::{Answered, Context, accumulators, cluster, exceptions, io_metrics, statistics};
use crate::view::{CancelError, JobView, VertexView};

/// The job, or 404.
pub(super) async fn find(cx: &Context, id: JobId) -> Result<Arc<JobView>, RestError> {
    cx.cluster.job(id).await?.ok_or(RestError::UnknownJob(id))
}

async fn named(cx: &Context, id: &str) -> Result<Arc<JobView>, RestError> {
    find(cx, job_id(id)?).await
}

/// `/jobs/:jobid`
pub(super) async fn detail(cx: &Context, id: &str) -> Answered {
    let job = named(cx, id).await?;
    let now = cx.cluster.now();
    let mut timestamps = Map::new();
    for &status in JobStatus::ALL {
        timestamps.insert(status.as_str().to_owned(), job.timestamps.get(status).unwrap_or(0).into());
    }
    let vertex_states: Vec<ExecutionState> = job.vertices.iter().map(state_of).collect();
    let vertices: Vec<Value> =
        job.vertices().map(|(vertex, running)| vertex_summary(job.id, vertex, running, now)).collect();
    Ok(Answer::ok(json!({
        "jid": job.id.to_string(),
        "name": job.name,
        "isStoppable": false,
        "state": job.status.as_str(),
        "job-type": "STREAMING",
        "start-time": job.start_time(),
        "end-time": job.end_time().unwrap_or(-1),
        "duration": job.duration_ms(now),
        "maxParallelism": configured_max_parallelism(&job),
        "now": now,
        "timestamps": timestamps,
        "vertices": vertices,
        "status-counts": statistics::state_counts(&vertex_states),
        "plan": plan_of(&job),
        "pending-operators": 0,
    })))
}

fn state_of(vertex: &VertexView) -> ExecutionState {
    ExecutionState::aggregate(vertex.current().map(|(_, attempt)| attempt.state))
}

fn vertex_summary(job: JobId, vertex: &JobVertex, running: &VertexView, now: EpochMillis) -> Value {
    let attempts = || running.subtasks.iter().map(|subtask| &subtask.current);
    let states: Vec<ExecutionState> = attempts().map(|attempt| attempt.state).collect();
    let Lifetime { start, end, duration } = lifetime_of_all(attempts(), now);
    json!({
        "id": vertex.id.to_string(),
        "slotSharingGroupId": slot_sharing_group_id(job, &vertex.slot_sharing_group),
        "name": vertex.name,
        "maxParallelism": vertex.max_parallelism,
        "parallelism": vertex.parallelism,
        "status": ExecutionState::aggregate(states.iter().copied()).as_str(),
        "start-time": start,
        "end-time": end,
        "duration": duration,
        "tasks": statistics::state_counts(&states),
        "metrics": io_metrics::totals(attempts()),
    })
}

/// Flink gives groups random ids; ours follow from the names, so that they stay over a restart of the JobManager.
fn slot_sharing_group_id(job: JobId, group: &str) -> String {
    let digest = Sha256::new().chain_update(job.as_bytes()).chain_update(group).finalize();
    pelton_runtime_core::graph::hex(&digest[..16])
}

fn configured_max_parallelism(job: &JobView) -> i64 {
    job.configuration.get("pipeline.max-parallelism").and_then(|text| text.parse().ok()).unwrap_or(-1)
}

fn plan_of(job: &JobView) -> Value {
    let mut plan = plan_json(&job.graph, job.id);
    plan["name"] = Value::String(job.name.clone());
    plan
}

/// `/jobs/:jobid/status`
pub(super) async fn status(cx: &Context, id: &str) -> Answered {
    let id = job_id(id)?;
    let job = cx.cluster.job(id).await?.ok_or(RestError::UnknownJobIsInternal(id))?;
    Ok(Answer::ok(json!({ "status": job.status.as_str() })))
}

/// `/jobs/:jobid/plan`
pub(super) async fn plan(cx: &Context, id: &str) -> Answered {
    Ok(Answer::ok(json!({ "plan": plan_of(&*named(cx, id).await?) })))
}

/// `/jobs/:jobid/config`
pub(super) async fn config(cx: &Context, id: &str) -> Answered {
    let job = named(cx, id).await?;
    let parallelism = job.graph.vertices.iter().map(|vertex| vertex.parallelism).max().unwrap_or(1);
    // The job was accepted with this configuration, so it is valid; one that is not shows no parameters.
    let parameters = Configuration::from_map(job.configuration.clone())
        .map(|configuration| configuration.get(&pipeline::GLOBAL_JOB_PARAMETERS))
        .unwrap_or_default();
    let shown = |(key, value): (String, String)| {
        let value = if is_sensitive(&key) { HIDDEN.to_owned() } else { value };
        (key, Value::String(value))
    };
    let parameters: Map<String, Value> = parameters.into_iter().map(shown).collect();
    Ok(Answer::ok(json!({
        "jid": job.id.to_string(),
        "name": job.name,
        "execution-config": {
            "restart-strategy": job.restart_strategy,
            "job-parallelism": parallelism,
            "object-reuse-mode": false,
            "user-config": parameters,
        },
    })))
}

/// `/jobs/:jobid/accumulators`. What Flink serializes are Java objects, which there are none of.
pub(super) async fn accumulators(cx: &Context, id: &str) -> Answered {
    let job = named(cx, id).await?;
    Ok(Answer::ok(json!({
        "job-accumulators": [],
        "user-task-accumulators": accumulators::shown(&job.accumulators()),
        "serialized-user-task-accumulators": {},
    })))
}

/// `/jobs/:jobid/execution-result`
pub(super) async fn execution_result(cx: &Context, id: &str) -> Answered {
    let job = named(cx, id).await?;
    if !job.status.is_globally_terminal() {
        return Ok(Answer::ok(json!({ "status": { "id": "IN_PROGRESS" } })));
    }
    let application_status = match job.status {
        JobStatus::Finished => "SUCCEEDED",
        JobStatus::Canceled => "CANCELED",
        _ => "FAILED",
    };
    let mut result = json!({
        "id": job.id.to_string(),
        "application-status": application_status,
        "accumulator-results": {},
        "net-runtime": job.duration_ms(cx.cluster.now()),
    });
    if job.status == JobStatus::Failed
        && let Some(failure) = job.exceptions.first()
    {
        let (class, text) = (exceptions::name(failure), exceptions::text(failure));
        let message = text.strip_prefix(class).and_then(|text| text.strip_prefix(": ")).unwrap_or(&text);
        result["failure-cause"] = json!({
            "class": class,
            "stack-trace": text,
            "serialized-throwable": serialized(class, message, &text),
        });
    }
    Ok(Answer::ok(json!({ "status": { "id": "COMPLETED" }, "job-execution-result": result })))
}

/// `PATCH /jobs/:jobid?mode=cancel`
pub(super) async fn terminate(cx: &Context, request: &Request, id: &str) -> Answered {
    let job = job_id(id)?;
    match request.query("mode") {
        None | Some("") => {}
        Some(mode) if mode.eq_ignore_ascii_case("cancel") => {}
        Some(mode) if mode.eq_ignore_ascii_case("stop") => return Err(stop_was_removed()),
        Some(mode) => return Err(bad_query("mode", mode)),
    }
    order_cancel(cx, job).await
}

/// `GET /jobs/:jobid/yarn-cancel`, which the dashboard uses.
pub(super) async fn cancel(cx: &Context, id: &str) -> Answered {
    order_cancel(cx, job_id(id)?).await
}

async fn order_cancel(cx: &Context, job: JobId) -> Answered {
    match cx.cluster.cancel(job).await {
        // It is what was asked for, so a repeated order is no conflict.
        Ok(()) | Err(CancelError::AlreadyTerminal { status: JobStatus::Canceled, .. }) => Ok(Answer::accepted()),
        Err(error) => Err(error.into()),
    }
}

/// What `mode=stop` is answered.
pub(super) fn stop_was_removed() -> RestError {
    RestError::Removed("the termination mode `stop` no longer exists: use `cancel`, or `POST /jobs/:jobid/stop`")
}

/// `/jobs/:jobid/jobmanager/config`; the job need not exist.
pub(super) fn job_manager_config(cx: &Context, id: &str) -> Answered {
    job_id(id)?;
    cluster::job_manager_config(cx)
}

/// `/jobs/:jobid/jobmanager/environment`; the job need not exist.
pub(super) async fn job_manager_environment(cx: &Context, id: &str) -> Answered {
    job_id(id)?;
    cluster::environment(cx).await
}

/// `/jobs/:jobid/jobmanager/log-url`
pub(super) fn job_manager_log_url(request: &Request, id: &str) -> Answered {
    job_id(id)?;
    Ok(Answer::ok(json!({ "url": format!("{}/#/job-manager/logs", request.base_url()) })))
}

/// `/jobs/:jobid/taskmanagers/:taskmanagerid/log-url`
pub(super) fn task_manager_log_url(request: &Request, id: &str, task_manager: &str) -> Answered {
    job_id(id)?;
    Ok(Answer::ok(json!({ "url": format!("{}/#/task-manager/{task_manager}/logs", request.base_url()) })))
}
