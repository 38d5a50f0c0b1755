//! Failure causes on the wire.

use pelton_proto as proto;

use crate::failure::{FailedSubtask, FailureCause, FailureClass};
use crate::id::TaskManagerId;

impl From<FailureCause> for proto::FailureCause {
    fn from(cause: FailureCause) -> Self {
        let (operator, subtask, parallelism) = match cause.subtask {
            Some(failed) => (Some(failed.name), Some(failed.subtask), Some(failed.parallelism)),
            None => (None, None, None),
        };
        Self {
            class: cause.class.as_str().to_owned(),
            message: cause.message,
            operator,
            subtask,
            parallelism,
            host: cause.host,
            task_manager_id: cause.task_manager.map(|id| id.0),
            signal_or_exit: cause.signal_or_exit,
            stderr_tail: cause.stderr_tail,
            timestamp_ms: cause.timestamp,
        }
    }
}

impl From<proto::FailureCause> for FailureCause {
    fn from(message: proto::FailureCause) -> Self {
        let subtask = match (message.operator, message.subtask, message.parallelism) {
            (Some(name), Some(subtask), Some(parallelism)) => Some(FailedSubtask { name, subtask, parallelism }),
            _ => None,
        };
        Self {
            class: FailureClass::from_word(&message.class),
            message: message.message,
            subtask,
            host: message.host,
            task_manager: message.task_manager_id.map(TaskManagerId),
            signal_or_exit: message.signal_or_exit,
            stderr_tail: message.stderr_tail,
            timestamp: message.timestamp_ms,
        }
    }
}
