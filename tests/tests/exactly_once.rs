//! A job that takes checkpoints goes on from the last one, and its files have every result exactly once.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use pelton_tests::cluster::signal;
use pelton_tests::programs::program;
use pelton_tests::{Cluster, ClusterOptions, eventually, within};

const KEYS: u64 = 10;
const ROWS: u64 = 12_000;
const ROWS_PER_SECOND: &str = "4000";
const WINDOW_ROWS: u64 = 100;

/// A cluster whose jobs take checkpoints in `folder` every 100 ms and restart at once.
fn options(slots: u32, folder: &Path) -> ClusterOptions {
    ClusterOptions::slots(slots)
        .set("execution.checkpointing.interval", "100 ms")
        .set("execution.checkpointing.dir", &folder.join("checkpoints").display().to_string())
        .set("restart-strategy.type", "fixed-delay")
        .set("restart-strategy.fixed-delay.attempts", "100")
        .set("restart-strategy.fixed-delay.delay", "0 ms")
}

fn submit(cluster: &Cluster, parallelism: u32, output: &Path) -> String {
    let (count, keys, output) = (ROWS.to_string(), KEYS.to_string(), output.display().to_string());
    cluster.submit(parallelism, &program("test-job"), &["counts", &count, &keys, ROWS_PER_SECOND, &output])
}

/// How often each line is in the finished files of a folder.
fn lines(folder: &Path) -> BTreeMap<String, usize> {
    let mut lines = BTreeMap::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        for line in std::fs::read_to_string(entry.path()).unwrap_or_default().lines() {
            *lines.entry(line.to_owned()).or_default() += 1;
        }
    }
    lines
}

/// Every result once, whatever happened meanwhile.
fn assert_exact(output: &Path) {
    let running = lines(&output.join("running"));
    let expected = (0..KEYS).flat_map(|key| (1..=ROWS / KEYS).map(move |count| format!("{key} {count}")));
    assert_same(&running, expected.collect());
    let windows = lines(&output.join("windows"));
    let starts = (0..ROWS).step_by(WINDOW_ROWS as usize);
    let of_window = |start| (0..KEYS).map(move |key| format!("{key} {start} {}", WINDOW_ROWS / KEYS));
    assert_same(&windows, starts.flat_map(of_window).collect());
    for folder in ["running", "windows"] {
        let left: Vec<_> = std::fs::read_dir(output.join(folder))
            .expect("a folder")
            .flatten()
            .filter(|entry| entry.file_name().to_string_lossy().starts_with('.'))
            .collect();
        assert!(left.is_empty(), "{left:?}");
    }
}

fn assert_same(found: &BTreeMap<String, usize>, expected: Vec<String>) {
    let missing: Vec<_> = expected.iter().filter(|line| !found.contains_key(*line)).take(5).collect();
    let doubled: Vec<_> = found.iter().filter(|(_, count)| **count > 1).take(5).collect();
    let total: usize = found.values().sum();
    assert!(
        missing.is_empty() && doubled.is_empty() && total == expected.len(),
        "{total} lines instead of {}; missing {missing:?}; doubled {doubled:?}",
        expected.len()
    );
}

/// Waits for results that are more than those there are now.
fn await_progress(output: &Path) {
    let before = lines(&output.join("running")).len();
    eventually("a checkpoint publishes more results", || (lines(&output.join("running")).len() > before).then_some(()));
}

#[test]
fn a_job_that_takes_checkpoints_and_is_left_alone_writes_everything_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let cluster = Cluster::start(options(2, folder.path()));
    let output = folder.path().join("out");
    let job = submit(&cluster, 2, &output);
    let state = within(Duration::from_secs(60), "the job ends", || {
        let state = cluster.state(&job);
        ["FINISHED", "FAILED"].contains(&state.as_str()).then_some(state)
    });
    assert_eq!(state, "FINISHED", "{}", cluster.failure(&job));
    assert_exact(&output);
}

#[test]
fn killed_workers_cost_no_result_and_double_none() {
    let folder = tempfile::tempdir().expect("a folder");
    let cluster = Cluster::start(options(2, folder.path()));
    let output = folder.path().join("out");
    let job = submit(&cluster, 2, &output);
    for _ in 0..3 {
        await_progress(&output);
        for worker in cluster.workers_of(&job) {
            signal(worker, 9);
        }
    }
    let state = within(Duration::from_secs(90), "the job ends", || {
        let state = cluster.state(&job);
        ["FINISHED", "FAILED"].contains(&state.as_str()).then_some(state)
    });
    assert_eq!(state, "FINISHED", "{}", cluster.failure(&job));
    assert_exact(&output);
}

