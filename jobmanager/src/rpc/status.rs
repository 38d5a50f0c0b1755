//! Errors as gRPC statuses, each logged where it happened or by whoever asked.

use pelton_runtime_core::env::Stopped;
use pelton_runtime_core::failure::error_chain;
use pelton_runtime_core::wire::BadMessage;
use tonic::Status;

use crate::blob::BlobError;
use crate::dispatcher::SubmitError;
use crate::job_master::AttachError;

pub(super) fn bad_message(error: BadMessage) -> Status {
    Status::invalid_argument(error_chain(&error))
}

pub(super) fn stopped(_: Stopped) -> Status {
    Status::unavailable("the JobManager is shutting down")
}

pub(super) fn submit(error: SubmitError) -> Status {
    let text = error_chain(&error);
    match error {
        SubmitError::IdTaken(_) => Status::already_exists(text),
        SubmitError::NoArtifact(_) => Status::failed_precondition(text),
        SubmitError::NeedsArtifact { .. }
        | SubmitError::Configuration(_)
        | SubmitError::CheckpointDirectory { .. }
        | SubmitError::CheckpointStorage(_) => Status::invalid_argument(text),
        SubmitError::Recovery { .. } => Status::failed_precondition(text),
        SubmitError::ShuttingDown | SubmitError::Stopped(_) => Status::unavailable(text),
    }
}

pub(super) fn attach(error: AttachError) -> Status {
    let text = error_chain(&error);
    match error {
        AttachError::StaleEpoch { .. } | AttachError::Refused(_) => Status::failed_precondition(text),
        AttachError::Ended(_) => Status::not_found(text),
    }
}

pub(super) fn blob(error: BlobError) -> Status {
    let text = error_chain(&error);
    match error {
        BlobError::Unknown(_) => Status::not_found(text),
        BlobError::TooLarge { .. } | BlobError::Full { .. } => Status::resource_exhausted(text),
        BlobError::BrokenOff { .. } => Status::aborted(text),
        BlobError::Folder { .. } | BlobError::Io(_) => {
            tracing::warn!(error = text, "artifact store");
            Status::internal(text)
        }
    }
}
