//! The exchange between two processes, beside plain TCP with the same payload in the same run.
//!
//! ```sh
//! cargo run --profile release -p pelton-runtime-core --example exchange_bench -- [seconds per line]
//! ```
//!
//! Prints throughput by batch size, what decoding with and without validation costs, and the latency of single rows at
//! rest. Plain TCP is a blocking write of a ready buffer to a blocking read into a reused one: the ceiling.

#![allow(clippy::disallowed_methods, reason = "a benchmark measures real time on real threads")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::buffer::Buffer;
use arrow::ipc::reader::StreamDecoder;
use arrow::ipc::writer::StreamEncoder;
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

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

const PARENT: WorkerId = WorkerId::from_bytes([1; 16]);
const CHILD: WorkerId = WorkerId::from_bytes([2; 16]);
const CAPACITY_BYTES: usize = 4 << 20;
const PINGS: usize = 20_000;
/// Edges: data to the child, pings to it, pongs back.
const DATA: u32 = 0;
const PING: u32 = 1;
const PONG: u32 = 2;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let _entered = runtime.enter();
    let first = arguments.next().unwrap_or_else(|| "2".to_owned());
    match (first.as_str(), arguments.next()) {
        ("child", Some(parent)) => runtime.block_on(Side::start(CHILD)).map(|side| consume(&side, &parent))?,
        ("plain-child", Some(parent)) => plain_child(&parent),
        (seconds, None) => {
            let time = Duration::from_secs_f64(seconds.parse().context("seconds per line")?);
            let side = runtime.block_on(Side::start(PARENT))?;
            produce(&side, time)
        }
        _ => bail!("usage: exchange_bench [seconds per line]"),
    }
}

/// One worker's exchange.
struct Side {
    server: ExchangeServer,
    client: ExchangeClient,
}

