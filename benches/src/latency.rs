//! How old records are when they reach the sink of a keyed pipeline that spans two TaskManagers, beside Apache Flink.

use std::time::Duration;

use anyhow::{Context, Result};
use pelton_benches::histogram::Histogram;

use crate::Options;
use crate::cluster::Cluster;
use crate::peer;
use crate::report::{Section, verdict};

const KEYS: u64 = 10_000;
const RATES: [u64; 2] = [10_000, 50_000];

/// What one pipeline did at one rate.
#[derive(Debug)]
pub struct Latency {
    /// Records that were counted.
    pub count: u64,
    /// Percentiles 50, 99 and 99.9 in milliseconds.
    pub percentiles_ms: [f64; 3],
    /// Cores that all processes together kept busy.
    pub cores: f64,
}

/// How long the pipeline runs.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// Before anything is counted.
    pub warm_up: Duration,
    /// While records are counted.
    pub measured: Duration,
}

pub fn run(options: &Options) -> Result<Section> {
    let times = Times { warm_up: Duration::from_secs(3), measured: Duration::from_secs(options.size(15, 6)) };
    let mut table = String::new();
    let mut verdicts = String::new();
    for rate in RATES {
        let own = pelton(rate, times)?;
        table += &row(rate, "Pelton", &own);
        let mut peers = Vec::new();
        for (name, buffer_timeout_ms) in
            [("Flink, buffer timeout 100 ms (default)", 100), ("Flink, buffer timeout 0", 0)]
        {
            match &options.flink {
                Some(folder) => {
                    let peer = peer::latency(folder, rate, KEYS, buffer_timeout_ms, times)?;
                    table += &row(rate, name, &peer);
                    peers.push(peer);
                }
                None => table += &format!("| {rate} | {name} | not installed | | | | |\n"),
            }
        }
        if let [default, best] = peers.as_slice() {
            verdicts += &compared(rate, &own, default, best);
        }
    }
    let body = format!(
        "Source → `key_by` over {KEYS} keys → count per key in keyed state → sink; parallelism 2 on two TaskManagers of \
         one slot each, so that half of the records cross a socket. A record's age runs from its making in the source to \
         the call of the sink. Pelton's source makes what is due every millisecond; Flink's as few as 16 at a time. {} s \
         are measured after {} s (Flink: 10 s) of warm-up. CPU is that of all processes: JobManager, TaskManagers, \
         workers. Pelton has no setting here: it sends when a buffer is full or the task runs out of input.\n\n\
         | records/s | | p50 | p99 | p99.9 | CPU | records |\n|---|---|---|---|---|---|---|\n{table}{verdicts}",
        times.measured.as_secs(),
        times.warm_up.as_secs(),
    );
    Ok(Section { title: "Latency", body })
}

/// The target: no worse than Flink's best at less CPU than its default.
fn compared(rate: u64, own: &Latency, default: &Latency, best: &Latency) -> String {
    let percentile = |index: usize| {
        let (own, best) = (own.percentiles_ms[index], best.percentiles_ms[index]);
        format!("{own:.3} against {best:.3} ms, {}", verdict(own <= best))
    };
    format!(
        "\nTarget at {rate} records/s, no worse than Flink's best at less CPU than its default: p50 {}; p99 {}; p99.9 {}; \
         CPU {:.2} against {:.2} cores, {}.\n",
        percentile(0),
        percentile(1),
        percentile(2),
        own.cores,
        default.cores,
        verdict(own.cores < default.cores)
    )
}

fn row(rate: u64, name: &str, latency: &Latency) -> String {
    println!("{rate} records/s, {name}: {latency:?}");
    let [p50, p99, p999] = latency.percentiles_ms;
    format!(
        "| {rate} | {name} | {p50:.3} ms | {p99:.3} ms | {p999:.3} ms | {:.2} cores | {} |\n",
        latency.cores, latency.count
    )
}

fn pelton(rate: u64, times: Times) -> Result<Latency> {
    let (cluster, _) = Cluster::start(2, 1)?;
    let output = cluster.folder().join("latency");
    let seconds = times.warm_up + times.measured;
    let arguments = [
        "latency".to_owned(),
        rate.to_string(),
        seconds.as_secs().to_string(),
        times.warm_up.as_secs().to_string(),
        KEYS.to_string(),
        output.display().to_string(),
    ];
    let job = cluster.submit(2, &arguments)?;
    cluster.await_running(&job)?;
    std::thread::sleep(times.warm_up);
    let before = cluster.cpu();
    // A second less than there is, as a worker's time is gone with it.
    let window = times.measured - Duration::from_secs(1);
    std::thread::sleep(window);
    let used = cluster.cpu() - before;
    cluster.await_state(&job, "FINISHED")?;
    let mut all = Histogram::default();
    for subtask in 0..2 {
        let file = format!("{}.{subtask}", output.display());
        let text = std::fs::read_to_string(&file).with_context(|| format!("the sink did not write {file}"))?;
        all.merge(&Histogram::parse(&text).with_context(|| format!("{file} is no histogram"))?);
    }
    Ok(Latency {
        count: all.count(),
        percentiles_ms: [0.5, 0.99, 0.999].map(|part| all.at_ms(part)),
        cores: used.as_secs_f64() / window.as_secs_f64(),
    })
}
