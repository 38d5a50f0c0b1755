//! `client info`.

use std::collections::BTreeMap;
use std::process::ExitCode;

use pelton_runtime_core::env::Env;
use pelton_runtime_core::graph::plan::stream_plan_json;

use super::{VerbError, planned};
use crate::command::Info;
use crate::output;
use crate::plan::Plan;
use crate::sql;

pub(super) async fn run(env: &Env, settings: BTreeMap<String, String>, verb: Info) -> Result<ExitCode, VerbError> {
    // A program that would go on is not needed any more.
    let Plan { graph, program: _ } = planned(env, settings, &sql::program(verb.program)?).await?;
    output::line("----------------------- Execution Plan -----------------------")?;
    output::line(format_args!("{:#}", stream_plan_json(&graph)))?;
    output::line("--------------------------------------------------------------")?;
    // As in Flink, where a program may describe its arguments here. None does.
    output::line("\nNo description provided.")?;
    Ok(ExitCode::SUCCESS)
}
