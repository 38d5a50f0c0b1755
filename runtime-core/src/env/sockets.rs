//! Connections for control, which carry gRPC and HTTP.
//!
//! Data has connections of another shape, as any thread may send on them: [`Network`](crate::exchange::network::Network).

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;

use super::BoxFuture;

/// A connection, in both directions.
pub trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Socket for T {}

/// Connections of another world than the operating system's.
pub trait Sockets: Send + Sync + 'static {
    /// Connects to `address`, a host and a port.
    fn connect(&self, address: &str) -> BoxFuture<io::Result<Box<dyn Socket>>>;

    /// Listens on `host` and `port`, any free port for 0.
    fn listen(&self, host: &str, port: u16) -> BoxFuture<io::Result<Box<dyn SocketListener>>>;
}

/// Accepts connections until it is dropped.
pub trait SocketListener: Send + Sync {
    /// Where it listens.
    fn local_addr(&self) -> SocketAddr;

    /// The next connection.
    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<Box<dyn Socket>>>;
}

/// Listens until it is dropped.
pub enum Listening {
    /// On a port of the system.
    Tcp(TcpListener),
    /// On a port of another world.
    World(Box<dyn SocketListener>),
}

impl Listening {
    /// Where.
    ///
    /// # Errors
    ///
    /// When the system does not say.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        match self {
            Self::Tcp(listener) => listener.local_addr(),
            Self::World(listener) => Ok(listener.local_addr()),
        }
    }

    /// The next connection, which sends small messages at once.
    ///
    /// # Errors
    ///
    /// When there is none, often for now only.
    pub async fn accept(&self) -> io::Result<Box<dyn Socket>> {
        match self {
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Ok(Box::new(stream))
            }
            Self::World(listener) => std::future::poll_fn(|cx| listener.poll_accept(cx)).await,
        }
    }
}

impl fmt::Debug for Listening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Listening").field(&self.local_addr().ok()).finish()
    }
}
