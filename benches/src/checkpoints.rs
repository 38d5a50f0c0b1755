//! What checkpoints of large state in RocksDB take, and what they cost the job: throughput and latency with them, and
//! without.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use pelton_benches::histogram::{Histogram, monotonic_ns};
use pelton_benches::window::Window;
use serde_json::Value;

use crate::Options;
use crate::cluster::Cluster;
use crate::measure::median;
use crate::report::{Section, verdict};

const PAYLOAD_BYTES: u64 = 100;

/// What a key has in state: itself, a count and the payload.
const ROW_BYTES: u64 = 16 + PAYLOAD_BYTES;

const ROWS_PER_SECOND: u64 = 100_000;

const SLOTS: usize = 2;

/// Between the first update of a full state and the measuring.
const WARM_UP: Duration = Duration::from_secs(10);

/// How long the state may take to fill.
const PATIENCE: Duration = Duration::from_secs(1800);

const GLANCE: Duration = Duration::from_millis(100);

/// The part of the throughput that checkpoints may cost.
const LOSS: f64 = 0.1;

const MIB: f64 = (1u64 << 20) as f64;

/// What a run came to.
#[derive(Debug)]
struct Outcome {
    /// Updates per second.
    rate: f64,
    ages: Histogram,
    /// Cores that all processes kept busy.
    cores: f64,
    /// The checkpoints that were triggered and completed meanwhile, as REST has them.
    checkpoints: Vec<Value>,
}

impl Outcome {
    fn of_checkpoints(&self, field: &str) -> Vec<f64> {
        self.checkpoints.iter().filter_map(|checkpoint| checkpoint[field].as_f64()).collect()
    }
}

pub fn run(options: &Options) -> Result<Section> {
    let (keys, seconds, managed) = options.size((43_000_000u64, 60u64, "1g"), (4_300_000, 20, "256m"));
    let measured = Duration::from_secs(seconds);
    let mut table = String::new();
    let mut outcomes = Vec::new();
    // As fast as it goes says how much there is to lose; with less state, as every run makes its own first.
    for (rate, keys) in [(Some(ROWS_PER_SECOND), keys), (None, keys / 10)] {
        for interval in [None, Some(Duration::from_secs(1))] {
            let outcome = measure(keys, rate, interval, measured, managed)
                .with_context(|| format!("{rate:?} updates/s, checkpoints every {interval:?}"))?;
            let driven = rate.map_or("as fast as it goes".to_owned(), |rate| format!("{rate}/s"));
            let every = if interval.is_some() { "every 1 s" } else { "none" };
            let [p50, p99, p999] = [0.5, 0.99, 0.999].map(|part| outcome.ages.at_ms(part));
            println!(
                "{keys} keys, {driven}, {every}: {:.0}/s, p50 {p50:.1} p99 {p99:.1} ms, {:.2} cores",
                outcome.rate, outcome.cores
            );
            let ages = match rate {
                Some(_) => format!("{p50:.1} ms | {p99:.1} ms | {p999:.1} ms"),
                None => "| |".to_owned(),
            };
            table +=
                &format!("| {keys} | {driven} | {every} | {:.0} | {ages} | {:.2} |\n", outcome.rate, outcome.cores);
            outcomes.push(outcome);
        }
    }
    let [idle, steady, without, with] = outcomes.as_slice() else { anyhow::bail!("four runs have four outcomes") };
    let [lost, lost_of_all] = [(idle, steady), (without, with)].map(|(without, with)| 1.0 - with.rate / without.rate);
    let mut checkpoints = String::new();
    for (name, outcome) in [("100000/s", steady), ("as fast as it goes", with)] {
        let [state, uploaded, took] =
            ["state_size", "checkpointed_size", "end_to_end_duration"].map(|field| outcome.of_checkpoints(field));
        ensure!(!took.is_empty(), "no checkpoint completed while {name} were measured");
        let worst = |figures: &[f64]| figures.iter().copied().fold(0.0, f64::max);
        // Of what was updated several times between two checkpoints only the last is written.
        let changed = outcome.rate * seconds as f64 * ROW_BYTES as f64;
        checkpoints += &format!(
            "| {name} | {} | {:.0} ms | {:.0} ms | {:.0} MiB | {:.1} MiB | {:.0} MiB | {:.0} MiB | {:.1} |\n",
            took.len(),
            median(took.iter().copied()),
            worst(&took),
            worst(&state) / MIB,
            median(uploaded.iter().copied()) / MIB,
            uploaded.iter().sum::<f64>() / MIB,
            changed / MIB,
            uploaded.iter().sum::<f64>() / changed,
        );
    }
    let body = format!(
        "Two sources, one that makes every one of {keys} keys once and one that updates keys at random (the chance of a key is in inverse proportion to its rank) → `key_by` → a \
         count and {PAYLOAD_BYTES} bytes per key that no compression makes smaller, in RocksDB with {managed} of managed memory \
         (parallelism {SLOTS}) → sink; one TaskManager, incremental checkpoints into a local directory. {seconds} s are measured, \
         {} s after all keys have state. An update's age runs from its making in the source to the sink. Where it goes as fast as \
         it goes, one source makes a tenth of the keys and then updates.\n\n\
         | keys | updates | checkpoints | updates/s | p50 | p99 | p99.9 | cores |\n|---|---|---|---|---|---|---|---|\n{table}\n\
         Throughput lost to checkpoints at {ROWS_PER_SECOND} updates/s: {:.1} %, {} (target: under {:.0} %); as fast as it \
         goes: {:.1} %.\n\n\
         | updates | checkpoints completed | duration, median | worst | state | uploaded, median | uploaded in all | rows \
         written in all | uploaded / written |\n|---|---|---|---|---|---|---|---|---|\n{checkpoints}\n\
         What is uploaded beyond what was written are files that compactions wrote anew.\n",
        WARM_UP.as_secs(),
        lost * 100.0,
        verdict(lost < LOSS),
        LOSS * 100.0,
        lost_of_all * 100.0,
    );
    Ok(Section { title: "Checkpoints of large state", body })
}

