//! The connection to a JobManager.

mod trouble;

use std::path::Path;
use std::time::Duration;

use pelton_proto::dispatcher_client::DispatcherClient;
use pelton_proto::run_operation_request::Operation;
use pelton_proto::{
    ArtifactChunk, AwaitJobReply, AwaitJobRequest, CancelJobRequest, HasArtifactRequest, JobSummary, ListJobsRequest,
    RunOperationReply, RunOperationRequest, SlotsWait, SubmitJobRequest, WatchSlotsRequest,
};
use pelton_runtime_core::config::{Configuration, format_duration, options};
use pelton_runtime_core::id::JobId;
use pelton_runtime_core::wire::address::{authority, split_authority};
use tokio::io::AsyncReadExt;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Response, Status, Streaming};

use self::trouble::Trouble;

/// Bytes of an artifact that travel in one message.
const CHUNK_BYTES: usize = 1 << 20;

/// Chunks that are read ahead of the network.
const CHUNKS_AHEAD: usize = 4;

/// Messages of the JobManager may be as large as a job graph.
const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// Why the cluster did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    /// `-m` is no address.
    #[error("`{address}` is no address of a JobManager, expected HOST:PORT such as localhost:8081")]
    BadAddress {
        /// What was given.
        address: String,
    },
    /// Nobody answers.
    #[error(
        "the JobManager at {address} cannot be reached: is it running (bin/start-cluster), and is the address right \
         (-m HOST:PORT, or rest.address and rest.port in conf/config.yaml)?"
    )]
    Unreachable {
        /// The address.
        address: String,
        /// Why.
        #[source]
        source: tonic::transport::Error,
    },
    /// The JobManager said no.
    #[error("{action} was refused: {reason}")]
    Refused {
        /// What was asked.
        action: String,
        /// The JobManager's words.
        reason: String,
    },
    /// The JobManager is there and says nothing, not even that it is alive.
    #[error(
        "the JobManager at {address} has not answered for {} (`client.timeout`): is it stopped, or overloaded?",
        format_duration(*limit)
    )]
    Silent {
        /// The address.
        address: String,
        /// How long it was waited for.
        limit: Duration,
    },
    /// Something else listens there.
    #[error(
        "what listens at {address} does not answer as a JobManager does ({found}): is the address right \
         (-m HOST:PORT, or rest.address and rest.port in conf/config.yaml)?"
    )]
    NoJobManager {
        /// The address.
        address: String,
        /// What it did instead.
        found: String,
    },
    /// The connection ended.
    #[error("lost the connection to the JobManager at {address} ({reason})")]
    Lost {
        /// The address.
        address: String,
        /// How it ended.
        reason: String,
    },
    /// The artifact cannot be read.
    #[error("the program cannot be uploaded")]
    Artifact(#[source] std::io::Error),
    /// The answer makes no sense.
    #[error("the JobManager answered with something that is no job id; is it another version of Pelton?")]
    BadAnswer,
}

impl ClusterError {
    /// Whether what was asked may have been done or not, as the answer is missing.
    pub fn is_without_answer(&self) -> bool {
        matches!(self, Self::Silent { .. } | Self::NoJobManager { .. } | Self::Lost { .. })
    }
}

/// A JobManager to talk to.
pub struct Cluster {
    dispatcher: DispatcherClient<Channel>,
    address: String,
    /// How long it may say nothing.
    silence_max: Duration,
    /// Whether it has ever answered, and so is a JobManager.
    has_answered: bool,
}

