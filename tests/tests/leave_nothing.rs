//! Jobs come and go, and the cluster stays as it was.

use std::fmt;
use std::time::Duration;

use pelton_tests::deadline::timed;
use pelton_tests::programs::program;
use pelton_tests::{Cluster, ClusterOptions, eventually, footprint};

/// The first jobs fill caches, pools and lazily made threads.
const WARM_UP: usize = 20;
const JOBS: usize = 200;

/// What ended jobs may add: the JobManager remembers them, as Flink's does.
const GROWTH_MAX: u64 = 10 << 20;

/// From the submission until every subtask runs, as the median of all jobs.
const SUBMIT_TO_RUNNING_MAX: i64 = 300;

#[test]
fn two_hundred_jobs_leave_nothing_behind() {
    let cluster = Cluster::start(ClusterOptions::slots(2));
    run_jobs(&cluster, WARM_UP);
    let before = Figures::of(&cluster);
    let times = run_jobs(&cluster, JOBS);
    let after = eventually("what the last job held is released", || {
        let now = Figures::of(&cluster);
        now.holds_no_more_than(&before).then_some(now)
    });
    println!("before {before}\nafter  {after}");
    println!("{times}");
    for (role, (now, then)) in ["JobManager", "TaskManager"].iter().zip(after.processes.iter().zip(&before.processes)) {
        let growth = now.resident.saturating_sub(then.resident);
        assert!(growth < GROWTH_MAX, "the {role} grew by {growth} bytes in {JOBS} jobs");
    }
    assert!(times.deployed_ms < SUBMIT_TO_RUNNING_MAX, "{times}");
}

/// What a cluster without jobs holds.
struct Figures {
    all_processes: usize,
    files: usize,
    log_files: usize,
    log_bytes: u64,
    processes: Vec<Process>,
}

struct Process {
    open_files: usize,
    listening: usize,
    threads: u64,
    resident: u64,
}

impl Figures {
    fn of(cluster: &Cluster) -> Self {
        let log = cluster.folder().join("log");
        Self {
            all_processes: cluster.all_processes().len(),
            files: footprint::files_below(&cluster.folder().join("tmp")),
            log_files: footprint::files_below(&log),
            log_bytes: footprint::bytes_below(&log),
            processes: cluster
                .processes()
                .into_iter()
                .map(|process| Process {
                    open_files: footprint::open_files(process),
                    listening: footprint::listening_ports(process),
                    threads: footprint::threads(process),
                    resident: footprint::resident_bytes(process),
                })
                .collect(),
        }
    }

    /// Everything but memory, which is allowed to breathe.
    fn holds_no_more_than(&self, other: &Self) -> bool {
        self.all_processes <= other.all_processes
            && self.files <= other.files
            && self.log_files <= other.log_files
            && self.processes.iter().zip(&other.processes).all(|(now, then)| {
                now.open_files <= then.open_files && now.listening <= then.listening && now.threads <= then.threads
            })
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { all_processes, files, log_files, log_bytes, processes } = self;
        write!(f, "{all_processes} processes, {files} files, {log_files} log files of {} KiB", log_bytes >> 10)?;
        for (role, process) in ["JobManager", "TaskManager"].iter().zip(processes) {
            let Process { open_files, listening, threads, resident } = process;
            let memory = *resident as f64 / f64::from(1 << 20);
            write!(f, "; {role} {memory:.1} MiB, {threads} threads, {open_files} open files, {listening} ports")?;
        }
        Ok(())
    }
}

/// Medians over jobs.
struct Times {
    /// From the JobManager's taking the job until its last subtask ran, as REST has it.
    deployed_ms: i64,
    /// From the client's start on, with planning and what the test needs to see it.
    running: Duration,
    canceled: Duration,
}

impl fmt::Display for Times {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { deployed_ms, running, canceled } = self;
        write!(
            f,
            "medians: submission to all RUNNING {deployed_ms} ms, {running:.0?} from the client's start on; \
             cancel to CANCELED {canceled:.0?}"
        )
    }
}

fn run_jobs(cluster: &Cluster, count: usize) -> Times {
    let program = program("test-job");
    let (mut deployed, mut running, mut canceled) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..count {
        let (job, took) = timed(|| {
            let job = cluster.submit(2, &program, &["forever"]);
            cluster.await_running(&job);
            job
        });
        running.push(took);
        deployed.push(last_running(cluster, &job) - cluster.entered(&job, "INITIALIZING"));
        let ((), took) = timed(|| {
            cluster.cancel(&job);
            cluster.await_state(&job, &["CANCELED"]);
        });
        canceled.push(took);
        // The next job would wait for its slots in any case.
        eventually("its worker is gone", || cluster.workers_of(&job).is_empty().then_some(()));
    }
    Times { deployed_ms: median(deployed), running: median(running), canceled: median(canceled) }
}

/// When the last subtask of the job began to run.
fn last_running(cluster: &Cluster, job: &str) -> i64 {
    let details = cluster.get(&format!("/jobs/{job}"));
    let vertices = details["vertices"].as_array().expect("vertices");
    let times = vertices.iter().flat_map(|vertex| {
        let id = vertex["id"].as_str().expect("an id");
        let times = cluster.get(&format!("/jobs/{job}/vertices/{id}/subtasktimes"));
        let subtasks = times["subtasks"].as_array().expect("subtasks").clone();
        subtasks.into_iter().map(|subtask| subtask["timestamps"]["RUNNING"].as_i64().expect("a time"))
    });
    times.max().expect("a subtask")
}

fn median<T: Ord + Copy>(mut values: Vec<T>) -> T {
    values.sort_unstable();
    values[values.len() / 2]
}
