//! The program of SQL jobs: runs a script in the embedded cluster, or is the artifact of `client run job.sql`.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use pelton::StreamExecutionEnvironment;
use pelton_runtime_core::graph::planned::SQL_SCRIPT_FLAG;
use pelton_sql::TableEnvironment;

const USAGE: &str = "usage: sql-job FILE.sql";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let script = script(std::env::args_os().skip(1))?;
    let environment = StreamExecutionEnvironment::get_execution_environment();
    let mut tables = TableEnvironment::new(environment.clone());
    if let Err(error) = tables.describe(&script) {
        bail!(error.explain(&script));
    }
    if !tables.has_inserts() {
        bail!("the script inserts nothing, so there is nothing to run: it needs an INSERT INTO");
    }
    environment.execute("")?;
    Ok(())
}

/// The script: the text after the flag, as a client passes it, or what is in a file.
fn script(mut arguments: impl Iterator<Item = OsString>) -> Result<String> {
    let script = match (arguments.next(), arguments.next()) {
        (Some(flag), Some(text)) if flag == SQL_SCRIPT_FLAG => {
            text.into_string().ok().context("the script is not valid Unicode")?
        }
        (Some(file), None) => {
            let path = PathBuf::from(file);
            std::fs::read_to_string(&path).with_context(|| format!("cannot read `{}`", path.display()))?
        }
        _ => bail!(USAGE),
    };
    if arguments.next().is_some() {
        bail!(USAGE);
    }
    Ok(script)
}
