//! `/jobs/:jobid/exceptions`: what has failed, the newest first.

use pelton_runtime_core::failure::{FailureCause, FailureClass};
use serde_json::{Value, json};

use super::answer::Answer;
use super::params::{bad_query, in_query, job_id};
use super::request::Request;
use super::{Answered, Context, job};
use crate::view::ExceptionView;

/// How many are shown when nobody says, as in Flink.
const DEFAULT_MAX_EXCEPTIONS: usize = 20;

/// `/jobs/:jobid/exceptions?maxExceptions=n&failureLabelFilter=key:value`
pub(super) async fn history(cx: &Context, request: &Request, id: &str) -> Answered {
    let id = job_id(id)?;
    let max: usize = in_query(request, "maxExceptions")?.unwrap_or(DEFAULT_MAX_EXCEPTIONS);
    let labels = wanted_labels(request)?;
    let job = job::find(cx, id).await?;
    let matching: Vec<&ExceptionView> = job
        .exceptions
        .iter()
        .filter(|each| labels.iter().all(|(key, value)| each.labels.get(*key).is_some_and(|found| found == value)))
        .collect();
    let truncated = job.exceptions_truncated || matching.len() > max;
    let entries: Vec<Value> = matching.into_iter().take(max).map(entry).collect();
    Ok(Answer::ok(json!({ "exceptionHistory": { "entries": entries, "truncated": truncated } })))
}

fn wanted_labels(request: &Request) -> Result<Vec<(&str, &str)>, super::error::RestError> {
    let filters = request.query_list("failureLabelFilter").unwrap_or_default();
    filters
        .into_iter()
        .map(|filter| filter.split_once(':').ok_or_else(|| bad_query("failureLabelFilter", filter)))
        .collect()
}

fn entry(exception: &ExceptionView) -> Value {
    let mut entry = without_concurrent(exception);
    entry["concurrentExceptions"] = exception.concurrent.iter().map(without_concurrent).collect();
    entry
}

fn without_concurrent(exception: &ExceptionView) -> Value {
    let mut entry = json!({
        "exceptionName": name(exception),
        "stacktrace": text(exception),
        "timestamp": exception.cause.timestamp,
        "failureLabels": exception.labels,
    });
    // Flink leaves these out when no subtask is concerned.
    let task_manager = exception.cause.task_manager.as_ref().map(|id| id.0.as_str());
    let fields = [
        ("taskName", exception.task_name.as_deref()),
        ("endpoint", exception.endpoint.as_deref()),
        ("taskManagerId", task_manager),
    ];
    for (field, value) in fields {
        if let Some(value) = value {
            entry[field] = Value::String(value.to_owned());
        }
    }
    entry
}

/// What stands where Flink names a Java class. A failure that ended the job has Flink's own name for that.
pub(super) fn name(exception: &ExceptionView) -> &'static str {
    if exception.suppressed.is_some() { "JobException" } else { class(&exception.cause) }
}

/// Whose fault it is.
const fn class(cause: &FailureCause) -> &'static str {
    match cause.class {
        FailureClass::User => "UserFailure",
        FailureClass::System => "SystemFailure",
        FailureClass::Corrupt => "CorruptData",
        FailureClass::Transient => "TransientFailure",
        FailureClass::Lost => "ProcessLost",
        FailureClass::Unrecoverable => "UnrecoverableFailure",
    }
}

/// What stands where Flink has a stack trace: why the job was not restarted, the causes, the signal, the last words on
/// standard error.
pub(super) fn text(exception: &ExceptionView) -> String {
    let cause = format!("{}: {}", class(&exception.cause), exception.cause);
    match &exception.suppressed {
        Some(suppressed) => format!("{}: {suppressed}\nCaused by: {cause}", name(exception)),
        None => cause,
    }
}