#[test]
fn with_state_in_rocksdb_killed_workers_cost_no_result_and_double_none_either() {
    let folder = tempfile::tempdir().expect("a folder");
    // No key stays in memory, so every batch is read from RocksDB and written there.
    let options =
        options(2, folder.path()).set("state.backend.type", "rocksdb").set("pelton.state.rocksdb.cache-fraction", "0");
    let cluster = Cluster::start(options);
    let output = folder.path().join("out");
    let job = submit(&cluster, 2, &output);
    for _ in 0..3 {
        await_progress(&output);
        for worker in cluster.workers_of(&job) {
            signal(worker, 9);
        }
    }
    let state = within(Duration::from_secs(90), "the job ends", || {
        let state = cluster.state(&job);
        ["FINISHED", "FAILED"].contains(&state.as_str()).then_some(state)
    });
    assert_eq!(state, "FINISHED", "{}", cluster.failure(&job));
    let config = cluster.get(&format!("/jobs/{job}/checkpoints/config"));
    assert_eq!(config["state_backend"], "EmbeddedRocksDBStateBackend");
    assert_exact(&output);
}

#[test]
fn subtasks_that_exchange_nothing_cost_no_result_either_when_one_of_them_fails() {
    const APART: u64 = 6_000;
    let folder = tempfile::tempdir().expect("a folder");
    let cluster = Cluster::start(options(2, folder.path()));
    let (marks, output) = (folder.path().join("marks"), folder.path().join("out"));
    std::fs::create_dir(&marks).expect("a folder");
    let (marks, written) = (marks.display().to_string(), output.display().to_string());
    let arguments = ["flaky-apart", &APART.to_string(), "2000", &marks, &written, "2500", "2501", "4600"];
    let job = cluster.submit(2, &program("test-job"), &arguments);
    let state = within(Duration::from_secs(60), "the job ends", || {
        let state = cluster.state(&job);
        ["FINISHED", "FAILED"].contains(&state.as_str()).then_some(state)
    });
    assert_eq!(state, "FINISHED", "{}", cluster.failure(&job));
    assert_same(&lines(&output), (0..APART).map(|row| row.to_string()).collect());
}

#[test]
fn in_the_mode_at_least_once_killed_workers_cost_no_result_either() {
    let folder = tempfile::tempdir().expect("a folder");
    let cluster = Cluster::start(options(2, folder.path()).set("execution.checkpointing.mode", "AT_LEAST_ONCE"));
    let output = folder.path().join("out");
    let job = submit(&cluster, 2, &output);
    for _ in 0..2 {
        await_progress(&output);
        cluster.workers_of(&job).into_iter().for_each(|worker| signal(worker, 9));
    }
    let state = within(Duration::from_secs(90), "the job ends", || {
        let state = cluster.state(&job);
        ["FINISHED", "FAILED"].contains(&state.as_str()).then_some(state)
    });
    assert_eq!(state, "FINISHED", "{}", cluster.failure(&job));
    assert_eq!(cluster.get(&format!("/jobs/{job}/checkpoints/config"))["mode"], "at_least_once");
    let running = lines(&output.join("running"));
    let expected = (0..KEYS).flat_map(|key| (1..=ROWS / KEYS).map(move |count| format!("{key} {count}")));
    let missing: Vec<_> = expected.filter(|line| !running.contains_key(line)).take(5).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn a_killed_workers_tasks_begin_from_copies_on_their_host_when_the_directory_has_lost_the_files() {
    let folder = tempfile::tempdir().expect("a folder");
    let options = options(2, folder.path())
        .set("execution.checkpointing.interval", "500 ms")
        .set("execution.checkpointing.data-inline-threshold", "0 b")
        .set("execution.state-recovery.from-local", "true");
    let cluster = Cluster::start(options);
    let output = folder.path().join("out");
    let job = submit(&cluster, 2, &output);
    await_progress(&output);
    let mut removed = 0;
    for checkpoint in std::fs::read_dir(folder.path().join("checkpoints").join(&job)).expect("checkpoints").flatten() {
        for file in std::fs::read_dir(checkpoint.path()).into_iter().flatten().flatten() {
            if file.path().extension().is_some_and(|extension| extension == "state") {
                std::fs::remove_file(file.path()).expect("removed");
                removed += 1;
            }
        }
    }
    assert!(removed > 0, "state is in files");
    cluster.workers_of(&job).into_iter().for_each(|worker| signal(worker, 9));
    let state = within(Duration::from_secs(90), "the job ends", || {
        let state = cluster.state(&job);
        ["FINISHED", "FAILED"].contains(&state.as_str()).then_some(state)
    });
    assert_eq!(state, "FINISHED", "{}", cluster.failure(&job));
    assert_exact(&output);
}
