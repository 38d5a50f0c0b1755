//! The `/metrics` endpoints: names without `get`, values with it, or figures over several scopes.
//!
//! Plain endpoints leave unknown names out. Aggregating ones answer nothing at all when a name is unknown in every
//! scope, and leave out what is no number. Both as in Flink. An unknown job, vertex or TaskManager has no metrics,
//! which is no error.

mod aggregate;

use pelton_runtime_core::graph::JobVertex;
use serde_json::{Value, json};

use super::answer::Answer;
use super::metrics::{Metric, job_manager_metrics, job_metrics, task_manager_metrics, task_metrics};
use super::params::{job_id, subtask_index, vertex_id};
use super::request::Request;
use super::{Answered, Context};
use crate::view::VertexView;
use aggregate::{Aggregation, aggregated, subtask_ranges};

/// `/jobmanager/metrics`
pub(super) async fn of_job_manager(cx: &Context, request: &Request) -> Answered {
    let job_manager = cx.cluster.job_manager().await?;
    let (task_managers, jobs) = (cx.cluster.task_managers().await?, cx.cluster.jobs().await?);
    Ok(plain(request, &job_manager_metrics(&job_manager, &task_managers, &jobs)))
}

/// `/taskmanagers/:taskmanagerid/metrics`
pub(super) async fn of_task_manager(cx: &Context, request: &Request, id: &str) -> Answered {
    let task_managers = cx.cluster.task_managers().await?;
    let metrics = task_managers.iter().find(|each| each.id.0 == id).map(task_manager_metrics);
    Ok(plain(request, &metrics.unwrap_or_default()))
}

/// `/taskmanagers/metrics`
pub(super) async fn of_task_managers(cx: &Context, request: &Request) -> Answered {
    let aggregations = Aggregation::wanted(request)?;
    let wanted = request.query_list("taskmanagers");
    let is_wanted = |id: &str| wanted.as_ref().is_none_or(|ids| ids.contains(&id));
    let task_managers = cx.cluster.task_managers().await?;
    let stores: Vec<Vec<Metric>> =
        task_managers.iter().filter(|each| is_wanted(&each.id.0)).map(task_manager_metrics).collect();
    Ok(aggregated(request, &aggregations, &stores))
}

/// `/jobs/metrics`
pub(super) async fn of_jobs(cx: &Context, request: &Request) -> Answered {
    let aggregations = Aggregation::wanted(request)?;
    let mut wanted = None;
    for id in request.query_list("jobs").unwrap_or_default() {
        let id = id.parse().map_err(|_| super::params::bad_query("jobs", id))?;
        wanted.get_or_insert_with(Vec::new).push(id);
    }
    let now = cx.cluster.now();
    let jobs = cx.cluster.jobs().await?;
    let stores: Vec<Vec<Metric>> = jobs
        .iter()
        .filter(|job| wanted.as_ref().is_none_or(|ids: &Vec<_>| ids.contains(&job.id)))
        .map(|job| job_metrics(job, now))
        .collect();
    Ok(aggregated(request, &aggregations, &stores))
}

/// `/jobs/:jobid/metrics`
pub(super) async fn of_job(cx: &Context, request: &Request, job: &str) -> Answered {
    let job = cx.cluster.job(job_id(job)?).await?;
    let metrics = job.map(|job| job_metrics(&job, cx.cluster.now()));
    Ok(plain(request, &metrics.unwrap_or_default()))
}

/// `/jobs/:jobid/vertices/:vertexid/metrics`: every subtask's, with its index in front.
pub(super) async fn of_vertex(cx: &Context, request: &Request, job: &str, vertex: &str) -> Answered {
    let metrics = with_vertex(cx, job, vertex, |vertex, running| {
        let subtasks = running.current();
        let prefixed = subtasks.flat_map(|(index, attempt)| {
            let scope = index.to_string();
            task_metrics(vertex, attempt).into_iter().map(move |metric| metric.within(&scope))
        });
        prefixed.collect::<Vec<_>>()
    });
    Ok(plain(request, &metrics.await?.unwrap_or_default()))
}

/// `/jobs/:jobid/vertices/:vertexid/jm-operator-metrics`: there are no coordinators in the JobManager.
pub(super) fn of_coordinators(job: &str, vertex: &str) -> Answered {
    job_id(job)?;
    vertex_id(vertex)?;
    Ok(Answer::ok(json!([])))
}

/// `/jobs/:jobid/vertices/:vertexid/subtasks/:subtaskindex/metrics`
pub(super) async fn of_subtask(cx: &Context, request: &Request, job: &str, vertex: &str, index: &str) -> Answered {
    job_id(job)?;
    vertex_id(vertex)?;
    let index = subtask_index(index)? as usize;
    let metrics = with_vertex(cx, job, vertex, |vertex, running| {
        running.subtasks.get(index).map(|subtask| task_metrics(vertex, &subtask.current)).unwrap_or_default()
    });
    Ok(plain(request, &metrics.await?.unwrap_or_default()))
}

/// `/jobs/:jobid/vertices/:vertexid/subtasks/metrics`
pub(super) async fn of_subtasks(cx: &Context, request: &Request, job: &str, vertex: &str) -> Answered {
    job_id(job)?;
    vertex_id(vertex)?;
    let aggregations = Aggregation::wanted(request)?;
    let wanted = subtask_ranges(request)?;
    let stores = with_vertex(cx, job, vertex, |vertex, running| {
        let subtasks = running.current();
        let wanted = subtasks
            .filter(|(index, _)| wanted.as_ref().is_none_or(|ranges| ranges.iter().any(|range| range.contains(index))));
        wanted.map(|(_, attempt)| task_metrics(vertex, attempt)).collect::<Vec<_>>()
    });
    Ok(aggregated(request, &aggregations, &stores.await?.unwrap_or_default()))
}

async fn with_vertex<T>(
    cx: &Context,
    job: &str,
    vertex: &str,
    read: impl FnOnce(&JobVertex, &VertexView) -> T,
) -> Result<Option<T>, super::error::RestError> {
    let (job, vertex) = (job_id(job)?, vertex_id(vertex)?);
    let job = cx.cluster.job(job).await?;
    Ok(job.and_then(|job| job.vertex(vertex).map(|(vertex, running)| read(vertex, running))))
}

fn plain(request: &Request, metrics: &[Metric]) -> Answer {
    let answer: Vec<Value> = match request.query_list("get") {
        None => metrics.iter().map(|metric| json!({ "id": metric.name })).collect(),
        Some(names) => metrics
            .iter()
            .filter(|metric| names.contains(&metric.name.as_str()))
            .map(|metric| json!({ "id": metric.name, "value": metric.value.to_string() }))
            .collect(),
    };
    Answer::ok(Value::Array(answer))
}
