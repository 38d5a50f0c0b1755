//! Checkpoints of a job whose sink is far too slow complete all the same: their barriers overtake what is in flight, and
//! that is processed after a restart, once.

use std::path::Path;
use std::time::Duration;

use pelton_tests::cluster::signal;
use pelton_tests::counts::{assert_same, finishes, lines, run_from};
use pelton_tests::programs::program;
use pelton_tests::{Cluster, ClusterOptions, eventually, within};
use serde_json::Value;

/// More than the source can bring before the end of the test: one that has brought all waits for room to say so.
const ROWS: u64 = 5_000_000;

/// A hundredth of what the source brings, and less. What is in flight takes minutes at this speed.
const MICROS_PER_ROW: &str = "1000";

/// From trigger to end, of a checkpoint under backpressure.
const CHECKPOINT_MAX: Duration = Duration::from_secs(5);

struct Setup {
    folder: tempfile::TempDir,
    cluster: Cluster,
    job: String,
}

impl Setup {
    fn start(options: ClusterOptions, aligned_timeout: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let checkpoints = folder.path().join("checkpoints").display().to_string();
        let options = options
            .set("execution.checkpointing.interval", "300 ms")
            .set("execution.checkpointing.dir", &checkpoints)
            .set("execution.checkpointing.unaligned.enabled", "true")
            .set("execution.checkpointing.aligned-checkpoint-timeout", aligned_timeout)
            .set("restart-strategy.type", "fixed-delay")
            .set("restart-strategy.fixed-delay.attempts", "100")
            .set("restart-strategy.fixed-delay.delay", "0 ms");
        let cluster = Cluster::start(options);
        let (fast, output) = (folder.path().join("fast"), folder.path().join("out"));
        let arguments = ["slow-files", &ROWS.to_string(), MICROS_PER_ROW, text(&fast), text(&output)];
        let job = cluster.submit(1, &program("test-job"), &arguments);
        cluster.await_running(&job);
        Self { folder, cluster, job }
    }

    /// A checkpoint with records in flight has completed that began after this one.
    fn await_overtaking(&self, after: u64) -> Value {
        within(Duration::from_secs(40), "a checkpoint overtakes what is in flight", || {
            let statistics = self.cluster.get(&format!("/jobs/{}/checkpoints", self.job));
            // A restart gives up the one that is on its way.
            let counts = &statistics["counts"];
            assert!(counts["failed"].as_u64() <= counts["restored"].as_u64(), "{statistics}");
            let completed = statistics["latest"]["completed"].clone();
            let overtakes = completed["persisted_data"].as_u64().unwrap_or(0) > 0;
            (overtakes && completed["id"].as_u64() > Some(after)).then_some(completed)
        })
    }

    fn let_run(&self) {
        std::fs::write(self.folder.path().join("fast"), "").expect("the switch");
    }

