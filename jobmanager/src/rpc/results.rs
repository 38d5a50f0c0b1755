//! A program that reads the results of its job, for as long as it does.

use std::time::Duration;

use pelton_proto as proto;
use pelton_runtime_core::env::{Env, Stopped};
use pelton_runtime_core::id::{JobId, OperatorId};
use pelton_runtime_core::wire::id;
use tokio::sync::mpsc;
use tonic::{Status, Streaming};

use super::status;
use crate::dispatcher::DispatcherHandle;
use crate::job_master::JobMasterHandle;

/// Answers that wait for the program.
pub(super) const ANSWERS_CAPACITY: usize = 1;

/// How long a sink that does not run is left alone.
const PAUSE: Duration = Duration::from_millis(20);

/// One reader of one job.
pub(super) struct Reader {
    pub(super) env: Env,
    pub(super) dispatcher: DispatcherHandle,
    pub(super) job: JobId,
    pub(super) master: JobMasterHandle,
    pub(super) requests: Streaming<proto::CollectRequest>,
    pub(super) answers: mpsc::Sender<Result<proto::CollectedResults, Status>>,
}

impl Reader {
    /// Answers until the job ends or the reader goes away; then its job is of no use to anybody, and is canceled.
    pub(super) async fn serve(mut self, first: proto::CollectRequest) {
        if self.answer_all(first).await == Ended::Reader {
            tracing::info!(job = %self.job, "canceling the job: the program that reads its results is gone");
            if let Err(error) = self.dispatcher.cancel(self.job).await {
                tracing::debug!(job = %self.job, %error, "the job had ended as well");
            }
        }
    }

    async fn answer_all(&mut self, first: proto::CollectRequest) -> Ended {
        let mut request = first;
        loop {
            let operator: OperatorId = match id(&request.operator_id, "operator_id") {
                Ok(operator) => operator,
                Err(error) => {
                    drop(self.answers.send(Err(status::bad_message(error))).await);
                    return Ended::Reader;
                }
            };
            let answer = loop {
                if self.answers.is_closed() {
                    return Ended::Reader;
                }
                match self.master.fetch_results(operator, request.clone()).await {
                    Ok(Some(answer)) if answer.version != 0 => break answer,
                    Ok(_) => self.env.sleep(PAUSE).await,
                    Err(Stopped) => return Ended::Job,
                }
            };
            if self.answers.send(Ok(answer)).await.is_err() {
                return Ended::Reader;
            }
            request = match self.requests.message().await {
                Ok(Some(request)) => request,
                Ok(None) | Err(_) => return Ended::Reader,
            };
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Ended {
    Reader,
    Job,
}
