//! What the TaskManager serves to the JobManager: its logs and what its threads do.

mod logs;
mod thread_dump;

use std::sync::Arc;

use pelton_process::log_files::LogFiles;
use pelton_proto as proto;
use pelton_proto::read_log_request::Which;
use pelton_proto::task_manager_server;
use pelton_runtime_core::env::Env;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use self::logs::Logs;
use crate::supervisor::SupervisorHandle;

/// The service.
pub(crate) struct TaskManagerService {
    env: Env,
    logs: Logs,
    supervisor: SupervisorHandle,
}

impl TaskManagerService {
    pub(crate) fn new(env: Env, files: Option<Arc<LogFiles>>, supervisor: SupervisorHandle) -> Self {
        Self { env, logs: Logs::new(files), supervisor }
    }
}

#[tonic::async_trait]
impl task_manager_server::TaskManager for TaskManagerService {
    type ReadLogStream = ReceiverStream<Result<proto::LogChunk, Status>>;

    async fn list_logs(&self, _: Request<proto::ListLogsRequest>) -> Result<Response<proto::ListLogsReply>, Status> {
        let logs = self.logs.clone();
        let files = self.env.blocking(move || logs.list()).await.map_err(|_| shutting_down())??;
        Ok(Response::new(proto::ListLogsReply { files }))
    }

    async fn read_log(&self, request: Request<proto::ReadLogRequest>) -> Result<Response<Self::ReadLogStream>, Status> {
        let path = match request.into_inner().which {
            Some(Which::Log(_)) => self.logs.log()?,
            Some(Which::Stdout(_)) => self.logs.stdout()?,
            Some(Which::Name(name)) => self.logs.named(&name)?,
            None => return Err(Status::invalid_argument("the request names no file")),
        };
        Ok(Response::new(logs::read(&self.env, path).await?))
    }

    async fn thread_dump(
        &self,
        _: Request<proto::ThreadDumpRequest>,
    ) -> Result<Response<proto::ThreadDumpReply>, Status> {
        let workers = self.supervisor.processes().await.map_err(|_| shutting_down())?;
        let threads = self.env.blocking(move || thread_dump::all(&workers)).await.map_err(|_| shutting_down())?;
        Ok(Response::new(proto::ThreadDumpReply { threads }))
    }
}

fn shutting_down() -> Status {
    Status::unavailable("the TaskManager is shutting down")
}
