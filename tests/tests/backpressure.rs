//! What a slow sink does to the processes before it: nothing but make them wait.

#![allow(clippy::disallowed_methods, reason = "tests run on the real clock")]

use std::time::{Duration, Instant};

use pelton_tests::programs::program;
use pelton_tests::{Cluster, ClusterOptions, eventually, footprint};
use serde_json::Value;

/// How long each phase is watched.
const FAST: Duration = Duration::from_secs(3);
const SLOW: Duration = Duration::from_secs(6);

/// What a process may gain while its channels are full of what the sink does not take: both ends of a channel hold
/// 2 MiB at most, and the allocator keeps some of what it is given back.
const GROWTH_MAX: u64 = 32 << 20;

/// Of the rate before the sink was slow, what must be there again after it.
const RECOVERED: f64 = 0.5;

#[test]
fn a_slow_sink_bounds_the_memory_of_all_processes_and_a_fast_one_recovers_full_speed() {
    let cluster = Cluster::start(ClusterOptions::slots(1).task_managers(2));
    let switch = cluster.folder().join("fast");
    let set_fast = |fast: bool| match fast {
        true => std::fs::write(&switch, "").expect("the switch"),
        false => std::fs::remove_file(&switch).expect("the switch"),
    };
    set_fast(true);
    let job = cluster.submit(1, &program("test-job"), &["slow-sink", "20", &switch.display().to_string()]);
    cluster.await_running(&job);
    let workers = cluster.workers_of(&job);
    assert_eq!(workers.len(), 2, "the rows cross from process to process");
    await_flow(&cluster, &job);

    let before = watch(&cluster, &job, FAST);
    set_fast(false);
    await_backpressure(&cluster, &job);
    let slow = watch(&cluster, &job, SLOW);
    set_fast(true);
    await_flow(&cluster, &job);
    let after = watch(&cluster, &job, FAST);
    println!("before {before}\nslow   {slow}\nafter  {after}");

    assert!(slow.rows > 0, "rows keep flowing");
    assert!(slow.rows_per_second() < before.rows_per_second() / 2.0, "the sink is slow at all");
    let watched = f64::from(u32::try_from(SLOW.as_millis()).expect("a short time"));
    assert!(slow.backpressured_ms as f64 > 0.5 * watched, "the source waits for the sink, as REST shows");
    for (process, (now, then)) in slow.resident_max.iter().zip(&before.resident_max).enumerate() {
        let growth = now.saturating_sub(*then);
        assert!(growth < GROWTH_MAX, "process {process} grew by {growth} bytes while the sink was slow");
    }
    let recovered = after.rows_per_second() / before.rows_per_second();
    assert!(recovered > RECOVERED, "only {recovered:.2} of the speed before came back");
}

/// What was seen in one phase.
struct Watched {
    took: Duration,
    rows: u64,
    backpressured_ms: u64,
    /// Of all processes of the cluster, the highest of many looks.
    resident_max: Vec<u64>,
}

impl Watched {
    fn rows_per_second(&self) -> f64 {
        self.rows as f64 / self.took.as_secs_f64()
    }
}

impl std::fmt::Display for Watched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mebibytes: Vec<u64> = self.resident_max.iter().map(|bytes| bytes >> 20).collect();
        let (rate, waited) = (self.rows_per_second() / 1e6, self.backpressured_ms);
        write!(f, "{rate:.3} M rows/s, source backpressured for {waited} ms, processes at most {mebibytes:?} MiB")
    }
}

fn watch(cluster: &Cluster, job: &str, time: Duration) -> Watched {
    let processes = processes(cluster, job);
    let mut resident_max = vec![0; processes.len()];
    let start = Instant::now();
    let first = vertices(cluster, job);
    // Counters come every half second; what is between two reports does not matter over several of them.
    let last = eventually("the time is over", || {
        for (highest, &process) in resident_max.iter_mut().zip(&processes) {
            assert!(footprint::is_alive(process));
            *highest = footprint::resident_bytes(process).max(*highest);
        }
        (start.elapsed() >= time).then(|| vertices(cluster, job))
    });
    Watched {
        took: start.elapsed(),
        rows: counter(&last, 1, "read-records") - counter(&first, 1, "read-records"),
        backpressured_ms: counter(&last, 0, "accumulated-backpressured-time")
            - counter(&first, 0, "accumulated-backpressured-time"),
        resident_max,
    }
}

/// JobManager, TaskManagers, workers.
fn processes(cluster: &Cluster, job: &str) -> Vec<u32> {
    let mut processes = cluster.processes();
    let mut workers = cluster.workers_of(job);
    workers.sort_unstable();
    processes.extend(workers);
    processes
}

fn vertices(cluster: &Cluster, job: &str) -> Vec<Value> {
    let mut details = cluster.get(&format!("/jobs/{job}"));
    assert_eq!(details["state"], "RUNNING");
    match details["vertices"].take() {
        Value::Array(vertices) => vertices,
        other => panic!("no vertices but {other}"),
    }
}

/// A counter of the source (0) or the sink (1).
fn counter(vertices: &[Value], index: usize, name: &str) -> u64 {
    assert_eq!(vertices.len(), 2, "a source and a sink");
    vertices[index]["metrics"][name].as_u64().unwrap_or_else(|| panic!("{name} in {}", vertices[index]))
}

/// Waits until two reports in a row have brought many rows, so that what was before does not count.
fn await_flow(cluster: &Cluster, job: &str) {
    for _ in 0..2 {
        let read = counter(&vertices(cluster, job), 1, "read-records");
        eventually("rows arrive at full speed", || {
            (counter(&vertices(cluster, job), 1, "read-records") > read + 100_000).then_some(())
        });
    }
}

/// Waits until REST calls the source's backpressure high.
fn await_backpressure(cluster: &Cluster, job: &str) {
    let source = vertices(cluster, job)[0]["id"].as_str().expect("an id").to_owned();
    eventually("the source's backpressure is high", || {
        let answer = cluster.get(&format!("/jobs/{job}/vertices/{source}/backpressure"));
        (answer["backpressureLevel"] == "high").then_some(())
    });
}
