//! Status codes, headers, errors and figures.

use std::sync::Arc;

use axum::body::Body;
use http::{HeaderValue, Request, StatusCode};
use pelton_runtime_core::scheduler::status::JobStatus;
use serde_json::json;

use super::cluster::{MadeUpCluster, TASK_MANAGER, job_id, window};
use super::{RestSettings, ask, get, send};

fn running() -> String {
    format!("/jobs/{}", job_id(JobStatus::Running))
}

fn unknown() -> String {
    format!("/jobs/{}", "0".repeat(32))
}

#[tokio::test]
async fn a_path_is_served_with_and_without_version_and_trailing_slash() {
    for path in ["/overview", "/overview/", "/v1/overview", "/v1/overview/", "/v1/overview?x=y"] {
        let reply = get(path).await;
        assert_eq!(reply.status, StatusCode::OK, "{path}");
        assert_eq!(reply.json()["slots-available"], 1, "{path}");
    }
}

#[tokio::test]
async fn an_unknown_path_is_404_in_flinks_words() {
    for (method, path, error) in [
        ("GET", "/nope", "Unable to load requested file /nope."),
        ("GET", "/v1", "Unable to load requested file /v1."),
        ("GET", "/v1/", "Unable to load requested file /v1/index.html."),
        ("GET", "/v2/overview", "Unable to load requested file /v2/overview."),
        (
            "GET",
            "/v1/jobmanager/logs/../conf/config.yaml",
            "Unable to load requested file /v1/jobmanager/logs/../conf/config.yaml.",
        ),
        ("POST", "/v1/overview", "Not found: /v1/overview"),
        ("OPTIONS", "/v1/overview", "Not found: /v1/overview"),
        ("PUT", "/v1/jobs/00000000000000000000000000000000", "Not found: /v1/jobs/00000000000000000000000000000000"),
        ("DELETE", "/v1/jobs/00000000000000000000000000000000", "Not found: /v1/jobs/00000000000000000000000000000000"),
    ] {
        let reply = ask(method, path).await;
        assert_eq!(reply.status, StatusCode::NOT_FOUND, "{method} {path}");
        assert_eq!(reply.json(), json!({ "errors": [error] }), "{method} {path}");
    }
    let head = ask("HEAD", "/v1/overview").await;
    assert_eq!(head.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn json_has_flinks_headers_and_files_have_no_cors() {
    let header = |reply: &super::Reply, name: &str| {
        reply.headers.get(name).map(|value| value.to_str().expect("text").to_owned())
    };
    let json = get("/overview").await;
    assert_eq!(header(&json, "content-type").as_deref(), Some("application/json; charset=UTF-8"));
    assert_eq!(header(&json, "access-control-allow-origin").as_deref(), Some("*"));
    let error = get(&unknown()).await;
    assert_eq!(header(&error, "access-control-allow-origin").as_deref(), Some("*"));
    let file = get("/nope").await;
    assert_eq!(header(&file, "access-control-allow-origin"), None);
    let log = get("/jobmanager/log").await;
    assert_eq!(header(&log, "content-type").as_deref(), Some("text/plain"));
    assert_eq!(header(&log, "access-control-allow-origin"), None);
    assert_eq!(log.text(), "main log\n");
}

#[tokio::test]
async fn secrets_among_the_parameters_of_a_job_are_hidden() {
    let reply = get(&format!("{}/config", running())).await;
    let parameters = &reply.json()["execution-config"]["user-config"];
    assert_eq!(*parameters, json!({ "demo.param": "hello", "db.password": "******" }));
}

#[tokio::test]
async fn accumulators_are_merged_over_subtasks_and_vertices() {
    let accumulator = |kind: &str, value: &str| {
        let name = format!("my-{}-counter", kind.to_lowercase());
        json!({ "name": name, "type": format!("{kind}Counter"), "value": value })
    };
    let job = get(&format!("{}/accumulators", running())).await;
    let expected = json!([accumulator("Int", "71724"), accumulator("Long", "402")]);
    assert_eq!(job.json()["user-task-accumulators"], expected);
    let vertex = format!("{}/vertices/{}", running(), window());
    let of_vertex = get(&format!("{vertex}/accumulators")).await;
    assert_eq!(of_vertex.json()["user-accumulators"], json!([accumulator("Int", "35862"), accumulator("Long", "201")]));
    let own = json!([accumulator("Int", "17931"), accumulator("Long", "101")]);
    let all = get(&format!("{vertex}/subtasks/accumulators")).await;
    assert_eq!(all.json()["subtasks"][1]["user-accumulators"], own);
    let attempt = get(&format!("{vertex}/subtasks/1/attempts/0/accumulators")).await;
    assert_eq!(attempt.json()["user-accumulators"], own);
}

#[tokio::test]
async fn metrics_of_the_user_are_numbers_and_rates() {
    let names = "0.discard__Writer.custom.load,0.discard__Writer.custom.events";
    let reply = get(&format!("{}/vertices/{}/metrics?get={names}", running(), window())).await;
    let values: Vec<String> =
        reply.json().as_array().expect("a list").iter().map(|one| one["value"].to_string()).collect();
    assert_eq!(values, ["\"0.5\"", "\"25.0\""]);
}

#[tokio::test]
async fn the_allowed_origin_is_the_configured_one() {
    let settings =
        RestSettings { allow_origin: Some(HeaderValue::from_static("https://ops")), ..RestSettings::default() };
    let request = Request::get("/overview").body(Body::empty()).expect("a request");
    let reply = send(&Arc::default(), settings, request).await;
    assert_eq!(reply.headers["access-control-allow-origin"], "https://ops");
}

#[tokio::test]
async fn a_malformed_parameter_is_400_and_names_itself() {
    let running = running();
    let vertex = format!("{running}/vertices/{}", window());
    for (path, place, name, value) in [
        ("/jobs/xyz".to_owned(), "path", "jobid", "xyz"),
        ("/jobs/xyz/vertices/zz".to_owned(), "path", "jobid", "xyz"),
        (format!("{running}/vertices/zz"), "path", "vertexid", "zz"),
        (format!("{vertex}/subtasks/abc"), "path", "subtaskindex", "abc"),
        (format!("{vertex}/subtasks/-1"), "path", "subtaskindex", "-1"),
        (format!("{vertex}/subtasks/0/attempts/x"), "path", "attempt", "x"),
        (format!("{running}/checkpoints/details/abc"), "path", "checkpointid", "abc"),
        (format!("{running}/savepoints/short"), "path", "triggerid", "short"),
        (format!("{running}/exceptions?maxExceptions=abc"), "query", "maxExceptions", "abc"),
        (format!("{vertex}/subtasks/metrics?get=x&agg=bogus"), "query", "agg", "bogus"),
        (format!("{vertex}/subtasks/metrics?get=x&subtasks=1-x"), "query", "subtasks", "1-x"),
        (format!("{vertex}/flamegraph?type=bogus"), "query", "type", "bogus"),
    ] {
        let reply = get(&path).await;
        assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{path}");
        let expected = format!("Cannot resolve {place} parameter ({name}) from value \"{value}\".");
        assert!(reply.error().ends_with(&expected), "{path}: {}", reply.error());
    }
    let reply = ask("PATCH", &format!("{running}?mode=bogus")).await;
    assert_eq!(reply.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn an_unknown_job_has_the_status_code_that_flink_gives_each_endpoint() {
    let unknown = unknown();
    let vertex = "1".repeat(32);
    let not_found = [
        "",
        "/plan",
        "/config",
        "/exceptions",
        "/accumulators",
        "/execution-result",
        "/checkpoints",
        "/checkpoints/config",
        "/checkpoints/details/1",
        "/yarn-cancel",
    ];
    for path in not_found {
        assert_eq!(get(&format!("{unknown}{path}")).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    for path in ["", "/subtasktimes", "/taskmanagers", "/backpressure", "/watermarks", "/subtasks/0"] {
        let path = format!("{unknown}/vertices/{vertex}{path}");
        assert_eq!(get(&path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    for path in [
        "/metrics".to_owned(),
        format!("/vertices/{vertex}/metrics"),
        format!("/vertices/{vertex}/subtasks/metrics?get=x"),
    ] {
        let reply = get(&format!("{unknown}{path}")).await;
        assert_eq!((reply.status, reply.json()), (StatusCode::OK, json!([])), "{path}");
    }
    let status = get(&format!("{unknown}/status")).await;
    assert_eq!(status.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(status.json()["errors"][0], "Internal server error.");
}

#[tokio::test]
async fn an_unknown_vertex_subtask_attempt_or_task_manager_is_told() {
    let running = running();
    let vertex = format!("{running}/vertices/{}", window());
    for (path, status) in [
        (format!("{running}/vertices/{}", "0".repeat(32)), StatusCode::NOT_FOUND),
        (format!("{vertex}/subtasks/99"), StatusCode::NOT_FOUND),
        (format!("{vertex}/subtasks/0/attempts/9"), StatusCode::NOT_FOUND),
        ("/taskmanagers/nope".to_owned(), StatusCode::INTERNAL_SERVER_ERROR),
        ("/taskmanagers/nope/thread-dump".to_owned(), StatusCode::INTERNAL_SERVER_ERROR),
        ("/taskmanagers/nope/log".to_owned(), StatusCode::NOT_FOUND),
        ("/taskmanagers/nope/logs".to_owned(), StatusCode::NOT_FOUND),
        ("/taskmanagers/nope/stdout".to_owned(), StatusCode::NOT_FOUND),
        ("/jobmanager/logs/nope".to_owned(), StatusCode::NOT_FOUND),
        ("/jobmanager/logs/..%2Fconf%2Fconfig.yaml".to_owned(), StatusCode::NOT_FOUND),
        (format!("/taskmanagers/{TASK_MANAGER}/logs/%2e%2e"), StatusCode::NOT_FOUND),
    ] {
        assert_eq!(get(&path).await.status, status, "{path}");
    }
    let pressure = get(&format!("{running}/vertices/{}/backpressure", "0".repeat(32))).await;
    assert_eq!(pressure.json(), json!({ "status": "deprecated" }));
    assert_eq!(get("/taskmanagers/nope/metrics").await.json(), json!([]));
}

#[tokio::test]
async fn cancelling_answers_202_404_409_or_308() {
    let cluster = Arc::new(MadeUpCluster::default());
    let ask = async |method: &str, path: &str| {
        // Flink's client sends a body with everything.
        let request = Request::builder().method(method).uri(path).body(Body::from("{}")).expect("a request");
        send(&cluster, RestSettings::default(), request).await
    };
    for (method, path) in [
        ("PATCH", running()),
        ("PATCH", format!("{}?mode=cancel", running())),
        ("GET", format!("{}/yarn-cancel", running())),
    ] {
        let reply = ask(method, &path).await;
        assert_eq!((reply.status, reply.json()), (StatusCode::ACCEPTED, json!({})), "{method} {path}");
    }
    assert_eq!(cluster.cancelled.lock().len(), 3);
    let missing = ask("PATCH", &unknown()).await;
    assert_eq!((missing.status, missing.error().as_str()), (StatusCode::NOT_FOUND, "Job could not be found."));
    let cancelled = ask("PATCH", &format!("/jobs/{}", job_id(JobStatus::Canceled))).await;
    assert_eq!(cancelled.status, StatusCode::ACCEPTED);
    let finished = ask("PATCH", &format!("/jobs/{}", job_id(JobStatus::Finished))).await;
    assert_eq!(finished.status, StatusCode::CONFLICT);
    assert!(finished.error().contains("already reached another terminal state (FINISHED)"));
    assert_eq!(ask("PATCH", &format!("{}?mode=stop", running())).await.status, StatusCode::PERMANENT_REDIRECT);
    assert_eq!(ask("GET", &format!("{}/yarn-stop", running())).await.status, StatusCode::PERMANENT_REDIRECT);
}

#[tokio::test]
async fn deleting_the_cluster_ends_it() {
    let cluster = Arc::new(MadeUpCluster::default());
    let request = Request::delete("/v1/cluster").body(Body::empty()).expect("a request");
    let reply = send(&cluster, RestSettings::default(), request).await;
    assert_eq!((reply.status, reply.json()), (StatusCode::OK, json!({})));
    assert!(*cluster.shut_down.lock());
}

#[tokio::test]
async fn what_pelton_lacks_is_refused_with_what_to_do_instead() {
    let running = running();
    for (method, path) in [
        ("POST", "/jobs".to_owned()),
        ("POST", "/jars/upload".to_owned()),
        ("GET", format!("{running}/resource-requirements")),
        ("PUT", format!("{running}/resource-requirements")),
        ("PATCH", format!("{running}/clientHeartbeat")),
    ] {
        let reply = ask(method, &path).await;
        assert_eq!(reply.status, StatusCode::NOT_IMPLEMENTED, "{method} {path}");
        assert!(reply.error().starts_with("Pelton does not support "), "{}", reply.error());
    }
    // As in a cluster with `web.submit.enable: false` and `rest.profiling.enabled: false`.
    for path in ["/jars", "/jobmanager/profiler"] {
        assert_eq!(get(path).await.status, StatusCode::NOT_FOUND, "{path}");
    }
    let flame_graph = get(&format!("{running}/vertices/{}/flamegraph", window())).await;
    assert_eq!(flame_graph.json(), json!({ "endTimestamp": -2 }));
}

#[tokio::test]
async fn a_body_over_the_limit_is_413_and_one_within_it_is_ignored() {
    let settings = RestSettings { max_content_length_bytes: 8, ..RestSettings::default() };
    let with_body = |body: Body| Request::get("/overview").body(body).expect("a request");
    let reply = send(&Arc::default(), settings.clone(), with_body(Body::from("{}"))).await;
    assert_eq!(reply.status, StatusCode::OK);
    let reply = send(&Arc::default(), settings.clone(), with_body(Body::from("123456789"))).await;
    assert_eq!(reply.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert!(reply.error().contains("rest.server.max-content-length"));
    let announced = Request::get("/overview").header("content-length", "9").body(Body::empty()).expect("a request");
    let reply = send(&Arc::default(), settings, announced).await;
    assert_eq!(reply.status, StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn a_cluster_without_a_leader_is_503() {
    let cluster = Arc::new(MadeUpCluster { unavailable: Some("it is starting"), ..MadeUpCluster::default() });
    let request = Request::get("/jobs/overview").body(Body::empty()).expect("a request");
    let reply = send(&cluster, RestSettings::default(), request).await;
    assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(reply.error().contains("it is starting"));
}

#[tokio::test]
async fn grpc_to_an_unknown_service_is_answered_in_grpc() {
    let request = Request::post("/nobody.v1.Service/Method")
        .header("content-type", "application/grpc")
        .body(Body::empty())
        .expect("a request");
    let reply = send(&Arc::default(), RestSettings::default(), request).await;
    assert_eq!(reply.headers["grpc-status"], "12");
}

#[tokio::test]
async fn vertices_show_what_their_subtasks_have_done() {
    let vertex = get(&format!("{}/vertices/{}", running(), window())).await.json();
    assert_eq!(vertex["subtasks"][1]["metrics"]["read-records"], 1001);
    assert_eq!(vertex["subtasks"][1]["metrics"]["accumulated-busy-time"], 900.0);
    assert_eq!(vertex["subtasks"][0]["duration"], 4700);
    assert_eq!(vertex["subtasks"][0]["status-duration"]["RUNNING"], 4000);
    assert_eq!(vertex["subtasks"][0]["status-duration"]["DEPLOYING"], 200);
    assert_eq!(vertex["aggregated"]["metrics"]["read-records"]["sum"], 2001);
    let job = get(&running()).await.json();
    assert_eq!(job["vertices"][1]["metrics"]["read-records"], 2001);
    assert_eq!(job["vertices"][1]["tasks"]["RUNNING"], 2);
    assert_eq!(job["status-counts"]["RUNNING"], 2);
    let finished = get(&format!("/jobs/{}/vertices/{}", job_id(JobStatus::Finished), window())).await.json();
    assert_eq!(finished["subtasks"][0]["duration"], 3700);
    assert_eq!(finished["subtasks"][0]["status-duration"]["RUNNING"], 3000);
}

#[tokio::test]
async fn metrics_are_found_by_flinks_names() {
    let vertex = format!("{}/vertices/{}", running(), window());
    let plain = get(&format!(
        "{vertex}/metrics?get=0.numRecordsIn,1.busyTimeMsPerSecond,0.discard__Writer.numRecordsIn,\
         0.window-sum.numLateRecordsDropped,0.isBackPressured,0.nope"
    ))
    .await
    .json();
    assert_eq!(
        plain,
        json!([
            { "id": "0.numRecordsIn", "value": "1000" },
            { "id": "0.isBackPressured", "value": "true" },
            { "id": "0.window-sum.numLateRecordsDropped", "value": "7" },
            { "id": "0.discard__Writer.numRecordsIn", "value": "144" },
            { "id": "1.busyTimeMsPerSecond", "value": "225.5" },
        ])
    );
    let aggregated = |query: &str| {
        let path = format!("{vertex}/subtasks/metrics?{query}");
        async move { get(&path).await.json() }
    };
    let figures = json!([{ "id": "numRecordsIn", "min": 1000.0, "max": 1001.0, "avg": 1000.5, "sum": 2001.0 }]);
    assert_eq!(aggregated("get=numRecordsIn&agg=min,max,avg,sum").await, figures);
    assert_eq!(
        aggregated("get=numRecordsIn&agg=sum&subtasks=1-5").await,
        json!([{ "id": "numRecordsIn", "sum": 1001.0 }])
    );
    assert_eq!(aggregated("get=numRecordsIn,nope").await, json!([]));
    assert_eq!(aggregated("get=").await, json!([]));
    // A flag has no sum, and does not spoil the others.
    assert_eq!(
        aggregated("get=isBackPressured,numRecordsIn&agg=min").await,
        json!([{ "id": "numRecordsIn", "min": 1000.0 }])
    );
}

#[tokio::test]
async fn exceptions_are_limited_and_filtered() {
    let failed = format!("/jobs/{}/exceptions", job_id(JobStatus::Failed));
    let all = get(&failed).await.json();
    let concurrent = &all["exceptionHistory"]["entries"][0]["concurrentExceptions"][0];
    assert_eq!(concurrent["exceptionName"], "UserFailure");
    assert!(concurrent["stacktrace"].as_str().expect("text").contains("the last words"));
    let none = get(&format!("{failed}?maxExceptions=0")).await.json();
    assert_eq!(none, json!({ "exceptionHistory": { "entries": [], "truncated": true } }));
    let other = get(&format!("{failed}?failureLabelFilter=kind:real")).await.json();
    assert_eq!(other["exceptionHistory"]["entries"], json!([]));
}

#[tokio::test]
async fn the_router_shares_a_port_with_grpc() {
    let rest = super::router(Arc::new(MadeUpCluster::default()), RestSettings::default());
    let both = tonic::service::Routes::default().into_axum_router().merge(rest);
    for (path, status) in
        [("/v1/overview", StatusCode::OK), ("/", StatusCode::NOT_FOUND), ("/nope", StatusCode::NOT_FOUND)]
    {
        let request = Request::get(path).body(Body::empty()).expect("a request");
        let response = tower::ServiceExt::oneshot(both.clone(), request).await.expect("infallible");
        assert_eq!(response.status(), status, "{path}");
        assert!(response.headers()["content-type"].to_str().expect("text").starts_with("application/json"), "{path}");
    }
}
