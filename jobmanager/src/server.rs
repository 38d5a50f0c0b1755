//! Listeners, and connections that speak HTTP: gRPC and REST on one port, told apart by the content type.
//!
//! A connection costs nothing but itself: there are at most [`MAX_CONNECTIONS`] per listener, one that has not made
//! a request within [`FIRST_REQUEST_TIMEOUT`] is closed, and so is one whose peer does not answer pings. What is no
//! HTTP ends its own connection.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::Request;
use hyper::body::Incoming as RequestBody;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use pelton_process::channel::{EnvExecutor, Incoming};
use pelton_proto::transport::{CONNECTION_WINDOW_BYTES, FRAME_BYTES_MAX, STREAM_WINDOW_BYTES};
use pelton_runtime_core::config::PortRange;
use pelton_runtime_core::env::sockets::Listening;
use pelton_runtime_core::env::{Env, SpawnedTask};
use tokio::sync::{Semaphore, watch};
use tower::ServiceExt;
use tracing::{debug, warn};

/// Open connections per listener.
pub const MAX_CONNECTIONS: usize = 4096;

/// How long a connection may take to make its first request.
pub const FIRST_REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// How long the headers of a request may take.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);

const PING_INTERVAL: Duration = Duration::from_secs(10);
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// How long open requests may take to end when the server does.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);

/// How long the listener rests when the process has no file descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Why nothing can be served.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The host is none of ours.
    #[error("cannot find the address of `{host}` (`{key}`)")]
    Host {
        /// The configuration key.
        key: &'static str,
        /// Its value.
        host: String,
        /// Why.
        source: io::Error,
    },
    /// No port is free.
    #[error("cannot listen on port {ports} of {host}: {}", what_to_do(source, key, host_key))]
    Port {
        /// The configuration key.
        key: &'static str,
        /// The configuration key of the host.
        host_key: &'static str,
        /// Its value.
        ports: PortRange,
        /// Which address.
        host: IpAddr,
        /// Why the last of them could not be taken.
        #[source]
        source: io::Error,
    },
    /// The range has no port.
    #[error("`{key}` names no port")]
    NoPort {
        /// The configuration key.
        key: &'static str,
    },
}

fn what_to_do(source: &io::Error, port_key: &str, host_key: &str) -> String {
    match source.kind() {
        io::ErrorKind::AddrInUse => {
            format!("another process listens there; end it, or choose another port with `{port_key}`")
        }
        io::ErrorKind::AddrNotAvailable => format!("it is no address of this machine; `{host_key}` expects one"),
        io::ErrorKind::PermissionDenied => format!("choose a port above 1023 with `{port_key}`, or run with the right"),
        _ => format!("choose another with `{port_key}`"),
    }
}

/// Which address to listen on, and the keys to name when that fails.
#[derive(Debug, Clone)]
pub struct BindTo {
    /// The interface's address; none for all.
    pub host: Option<String>,
    /// The key of the host.
    pub host_key: &'static str,
    /// The ports to try.
    pub ports: PortRange,
    /// The key of the ports.
    pub port_key: &'static str,
}

/// Takes the first free port.
///
/// # Errors
///
/// When there is none.
pub async fn bind(env: &Env, to: &BindTo) -> Result<Listening, BindError> {
    let host = match &to.host {
        None => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        Some(host) => {
            resolve(host).await.map_err(|source| BindError::Host { key: to.host_key, host: host.clone(), source })?
        }
    };
    let mut last = None;
    for port in to.ports.ports() {
        match env.listen(&host.to_string(), port).await {
            Ok(listener) => return Ok(listener),
            Err(error) => last = Some(error),
        }
    }
    Err(match last {
        Some(source) => {
            BindError::Port { key: to.port_key, host_key: to.host_key, ports: to.ports.clone(), host, source }
        }
        None => BindError::NoPort { key: to.port_key },
    })
}

async fn resolve(host: &str) -> io::Result<IpAddr> {
    let mut addresses = tokio::net::lookup_host((host, 0)).await?;
    addresses.next().map(|address| address.ip()).ok_or_else(|| io::ErrorKind::NotFound.into())
}

/// What is served on a listener.
#[derive(Clone)]
pub struct Site {
    /// For requests of gRPC.
    pub grpc: Router,
    /// For all others; none refuses them.
    pub rest: Option<Router>,
}

/// A server in the background.
pub struct Server {
    stop: watch::Sender<bool>,
    stopped: watch::Receiver<bool>,
    task: SpawnedTask,
}

