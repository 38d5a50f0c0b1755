//! A job that watches a folder reads every file once, whatever is killed meanwhile.

use std::collections::BTreeMap;
use std::path::Path;

use pelton_tests::cluster::signal;
use pelton_tests::programs::program;
use pelton_tests::{Cluster, ClusterOptions, eventually};

const LINES: usize = 20_000;

/// How often each line is in the finished files of a folder.
fn lines(folder: &Path) -> BTreeMap<String, usize> {
    let mut lines = BTreeMap::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if !entry.file_name().to_string_lossy().starts_with('.') {
            for line in std::fs::read_to_string(entry.path()).unwrap_or_default().lines() {
                *lines.entry(line.to_owned()).or_default() += 1;
            }
        }
    }
    lines
}

#[test]
fn files_that_appear_are_read_once_over_kills_of_workers() {
    let folder = tempfile::tempdir().expect("a folder");
    let (input, output) = (folder.path().join("in"), folder.path().join("out"));
    std::fs::create_dir(&input).expect("a folder");
    let options = ClusterOptions::slots(1)
        // Two TaskManagers, so that readers ask their enumerator over the network.
        .task_managers(2)
        .set("execution.checkpointing.interval", "100 ms")
        .set("execution.checkpointing.dir", &folder.path().join("checkpoints").display().to_string())
        .set("restart-strategy.type", "fixed-delay")
        .set("restart-strategy.fixed-delay.attempts", "100")
        .set("restart-strategy.fixed-delay.delay", "0 ms");
    let cluster = Cluster::start(options);
    let arguments = ["watch", &input.display().to_string(), &output.display().to_string()];
    let job = cluster.submit(2, &program("test-job"), &arguments);
    for round in 0..3 {
        let text: String = (0..LINES).map(|line| format!("{}\n", round * LINES + line)).collect();
        std::fs::write(input.join(".hidden"), text).expect("written");
        std::fs::rename(input.join(".hidden"), input.join(format!("file-{round}"))).expect("renamed");
        if round > 0 {
            for worker in cluster.workers_of(&job) {
                signal(worker, 9);
            }
        }
        let expected = (round + 1) * LINES;
        eventually("every line of the file is there", || (lines(&output).len() >= expected).then_some(()));
    }
    let found = lines(&output);
    assert_eq!(found.len(), 3 * LINES);
    let doubled: Vec<_> = found.iter().filter(|(_, times)| **times != 1).take(5).collect();
    assert!(doubled.is_empty(), "{doubled:?}");
    let vertices = cluster.get(&format!("/jobs/{job}"))["vertices"].clone();
    let names: Vec<_> = vertices.as_array().expect("vertices").iter().map(|vertex| vertex["name"].clone()).collect();
    assert_eq!(names, ["Source: Lines (enumerator)", "Source: Lines", "Sink: Writer"]);
    cluster.cancel(&job);
    cluster.await_state(&job, &["CANCELED"]);
}
