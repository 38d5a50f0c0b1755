//! What can be said on the command line.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use pelton_process::flags::ConfigFlags;
use pelton_runtime_core::config::{ClaimMode, parse_duration};
use pelton_runtime_core::element::SavepointFormat;
use pelton_runtime_core::id::JobId;
use pelton_runtime_core::key_group::MAX_PARALLELISM_LIMIT;

/// Runs jobs on a Pelton cluster and asks about them
#[derive(Parser, Debug)]
#[command(name = "client", version, propagate_version = true, arg_required_else_help = true)]
#[command(after_help = "A job is an executable that was built with the `pelton` crate. Examples:

  client run -d -p 4 target/release/my-job -- --input s3://bucket/events
  client list
  client cancel fd72014d4c864993a2e5a9287b4a9c5d

The cluster is the one of conf/config.yaml, or of -m HOST:PORT.")]
pub struct Command {
    /// Where the configuration comes from.
    #[command(flatten)]
    pub config: ConfigFlags,
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What to do.
#[derive(Subcommand, Debug)]
pub enum Verb {
    /// Plans a program and runs its job on the cluster
    Run(Run),
    /// Shows the plan of a program as JSON, without running it
    Info(Info),
    /// Lists the jobs of the cluster
    List(List),
    /// Cancels a job
    Cancel(Cancel),
    /// Stops a job with a savepoint
    Stop(Stop),
    /// Takes a savepoint of a running job, or disposes of one
    Savepoint(Savepoint),
    /// Takes a checkpoint of a running job
    Checkpoint(Checkpoint),
    /// Not available yet
    #[command(hide = true)]
    Sql(Unavailable),
}

/// The cluster to talk to.
#[derive(Args, Debug, Clone, Default)]
pub struct Target {
    /// The JobManager [default: rest.address and rest.port of the configuration]
    #[arg(short = 'm', long = "jobmanager", value_name = "HOST:PORT")]
    pub jobmanager: Option<String>,
}

/// The program to plan.
#[derive(Args, Debug, Clone)]
pub struct Program {
    /// Default parallelism of the job's operators [default: parallelism.default]
    #[arg(short = 'p', long = "parallelism", value_name = "N", value_parser = parallelism)]
    pub parallelism: Option<u32>,

    /// How long the program may take to describe its job, such as `30 s`
    #[arg(long = "plan-timeout", value_name = "DURATION", default_value = "60 s", value_parser = duration)]
    pub plan_timeout: Duration,

    /// The program: an executable built with the `pelton` crate
    #[arg(value_name = "ARTIFACT")]
    pub artifact: PathBuf,

    /// Arguments of the program, after `--`
    #[arg(value_name = "ARGUMENTS", trailing_var_arg = true, allow_hyphen_values = true)]
    pub arguments: Vec<OsString>,
}

/// `client run`.
#[derive(Args, Debug)]
pub struct Run {
    /// Returns once the job is submitted, instead of waiting for its end
    #[arg(short = 'd', long = "detached")]
    pub detached: bool,

    /// Begins from a savepoint or a retained checkpoint: its directory, or the `_metadata` in it
    #[arg(short = 's', long = "fromSavepoint", value_name = "PATH")]
    pub from_savepoint: Option<String>,

    /// Drops state of operators that are not in the job any more, instead of refusing it
    #[arg(short = 'n', long = "allowNonRestoredState")]
    pub allow_non_restored_state: bool,

    /// Whose the savepoint is from then on: `claim` makes it the job's, which removes it like its own checkpoints;
    /// `no_claim`, the default, leaves it alone [also: -claimMode, -cm]
    #[arg(long = "claimMode", visible_alias = "restoreMode", value_name = "MODE", value_parser = claim_mode)]
    pub claim_mode: Option<ClaimMode>,

    /// Accepted for habit's sake and refused: a program has one entry
    #[arg(short = 'c', long = "class", hide = true, value_name = "CLASS")]
    pub class: Option<String>,

    /// The cluster.
    #[command(flatten)]
    pub target: Target,

    /// The program.
    #[command(flatten)]
    pub program: Program,
}

/// `client info`.
#[derive(Args, Debug)]
pub struct Info {
    /// Accepted as in `run`; no cluster is asked.
    #[command(flatten)]
    pub target: Target,

    /// The program.
    #[command(flatten)]
    pub program: Program,
}

/// `client list`.
#[derive(Args, Debug)]
pub struct List {
    /// Shows running jobs only
    #[arg(short = 'r', long = "running")]
    pub running: bool,

    /// Shows scheduled jobs only
    #[arg(short = 's', long = "scheduled")]
    pub scheduled: bool,

    /// Shows terminated jobs too
    #[arg(short = 'a', long = "all")]
    pub all: bool,

    /// The cluster.
    #[command(flatten)]
    pub target: Target,
}

/// `client cancel`.
#[derive(Args, Debug)]
pub struct Cancel {
    /// The job's id, as `client list` shows it
    #[arg(value_name = "JOB", value_parser = job_id)]
    pub job: JobId,

