//! What the JobManager tells a supervisor, checked.

use std::collections::BTreeMap;
use std::time::Duration;

use pelton_proto as proto;
use pelton_runtime_core::id::{Epoch, InvalidId, JobId, WorkerId};
use pelton_runtime_core::wire::{BadMessage, id};

use crate::artifact::{ArtifactDigest, NotADigest};

/// A command about workers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Command {
    /// Start one.
    Start(StartWorker),
    /// End one.
    Stop(StopWorker),
}

/// Start a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StartWorker {
    pub(crate) worker: WorkerId,
    pub(crate) job: JobId,
    pub(crate) job_name: String,
    pub(crate) epoch: Epoch,
    pub(crate) slots: u32,
    pub(crate) artifact: Option<ArtifactDigest>,
    pub(crate) arguments: Vec<String>,
    pub(crate) configuration: BTreeMap<String, String>,
    pub(crate) fingerprint: String,
    pub(crate) job_master_address: String,
}

/// End a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StopWorker {
    pub(crate) worker: WorkerId,
    /// How long it may take to end by itself; at zero it is killed at once.
    pub(crate) grace: Duration,
    pub(crate) reason: String,
}

/// A command that cannot be followed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BadCommand {
    #[error(transparent)]
    Message(#[from] BadMessage),
    #[error(transparent)]
    Digest(#[from] NotADigest),
}

impl TryFrom<proto::StartWorker> for StartWorker {
    type Error = (Option<WorkerId>, BadCommand);

    /// An error names the worker where that is known, so that its failed start can be reported.
    fn try_from(message: proto::StartWorker) -> Result<Self, Self::Error> {
        let worker: WorkerId = id(&message.worker_id, "worker_id").map_err(|error| (None, error.into()))?;
        let job = id::<JobId>(&message.job_id, "job_id").map_err(|error| (Some(worker), error.into()))?;
        let artifact = message.artifact_digest.map(|digest| digest.parse()).transpose();
        Ok(Self {
            worker,
            job,
            job_name: message.job_name,
            epoch: Epoch(message.epoch),
            slots: message.slots,
            artifact: artifact.map_err(|error: NotADigest| (Some(worker), error.into()))?,
            arguments: message.arguments,
            configuration: message.configuration,
            fingerprint: message.fingerprint,
            job_master_address: message.job_master_address,
        })
    }
}

impl TryFrom<proto::StopWorker> for StopWorker {
    type Error = BadMessage;

    fn try_from(message: proto::StopWorker) -> Result<Self, BadMessage> {
        let worker = WorkerId::try_from(message.worker_id.as_slice())
            .map_err(|source: InvalidId| BadMessage::Id { field: "worker_id", source })?;
        Ok(Self { worker, grace: Duration::from_millis(message.grace_ms), reason: message.reason })
    }
}
