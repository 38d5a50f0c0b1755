//! The exchange with the other workers of the job, as one worker sees it.

use std::sync::Arc;

use pelton_runtime_core::env::Env;
use pelton_runtime_core::exchange::ElementWriter;
use pelton_runtime_core::exchange::channel::ChannelId;
use pelton_runtime_core::exchange::client::ExchangeClient;
use pelton_runtime_core::exchange::handshake::ExchangeIdentity;
use pelton_runtime_core::exchange::input_queue::ChannelWriter;
use pelton_runtime_core::exchange::lost::{LostChannels, OnLost};
use pelton_runtime_core::exchange::server::ExchangeServer;
use pelton_runtime_core::exchange::settings::ExchangeSettings;
use pelton_runtime_core::failure::error_chain;
use pelton_runtime_core::id::{ExecutionAttemptId, WorkerId};
use pelton_runtime_core::wire::address::authority;
use tokio::sync::mpsc;

use super::setup::WorkerSetup;

/// Lost connections that wait to be handled; a job has fewer workers than that, and one loss fails the job anyway.
const LOSSES_MAX: usize = 64;

/// Every interface, when `taskmanager.bind-host` says nothing.
const ANY_HOST: &str = "0.0.0.0";

/// Sends to and receives from the other workers of a job. Dropping it closes all connections.
pub struct Peers {
    server: ExchangeServer,
    client: ExchangeClient,
    data_address: String,
    lost: Option<mpsc::Receiver<LostChannels>>,
}

impl Peers {
    /// Listens on the first free port of the worker's range, with `channel_bytes` of room per channel.
    ///
    /// # Errors
    ///
    /// When no port of the range is free.
    pub async fn start(env: &Env, setup: &WorkerSetup, channel_bytes: usize) -> std::io::Result<Self> {
        let network = env.exchange_network();
        let identity = Arc::new(ExchangeIdentity::new(setup.job_id, setup.worker_id, setup.epoch));
        let settings = ExchangeSettings { channel_capacity_bytes: channel_bytes, ..ExchangeSettings::default() };
        let (losses, lost) = mpsc::channel(LOSSES_MAX);
        let on_lost: OnLost = Arc::new(move |channels: LostChannels| {
            // When so many are waiting, the job is failing already.
            drop(losses.try_send(channels));
        });
        let host = setup.bind_host.as_deref().unwrap_or(ANY_HOST);
        let mut refused = None;
        for port in setup.data_port.ports() {
            let bound = ExchangeServer::bind(
                env.clone(),
                Arc::clone(&network),
                host,
                port,
                Arc::clone(&identity),
                settings.clone(),
                Arc::clone(&on_lost),
            );
            match bound.await {
                Ok(server) => {
                    let data_address = authority(&setup.host, server.local_addr().port());
                    let client = ExchangeClient::new(env.clone(), network, identity, settings, on_lost);
                    return Ok(Self { server, client, data_address, lost: Some(lost) });
                }
                Err(error) => refused = Some(error),
            }
        }
        let why = refused.map_or_else(|| "the range is empty".to_owned(), |error| error_chain(&error));
        let message = format!("no port of taskmanager.data.port ({}) is free: {why}", setup.data_port);
        Err(std::io::Error::new(std::io::ErrorKind::AddrInUse, message))
    }

    /// `host:port` at which other workers send data.
    pub fn data_address(&self) -> &str {
        &self.data_address
    }

    /// Where lost channels are told of. There is one receiver; later calls get one that is never told anything.
    pub fn lost(&mut self) -> mpsc::Receiver<LostChannels> {
        self.lost.take().unwrap_or_else(|| mpsc::channel(1).1)
    }

    /// What the producer of `channel` sends goes to `writer`.
    pub fn register(&self, channel: ChannelId, writer: ChannelWriter) {
        self.server.register(channel, writer);
    }

    /// The writing end of a channel to another worker.
    pub fn writer(&self, peer: WorkerId, address: &str, channel: ChannelId) -> Box<dyn ElementWriter> {
        Box::new(self.client.open(peer, address, channel))
    }

    /// The consuming attempt is over.
    pub fn retire(&self, attempt: ExecutionAttemptId) {
        self.server.retire(attempt);
    }
}
