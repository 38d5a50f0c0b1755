//! What Flink's REST API has and Pelton's does not have yet, each refused with its reason.
//!
//! Features that a Flink cluster may have switched off are answered as such a cluster answers.

use serde_json::json;

use super::answer::Answer;
use super::error::RestError;
use super::params::{bad_query, in_path, job_id, vertex_id};
use super::request::Request;
use super::{Answered, Context};

const USE_CLIENT: &str = "submit the job with `client run`, which uploads the program";
const RESUBMIT: &str = "stop the job with a savepoint and submit it from there with another parallelism";

/// Why this order is refused; none when Flink has no such endpoint either.
pub(super) fn refusal(method: &str, segments: &[&str]) -> Option<RestError> {
    let (what, instead) = match (method, segments) {
        ("POST", ["jobs"]) => ("job submission over REST", USE_CLIENT),
        ("POST" | "DELETE", ["jars", ..]) => ("JAR files", USE_CLIENT),
        ("POST", ["jobs", _, "coordinators", _]) => {
            ("requests to operator coordinators", "write results to a sink and read them there")
        }
        ("PATCH", ["jobs", _, "clientHeartbeat"]) => {
            ("client heartbeats", "run the client detached, or without `client.heartbeat.*`")
        }
        ("PUT", ["jobs", _, "resource-requirements"]) => ("rescaling a running job", RESUBMIT),
        ("DELETE", ["datasets", _]) => ("cluster data sets", "there are none to delete"),
        ("PATCH", ["jobs", _, "rescaling"]) => return Some(RestError::Disabled(RESCALING_IS_OFF)),
        _ => return None,
    };
    Some(RestError::Unsupported { what, instead })
}

/// Flink answers 503 here, with a sentence of this sense.
const RESCALING_IS_OFF: &str =
    "Rescaling is temporarily disabled: Flink has switched this endpoint off, and so have we";

/// `/jobs/:jobid/rescaling/:triggerid`: off in Flink too.
pub(super) fn rescaling_operation(job: &str, trigger: &str) -> Answered {
    job_id(job)?;
    in_path::<pelton_runtime_core::id::JobId>("triggerid", trigger)?;
    Err(RestError::Disabled(RESCALING_IS_OFF))
}

/// `/jobs/:jobid/resource-requirements`
pub(super) fn resource_requirements(job: &str) -> Answered {
    job_id(job)?;
    Err(RestError::Unsupported { what: "rescaling a running job", instead: RESUBMIT })
}

/// `/jobs/:jobid/vertices/:vertexid/flamegraph`: the answer of a cluster with `rest.flamegraph.enabled: false`, the
/// default.
pub(super) async fn flame_graph(cx: &Context, request: &Request, job: &str, vertex: &str) -> Answered {
    let (job, vertex) = (job_id(job)?, vertex_id(vertex)?);
    if let Some(kind) = request.query("type")
        && !["FULL", "ON_CPU", "OFF_CPU"].contains(&kind.to_ascii_uppercase().as_str())
    {
        return Err(bad_query("type", kind));
    }
    let view = super::job::find(cx, job).await?;
    view.vertex(vertex).ok_or(RestError::UnknownVertex(vertex))?;
    Ok(Answer::ok(json!({ "endTimestamp": -2 })))
}
