//! Sources in several workers wait for each other in event time, and bring everything in the end.

use std::time::Duration;

use pelton_tests::counts::{finishes, lines};
use pelton_tests::programs::program;
use pelton_tests::{Cluster, ClusterOptions, within};

const ROWS: u64 = 4000;

/// The drift that the job allows, and what the fast source brings while the workers hear of each other.
const AHEAD_MAX_MS: i64 = 10_000 + 90_000;

#[test]
fn a_source_that_is_ahead_waits_for_one_in_another_worker() {
    let folder = tempfile::tempdir().expect("a folder");
    let cluster = Cluster::start(ClusterOptions::slots(1).task_managers(2));
    let output = folder.path().join("out");
    let job = cluster.submit(1, &program("test-job"), &["aligned", &ROWS.to_string(), &output.display().to_string()]);
    cluster.await_running(&job);
    assert_eq!(cluster.workers_of(&job).len(), 2);
    let details = cluster.get(&format!("/jobs/{job}"));
    let vertices = details["vertices"].as_array().expect("vertices");
    // How far the tasks are that read a source.
    let watermark = |name: &str| -> Option<i64> {
        let of_name = |vertex: &&serde_json::Value| vertex["name"].as_str().is_some_and(|known| known.contains(name));
        let vertex = vertices.iter().find(of_name).expect("a vertex")["id"].as_str().expect("an id");
        cluster.get(&format!("/jobs/{job}/vertices/{vertex}/watermarks"))[0]["value"].as_str()?.parse().ok()
    };
    let (slow, fast) = within(Duration::from_secs(60), "the slow source has come far", || {
        // What is looked at later is further.
        let (fast, slow) = (watermark("fast times")?, watermark("slow times")?);
        if slow < 3000 {
            assert!(fast <= slow.max(0) + AHEAD_MAX_MS, "one is at {slow}, the other at {fast}");
        }
        (slow >= 2000).then_some((slow, fast))
    });
    println!("after two seconds one is at {slow} and the other at {fast}");
    assert!(fast > slow, "it is ahead, as far as it may");
    finishes(&cluster, &job);
    for source in ["slow", "fast"] {
        assert_eq!(lines(&output.join(source)).len() as u64, ROWS, "{source}");
    }
}
