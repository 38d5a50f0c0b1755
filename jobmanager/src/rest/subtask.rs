//! One subtask and its attempts: `/jobs/:jobid/vertices/:vertexid/subtasks/...`.

use pelton_runtime_core::id::SubtaskIndex;
use pelton_runtime_core::scheduler::status::ExecutionState;
use pelton_runtime_core::time::EpochMillis;
use serde_json::{Map, Value, json};

use super::answer::Answer;
use super::error::RestError;
use super::params::{in_path, job_id, subtask_index, vertex_id};
use super::{Answered, Context, accumulators, io_metrics, vertex};
use crate::view::{AttemptView, SubtaskView};

/// What Flink writes for a place that is not known yet.
pub(super) const UNASSIGNED: &str = "(unassigned)";

/// The states whose duration is shown.
pub(super) const TIMED_STATES: [ExecutionState; 5] = [
    ExecutionState::Created,
    ExecutionState::Scheduled,
    ExecutionState::Deploying,
    ExecutionState::Initializing,
    ExecutionState::Running,
];

/// Start, end and length, -1 where there is none.
pub(super) struct Lifetime {
    pub(super) start: EpochMillis,
    pub(super) end: EpochMillis,
    pub(super) duration: i64,
}

/// From the first start to the last end; there is no end while one attempt has none.
pub(super) fn lifetime_of_all<'a>(attempts: impl IntoIterator<Item = &'a AttemptView>, now: EpochMillis) -> Lifetime {
    let (mut start, mut end, mut all_ended, mut any) = (None, None, true, false);
    for attempt in attempts {
        any = true;
        start = start.into_iter().chain(attempt.start_time()).min();
        end = end.into_iter().chain(attempt.end_time()).max();
        all_ended &= attempt.end_time().is_some();
    }
    let end = if any && all_ended { end } else { None };
    Lifetime {
        start: start.unwrap_or(-1),
        end: end.unwrap_or(-1),
        duration: start.map_or(-1, |start| (end.unwrap_or(now) - start).max(0)),
    }
}

/// How long an attempt was in a state, until the next one or until now; 0 when it never was.
pub(super) fn time_in(attempt: &AttemptView, state: ExecutionState, now: EpochMillis) -> i64 {
    let entered = attempt.timestamps.in_order();
    let Some(position) = entered.iter().position(|&(each, _)| each == state) else { return 0 };
    let left = entered.get(position + 1).map_or(now, |&(_, at)| at);
    (left - entered[position].1).max(0)
}

/// `host:port` of the attempt's data exchange.
pub(super) fn endpoint(attempt: &AttemptView) -> &str {
    attempt.location.as_ref().map_or(UNASSIGNED, |location| location.endpoint.as_str())
}

/// An attempt as vertices, subtasks and attempts show it.
pub(super) fn attempt_json(subtask: SubtaskIndex, attempt: &AttemptView, now: EpochMillis) -> Value {
    let Lifetime { start, end, duration } = lifetime_of_all([attempt], now);
    let mut durations = Map::new();
    for state in TIMED_STATES {
        durations.insert(state.as_str().to_owned(), time_in(attempt, state, now).into());
    }
    let task_manager = attempt.location.as_ref().map_or(UNASSIGNED, |location| location.task_manager.0.as_str());
    json!({
        "subtask": subtask,
        "status": attempt.state.as_str(),
        "attempt": attempt.number,
        "endpoint": endpoint(attempt),
        "start-time": start,
        "end-time": end,
        "duration": duration,
        "metrics": io_metrics::totals([attempt]),
        "taskmanager-id": task_manager,
        "status-duration": durations,
        // Twice, as Flink has it for its older clients.
        "start_time": start,
    })
}

/// `/subtasks/:subtaskindex`
pub(super) async fn detail(cx: &Context, job: &str, vertex: &str, index: &str) -> Answered {
    check_ids(job, vertex)?;
    let index = subtask_index(index)?;
    let found = vertex::find(cx, job, vertex).await?;
    let subtask = subtask_of(&found, index)?;
    Ok(Answer::ok(attempt_json(index, &subtask.current, cx.cluster.now())))
}

/// `/subtasks/:subtaskindex/attempts/:attempt`
pub(super) async fn attempt(cx: &Context, job: &str, vertex: &str, index: &str, number: &str) -> Answered {
    check_ids(job, vertex)?;
    let (index, number) = (subtask_index(index)?, in_path("attempt", number)?);
    let found = vertex::find(cx, job, vertex).await?;
    let attempt = attempt_of(subtask_of(&found, index)?, index, number)?;
    Ok(Answer::ok(attempt_json(index, attempt, cx.cluster.now())))
}

/// `/subtasks/:subtaskindex/attempts/:attempt/accumulators`
pub(super) async fn attempt_accumulators(cx: &Context, job: &str, vertex: &str, index: &str, number: &str) -> Answered {
    check_ids(job, vertex)?;
    let (index, number) = (subtask_index(index)?, in_path("attempt", number)?);
    let found = vertex::find(cx, job, vertex).await?;
    let attempt = attempt_of(subtask_of(&found, index)?, index, number)?;
    Ok(Answer::ok(json!({
        "subtask": index,
        "attempt": attempt.number,
        "id": attempt.id.to_string(),
        "user-accumulators": accumulators::of_attempt(attempt),
    })))
}

/// `/subtasks/accumulators`
pub(super) async fn all_accumulators(cx: &Context, job: &str, vertex: &str) -> Answered {
    let found = vertex::find(cx, job, vertex).await?;
    let (vertex, running) = found.vertex()?;
    let subtasks: Vec<Value> = running
        .current()
        .map(|(index, attempt)| {
            json!({
                "subtask": index,
                "attempt": attempt.number,
                "endpoint": endpoint(attempt),
                "user-accumulators": accumulators::of_attempt(attempt),
            })
        })
        .collect();
    Ok(Answer::ok(json!({
        "id": vertex.id.to_string(),
        "parallelism": vertex.parallelism,
        "subtasks": subtasks,
    })))
}

/// Malformed ids are told in the order of the path.
fn check_ids(job: &str, vertex: &str) -> Result<(), RestError> {
    job_id(job)?;
    vertex_id(vertex)?;
    Ok(())
}

fn subtask_of(found: &vertex::Found, index: SubtaskIndex) -> Result<&SubtaskView, RestError> {
    let (vertex, running) = found.vertex()?;
    running.subtasks.get(index as usize).ok_or_else(|| RestError::UnknownSubtask {
        vertex: vertex.id,
        subtask: index,
        last: vertex.parallelism.saturating_sub(1),
    })
}

fn attempt_of(subtask: &SubtaskView, index: SubtaskIndex, number: u32) -> Result<&AttemptView, RestError> {
    subtask.attempt(number).ok_or(RestError::UnknownAttempt { subtask: index, attempt: number })
}
