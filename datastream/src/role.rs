//! The three things a program can be: run by hand, asked for its plan, or a worker of a running job.
//!
//! | `PELTON_ROLE` | started by | `execute` |
//! |---|---|---|
//! | (unset) | a person | runs the job in an embedded cluster and answers with its result |
//! | `plan` | `client run`, `client info` | writes the JobGraph to standard output and ends the process; where the program wants to go on (`execute_async`, `execute_and_collect`), it does so with the job that the client has submitted |
//! | `worker` | a TaskManager | runs the subtasks its JobMaster deploys and ends the process |

mod attached;
mod interruption;
mod job_client;
mod local;
mod plan;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Once;
use std::time::Duration;

use pelton_runtime_core::accumulator::{AccumulatorValue, CustomAccumulator};
use pelton_runtime_core::config::{ConfigDirectory, ConfigErrors, Configuration, Sources, options};
use pelton_runtime_core::failure::FailureCause;
use pelton_runtime_core::graph::InvalidGraph;
use pelton_runtime_core::graph::planned::{PLAN_ROLE, ROLE_VARIABLE};
use pelton_runtime_core::graph::program::Program;
use pelton_runtime_core::id::JobId;
use pelton_runtime_core::results::ServedResults;
use pelton_taskmanager::worker;
use pelton_taskmanager::worker::setup::WORKER_ROLE;

pub(crate) use self::attached::RemoteResults;
pub use self::job_client::JobClient;

/// What a job came to.
#[derive(Debug, Clone, PartialEq)]
pub struct JobExecutionResult {
    /// The job.
    pub job_id: JobId,
    /// How long it ran, from its start to its end.
    pub net_runtime: Duration,
    /// What its functions have added up, by name. Where accumulators of one name are of different kinds there is none; REST
    /// says so.
    pub accumulators: BTreeMap<String, AccumulatorValue>,
}

impl JobExecutionResult {
    /// What the accumulator of this name has come to.
    pub fn accumulator_result(&self, name: &str) -> Option<&AccumulatorValue> {
        self.accumulators.get(name)
    }

    /// What the accumulator of this name has come to, which is of a type of the program's own; none when there is none of that
    /// name and type.
    ///
    /// # Errors
    ///
    /// When what a subtask has come to is not an `A`.
    pub fn custom_accumulator<A: CustomAccumulator>(&self, name: &str) -> Option<Result<A::Result, serde_json::Error>> {
        self.accumulators.get(name)?.as_custom::<A>()
    }
}

