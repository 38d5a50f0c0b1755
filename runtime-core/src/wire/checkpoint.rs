//! Checkpoints on the wire: where state is, and what tasks report.

use std::time::Duration;

use bytes::Bytes;
use pelton_proto as proto;

use super::{BadMessage, id, required};
use crate::checkpoint::layout;
use crate::checkpoint::record::{StateFileHandle, StateHandle};
use crate::element::{AfterSavepoint, CheckpointId, Savepoint, SavepointFormat};
use crate::id::{ExecutionAttemptId, OperatorId, SubtaskIndex};

impl StateHandle {
    /// The handle as a message.
    pub fn to_wire(&self) -> proto::StateHandle {
        use proto::state_handle::Where;
        let file = |file: &StateFileHandle| proto::StateFile {
            path: file.path.clone(),
            bytes: file.bytes,
            sha256: file.sha256.to_vec(),
        };
        let place = match self.own() {
            Self::Inline(bytes) => Some(Where::Inline(bytes.to_vec())),
            Self::File(own) => Some(Where::File(file(own))),
            Self::Empty | Self::Shared { .. } => None,
        };
        proto::StateHandle { r#where: place, shared: self.shared().iter().map(file).collect() }
    }

    /// The handle in a message.
    ///
    /// # Errors
    ///
    /// When a path leaves the directory or a digest has another length.
    pub fn from_wire(message: proto::StateHandle) -> Result<Self, BadMessage> {
        use proto::state_handle::Where;
        let own = match message.r#where {
            None => Self::Empty,
            Some(Where::Inline(bytes)) => Self::Inline(Bytes::from(bytes)),
            Some(Where::File(file)) => Self::File(file_from_wire(file)?),
        };
        let shared = message.shared.into_iter().map(file_from_wire).collect::<Result<Vec<_>, _>>()?;
        Ok(own.with_shared(shared))
    }
}

fn file_from_wire(file: proto::StateFile) -> Result<StateFileHandle, BadMessage> {
    let unknown = |field, value: String| BadMessage::Unknown { field, value };
    if !layout::is_valid(&file.path) {
        return Err(unknown("state.file.path", file.path));
    }
    let sha256 = <[u8; 32]>::try_from(file.sha256.as_slice())
        .map_err(|_| unknown("state.file.sha256", format!("{} bytes", file.sha256.len())))?;
    Ok(StateFileHandle { path: file.path, bytes: file.bytes, sha256 })
}

impl Savepoint {
    /// The savepoint as a message.
    pub fn to_wire(&self) -> proto::SavepointTarget {
        proto::SavepointTarget {
            directory: self.directory.clone(),
            native: self.format == SavepointFormat::Native,
            then: self.then.to_wire().into(),
        }
    }

    /// The savepoint in a message.
    pub fn from_wire(message: proto::SavepointTarget) -> Self {
        let then = AfterSavepoint::from_wire(message.then());
        Self { directory: message.directory, format: SavepointFormat::of(message.native), then }
    }
}

impl SavepointFormat {
    /// The one or the other.
    pub fn of(native: bool) -> Self {
        if native { Self::Native } else { Self::Canonical }
    }
}

impl AfterSavepoint {
    /// As the wire has it.
    pub fn to_wire(self) -> proto::AfterSavepoint {
        match self {
            Self::GoOn => proto::AfterSavepoint::GoOn,
            Self::Stop => proto::AfterSavepoint::Stop,
            Self::Drain => proto::AfterSavepoint::Drain,
            Self::Cancel => proto::AfterSavepoint::Cancel,
        }
    }

    /// As the wire has it.
    pub fn from_wire(then: proto::AfterSavepoint) -> Self {
        match then {
            proto::AfterSavepoint::GoOn => Self::GoOn,
            proto::AfterSavepoint::Stop => Self::Stop,
            proto::AfterSavepoint::Drain => Self::Drain,
            proto::AfterSavepoint::Cancel => Self::Cancel,
        }
    }
}

