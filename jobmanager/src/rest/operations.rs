//! What is started here and asked about later, by the id that the answer gives or the client chose:
//! `POST /jobs/:jobid/savepoints`, `…/stop`, `…/checkpoints`, `POST /savepoint-disposal`, and their status.
//!
//! An unknown job is no error here: that is what becomes of the operation, as in Flink.

use pelton_runtime_core::element::{AfterSavepoint, SavepointFormat};
use pelton_runtime_core::id::{JobId, TriggerId};
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::Answer;
use super::error::RestError;
use super::params::{in_path, job_id};
use super::request::Request;
use super::serialized_throwable::serialized;
use super::{Answered, Context};
use crate::view::{Operation, OperationKey, OperationResult};

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct SavepointBody {
    target_directory: Option<String>,
    cancel_job: Option<bool>,
    #[serde(rename = "formatType")]
    format: Option<Format>,
    #[serde(rename = "triggerId")]
    trigger: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct StopBody {
    target_directory: Option<String>,
    drain: Option<bool>,
    format_type: Option<Format>,
    trigger_id: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct CheckpointBody {
    checkpoint_type: Option<CheckpointType>,
    trigger_id: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
struct DisposalBody {
    savepoint_path: Option<String>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum Format {
    Canonical,
    Native,
}

#[derive(Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum CheckpointType {
    Configured,
    Full,
    Incremental,
}

/// `POST /jobs/:jobid/savepoints`
pub(super) fn savepoint(cx: &Context, request: &Request, job: &str) -> Answered {
    const FORMAT: &str = "SavepointTriggerRequestBody";
    let job = job_id(job)?;
    let body: SavepointBody = request.json(FORMAT)?;
    let (directory, format) = (body.target_directory, format_of(body.format));
    let operation = match body.cancel_job {
        Some(true) => Operation::CancelWithSavepoint { job, directory, format },
        Some(false) | None => Operation::Savepoint { job, directory, format, then: AfterSavepoint::GoOn },
    };
    start(cx, body.trigger, FORMAT, operation).map(Answer::accepted_with)
}

/// `POST /jobs/:jobid/stop`
pub(super) fn stop(cx: &Context, request: &Request, job: &str) -> Answered {
    const FORMAT: &str = "StopWithSavepointRequestBody";
    let job = job_id(job)?;
    let body: StopBody = request.json(FORMAT)?;
    let then = if body.drain == Some(true) { AfterSavepoint::Drain } else { AfterSavepoint::Stop };
    let (directory, format) = (body.target_directory, format_of(body.format_type));
    let operation = Operation::Savepoint { job, directory, format, then };
    start(cx, body.trigger_id, FORMAT, operation).map(Answer::accepted_with)
}

/// `POST /jobs/:jobid/checkpoints`
pub(super) fn checkpoint(cx: &Context, request: &Request, job: &str) -> Answered {
    const FORMAT: &str = "CheckpointTriggerRequestBody";
    let job = job_id(job)?;
    let body: CheckpointBody = request.json(FORMAT)?;
    if body.checkpoint_type == Some(CheckpointType::Incremental) {
        return Err(RestError::Internal("an incremental checkpoint cannot be asked for, only CONFIGURED and FULL"));
    }
    let full = body.checkpoint_type == Some(CheckpointType::Full);
    start(cx, body.trigger_id, FORMAT, Operation::Checkpoint { job, full }).map(Answer::accepted_with)
}

/// `POST /savepoint-disposal`, which is answered with 200 and not 202.
pub(super) fn disposal(cx: &Context, request: &Request) -> Answered {
    const FORMAT: &str = "SavepointDisposalRequest";
    let body: DisposalBody = request.json(FORMAT)?;
    let path = body.savepoint_path.ok_or(RestError::MissingField("savepoint-path"))?;
    start(cx, None, FORMAT, Operation::Dispose { path }).map(Answer::ok)
}

fn format_of(format: Option<Format>) -> SavepointFormat {
    SavepointFormat::of(matches!(format, Some(Format::Native)))
}

fn start(
    cx: &Context,
    trigger: Option<String>,
    format: &'static str,
    operation: Operation,
) -> Result<Value, RestError> {
    let trigger = match trigger {
        Some(text) => text.parse().map_err(|_| RestError::BadBody { format })?,
        None => cx.cluster.new_trigger(),
    };
    cx.cluster.trigger(trigger, operation)?;
    Ok(json!({ "request-id": trigger.to_string() }))
}

/// `GET /jobs/:jobid/savepoints/:triggerid`, also of a stop.
pub(super) fn savepoint_status(cx: &Context, job: &str, trigger: &str) -> Answered {
    let (job, trigger) = (job_id(job)?, trigger_id(trigger)?);
    let unknown = || unknown(&format!("savepoint operation with triggerId={trigger} for job {job}"));
    status(cx, OperationKey::Savepoint(job, trigger), "failure-cause").ok_or_else(unknown)
}

/// `GET /jobs/:jobid/checkpoints/:triggerid`
pub(super) fn checkpoint_status(cx: &Context, job: JobId, trigger: &str) -> Answered {
    let trigger = trigger_id(trigger)?;
    let unknown = || unknown(&format!("checkpoint operation with triggerId={trigger} for job {job}"));
    status(cx, OperationKey::Checkpoint(job, trigger), "failureCause").ok_or_else(unknown)
}

/// `GET /savepoint-disposal/:triggerid`
pub(super) fn disposal_status(cx: &Context, trigger: &str) -> Answered {
    let trigger = trigger_id(trigger)?;
    let unknown = || RestError::NotFound(format!("Operation not found under key: {trigger}"));
    status(cx, OperationKey::Disposal(trigger), "failure-cause").ok_or_else(unknown)
}

fn trigger_id(text: &str) -> Result<TriggerId, RestError> {
    in_path("triggerid", text)
}

/// The Kubernetes operator knows this sentence.
fn unknown(what: &str) -> RestError {
    RestError::NotFound(format!("There is no {what}."))
}

fn status(cx: &Context, key: OperationKey, failure: &str) -> Option<Answer> {
    let (id, operation) = match cx.cluster.operation(key)? {
        None => ("IN_PROGRESS", Value::Null),
        Some(Ok(OperationResult::Savepoint { location })) => ("COMPLETED", json!({ "location": location })),
        Some(Ok(OperationResult::Checkpoint(checkpoint))) => ("COMPLETED", json!({ "checkpointId": checkpoint.0 })),
        Some(Ok(OperationResult::Disposed)) => ("COMPLETED", json!({})),
        Some(Err(reason)) => {
            let stack_trace = format!("{CLASS}: {reason}");
            let throwable = serialized(CLASS, &reason, &stack_trace);
            let cause = json!({ "class": CLASS, "stack-trace": stack_trace, "serialized-throwable": throwable });
            ("COMPLETED", json!({ failure: cause }))
        }
    };
    Some(Answer::ok(json!({ "status": { "id": id }, "operation": operation })))
}

/// What stands where Flink names a Java class.
const CLASS: &str = "CheckpointFailure";
