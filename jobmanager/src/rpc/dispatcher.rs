//! What clients ask for.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;

use futures::{Stream, StreamExt};
use pelton_proto as proto;
use pelton_runtime_core::accumulator;
use pelton_runtime_core::element::{AfterSavepoint, SavepointFormat};
use pelton_runtime_core::graph::JobGraph;
use pelton_runtime_core::id::{JobId, TriggerId};
use pelton_runtime_core::scheduler::status::JobStatus;
use pelton_runtime_core::wire::{self, BadMessage, id, required};
use proto::dispatcher_server::Dispatcher;
use proto::run_operation_request::Operation as WireOperation;
use tokio::sync::mpsc;
use tokio_stream::wrappers::{ReceiverStream, WatchStream};
use tonic::{Request, Response, Status, Streaming};

use super::results::{ANSWERS_CAPACITY, Reader};
use super::{Services, status};
use crate::dispatcher::JobEntry;
use crate::job_master::{JobDescription, SlotsWait};
use crate::view::{CancelError, JobView, Operation, OperationResult};

#[tonic::async_trait]
impl Dispatcher for Services {
    type WatchSlotsStream = Pin<Box<dyn Stream<Item = Result<proto::SlotsWait, Status>> + Send>>;

    type CollectResultsStream = Pin<Box<dyn Stream<Item = Result<proto::CollectedResults, Status>> + Send>>;

    async fn collect_results(
        &self,
        request: Request<Streaming<proto::CollectRequest>>,
    ) -> Result<Response<Self::CollectResultsStream>, Status> {
        let mut requests = request.into_inner();
        let first = requests.message().await?;
        let first = first.ok_or_else(|| Status::invalid_argument("nobody says which results are wanted"))?;
        let job: JobId = id(&first.job_id, "job_id").map_err(status::bad_message)?;
        let master = match self.dispatcher.entry(job).await.map_err(status::stopped)? {
            Some(JobEntry::Running(master)) => master,
            Some(JobEntry::Ended(_)) => return Ok(Response::new(Box::pin(futures::stream::empty()))),
            None => return Err(Status::not_found(format!("there is no job {job}"))),
        };
        let (answers, stream) = mpsc::channel(ANSWERS_CAPACITY);
        let (env, dispatcher) = (self.env.clone(), self.dispatcher.clone());
        let reader = Reader { env, dispatcher, job, master, requests, answers };
        self.env.spawn("results", reader.serve(first));
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }

    async fn upload_artifact(
        &self,
        request: Request<Streaming<proto::ArtifactChunk>>,
    ) -> Result<Response<proto::UploadArtifactReply>, Status> {
        let chunks = request.into_inner().map(|chunk| match chunk {
            Ok(chunk) => Ok(chunk.data),
            Err(status) => Err(status.message().to_owned()),
        });
        let digest = self.blobs.put(chunks).await.map_err(status::blob)?;
        Ok(Response::new(proto::UploadArtifactReply { digest }))
    }

    async fn has_artifact(
        &self,
        request: Request<proto::HasArtifactRequest>,
    ) -> Result<Response<proto::HasArtifactReply>, Status> {
        let present = self.blobs.contains(&request.into_inner().digest);
        Ok(Response::new(proto::HasArtifactReply { present }))
    }

    async fn watch_slots(
        &self,
        request: Request<proto::WatchSlotsRequest>,
    ) -> Result<Response<Self::WatchSlotsStream>, Status> {
        let job: JobId = id(&request.into_inner().job_id, "job_id").map_err(status::bad_message)?;
        match self.dispatcher.entry(job).await.map_err(status::stopped)? {
            Some(JobEntry::Running(master)) => {
                let waits = WatchStream::new(master.waiting()).map(|wait| Ok(slots_wait(wait)));
                Ok(Response::new(Box::pin(waits)))
            }
            Some(JobEntry::Ended(_)) => Ok(Response::new(Box::pin(futures::stream::empty()))),
            None => Err(Status::not_found(format!("there is no job {job}"))),
        }
    }

    async fn submit_job(
        &self,
        request: Request<proto::SubmitJobRequest>,
    ) -> Result<Response<proto::SubmitJobReply>, Status> {
        let request = request.into_inner();
        let graph = required(request.graph, "graph").and_then(JobGraph::from_wire).map_err(status::bad_message)?;
        let job_id = match &request.job_id {
            Some(bytes) => id(bytes, "job_id").map_err(status::bad_message)?,
            None => JobId::random(&self.env),
        };
        let job = JobDescription {
            id: job_id,
            graph: Arc::new(graph),
            artifact: request.artifact_digest,
            arguments: request.arguments,
        };
        self.dispatcher.submit(job).await.map_err(status::submit)?;
        Ok(Response::new(proto::SubmitJobReply { job_id: job_id.to_wire() }))
    }

