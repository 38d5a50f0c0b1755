//! The REST API, in Flink's paths, shapes and status codes.
//!
//! ```text
//!  HTTP request ─► Request ─► routes (one table) ─► endpoint ─► Answer or RestError ─► HTTP response
//!                                                      │
//!                                                      └─ asks the ClusterPort for views
//! ```
//!
//! Every path is served with and without `/v1` and with or without a trailing slash. Routing is a `match` of our own
//! because Flink's rules are not those of axum: a wrong method is 404 and never 405, `HEAD` and `OPTIONS` are not
//! answered, and an unknown path is told apart by its method.
//!
//! Owns no state of the cluster. What Pelton does not do yet is refused by [`unsupported`], each with its reason.
//!
//! Invariant: no request, however malformed, panics or is held in memory; bodies are counted, and dropped but for the
//! beginning that an endpoint may read.

mod accumulators;
mod answer;
mod checkpoints;
mod cluster;
mod error;
mod exceptions;
mod io_metrics;
mod job;
mod jobs;
mod logs;
mod metric_query;
mod metrics;
mod operations;
mod params;
mod pressure;
mod request;
mod routes;
mod serialized_throwable;
mod settings;
mod statistics;
mod subtask;
mod task_managers;
mod unsupported;
mod vertex;

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::any;

pub use settings::{InvalidAllowOrigin, RestSettings};

use crate::view::ClusterPort;
use answer::Answer;
use error::RestError;
use request::Request;

/// What an endpoint works with.
struct Context {
    cluster: Arc<dyn ClusterPort>,
    settings: RestSettings,
}

/// What an endpoint answers.
type Answered = Result<Answer, RestError>;

/// All endpoints. The router has no fallback, so that it merges with gRPC's, whose paths are more specific.
pub fn router(cluster: Arc<dyn ClusterPort>, settings: RestSettings) -> Router {
    let context = Arc::new(Context { cluster, settings });
    Router::new().route("/", any(serve)).route("/{*path}", any(serve)).with_state(context)
}

async fn serve(State(context): State<Arc<Context>>, request: axum::extract::Request) -> Response {
    if is_grpc(&request) {
        return unknown_grpc_method();
    }
    let (head, body) = request.into_parts();
    let answered = match request::read(&head, body, context.settings.max_content_length_bytes).await {
        Ok(body) => match Request::parse(&head, body) {
            Ok(request) => routes::dispatch(&context, &request).await,
            Err(error) => Err(error),
        },
        Err(error) => Err(error),
    };
    let answer = answered.unwrap_or_else(|error| {
        error.log(&head.method, head.uri.path());
        Answer::from(error)
    });
    answer.into_response(context.settings.allow_origin.as_ref())
}

fn is_grpc(request: &axum::extract::Request) -> bool {
    let content_type = request.headers().get(http::header::CONTENT_TYPE);
    content_type.is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}

/// A gRPC client understands nothing but gRPC; 12 is UNIMPLEMENTED.
fn unknown_grpc_method() -> Response {
    [("content-type", "application/grpc"), ("grpc-status", "12"), ("grpc-message", "unknown service or method")]
        .into_response()
}

#[cfg(test)]
mod tests;
