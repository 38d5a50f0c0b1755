//! A job that was submitted: waiting for its end, and ending it.

use std::net::SocketAddr;

use pelton_proto as proto;
use pelton_proto::dispatcher_client::DispatcherClient;
use pelton_runtime_core::failure::FailureCause;
use pelton_runtime_core::id::JobId;
use pelton_runtime_core::scheduler::status::JobStatus;
use pelton_runtime_core::wire;
use tokio::sync::{oneshot, watch};
use tonic::transport::Channel;

use super::interruption::Interruption;
use super::{ExecuteError, JobExecutionResult};

/// What an answer may be: it has the job's accumulators.
const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// A job that runs. Dropping it lets the job go on: as long as the process lives where the program was run by hand,
/// and to its end on a cluster.
#[derive(Debug)]
pub struct JobClient {
    job_id: JobId,
    rest_address: Option<SocketAddr>,
    cancel: watch::Sender<bool>,
    result: oneshot::Receiver<Result<JobExecutionResult, ExecuteError>>,
}

/// A job was submitted.
pub(super) struct Started {
    pub(super) job_id: JobId,
    /// Where the REST API of its cluster is, when the cluster is of this process.
    pub(super) rest_address: Option<SocketAddr>,
}

/// What the thread that looks after a job has of its [`JobClient`].
pub(super) struct JobEnds {
    pub(super) started: oneshot::Sender<Started>,
    pub(super) canceled: watch::Receiver<bool>,
}

impl JobClient {
    /// The job.
    pub fn job_id(&self) -> JobId {
        self.job_id
    }

    /// Where the REST API and the dashboard of the job's cluster are, when the cluster was started for the job: of a program
    /// that is run by hand, and in tests. They are gone when the job has ended.
    pub fn rest_address(&self) -> Option<SocketAddr> {
        self.rest_address
    }

    /// Asks the job to end. [`JobClient::wait`] tells when it has.
    pub fn cancel(&self) {
        self.cancel.send_replace(true);
    }

    /// Blocks until the job has ended, and with it what was started for it.
    ///
    /// # Errors
    ///
    /// When the job failed or was canceled.
    pub fn wait(mut self) -> Result<JobExecutionResult, ExecuteError> {
        // The thread that blocks here may belong to an async runtime, where tokio's own blocking calls are refused.
        futures::executor::block_on(self.ended())
    }

    /// What [`wait`](Self::wait) waits for. Says it once; may be given up and asked again before.
    pub(crate) async fn ended(&mut self) -> Result<JobExecutionResult, ExecuteError> {
        (&mut self.result).await.map_err(|_| cluster("finish the job", "its thread ended"))?
    }

    /// Starts a thread that looks after a job from its submission to its end, and waits for the submission.
    pub(super) fn start(
        thread: &str,
        look_after: impl FnOnce(JobEnds) -> Result<JobExecutionResult, ExecuteError> + Send + 'static,
    ) -> Result<Self, ExecuteError> {
        let (started, starting) = oneshot::channel();
        let (result_sender, result) = oneshot::channel();
        let (cancel, canceled) = watch::channel(false);
        let run = move || {
            // Whoever started the job may not care how it ends.
            drop(result_sender.send(look_after(JobEnds { started, canceled })));
        };
        let thread = std::thread::Builder::new().name(thread.to_owned()).spawn(run);
        thread.map_err(|source| cluster("start a thread", source))?;
        match futures::executor::block_on(starting) {
            Ok(Started { job_id, rest_address }) => Ok(Self { job_id, rest_address, cancel, result }),
            // It did not get that far; its outcome says why.
            Err(_) => match futures::executor::block_on(result) {
                Ok(Err(error)) => Err(error),
                _ => Err(cluster("start", "its thread ended")),
            },
        }
    }
}

/// Why a job is canceled.
pub(super) struct ReasonsToEnd {
    pub(super) canceled: watch::Receiver<bool>,
    /// None where an interruption ends the program and leaves the job.
    pub(super) interruption: Option<Interruption>,
}

impl ReasonsToEnd {
    /// Waits for one of them.
    async fn any(&mut self) {
        let Self { canceled, interruption } = self;
        let interrupted = async {
            match interruption {
                Some(interruption) => interruption.came().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            // An error means that nobody can cancel any more.
            Ok(_) = canceled.wait_for(|canceled| *canceled) => {}
            signal = interrupted => if let Some(signal) = signal {
                eprintln!("{signal}: the job is being canceled; a second one ends the program at once");
            },
        }
    }
}

/// The JobManager at `address`.
pub(super) async fn connect(address: &str) -> Result<DispatcherClient<Channel>, ExecuteError> {
    let dispatcher = DispatcherClient::<Channel>::connect(format!("http://{address}"))
        .await
        .map_err(|source| cluster("be reached", source))?;
    Ok(dispatcher.max_decoding_message_size(MESSAGE_BYTES_MAX))
}

/// Waits for the end of a job, which is canceled when there is a reason to.
pub(super) async fn until_ended(
    mut dispatcher: DispatcherClient<Channel>,
    job_id: JobId,
    mut reasons_to_end: ReasonsToEnd,
) -> Result<JobExecutionResult, ExecuteError> {
    let mut waiting = dispatcher.clone();
    let end = waiting.await_job(proto::AwaitJobRequest { job_id: job_id.to_wire() });
    tokio::pin!(end);
    let reply = tokio::select! {
        reply = &mut end => reply,
        () = reasons_to_end.any() => {
            let canceled = dispatcher.cancel_job(proto::CancelJobRequest { job_id: job_id.to_wire() }).await;
            match canceled {
                // It ended by itself at the same moment; how, is what the caller wants to know.
                Err(status) if status.code() != tonic::Code::FailedPrecondition => {
                    return Err(cluster("cancel the job", said(&status)));
                }
                _ => end.await,
            }
        }
    };
    let reply = reply.map_err(|status| cluster("say how the job ended", said(&status)))?.into_inner();
    outcome(job_id, reply)
}

fn outcome(job_id: JobId, reply: proto::AwaitJobReply) -> Result<JobExecutionResult, ExecuteError> {
    match (JobStatus::parse(&reply.state), reply.failure) {
        (Ok(JobStatus::Finished), _) => {
            let millis = u64::try_from(reply.net_runtime_ms).unwrap_or(0);
            let accumulators =
                reply.accumulators.into_iter().map(wire::accumulator::from_wire).collect::<Result<_, _>>();
            let accumulators = accumulators.map_err(|source| cluster("say what accumulators have come to", source))?;
            Ok(JobExecutionResult { job_id, net_runtime: std::time::Duration::from_millis(millis), accumulators })
        }
        (Ok(JobStatus::Canceled), _) => Err(ExecuteError::Canceled { job_id }),
        (_, Some(failure)) => Err(ExecuteError::Failed { job_id, cause: Box::new(FailureCause::from(failure)) }),
        (_, None) => Err(cluster("say why the job failed", format!("it ended as {}", reply.state))),
    }
}

pub(super) fn cluster(
    action: &'static str,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> ExecuteError {
    ExecuteError::Cluster { action, source: source.into() }
}

pub(super) fn said(status: &tonic::Status) -> String {
    status.message().to_owned()
}
