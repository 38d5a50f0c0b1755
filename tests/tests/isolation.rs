//! A job that misbehaves harms no other job, and says what it died of.

use std::path::{Path, PathBuf};
use std::time::Duration;

use parking_lot::{Mutex, MutexGuard};
use pelton_tests::cluster::signal;
use pelton_tests::deadline::wall_clock;
use pelton_tests::output::parts;
use pelton_tests::programs::program;
use pelton_tests::{Cluster, ClusterOptions, eventually, footprint, within};

/// How long a crash may take to become the job's state.
const NOTICED_WITHIN_MS: i64 = 1000;

/// Clusters that run side by side on a small machine measure each other.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ONE_AT_A_TIME.lock()
}

/// A well-behaved job on the cluster of a misbehaving one.
struct Neighbour<'a> {
    cluster: &'a Cluster,
    job: String,
    workers: Vec<u32>,
    output: PathBuf,
}

impl<'a> Neighbour<'a> {
    fn start(cluster: &'a Cluster) -> Self {
        let output = cluster.folder().join("steady");
        let job = cluster.submit(2, &program("test-job"), &["steady", "1000", &output.display().to_string()]);
        cluster.await_running(&job);
        let workers = cluster.workers_of(&job);
        assert_eq!(workers.len(), 1, "one worker process per job and TaskManager");
        let neighbour = Self { cluster, job, workers, output };
        neighbour.writes_on();
        neighbour
    }

    /// Both subtasks write the next number, and none is missing before it.
    fn writes_on(&self) {
        let before = self.numbers();
        eventually("both subtasks of the neighbour write", || {
            let now = self.numbers();
            (now.len() == 2 && now.iter().zip(before.iter().chain([&0, &0])).all(|(now, before)| now > before))
                .then_some(())
        });
    }

    /// How many numbers each subtask has written; in order, without a gap and without repetition.
    fn numbers(&self) -> Vec<usize> {
        let parts = parts(&self.output);
        for (name, lines) in &parts {
            let numbers: Vec<u64> = lines.iter().map(|line| line.parse().expect("a number")).collect();
            assert!(numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]), "{name} has a gap or a repetition");
        }
        parts.values().map(Vec::len).collect()
    }

    /// Nothing happened to it.
    fn is_untouched(&self) {
        assert_eq!(self.cluster.state(&self.job), "RUNNING");
        assert_eq!(self.cluster.workers_of(&self.job), self.workers, "another worker process");
        assert!(self.cluster.exception(&self.job).is_null(), "{}", self.cluster.failure(&self.job));
        let details = self.cluster.get(&format!("/jobs/{}", self.job));
        for vertex in details["vertices"].as_array().expect("vertices") {
            let id = vertex["id"].as_str().expect("an id");
            let vertex = self.cluster.get(&format!("/jobs/{}/vertices/{id}", self.job));
            for subtask in vertex["subtasks"].as_array().expect("subtasks") {
                assert_eq!(subtask["attempt"], 0);
                assert_eq!(subtask["status"], "RUNNING");
            }
        }
        self.writes_on();
    }
}

/// What the crash of a job must say.
struct Crash {
    job: &'static str,
    /// What the cause must contain, beside the host.
    names: &'static [&'static str],
    /// Whether it takes the worker process with it, other than one whose code reports a failure in order.
    kills_its_worker: bool,
}

const CRASHES: [Crash; 7] = [
    Crash { job: "abort", names: &["SIGABRT", "Misbehave", "/2)"], kills_its_worker: true },
    Crash { job: "segfault", names: &["SIGSEGV", "Misbehave", "/2)"], kills_its_worker: true },
    Crash {
        job: "overflow",
        names: &["SIGABRT", "Misbehave", "/2)", "last lines of standard error", "has overflowed its stack"],
        kills_its_worker: true,
    },
    Crash {
        job: "exit",
        names: &["exited with code 3", "Misbehave", "/2)", "last lines of standard error", "leaving now"],
        kills_its_worker: true,
    },
    Crash {
        job: "leak",
        names: &["SIGKILL", "Misbehave", "/2)", "its budget is", "taskmanager.memory.process.size"],
        kills_its_worker: true,
    },
    Crash {
        job: "panic",
        names: &["panicked", "test_job.rs", "the moon is in the wrong phase", "Misbehave", "/2)"],
        kills_its_worker: false,
    },
    Crash { job: "error", names: &["the moon is in the wrong phase", "Misbehave", "/2)"], kills_its_worker: false },
];

#[test]
fn a_crash_stays_in_its_job_and_is_explained_within_a_second() {
    let _alone = alone();
    let cluster = Cluster::start(ClusterOptions::slots(4).set("taskmanager.memory.process.size", "1g"));
    let neighbour = Neighbour::start(&cluster);
    for crash in &CRASHES {
        let took = fail(&cluster, crash);
        neighbour.is_untouched();
        println!("{:>8}: FAILED {took} ms after the crash", crash.job);
    }
    cluster.cancel(&neighbour.job);
    cluster.await_state(&neighbour.job, &["CANCELED"]);
}

