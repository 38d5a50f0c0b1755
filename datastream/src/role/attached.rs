//! A program that goes on after the client has submitted its job, to read its results.
//!
//! ```text
//!  program                         client                     JobManager
//!     │ graph, "I go on" ─────────►│ artifact, graph ──────────►│
//!     │◄── job, address of the JobManager (standard input) ─────│
//!     │ results, the job's end ◄───────────────────────────────►│
//!     │ standard output ──────────►│ passes it on
//! ```
//!
//! The client holds standard input open for as long as it lives; when it ends, so does a job whose results are read.
//!
//! Invariant: one job for each process, as a worker of the job has to know which `execute` of the program it is.

use std::io::{BufRead, Read};
use std::sync::atomic::{AtomicBool, Ordering};

use futures::channel::mpsc;
use futures::{SinkExt, StreamExt};
use pelton_runtime_core::config::Configuration;
use pelton_runtime_core::env::Env;
use pelton_runtime_core::graph::planned::Submitted;
use pelton_runtime_core::graph::program::Program;
use pelton_runtime_core::id::{JobId, OperatorId};
use pelton_runtime_core::results::{Results, ResultsError, ResultsRequest};
use tokio::sync::watch;
use tonic::transport::Channel;

use super::interruption;
use super::job_client::{JobClient, JobEnds, ReasonsToEnd, Started, cluster, connect, said, until_ended};
use super::{ExecuteError, JobExecutionResult, plan};

/// Whether this process has described its job.
static DESCRIBED: AtomicBool = AtomicBool::new(false);

/// Requests and answers that wait: there is one at a time.
const CONVERSATION_CAPACITY: usize = 1;

/// Results as the JobManager hands them on.
#[derive(Debug)]
pub(crate) struct RemoteResults {
    requests: mpsc::Sender<ResultsRequest>,
    answers: mpsc::Receiver<Result<Results, ResultsError>>,
    is_asked: bool,
}

impl RemoteResults {
    /// What `request` asks for. Never answers once the job has ended; may be given up and asked again.
    pub(crate) async fn fetch(&mut self, request: ResultsRequest) -> Result<Results, ResultsError> {
        if !self.is_asked {
            // Its end is told by the end of the answers.
            drop(self.requests.send(request).await);
            self.is_asked = true;
        }
        let Some(answer) = self.answers.next().await else { return std::future::pending().await };
        self.is_asked = false;
        answer
    }
}

/// The thread's ends of a conversation about the results of a sink.
struct Conversation {
    operator: OperatorId,
    requests: mpsc::Receiver<ResultsRequest>,
    answers: mpsc::Sender<Result<Results, ResultsError>>,
}

/// Has the client submit the job, and answers when it has. With `sink`, whose results are read.
pub(super) fn start(
    program: Program,
    configuration: &Configuration,
    sink: Option<OperatorId>,
) -> Result<(JobClient, Option<RemoteResults>), ExecuteError> {
    claim_process()?;
    plan::describe(program.graph, configuration).map_err(|source| cluster("be told of the job", source))?;
    let Submitted { job, address } = told();
    let (remote, conversation) = sink.map(conversation).unzip();
    let client = JobClient::start("job-client", move |ends| look_after(job, address, ends, conversation))?;
    Ok((client, remote))
}

/// Takes the process for a job, of which it has one.
pub(super) fn claim_process() -> Result<(), ExecuteError> {
    if DESCRIBED.swap(true, Ordering::SeqCst) { Err(ExecuteError::SecondJob) } else { Ok(()) }
}

fn conversation(operator: OperatorId) -> (RemoteResults, Conversation) {
    let (requests, asked) = mpsc::channel(CONVERSATION_CAPACITY);
    let (answered, answers) = mpsc::channel(CONVERSATION_CAPACITY);
    let remote = RemoteResults { requests, answers, is_asked: false };
    (remote, Conversation { operator, requests: asked, answers: answered })
}

/// What the client says once it has submitted the job. When it does not, it wanted the description only, or has told
/// people why there is no job: there is nothing to go on with.
fn told() -> Submitted {
    let mut line = String::new();
    let read = std::io::stdin().lock().read_line(&mut line);
    match read.ok().and_then(|_| Submitted::parse(&line)) {
        Some(submitted) => submitted,
        None => std::process::exit(0),
    }
}

fn look_after(
    job: JobId,
    address: String,
    ends: JobEnds,
    conversation: Option<Conversation>,
) -> Result<JobExecutionResult, ExecuteError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("job-client")
        .enable_all()
        .build()
        .map_err(|source| cluster("be talked to", source))?;
    let env = Env::on(runtime.handle().clone());
    // A job whose results are read is of no use without the program; others go on.
    let running = match conversation {
        Some(_) => Some(interruption::begin().map_err(|source| cluster("hear signals", source))?),
        None => None,
    };
    let outcome = runtime.block_on(async {
        let interruption = running.as_ref().map(interruption::Running::interruption).transpose();
        let interruption = interruption.map_err(|source| cluster("hear signals", source))?;
        let dispatcher = connect(&address).await?;
        let mut canceled = ends.canceled;
        if let Some(conversation) = conversation {
            canceled = until_client_ends(canceled, &env)?;
            env.spawn("results", talk(dispatcher.clone(), job, conversation));
        }
        // Nobody may be waiting for the id any more.
        let _ = ends.started.send(Started { job_id: job, rest_address: None });
        until_ended(dispatcher, job, ReasonsToEnd { canceled, interruption }).await
    });
    runtime.shutdown_background();
    if let Some(running) = running {
        running.end(outcome.as_ref().err().filter(|error| !matches!(error, ExecuteError::Canceled { .. })));
    }
    outcome
}

/// Becomes true when `canceled` does, or when the client ends.
fn until_client_ends(mut canceled: watch::Receiver<bool>, env: &Env) -> Result<watch::Receiver<bool>, ExecuteError> {
    let (either, reason) = watch::channel(false);
    let by_client = either.clone();
    // The thread ends with the process at the latest.
    let wait = move || {
        let mut nothing = [0];
        // The client says nothing more; what it would say is of no use.
        while matches!(std::io::stdin().lock().read(&mut nothing), Ok(1..)) {}
        by_client.send_replace(true);
    };
    env.spawn_thread("client-watch", wait).map_err(|source| cluster("start a thread", source))?;
    env.spawn("cancellation", async move {
        if canceled.wait_for(|canceled| *canceled).await.is_ok() {
            either.send_replace(true);
        }
    });
    Ok(reason)
}

/// Hands requests and answers on. Its end while the job runs is the job's, too: the JobManager sees it.
async fn talk(
    mut dispatcher: pelton_proto::dispatcher_client::DispatcherClient<Channel>,
    job: JobId,
    conversation: Conversation,
) {
    let Conversation { operator, requests, mut answers } = conversation;
    let requests = requests.map(move |request| request.to_wire(job, operator));
    let mut results = match dispatcher.collect_results(requests).await {
        Ok(results) => results.into_inner(),
        Err(status) => return drop(answers.send(Err(ResultsError::Refused(said(&status)))).await),
    };
    loop {
        let answer = match results.message().await {
            Ok(Some(results)) => Results::from_wire(results),
            Ok(None) => return,
            Err(status) => Err(ResultsError::Refused(said(&status))),
        };
        if answers.send(answer).await.is_err() {
            return;
        }
    }
}
