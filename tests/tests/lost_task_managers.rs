//! TaskManagers whose workers have state are lost: their tasks go on elsewhere, and files have every result exactly once.

use std::path::Path;

use pelton_tests::cluster::signal;
use pelton_tests::counts::{KEYS, assert_exact_of, finishes, lines, submit_slow};
use pelton_tests::{Cluster, ClusterOptions, eventually, footprint};

/// So many that state on the heap has files of its own.
const MANY_KEYS: u64 = 6000;

/// Two TaskManagers, one of which is enough for a job.
fn options(backend: &str, folder: &Path) -> ClusterOptions {
    ClusterOptions::slots(2)
        .task_managers(2)
        .set("state.backend.type", backend)
        .set("execution.checkpointing.incremental", "true")
        .set("execution.checkpointing.interval", "100 ms")
        .set("execution.checkpointing.data-inline-threshold", "1 kb")
        .set("execution.checkpointing.dir", &folder.join("checkpoints").display().to_string())
        // Copies on a host that is lost are no use, and nothing is missing without them.
        .set("execution.state-recovery.from-local", "true")
        .set("restart-strategy.type", "fixed-delay")
        .set("restart-strategy.fixed-delay.attempts", "100")
        .set("restart-strategy.fixed-delay.delay", "0 ms")
}

fn await_progress(output: &Path) {
    let before = lines(&output.join("running")).len();
    eventually("a checkpoint publishes more results", || (lines(&output.join("running")).len() > before).then_some(()));
}

/// The TaskManager that a worker belongs to.
fn task_manager_of(cluster: &Cluster, worker: u32) -> usize {
    let ancestors = footprint::ancestors(worker);
    (0..2).find(|&index| ancestors.contains(&cluster.task_manager(index))).expect("its TaskManager")
}

#[test]
fn the_tasks_of_a_killed_task_manager_go_on_with_their_state_on_another() {
    for (backend, keys) in [("rocksdb", KEYS), ("hashmap", MANY_KEYS)] {
        let folder = tempfile::tempdir().expect("a folder");
        let mut cluster = Cluster::start(options(backend, folder.path()));
        let output = folder.path().join("out");
        let job = submit_slow(keys, &cluster, 2, &output);
        await_progress(&output);
        await_progress(&output);
        let workers = cluster.workers_of(&job);
        assert_eq!(workers.len(), 1);
        let lost = task_manager_of(&cluster, workers[0]);
        cluster.kill_task_manager(lost);
        eventually("another one has its tasks", || {
            let now = cluster.workers_of(&job);
            (!now.is_empty() && !now.contains(&workers[0])).then_some(())
        });
        finishes(&cluster, &job);
        assert_exact_of(keys, &output);
    }
}

#[test]
fn a_host_that_stands_still_is_given_up_and_does_no_harm_when_it_goes_on() {
    for (backend, keys) in [("rocksdb", KEYS), ("hashmap", MANY_KEYS)] {
        let folder = tempfile::tempdir().expect("a folder");
        let options =
            options(backend, folder.path()).set("heartbeat.interval", "200 ms").set("heartbeat.timeout", "2 s");
        let cluster = Cluster::start(options);
        let output = folder.path().join("out");
        let job = submit_slow(keys, &cluster, 2, &output);
        await_progress(&output);
        await_progress(&output);
        let workers = cluster.workers_of(&job);
        assert_eq!(workers.len(), 1);
        let still = cluster.task_manager(task_manager_of(&cluster, workers[0]));
        workers.iter().chain([&still]).for_each(|process| signal(*process, libc::SIGSTOP));
        eventually("another one has its tasks", || {
            let now = cluster.workers_of(&job);
            now.iter().any(|worker| !workers.contains(worker)).then_some(())
        });
        await_progress(&output);
        // It had gone on for all it knows.
        workers.iter().chain([&still]).for_each(|process| signal(*process, libc::SIGCONT));
        finishes(&cluster, &job);
        eventually("the workers that stood still are gone", || {
            let now = cluster.workers_of(&job);
            workers.iter().all(|worker| !now.contains(worker)).then_some(())
        });
        assert_exact_of(keys, &output);
    }
}
