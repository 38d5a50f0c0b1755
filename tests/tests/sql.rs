//! Scripts of SQL on a cluster of processes: `client run job.sql`, at any parallelism, also when workers die.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use pelton_tests::cluster::signal;
use pelton_tests::{Cluster, ClusterOptions, eventually, within};

/// The events of the Nexmark benchmark, with so many events per second of wall-clock time; 0: as fast as they go.
fn tables(emit_rate: u32) -> String {
    include_str!("../../sql/tests/sql/nexmark/tables.sql")
        .replace("${EVENTS}", "100000")
        .replace("${RATE}", "1000")
        .replace("${BASE}", "1767311960000")
        .replace("${EMIT_RATE}", &emit_rate.to_string())
}

/// A query that writes comma-separated values into a folder instead of nowhere.
fn into_files(query: &str, folder: &Path) -> String {
    let options = format!("'connector' = 'filesystem', 'path' = 'file://{}', 'format' = 'csv'", folder.display());
    let written = query.replace("'connector' = 'blackhole'", &options);
    assert_ne!(query, written, "the query writes nowhere");
    written
}

/// A cluster whose jobs take checkpoints in `folder` every 100 ms and restart at once.
fn options(slots: u32, folder: &Path) -> ClusterOptions {
    ClusterOptions::slots(slots)
        .set("execution.checkpointing.interval", "100 ms")
        .set("execution.checkpointing.dir", &folder.join("checkpoints").display().to_string())
        .set("restart-strategy.type", "fixed-delay")
        .set("restart-strategy.fixed-delay.attempts", "100")
        .set("restart-strategy.fixed-delay.delay", "0 ms")
}

/// Submits a script, and answers with the job's id.
fn submit(cluster: &Cluster, parallelism: u32, folder: &Path, script: &str) -> String {
    let path = folder.join("job.sql");
    std::fs::write(&path, script).expect("written");
    cluster.submit(parallelism, &path, &[])
}

fn finish(cluster: &Cluster, job: &str) {
    let state = within(Duration::from_secs(120), "the job ends", || {
        let state = cluster.state(job);
        ["FINISHED", "FAILED"].contains(&state.as_str()).then_some(state)
    });
    assert_eq!(state, "FINISHED", "{}", cluster.failure(job));
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

/// The rows of an expected result, as comma-separated values.
fn expected(rows: &str) -> BTreeMap<String, usize> {
    let mut lines = BTreeMap::new();
    for row in rows.lines() {
        *lines.entry(row.replace('|', ",")).or_default() += 1;
    }
    lines
}

fn assert_same(found: &BTreeMap<String, usize>, expected: &BTreeMap<String, usize>) {
    let missing: Vec<_> = expected.iter().filter(|(line, count)| found.get(*line) != Some(count)).take(5).collect();
    let extra: Vec<_> = found.iter().filter(|(line, _)| !expected.contains_key(*line)).take(5).collect();
    assert!(missing.is_empty() && extra.is_empty(), "missing or of another number: {missing:?}; too many: {extra:?}");
}

const Q2: &str = include_str!("../../sql/tests/sql/nexmark/q2.sql");
const Q2_ROWS: &str = include_str!("sql/q2.rows");
const Q3: &str = include_str!("../../sql/tests/sql/nexmark/q3.sql");
const Q3_ROWS: &str = include_str!("sql/q3.rows");
const Q5: &str = include_str!("../../sql/tests/sql/nexmark/q5.sql");
const Q5_ROWS: &str = include_str!("sql/q5.rows");

#[test]
fn scripts_run_on_a_cluster_at_any_parallelism() {
    let folder = tempfile::tempdir().expect("a folder");
    let cluster = Cluster::start(ClusterOptions::slots(2));
    for (name, query, rows) in [("q2", Q2, Q2_ROWS), ("q3", Q3, Q3_ROWS), ("q5", Q5, Q5_ROWS)] {
        for parallelism in [1, 2] {
            let output = folder.path().join(format!("{name}-{parallelism}"));
            let script = format!("{}{}", tables(0), into_files(query, &output));
            let job = submit(&cluster, parallelism, folder.path(), &script);
            finish(&cluster, &job);
            assert_same(&lines(&output), &expected(rows));
        }
    }
}

/// A query with state gives each result once although its workers are killed.
fn survives(query: &str, rows: &str, backend: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    let options =
        options(2, folder.path()).set("state.backend.type", backend).set("pelton.state.rocksdb.cache-fraction", "0");
    let cluster = Cluster::start(options);
    let output = folder.path().join("out");
    let script = format!("{}{}", tables(25_000), into_files(query, &output));
    let job = submit(&cluster, 2, folder.path(), &script);
    for _ in 0..2 {
        let before = lines(&output).len();
        eventually("a checkpoint publishes more results", || (lines(&output).len() > before).then_some(()));
        for worker in cluster.workers_of(&job) {
            signal(worker, 9);
        }
    }
    finish(&cluster, &job);
    assert_same(&lines(&output), &expected(rows));
}

#[test]
fn killed_workers_cost_no_row_of_a_join_and_double_none() {
    survives(Q3, Q3_ROWS, "hashmap");
}

#[test]
fn killed_workers_cost_no_window_and_double_none_with_state_in_rocksdb() {
    survives(Q5, Q5_ROWS, "rocksdb");
}
