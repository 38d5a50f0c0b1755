//! Requests for results, on their way to the worker of the sink and back.

use std::collections::BTreeMap;

use pelton_proto as proto;
use pelton_runtime_core::graph::JobVertex;
use pelton_runtime_core::id::{OperatorId, WorkerId};
use pelton_runtime_core::scheduler::job::JobScheduler;
use pelton_runtime_core::scheduler::status::ExecutionState;
use proto::worker_command::Command;
use tokio::sync::oneshot;

use super::actor::JobMaster;

/// Where an answer goes. It is dropped when there is none.
pub(super) type ResultsReply = oneshot::Sender<proto::CollectedResults>;

/// Requests that workers have not answered.
#[derive(Default)]
pub(super) struct Fetches {
    next: u64,
    waiting: BTreeMap<u64, (WorkerId, ResultsReply)>,
}

impl Fetches {
    /// A worker has answered.
    pub(super) fn answer(&mut self, fetched: proto::ResultsFetched) {
        if let (Some((_, reply)), Some(results)) = (self.waiting.remove(&fetched.request_id), fetched.results) {
            // Who asked may be gone; that is its right.
            drop(reply.send(results));
        }
    }

    /// A worker is gone and answers no more.
    pub(super) fn forget(&mut self, worker: WorkerId) {
        self.waiting.retain(|_, (asked, _)| *asked != worker);
    }
}

impl JobMaster {
    pub(super) async fn fetch_results(
        &mut self,
        operator: OperatorId,
        request: proto::CollectRequest,
        reply: ResultsReply,
    ) {
        let Some(worker) = worker_of(&self.scheduler, operator) else { return };
        let request_id = self.fetches.next;
        self.fetches.next += 1;
        self.fetches.waiting.insert(request_id, (worker, reply));
        let fetch = Command::FetchResults(proto::FetchResults { request_id, request: Some(request) });
        if let Err(reason) = self.send(worker, fetch) {
            self.detach(worker, reason.to_owned()).await;
        }
    }
}

/// Where the sink runs, of which there is one subtask.
fn worker_of(scheduler: &JobScheduler, operator: OperatorId) -> Option<WorkerId> {
    let has_it = |vertex: &JobVertex| vertex.operators.iter().any(|node| node.id == operator);
    let vertex = scheduler.graph().vertices.iter().position(has_it)?;
    let current = &scheduler.subtasks()[vertex].first()?.current;
    let runs = current.state == ExecutionState::Running;
    current.place.as_ref().filter(|_| runs).map(|place| place.worker)
}