impl Cluster {
    /// The JobManager at `address`, or at the configuration's.
    ///
    /// # Errors
    ///
    /// When the address is none, or nobody answers there.
    pub async fn connect(address: Option<&str>, configuration: &Configuration) -> Result<Self, ClusterError> {
        let address = address.map_or_else(|| configured_address(configuration), ToOwned::to_owned);
        let bad_address = || ClusterError::BadAddress { address: address.clone() };
        let (host, port) = split_authority(&address).ok_or_else(bad_address)?;
        let url = format!("http://{}", authority(host, port));
        let endpoint = Endpoint::from_shared(url).map_err(|_| bad_address())?;
        let silence_max = configuration.get(&options::rest::CLIENT_TIMEOUT);
        // A connection that says nothing is asked in time whether it is alive.
        let asked_after = silence_max / 3;
        let channel = endpoint
            .connect_timeout(configuration.get(&options::rest::CONNECTION_TIMEOUT))
            .http2_keep_alive_interval(asked_after)
            .keep_alive_timeout(silence_max - asked_after)
            .keep_alive_while_idle(true)
            .connect()
            .await
            .map_err(|source| ClusterError::Unreachable { address: address.clone(), source })?;
        let dispatcher = DispatcherClient::new(channel)
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX);
        Ok(Self { dispatcher, address, silence_max, has_answered: false })
    }

    /// Where the JobManager is.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Makes sure that the JobManager has the artifact of this digest.
    ///
    /// # Errors
    ///
    /// When it cannot be read here or stored there.
    pub async fn upload(&mut self, artifact: &Path, digest: &str) -> Result<(), ClusterError> {
        const ACTION: &str = "the upload of the program";
        let reply = self.dispatcher.has_artifact(HasArtifactRequest { digest: digest.to_owned() }).await;
        if self.answer(ACTION, reply)?.present {
            return Ok(());
        }
        let mut file = tokio::fs::File::open(artifact).await.map_err(ClusterError::Artifact)?;
        let (chunks, stream) = mpsc::channel(CHUNKS_AHEAD);
        let read = async {
            loop {
                let mut data = Vec::with_capacity(CHUNK_BYTES);
                (&mut file).take(CHUNK_BYTES as u64).read_to_end(&mut data).await?;
                if data.is_empty() || chunks.send(ArtifactChunk { data: data.into() }).await.is_err() {
                    break;
                }
            }
            drop(chunks);
            Ok(())
        };
        let upload = self.dispatcher.upload_artifact(ReceiverStream::new(stream));
        let (read, uploaded) = tokio::join!(read, upload);
        read.map_err(ClusterError::Artifact)?;
        let stored = self.answer(ACTION, uploaded)?.digest;
        if stored == digest {
            return Ok(());
        }
        Err(ClusterError::Refused {
            action: ACTION.to_owned(),
            reason: format!("it arrived with digest {stored}, expected {digest}: did it change meanwhile?"),
        })
    }

    /// Submits a job.
    ///
    /// # Errors
    ///
    /// When the JobManager refuses it.
    pub async fn submit(&mut self, request: SubmitJobRequest) -> Result<JobId, ClusterError> {
        let reply = self.dispatcher.submit_job(request).await;
        let reply = self.answer("the submission", reply)?;
        JobId::try_from(reply.job_id.as_slice()).map_err(|_| ClusterError::BadAnswer)
    }

    /// Waits for the end of a job.
    ///
    /// # Errors
    ///
    /// When the JobManager does not know the job, or goes away.
    pub async fn await_job(&mut self, job: JobId) -> Result<AwaitJobReply, ClusterError> {
        let reply = self.dispatcher.await_job(AwaitJobRequest { job_id: job.to_wire() }).await;
        self.answer("waiting for the job", reply)
    }

    /// What a job waits for, now and whenever that changes, to the job's end.
    ///
    /// # Errors
    ///
    /// When the JobManager does not know the job, or goes away.
    pub async fn slots_waits(&mut self, job: JobId) -> Result<Streaming<SlotsWait>, ClusterError> {
        let reply = self.dispatcher.watch_slots(WatchSlotsRequest { job_id: job.to_wire() }).await;
        self.answer("watching the job", reply)
    }

    /// Cancels a job.
    ///
    /// # Errors
    ///
    /// When the JobManager does not know the job, or it has ended already.
    pub async fn cancel(&mut self, job: JobId) -> Result<(), ClusterError> {
        let reply = self.dispatcher.cancel_job(CancelJobRequest { job_id: job.to_wire() }).await;
        self.answer(&format!("canceling job {job}"), reply).map(|_| ())
    }

    /// Takes a checkpoint or savepoint, or removes one. Answers when that is done, unless it is detached.
    ///
    /// # Errors
    ///
    /// When it cannot be done, or the JobManager goes away.
    pub async fn run_operation(
        &mut self,
        action: &str,
        operation: Operation,
        detached: bool,
    ) -> Result<RunOperationReply, ClusterError> {
        let request = RunOperationRequest { detached, operation: Some(operation) };
        let reply = self.dispatcher.run_operation(request).await;
        self.answer(action, reply)
    }

    /// All jobs that the JobManager remembers.
    ///
    /// # Errors
    ///
    /// When it goes away.
    pub async fn jobs(&mut self) -> Result<Vec<JobSummary>, ClusterError> {
        let reply = self.dispatcher.list_jobs(ListJobsRequest {}).await;
        Ok(self.answer("listing the jobs", reply)?.jobs)
    }

    /// What the JobManager answered to the request for `action`, or why it did not.
    fn answer<T>(&mut self, action: &str, reply: Result<Response<T>, Status>) -> Result<T, ClusterError> {
        let trouble = match reply {
            Ok(response) => {
                self.has_answered = true;
                return Ok(response.into_inner());
            }
            Err(status) => Trouble::of(&status),
        };
        let address = self.address.clone();
        Err(match trouble {
            Trouble::Refused { reason } => {
                self.has_answered = true;
                ClusterError::Refused { action: action.to_owned(), reason }
            }
            Trouble::Silent => ClusterError::Silent { address, limit: self.silence_max },
            Trouble::Foreign { found } => ClusterError::NoJobManager { address, found },
            Trouble::Broken { reason } if self.has_answered => ClusterError::Lost { address, reason },
            Trouble::Broken { reason } => ClusterError::NoJobManager { address, found: reason },
        })
    }
}

fn configured_address(configuration: &Configuration) -> String {
    let host = if configuration.is_set(&options::rest::ADDRESS) {
        configuration.get(&options::rest::ADDRESS)
    } else {
        configuration.get(&options::jobmanager::RPC_ADDRESS)
    };
    authority(&host, configuration.get(&options::rest::PORT))
}
