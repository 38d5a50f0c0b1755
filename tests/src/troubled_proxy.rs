//! A proxy before the S3 server that gives trouble to some requests: those of one step of a checkpoint, say.
//!
//! It hands on requests and answers byte by byte, but for `Connection: close` in both, so that signatures stay valid and
//! every request has a connection of its own.

#![allow(clippy::disallowed_methods, reason = "a server beside the product has threads of its own")]

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use parking_lot::{Condvar, Mutex};

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// It is answered with `503 Service Unavailable`, and not done.
    Refused,
    /// It is not done, and not answered as long as the trouble lasts.
    Hangs,
    /// It is done, but the connection is lost before the answer.
    DoneButUnanswered,
}

/// Whether a request gets trouble: its method, and its path with the query.
pub type Chosen = fn(method: &str, path: &str) -> bool;

#[derive(Default)]
struct State {
    trouble: Option<(Trouble, Chosen)>,
    troubled: u64,
    /// Requests that were handed on and have no answer yet.
    open: u64,
    ended: bool,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

/// Listens on a port of its own until it is dropped.
pub struct TroubledProxy {
    port: u16,
    shared: Arc<Shared>,
}

impl TroubledProxy {
    /// Hands on what comes to a port of this machine.
    ///
    /// # Panics
    ///
    /// When there is no free port.
    pub fn before(server: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = listener.local_addr().expect("its address").port();
        let shared = Arc::new(Shared::default());
        let of_listener = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming() {
                if of_listener.state.lock().ended {
                    break;
                }
                let shared = Arc::clone(&of_listener);
                // Who gives up waiting closes its connection; so do those that are troubled.
                thread::spawn(move || client.and_then(|client| hand_on(client, server, &shared)));
            }
        });
        Self { port, shared }
    }

    /// Where clients find it.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Gives trouble to requests from now on, and counts from 0 to how many.
    pub fn begin(&self, trouble: Trouble, chosen: Chosen) {
        let mut state = self.shared.state.lock();
        (state.trouble, state.troubled) = (Some((trouble, chosen)), 0);
    }

    /// All is well again. What hung is closed without an answer.
    pub fn end(&self) {
        self.shared.state.lock().trouble = None;
        self.shared.changed.notify_all();
    }

    /// How many requests had trouble since [`begin`](Self::begin).
    pub fn troubled(&self) -> u64 {
        self.shared.state.lock().troubled
    }

    /// How many requests the server is busy with.
    pub fn open(&self) -> u64 {
        self.shared.state.lock().open
    }
}

impl Drop for TroubledProxy {
    fn drop(&mut self) {
        self.shared.state.lock().ended = true;
        self.end();
        // The listener looks whether it has ended when somebody comes.
        drop(TcpStream::connect((Ipv4Addr::LOCALHOST, self.port)));
    }
}

/// The one request of a connection.
fn hand_on(client: TcpStream, server: u16, shared: &Shared) -> io::Result<()> {
    let mut from_client = BufReader::new(client.try_clone()?);
    let (mut head, mut body_bytes) = (String::new(), 0);
    loop {
        let start = head.len();
        if from_client.read_line(&mut head)? == 0 {
            return Ok(());
        }
        let line = head[start..].trim_end();
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            body_bytes = value.trim().parse().map_err(io::Error::other)?;
        }
        assert!(!line.to_ascii_lowercase().starts_with("transfer-encoding:"), "a client that does not say how much");
        if line.is_empty() {
            head.insert_str(start, "Connection: close\r\n");
            break;
        }
    }
    let mut body = vec![0; body_bytes];
    from_client.read_exact(&mut body)?;

    let mut words = head.split(' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut state = shared.state.lock();
    let trouble = state.trouble.filter(|(_, chosen)| chosen(method, path)).map(|(trouble, _)| trouble);
    if trouble.is_some() {
        state.troubled += 1;
    }
    match trouble {
        Some(Trouble::Refused) => {
            drop(state);
            (&client).write_all(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        }
        Some(Trouble::Hangs) => {
            shared.changed.wait_while(&mut state, |state| state.trouble.is_some());
            Ok(())
        }
        Some(Trouble::DoneButUnanswered) | None => {
            state.open += 1;
            drop(state);
            let answer = answered(server, &head, &body);
            shared.state.lock().open -= 1;
            let answer = answer?;
            if trouble.is_none() { (&client).write_all(&closing(answer)) } else { Ok(()) }
        }
    }
}

/// What the server answers.
fn answered(server: u16, head: &str, body: &[u8]) -> io::Result<Vec<u8>> {
    let mut to_server = TcpStream::connect((Ipv4Addr::LOCALHOST, server))?;
    to_server.write_all(head.as_bytes())?;
    to_server.write_all(body)?;
    let mut answer = Vec::new();
    to_server.read_to_end(&mut answer)?;
    Ok(answer)
}

/// An answer that tells the client not to use the connection again.
fn closing(mut answer: Vec<u8>) -> Vec<u8> {
    if let Some(end) = answer.windows(2).position(|bytes| bytes == b"\r\n") {
        answer.splice(end + 2..end + 2, *b"Connection: close\r\n");
    }
    answer
}
