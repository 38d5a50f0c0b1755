//! The list of jobs: `/jobs` and `/jobs/overview`.

use pelton_runtime_core::scheduler::status::ExecutionState;
use pelton_runtime_core::time::EpochMillis;
use serde_json::{Map, Value, json};

use super::answer::Answer;
use super::{Answered, Context};
use crate::view::JobView;

/// `/jobs`
pub(super) async fn ids(cx: &Context) -> Answered {
    let jobs = cx.cluster.jobs().await?;
    let jobs: Vec<Value> =
        jobs.iter().map(|job| json!({ "id": job.id.to_string(), "status": job.status.as_str() })).collect();
    Ok(Answer::ok(json!({ "jobs": jobs })))
}

/// `/jobs/overview`
pub(super) async fn overview(cx: &Context) -> Answered {
    let now = cx.cluster.now();
    let jobs: Vec<Value> = cx.cluster.jobs().await?.iter().map(|job| summary(job, now)).collect();
    Ok(Answer::ok(json!({ "jobs": jobs })))
}

fn summary(job: &JobView, now: EpochMillis) -> Value {
    json!({
        "jid": job.id.to_string(),
        "name": job.name,
        "start-time": job.start_time(),
        "end-time": job.end_time().unwrap_or(-1),
        "duration": job.duration_ms(now),
        "state": job.status.as_str(),
        "last-modification": job.last_modification(),
        "tasks": tasks(job),
        "pending-operators": 0,
    })
}

fn tasks(job: &JobView) -> Value {
    let states: Vec<ExecutionState> =
        job.vertices.iter().flat_map(|vertex| vertex.current().map(|(_, attempt)| attempt.state)).collect();
    let mut tasks = Map::new();
    for state in ExecutionState::ALL {
        let count = states.iter().filter(|each| *each == state).count();
        tasks.insert(state.as_str().to_ascii_lowercase(), count.into());
    }
    tasks.insert("total".to_owned(), states.len().into());
    Value::Object(tasks)
}