impl Side {
    async fn start(worker: WorkerId) -> Result<Self> {
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

    fn input(&self, edges: &[u32]) -> InputQueue {
        let queue = InputQueue::new(edges.len(), CAPACITY_BYTES, current_thread());
        for (index, edge) in edges.iter().enumerate() {
            self.server.register(channel(*edge), queue.writer(index));
        }
        queue
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

/// The consuming process: swallows data, says how many rows when asked by a watermark, and returns pings.
fn consume(side: &Side, parent: &str) -> Result<()> {
    let queue = side.input(&[DATA, PING]);
    println!("{}", side.server.local_addr());
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

fn batch(rows: usize) -> RecordBatch {
    let rows = i64::try_from(rows).expect("few rows");
    let columns: [(&str, ArrayRef); 4] = [
        ("id", Arc::new(Int64Array::from_iter_values(0..rows))),
        ("time", Arc::new(Int64Array::from_iter_values((0..rows).map(|row| row * 1000)))),
        ("value", Arc::new(Float64Array::from_iter_values((0..rows).map(|row| row as f64 / 3.0)))),
        ("name", Arc::new(StringArray::from_iter_values((0..rows).map(|row| format!("carrier {:06}", row % 1000))))),
    ];
    RecordBatch::try_from_iter(columns).expect("columns of one length")
}

fn produce(side: &Side, time: Duration) -> Result<()> {
    let own_address = side.server.local_addr().to_string();
    let (mut child, address) = spawn_child("child", &own_address)?;
    let pongs = side.input(&[PONG]);
    let data = side.client.open(CHILD, &address, channel(DATA));
    let ping = side.client.open(CHILD, &address, channel(PING));
    let waker = current_thread();

    println!("{:>9} {:>10} {:>9} {:>12} {:>9} {:>6}", "rows", "bytes", "GB/s", "rows/s", "TCP GB/s", "share");
    for rows in [100, 1000, 10_000, 100_000] {
        let records = batch(rows);
        let element = StreamElement::Batch(StreamBatch::new(records.clone()));
        let encoded = encoded_bytes(&records)?;
        let bytes = encoded.len();
        let send = |time: Duration| {
            let start = Instant::now();
            let mut batches = 0;
            while start.elapsed() < time {
                (0..16).for_each(|_| push(&data, &waker, element.clone()));
                batches += 16;
            }
            push(&data, &waker, StreamElement::Watermark(batches));
            while !matches!(poll(&pongs), (_, StreamElement::Watermark(answer)) if answer == batches) {}
            batches as f64 / start.elapsed().as_secs_f64()
        };
        send(time / 10);
        let plain = plain_throughput(bytes, time)?;
        let rate = send(time);
        let speed = rate * bytes as f64 / 1e9;
        println!(
            "{rows:>9} {bytes:>10} {speed:>9.2} {:>12.0} {plain:>9.2} {:>5.0}%",
            rate * rows as f64,
            100.0 * speed / plain,
        );
    }
    print_decoding(time)?;
    println!();
    println!("{:<22} {:>8} {:>8} {:>8}", "one row, there and back", "p50", "p99", "p99.9");
    print_latency("plain TCP", &plain_latency()?);
    let row = StreamElement::Batch(StreamBatch::new(batch(1)));
    let times = round_trips(|| {
        ping.push(row.clone());
        poll(&pongs);
    });
    print_latency("exchange", &times);
    ping.push(StreamElement::EndOfInput);
    while !ping.is_delivered(&waker) {
        std::thread::park();
    }
    data.push(StreamElement::EndOfInput);
    while !data.is_delivered(&waker) {
        std::thread::park();
    }
    child.wait()?;
    Ok(())
}

fn encoded_bytes(records: &RecordBatch) -> Result<Vec<u8>> {
    let mut encoder = StreamEncoder::try_new(&records.schema())?;
    encoder.encode(records)?;
    Ok(encoder.encode(records)?.iter().flat_map(|buffer| buffer.to_vec()).collect())
}

/// What Arrow's decoder costs on bytes in memory, with validation as the exchange uses it, and without.
fn print_decoding(time: Duration) -> Result<()> {
    let records = batch(10_000);
    let mut encoder = StreamEncoder::try_new(&records.schema())?;
    let first: Vec<u8> = encoder.encode(&records)?.iter().flat_map(|buffer| buffer.to_vec()).collect();
    let next: Buffer = encoded_bytes(&records)?.into();
    print!("\ndecoding 10000 rows:");
    for (name, skip) in [("validated", false), ("unchecked", true)] {
        // SAFETY: the bytes were encoded above.
        let mut decoder = unsafe { StreamDecoder::new().with_skip_validation(skip) };
        decoder.decode(&mut Buffer::from(&first[..]))?;
        let start = Instant::now();
        let mut batches = 0;
        while start.elapsed() < time / 4 {
            let mut bytes = next.clone();
            decoder.decode(&mut bytes)?.context("a whole batch")?;
            batches += 1;
        }
        let each = start.elapsed().as_secs_f64() / f64::from(batches);
        print!(" {name} {:.1} us ({:.1} GB/s)", each * 1e6, next.len() as f64 / each / 1e9);
    }
    println!();
    Ok(())
}

fn round_trips(mut round_trip: impl FnMut()) -> Vec<Duration> {
    (0..1000).for_each(|_| round_trip());
    let mut times: Vec<Duration> = (0..PINGS)
        .map(|_| {
            let start = Instant::now();
            round_trip();
            start.elapsed()
        })
        .collect();
    times.sort_unstable();
    times
}

fn print_latency(name: &str, times: &[Duration]) {
    let at = |part: f64| times[(times.len() as f64 * part) as usize].as_secs_f64() * 1e6;
    println!("{name:<22} {:>5.1} us {:>5.1} us {:>5.1} us", at(0.5), at(0.99), at(0.999));
}

fn spawn_child(role: &str, argument: &str) -> Result<(Child, String)> {
    let mut child = Command::new(std::env::current_exe()?).args([role, argument]).stdout(Stdio::piped()).spawn()?;
    let mut line = String::new();
    BufReader::new(child.stdout.take().context("piped")?).read_line(&mut line)?;
    Ok((child, line.trim().to_owned()))
}

/// A process that reads whatever comes on a first connection and echoes what comes on a second.
fn plain_child(_parent: &str) -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    println!("{}", listener.local_addr()?);
    let (mut data, _) = listener.accept()?;
    let mut buffer = vec![0; 1 << 20];
    while data.read(&mut buffer)? > 0 {}
    data.write_all(b"!")?;
    let (mut echo, _) = listener.accept()?;
    echo.set_nodelay(true)?;
    loop {
        match echo.read(&mut buffer)? {
            0 => return Ok(()),
            bytes => echo.write_all(&buffer[..bytes])?,
        }
    }
}

fn plain_throughput(bytes: usize, time: Duration) -> Result<f64> {
    let (mut child, address) = spawn_child("plain-child", "-")?;
    let address: SocketAddr = address.parse()?;
    let mut data = TcpStream::connect(address)?;
    data.set_nodelay(true)?;
    let buffer = vec![7; bytes];
    let start = Instant::now();
    let mut sent = 0;
    while start.elapsed() < time {
        for _ in 0..16 {
            data.write_all(&buffer)?;
            sent += bytes;
        }
    }
    data.shutdown(std::net::Shutdown::Write)?;
    data.read_exact(&mut [0])?;
    let speed = sent as f64 / start.elapsed().as_secs_f64() / 1e9;
    drop(TcpStream::connect(address)?);
    child.wait()?;
    Ok(speed)
}

fn plain_latency() -> Result<Vec<Duration>> {
    let (mut child, address) = spawn_child("plain-child", "-")?;
    let address: SocketAddr = address.parse()?;
    let mut data = TcpStream::connect(address)?;
    data.shutdown(std::net::Shutdown::Write)?;
    data.read_exact(&mut [0])?;
    let mut echo = TcpStream::connect(address)?;
    echo.set_nodelay(true)?;
    // What the exchange sends for one row.
    let mut row = vec![0; encoded_bytes(&batch(1))?.len() + 16];
    // The thread that measures must be woken by a reader, as a task is; here the reader is the thread itself.
    let (failed, failures) = sync_channel(1);
    let times = round_trips(|| {
        let trip = echo.write_all(&row).and_then(|()| echo.read_exact(&mut row));
        if let Err(error) = trip {
            // One error is enough.
            let _ = failed.try_send(error);
        }
    });
    if let Ok(error) = failures.try_recv() {
        return Err(error.into());
    }
    drop(echo);
    child.wait()?;
    Ok(times)
}
