//! Why a request was refused, with the status code that Flink answers in that case.
//!
//! The body is `{"errors": [...]}`. Where a client is known to look for words (the Kubernetes operator does), the
//! words are in the message; the rest of the sentences are our own, and there are no stack traces.

use http::{Method, StatusCode};
use pelton_runtime_core::failure::error_chain;
use pelton_runtime_core::id::{JobId, JobVertexId};
use pelton_runtime_core::scheduler::status::JobStatus;

use crate::view::{CancelError, LogError, TooManyOperations, Unavailable};

/// Why a request was refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum RestError {
    /// No endpoint and no file has this path. Flink's dashboard and probes know this sentence.
    #[error("Unable to load requested file {path}.")]
    NoSuchFile {
        /// As the client wrote it.
        path: String,
    },
    /// No endpoint has this path and method.
    #[error("Not found: {path}")]
    NoSuchEndpoint {
        /// As the client wrote it.
        path: String,
    },
    /// A part of the path or the query is not what the endpoint needs.
    #[error(
        "Bad request, could not parse parameters: Cannot resolve {place} parameter ({name}) from value \"{value}\"."
    )]
    BadParameter {
        /// `path` or `query`.
        place: &'static str,
        /// Which parameter.
        name: &'static str,
        /// What was found.
        value: String,
    },
    /// The path or query holds bytes that are no UTF-8.
    #[error("Bad request: `{text}` is not UTF-8 when percent-decoded")]
    NotUtf8 {
        /// As the client wrote it.
        text: String,
    },
    /// The body is larger than allowed.
    #[error("the request has more than {limit_bytes} bytes, the limit of `rest.server.max-content-length`")]
    TooLarge {
        /// What is allowed.
        limit_bytes: u64,
    },
    /// The body ended early.
    #[error("the request's body could not be read: {reason}")]
    BrokenBody {
        /// Why.
        reason: String,
    },
    /// The body is no JSON, or has other fields.
    #[error("Request did not match expected format {format}.")]
    BadBody {
        /// Flink's name of what was expected.
        format: &'static str,
    },
    /// The body lacks a field.
    #[error("Field {0} must not be omitted or be null.")]
    MissingField(&'static str),
    /// Flink answers 500 to this.
    #[error("{0}")]
    Internal(&'static str),
    /// There is no such job.
    #[error("Job {0} not found")]
    UnknownJob(JobId),
    /// There is no such job, and the endpoint is one where Flink answers 500.
    #[error("Could not find Flink job ({0})")]
    UnknownJobIsInternal(JobId),
    /// The job has no such vertex.
    #[error("JobVertex {0} not found")]
    UnknownVertex(JobVertexId),
    /// The vertex has no such subtask.
    #[error("vertex {vertex} has no subtask {subtask}, only 0 to {last}")]
    UnknownSubtask {
        /// The vertex.
        vertex: JobVertexId,
        /// What was asked for.
        subtask: u32,
        /// The highest index.
        last: u32,
    },
    /// The subtask had no such attempt, or it is forgotten.
    #[error("subtask {subtask} has no attempt {attempt}")]
    UnknownAttempt {
        /// The subtask.
        subtask: u32,
        /// What was asked for.
        attempt: u32,
    },
    /// There is no such TaskManager; Flink answers 500 to this.
    #[error("no TaskManager is registered as {0}")]
    UnknownTaskManager(String),
    /// There is nothing of this name, for a reason of its own.
    #[error("{0}")]
    NotFound(String),
    /// The job has ended in another way; the Kubernetes operator looks for this sentence.
    #[error("Job cancellation failed because the job has already reached another terminal state ({0}).")]
    AlreadyTerminal(JobStatus),
    /// Flink once had it and sends 308.
    #[error("{0}")]
    Removed(&'static str),
    /// Flink answers that it is switched off.
    #[error("{0}")]
    Disabled(&'static str),
    /// Flink has it, Pelton not yet.
    #[error("Pelton does not support {what} yet: {instead}")]
    Unsupported {
        /// What was asked for.
        what: &'static str,
        /// What to do.
        instead: &'static str,
    },
    /// The control plane does not answer.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// Too much is under way.
    #[error(transparent)]
    TooManyOperations(#[from] TooManyOperations),
    /// A log file or thread dump could not be had.
    #[error(transparent)]
    Log(#[from] LogError),
}

impl RestError {
    /// The status code.
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::BadParameter { .. }
            | Self::NotUtf8 { .. }
            | Self::BrokenBody { .. }
            | Self::BadBody { .. }
            | Self::MissingField(_) => StatusCode::BAD_REQUEST,
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::NoSuchFile { .. }
            | Self::NoSuchEndpoint { .. }
            | Self::UnknownJob(_)
            | Self::UnknownVertex(_)
            | Self::UnknownSubtask { .. }
            | Self::UnknownAttempt { .. }
            | Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::UnknownJobIsInternal(_) | Self::UnknownTaskManager(_) | Self::Internal(_) => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
            Self::AlreadyTerminal(_) => StatusCode::CONFLICT,
            Self::Removed(_) => StatusCode::PERMANENT_REDIRECT,
            // Neither 404 nor 503: the Kubernetes operator takes the one for a missing job, and Flink's client
            // repeats the other for a minute.
            Self::Unsupported { .. } => StatusCode::NOT_IMPLEMENTED,
            Self::Unavailable(_)
            | Self::TooManyOperations(_)
            | Self::Disabled(_)
            | Self::Log(LogError::Unavailable(_)) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Log(LogError::UnknownTaskManager(_) | LogError::NoSuchFile(_) | LogError::NoLogFolder(_)) => {
                StatusCode::NOT_FOUND
            }
            Self::Log(LogError::Unreachable { .. } | LogError::Read { .. }) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The body's `errors`: one, or two when it is the server's fault, as Flink does.
    pub(super) fn messages(&self) -> Vec<String> {
        let message = error_chain(self);
        if self.status() == StatusCode::INTERNAL_SERVER_ERROR {
            let detail = format!("<Exception on server side:\n{message}\nEnd of exception on server side>");
            vec!["Internal server error.".to_owned(), detail]
        } else {
            vec![message]
        }
    }

    /// Whether Flink's file handler would say this, which sends no CORS header.
    pub(super) fn is_of_file_handler(&self) -> bool {
        matches!(self, Self::NoSuchFile { .. })
    }

    /// Writes down what is the server's fault; the client's faults are the client's to read.
    pub(super) fn log(&self, method: &Method, path: &str) {
        if matches!(self, Self::Log(LogError::Unreachable { .. } | LogError::Read { .. })) {
            tracing::warn!(%method, path, error = error_chain(self), "REST request failed");
        }
    }
}

impl From<CancelError> for RestError {
    fn from(error: CancelError) -> Self {
        match error {
            // The Kubernetes operator takes 404 for a job that is gone.
            CancelError::UnknownJob(_) => Self::NotFound("Job could not be found.".to_owned()),
            CancelError::AlreadyTerminal { status, .. } => Self::AlreadyTerminal(status),
            CancelError::Unavailable(unavailable) => Self::Unavailable(unavailable),
        }
    }
}
