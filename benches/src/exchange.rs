//! The exchange between two processes beside plain TCP with the same payload.
//!
//! ```text
//!  this process ── data, pings ──► exchange-peer     credits, frames, Arrow IPC: as between two workers
//!               ◄──── pongs ──────
//!  this process ── bytes, pings ─► plain-peer        blocking writes of a ready buffer, reads into a reused one
//! ```

mod payload;
mod plain;
mod side;

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Subcommand;
use pelton_runtime_core::element::{StreamBatch, StreamElement};

use self::side::{Connection, Side};
use crate::Options;
use crate::cluster::cpu_of_process;
use crate::measure::median;
use crate::report::{Section, verdict};

const TARGET: f64 = 0.6;
const ROWS: [usize; 4] = [100, 1000, 8192, 100_000];

/// What the other process is.
#[derive(Debug, Clone, Subcommand)]
pub enum PeerRole {
    /// A worker's exchange that swallows data and returns pings
    Worker {
        /// The address of the exchange of the process that started it
        parent: String,
    },
    /// A socket that swallows what a first connection sends and echoes a second one
    Plain,
}

/// Plays the other process.
pub fn peer(role: &PeerRole) -> Result<()> {
    match role {
        PeerRole::Worker { parent } => side::consume(parent),
        PeerRole::Plain => plain::serve(),
    }
}

/// One way of sending, measured.
#[derive(Debug, Clone, Copy)]
struct Speed {
    bytes_per_s: f64,
    cpu_s_per_byte: f64,
}

pub fn run(options: &Options) -> Result<Section> {
    let time = Duration::from_millis(options.size(700, 300));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let _entered = runtime.enter();
    let side = runtime.block_on(Side::start(side::PARENT))?;
    let (mut child, address) = start_peer(&["worker", &side.address()])?;
    let connection = Connection::open(&side, &address);

    let mut table = String::new();
    for rows in ROWS {
        let records = payload::batch(rows);
        let bytes = payload::encoded(&records)?.len();
        let element = StreamElement::Batch(StreamBatch::new(records));
        let (mut exchange, mut tcp) = (Vec::new(), Vec::new());
        connection.send(&element, time / 10);
        for _ in 0..options.runs() {
            let cpu = || cpu_of_process(child.id()) + cpu_of_process(std::process::id());
            let before = cpu();
            let (batches, took) = connection.send(&element, time);
            exchange.push(speed(batches * bytes as u64, took, cpu() - before));
            tcp.push(plain::throughput(bytes, time)?);
        }
        let of = |speeds: &[Speed], figure: fn(&Speed) -> f64| median(speeds.iter().map(figure));
        let [fast, plain] = [&exchange, &tcp].map(|speeds| of(speeds, |speed| speed.bytes_per_s) / 1e9);
        let [cpu, plain_cpu] = [&exchange, &tcp].map(|speeds| of(speeds, |speed| speed.cpu_s_per_byte) * 1e9);
        table += &format!(
            "| {rows} | {bytes} | {fast:.2} GB/s | {:.1} M | {plain:.2} GB/s | **{:.2}** | {} | {cpu:.2} / {plain_cpu:.2} s |\n",
            fast * 1e9 / bytes as f64 * rows as f64 / 1e6,
            fast / plain,
            verdict(fast / plain >= TARGET),
        );
    }
    let tcp = plain::round_trips()?;
    let exchange = connection.round_trips(payload::batch(1));
    connection.close();
    child.wait()?;
    let body = format!(
        "Two processes on loopback; batches of `id: i64, time: i64, value: f64, name: text` as Arrow IPC with the \
         exchange's frames, credits and validation on one side, ready buffers of the same size in blocking writes and \
         reads on the other; medians of {} runs of {} ms that take turns. 8192 rows are what operators aim at.\n\n\
         | rows | bytes | exchange | rows/s | plain TCP | share | target 60 % | CPU per GB, exchange / TCP |\n\
         |---|---|---|---|---|---|---|---|\n{table}\n\
         | one row, there and back | p50 | p99 | p99.9 |\n|---|---|---|---|\n{}{}",
        options.runs(),
        time.as_millis(),
        latencies("exchange", &exchange),
        latencies("plain TCP", &tcp),
    );
    Ok(Section { title: "Exchange", body })
}

fn speed(bytes: u64, took: Duration, cpu: Duration) -> Speed {
    Speed { bytes_per_s: bytes as f64 / took.as_secs_f64(), cpu_s_per_byte: cpu.as_secs_f64() / bytes as f64 }
}

/// Starts the other process; answers with the address it says.
fn start_peer(role: &[&str]) -> Result<(Child, String)> {
    let mut child = Command::new(std::env::current_exe()?)
        .arg("exchange-peer")
        .args(role)
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start the other process")?;
    let mut line = String::new();
    BufReader::new(child.stdout.take().context("the output is a pipe")?).read_line(&mut line)?;
    Ok((child, line.trim().to_owned()))
}

/// Sorted times of many round trips.
fn sorted_times(mut round_trip: impl FnMut()) -> Vec<Duration> {
    const WARM_UP: usize = 1000;
    const PINGS: usize = 20_000;
    (0..WARM_UP).for_each(|_| round_trip());
    let time = |_| {
        let start = std::time::Instant::now();
        round_trip();
        start.elapsed()
    };
    let mut times: Vec<Duration> = (0..PINGS).map(time).collect();
    times.sort_unstable();
    times
}

fn latencies(name: &str, times: &[Duration]) -> String {
    let at = |part: f64| times[(times.len() as f64 * part) as usize].as_secs_f64() * 1e6;
    format!("| {name} | {:.0} µs | {:.0} µs | {:.0} µs |\n", at(0.5), at(0.99), at(0.999))
}
