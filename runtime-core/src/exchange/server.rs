//! The side that receives data: accepts connections of other workers and writes what they send to the input queues.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::channel::ChannelId;
use super::error::{ChannelRefusal, ExchangeError};
use super::handshake::ExchangeIdentity;
use super::incoming::{IncomingConnection, Request};
use super::input_queue::ChannelWriter;
use super::lost::OnLost;
use super::network::{Connection, Listener, Network};
use super::registry::{Opened, Registry};
use super::settings::ExchangeSettings;
use crate::env::{AbortOnDrop, Env};
use crate::id::ExecutionAttemptId;

/// Connections at once; a job has one per pair of workers.
const CONNECTIONS_MAX: usize = 4096;

/// How long accepting rests when the system is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Receives what the tasks of other workers send to the tasks of this one. Dropping it closes all connections.
pub struct ExchangeServer {
    shared: Arc<ServerShared>,
    local_addr: SocketAddr,
    _accepting: AbortOnDrop,
}

pub(super) struct ServerShared {
    pub(super) env: Env,
    pub(super) identity: Arc<ExchangeIdentity>,
    pub(super) settings: ExchangeSettings,
    pub(super) on_lost: OnLost,
    registry: Mutex<Registry<Request>>,
    connections: Mutex<Connections>,
}

#[derive(Default)]
struct Connections {
    tasks: BTreeMap<u64, AbortOnDrop>,
    accepted: u64,
    /// The server is gone.
    closed: bool,
}

impl ExchangeServer {
    /// Listens on `host` and `port`, any free port for 0. `on_lost` is told, at once, which channels cannot go on.
    ///
    /// # Errors
    ///
    /// [`ExchangeError::Bind`] when the address cannot be had.
    pub async fn bind(
        env: Env,
        network: Arc<dyn Network>,
        host: &str,
        port: u16,
        identity: Arc<ExchangeIdentity>,
        settings: ExchangeSettings,
        on_lost: OnLost,
    ) -> Result<Self, ExchangeError> {
        let listener = network
            .bind(host, port)
            .await
            .map_err(|source| ExchangeError::Bind { address: format!("{host}:{port}"), source })?;
        let local_addr = listener.local_addr();
        let shared = Arc::new(ServerShared {
            env: env.clone(),
            identity,
            settings,
            on_lost,
            registry: Mutex::default(),
            connections: Mutex::default(),
        });
        let accepting = env.spawn("exchange-server", accept(Arc::clone(&shared), listener)).abort_on_drop();
        Ok(Self { shared, local_addr, _accepting: accepting })
    }

    /// Where the server listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Number of connections.
    pub fn connections(&self) -> usize {
        self.shared.connections.lock().tasks.len()
    }

    /// A task of this worker consumes `channel`: what its producer sends goes to `writer`. The producer may have
    /// opened the channel already.
    pub fn register(&self, channel: ChannelId, writer: ChannelWriter) {
        let matched = self.shared.registry.lock().register(channel, writer);
        if let Some((request, writer)) = matched {
            request.accept(writer);
        }
    }

    /// The consuming `attempt` is over: its channels are refused from now on. Channels that are open stay so until
    /// their producers leave; what they bring is dropped with the attempt's input queue.
    pub fn retire(&self, attempt: ExecutionAttemptId) {
        let stale = self.shared.registry.lock().retire(attempt);
        stale.iter().for_each(|request| request.refuse(ChannelRefusal::Stale));
    }
}

impl Drop for ExchangeServer {
    fn drop(&mut self) {
        let tasks = {
            let mut connections = self.shared.connections.lock();
            connections.closed = true;
            std::mem::take(&mut connections.tasks)
        };
        drop(tasks);
    }
}

impl std::fmt::Debug for ExchangeServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ExchangeServer").field("local_addr", &self.local_addr).finish_non_exhaustive()
    }
}

impl ServerShared {
    /// A peer opens `id`.
    pub(super) fn open(self: &Arc<Self>, id: ChannelId, request: Request) {
        let opened = self.registry.lock().open(id, request.clone());
        match opened {
            Opened::Matched(writer) => request.accept(writer),
            Opened::Refused(refusal) => request.refuse(refusal),
            Opened::Waiting => {
                let (shared, deadline) = (Arc::clone(self), self.env.sleep(self.settings.registration_timeout));
                let expiry = self.env.spawn("exchange-open-deadline", async move {
                    deadline.await;
                    shared.give_up(&id);
                });
                request.expires(expiry.abort_on_drop());
            }
        }
    }

    /// Nobody waits for `id` any longer.
    pub(super) fn give_up(&self, id: &ChannelId) {
        let given_up = self.registry.lock().give_up(id);
        if let Some((request, refusal)) = given_up {
            request.refuse(refusal);
        }
    }

    fn start(self: &Arc<Self>, connection: Connection) {
        let mut connections = self.connections.lock();
        if connections.closed {
            return;
        }
        if connections.tasks.len() >= CONNECTIONS_MAX {
            tracing::warn!(peer = connection.peer, "exchange connection refused: {CONNECTIONS_MAX} are open");
            return;
        }
        connections.accepted += 1;
        let number = connections.accepted;
        let shared = Arc::clone(self);
        // The lock is held until the task is listed, so that it cannot end before.
        let task = self.env.spawn("exchange-connection", async move {
            IncomingConnection::run(Arc::clone(&shared), connection).await;
            let ended = shared.connections.lock().tasks.remove(&number);
            drop(ended);
        });
        connections.tasks.insert(number, task.abort_on_drop());
    }
}

async fn accept(shared: Arc<ServerShared>, listener: Box<dyn Listener>) {
    loop {
        match std::future::poll_fn(|cx| listener.poll_accept(cx)).await {
            Ok(connection) => shared.start(connection),
            Err(error) => {
                // Most often the connecting side has gone again.
                tracing::warn!("cannot accept an exchange connection: {error}");
                shared.env.sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}
