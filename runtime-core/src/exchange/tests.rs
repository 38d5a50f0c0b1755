//! Two workers, real sockets.

mod credit_and_order;
mod handshake_and_failure;
mod hostile_peers;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::Int64Type;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::ElementWriter;
use super::channel::ChannelId;
use super::client::ExchangeClient;
use super::handshake::ExchangeIdentity;
use super::input_queue::InputQueue;
use super::lost::{LostChannels, OnLost};
use super::network::TcpNetwork;
use super::remote_writer::RemoteWriter;
use super::server::ExchangeServer;
use super::settings::ExchangeSettings;
use crate::element::{StreamBatch, StreamElement};
use crate::env::Env;
use crate::id::{Epoch, ExecutionAttemptId, JobId, WorkerId};
use crate::operator::TaskWaker;

const SENDER: WorkerId = WorkerId::from_bytes([1; 16]);
const RECEIVER: WorkerId = WorkerId::from_bytes([2; 16]);
const JOB: JobId = JobId::from_bytes([9; 16]);

fn identity(worker: WorkerId) -> Arc<ExchangeIdentity> {
    Arc::new(ExchangeIdentity::new(JOB, worker, Epoch(5)))
}

fn attempt(number: u8) -> ExecutionAttemptId {
    ExecutionAttemptId::from_bytes([number; 16])
}

fn channel(edge: u32) -> ChannelId {
    ChannelId { edge, producer: 0, consumer: 0, producer_attempt: attempt(1), consumer_attempt: attempt(2) }
}

/// Collects what was lost.
#[derive(Clone, Default)]
struct Losses(Arc<(Mutex<Vec<LostChannels>>, Notify)>);

impl Losses {
    fn callback(&self) -> OnLost {
        let losses = self.clone();
        Arc::new(move |lost| {
            losses.0.0.lock().push(lost);
            losses.0.1.notify_one();
        })
    }

    fn count(&self) -> usize {
        self.0.0.lock().len()
    }

    async fn next(&self) -> LostChannels {
        within(async {
            loop {
                let first = (self.count() > 0).then(|| self.0.0.lock().remove(0));
                if let Some(lost) = first {
                    return lost;
                }
                self.0.1.notified().await;
            }
        })
        .await
    }
}

/// Two workers: one that sends and one that receives.
struct Workers {
    client: ExchangeClient,
    server: ExchangeServer,
    sender_lost: Losses,
    receiver_lost: Losses,
}

fn client(settings: &ExchangeSettings, identity: Arc<ExchangeIdentity>, lost: &Losses) -> ExchangeClient {
    ExchangeClient::new(Env::production(), Arc::new(TcpNetwork), identity, settings.clone(), lost.callback())
}

async fn server(settings: &ExchangeSettings, lost: &Losses) -> ExchangeServer {
    let network = Arc::new(TcpNetwork);
    ExchangeServer::bind(
        Env::production(),
        network,
        "127.0.0.1",
        0,
        identity(RECEIVER),
        settings.clone(),
        lost.callback(),
    )
    .await
    .unwrap()
}

impl Workers {
    async fn start(settings: ExchangeSettings) -> Self {
        let (sender_lost, receiver_lost) = (Losses::default(), Losses::default());
        let client = client(&settings, identity(SENDER), &sender_lost);
        let server = server(&settings, &receiver_lost).await;
        Self { client, server, sender_lost, receiver_lost }
    }

    fn open(&self, channel: ChannelId) -> RemoteWriter {
        self.client.open(RECEIVER, &self.server.local_addr().to_string(), channel)
    }
}

/// A consuming task: an input queue that can be awaited.
struct Consumer {
    queue: InputQueue,
    woken: Arc<Notify>,
}

impl Consumer {
    fn new(channels: usize, capacity_bytes: usize) -> Self {
        let woken = Arc::new(Notify::new());
        let wakes = Arc::clone(&woken);
        let waker = TaskWaker::new(move || wakes.notify_one());
        Self { queue: InputQueue::new(channels, capacity_bytes, waker), woken }
    }

    async fn next(&self) -> (usize, StreamElement) {
        within(async {
            loop {
                if let Some(next) = self.queue.poll() {
                    return next;
                }
                self.woken.notified().await;
            }
        })
        .await
    }
}

async fn within<T>(future: impl Future<Output = T>) -> T {
    Env::production().timeout(Duration::from_secs(20), future).await.expect("in time")
}

/// Awaits `condition`, which nothing announces.
async fn until(condition: impl Fn() -> bool) {
    let env = Env::production();
    within(async {
        while !condition() {
            env.sleep(Duration::from_millis(1)).await;
        }
    })
    .await;
}

fn batch(first: i64, rows: i64) -> StreamElement {
    let column: ArrayRef = Arc::new(Int64Array::from_iter_values(first..first + rows));
    StreamElement::Batch(StreamBatch::new(RecordBatch::try_from_iter([("n", column)]).unwrap()))
}

fn numbers(element: &StreamElement) -> Vec<i64> {
    match element {
        StreamElement::Batch(batch) => batch.records().column(0).as_primitive::<Int64Type>().values().to_vec(),
        other => panic!("unexpected {other:?}"),
    }
}

/// Pushes, waiting for room as a task does.
async fn push(writer: &RemoteWriter, element: StreamElement) {
    let woken = Arc::new(Notify::new());
    let wakes = Arc::clone(&woken);
    let waker = TaskWaker::new(move || wakes.notify_one());
    within(async {
        while !writer.has_room(&waker) {
            woken.notified().await;
        }
    })
    .await;
    writer.push(element);
}

async fn delivered(writer: &RemoteWriter) {
    let woken = Arc::new(Notify::new());
    let wakes = Arc::clone(&woken);
    let waker = TaskWaker::new(move || wakes.notify_one());
    within(async {
        while !writer.is_delivered(&waker) {
            woken.notified().await;
        }
    })
    .await;
}
