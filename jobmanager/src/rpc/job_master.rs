//! What workers say to their JobMaster.

use pelton_proto as proto;
use pelton_runtime_core::id::{Epoch, JobId, WorkerId};
use pelton_runtime_core::wire::{self, id};
use proto::job_master_server::JobMaster;
use proto::worker_report::Report;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::resource_manager::FIRST_MESSAGE_TIMEOUT;
use super::{Services, status};
use crate::dispatcher::JobEntry;
use crate::job_master::{COMMANDS_CAPACITY, JobMasterHandle};

#[tonic::async_trait]
impl JobMaster for Services {
    type AttachStream = ReceiverStream<Result<proto::WorkerCommand, Status>>;

    async fn attach(
        &self,
        request: Request<Streaming<proto::WorkerReport>>,
    ) -> Result<Response<Self::AttachStream>, Status> {
        let mut reports = request.into_inner();
        let first = self
            .env
            .timeout(FIRST_MESSAGE_TIMEOUT, reports.message())
            .await
            .map_err(|late| Status::deadline_exceeded(format!("no registration: {late}")))??;
        let Some(proto::WorkerReport { job_id, epoch, worker_id, report: Some(Report::Register(register)) }) = first
        else {
            return Err(Status::invalid_argument("a worker's first report is its registration"));
        };
        let job: JobId = id(&job_id, "job_id").map_err(status::bad_message)?;
        let attach = wire::control::attach(&worker_id, register).map_err(status::bad_message)?;
        let worker = attach.worker;
        let master = match self.dispatcher.entry(job).await.map_err(status::stopped)? {
            Some(JobEntry::Running(master)) => master,
            Some(JobEntry::Ended(view)) => {
                return Err(Status::not_found(format!("job {job} has ended as {}", view.status)));
            }
            None => return Err(Status::not_found(format!("there is no job {job}"))),
        };
        let (commands, stream) = mpsc::channel(COMMANDS_CAPACITY);
        master.attach(attach, Epoch(epoch), commands).await.map_err(status::attach)?;
        let sender = Sender { job, epoch: Epoch(epoch), worker };
        self.env.spawn("worker-reports", pump(master, sender, reports));
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}

/// Who sends on a stream; every message says so again.
struct Sender {
    job: JobId,
    epoch: Epoch,
    worker: WorkerId,
}

impl Sender {
    fn sent(&self, report: &proto::WorkerReport) -> bool {
        report.job_id == self.job.as_bytes()
            && report.epoch == self.epoch.0
            && report.worker_id == self.worker.as_bytes()
    }
}

/// Hands on what a worker reports until its stream ends.
async fn pump(master: JobMasterHandle, sender: Sender, mut reports: Streaming<proto::WorkerReport>) {
    let worker = sender.worker;
    let reason = loop {
        match reports.message().await {
            Ok(Some(message)) if !sender.sent(&message) => {
                tracing::warn!(%worker, job = %sender.job, "refusing a report with another job, epoch or worker");
            }
            Ok(Some(proto::WorkerReport { report: Some(report), .. })) => {
                if master.report(worker, report).await.is_err() {
                    return;
                }
            }
            Ok(Some(_)) => tracing::debug!(%worker, "ignoring a report of an unknown kind"),
            Ok(None) => break "the connection closed".to_owned(),
            Err(status) => break format!("the connection broke: {}", status.message()),
        }
    };
    // When the JobMaster has ended, nobody cares any more.
    let _ = master.detached(worker, reason).await;
}
