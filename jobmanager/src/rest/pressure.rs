//! Where a vertex spends its time and how far its event time is: `/backpressure` and `/watermarks`.

use pelton_runtime_core::graph::OperatorRole;
use pelton_runtime_core::time::MIN_WATERMARK;
use serde_json::{Value, json};

use super::answer::Answer;
use super::params::{job_id, vertex_id};
use super::{Answered, Context, job, vertex};
use crate::view::AttemptView;

/// `/jobs/:jobid/vertices/:vertexid/backpressure`
///
/// A vertex that does not exist or has not reported is `deprecated`, as in Flink.
pub(super) async fn backpressure(cx: &Context, job: &str, vertex: &str) -> Answered {
    let (job, vertex) = (job_id(job)?, vertex_id(vertex)?);
    let view = job::find(cx, job).await?;
    let attempts: Vec<&AttemptView> = match view.vertex(vertex) {
        Some((_, running)) if !view.status.is_terminal() => running.current().map(|(_, attempt)| attempt).collect(),
        _ => Vec::new(),
    };
    if attempts.is_empty() || attempts.iter().any(|attempt| !attempt.metrics.reported) {
        return Ok(Answer::ok(json!({ "status": "deprecated" })));
    }
    let subtasks: Vec<Value> = (0..).zip(&attempts).map(|(index, attempt)| subtask(index, attempt)).collect();
    let worst = attempts.iter().map(|attempt| ratio(attempt.metrics.rates.backpressured_ms)).fold(0.0, f64::max);
    Ok(Answer::ok(json!({
        "status": "ok",
        "backpressureLevel": level(worst),
        "end-timestamp": attempts.iter().map(|attempt| attempt.metrics.rates.measured_at).max().unwrap_or(0),
        "subtasks": subtasks,
        "backpressure-level": level(worst),
    })))
}

fn subtask(index: u32, attempt: &AttemptView) -> Value {
    let rates = &attempt.metrics.rates;
    let backpressured = ratio(rates.backpressured_ms);
    json!({
        "subtask": index,
        "backpressureLevel": level(backpressured),
        "ratio": backpressured,
        "idleRatio": ratio(rates.idle_ms),
        "busyRatio": ratio(rates.busy_ms),
        "backpressure-level": level(backpressured),
    })
}

/// A part of a second, in thousandths.
fn ratio(ms_per_second: f64) -> f64 {
    (ms_per_second.clamp(0.0, 1000.0)).round() / 1000.0
}

/// Flink's thresholds.
fn level(ratio: f64) -> &'static str {
    if ratio <= 0.1 {
        "ok"
    } else if ratio <= 0.5 {
        "low"
    } else {
        "high"
    }
}

/// `/jobs/:jobid/vertices/:vertexid/watermarks`: one per subtask, none for sources.
pub(super) async fn watermarks(cx: &Context, job: &str, vertex: &str) -> Answered {
    let found = vertex::find(cx, job, vertex).await?;
    let (vertex, running) = found.vertex()?;
    let is_source = vertex.operators.first().is_some_and(|head| head.role == OperatorRole::Source);
    let watermarks: Vec<Value> = running
        .current()
        .filter(|(_, attempt)| attempt.metrics.reported && !is_source)
        .map(|(index, attempt)| {
            json!({
                "id": format!("{index}.currentInputWatermark"),
                "value": attempt.metrics.watermark.unwrap_or(MIN_WATERMARK).to_string(),
            })
        })
        .collect();
    Ok(Answer::ok(Value::Array(watermarks)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_flinks() {
        assert_eq!([0.1, 0.101, 0.5, 0.501].map(level), ["ok", "low", "low", "high"]);
    }
}
