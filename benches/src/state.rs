//! Read-modify-write of keyed state: the heap, and RocksDB with and without the cache above it, beside a plain map and
//! plain RocksDB.

use anyhow::{Context, Result, ensure};

use crate::Options;
use crate::measure::{median, program, run as run_process};
use crate::report::{Section, verdict};

const SIDES: [&str; 6] =
    ["hashbrown", "hashmap", "rocksdb", "rocksdb-without-cache", "raw-rocksdb", "hashmap-incremental"];

/// The part of a plain map's speed that the heap must reach.
const HEAP_TARGET: f64 = 0.5;
/// The part of the heap's speed that it must have while it notes what changes for incremental checkpoints.
const INCREMENTAL_TARGET: f64 = 0.95;
/// How many times faster than plain RocksDB state in RocksDB must be where few keys are most of the updates.
const SKEWED_TARGET: f64 = 5.0;

/// What one side came to.
struct Outcome {
    wall: f64,
    cpu: f64,
    sum: i64,
    peak_mib: f64,
}

pub fn run(options: &Options) -> Result<Section> {
    let (keys, updates, memory_mib) = options.size((10_000_000u64, 10_000_000u64, 512), (1_000_000, 1_000_000, 64));
    let mut rows = String::new();
    for distribution in ["uniform", "skewed"] {
        let mut outcomes: [Vec<Outcome>; 6] = Default::default();
        for _ in 0..options.runs() {
            for (side, outcomes) in SIDES.iter().zip(&mut outcomes) {
                outcomes.push(side_run(side, distribution, keys, updates, memory_mib)?);
            }
        }
        let expected = (keys + updates) as i64;
        ensure!(outcomes.iter().flatten().all(|outcome| outcome.sum == expected), "a side lost updates");
        let speed = |side: usize| updates as f64 / median(outcomes[side].iter().map(|outcome| outcome.wall)) / 1e6;
        for (side, name) in SIDES.iter().enumerate() {
            let target = match (*name, distribution) {
                ("hashmap", _) => verdict(speed(1) >= HEAP_TARGET * speed(0)),
                ("hashmap-incremental", _) => verdict(speed(5) >= INCREMENTAL_TARGET * speed(1)),
                ("rocksdb", "skewed") => verdict(speed(2) >= SKEWED_TARGET * speed(4)),
                _ => "",
            };
            rows += &format!(
                "| {distribution} | {name} | {:.2} | {:.2} | {:.1} | {:.0} MiB | {target} |\n",
                speed(side),
                speed(side) / speed(0),
                speed(side) / speed(4),
                median(outcomes[side].iter().map(|outcome| outcome.peak_mib)),
            );
            let cpu = median(outcomes[side].iter().map(|outcome| outcome.cpu));
            println!("{distribution} {name}: {:.2} M/s, {cpu:.1} s of CPU", speed(side));
        }
    }
    let body = format!(
        "{keys} keys that have values already, {updates} updates of one each (`value += 1`), 64-bit keys and values, in \
         batches of 8,192; every side is a process of its own, medians of {} runs. Skewed: the chance of a key is in inverse \
         proportion to its rank. RocksDB has {memory_mib} MiB; with a cache, half of it is the cache. Plain RocksDB reads and \
         writes key by key, without a log. Targets: the heap at least half as fast as hashbrown, and \
         hardly slower (95 %) while it notes what changes for incremental checkpoints; RocksDB with its cache at \
         least 5 times as fast as plain RocksDB where updates are skewed.\n\n\
         | updates | side | million/s | of hashbrown | × plain RocksDB | peak memory | target |\n|---|---|---|---|---|---|---|\n{rows}",
        options.runs(),
    );
    Ok(Section { title: "State", body })
}

fn side_run(side: &str, distribution: &str, keys: u64, updates: u64, memory_mib: u64) -> Result<Outcome> {
    let numbers = [keys, updates, memory_mib].map(|number| number.to_string());
    let arguments = [side, distribution].into_iter().map(str::to_owned).chain(numbers);
    let (_, said) = run_process(&mut program("bench-state", arguments)?)?;
    let said: serde_json::Value = serde_json::from_str(&said).context("the side's answer is no JSON")?;
    let number = |name: &str| said[name].as_f64().with_context(|| format!("the side does not say its {name}"));
    Ok(Outcome {
        wall: number("wall")?,
        cpu: number("cpu")?,
        sum: said["sum"].as_i64().context("the side does not say its sum")?,
        peak_mib: number("peak_bytes")? / f64::from(1 << 20),
    })
}