impl Server {
    /// Serves until [`Server::stop`].
    pub fn start(env: &Env, listener: Listening, site: Site) -> Self {
        let (stop, stopping) = watch::channel(false);
        let (done, stopped) = watch::channel(false);
        let task = env.spawn("http-server", {
            let env = env.clone();
            async move {
                serve(env, listener, site, stopping).await;
                done.send_replace(true);
            }
        });
        Self { stop, stopped, task }
    }

    /// Closes the listener, lets open requests end for a moment, and closes what is left.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        // An error means that the task is gone, which is what is waited for.
        drop(self.stopped.wait_for(|done| *done).await);
        self.task.abort();
    }
}

async fn serve(env: Env, listener: Listening, site: Site, mut stopping: watch::Receiver<bool>) {
    let connections = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let graceful = GracefulShutdown::new();
    let (hang_up, hung_up) = watch::channel(false);
    loop {
        let accepted = tokio::select! {
            biased;
            _ = stopping.wait_for(|stop| *stop) => break,
            accepted = accept(&listener, &connections) => accepted,
        };
        match accepted {
            Ok((stream, permit)) => {
                let watcher = graceful.watcher();
                let connection = connection(env.clone(), stream, site.clone(), watcher, hung_up.clone());
                env.spawn("http-connection", async move {
                    connection.await;
                    drop(permit);
                });
            }
            Err(error) => {
                warn!(%error, "cannot accept a connection");
                env.sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    if env.timeout(DRAIN_TIMEOUT, graceful.shutdown()).await.is_err() {
        debug!("closing connections whose requests did not end");
    }
    hang_up.send_replace(true);
}

async fn accept(
    listener: &Listening,
    connections: &Arc<Semaphore>,
) -> io::Result<(Incoming, tokio::sync::OwnedSemaphorePermit)> {
    let permit = Arc::clone(connections).acquire_owned().await.map_err(io::Error::other)?;
    Ok((Incoming(listener.accept().await?), permit))
}

async fn connection(
    env: Env,
    stream: Incoming,
    site: Site,
    watcher: hyper_util::server::graceful::Watcher,
    mut hung_up: watch::Receiver<bool>,
) {
    let mut builder = auto::Builder::new(EnvExecutor(env.clone()));
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_frame_size(FRAME_BYTES_MAX)
        .max_concurrent_streams(1024);
    let asked = Arc::new(AtomicBool::new(false));
    let service = hyper::service::service_fn({
        let asked = Arc::clone(&asked);
        move |request: Request<RequestBody>| {
            asked.store(true, Ordering::Relaxed);
            answer(site.clone(), request)
        }
    });
    let serving = builder.serve_connection(TokioIo::new(stream), service).into_owned();
    let mut serving = std::pin::pin!(watcher.watch(serving));
    let first_request = env.timeout(FIRST_REQUEST_TIMEOUT, serving.as_mut());
    let ended = tokio::select! {
        biased;
        ended = first_request => ended.ok(),
        _ = hung_up.wait_for(|hung_up| *hung_up) => return,
    };
    let ended = match ended {
        Some(ended) => ended,
        None if !asked.load(Ordering::Relaxed) => return debug!("closing a connection that asked for nothing"),
        None => tokio::select! {
            biased;
            ended = serving => ended,
            _ = hung_up.wait_for(|hung_up| *hung_up) => return,
        },
    };
    if let Err(error) = ended {
        debug!(error, "connection ended");
    }
}

async fn answer(site: Site, request: Request<RequestBody>) -> Result<http::Response<Body>, std::convert::Infallible> {
    let content_type = request.headers().get(http::header::CONTENT_TYPE);
    let is_grpc = content_type.is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"));
    let request = request.map(Body::new);
    match site.rest {
        Some(rest) if !is_grpc => rest.oneshot(request).await,
        None if !is_grpc => Ok(not_for_people()),
        _ => site.grpc.oneshot(request).await,
    }
}

/// Browsers and scripts that took the wrong port; gRPC's own answer would be an empty page with status 200.
fn not_for_people() -> http::Response<Body> {
    let text = "this port (`jobmanager.rpc.port`) is for TaskManagers and workers; REST is at `rest.port`\n";
    let mut response = http::Response::new(Body::from(text));
    *response.status_mut() = http::StatusCode::NOT_FOUND;
    response.headers_mut().insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("text/plain"));
    response
}

/// Stops several servers at once.
pub async fn stop_all(servers: impl IntoIterator<Item = Server>) {
    let stopping: Vec<_> = servers.into_iter().map(Server::stop).collect();
    futures::future::join_all(stopping).await;
}