    /// Every row once, in the files that are finished.
    fn assert_exact(&self) {
        let state = within(Duration::from_secs(120), "the job ends", || {
            let state = self.cluster.state(&self.job);
            ["FINISHED", "FAILED"].contains(&state.as_str()).then_some(state)
        });
        assert_eq!(state, "FINISHED", "{}", self.cluster.failure(&self.job));
        let mut numbers: Vec<u64> = Vec::new();
        for entry in std::fs::read_dir(self.folder.path().join("out")).expect("output").flatten() {
            assert!(!entry.file_name().to_string_lossy().starts_with('.'), "{entry:?} is left");
            let content = std::fs::read_to_string(entry.path()).expect("a file");
            numbers.extend(content.lines().map(|line| line.parse::<u64>().expect("a number")));
        }
        numbers.sort_unstable();
        let doubled = numbers.windows(2).filter(|pair| pair[0] == pair[1]).count();
        assert_eq!((numbers.len() as u64, doubled), (ROWS, 0));
        assert_eq!((numbers.first(), numbers.last()), (Some(&1), Some(&ROWS)));
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path of text")
}

fn assert_quick(completed: &Value) {
    let took = Duration::from_millis(completed["end_to_end_duration"].as_u64().expect("a duration"));
    println!("checkpoint {} took {took:?} with {} bytes in flight", completed["id"], completed["persisted_data"]);
    assert!(took < CHECKPOINT_MAX, "it took {took:?}");
}

#[test]
fn barriers_that_waited_too_long_overtake_and_killed_workers_go_on_with_what_was_in_flight() {
    // Source and sink in workers of their own: what is in flight waits on both sides of a connection.
    let setup = Setup::start(ClusterOptions::slots(1).task_managers(2), "500 ms");
    let workers = setup.cluster.workers_of(&setup.job);
    assert_eq!(workers.len(), 2);
    let completed = setup.await_overtaking(0);
    assert_quick(&completed);
    let (job, id) = (&setup.job, &completed["id"]);
    let detail = setup.cluster.get(&format!("/jobs/{job}/checkpoints/details/{id}"));
    let vertex = detail["tasks"]
        .as_object()
        .expect("vertices")
        .iter()
        .find(|(_, task)| task["persisted_data"].as_u64() > Some(0));
    let (vertex, _) = vertex.expect("a vertex with records in flight");
    let vertex = setup.cluster.get(&format!("/jobs/{job}/checkpoints/details/{id}/subtasks/{vertex}"));
    assert_eq!(vertex["subtasks"][0]["unaligned_checkpoint"], true, "{vertex}");
    workers.into_iter().for_each(|worker| signal(worker, 9));
    // Restored, it is as slow as before, and takes checkpoints as it did.
    let restored = format!("/jobs/{job}/checkpoints");
    eventually("it is restored", || {
        (setup.cluster.get(&restored)["counts"]["restored"].as_u64() > Some(0)).then_some(())
    });
    let latest = setup.cluster.get(&restored)["latest"]["restored"]["id"].as_u64().expect("an id");
    let again = setup.await_overtaking(latest);
    assert_quick(&again);
    setup.cluster.workers_of(job).into_iter().for_each(|worker| signal(worker, 9));
    setup.let_run();
    setup.assert_exact();
}

#[test]
fn barriers_overtake_at_once_inside_a_worker() {
    let setup = Setup::start(ClusterOptions::slots(2), "0 ms");
    assert_eq!(setup.cluster.workers_of(&setup.job).len(), 1);
    assert_quick(&setup.await_overtaking(0));
    setup.cluster.workers_of(&setup.job).into_iter().for_each(|worker| signal(worker, 9));
    setup.let_run();
    setup.assert_exact();
}

#[test]
fn what_was_in_flight_to_a_key_is_processed_once_at_another_parallelism() {
    const ROWS: u64 = 1_000_000;
    const KEYS: u64 = 1000;
    let folder = tempfile::tempdir().expect("a folder");
    let checkpoints = folder.path().join("checkpoints").display().to_string();
    let options = ClusterOptions::slots(12)
        .set("execution.checkpointing.interval", "300 ms")
        .set("execution.checkpointing.dir", &checkpoints)
        .set("execution.checkpointing.unaligned.enabled", "true")
        // What is seen stays, whatever comes meanwhile.
        .set("execution.checkpointing.num-retained", "10")
        .set("execution.checkpointing.externalized-checkpoint-retention", "RETAIN_ON_CANCELLATION");
    let cluster = Cluster::start(options);
    let (fast, output) = (folder.path().join("fast"), folder.path().join("out"));
    let arguments = ["slow-counts", &ROWS.to_string(), &KEYS.to_string(), MICROS_PER_ROW, text(&fast), text(&output)]
        .map(str::to_owned);
    let told: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut job = cluster.submit(2, &program("test-job"), &told);
    for parallelism in ["3", "4"] {
        let statistics = format!("/jobs/{job}/checkpoints");
        // So many that those of several channels and of many keys are among them.
        let in_flight = |completed: &Value| completed["persisted_data"].as_u64() > Some(100_000);
        let latest = within(Duration::from_secs(40), "a checkpoint overtakes what is in flight", || {
            Some(cluster.get(&statistics)["latest"]["completed"].clone()).filter(in_flight)
        });
        cluster.cancel(&job);
        cluster.await_state(&job, &["CANCELED"]);
        let path = latest["external_path"].as_str().expect("a path").trim_start_matches("file:");
        if parallelism == "4" {
            std::fs::write(&fast, "").expect("the switch");
        }
        job = run_from(&cluster, Path::new(path), &["-p", parallelism], &arguments);
    }
    finishes(&cluster, &job);
    let expected = (0..KEYS).flat_map(|key| (1..=ROWS / KEYS).map(move |count| format!("{key} {count}")));
    assert_same(&lines(&output), expected.collect());
}
