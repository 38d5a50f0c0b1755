//! Where this TaskManager is: the ports it listens on and the host under which others reach it.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs, UdpSocket};

use pelton_runtime_core::config::PortRange;
use pelton_runtime_core::env::Env;
use pelton_runtime_core::env::sockets::Listening;

/// All interfaces.
const ANY: &str = "0.0.0.0";

/// No port of those allowed can be had.
#[derive(Debug, thiserror::Error)]
#[error(
    "cannot listen on port {ports} of {host}: choose others with `taskmanager.rpc.port` (0 takes any free one), or \
     another address with `taskmanager.bind-host`"
)]
pub struct NoPort {
    host: String,
    ports: PortRange,
    source: io::Error,
}

/// Listens on the first port that is free.
pub(crate) async fn listen(env: &Env, host: Option<&str>, ports: &PortRange) -> Result<Listening, NoPort> {
    let host = host.unwrap_or(ANY);
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for port in ports.ports() {
        match env.listen(host, port).await {
            Ok(listener) => return Ok(listener),
            Err(error) => last = error,
        }
    }
    Err(NoPort { host: host.to_owned(), ports: ports.clone(), source: last })
}

/// The address of this machine that leads to `peer`; nothing is sent. Blocks on name resolution.
pub(crate) fn host_towards(peer: &str, port: u16) -> io::Result<String> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in (peer, port.max(1)).to_socket_addrs()? {
        match local_address(address) {
            Ok(local) if local.is_loopback() => return Ok("localhost".to_owned()),
            Ok(local) => return Ok(local.to_string()),
            Err(error) => last = error,
        }
    }
    Err(last)
}

fn local_address(peer: SocketAddr) -> io::Result<IpAddr> {
    let socket = UdpSocket::bind(if peer.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" })?;
    socket.connect(peer)?;
    Ok(socket.local_addr()?.ip())
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_taken_port_of_a_range_is_skipped() {
        let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let taken = taken.local_addr().unwrap().port();
        let ports = format!("{taken},0").parse().unwrap();
        let found = listen(&Env::production(), Some("127.0.0.1"), &ports).await.unwrap().local_addr().unwrap().port();
        assert_ne!(found, taken);
    }

    #[tokio::test]
    async fn a_taken_port_without_alternative_is_an_error_that_names_it() {
        let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = taken.local_addr().unwrap().port();
        let error = listen(&Env::production(), Some("127.0.0.1"), &PortRange::single(port)).await.unwrap_err();
        let message = error.to_string();
        assert!(message.starts_with(&format!("cannot listen on port {port} of 127.0.0.1: ")), "{message}");
        assert!(message.contains("`taskmanager.rpc.port`"), "{message}");
    }

    #[test]
    fn towards_itself_a_machine_is_localhost() {
        assert_eq!(host_towards("127.0.0.1", 6123).unwrap(), "localhost");
    }
}
