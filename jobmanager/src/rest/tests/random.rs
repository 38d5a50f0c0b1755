//! No request makes the router panic, and every answer is one that a client can read.

use std::sync::Arc;

use axum::body::Body;
use http::Request;
use pelton_runtime_core::scheduler::status::JobStatus;
use proptest::prelude::*;

use super::cluster::{MadeUpCluster, TASK_MANAGER, job_id, window};
use super::{RestSettings, send, shapes};

/// A piece of a path: words that endpoints know, ids that exist, and anything that a URI may hold.
fn segment() -> impl Strategy<Value = String> {
    let words = [
        "v1",
        "jobs",
        "overview",
        "vertices",
        "subtasks",
        "metrics",
        "attempts",
        "taskmanagers",
        "jobmanager",
        "logs",
        "log",
        "checkpoints",
        "details",
        "exceptions",
        "0",
        "1",
        "4294967296",
        "-1",
        "config",
        "savepoints",
        "..",
        "",
    ];
    prop_oneof![
        6 => prop::sample::select(words.to_vec()).prop_map(str::to_owned),
        2 => Just(job_id(JobStatus::Running).to_string()),
        1 => Just(job_id(JobStatus::Failed).to_string()),
        2 => Just(window().to_string()),
        1 => Just(TASK_MANAGER.to_owned()),
        1 => "[A-Za-z0-9._~!$&'()*+,;=:@-]{0,40}",
        1 => "(%[0-9A-Fa-f]{2}){1,8}",
        1 => "%[0-9A-Za-z]{0,2}",
        1 => "[0-9a-f]{32}",
        1 => "[a-z]{2000,4000}",
    ]
}

/// Where an endpoint is, or almost: at most one segment is another, and some may be missing or too many.
fn path() -> impl Strategy<Value = String> {
    let known = shapes::known_paths();
    let almost = (prop::sample::select(known), any::<prop::sample::Index>(), prop::option::of(segment()), 0..8_usize)
        .prop_map(|(path, position, replacement, cut)| {
            let path = path.split('?').next().unwrap_or_default().to_owned();
            let mut segments: Vec<&str> = path.split('/').skip(1).collect();
            let position = position.index(segments.len());
            match &replacement {
                Some(replacement) if cut == 7 => segments.push(replacement),
                Some(replacement) => segments[position] = replacement,
                None => segments.truncate(segments.len().saturating_sub(cut.saturating_sub(4))),
            }
            segments.join("/")
        });
    let anything = prop::collection::vec(segment(), 0..9).prop_map(|segments| segments.join("/"));
    prop_oneof![4 => almost, 1 => anything]
}

fn query() -> impl Strategy<Value = String> {
    let name = prop_oneof![
        prop::sample::select(vec![
            "get",
            "agg",
            "subtasks",
            "maxExceptions",
            "mode",
            "jobs",
            "type",
            "failureLabelFilter"
        ])
        .prop_map(str::to_owned),
        "[a-z%+]{0,6}",
    ];
    let value = prop_oneof![
        "[A-Za-z0-9.,:%+=-]{0,30}",
        Just("numRecordsIn,isBackPressured".to_owned()),
        "[0-9]{0,22}-[0-9]{0,22}",
    ];
    prop::collection::vec((name, value), 0..4).prop_map(|pairs| {
        pairs.into_iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_request_gets_a_readable_answer(
        method in prop::sample::select(vec!["GET", "GET", "GET", "POST", "PATCH", "PUT", "DELETE", "OPTIONS", "HEAD", "BREW"]),
        path in path(),
        query in query(),
        body in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        let uri = format!("/{path}?{query}");
        let Ok(request) = Request::builder().method(method).uri(&uri).body(Body::from(body)) else {
            return Ok(());
        };
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let reply = runtime.block_on(send(&Arc::new(MadeUpCluster::default()), RestSettings::default(), request));
        let content_type = reply.headers.get("content-type").expect("a content type").to_str().expect("text").to_owned();
        if content_type == "text/plain" {
            prop_assert!(reply.status.is_success());
        } else if method == "HEAD" {
            prop_assert!(reply.body.is_empty());
        } else {
            let json = reply.json();
            let is_error = json.get("errors").is_some_and(serde_json::Value::is_array);
            prop_assert_eq!(is_error, !reply.status.is_success(), "{} {}", uri, json);
        }
    }
}
