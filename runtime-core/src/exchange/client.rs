//! The side that sends data: one connection to each worker that consumes what this worker's tasks produce.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::channel::ChannelId;
use super::error::{ChannelRefusal, ExchangeError, ProtocolError};
use super::feedback::Feedback;
use super::fields::Fields;
use super::frame::{FrameKind, HEADER_BYTES, IncomingFrame};
use super::frame_reader::FrameReader;
use super::handshake::{ExchangeIdentity, MAX_HANDSHAKE_BYTES, accept_welcome};
use super::link::Link;
use super::lost::{LostChannels, OnLost};
use super::network::Network;
use super::remote_writer::RemoteWriter;
use super::settings::ExchangeSettings;
use crate::env::{AbortOnDrop, Env};
use crate::id::WorkerId;

/// Opens channels to other workers of the job. Dropping it closes all connections.
pub struct ExchangeClient {
    env: Env,
    network: Arc<dyn Network>,
    identity: Arc<ExchangeIdentity>,
    settings: ExchangeSettings,
    on_lost: OnLost,
    peers: Mutex<BTreeMap<(WorkerId, String), Peer>>,
}

struct Peer {
    link: Arc<Link>,
    _task: AbortOnDrop,
}

impl ExchangeClient {
    /// A client for the worker that `identity` describes. `on_lost` is told, at once, which channels cannot go on.
    pub fn new(
        env: Env,
        network: Arc<dyn Network>,
        identity: Arc<ExchangeIdentity>,
        settings: ExchangeSettings,
        on_lost: OnLost,
    ) -> Self {
        Self { env, network, identity, settings, on_lost, peers: Mutex::default() }
    }

    /// Opens a channel to worker `peer`, whose exchange listens at `address`. Connects in the background when there is
    /// no connection yet, and anew when there was one and it broke.
    pub fn open(&self, peer: WorkerId, address: &str, channel: ChannelId) -> RemoteWriter {
        let mut peers = self.peers.lock();
        peers.retain(|_, peer| !peer.link.is_closed());
        loop {
            let connected = peers.entry((peer, address.to_owned())).or_insert_with(|| self.connect(peer, address));
            let link = Arc::clone(&connected.link);
            if let Some(number) = link.open(channel, self.settings.channel_capacity_bytes) {
                return RemoteWriter::new(channel, link, number, self.settings.cut_batches_above_bytes);
            }
            // It broke just now.
            peers.remove(&(peer, address.to_owned()));
        }
    }

    /// Bytes that wait for credit or for a socket, in all channels.
    pub fn queued_bytes(&self) -> usize {
        self.peers.lock().values().map(|peer| peer.link.queued_bytes()).sum()
    }

    fn connect(&self, peer: WorkerId, address: &str) -> Peer {
        let max_body_bytes = self.settings.max_frame_bytes - HEADER_BYTES;
        let link = Arc::new(Link::new(max_body_bytes));
        let connection = OutgoingConnection {
            env: self.env.clone(),
            network: Arc::clone(&self.network),
            identity: Arc::clone(&self.identity),
            settings: self.settings.clone(),
            on_lost: Arc::clone(&self.on_lost),
            link: Arc::clone(&link),
            peer,
            address: address.to_owned(),
        };
        let task = self.env.spawn("exchange-client", connection.run()).abort_on_drop();
        Peer { link, _task: task }
    }
}

impl Drop for ExchangeClient {
    fn drop(&mut self) {
        for peer in self.peers.lock().values() {
            peer.link.shut();
        }
    }
}

impl std::fmt::Debug for ExchangeClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ExchangeClient").field("identity", &self.identity).finish_non_exhaustive()
    }
}

struct OutgoingConnection {
    env: Env,
    network: Arc<dyn Network>,
    identity: Arc<ExchangeIdentity>,
    settings: ExchangeSettings,
    on_lost: OnLost,
    link: Arc<Link>,
    peer: WorkerId,
    address: String,
}

impl OutgoingConnection {
    async fn run(self) {
        let error = self.serve().await;
        let channels = self.link.shut();
        if channels.is_empty() {
            tracing::debug!(peer = %self.peer, address = self.address, "exchange connection ended: {error}");
        } else {
            self.lost(channels, error);
        }
    }

    /// Runs the connection to its end.
    async fn serve(&self) -> ExchangeError {
        let limit = self.settings.connect_timeout;
        let connection = match self.env.timeout(limit, self.network.connect(&self.address)).await {
            Ok(Ok(connection)) => connection,
            Ok(Err(error)) => return ExchangeError::Connect(error),
            Err(_) => return ExchangeError::TimedOut { stage: "connection attempt", limit },
        };
        self.link.attach(connection.send, self.identity.hello());
        let mut frames = FrameReader::new(connection.receive, MAX_HANDSHAKE_BYTES);
        let receive = async {
            match self.receive(&mut frames).await {
                Ok(()) => ExchangeError::ClosedByPeer,
                Err(error) => error,
            }
        };
        tokio::select! {
            biased;
            // A refusal says more than the broken pipe that it causes.
            error = receive => error,
            error = self.link.run() => error,
        }
    }

    async fn receive(&self, frames: &mut FrameReader) -> Result<(), ExchangeError> {
        let limit = self.settings.handshake_timeout;
        let welcome = match self.env.timeout(limit, frames.next()).await {
            Ok(frame) => frame?.ok_or(ExchangeError::ClosedByPeer)?,
            Err(_) => return Err(ExchangeError::TimedOut { stage: "handshake", limit }),
        };
        accept_welcome(&welcome, self.peer)?;
        while let Some(frame) = frames.next().await? {
            self.take(&frame)?;
        }
        Ok(())
    }

    fn take(&self, frame: &IncomingFrame) -> Result<(), ProtocolError> {
        let number = frame.header.channel;
        let mut fields = Fields::of(&frame.body, frame.header.kind.name());
        match frame.header.kind {
            FrameKind::Credit => {
                let bytes = fields.u64()?;
                fields.end()?;
                self.link.grant(number, bytes);
            }
            FrameKind::Ended => {
                fields.end()?;
                self.link.delivered(number);
            }
            FrameKind::Feedback => {
                let (requested, watermark) = (fields.u64()?, fields.u64()?.cast_signed());
                fields.end()?;
                self.link.feedback(number, Feedback { requested, watermark });
            }
            FrameKind::OpenRefused => {
                let [code] = fields.array()?;
                fields.end()?;
                let refusal = ChannelRefusal::of_code(code)?;
                if let Some(channel) = self.link.refused(number) {
                    self.lost(vec![channel], ExchangeError::ChannelRefused { channel, refusal });
                }
            }
            other => return Err(ProtocolError::Unexpected(other.name())),
        }
        Ok(())
    }

    fn lost(&self, channels: Vec<ChannelId>, error: ExchangeError) {
        let (peer, address) = (Some(self.peer), self.address.clone());
        (self.on_lost)(LostChannels { peer, address, channels, error });
    }
}
