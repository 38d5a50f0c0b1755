//! The thinnest path through all real parts: a program, the client, a JobManager, a TaskManager, a worker.

use std::collections::BTreeSet;
use std::path::Path;

use pelton_tests::programs::program;
use pelton_tests::{Cluster, ClusterOptions};

/// All lines of the finished files in a folder.
fn lines(folder: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    for entry in std::fs::read_dir(folder).expect("an output folder").flatten() {
        if !entry.file_name().to_string_lossy().starts_with('.') {
            let content = std::fs::read_to_string(entry.path()).expect("a finished file");
            lines.extend(content.lines().map(ToOwned::to_owned));
        }
    }
    lines
}

#[test]
fn a_program_runs_to_its_end_on_real_processes() {
    let cluster = Cluster::start(ClusterOptions::slots(2));
    let output = cluster.folder().join("out");
    let job = cluster.submit(2, &program("test-job"), &["numbers", "100000", &output.display().to_string()]);
    cluster.await_state(&job, &["FINISHED", "FAILED"]);
    assert_eq!(cluster.state(&job), "FINISHED", "{}", cluster.failure(&job));
    let numbers = lines(&output);
    assert_eq!(numbers.len(), 100_000);
    assert_eq!(numbers.iter().collect::<BTreeSet<_>>().len(), 100_000);
}

#[test]
fn a_job_crosses_worker_processes() {
    let cluster = Cluster::start(ClusterOptions::slots(1).task_managers(3));
    let output = cluster.folder().join("out");
    let job = cluster.submit(3, &program("test-job"), &["numbers", "100000", &output.display().to_string()]);
    cluster.await_state(&job, &["FINISHED", "FAILED"]);
    assert_eq!(cluster.state(&job), "FINISHED", "{}", cluster.failure(&job));
    assert_eq!(lines(&output).iter().collect::<BTreeSet<_>>().len(), 100_000);
}

#[test]
fn a_running_job_is_listed_and_canceled() {
    let cluster = Cluster::start(ClusterOptions::slots(2));
    let job = cluster.submit(2, &program("test-job"), &["forever"]);
    cluster.await_running(&job);
    let list = cluster.client(["list"]);
    let text = String::from_utf8_lossy(&list.stdout).into_owned();
    assert!(text.contains(&format!("{job} : Pelton Streaming Job (RUNNING)")), "{text}");
    let canceled = cluster.client(["cancel", &job]);
    assert!(canceled.status.success(), "{}", String::from_utf8_lossy(&canceled.stderr));
    cluster.await_state(&job, &["CANCELED"]);
}
