//! Programs that read the results of their job while a cluster runs it.

#![allow(clippy::disallowed_methods, reason = "tests run on the real clock")]

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use pelton_tests::cluster::signal;
use pelton_tests::programs::program;
use pelton_tests::{Cluster, ClusterOptions, eventually};

/// The numbers among the lines, in their order.
fn numbers(text: &[u8]) -> Vec<i64> {
    String::from_utf8_lossy(text).lines().filter_map(|line| line.parse().ok()).collect()
}

/// The only job's id and state.
fn job(cluster: &Cluster) -> (String, String) {
    let jobs = cluster.get("/jobs");
    let job = &jobs["jobs"][0];
    (job["id"].as_str().expect("a job").to_owned(), job["status"].as_str().expect("a state").to_owned())
}

#[test]
fn a_program_reads_the_results_of_its_job_and_goes_on() {
    let cluster = Cluster::start(ClusterOptions::slots(2));
    let test_job = program("test-job").display().to_string();
    let run = cluster.client(["run", "-p", "2", &test_job, "--", "collected", "200000", "1000000"]);
    let (said, text) = (String::from_utf8_lossy(&run.stderr), String::from_utf8_lossy(&run.stdout));
    assert!(run.status.success(), "{said}{text}");
    assert!(text.starts_with("Job has been submitted with JobID "), "{text}");
    assert!(text.ends_with("the program has gone on to its end\n"), "{text}");
    let mut numbers = numbers(&run.stdout);
    numbers.sort_unstable();
    assert_eq!(numbers, (0..200_000).collect::<Vec<_>>());
    assert_eq!(job(&cluster).1, "FINISHED");
}

#[test]
fn a_restart_shows_no_result_twice_and_loses_none() {
    let cluster = Cluster::start(ClusterOptions::slots(1));
    let mark = cluster.folder().join("mark").display().to_string();
    let test_job = program("test-job").display().to_string();
    let checkpoints = "-Dexecution.checkpointing.interval=100ms";
    let restarts = "-Drestart-strategy.type=fixed-delay";
    let delay = "-Drestart-strategy.fixed-delay.delay=10ms";
    let line = ["run", checkpoints, restarts, delay, &test_job, "--", "collected", "5000", "5000"];
    let run = cluster.client(line.into_iter().chain(["--fails-at", "2500", "--mark", &mark]));
    let said = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{said}");
    assert_eq!(numbers(&run.stdout), (0..5_000).collect::<Vec<_>>());
    assert!(std::path::Path::new(&mark).exists(), "it has not failed");
}

#[test]
fn a_program_that_has_seen_enough_cancels_its_job() {
    let cluster = Cluster::start(ClusterOptions::slots(1));
    let test_job = program("test-job").display().to_string();
    let run = cluster.client(["run", &test_job, "--", "collected", "100000000", "1000", "--first", "10"]);
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    assert_eq!(numbers(&run.stdout), (0..10).collect::<Vec<_>>());
    cluster.await_state(&job(&cluster).0, &["CANCELED"]);
}

#[test]
fn a_failure_of_the_job_is_the_programs_error() {
    let cluster = Cluster::start(ClusterOptions::slots(1));
    let mark = cluster.folder().join("mark").display().to_string();
    let test_job = program("test-job").display().to_string();
    let run =
        cluster.client(["run", &test_job, "--", "collected", "1000", "1000", "--fails-at", "500", "--mark", &mark]);
    let said = String::from_utf8_lossy(&run.stderr);
    assert_eq!(run.status.code(), Some(1), "{said}");
    assert!(said.contains("as the test wants it"), "{said}");
}

#[test]
fn a_job_ends_with_the_client_that_runs_its_program_however_that_ends() {
    for number in [libc::SIGINT, libc::SIGTERM, libc::SIGKILL] {
        let cluster = Cluster::start(ClusterOptions::slots(1));
        let mut client = std::process::Command::new(program("client"));
        client.args(["run", "-m", &cluster.address()]).arg(program("test-job"));
        client.args(["--", "collected", "100000000", "1000"]).env("PELTON_CONF_DIR", cluster.folder().join("conf"));
        let mut client = client.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("started");
        let mut lines = BufReader::new(client.stdout.take().expect("piped")).lines();
        lines
            .find(|line| line.as_ref().is_ok_and(|line| line == "10"))
            .expect("results come while the job runs")
            .expect("text");
        let (id, state) = job(&cluster);
        assert_eq!(state, "RUNNING");
        signal(client.id(), number);
        // Somebody goes on reading, as a terminal does.
        let rest = std::thread::spawn(move || lines.for_each(drop));
        cluster.await_state(&id, &["CANCELED"]);
        eventually("the client ends", || client.try_wait().expect("a status"));
        rest.join().expect("read");
    }
}

#[test]
fn a_program_that_goes_on_is_not_left_alone() {
    let cluster = Cluster::start(ClusterOptions::slots(1));
    let test_job = program("test-job").display().to_string();
    let run = cluster.client(["run", "-d", &test_job, "--", "collected", "10", "10"]);
    let said = String::from_utf8_lossy(&run.stderr);
    assert_eq!(run.status.code(), Some(1), "{said}");
    assert!(said.contains("it goes on beside its job") && said.contains("--detached"), "{said}");
    assert_eq!(cluster.get("/jobs")["jobs"].as_array().map(Vec::len), Some(0));
    let info = cluster.client(["info", &test_job, "--", "collected", "10", "10"]);
    assert!(info.status.success(), "{}", String::from_utf8_lossy(&info.stderr));
    assert!(String::from_utf8_lossy(&info.stdout).contains("Data stream collect sink"));
}
