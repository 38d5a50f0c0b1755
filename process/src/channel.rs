//! Connections to where gRPC is served, of whichever world the process lives in.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper_util::rt::TokioIo;
use pelton_runtime_core::env::Env;
use pelton_runtime_core::env::sockets::{Socket, Sockets};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tonic::transport::server::Connected;
use tonic::transport::{Channel, Endpoint, Error, Uri};

/// Connects.
///
/// # Errors
///
/// When nobody answers there.
pub async fn connect(env: &Env, endpoint: Endpoint) -> Result<Channel, Error> {
    match env.sockets() {
        None => endpoint.connect().await,
        Some(sockets) => {
            let endpoint = endpoint.executor(EnvExecutor(env.clone()));
            endpoint.connect_with_connector(connector(sockets)).await
        }
    }
}

/// Connects when there is something to say, and again when the connection was lost.
pub fn connect_lazy(env: &Env, endpoint: Endpoint) -> Channel {
    match env.sockets() {
        None => endpoint.connect_lazy(),
        Some(sockets) => endpoint.executor(EnvExecutor(env.clone())).connect_with_connector_lazy(connector(sockets)),
    }
}

fn connector(
    sockets: Arc<dyn Sockets>,
) -> impl tower::Service<
    Uri,
    Response = TokioIo<Box<dyn Socket>>,
    Error = io::Error,
    Future = impl Future<Output = io::Result<TokioIo<Box<dyn Socket>>>> + Send,
> + Send
+ 'static {
    tower::service_fn(move |uri: Uri| {
        let connection = sockets.connect(uri.authority().map_or("", |authority| authority.as_str()));
        async move { connection.await.map(TokioIo::new) }
    })
}

/// Runs what a connection has to do in the background of its world.
#[derive(Debug, Clone)]
pub struct EnvExecutor(pub Env);

impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for EnvExecutor {
    fn execute(&self, future: F) {
        self.0.spawn("http", future);
    }
}

/// A connection that was accepted. Servers want a type of their own, and to be told of the other side; they are told nothing.
pub struct Incoming(pub Box<dyn Socket>);

impl std::fmt::Debug for Incoming {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Incoming")
    }
}

impl Connected for Incoming {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl AsyncRead for Incoming {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Incoming {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