    /// The cluster.
    #[command(flatten)]
    pub target: Target,
}

/// `client stop`.
#[derive(Args, Debug)]
pub struct Stop {
    /// The job's id, as `client list` shows it
    #[arg(value_name = "JOB", value_parser = job_id)]
    pub job: JobId,

    /// Where the savepoint is made [default: execution.checkpointing.savepoint-dir]
    #[arg(short = 'p', long = "savepointPath", value_name = "DIRECTORY")]
    pub savepoint_path: Option<String>,

    /// Ends event time before the savepoint, so that windows fire: for a job that will not go on
    #[arg(short = 'd', long = "drain")]
    pub drain: bool,

    /// How it is written, and whether it is waited for.
    #[command(flatten)]
    pub how: SavepointHow,

    /// The cluster.
    #[command(flatten)]
    pub target: Target,
}

/// `client savepoint`.
#[derive(Args, Debug)]
pub struct Savepoint {
    /// The job's id, as `client list` shows it
    #[arg(value_name = "JOB", value_parser = job_id, required_unless_present = "dispose")]
    pub job: Option<JobId>,

    /// Where the savepoint is made [default: execution.checkpointing.savepoint-dir]
    #[arg(value_name = "DIRECTORY")]
    pub directory: Option<String>,

    /// Removes the savepoint at this path
    #[arg(short = 'd', long = "dispose", value_name = "PATH", conflicts_with = "job")]
    pub dispose: Option<String>,

    /// How it is written, and whether it is waited for.
    #[command(flatten)]
    pub how: SavepointHow,

    /// The cluster.
    #[command(flatten)]
    pub target: Target,
}

/// How a savepoint is made.
#[derive(Args, Debug, Clone)]
pub struct SavepointHow {
    /// Returns once the savepoint was asked for, with the id under which REST tells what became of it
    #[arg(long = "detached")]
    pub detached: bool,

    /// The form of state: `canonical`, which every state backend reads, or `native`
    #[arg(long = "type", value_name = "FORMAT", default_value = "canonical", value_parser = savepoint_format)]
    pub format: SavepointFormat,
}

/// `client checkpoint`.
#[derive(Args, Debug)]
pub struct Checkpoint {
    /// The job's id, as `client list` shows it
    #[arg(value_name = "JOB", value_parser = job_id)]
    pub job: JobId,

    /// Takes one that shares no file with those before it, also where checkpoints are incremental
    #[arg(long = "full")]
    pub full: bool,

    /// The cluster.
    #[command(flatten)]
    pub target: Target,
}

/// Whatever follows a verb that is not built yet.
#[derive(Args, Debug)]
pub struct Unavailable {
    /// Ignored: the verb is refused.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    pub arguments: Vec<OsString>,
}

fn parallelism(text: &str) -> Result<u32, String> {
    let parallelism = text.parse().ok().filter(|parallelism| (1..=MAX_PARALLELISM_LIMIT).contains(parallelism));
    parallelism.ok_or_else(|| format!("expected a whole number from 1 to {MAX_PARALLELISM_LIMIT}"))
}

fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).ok_or_else(|| "expected a duration such as `30 s`, `1 min` or `500 ms`".to_owned())
}

fn savepoint_format(text: &str) -> Result<SavepointFormat, String> {
    match text.to_ascii_lowercase().as_str() {
        "canonical" => Ok(SavepointFormat::Canonical),
        "native" => Ok(SavepointFormat::Native),
        _ => Err("expected `canonical` or `native`".to_owned()),
    }
}

fn claim_mode(text: &str) -> Result<ClaimMode, String> {
    match text.to_ascii_lowercase().as_str() {
        "claim" => Ok(ClaimMode::Claim),
        "no_claim" => Ok(ClaimMode::NoClaim),
        "legacy" => Err("the mode `legacy` is not supported; use `no_claim`, or `claim`".to_owned()),
        _ => Err("expected `claim` or `no_claim`".to_owned()),
    }
}

fn job_id(text: &str) -> Result<JobId, String> {
    text.parse().map_err(|_| "expected 32 hexadecimal digits, such as fd72014d4c864993a2e5a9287b4a9c5d".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Command::command().debug_assert();
    }

    #[test]
    fn what_follows_the_artifact_belongs_to_the_program() {
        for line in [
            "client run -d -m h:1 -p 2 -Dparallelism.default=3 job -- --output /tmp/out -p 9",
            "client run -d -m h:1 -p 2 -Dparallelism.default=3 job --output /tmp/out -p 9",
        ] {
            let command = Command::try_parse_from(line.split(' ')).unwrap();
            let Verb::Run(run) = command.verb else { panic!("not run") };
            assert_eq!(run.program.parallelism, Some(2), "{line}");
            assert_eq!(run.program.arguments, ["--output", "/tmp/out", "-p", "9"], "{line}");
            assert_eq!(command.config.dynamic.len(), 1, "{line}");
        }
    }
}