/// A subtask's part of a checkpoint that is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Acknowledged {
    /// Whose.
    pub attempt: ExecutionAttemptId,
    /// Of which checkpoint.
    pub checkpoint: CheckpointId,
    /// Where its state is.
    pub state: StateHandle,
    /// From the trigger to the first barrier.
    pub start_delay: Duration,
    /// From the first barrier to the last.
    pub alignment: Duration,
    /// How long the task's thread was occupied.
    pub synchronous: Duration,
    /// How long writing took after that.
    pub asynchronous: Duration,
    /// How much was processed from the first barrier to the last.
    pub processed_bytes: u64,
    /// How much of the state was in flight.
    pub persisted_bytes: u64,
    /// The barrier was one that overtakes records.
    pub unaligned: bool,
}

impl Acknowledged {
    /// The report as a message.
    pub fn to_wire(&self) -> proto::CheckpointAcknowledged {
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        proto::CheckpointAcknowledged {
            attempt_id: self.attempt.to_wire(),
            checkpoint_id: self.checkpoint.0,
            state: Some(self.state.to_wire()),
            start_delay_us: micros(self.start_delay),
            alignment_us: micros(self.alignment),
            synchronous_us: micros(self.synchronous),
            asynchronous_us: micros(self.asynchronous),
            processed_bytes: self.processed_bytes,
            persisted_bytes: self.persisted_bytes,
            unaligned: self.unaligned,
        }
    }

    /// The report in a message.
    ///
    /// # Errors
    ///
    /// When a field is missing or wrong.
    pub fn from_wire(message: proto::CheckpointAcknowledged) -> Result<Self, BadMessage> {
        Ok(Self {
            attempt: id(&message.attempt_id, "attempt_id")?,
            checkpoint: CheckpointId(message.checkpoint_id),
            state: StateHandle::from_wire(required(message.state, "state")?)?,
            start_delay: Duration::from_micros(message.start_delay_us),
            alignment: Duration::from_micros(message.alignment_us),
            synchronous: Duration::from_micros(message.synchronous_us),
            asynchronous: Duration::from_micros(message.asynchronous_us),
            processed_bytes: message.processed_bytes,
            persisted_bytes: message.persisted_bytes,
            unaligned: message.unaligned,
        })
    }
}

/// State that one subtask of a checkpoint wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoredSubtask {
    /// The operators that are deployed again and whose state it holds.
    pub operators: Vec<OperatorId>,
    /// The subtask.
    pub subtask: SubtaskIndex,
    /// Where it is.
    pub state: StateHandle,
    /// Whether the subtask had reached the end of its input.
    pub finished: bool,
}

impl RestoredSubtask {
    /// The state as a message.
    pub fn to_wire(&self) -> proto::RestoredSubtask {
        proto::RestoredSubtask {
            operator_ids: self.operators.iter().map(|operator| operator.to_wire()).collect(),
            subtask: self.subtask,
            state: Some(self.state.to_wire()),
            finished: self.finished,
        }
    }

    /// The state in a message.
    ///
    /// # Errors
    ///
    /// When a field is missing or wrong.
    pub fn from_wire(message: proto::RestoredSubtask) -> Result<Self, BadMessage> {
        let operators = message.operator_ids.iter().map(|operator| id(operator, "operator_id"));
        Ok(Self {
            operators: operators.collect::<Result<_, _>>()?,
            subtask: message.subtask,
            state: StateHandle::from_wire(required(message.state, "state")?)?,
            finished: message.finished,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handles_survive_the_wire_and_paths_stay_in_their_directory() {
        let file = StateFileHandle { path: "chk-3/ab.state".to_owned(), bytes: 7, sha256: [9; 32] };
        for handle in
            [StateHandle::Empty, StateHandle::Inline(Bytes::from_static(b"abc")), StateHandle::File(file.clone())]
        {
            assert_eq!(StateHandle::from_wire(handle.to_wire()).unwrap(), handle);
        }
        let outside = StateHandle::File(StateFileHandle { path: "../other-job/chk-1/x".to_owned(), ..file }).to_wire();
        let error = StateHandle::from_wire(outside).unwrap_err();
        assert_eq!(error.to_string(), "field `state.file.path` has the unknown value `../other-job/chk-1/x`");
    }
}
