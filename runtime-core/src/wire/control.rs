//! Deployments, task states and worker exits on the wire, as the JobMaster meets them.

use pelton_proto as proto;

use super::address::{authority, split_authority};
use super::{BadMessage, id};
use crate::graph::JobGraph;
use crate::id::ExecutionAttemptId;
use crate::scheduler::job::{Attach, Deployment, Location, WorkerExit};
use crate::scheduler::status::ExecutionState;

/// The message that deploys `tasks` to one worker.
///
/// The graph goes along when the worker cannot build it itself.
pub fn deploy_tasks(graph: Option<&JobGraph>, tasks: &[Deployment], locations: &[Location]) -> proto::DeployTasks {
    proto::DeployTasks {
        graph: graph.map(JobGraph::to_wire),
        tasks: tasks
            .iter()
            .map(|task| proto::TaskDeployment {
                vertex: index(task.vertex),
                subtask: task.subtask,
                attempt_number: task.attempt_number,
                attempt_id: task.attempt.to_wire(),
                slot: task.slot,
            })
            .collect(),
        locations: locations
            .iter()
            .map(|location| proto::TaskLocation {
                vertex: index(location.vertex),
                subtask: location.subtask,
                attempt_id: location.attempt.to_wire(),
                worker_id: location.worker.to_wire(),
                data_address: location.data_address.clone(),
            })
            .collect(),
        restore: None,
    }
}

fn index(index: usize) -> u32 {
    // A validated graph has far fewer vertices.
    u32::try_from(index).unwrap_or(u32::MAX)
}

/// A worker's registration.
///
/// # Errors
///
/// When the worker id is none, or the address is no `host:port`.
pub fn attach(worker_id: &[u8], message: proto::RegisterWorker) -> Result<Attach, BadMessage> {
    let Some((host, port)) = split_authority(&message.data_address) else {
        return Err(BadMessage::Unknown { field: "data_address", value: message.data_address });
    };
    let data_address = authority(host, port);
    Ok(Attach {
        worker: id(worker_id, "worker_id")?,
        fingerprint: message.fingerprint,
        data_address,
        process_id: message.process_id,
    })
}

/// The execution and state of a report.
///
/// # Errors
///
/// When the attempt id is none or the state has no name that Flink knows.
pub fn task_state(message: &proto::TaskStateChanged) -> Result<(ExecutionAttemptId, ExecutionState), BadMessage> {
    let attempt = id(&message.attempt_id, "attempt_id")?;
    let state = ExecutionState::parse(&message.state)
        .map_err(|_| BadMessage::Unknown { field: "task_state.state", value: message.state.clone() })?;
    Ok((attempt, state))
}

impl From<proto::WorkerExited> for WorkerExit {
    fn from(message: proto::WorkerExited) -> Self {
        Self {
            exit_code: message.exit_code,
            signal: message.signal,
            requested: message.requested,
            reason: message.reason,
            stderr_tail: message.stderr_tail,
            crashed_task: message.crashed_task,
        }
    }
}
