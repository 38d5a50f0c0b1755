//! One vertex: `/jobs/:jobid/vertices/:vertexid` and what shows all of its subtasks.

use std::collections::BTreeMap;
use std::sync::Arc;

use pelton_runtime_core::graph::JobVertex;
use pelton_runtime_core::id::JobVertexId;
use pelton_runtime_core::scheduler::status::ExecutionState;
use pelton_runtime_core::time::EpochMillis;
use serde_json::{Map, Value, json};

use super::answer::Answer;
use super::error::RestError;
use super::params::{job_id, vertex_id};
use super::subtask::{self, Lifetime, UNASSIGNED, lifetime_of_all};
use super::{Answered, Context, accumulators, io_metrics, job, statistics};
use crate::view::{AttemptView, JobView, VertexView};

/// A job and the id of one of its vertices.
pub(super) struct Found {
    job: Arc<JobView>,
    id: JobVertexId,
}

impl Found {
    /// The vertex as it was planned and as it runs.
    pub(super) fn vertex(&self) -> Result<(&JobVertex, &VertexView), RestError> {
        self.job.vertex(self.id).ok_or(RestError::UnknownVertex(self.id))
    }
}

/// The job and its vertex, or 404; malformed ids are told before unknown ones.
pub(super) async fn find(cx: &Context, job: &str, vertex: &str) -> Result<Found, RestError> {
    let (job, id) = (job_id(job)?, vertex_id(vertex)?);
    let found = Found { job: job::find(cx, job).await?, id };
    found.vertex()?;
    Ok(found)
}

/// `/jobs/:jobid/vertices/:vertexid`
pub(super) async fn detail(cx: &Context, job: &str, vertex: &str) -> Answered {
    let found = find(cx, job, vertex).await?;
    let (vertex, running) = found.vertex()?;
    let now = cx.cluster.now();
    let attempts: Vec<&AttemptView> = running.current().map(|(_, attempt)| attempt).collect();
    let subtasks: Vec<Value> =
        running.current().map(|(index, attempt)| subtask::attempt_json(index, attempt, now)).collect();
    Ok(Answer::ok(json!({
        "id": vertex.id.to_string(),
        "name": vertex.name,
        "parallelism": vertex.parallelism,
        "maxParallelism": vertex.max_parallelism,
        "now": now,
        "subtasks": subtasks,
        "aggregated": aggregated(&attempts, now),
    })))
}

fn aggregated(attempts: &[&AttemptView], now: EpochMillis) -> Value {
    let mut durations = Map::new();
    for state in subtask::TIMED_STATES {
        let of_state = attempts.iter().map(|attempt| subtask::time_in(attempt, state, now));
        durations.insert(state.as_str().to_owned(), statistics::spread(of_state));
    }
    json!({ "metrics": io_metrics::spreads(attempts), "status-duration": durations })
}

/// `/jobs/:jobid/vertices/:vertexid/subtasktimes`
pub(super) async fn subtask_times(cx: &Context, job: &str, vertex: &str) -> Answered {
    let found = find(cx, job, vertex).await?;
    let (vertex, running) = found.vertex()?;
    let now = cx.cluster.now();
    let subtasks: Vec<Value> = running
        .current()
        .map(|(index, attempt)| {
            let mut timestamps = Map::new();
            for &state in ExecutionState::ALL {
                timestamps.insert(state.as_str().to_owned(), attempt.timestamps.get(state).unwrap_or(0).into());
            }
            // Unlike other durations this one counts from the time the subtask was scheduled.
            let duration = match attempt.timestamps.get(ExecutionState::Scheduled) {
                Some(scheduled) => (attempt.end_time().unwrap_or(now) - scheduled).max(0),
                None => -1,
            };
            json!({
                "subtask": index,
                "endpoint": subtask::endpoint(attempt),
                "duration": duration,
                "timestamps": timestamps,
            })
        })
        .collect();
    Ok(Answer::ok(json!({
        "id": vertex.id.to_string(),
        "name": vertex.name,
        "now": now,
        "subtasks": subtasks,
    })))
}

/// `/jobs/:jobid/vertices/:vertexid/taskmanagers`
pub(super) async fn task_managers(cx: &Context, job: &str, vertex: &str) -> Answered {
    let found = find(cx, job, vertex).await?;
    let (vertex, running) = found.vertex()?;
    let now = cx.cluster.now();
    let mut groups: BTreeMap<(&str, &str), Vec<&AttemptView>> = BTreeMap::new();
    for (_, attempt) in running.current() {
        let place = attempt.location.as_ref().map_or((UNASSIGNED, UNASSIGNED), |location| {
            (location.task_manager.0.as_str(), location.endpoint.as_str())
        });
        groups.entry(place).or_default().push(attempt);
    }
    let task_managers: Vec<Value> = groups
        .into_iter()
        .map(|((task_manager, endpoint), attempts)| {
            let states: Vec<ExecutionState> = attempts.iter().map(|attempt| attempt.state).collect();
            let Lifetime { start, end, duration } = lifetime_of_all(attempts.iter().copied(), now);
            json!({
                "endpoint": endpoint,
                "status": ExecutionState::aggregate(states.iter().copied()).as_str(),
                "start-time": start,
                "end-time": end,
                "duration": duration,
                "metrics": io_metrics::totals(attempts.iter().copied()),
                "status-counts": statistics::state_counts(&states),
                "taskmanager-id": task_manager,
                "aggregated": aggregated(&attempts, now),
            })
        })
        .collect();
    Ok(Answer::ok(json!({
        "id": vertex.id.to_string(),
        "name": vertex.name,
        "now": now,
        "taskmanagers": task_managers,
    })))
}

/// `/jobs/:jobid/vertices/:vertexid/accumulators`
pub(super) async fn accumulators(cx: &Context, job: &str, vertex: &str) -> Answered {
    let found = find(cx, job, vertex).await?;
    let (vertex, running) = found.vertex()?;
    let accumulators = accumulators::shown(&running.accumulators());
    Ok(Answer::ok(json!({ "id": vertex.id.to_string(), "user-accumulators": accumulators })))
}
