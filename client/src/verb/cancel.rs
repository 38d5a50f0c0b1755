//! `client cancel`.

use std::process::ExitCode;

use pelton_process::flags::Settings;

use super::{VerbError, connect};
use crate::command::Cancel;
use crate::output;

pub(super) async fn run(settings: &Settings, verb: &Cancel) -> Result<ExitCode, VerbError> {
    let job = verb.job;
    let mut cluster = connect(&verb.target, settings).await?;
    // A terminal that takes no words is no reason not to cancel: that is told afterwards.
    let announced = output::line(format_args!("Cancelling job {job}."));
    cluster.cancel(job).await.map_err(|cause| {
        VerbError::unsettled(cause, || format!("job {job} may be canceled or not, `client list -a` shows it"))
    })?;
    announced
        .and_then(|()| output::line(format_args!("Cancelled job {job}.")))
        .map_err(|source| VerbError::Untold { done: format!("canceled job {job}"), source })?;
    Ok(ExitCode::SUCCESS)
}
