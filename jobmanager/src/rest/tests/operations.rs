//! Savepoints and their like are started, and asked about until they are done.

use std::sync::Arc;

use axum::body::Body;
use http::{Request, StatusCode};
use pelton_runtime_core::element::{AfterSavepoint, SavepointFormat};
use pelton_runtime_core::scheduler::status::JobStatus;
use serde_json::{Value, json};

use super::cluster::{MadeUpCluster, job_id};
use super::{Reply, RestSettings, send};
use crate::view::Operation;

const CHOSEN: &str = "0123456789abcdef0123456789abcdef";

async fn ask(cluster: &Arc<MadeUpCluster>, method: &str, path: &str, body: &str) -> Reply {
    let request = Request::builder().method(method).uri(path).body(Body::from(body.to_owned())).expect("a request");
    send(cluster, RestSettings::default(), request).await
}

/// Starts something at `path`, and answers with what becomes of it.
async fn started(cluster: &Arc<MadeUpCluster>, path: &str, status_path: &str, body: &str) -> Value {
    let reply = ask(cluster, "POST", path, body).await;
    let expected = if path == "/savepoint-disposal" { StatusCode::OK } else { StatusCode::ACCEPTED };
    assert_eq!(reply.status, expected, "{}", reply.text());
    let id = reply.json()["request-id"].as_str().expect("an id").to_owned();
    let status = format!("{status_path}/{id}");
    let running = ask(cluster, "GET", &status, "{}").await.json();
    assert_eq!(running, json!({ "status": { "id": "IN_PROGRESS" }, "operation": null }));
    let done = ask(cluster, "GET", &status, "").await.json();
    assert_eq!(done["status"]["id"], "COMPLETED");
    done["operation"].clone()
}

#[tokio::test]
async fn savepoints_checkpoints_and_disposals_are_started_and_then_asked_about() {
    let job = job_id(JobStatus::Running);
    let savepoints = format!("/jobs/{job}/savepoints");
    let of = |path: &str| format!("/jobs/{job}/{path}");
    let cluster = || Arc::new(MadeUpCluster::default());
    let body = r#"{"target-directory":"/sp","cancel-job":false,"formatType":"NATIVE","triggerId":null,"more":1}"#;
    let one = cluster();
    assert_eq!(started(&one, &savepoints, &savepoints, body).await, json!({ "location": "/sp/savepoint-1" }));
    let (directory, format, then) = (Some("/sp".to_owned()), SavepointFormat::Native, AfterSavepoint::GoOn);
    assert_eq!(one.started.lock()[0].1, Operation::Savepoint { job, directory, format, then });
    let failed = started(&cluster(), &savepoints, &savepoints, "").await;
    assert_eq!(failed["failure-cause"]["stack-trace"], "CheckpointFailure: nobody says where");
    let body = r#"{"targetDirectory":"/sp","drain":true,"formatType":"CANONICAL","triggerId":null}"#;
    let one = cluster();
    assert_eq!(started(&one, &of("stop"), &savepoints, body).await, json!({ "location": "/sp/savepoint-1" }));
    let is_drain =
        |operation: &Operation| matches!(operation, Operation::Savepoint { then: AfterSavepoint::Drain, .. });
    assert!(is_drain(&one.started.lock()[0].1));
    let checkpoints = of("checkpoints");
    assert_eq!(started(&cluster(), &checkpoints, &checkpoints, "{}").await, json!({ "checkpointId": 40 }));
    let disposal = "/savepoint-disposal";
    assert_eq!(started(&cluster(), disposal, disposal, r#"{"savepoint-path":"/sp/1"}"#).await, json!({}));
    let failed = started(&cluster(), disposal, disposal, r#"{"savepoint-path":"/nope"}"#).await;
    assert_eq!(failed["failure-cause"]["class"], "CheckpointFailure");
}

#[tokio::test]
async fn an_id_of_the_clients_choice_starts_nothing_twice() {
    let cluster = Arc::new(MadeUpCluster::default());
    let path = format!("/jobs/{}/savepoints", job_id(JobStatus::Running));
    for _ in 0..2 {
        let reply = ask(&cluster, "POST", &path, &format!(r#"{{"triggerId":"{CHOSEN}"}}"#)).await;
        assert_eq!((reply.status, reply.json()), (StatusCode::ACCEPTED, json!({ "request-id": CHOSEN })));
    }
    assert_eq!(cluster.started.lock().len(), 1);
}

#[tokio::test]
async fn bad_bodies_are_refused_with_flinks_words() {
    let cluster = Arc::new(MadeUpCluster::default());
    let job = job_id(JobStatus::Running);
    let expected = |format: &str| format!("Request did not match expected format {format}.");
    for (path, body, message) in [
        ("savepoints", r#"{"formatType":"WEIRD"}"#, expected("SavepointTriggerRequestBody")),
        ("savepoints", "{not json", expected("SavepointTriggerRequestBody")),
        ("savepoints", r#"{"triggerId":"xyz"}"#, expected("SavepointTriggerRequestBody")),
        ("stop", r#"{"drain":"maybe"}"#, expected("StopWithSavepointRequestBody")),
        ("checkpoints", r#"{"checkpointType":"BOGUS"}"#, expected("CheckpointTriggerRequestBody")),
    ] {
        let reply = ask(&cluster, "POST", &format!("/jobs/{job}/{path}"), body).await;
        assert_eq!((reply.status, reply.error()), (StatusCode::BAD_REQUEST, message), "{path} {body}");
    }
    let reply = ask(&cluster, "POST", "/savepoint-disposal", "{}").await;
    assert_eq!(reply.error(), "Field savepoint-path must not be omitted or be null.");
    let incremental = r#"{"checkpointType":"INCREMENTAL"}"#;
    let reply = ask(&cluster, "POST", &format!("/jobs/{job}/checkpoints"), incremental).await;
    assert_eq!(reply.status, StatusCode::INTERNAL_SERVER_ERROR);
    let long = format!(r#"{{"target-directory":"{}"}}"#, "x".repeat(2 << 20));
    let reply = ask(&cluster, "POST", &format!("/jobs/{job}/savepoints"), &long).await;
    assert_eq!(reply.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert!(cluster.started.lock().is_empty());
}
