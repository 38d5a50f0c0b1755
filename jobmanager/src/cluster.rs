//! What REST asks, answered by the actors and by the TaskManagers themselves.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt;
use pelton_process::channel::connect;
use pelton_proto as proto;
use pelton_runtime_core::config::Configuration;
use pelton_runtime_core::env::{Env, Stopped};
use pelton_runtime_core::id::{JobId, TaskManagerId, TriggerId};
use pelton_runtime_core::time::EpochMillis;
use proto::task_manager_client::TaskManagerClient;
use tokio::sync::watch;
use tonic::transport::{Channel, Endpoint};

use crate::dispatcher::DispatcherHandle;
use crate::operations::Operations;
use crate::own_logs::OwnLogs;
use crate::process_metrics;
use crate::resource_manager::ResourceManagerHandle;
use crate::view::{
    CancelError, ClusterPort, ConfigEntry, JobManagerView, JobView, LogBody, LogError, LogFileView, Operation,
    OperationKey, OperationOutcome, TaskManagerView, ThreadView, TooManyOperations, Unavailable, WhichLog,
};

/// How long a TaskManager may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// The cluster as those outside see it.
pub struct Cluster {
    /// Time.
    pub env: Env,
    /// Knows the jobs.
    pub dispatcher: DispatcherHandle,
    /// Knows the TaskManagers.
    pub resource_manager: ResourceManagerHandle,
    /// What was set.
    pub configuration: Configuration,
    /// The JobManager's own log files.
    pub logs: OwnLogs,
    /// What people have started.
    pub operations: Operations,
    /// When the JobManager started.
    pub start_time: EpochMillis,
    /// Its command line, with secrets hidden.
    pub arguments: Vec<String>,
    /// Set when somebody wants the cluster to end.
    pub shut_down: watch::Sender<bool>,
}

fn unavailable(stopped: Stopped) -> Unavailable {
    Unavailable { reason: stopped.to_string() }
}

impl Cluster {
    async fn task_manager(&self, id: &TaskManagerId) -> Result<TaskManagerClient<Channel>, LogError> {
        let address = self.resource_manager.rpc_address(id.clone()).await.map_err(unavailable)?;
        let address = address.ok_or_else(|| LogError::UnknownTaskManager(id.clone()))?;
        let unreachable = |reason: String| LogError::Unreachable { task_manager: id.clone(), reason };
        let endpoint = Endpoint::from_shared(format!("http://{address}"))
            .map_err(|error| unreachable(error.to_string()))?
            .connect_timeout(ANSWER_TIMEOUT);
        let channel = connect(&self.env, endpoint)
            .await
            .map_err(|error| unreachable(pelton_runtime_core::failure::error_chain(&error)))?;
        Ok(TaskManagerClient::new(channel))
    }

    async fn answer<T>(
        &self,
        id: &TaskManagerId,
        call: impl Future<Output = Result<tonic::Response<T>, tonic::Status>>,
    ) -> Result<T, LogError> {
        let unreachable = |reason: String| LogError::Unreachable { task_manager: id.clone(), reason };
        match self.env.timeout(ANSWER_TIMEOUT, call).await {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) if status.code() == tonic::Code::NotFound => {
                Err(LogError::NoSuchFile(status.message().to_owned()))
            }
            Ok(Err(status)) => Err(unreachable(status.message().to_owned())),
            Err(late) => Err(unreachable(late.to_string())),
        }
    }
}

#[async_trait]
impl ClusterPort for Cluster {
    fn now(&self) -> EpochMillis {
        self.env.wall_clock()
    }

    async fn jobs(&self) -> Result<Vec<Arc<JobView>>, Unavailable> {
        self.dispatcher.jobs().await.map_err(unavailable)
    }

    async fn job(&self, job: JobId) -> Result<Option<Arc<JobView>>, Unavailable> {
        self.dispatcher.job(job).await.map_err(unavailable)
    }

    async fn cancel(&self, job: JobId) -> Result<(), CancelError> {
        self.dispatcher.cancel(job).await
    }

    fn new_trigger(&self) -> TriggerId {
        TriggerId::random(&self.env)
    }

    fn trigger(&self, id: TriggerId, operation: Operation) -> Result<(), TooManyOperations> {
        self.operations.trigger(id, operation)
    }

    fn operation(&self, key: OperationKey) -> Option<Option<OperationOutcome>> {
        self.operations.status(key)
    }

    async fn task_managers(&self) -> Result<Vec<TaskManagerView>, Unavailable> {
        self.resource_manager.view().await.map_err(unavailable)
    }

    async fn task_manager_logs(&self, id: &TaskManagerId) -> Result<Vec<LogFileView>, LogError> {
        let mut client = self.task_manager(id).await?;
        let reply = self.answer(id, client.list_logs(proto::ListLogsRequest {})).await?;
        let view = |file: proto::LogFile| LogFileView {
            name: file.name,
            size_bytes: file.size_bytes,
            modified: file.modified_ms,
        };
        Ok(reply.files.into_iter().map(view).collect())
    }

    async fn task_manager_log(&self, id: &TaskManagerId, which: WhichLog) -> Result<LogBody, LogError> {
        use proto::read_log_request::Which;
        let mut client = self.task_manager(id).await?;
        let name = match &which {
            WhichLog::Log => "log".to_owned(),
            WhichLog::Stdout => "stdout".to_owned(),
            WhichLog::Named(name) => name.clone(),
        };
        let which = match which {
            WhichLog::Log => Which::Log(proto::Unit {}),
            WhichLog::Stdout => Which::Stdout(proto::Unit {}),
            WhichLog::Named(name) => Which::Name(name),
        };
        let request = proto::ReadLogRequest { which: Some(which) };
        let chunks = self.answer(id, client.read_log(request)).await.map_err(|error| match error {
            LogError::NoSuchFile(_) => LogError::NoSuchFile(name),
            other => other,
        })?;
        Ok(Box::pin(chunks.map(|chunk| match chunk {
            Ok(chunk) => Ok(Bytes::from(chunk.data)),
            Err(status) => Err(io::Error::other(status.message().to_owned())),
        })))
    }

    async fn task_manager_thread_dump(&self, id: &TaskManagerId) -> Result<Vec<ThreadView>, LogError> {
        let mut client = self.task_manager(id).await?;
        let reply = self.answer(id, client.thread_dump(proto::ThreadDumpRequest {})).await?;
        Ok(reply.threads.into_iter().map(|thread| ThreadView { name: thread.name, text: thread.text }).collect())
    }

    async fn job_manager(&self) -> Result<JobManagerView, Unavailable> {
        Ok(JobManagerView {
            start_time: self.start_time,
            metrics: process_metrics::of_this_process(),
            arguments: self.arguments.clone(),
        })
    }

    fn configuration(&self) -> Vec<ConfigEntry> {
        let entry = |(key, value): (&str, &str)| ConfigEntry { key: key.to_owned(), value: value.to_owned() };
        self.configuration.entries().map(entry).collect()
    }

    async fn job_manager_logs(&self) -> Result<Vec<LogFileView>, LogError> {
        self.logs.list().await
    }

    async fn job_manager_log(&self, which: WhichLog) -> Result<LogBody, LogError> {
        self.logs.read(which).await
    }

    async fn job_manager_thread_dump(&self) -> Result<Vec<ThreadView>, LogError> {
        Ok(process_metrics::threads_of_this_process())
    }

    async fn shut_down(&self) -> Result<(), Unavailable> {
        self.shut_down.send_replace(true);
        Ok(())
    }
}
