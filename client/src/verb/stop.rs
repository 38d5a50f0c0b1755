//! `client stop`.

use std::process::ExitCode;

use pelton_process::flags::Settings;
use pelton_proto::AfterSavepoint;
use pelton_runtime_core::element::SavepointFormat;

use super::{VerbError, connect, savepoint};
use crate::command::Stop;
use crate::output;

pub(super) async fn run(settings: &Settings, verb: Stop) -> Result<ExitCode, VerbError> {
    let job = verb.job;
    let mut cluster = connect(&verb.target, settings).await?;
    let doing = if verb.drain { "Draining" } else { "Suspending" };
    let format = match verb.how.format {
        SavepointFormat::Canonical => "CANONICAL",
        SavepointFormat::Native => "NATIVE",
    };
    output::line(format_args!("{doing} job \"{job}\" with a {format} savepoint."))?;
    if verb.how.detached {
        output::line(format_args!("Triggering stop-with-savepoint in detached mode for job {job}."))?;
    } else {
        output::line(format_args!("Triggering stop-with-savepoint for job {job}."))?;
        output::line("Waiting for response...")?;
    }
    let then = if verb.drain { AfterSavepoint::Drain } else { AfterSavepoint::Stop };
    let taken = savepoint::ask(&mut cluster, job, verb.savepoint_path, &verb.how, then).await?;
    savepoint::say(&taken, verb.how.detached, "stop-with-savepoint")?;
    Ok(ExitCode::SUCCESS)
}