fn measure(
    keys: u64,
    rate: Option<u64>,
    interval: Option<Duration>,
    measured: Duration,
    managed: &str,
) -> Result<Outcome> {
    let folder = tempfile::tempdir()?;
    let mut settings = BTreeMap::from([
        ("state.backend.type", "rocksdb".to_owned()),
        ("execution.checkpointing.incremental", "true".to_owned()),
        ("execution.checkpointing.dir", folder.path().join("checkpoints").display().to_string()),
        ("execution.checkpointing.timeout", "30 min".to_owned()),
        ("taskmanager.memory.process.size", "3g".to_owned()),
        ("taskmanager.memory.managed.size", managed.to_owned()),
        ("restart-strategy.type", "none".to_owned()),
    ]);
    if let Some(interval) = interval {
        settings.insert("execution.checkpointing.interval", format!("{} ms", interval.as_millis()));
    }
    let (cluster, _) = Cluster::start_with(1, SLOTS, settings)?;
    let (window, output) = (folder.path().join("window"), folder.path().join("ages"));
    let mut arguments = vec![
        "updates".to_owned(),
        keys.to_string(),
        PAYLOAD_BYTES.to_string(),
        window.display().to_string(),
        output.display().to_string(),
    ];
    if let Some(rate) = rate {
        arguments.extend(["--rows-per-second".to_owned(), rate.to_string()]);
    }
    let job = cluster.submit(u32::try_from(SLOTS)?, &arguments)?;
    cluster.await_running(&job)?;
    let start = Instant::now();
    while made(&cluster, &job)? < keys {
        ensure!(start.elapsed() < PATIENCE, "{keys} keys are not there within {PATIENCE:?}");
        std::thread::sleep(GLANCE);
    }
    println!("{keys} keys in {:.0} s", start.elapsed().as_secs_f64());
    std::thread::sleep(WARM_UP);

    let begins_ms = wall_clock_ms()?;
    let from_ns = monotonic_ns();
    Window { from_ns, until_ns: from_ns + i64::try_from(measured.as_nanos())? }.write(&window)?;
    let cpu = cluster.cpu();
    let mut seen = BTreeMap::new();
    let start = Instant::now();
    while start.elapsed() < measured {
        remember_checkpoints(&cluster, &job, begins_ms, &mut seen)?;
        std::thread::sleep(GLANCE);
    }
    let cores = (cluster.cpu() - cpu).as_secs_f64() / start.elapsed().as_secs_f64();
    let mut ages = Histogram::default();
    for subtask in 0..SLOTS {
        let file = format!("{}.{subtask}", output.display());
        let text = cluster.until("the sink has measured", |_| std::fs::read_to_string(&file).ok())?;
        ages.merge(&Histogram::parse(&text).with_context(|| format!("{file} is no histogram"))?);
    }
    let exceptions = cluster.get(&format!("/jobs/{job}/exceptions"))?;
    ensure!(exceptions["exceptionHistory"]["entries"].as_array().is_some_and(Vec::is_empty), "{exceptions}");
    cluster.cancel(&job)?;
    let rate = ages.count() as f64 / measured.as_secs_f64();
    Ok(Outcome { rate, ages, cores, checkpoints: seen.into_values().collect() })
}

/// How many records the source of all keys has made.
fn made(cluster: &Cluster, job: &str) -> Result<u64> {
    let details = cluster.get(&format!("/jobs/{job}"))?;
    let state = details["state"].as_str().unwrap_or_default();
    ensure!(state == "RUNNING", "the job is {state}: {}", cluster.get(&format!("/jobs/{job}/exceptions"))?);
    let vertices = details["vertices"].as_array().context("a job has vertices")?;
    let source = vertices.iter().find(|vertex| vertex["name"].as_str().is_some_and(|name| name.contains("Keys")));
    source.context("there is a source of keys")?["metrics"]["write-records"].as_u64().context("a source counts")
}

/// The history has but the newest few.
fn remember_checkpoints(cluster: &Cluster, job: &str, since_ms: u64, seen: &mut BTreeMap<u64, Value>) -> Result<()> {
    let statistics = cluster.get(&format!("/jobs/{job}/checkpoints"))?;
    for checkpoint in statistics["history"].as_array().context("there is a history")? {
        let triggered = checkpoint["trigger_timestamp"].as_u64().unwrap_or_default();
        if checkpoint["status"] == "COMPLETED" && triggered >= since_ms {
            seen.insert(checkpoint["id"].as_u64().unwrap_or_default(), checkpoint.clone());
        }
    }
    Ok(())
}

fn wall_clock_ms() -> Result<u64> {
    Ok(u64::try_from(std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_millis())?)
}
