//! The table of all endpoints.

use http::Method;

use super::error::RestError;
use super::request::Request;
use super::{
    Answered, Context, checkpoints, cluster, exceptions, job, jobs, logs, metric_query, operations, pressure, subtask,
    task_managers, unsupported, vertex,
};

/// Answers a request, or says why not.
pub(super) async fn dispatch(context: &Context, request: &Request) -> Answered {
    let segments: Vec<&str> = request.segments.iter().map(String::as_str).collect();
    let method = &request.method;
    if method == Method::GET {
        get(context, request, &segments).await
    } else {
        other(context, request, &segments).await
    }
}

async fn get(cx: &Context, request: &Request, segments: &[&str]) -> Answered {
    match *segments {
        ["overview"] => cluster::overview(cx).await,
        ["config"] => cluster::config(cx),
        ["datasets"] => cluster::datasets(),
        ["jobmanager", ref rest @ ..] => job_manager(cx, request, rest).await,
        ["taskmanagers", ref rest @ ..] => task_manager(cx, request, rest).await,
        ["jobs"] => jobs::ids(cx).await,
        ["jobs", "overview"] => jobs::overview(cx).await,
        ["jobs", "metrics"] => metric_query::of_jobs(cx, request).await,
        ["savepoint-disposal", trigger] => operations::disposal_status(cx, trigger),
        ["jobs", job, "vertices", vertex, ref rest @ ..] => get_vertex(cx, request, job, vertex, rest).await,
        ["jobs", job, "checkpoints", ref rest @ ..] => checkpoints::get(cx, request, job, rest).await,
        ["jobs", job, ref rest @ ..] => get_job(cx, request, job, rest).await,
        _ => Err(unknown(request)),
    }
}

async fn job_manager(cx: &Context, request: &Request, rest: &[&str]) -> Answered {
    match *rest {
        ["config"] => cluster::job_manager_config(cx),
        ["environment"] => cluster::environment(cx).await,
        ["metrics"] => metric_query::of_job_manager(cx, request).await,
        ["log"] => logs::job_manager_log(cx).await,
        ["stdout"] => logs::job_manager_stdout(cx).await,
        ["logs"] => logs::job_manager_list(cx).await,
        ["logs", file] => logs::job_manager_file(cx, file).await,
        ["thread-dump"] => logs::job_manager_threads(cx).await,
        _ => Err(unknown(request)),
    }
}

async fn task_manager(cx: &Context, request: &Request, rest: &[&str]) -> Answered {
    match *rest {
        [] => task_managers::list(cx).await,
        ["metrics"] => metric_query::of_task_managers(cx, request).await,
        [id] => task_managers::detail(cx, id).await,
        [id, "metrics"] => metric_query::of_task_manager(cx, request, id).await,
        [id, "log"] => logs::task_manager_log(cx, id).await,
        [id, "stdout"] => logs::task_manager_stdout(cx, id).await,
        [id, "logs"] => logs::task_manager_list(cx, id).await,
        [id, "logs", file] => logs::task_manager_file(cx, id, file).await,
        [id, "thread-dump"] => logs::task_manager_threads(cx, id).await,
        _ => Err(unknown(request)),
    }
}

async fn get_job(cx: &Context, request: &Request, id: &str, rest: &[&str]) -> Answered {
    match *rest {
        [] => job::detail(cx, id).await,
        ["status"] => job::status(cx, id).await,
        ["plan"] => job::plan(cx, id).await,
        ["config"] => job::config(cx, id).await,
        ["exceptions"] => exceptions::history(cx, request, id).await,
        ["accumulators"] => job::accumulators(cx, id).await,
        ["execution-result"] => job::execution_result(cx, id).await,
        ["metrics"] => metric_query::of_job(cx, request, id).await,
        ["yarn-cancel"] => job::cancel(cx, id).await,
        ["yarn-stop"] => Err(job::stop_was_removed()),
        ["jobmanager", "config"] => job::job_manager_config(cx, id),
        ["jobmanager", "environment"] => job::job_manager_environment(cx, id).await,
        ["jobmanager", "log-url"] => job::job_manager_log_url(request, id),
        ["taskmanagers", task_manager, "log-url"] => job::task_manager_log_url(request, id, task_manager),
        ["savepoints", trigger] => operations::savepoint_status(cx, id, trigger),
        ["rescaling", trigger] => unsupported::rescaling_operation(id, trigger),
        ["resource-requirements"] => unsupported::resource_requirements(id),
        _ => Err(unknown(request)),
    }
}

async fn get_vertex(cx: &Context, request: &Request, job: &str, vertex: &str, rest: &[&str]) -> Answered {
    match *rest {
        [] => vertex::detail(cx, job, vertex).await,
        ["subtasktimes"] => vertex::subtask_times(cx, job, vertex).await,
        ["taskmanagers"] => vertex::task_managers(cx, job, vertex).await,
        ["accumulators"] => vertex::accumulators(cx, job, vertex).await,
        ["backpressure"] => pressure::backpressure(cx, job, vertex).await,
        ["watermarks"] => pressure::watermarks(cx, job, vertex).await,
        ["flamegraph"] => unsupported::flame_graph(cx, request, job, vertex).await,
        ["metrics"] => metric_query::of_vertex(cx, request, job, vertex).await,
        ["jm-operator-metrics"] => metric_query::of_coordinators(job, vertex),
        ["subtasks", "metrics"] => metric_query::of_subtasks(cx, request, job, vertex).await,
        ["subtasks", "accumulators"] => subtask::all_accumulators(cx, job, vertex).await,
        ["subtasks", index] => subtask::detail(cx, job, vertex, index).await,
        ["subtasks", index, "metrics"] => metric_query::of_subtask(cx, request, job, vertex, index).await,
        ["subtasks", index, "attempts", attempt] => subtask::attempt(cx, job, vertex, index, attempt).await,
        ["subtasks", index, "attempts", attempt, "accumulators"] => {
            subtask::attempt_accumulators(cx, job, vertex, index, attempt).await
        }
        _ => Err(unknown(request)),
    }
}

async fn other(cx: &Context, request: &Request, segments: &[&str]) -> Answered {
    match (request.method.as_str(), segments) {
        ("PATCH", ["jobs", job]) => job::terminate(cx, request, job).await,
        ("POST", ["jobs", job, "savepoints"]) => operations::savepoint(cx, request, job),
        ("POST", ["jobs", job, "stop"]) => operations::stop(cx, request, job),
        ("POST", ["jobs", job, "checkpoints"]) => operations::checkpoint(cx, request, job),
        ("POST", ["savepoint-disposal"]) => operations::disposal(cx, request),
        ("DELETE", ["cluster"]) => cluster::shut_down(cx).await,
        (method, segments) => match unsupported::refusal(method, segments) {
            Some(refusal) => Err(refusal),
            None => Err(unknown(request)),
        },
    }
}

/// What Flink says: its file handler takes every `GET` that no endpoint takes, and nothing else is found.
fn unknown(request: &Request) -> RestError {
    let path = request.path.clone();
    if request.method != Method::GET {
        RestError::NoSuchEndpoint { path }
    } else if path.ends_with('/') {
        RestError::NoSuchFile { path: format!("{path}index.html") }
    } else {
        RestError::NoSuchFile { path }
    }
}
