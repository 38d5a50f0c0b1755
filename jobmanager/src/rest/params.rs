//! Parameters of paths and queries, each with Flink's name for it.

use std::str::FromStr;

use pelton_runtime_core::id::{JobId, JobVertexId};

use super::error::RestError;
use super::request::Request;

/// A job's id in the path.
pub(super) fn job_id(text: &str) -> Result<JobId, RestError> {
    in_path("jobid", text)
}

/// A vertex's id in the path.
pub(super) fn vertex_id(text: &str) -> Result<JobVertexId, RestError> {
    in_path("vertexid", text)
}

/// A subtask's index in the path.
pub(super) fn subtask_index(text: &str) -> Result<u32, RestError> {
    in_path("subtaskindex", text)
}

/// A part of the path that has a form of its own.
pub(super) fn in_path<T: FromStr>(name: &'static str, text: &str) -> Result<T, RestError> {
    text.parse().map_err(|_| RestError::BadParameter { place: "path", name, value: text.to_owned() })
}

/// A part of the query that has a form of its own; none when it is absent or empty.
pub(super) fn in_query<T: FromStr>(request: &Request, name: &'static str) -> Result<Option<T>, RestError> {
    match request.query(name) {
        None | Some("") => Ok(None),
        Some(text) => text.parse().map(Some).map_err(|_| bad_query(name, text)),
    }
}

/// A query's value that means nothing.
pub(super) fn bad_query(name: &'static str, value: &str) -> RestError {
    RestError::BadParameter { place: "query", name, value: value.to_owned() }
}
