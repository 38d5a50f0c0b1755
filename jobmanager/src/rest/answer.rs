//! An answer before it is HTTP.

use axum::body::Body;
use axum::response::Response;
use http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, CONTENT_TYPE};
use http::{HeaderValue, StatusCode};
use serde_json::{Value, json};

use super::error::RestError;
use crate::view::LogBody;

/// What an endpoint has to say.
pub(super) enum Answer {
    /// JSON, for anyone.
    Json(StatusCode, Value),
    /// JSON that Flink sends without a CORS header: what its file handler says.
    PlainJson(StatusCode, Value),
    /// A log file as it is read.
    Text(LogBody),
}

impl Answer {
    /// 200 with this content.
    pub(super) fn ok(content: Value) -> Self {
        Self::Json(StatusCode::OK, content)
    }

    /// 202 with `{}`: the order was taken.
    pub(super) fn accepted() -> Self {
        Self::Json(StatusCode::ACCEPTED, json!({}))
    }

    /// 202 with this content.
    pub(super) fn accepted_with(content: Value) -> Self {
        Self::Json(StatusCode::ACCEPTED, content)
    }

    /// The answer as HTTP.
    pub(super) fn into_response(self, allow_origin: Option<&HeaderValue>) -> Response {
        match self {
            Self::Json(status, content) => json_response(status, &content, allow_origin),
            Self::PlainJson(status, content) => json_response(status, &content, None),
            Self::Text(content) => {
                let mut response = Response::new(Body::from_stream(content));
                response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
                response
            }
        }
    }
}

impl From<RestError> for Answer {
    fn from(error: RestError) -> Self {
        let status = error.status();
        let content = json!({ "errors": error.messages() });
        if error.is_of_file_handler() { Self::PlainJson(status, content) } else { Self::Json(status, content) }
    }
}

fn json_response(status: StatusCode, content: &Value, allow_origin: Option<&HeaderValue>) -> Response {
    let mut response = Response::new(Body::from(content.to_string()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=UTF-8"));
    if let Some(origin) = allow_origin {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    }
    response
}
