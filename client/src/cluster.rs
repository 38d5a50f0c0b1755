//! The connection to a JobManager.

use std::path::Path;
use std::time::Duration;

use pelton_proto::dispatcher_client::DispatcherClient;
use pelton_proto::{
    ArtifactChunk, AwaitJobReply, AwaitJobRequest, CancelJobRequest, HasArtifactRequest, JobSummary, ListJobsRequest,
    SlotsWait, SubmitJobRequest, WatchSlotsRequest,
};
use pelton_runtime_core::config::{Configuration, options};
use pelton_runtime_core::id::JobId;
use pelton_runtime_core::wire::address::{authority, split_authority};
use tokio::io::AsyncReadExt;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;
use tonic::transport::{Channel, Endpoint};

/// Bytes of an artifact that travel in one message.
const CHUNK_BYTES: usize = 1 << 20;

/// Chunks that are read ahead of the network.
const CHUNKS_AHEAD: usize = 4;

/// Messages of the JobManager may be as large as a job graph.
const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// How often a connection that says nothing is asked whether it is alive.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(10);

/// How long it may take to answer.
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(20);

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
    /// The artifact cannot be read.
    #[error("the program cannot be uploaded")]
    Artifact(#[source] std::io::Error),
    /// The answer makes no sense.
    #[error("the JobManager answered with something that is no job id; is it another version of Pelton?")]
    BadAnswer,
}

/// A JobManager to talk to.
pub struct Cluster {
    dispatcher: DispatcherClient<Channel>,
    address: String,
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
        let channel = endpoint
            .connect_timeout(configuration.get(&options::rest::CONNECTION_TIMEOUT))
            .http2_keep_alive_interval(KEEP_ALIVE_INTERVAL)
            .keep_alive_timeout(KEEP_ALIVE_TIMEOUT)
            .keep_alive_while_idle(true)
            .connect()
            .await
            .map_err(|source| ClusterError::Unreachable { address: address.clone(), source })?;
        let dispatcher = DispatcherClient::new(channel)
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX);
        Ok(Self { dispatcher, address })
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
        let refused = |status: tonic::Status| refused("the upload of the program", &status);
        let request = HasArtifactRequest { digest: digest.to_owned() };
        if self.dispatcher.has_artifact(request).await.map_err(refused)?.into_inner().present {
            return Ok(());
        }
        let mut file = tokio::fs::File::open(artifact).await.map_err(ClusterError::Artifact)?;
        let (chunks, stream) = mpsc::channel(CHUNKS_AHEAD);
        let read = async {
            loop {
                let mut data = Vec::with_capacity(CHUNK_BYTES);
                (&mut file).take(CHUNK_BYTES as u64).read_to_end(&mut data).await?;
                if data.is_empty() || chunks.send(ArtifactChunk { data }).await.is_err() {
                    break;
                }
            }
            drop(chunks);
            Ok(())
        };
        let upload = self.dispatcher.upload_artifact(ReceiverStream::new(stream));
        let (read, uploaded) = tokio::join!(read, upload);
        read.map_err(ClusterError::Artifact)?;
        let stored = uploaded.map_err(refused)?.into_inner().digest;
        if stored == digest {
            return Ok(());
        }
        Err(ClusterError::Refused {
            action: "the upload of the program".to_owned(),
            reason: format!("it arrived with digest {stored}, expected {digest}: did it change meanwhile?"),
        })
    }

    /// Submits a job.
    ///
    /// # Errors
    ///
    /// When the JobManager refuses it.
    pub async fn submit(&mut self, request: SubmitJobRequest) -> Result<JobId, ClusterError> {
        let reply = self
            .dispatcher
            .submit_job(request)
            .await
            .map_err(|status| refused("the submission", &status))?
            .into_inner();
        JobId::try_from(reply.job_id.as_slice()).map_err(|_| ClusterError::BadAnswer)
    }

    /// Waits for the end of a job.
    ///
    /// # Errors
    ///
    /// When the JobManager does not know the job, or goes away.
    pub async fn await_job(&mut self, job: JobId) -> Result<AwaitJobReply, ClusterError> {
        let reply = self.dispatcher.await_job(AwaitJobRequest { job_id: job.to_wire() }).await;
        Ok(reply.map_err(|status| refused("waiting for the job", &status))?.into_inner())
    }

    /// What a job waits for, now and whenever that changes, to the job's end.
    ///
    /// # Errors
    ///
    /// When the JobManager does not know the job, or goes away.
    pub async fn slots_waits(&mut self, job: JobId) -> Result<Streaming<SlotsWait>, ClusterError> {
        let reply = self.dispatcher.watch_slots(WatchSlotsRequest { job_id: job.to_wire() }).await;
        Ok(reply.map_err(|status| refused("watching the job", &status))?.into_inner())
    }

    /// Cancels a job.
    ///
    /// # Errors
    ///
    /// When the JobManager does not know the job, or it has ended already.
    pub async fn cancel(&mut self, job: JobId) -> Result<(), ClusterError> {
        let reply = self.dispatcher.cancel_job(CancelJobRequest { job_id: job.to_wire() }).await;
        reply.map_err(|status| refused(&format!("canceling job {job}"), &status))?;
        Ok(())
    }

    /// All jobs that the JobManager remembers.
    ///
    /// # Errors
    ///
    /// When it goes away.
    pub async fn jobs(&mut self) -> Result<Vec<JobSummary>, ClusterError> {
        let reply = self.dispatcher.list_jobs(ListJobsRequest {}).await;
        Ok(reply.map_err(|status| refused("listing the jobs", &status))?.into_inner().jobs)
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

fn refused(action: &str, status: &tonic::Status) -> ClusterError {
    let reason = if status.message().is_empty() {
        format!("{} ({:?})", status.code().description(), status.code())
    } else {
        status.message().to_owned()
    };
    ClusterError::Refused { action: action.to_owned(), reason }
}