/// Why a job did not run to its end.
#[derive(Debug, thiserror::Error)]
pub enum ExecuteError {
    /// The graph cannot be run.
    #[error("the job graph cannot be run")]
    Graph(#[from] InvalidGraph),
    /// The configuration is wrong.
    #[error(transparent)]
    Configuration(#[from] ConfigErrors),
    /// The cluster could not be started or talked to.
    #[error("the cluster cannot {action}")]
    Cluster {
        /// What it was to do.
        action: &'static str,
        /// Why it did not.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A subtask failed.
    #[error("job {job_id} failed: {cause}")]
    Failed {
        /// The job.
        job_id: JobId,
        /// Why.
        cause: Box<FailureCause>,
    },
    /// Somebody canceled it.
    #[error("job {job_id} was canceled")]
    Canceled {
        /// The job.
        job_id: JobId,
    },
    /// Results that the program reads cannot be told any more.
    #[error("the results of job {job_id} cannot be read")]
    Results {
        /// The job, which is canceled.
        job_id: JobId,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The program goes on after its first job, under `client run`.
    #[error("a program that `client run` has started runs one job, and this is the second one")]
    SecondJob,
    /// `PELTON_ROLE` is none.
    #[error(
        "`{}` is `{role}`, expected `{}` (from a client), `{}` (from a TaskManager), or nothing, to run the program by \
         hand",
        ROLE_VARIABLE,
        PLAN_ROLE,
        WORKER_ROLE
    )]
    UnknownRole {
        /// What it is.
        role: String,
    },
    /// The worker's setup cannot be read.
    #[error("this process was started as a worker, but not by a TaskManager")]
    Worker(#[from] worker::WorkerError),
}

/// What this process was started as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Local,
    Plan,
    Worker,
}

fn role() -> Result<Role, ExecuteError> {
    let role = std::env::var_os(ROLE_VARIABLE).unwrap_or_default();
    match role.to_str() {
        // As for settings, an empty variable is none.
        Some("") => Ok(Role::Local),
        Some(PLAN_ROLE) => Ok(Role::Plan),
        Some(WORKER_ROLE) => Ok(Role::Worker),
        _ => Err(ExecuteError::UnknownRole { role: role.to_string_lossy().into_owned() }),
    }
}

/// A program may ask for its configuration as often as it likes, and is warned once.
static WARNINGS: Once = Once::new();

/// The configuration of this process's role.
pub(crate) fn configuration() -> Result<Configuration, ExecuteError> {
    match role()? {
        Role::Worker => Ok(Configuration::from_map(worker::process::setup()?.job_configuration)?),
        Role::Plan => Ok(Configuration::from_map(plan::configuration())?),
        Role::Local => {
            let environment = pelton_process::flags::environment();
            let directory = ConfigDirectory::choose(None, &environment, None);
            let sources = Sources { directory: &directory, environment: &environment, dynamic: &[] };
            let configuration = Configuration::load(&sources)?;
            WARNINGS.call_once(|| configuration.warnings().iter().for_each(|warning| eprintln!("warning: {warning}")));
            Ok(configuration)
        }
    }
}

/// Ends the process with the reason; for errors before a job can be described.
pub(crate) fn refuse_to_start(error: &ExecuteError) -> ! {
    eprintln!("{}", pelton_runtime_core::failure::error_chain(error));
    std::process::exit(EXIT_CONFIGURATION)
}

/// The exit code of a program that refuses its configuration, as in sysexits.h.
const EXIT_CONFIGURATION: i32 = 78;

pub(crate) fn execute(program: Program, configuration: &Configuration) -> Result<JobExecutionResult, ExecuteError> {
    match role()? {
        Role::Local => local::start(program, configuration)?.wait(),
        Role::Plan => {
            attached::claim_process()?;
            plan::print(program.graph, configuration)
        }
        Role::Worker => run_worker(program),
    }
}

pub(crate) fn execute_async(program: Program, configuration: &Configuration) -> Result<JobClient, ExecuteError> {
    match role()? {
        Role::Local => local::start(program, configuration),
        Role::Plan => Ok(attached::start(program, configuration, None)?.0),
        Role::Worker => run_worker(program),
    }
}

/// Starts a job that has a sink of these results. With the results, where they are not in this process.
pub(crate) fn execute_and_collect(
    program: Program,
    configuration: &Configuration,
    results: &ServedResults,
) -> Result<(JobClient, Option<RemoteResults>), ExecuteError> {
    match role()? {
        Role::Local => Ok((local::start(program, configuration)?, None)),
        Role::Plan => {
            let sink =
                program.results.iter().find(|(_, served)| served.is_same(results)).map(|(operator, _)| *operator);
            attached::start(program, configuration, sink)
        }
        Role::Worker => run_worker(program),
    }
}

/// Runs subtasks, and ends the process.
fn run_worker<T>(program: Program) -> Result<T, ExecuteError> {
    let setup = worker::process::setup()?;
    end(worker::process::main(setup, program))
}

/// The setting that says where relative paths are: the folder of this process. None when the configuration says it
/// already, or when the folder is gone or has a name that no setting can have; relative paths are refused then.
fn working_directory(configuration: &Configuration) -> Option<(String, String)> {
    let key = options::execution::WORKING_DIRECTORY.key();
    let own = || std::env::current_dir().ok()?.into_os_string().into_string().ok();
    let folder = if configuration.is_set(&options::execution::WORKING_DIRECTORY) { None } else { own() };
    folder.map(|folder| (key.to_owned(), folder))
}

/// What standard output's closing means to a program that is run by hand: that nobody wants its results any more.
/// Elsewhere it is an error of the task.
pub(crate) fn on_closed_standard_output() -> Option<fn()> {
    matches!(role(), Ok(Role::Local)).then_some(interruption::standard_output_is_closed as fn())
}

fn end(code: ExitCode) -> ! {
    use std::process::Termination;
    // `ExitCode` has no number to ask for; a process that only reports it ends with it.
    std::process::exit(if code.report() == ExitCode::SUCCESS { 0 } else { 1 })
}

/// The settings of a job, as they travel.
pub(crate) type Settings = BTreeMap<String, String>;
