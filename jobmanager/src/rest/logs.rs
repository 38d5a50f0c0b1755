//! Log files, standard output and threads, of the JobManager and of TaskManagers.

use pelton_runtime_core::id::TaskManagerId;
use serde_json::{Value, json};

use super::answer::Answer;
use super::error::RestError;
use super::{Answered, Context};
use crate::view::{LogError, LogFileView, ThreadView, WhichLog};

/// `/jobmanager/log`
pub(super) async fn job_manager_log(cx: &Context) -> Answered {
    Ok(Answer::Text(cx.cluster.job_manager_log(WhichLog::Log).await?))
}

/// `/jobmanager/stdout`
pub(super) async fn job_manager_stdout(cx: &Context) -> Answered {
    Ok(Answer::Text(cx.cluster.job_manager_log(WhichLog::Stdout).await?))
}

/// `/jobmanager/logs`
pub(super) async fn job_manager_list(cx: &Context) -> Answered {
    Ok(files(cx.cluster.job_manager_logs().await?))
}

/// `/jobmanager/logs/:filename`
pub(super) async fn job_manager_file(cx: &Context, file: &str) -> Answered {
    Ok(Answer::Text(cx.cluster.job_manager_log(named(file)?).await?))
}

/// `/jobmanager/thread-dump`
pub(super) async fn job_manager_threads(cx: &Context) -> Answered {
    Ok(threads(cx.cluster.job_manager_thread_dump().await?))
}

/// `/taskmanagers/:taskmanagerid/log`
pub(super) async fn task_manager_log(cx: &Context, id: &str) -> Answered {
    Ok(Answer::Text(cx.cluster.task_manager_log(&task_manager(id), WhichLog::Log).await?))
}

/// `/taskmanagers/:taskmanagerid/stdout`
pub(super) async fn task_manager_stdout(cx: &Context, id: &str) -> Answered {
    Ok(Answer::Text(cx.cluster.task_manager_log(&task_manager(id), WhichLog::Stdout).await?))
}

/// `/taskmanagers/:taskmanagerid/logs`
pub(super) async fn task_manager_list(cx: &Context, id: &str) -> Answered {
    Ok(files(cx.cluster.task_manager_logs(&task_manager(id)).await?))
}

/// `/taskmanagers/:taskmanagerid/logs/:filename`
pub(super) async fn task_manager_file(cx: &Context, id: &str, file: &str) -> Answered {
    Ok(Answer::Text(cx.cluster.task_manager_log(&task_manager(id), named(file)?).await?))
}

/// `/taskmanagers/:taskmanagerid/thread-dump`
pub(super) async fn task_manager_threads(cx: &Context, id: &str) -> Answered {
    match cx.cluster.task_manager_thread_dump(&task_manager(id)).await {
        Ok(dump) => Ok(threads(dump)),
        // Unlike its neighbours, this endpoint answers 500 for a TaskManager that it does not know.
        Err(LogError::UnknownTaskManager(id)) => Err(RestError::UnknownTaskManager(id.0)),
        Err(error) => Err(error.into()),
    }
}

fn task_manager(id: &str) -> TaskManagerId {
    TaskManagerId(id.to_owned())
}

/// A file of the log folder itself: nothing that leads out of it, whatever the port's owner checks.
fn named(file: &str) -> Result<WhichLog, RestError> {
    if file.is_empty() || file == "." || file == ".." || file.contains(['/', '\\', '\0']) {
        return Err(LogError::NoSuchFile(file.to_owned()).into());
    }
    Ok(WhichLog::Named(file.to_owned()))
}

fn files(files: Vec<LogFileView>) -> Answer {
    let files: Vec<Value> = files
        .into_iter()
        .map(|file| json!({ "name": file.name, "size": file.size_bytes, "mtime": file.modified }))
        .collect();
    Answer::ok(json!({ "logs": files }))
}

fn threads(threads: Vec<ThreadView>) -> Answer {
    let threads: Vec<Value> = threads
        .into_iter()
        .map(|thread| json!({ "threadName": thread.name, "stringifiedThreadInfo": thread.text }))
        .collect();
    Answer::ok(json!({ "threadInfos": threads }))
}
