//! The router is asked as a client would ask it, over a made-up cluster.

mod behaviour;
mod checkpoints;
mod cluster;
mod operations;
mod random;
mod shapes;

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use http::{Request, StatusCode};
use serde_json::Value;
use tower::ServiceExt;

use super::{RestSettings, router};
use cluster::MadeUpCluster;

/// What came back.
struct Reply {
    status: StatusCode,
    headers: http::HeaderMap,
    body: Vec<u8>,
}

impl Reply {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.text()))
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    fn error(&self) -> String {
        self.json()["errors"][0].as_str().expect("an error").to_owned()
    }
}

async fn send(cluster: &Arc<MadeUpCluster>, settings: RestSettings, request: Request<Body>) -> Reply {
    let cluster: Arc<MadeUpCluster> = Arc::clone(cluster);
    let response: Response = router(cluster, settings).oneshot(request).await.expect("infallible");
    let (head, body) = response.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.expect("a body").to_vec();
    Reply { status: head.status, headers: head.headers, body }
}

async fn ask(method: &str, path: &str) -> Reply {
    let request = Request::builder().method(method).uri(path).body(Body::empty()).expect("a request");
    send(&Arc::new(MadeUpCluster::default()), RestSettings::default(), request).await
}

async fn get(path: &str) -> Reply {
    ask("GET", path).await
}
