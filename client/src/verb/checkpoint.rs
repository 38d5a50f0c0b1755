//! `client checkpoint`.

use std::process::ExitCode;

use pelton_process::flags::Settings;
use pelton_proto::TakeCheckpoint;
use pelton_proto::run_operation_request::Operation;

use super::{VerbError, connect};
use crate::cluster::ClusterError;
use crate::command::Checkpoint;
use crate::output;

pub(super) async fn run(settings: &Settings, verb: &Checkpoint) -> Result<ExitCode, VerbError> {
    let job = verb.job;
    let mut cluster = connect(&verb.target, settings).await?;
    output::line(format_args!("Triggering checkpoint for job {job}."))?;
    output::line("Waiting for response...")?;
    let operation = Operation::Checkpoint(TakeCheckpoint { job_id: job.to_wire(), full: verb.full });
    let reply = cluster.run_operation(&format!("a checkpoint of job {job}"), operation, false).await;
    let reply = reply
        .map_err(|cause| VerbError::unsettled(cause, || "the checkpoint may exist or not, REST shows it".to_owned()))?;
    let checkpoint = reply.checkpoint_id.ok_or(ClusterError::BadAnswer)?;
    let kind = if verb.full { "Checkpoint(FULL)" } else { "Checkpoint" };
    let done = format!("{kind} {checkpoint} for job {job} completed.");
    output::line(&done)
        .and_then(|()| output::line("You can resume your program from this checkpoint with the run command."))
        .map_err(|source| VerbError::Untold { done, source })?;
    Ok(ExitCode::SUCCESS)
}