    async fn list_jobs(
        &self,
        _request: Request<proto::ListJobsRequest>,
    ) -> Result<Response<proto::ListJobsReply>, Status> {
        let jobs = self.dispatcher.jobs().await.map_err(status::stopped)?;
        let summary = |job: &Arc<JobView>| proto::JobSummary {
            job_id: job.id.to_wire(),
            name: job.name.clone(),
            state: job.status.as_str().to_owned(),
            start_time_ms: job.start_time(),
            end_time_ms: job.end_time().unwrap_or(-1),
        };
        Ok(Response::new(proto::ListJobsReply { jobs: jobs.iter().map(summary).collect() }))
    }

    async fn cancel_job(
        &self,
        request: Request<proto::CancelJobRequest>,
    ) -> Result<Response<proto::CancelJobReply>, Status> {
        let job: JobId = id(&request.into_inner().job_id, "job_id").map_err(status::bad_message)?;
        self.dispatcher.cancel(job).await.map_err(|error| {
            let text = error.to_string();
            match error {
                CancelError::UnknownJob(_) => {
                    Status::not_found(format!("{text}; `client list -a` shows those there are"))
                }
                CancelError::AlreadyTerminal { .. } => Status::failed_precondition(text),
                CancelError::Unavailable(_) => Status::unavailable(text),
            }
        })?;
        Ok(Response::new(proto::CancelJobReply {}))
    }

    async fn run_operation(
        &self,
        request: Request<proto::RunOperationRequest>,
    ) -> Result<Response<proto::RunOperationReply>, Status> {
        let request = request.into_inner();
        let operation = required(request.operation, "operation").map_err(status::bad_message)?;
        let operation = operation_of(operation).map_err(status::bad_message)?;
        let trigger = TriggerId::random(&self.env);
        let key = operation.key(trigger);
        let started = self.operations.trigger(trigger, operation);
        started.map_err(|error| Status::resource_exhausted(error.to_string()))?;
        let mut reply = proto::RunOperationReply { trigger_id: trigger.to_wire(), ..Default::default() };
        if request.detached {
            return Ok(Response::new(reply));
        }
        let outcome = self.operations.outcome(key).await.map_err(status::stopped)?;
        match outcome.map_err(Status::failed_precondition)? {
            OperationResult::Checkpoint(checkpoint) => reply.checkpoint_id = Some(checkpoint.0),
            OperationResult::Savepoint { location } => reply.location = Some(location),
            OperationResult::Disposed => {}
        }
        Ok(Response::new(reply))
    }

    async fn await_job(
        &self,
        request: Request<proto::AwaitJobRequest>,
    ) -> Result<Response<proto::AwaitJobReply>, Status> {
        let job: JobId = id(&request.into_inner().job_id, "job_id").map_err(status::bad_message)?;
        let ended = self.dispatcher.ended(job).await.map_err(status::stopped)?;
        let view = ended.ok_or_else(|| Status::not_found(format!("there is no job {job}")))?;
        if !view.status.is_globally_terminal() {
            return Err(Status::unavailable(format!("job {job} is {}: the JobManager is shutting down", view.status)));
        }
        let failed = view.status == JobStatus::Failed;
        let failure = view.exceptions.first().filter(|_| failed).map(|exception| exception.cause.clone().into());
        // One whose types contradict each other has no value; REST says so.
        let mut accumulators: BTreeMap<_, _> =
            view.accumulators().into_iter().filter_map(|(name, value)| Some((name, value.ok()?))).collect();
        accumulator::bound_job(&mut accumulators);
        Ok(Response::new(proto::AwaitJobReply {
            state: view.status.as_str().to_owned(),
            failure,
            net_runtime_ms: view.duration_ms(self.env.wall_clock()),
            accumulators: accumulators
                .into_iter()
                .map(|(name, value)| wire::accumulator::to_wire(name, &value))
                .collect(),
        }))
    }
}

fn operation_of(operation: WireOperation) -> Result<Operation, BadMessage> {
    Ok(match operation {
        WireOperation::Checkpoint(wanted) => {
            Operation::Checkpoint { job: id(&wanted.job_id, "job_id")?, full: wanted.full }
        }
        WireOperation::Savepoint(wanted) => {
            let (job, format) = (id(&wanted.job_id, "job_id")?, SavepointFormat::of(wanted.native));
            let then = AfterSavepoint::from_wire(wanted.then());
            let directory = wanted.target_directory;
            match then {
                AfterSavepoint::Cancel => Operation::CancelWithSavepoint { job, directory, format },
                then => Operation::Savepoint { job, directory, format, then },
            }
        }
        WireOperation::Disposal(wanted) => Operation::Dispose { path: wanted.path },
    })
}

fn slots_wait(wait: Option<SlotsWait>) -> proto::SlotsWait {
    wait.map_or_else(proto::SlotsWait::default, |SlotsWait { needed, supply }| proto::SlotsWait {
        needed,
        total: supply.total,
        free: supply.free,
    })
}
