//! Sessions, windows with triggers and interval joins have every result once: with state in RocksDB, killed, and moved between
//! backends and to other parallelisms.

use std::path::{Path, PathBuf};

use pelton_tests::cluster::signal;
use pelton_tests::counts::{finishes, run, run_from};
use pelton_tests::meetings::{ROWS, arguments, assert_exact, published};
use pelton_tests::{Cluster, ClusterOptions, eventually};

/// A cluster whose jobs take checkpoints every 100 ms and keep no key of RocksDB's in memory.
fn options(folder: &Path) -> ClusterOptions {
    ClusterOptions::slots(3)
        .set("execution.checkpointing.interval", "100 ms")
        .set("execution.checkpointing.dir", &folder.join("checkpoints").display().to_string())
        .set("execution.checkpointing.savepoint-dir", &folder.join("savepoints").display().to_string())
        .set("pelton.state.rocksdb.cache-fraction", "0")
        .set("restart-strategy.type", "fixed-delay")
        .set("restart-strategy.fixed-delay.attempts", "100")
        .set("restart-strategy.fixed-delay.delay", "0 ms")
}

fn submit(cluster: &Cluster, flags: &[&str], output: &Path) -> String {
    let said = run(cluster, &[&["-d", "-p", "2"], flags].concat(), &arguments(output)).expect("submitted");
    said.trim().rsplit(' ').next().expect("an id").to_owned()
}

fn await_more(output: &Path) {
    let before = published(output);
    eventually("more sessions are published", || (published(output) > before).then_some(()));
}

fn killed_thrice(flags: &[&str]) {
    let folder = tempfile::tempdir().expect("a folder");
    let cluster = Cluster::start(options(folder.path()));
    let output = folder.path().join("out");
    let job = submit(&cluster, &[&["-Dstate.backend.type=rocksdb"], flags].concat(), &output);
    for _ in 0..3 {
        await_more(&output);
        cluster.workers_of(&job).into_iter().for_each(|worker| signal(worker, 9));
    }
    finishes(&cluster, &job);
    assert_exact(&output);
}

#[test]
fn killed_workers_cost_no_session_no_window_and_no_pair_and_double_none() {
    killed_thrice(&[]);
}

#[test]
fn with_incremental_checkpoints_killed_workers_cost_none_either() {
    killed_thrice(&["-Dexecution.checkpointing.incremental=true"]);
}

#[test]
fn a_job_of_sessions_and_interval_joins_changes_its_state_backend_and_parallelism_at_savepoints() {
    let folder = tempfile::tempdir().expect("a folder");
    let cluster = Cluster::start(options(folder.path()));
    let output = folder.path().join("out");
    let mut job = submit(&cluster, &["-Dstate.backend.type=rocksdb"], &output);
    for (backend, parallelism) in [("hashmap", "3"), ("rocksdb", "1")] {
        await_more(&output);
        let stopped = cluster.client(["stop", &job]);
        let said = String::from_utf8_lossy(&stopped.stdout).into_owned();
        assert!(stopped.status.success(), "{said} {}", String::from_utf8_lossy(&stopped.stderr));
        assert!(
            published(&output) < usize::try_from(ROWS / 10).expect("a small number"),
            "it was stopped in the middle"
        );
        let path = said.lines().find_map(|line| line.strip_prefix("Savepoint completed. Path: file:")).expect(&said);
        let backend = format!("-Dstate.backend.type={backend}");
        job = run_from(&cluster, &PathBuf::from(path), &["-p", parallelism, &backend], &arguments(&output));
    }
    finishes(&cluster, &job);
    assert_exact(&output);
}