/// Lets the job crash, checks what it says, and answers with how long that took.
fn fail(cluster: &Cluster, crash: &Crash) -> i64 {
    let job = cluster.submit(2, &program("test-job"), &[crash.job, "300"]);
    let worker = eventually("its worker runs", || cluster.workers_of(&job).first().copied());
    let died = crash
        .kills_its_worker
        .then(|| eventually("its worker dies", || (!footprint::is_alive(worker)).then(wall_clock)));
    cluster.await_state(&job, &["FAILED"]);
    let cause = cluster.failure(&job);
    for name in crash.names.iter().chain(&["127.0.0.1"]) {
        assert!(cause.contains(name), "the cause of {} does not name `{name}`:\n{cause}", crash.job);
    }
    let root = cluster.exception(&job)["timestamp"].as_i64().expect("a time");
    // The test may see the death later than the supervisor does.
    let took = (cluster.entered(&job, "FAILED") - died.unwrap_or(root)).max(0);
    assert!(took < NOTICED_WITHIN_MS, "{}: {took} ms\n{cause}", crash.job);
    eventually("nothing of it is left", || cluster.workers_of(&job).is_empty().then_some(()));
    took
}

#[test]
fn a_job_that_spins_is_killed_when_its_cancellation_times_out() {
    let _alone = alone();
    let cluster = Cluster::start(ClusterOptions::slots(4).set("task.cancellation.timeout", "1 s"));
    let neighbour = Neighbour::start(&cluster);
    let job = cluster.submit(2, &program("test-job"), &["spin", "100"]);
    cluster.await_running(&job);
    await_full_core(&cluster, &job);
    let output = cluster.client(["cancel", &job]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    cluster.await_state(&job, &["CANCELED"]);
    let took = cluster.entered(&job, "CANCELED") - cluster.entered(&job, "CANCELLING");
    assert!((1000..2000).contains(&took), "{took} ms");
    assert!(cluster.workers_of(&job).is_empty());
    neighbour.is_untouched();
    println!("    spin: CANCELED {took} ms after the request, with a timeout of 1000 ms");
}

/// Waits until the job's worker burns a core: half a second of processor time more than it had.
fn await_full_core(cluster: &Cluster, job: &str) {
    let worker = cluster.workers_of(job)[0];
    let before = footprint::processor_time(worker);
    eventually("the job spins", || {
        (footprint::processor_time(worker) > before + Duration::from_millis(500)).then_some(())
    });
}

#[test]
fn a_killed_worker_fails_its_job_and_no_other() {
    let _alone = alone();
    let cluster = Cluster::start(ClusterOptions::slots(4));
    let neighbour = Neighbour::start(&cluster);
    let job = cluster.submit(2, &program("test-job"), &["forever"]);
    cluster.await_running(&job);
    let killed = wall_clock();
    signal(cluster.workers_of(&job)[0], libc::SIGKILL);
    cluster.await_state(&job, &["FAILED"]);
    let took = cluster.entered(&job, "FAILED") - killed;
    assert!(took < NOTICED_WITHIN_MS, "{took} ms");
    let cause = cluster.failure(&job);
    for name in ["worker process", "SIGKILL", "127.0.0.1"] {
        assert!(cause.contains(name), "{cause}");
    }
    neighbour.is_untouched();
    println!(" kill -9: FAILED {took} ms after the worker was killed");
}

#[test]
fn a_lost_task_manager_takes_its_workers_along_and_its_jobs_say_so() {
    let _alone = alone();
    let mut cluster = Cluster::start(ClusterOptions::slots(1).task_managers(2));
    let job = cluster.submit(2, &program("test-job"), &["forever"]);
    cluster.await_running(&job);
    assert_eq!(cluster.workers_of(&job).len(), 2);
    let killed = wall_clock();
    cluster.kill_task_manager(0);
    within(Duration::from_secs(1), "only the other TaskManager's worker is left", || {
        (cluster.workers_of(&job).len() <= 1).then_some(())
    });
    cluster.await_state(&job, &["FAILED"]);
    let took = cluster.entered(&job, "FAILED") - killed;
    assert!(took < NOTICED_WITHIN_MS, "{took} ms");
    let cause = cluster.failure(&job);
    for name in ["TaskManager", "was lost", "127.0.0.1"] {
        assert!(cause.contains(name), "{cause}");
    }
    eventually("no worker is left", || cluster.workers().is_empty().then_some(()));
    println!("  lost TaskManager: FAILED {took} ms after it was killed");
}

#[test]
fn no_worker_survives_its_task_manager() {
    let _alone = alone();
    let mut cluster = Cluster::start(ClusterOptions::slots(2));
    let stuck = cluster.submit(2, &program("test-job"), &["offspring", "10"]);
    cluster.await_running(&stuck);
    // The worker and what it has started, which has the worker's environment.
    let processes = eventually("the worker starts a process", || {
        let processes = cluster.workers_of(&stuck);
        processes.iter().any(|&process| footprint::command(process).starts_with("sleep")).then_some(processes)
    });
    assert_eq!(processes.len(), 2);
    cluster.kill_task_manager(0);
    within(Duration::from_secs(1), "the worker and its offspring end", || {
        (!processes.iter().any(|&process| footprint::is_alive(process))).then_some(())
    });
    cluster.await_state(&stuck, &["FAILED"]);
    assert_eq!(left_running(cluster.folder()), Vec::<u32>::new());
}

/// Processes that mention the cluster, other than its JobManager.
fn left_running(folder: &Path) -> Vec<u32> {
    footprint::processes_with(&folder.display().to_string())
        .into_iter()
        .filter(|&process| footprint::is_alive(process) && !footprint::command(process).contains("jobmanager"))
        .collect()
}
