//! The port to the network, and its production implementation over TCP.
//!
//! A connection has two halves. The receiving half is awaited by the one task that owns it; the sending half can be
//! tried from any thread without blocking, so that at rest the task which made a batch hands it to the kernel itself.

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use tokio::io::AsyncRead;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::net::{TcpListener, TcpStream};

use crate::env::BoxFuture;

/// What the exchange needs of the network; implemented by TCP and by the simulator.
pub trait Network: Send + Sync + 'static {
    /// Connects to `address`, a host and a port.
    fn connect(&self, address: &str) -> BoxFuture<io::Result<Connection>>;

    /// Listens on `host` and `port`, any free port for 0.
    fn bind(&self, host: &str, port: u16) -> BoxFuture<io::Result<Box<dyn Listener>>>;
}

/// Accepts connections until it is dropped.
pub trait Listener: Send + Sync {
    /// Where it listens.
    fn local_addr(&self) -> SocketAddr;

    /// The next connection.
    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<Connection>>;
}

/// One connection.
pub struct Connection {
    /// The other side's address, for people.
    pub peer: String,
    /// What the peer sends.
    pub receive: Box<dyn AsyncRead + Send + Unpin>,
    /// What the peer gets.
    pub send: Arc<dyn SendHalf>,
}

/// The sending half of a connection.
pub trait SendHalf: Send + Sync {
    /// Sends a prefix of the slices' bytes, or fails with `WouldBlock`. Called by one thread at a time, any thread.
    fn try_send(&self, slices: &[IoSlice<'_>]) -> io::Result<usize>;

    /// Ready when sending is worth another try. Awaited by one task.
    fn poll_sendable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Ends the connection in both directions, now.
    fn close(&self);
}

/// How long a silent connection stays before the system asks whether the peer's host is still there. Only for hosts
/// that vanish: a process that ends closes its connections.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(10);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);
const KEEPALIVE_PROBES: u32 = 3;
/// How long sent bytes may stay unacknowledged.
#[cfg(target_os = "linux")]
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(30);

/// TCP over the system's sockets.
#[derive(Debug, Clone, Copy, Default)]
pub struct TcpNetwork;

impl Network for TcpNetwork {
    fn connect(&self, address: &str) -> BoxFuture<io::Result<Connection>> {
        let address = address.to_owned();
        Box::pin(async move { connection(TcpStream::connect(&address).await?, address) })
    }

    fn bind(&self, host: &str, port: u16) -> BoxFuture<io::Result<Box<dyn Listener>>> {
        let host = host.to_owned();
        Box::pin(async move {
            let listener = TcpListener::bind((host.as_str(), port)).await?;
            let local_addr = listener.local_addr()?;
            Ok(Box::new(TcpPort { listener, local_addr }) as Box<dyn Listener>)
        })
    }
}

struct TcpPort {
    listener: TcpListener,
    local_addr: SocketAddr,
}

impl Listener for TcpPort {
    fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<Connection>> {
        self.listener
            .poll_accept(cx)
            .map(|accepted| accepted.and_then(|(stream, peer)| connection(stream, peer.to_string())))
    }
}

fn connection(stream: TcpStream, peer: String) -> io::Result<Connection> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(&stream);
    let keepalive =
        TcpKeepalive::new().with_time(KEEPALIVE_IDLE).with_interval(KEEPALIVE_INTERVAL).with_retries(KEEPALIVE_PROBES);
    socket.set_tcp_keepalive(&keepalive)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED_MAX))?;
    // The buffers' sizes are left to the system, which grows them with the connection's speed.
    let (receive, send) = stream.into_split();
    Ok(Connection { peer, receive: Box::new(receive), send: Arc::new(send) })
}

impl SendHalf for OwnedWriteHalf {
    fn try_send(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.try_write_vectored(slices)
    }

    fn poll_sendable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.as_ref().poll_write_ready(cx)
    }

    fn close(&self) {
        // Fails only when the connection is closed already.
        let _ = SockRef::from(self.as_ref()).shutdown(std::net::Shutdown::Both);
    }
}
