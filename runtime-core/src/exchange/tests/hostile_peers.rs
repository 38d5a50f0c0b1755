use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::super::batch_encoder::BatchEncoder;
use super::super::element_codec::encode;
use super::super::error::ExchangeError;
use super::super::frame::{FrameKind, MAX_FRAME_BYTES, OutgoingFrame};
use super::*;

/// Sends `bytes` and reads until the server closes the connection.
async fn say(server: &ExchangeServer, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(server.local_addr()).await.unwrap();
    let mut answer = Vec::new();
    within(async {
        // The server may close before it has everything.
        let _ = stream.write_all(bytes).await;
        let _ = stream.shutdown().await;
        let _ = stream.read_to_end(&mut answer).await;
    })
    .await;
    answer
}

/// A valid conversation: hello, open, a batch.
fn conversation(records: StreamElement) -> Vec<u8> {
    let mut bytes = identity(SENDER).hello().to_bytes();
    bytes.extend(OutgoingFrame::short(FrameKind::Open, 0, &channel(0).encode()).to_bytes());
    let mut frames = Vec::new();
    encode(&mut BatchEncoder::default(), 0, &records, MAX_FRAME_BYTES, &mut frames).unwrap();
    bytes.extend(frames.iter().flat_map(OutgoingFrame::to_bytes));
    bytes
}

/// A good connection works beside whatever happens.
async fn check_alive(workers: &Workers) {
    let consumer = Consumer::new(1, 1000);
    workers.server.register(channel(99), consumer.queue.writer(0));
    let writer = workers.open(channel(99));
    writer.push(batch(5, 1));
    assert_eq!(numbers(&consumer.next().await.1), [5]);
    writer.push(StreamElement::EndOfInput);
    delivered(&writer).await;
    assert_eq!(workers.sender_lost.count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_no_worker_is_told_so() {
    let workers = Workers::start(ExchangeSettings::default()).await;
    for bytes in [&b"GET / HTTP/1.1\r\nHost: worker\r\n\r\n"[..], &[0; 1000], &[0xff; 16]] {
        let answer = say(&workers.server, bytes).await;
        assert!(String::from_utf8_lossy(&answer).contains("Pelton workers only"), "{answer:?}");
    }
    check_alive(&workers).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_bytes_close_their_connection_and_nothing_else() {
    let workers = Workers::start(ExchangeSettings::default()).await;
    let mut runner = TestRunner::deterministic();
    let bytes = proptest::collection::vec(any::<u8>(), 0..2000);
    for after_hello in [false, true] {
        for _ in 0..100 {
            let random = bytes.new_tree(&mut runner).unwrap().current();
            let mut said = if after_hello { identity(SENDER).hello().to_bytes() } else { Vec::new() };
            said.extend(random);
            say(&workers.server, &said).await;
        }
    }
    until(|| workers.server.connections() == 0).await;
    check_alive(&workers).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flipped_bits_and_cut_frames_close_their_connection_and_nothing_else() {
    let workers = Workers::start(ExchangeSettings::default()).await;
    let mut runner = TestRunner::deterministic();
    let change = (any::<prop::sample::Index>(), 0_u8..8, any::<bool>());
    let whole = conversation(batch(0, 20));
    for _ in 0..200 {
        let consumer = Consumer::new(1, 1 << 20);
        workers.server.register(channel(0), consumer.queue.writer(0));
        let (at, bit, cut) = change.new_tree(&mut runner).unwrap().current();
        let mut said = whole.clone();
        let at = at.index(said.len());
        if cut {
            said.truncate(at);
        } else {
            said[at] ^= 1 << bit;
        }
        say(&workers.server, &said).await;
    }
    until(|| workers.server.connections() == 0).await;
    check_alive(&workers).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_absurd_length_allocates_nothing_and_is_named() {
    let workers = Workers::start(ExchangeSettings::default()).await;
    let consumer = Consumer::new(1, 1000);
    workers.server.register(channel(0), consumer.queue.writer(0));
    let mut said = conversation(batch(0, 1));
    let mut header = [0; 16];
    header[..4].copy_from_slice(&u32::MAX.to_le_bytes());
    header[4] = FrameKind::Batch as u8;
    said.extend(header);
    say(&workers.server, &said).await;
    let lost = workers.receiver_lost.next().await;
    assert!(matches!(lost.error, ExchangeError::Protocol(_)));
    assert_eq!(lost.peer, Some(SENDER));
    assert!(lost.to_string().ends_with("frame of 4294967295 bytes, which is more than 268435440"), "{lost}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn data_beyond_the_credit_is_refused() {
    let workers = Workers::start(ExchangeSettings::default()).await;
    let consumer = Consumer::new(1, 1000);
    workers.server.register(channel(0), consumer.queue.writer(0));
    let mut said = conversation(batch(0, 1000));
    said.extend(OutgoingFrame::short(FrameKind::Idle, 0, &[]).to_bytes());
    say(&workers.server, &said).await;
    let lost = workers.receiver_lost.next().await;
    assert!(lost.to_string().ends_with("data without credit on channel 0"), "{lost}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_says_nothing_is_not_waited_for() {
    let settings = ExchangeSettings { handshake_timeout: Duration::from_millis(30), ..ExchangeSettings::default() };
    let workers = Workers::start(settings).await;
    let mut stream = TcpStream::connect(workers.server.local_addr()).await.unwrap();
    let mut answer = Vec::new();
    within(stream.read_to_end(&mut answer)).await.unwrap();
    assert!(String::from_utf8_lossy(&answer).contains("no answer to the handshake within 30ms"));
}
