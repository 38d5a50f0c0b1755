//! The questions that REST asks and the orders it gives; implemented by the control plane.

use std::io;
use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::Stream;
use pelton_runtime_core::id::{JobId, TaskManagerId, TriggerId};
use pelton_runtime_core::scheduler::status::JobStatus;
use pelton_runtime_core::time::EpochMillis;

use super::{
    JobManagerView, JobView, Operation, OperationKey, OperationOutcome, TaskManagerView, ThreadView, TooManyOperations,
};

/// The content of a log file as it is read.
pub type LogBody = Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send>>;

/// Which file of a process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WhichLog {
    /// The main log.
    Log,
    /// What it printed to standard output. A missing one reads as empty.
    Stdout,
    /// A file of the listing. A name with a path separator, or `..`, is never found.
    Named(String),
}

/// A file in a process's log folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogFileView {
    /// Its name, without a folder.
    pub name: String,
    /// Its length.
    pub size_bytes: u64,
    /// When it was written last.
    pub modified: EpochMillis,
}

/// One configuration option as set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigEntry {
    /// The key.
    pub key: String,
    /// The value, hidden when it is a secret.
    pub value: String,
}

/// The control plane does not answer: it is starting, ending, or another JobManager leads.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the JobManager cannot serve this now: {reason}")]
pub struct Unavailable {
    /// Why.
    pub reason: String,
}

/// Why a job was not cancelled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CancelError {
    /// There is no such job.
    #[error("there is no job {0}")]
    UnknownJob(JobId),
    /// It had ended, and not by being cancelled.
    #[error("job {job} has already ended as {status}")]
    AlreadyTerminal {
        /// The job.
        job: JobId,
        /// How it ended.
        status: JobStatus,
    },
    /// Nobody could be asked.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// Why the files or threads of a process cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// There is no such TaskManager.
    #[error("there is no TaskManager {0}")]
    UnknownTaskManager(TaskManagerId),
    /// There is no such file.
    #[error("there is no log file `{0}`")]
    NoSuchFile(String),
    /// The process writes no log files.
    #[error("the process writes no log files: {0}")]
    NoLogFolder(String),
    /// The TaskManager did not answer.
    #[error("TaskManager {task_manager} does not answer: {reason}")]
    Unreachable {
        /// Which one.
        task_manager: TaskManagerId,
        /// Why.
        reason: String,
    },
    /// The file is there and cannot be read.
    #[error("failed to read log file `{name}`")]
    Read {
        /// Which file.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// Nobody could be asked.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// What the control plane answers and does for those outside.
#[async_trait]
pub trait ClusterPort: Send + Sync + 'static {
    /// The wall clock that views are compared with.
    fn now(&self) -> EpochMillis;

    /// All jobs it knows, running and ended, the newest first.
    async fn jobs(&self) -> Result<Vec<Arc<JobView>>, Unavailable>;

    /// One job; none when it is unknown.
    async fn job(&self, job: JobId) -> Result<Option<Arc<JobView>>, Unavailable>;

    /// Asks a job to cancel. Returns when the order is accepted; cancelling a job that is `CANCELED` is fine.
    async fn cancel(&self, job: JobId) -> Result<(), CancelError>;

    /// A new id for something that is started.
    fn new_trigger(&self) -> TriggerId;

    /// Starts an operation, unless one of this id was started before or too many are under way.
    fn trigger(&self, id: TriggerId, operation: Operation) -> Result<(), TooManyOperations>;

    /// What became of an operation, none while it runs; none at all when it is unknown.
    fn operation(&self, key: OperationKey) -> Option<Option<OperationOutcome>>;

    /// The TaskManagers that are registered.
    async fn task_managers(&self) -> Result<Vec<TaskManagerView>, Unavailable>;

    /// The log files of a TaskManager.
    async fn task_manager_logs(&self, id: &TaskManagerId) -> Result<Vec<LogFileView>, LogError>;

    /// One of them.
    async fn task_manager_log(&self, id: &TaskManagerId, which: WhichLog) -> Result<LogBody, LogError>;

    /// What the threads of a TaskManager are doing.
    async fn task_manager_thread_dump(&self, id: &TaskManagerId) -> Result<Vec<ThreadView>, LogError>;

    /// The JobManager itself.
    async fn job_manager(&self) -> Result<JobManagerView, Unavailable>;

    /// The configuration that was set, by key.
    fn configuration(&self) -> Vec<ConfigEntry>;

    /// The JobManager's log files.
    async fn job_manager_logs(&self) -> Result<Vec<LogFileView>, LogError>;

    /// One of them.
    async fn job_manager_log(&self, which: WhichLog) -> Result<LogBody, LogError>;

    /// What the JobManager's threads are doing.
    async fn job_manager_thread_dump(&self) -> Result<Vec<ThreadView>, LogError>;

    /// Ends the cluster, after the answer has been sent. Jobs are suspended, not cancelled.
    async fn shut_down(&self) -> Result<(), Unavailable>;
}
