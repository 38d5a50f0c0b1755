//! `client savepoint`.

use std::process::ExitCode;

use pelton_process::flags::Settings;
use pelton_proto::run_operation_request::Operation;
use pelton_proto::{AfterSavepoint, DisposeSavepoint, RunOperationReply, TakeSavepoint};
use pelton_runtime_core::element::SavepointFormat;
use pelton_runtime_core::id::{JobId, TriggerId};

use super::{VerbError, connect};
use crate::cluster::{Cluster, ClusterError};
use crate::command::{Savepoint, SavepointHow};
use crate::output::{self, OutputError};

pub(super) async fn run(settings: &Settings, verb: Savepoint) -> Result<ExitCode, VerbError> {
    let mut cluster = connect(&verb.target, settings).await?;
    match (verb.dispose, verb.job) {
        (Some(path), _) => dispose(&mut cluster, path).await,
        (None, Some(job)) => take(&mut cluster, job, verb.directory, verb.how).await,
        (None, None) => Err(VerbError::Unavailable { what: "a savepoint without a job", why: "give the job's id" }),
    }
}

async fn dispose(cluster: &mut Cluster, path: String) -> Result<ExitCode, VerbError> {
    output::line(format_args!("Disposing savepoint '{path}'."))?;
    output::line("Waiting for response...")?;
    let operation = Operation::Disposal(DisposeSavepoint { path: path.clone() });
    cluster
        .run_operation("the disposal", operation, false)
        .await
        .map_err(|cause| VerbError::unsettled(cause, || format!("savepoint '{path}' may be there or not")))?;
    let done = format!("Savepoint '{path}' disposed.");
    output::line(&done).map_err(|source| VerbError::Untold { done, source })?;
    Ok(ExitCode::SUCCESS)
}

async fn take(
    cluster: &mut Cluster,
    job: JobId,
    directory: Option<String>,
    how: SavepointHow,
) -> Result<ExitCode, VerbError> {
    if how.detached {
        output::line(format_args!("Triggering savepoint in detached mode for job {job}."))?;
    } else {
        output::line(format_args!("Triggering savepoint for job {job}."))?;
        output::line("Waiting for response...")?;
    }
    let taken = ask(cluster, job, directory, &how, AfterSavepoint::GoOn).await?;
    if say(&taken, how.detached, "manual savepoint")? {
        output::line("You can resume your program from this savepoint with the run command.")?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Has the cluster take a savepoint.
pub(super) async fn ask(
    cluster: &mut Cluster,
    job: JobId,
    target_directory: Option<String>,
    how: &SavepointHow,
    then: AfterSavepoint,
) -> Result<RunOperationReply, VerbError> {
    let wanted = TakeSavepoint {
        job_id: job.to_wire(),
        target_directory,
        native: how.format == SavepointFormat::Native,
        then: then.into(),
    };
    let action = format!("a savepoint of job {job}");
    cluster
        .run_operation(&action, Operation::Savepoint(wanted), how.detached)
        .await
        .map_err(|cause| VerbError::unsettled(cause, || "the savepoint may exist or not, REST shows it".to_owned()))
}

/// Says where a savepoint is, or under which id to ask for it; whether it is there.
pub(super) fn say(taken: &RunOperationReply, detached: bool, what: &str) -> Result<bool, VerbError> {
    let untold = |done: String| move |source: OutputError| VerbError::Untold { done, source };
    if detached {
        let trigger = TriggerId::try_from(taken.trigger_id.as_slice()).map_err(|_| ClusterError::BadAnswer)?;
        let done = format!("Successfully trigger {what}, triggerId: {trigger}");
        output::line(&done).map_err(untold(done.clone()))?;
        return Ok(false);
    }
    let done = format!("Savepoint completed. Path: {}", taken.location.as_deref().ok_or(ClusterError::BadAnswer)?);
    output::line(&done).map_err(untold(done.clone()))?;
    Ok(true)
}
