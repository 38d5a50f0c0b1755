//! What the verbs do.

mod cancel;
mod checkpoint;
mod info;
mod list;
mod run;
mod savepoint;
mod slots_wait;
mod stop;

use std::collections::BTreeMap;
use std::process::ExitCode;

use pelton_process::flags::Settings;
use pelton_runtime_core::config::{ConfigErrors, Configuration, options};
use pelton_runtime_core::env::Env;
use pelton_runtime_core::id::JobId;

use crate::artifact::{self, ArtifactError};
use crate::cluster::ClusterError;
use crate::command::{Command, Program, Verb};
use crate::output::{self, OutputError};
use crate::plan::{self, AttachedError, Plan, PlanError};
use crate::sql::SqlScriptError;

/// Why a verb did not do what it says.
#[derive(Debug, thiserror::Error)]
pub enum VerbError {
    /// The configuration is wrong.
    #[error("{0}")]
    Configuration(ConfigErrors),
    /// The file is no program.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    /// The script cannot be made a program.
    #[error(transparent)]
    Sql(#[from] SqlScriptError),
    /// The program has no plan.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The program that goes on beside its job is lost.
    #[error(transparent)]
    Attached(#[from] AttachedError),
    /// The cluster did not do it.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// The JobManager went away before it said what it did.
    #[error("{cause}; {fate}")]
    Unsettled {
        /// How it went away.
        cause: ClusterError,
        /// What can be said about the job.
        fate: String,
    },
    /// Nobody can be told the result.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// The same, after something was done.
    #[error("{done}, but could not say so")]
    Untold {
        /// What was done.
        done: String,
        /// Why it could not be said.
        #[source]
        source: OutputError,
    },
    /// Not built yet.
    #[error("{what} is not available in this version of Pelton: {why}")]
    Unavailable {
        /// The verb or flag.
        what: &'static str,
        /// What it needs.
        why: &'static str,
    },
    /// An argument of the program that cannot travel.
    #[error("the program's argument `{argument}` is not valid Unicode")]
    Argument {
        /// The argument, as far as it can be shown.
        argument: String,
    },
    /// The job was submitted and did not finish.
    #[error("job {job} {outcome}")]
    Job {
        /// The job.
        job: JobId,
        /// How it ended.
        outcome: String,
    },
}

impl From<ConfigErrors> for VerbError {
    fn from(errors: ConfigErrors) -> Self {
        Self::Configuration(errors)
    }
}

impl VerbError {
    /// Whether all that is wrong is that nobody reads standard output any longer.
    pub fn reader_is_gone(&self) -> bool {
        let output = match self {
            Self::Output(error) | Self::Untold { source: error, .. } | Self::Attached(AttachedError::Output(error)) => {
                error
            }
            _ => return false,
        };
        output.reader_is_gone()
    }

    /// `cause` of a request whose outcome is `fate` if the JobManager went away without an answer.
    fn unsettled(cause: ClusterError, fate: impl FnOnce() -> String) -> Self {
        if cause.is_without_answer() { Self::Unsettled { cause, fate: fate() } } else { Self::Cluster(cause) }
    }
}

/// Does what the command line says.
///
/// # Errors
///
/// When it cannot be done, with what to do about it.
pub async fn run(command: Command) -> Result<ExitCode, VerbError> {
    let unavailable = |what, why| Err(VerbError::Unavailable { what, why });
    let env = Env::production();
    let settings = command.config.load()?;
    for warning in settings.configuration.warnings() {
        output::note(format_args!("warning: {warning}"));
    }
    let dynamic = travelling(&command.config.dynamic, &settings.configuration);
    match command.verb {
        Verb::Run(verb) => run::run(&env, &settings, dynamic, verb).await,
        Verb::Info(verb) => info::run(&env, dynamic, verb).await,
        Verb::List(verb) => list::run(&settings, &verb).await,
        Verb::Cancel(verb) => cancel::run(&settings, &verb).await,
        Verb::Stop(verb) => stop::run(&settings, verb).await,
        Verb::Savepoint(verb) => savepoint::run(&settings, verb).await,
        Verb::Checkpoint(verb) => checkpoint::run(&settings, &verb).await,
        Verb::Sql(_) => unavailable("`client sql`", "`client run` runs scripts, and there is no shell yet"),
    }
}

/// The settings that a job is submitted with: those somebody gave to this call of the client, with `-D` or in its
/// environment, and of the others those that are defaults of jobs and not of processes.
fn travelling(dynamic: &[(String, String)], configuration: &Configuration) -> BTreeMap<String, String> {
    let is_a_jobs = |key: &str| {
        key == options::cluster::DEFAULT_PARALLELISM.key()
            || key.starts_with("pipeline.")
            || key.starts_with("execution.")
            || key.starts_with("restart-strategy.")
            || key.starts_with("state.")
    };
    let mut settings = configuration.to_map();
    settings.retain(|key, _| is_a_jobs(key) || configuration.is_set_by_variable(key));
    settings.extend(dynamic.iter().cloned());
    settings
}

/// The job that a program describes, with the settings that travel with it.
async fn planned(env: &Env, mut settings: BTreeMap<String, String>, program: &Program) -> Result<Plan, VerbError> {
    artifact::check(&program.artifact)?;
    if let Some(parallelism) = program.parallelism {
        settings.insert(options::cluster::DEFAULT_PARALLELISM.key().to_owned(), parallelism.to_string());
    }
    let limit = program.plan_timeout;
    let Plan { mut graph, program } = plan::plan(env, &program.artifact, &program.arguments, &settings, limit).await?;
    // The program's own settings win over those of the submission, as they did when it built the graph.
    settings.append(&mut graph.configuration);
    graph.configuration = settings;
    Ok(Plan { graph, program })
}

/// The program's arguments as they travel.
fn arguments(program: &Program) -> Result<Vec<String>, VerbError> {
    program
        .arguments
        .iter()
        .map(|argument| {
            argument
                .to_str()
                .map(ToOwned::to_owned)
                .ok_or_else(|| VerbError::Argument { argument: argument.to_string_lossy().into_owned() })
        })
        .collect()
}

async fn connect(
    target: &crate::command::Target,
    settings: &Settings,
) -> Result<crate::cluster::Cluster, ClusterError> {
    crate::cluster::Cluster::connect(target.jobmanager.as_deref(), &settings.configuration).await
}

#[cfg(test)]
mod tests {
    use pelton_runtime_core::config::{ConfigDirectory, Environment, Sources};

    use super::*;

    #[test]
    fn what_the_environment_sets_travels_with_the_job_as_flags_do() {
        let folder = tempfile::tempdir().unwrap();
        let file = "rest.port: 8099\npipeline.name: filed\nparallelism.default: 2\n";
        std::fs::write(folder.path().join("config.yaml"), file).unwrap();
        let environment = Environment::from(
            [
                ("PELTON_SLOT_REQUEST_TIMEOUT", "1 s"),
                ("PELTON_PARALLELISM_DEFAULT", "3"),
                ("PELTON_PIPELINE_NAME", "variable"),
                // The lines of `config.yaml` in Flink's images, so no more than that file does.
                ("FLINK_PROPERTIES", "heartbeat.interval: 7 s"),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned())),
        );
        let dynamic = [("pipeline.name".to_owned(), "flag".to_owned())];
        let directory = ConfigDirectory::Asked(folder.path().to_owned());
        let sources = Sources { directory: &directory, environment: &environment, dynamic: &dynamic };
        let configuration = Configuration::load(&sources).unwrap();
        let travelling = travelling(&dynamic, &configuration);
        let expected = [("parallelism.default", "3"), ("pipeline.name", "flag"), ("slot.request.timeout", "1 s")];
        assert_eq!(travelling, expected.map(|(key, value)| (key.to_owned(), value.to_owned())).into());
    }
}
