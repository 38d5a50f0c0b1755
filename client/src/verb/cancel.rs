//! `client cancel`.

use std::process::ExitCode;

use pelton_process::flags::Settings;

use super::{VerbError, connect};
use crate::command::Cancel;

pub(super) async fn run(settings: &Settings, verb: &Cancel) -> Result<ExitCode, VerbError> {
    println!("Cancelling job {}.", verb.job);
    connect(&verb.target, settings).await?.cancel(verb.job).await?;
    println!("Cancelled job {}.", verb.job);
    Ok(ExitCode::SUCCESS)
}
