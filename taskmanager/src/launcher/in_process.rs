//! Workers that share the process: the embedded cluster's.
//!
//! They cannot be killed, for nothing can take memory and threads from a part of a process. A worker that does not
//! end when asked is given up when the kill would come: its future is dropped, and the supervisor says so.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt;
use pelton_runtime_core::env::{BoxFuture, Env};
use tokio::sync::watch;

use super::{Want, WorkerEnd, WorkerEvent, WorkerEvents, WorkerLauncher, WorkerOrder, wanted};
use crate::worker::setup::WorkerSetup;

/// Completes when the supervisor asks the worker to end.
pub type StopRequest = BoxFuture<()>;

/// Runs a worker to its end; an error is what a process would have exited with code 1 for.
pub type RunWorker = Arc<dyn Fn(WorkerSetup, StopRequest) -> BoxFuture<Result<(), String>> + Send + Sync>;

/// Starts workers by calling a closure.
pub struct InProcessLauncher {
    env: Env,
    run: RunWorker,
}

impl InProcessLauncher {
    /// A launcher that runs every worker with `run`.
    pub fn new(env: Env, run: RunWorker) -> Self {
        Self { env, run }
    }
}

impl WorkerLauncher for InProcessLauncher {
    fn launch(&self, order: WorkerOrder, want: watch::Receiver<Want>, events: WorkerEvents) {
        let run = self.run.clone();
        self.env.spawn("worker", async move {
            let tmp_dir = order.setup.tmp_dir.clone();
            if let Err(error) = tokio::fs::create_dir_all(&tmp_dir).await {
                let message = format!("cannot create the folder {}: {error}", tmp_dir.display());
                return events.tell(WorkerEvent::StartFailed(message)).await;
            }
            events.tell(WorkerEvent::Started { process_id: std::process::id() }).await;
            let end = live(run, order.setup, want).await;
            if let Err(error) = tokio::fs::remove_dir_all(&tmp_dir).await {
                tracing::warn!(folder = %tmp_dir.display(), %error, "cannot remove the folder of a worker");
            }
            events.tell(WorkerEvent::Exited(end)).await;
        });
    }
}

async fn live(run: RunWorker, setup: WorkerSetup, mut want: watch::Receiver<Want>) -> WorkerEnd {
    let mut stop = want.clone();
    let stop_request = Box::pin(async move { wanted(&mut stop, Want::Stop).await });
    // A panic outside of any task's thread must not take the supervisor's bookkeeping with it.
    let life = AssertUnwindSafe(async move { run(setup, stop_request).await }).catch_unwind();
    tokio::select! {
        biased;
        outcome = life => match outcome {
            Ok(Ok(())) => WorkerEnd { exit_code: Some(0), ..WorkerEnd::default() },
            Ok(Err(message)) => {
                let stderr_tail = message.lines().map(str::to_owned).collect();
                WorkerEnd { exit_code: Some(1), stderr_tail, ..WorkerEnd::default() }
            }
            Err(panic) => {
                let message = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
                let message = message.or_else(|| panic.downcast_ref::<String>().cloned());
                let text = format!("the worker panicked: {}", message.as_deref().unwrap_or("no message"));
                WorkerEnd { exit_code: Some(101), stderr_tail: vec![text], ..WorkerEnd::default() }
            }
        },
        () = wanted(&mut want, Want::Kill) => WorkerEnd {
            reason: Some("given up: it shares the process, so it cannot be killed".to_owned()),
            ..WorkerEnd::default()
        },
    }
}
