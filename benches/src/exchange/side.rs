//! A worker's exchange without its tasks.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use arrow::array::RecordBatch;
use pelton_runtime_core::element::{StreamBatch, StreamElement};
use pelton_runtime_core::env::Env;
use pelton_runtime_core::exchange::ElementWriter;
use pelton_runtime_core::exchange::channel::ChannelId;
use pelton_runtime_core::exchange::client::ExchangeClient;
use pelton_runtime_core::exchange::handshake::ExchangeIdentity;
use pelton_runtime_core::exchange::input_queue::InputQueue;
use pelton_runtime_core::exchange::network::TcpNetwork;
use pelton_runtime_core::exchange::remote_writer::RemoteWriter;
use pelton_runtime_core::exchange::server::ExchangeServer;
use pelton_runtime_core::exchange::settings::ExchangeSettings;
use pelton_runtime_core::id::{Epoch, ExecutionAttemptId, JobId, WorkerId};
use pelton_runtime_core::operator::TaskWaker;

use super::sorted_times;

/// The process that sends.
pub(super) const PARENT: WorkerId = WorkerId::from_bytes([1; 16]);
/// The process that receives.
const CHILD: WorkerId = WorkerId::from_bytes([2; 16]);
const CAPACITY_BYTES: usize = 4 << 20;
/// Edges: data to the child, pings to it, pongs back.
const DATA: u32 = 0;
const PING: u32 = 1;
const PONG: u32 = 2;

/// One worker's exchange.
pub(super) struct Side {
    server: ExchangeServer,
    client: ExchangeClient,
}

impl Side {
    /// Listens on a free port.
    pub(super) async fn start(worker: WorkerId) -> Result<Self> {
        let identity = Arc::new(ExchangeIdentity::new(JobId::from_bytes([7; 16]), worker, Epoch(1)));
        let settings = ExchangeSettings { channel_capacity_bytes: CAPACITY_BYTES, ..ExchangeSettings::default() };
        // The other side's end is the end of the benchmark.
        let on_lost = Arc::new(|lost| eprintln!("{lost}"));
        let (env, network) = (Env::production(), Arc::new(TcpNetwork));
        let client =
            ExchangeClient::new(env.clone(), network.clone(), identity.clone(), settings.clone(), on_lost.clone());
        let server = ExchangeServer::bind(env, network, "127.0.0.1", 0, identity, settings, on_lost).await?;
        Ok(Self { server, client })
    }

    /// Where it listens.
    pub(super) fn address(&self) -> String {
        self.server.local_addr().to_string()
    }

    fn input(&self, edges: &[u32]) -> InputQueue {
        let queue = InputQueue::new(edges.len(), CAPACITY_BYTES, current_thread());
        for (index, edge) in edges.iter().enumerate() {
            self.server.register(channel(*edge), queue.writer(index));
        }
        queue
    }
}

/// The sender's channels.
pub(super) struct Connection {
    data: RemoteWriter,
    ping: RemoteWriter,
    pongs: InputQueue,
}

impl Connection {
    /// Opens them to the process at `address`.
    pub(super) fn open(side: &Side, address: &str) -> Self {
        Self {
            pongs: side.input(&[PONG]),
            data: side.client.open(CHILD, address, channel(DATA)),
            ping: side.client.open(CHILD, address, channel(PING)),
        }
    }

    /// Sends an element for so long; answers with how often, and how long it took until all had arrived.
    pub(super) fn send(&self, element: &StreamElement, time: Duration) -> (u64, Duration) {
        let waker = current_thread();
        let start = Instant::now();
        let mut batches = 0;
        while start.elapsed() < time {
            (0..16).for_each(|_| push(&self.data, &waker, element.clone()));
            batches += 16;
        }
        push(&self.data, &waker, StreamElement::Watermark(batches));
        while !matches!(poll(&self.pongs), (_, StreamElement::Watermark(answer)) if answer == batches) {}
        (batches.unsigned_abs(), start.elapsed())
    }

    /// Times of a batch there and back.
    pub(super) fn round_trips(&self, records: RecordBatch) -> Vec<Duration> {
        let element = StreamElement::Batch(StreamBatch::new(records));
        sorted_times(|| {
            self.ping.push(element.clone());
            poll(&self.pongs);
        })
    }

    /// Ends the channels, and so the other process.
    pub(super) fn close(self) {
        for writer in [&self.ping, &self.data] {
            writer.push(StreamElement::EndOfInput);
            while !writer.is_delivered(&current_thread()) {
                std::thread::park();
            }
        }
    }
}

/// The other process: swallows data, returns watermarks and pings.
pub(super) fn consume(parent: &str) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let _entered = runtime.enter();
    let side = runtime.block_on(Side::start(CHILD))?;
    let queue = side.input(&[DATA, PING]);
    println!("{}", side.address());
    let pong = side.client.open(PARENT, parent, channel(PONG));
    loop {
        match poll(&queue) {
            (0, StreamElement::EndOfInput) => {
                pong.push(StreamElement::EndOfInput);
                while !pong.is_delivered(&current_thread()) {
                    std::thread::park();
                }
                return Ok(());
            }
            (1, StreamElement::EndOfInput) => {}
            (0, StreamElement::Watermark(time)) => pong.push(StreamElement::Watermark(time)),
            (1, element) => pong.push(element),
            _ => {}
        }
    }
}

fn channel(edge: u32) -> ChannelId {
    let attempt = ExecutionAttemptId::from_bytes([1; 16]);
    ChannelId { edge, producer: 0, consumer: 0, producer_attempt: attempt, consumer_attempt: attempt }
}

fn current_thread() -> TaskWaker {
    let thread = std::thread::current();
    TaskWaker::new(move || thread.unpark())
}

fn poll(queue: &InputQueue) -> (usize, StreamElement) {
    loop {
        if let Some(next) = queue.poll() {
            return next;
        }
        std::thread::park();
    }
}

fn push(writer: &RemoteWriter, waker: &TaskWaker, element: StreamElement) {
    while !writer.has_room(waker) {
        std::thread::park();
    }
    writer.push(element);
}
