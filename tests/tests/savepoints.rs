//! Savepoints: taken, stopped with, moved, gone on from, disposed of; and what becomes of a job whose savepoint fails.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use pelton_tests::counts::{KEYS, ROWS, arguments, assert_exact, assert_same, finishes, lines, run, run_from, submit};
use pelton_tests::programs::program;
use pelton_tests::{Cluster, ClusterOptions, eventually};
use serde_json::Value;

/// A cluster whose jobs take checkpoints every 100 ms.
fn options(slots: u32, folder: &Path) -> ClusterOptions {
    ClusterOptions::slots(slots)
        .set("execution.checkpointing.interval", "100 ms")
        .set("execution.checkpointing.dir", &folder.join("checkpoints").display().to_string())
        .set("execution.checkpointing.savepoint-dir", &folder.join("savepoints").display().to_string())
        .set("execution.checkpointing.tolerable-failed-checkpoints", "0")
}

/// Counts, and has published something.
fn counting(cluster: &Cluster, parallelism: u32, output: &Path) -> String {
    let job = submit(cluster, parallelism, output);
    eventually("results are published", || (lines(&output.join("running")).len() > 1000).then_some(()));
    job
}

/// What the client says, line by line, and its exit code.
fn client(cluster: &Cluster, arguments: &[&str]) -> (Vec<String>, String, Option<i32>) {
    let output = cluster.client(arguments.iter().copied());
    let said = String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect();
    (said, String::from_utf8_lossy(&output.stderr).into_owned(), output.status.code())
}

fn path_in(line: &str) -> PathBuf {
    PathBuf::from(line.strip_prefix("Savepoint completed. Path: file:").expect(line))
}

fn post(cluster: &Cluster, path: &str, body: &Value) -> Value {
    let url = format!("http://{}{path}", cluster.address());
    let mut answer = ureq::post(&url).content_type("application/json").send(body.to_string()).expect("accepted");
    serde_json::from_str(&answer.body_mut().read_to_string().expect("a body")).expect("JSON")
}

/// What became of something that was started over REST.
fn outcome(cluster: &Cluster, path: &str, started: &Value) -> Value {
    let path = format!("{path}/{}", started["request-id"].as_str().expect("an id"));
    eventually("it is done", || {
        let status = cluster.get(&path);
        (status["status"]["id"] == "COMPLETED").then(|| status["operation"].clone())
    })
}

#[test]
fn a_job_that_stops_with_a_savepoint_goes_on_from_it_as_if_nothing_had_happened() {
    let folder = tempfile::tempdir().expect("a folder");
    let cluster = Cluster::start(options(3, folder.path()));
    for (before, after) in [(2, "3"), (3, "1")] {
        let output = folder.path().join(format!("out-{after}"));
        let job = counting(&cluster, before, &output);
        let (said, error, code) = client(&cluster, &["stop", &job]);
        assert_eq!(code, Some(0), "{error}");
        let expected = [
            format!("Suspending job \"{job}\" with a CANONICAL savepoint."),
            format!("Triggering stop-with-savepoint for job {job}."),
            "Waiting for response...".to_owned(),
        ];
        assert_eq!(said[..3], expected);
        let savepoint = path_in(&said[3]);
        assert!(savepoint.starts_with(folder.path().join("savepoints")), "{}", savepoint.display());
        assert_eq!(cluster.state(&job), "FINISHED");
        let published = lines(&output.join("running")).len() as u64;
        assert!(published < ROWS, "it was stopped in the middle");
        let latest = cluster.get(&format!("/jobs/{job}/checkpoints"))["latest"].clone();
        assert_eq!(latest["savepoint"]["checkpoint_type"], "SYNC_SAVEPOINT");
        assert_eq!(latest["savepoint"]["external_path"], format!("file:{}", savepoint.display()));

        // It holds everything, wherever it is.
        let moved = folder.path().join(format!("moved-{after}"));
        std::fs::rename(&savepoint, &moved).expect("it can be moved");
        let job = run_from(&cluster, &moved, &["-p", after], &arguments(&output));
        finishes(&cluster, &job);
        assert_exact(&output);
        let restored = cluster.get(&format!("/jobs/{job}/checkpoints"))["latest"]["restored"].clone();
        assert_eq!(restored["is_savepoint"], true);
        assert!(moved.join("_metadata").exists(), "what is not claimed stays");
    }
}

#[test]
fn a_job_that_is_drained_fires_its_windows_and_publishes_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let cluster = Cluster::start(options(2, folder.path()));
    let output = folder.path().join("out");
    let job = counting(&cluster, 2, &output);
    let target = folder.path().join("elsewhere");
    let (said, error, code) = client(&cluster, &["stop", &job, "--drain", "-p", &target.display().to_string()]);
    assert_eq!(code, Some(0), "{error}");
    assert_eq!(said[0], format!("Draining job \"{job}\" with a CANONICAL savepoint."));
    assert!(path_in(&said[3]).starts_with(&target));
    assert_eq!(cluster.state(&job), "FINISHED");
    let counted: usize = lines(&output.join("running")).values().sum();
    let in_windows: usize = lines(&output.join("windows"))
        .keys()
        .map(|line| line.rsplit(' ').next().and_then(|count| count.parse::<usize>().ok()).expect("a count"))
        .sum();
    assert!(counted < ROWS as usize, "it was stopped in the middle");
    assert_eq!(counted, in_windows, "every row is in a window that has fired");
}

#[test]
fn a_job_that_takes_no_checkpoints_is_saved_and_stopped_and_goes_on_from_that() {
    let folder = tempfile::tempdir().expect("a folder");
    let options = ClusterOptions::slots(3)
        .set("execution.checkpointing.savepoint-dir", &folder.path().join("savepoints").display().to_string());
    let cluster = Cluster::start(options);
    let output = folder.path().join("out");
    let job = submit(&cluster, 2, &output);
    cluster.await_running(&job);
    eventually("rows come", || {
        let vertices = cluster.get(&format!("/jobs/{job}"))["vertices"].clone();
        (vertices[0]["metrics"]["write-records"].as_u64() > Some(2000)).then_some(())
    });
    let (said, error, code) = client(&cluster, &["savepoint", &job]);
    assert_eq!(code, Some(0), "{error}");
    assert!(path_in(&said[2]).join("_metadata").exists());
    let (_, error, code) = client(&cluster, &["checkpoint", &job]);
    assert_eq!(code, Some(1));
    assert!(error.contains("the job takes no checkpoints"), "{error}");
    let (said, error, code) = client(&cluster, &["stop", &job]);
    assert_eq!(code, Some(0), "{error}");
    let savepoint = path_in(&said[3]);
    assert_eq!(cluster.state(&job), "FINISHED");
    assert!((lines(&output.join("running")).len() as u64) < ROWS, "it was stopped in the middle");
    let job = run_from(&cluster, &savepoint, &["-p", "3"], &arguments(&output));
    finishes(&cluster, &job);
    assert_exact(&output);
}

#[test]
fn a_savepoint_of_two_subtasks_is_gone_on_from_by_one_three_and_eight() {
    let folder = tempfile::tempdir().expect("a folder");
    let cluster = Cluster::start(options(8, folder.path()));
    let first = folder.path().join("first");
    let job = counting(&cluster, 2, &first);
    let (said, error, code) = client(&cluster, &["stop", &job]);
    assert_eq!(code, Some(0), "{error}");
    let savepoint = path_in(&said[3]);
    for parallelism in ["1", "3", "8"] {
        // What was published before the savepoint, and the rest by this one.
        let output = folder.path().join(parallelism);
        for part in ["running", "windows"] {
            std::fs::create_dir_all(output.join(part)).expect("a folder");
            for entry in std::fs::read_dir(first.join(part)).expect("parts").flatten() {
                std::fs::copy(entry.path(), output.join(part).join(entry.file_name())).expect("copied");
            }
        }
        let job = run_from(&cluster, &savepoint, &["-p", parallelism], &arguments(&output));
        finishes(&cluster, &job);
        assert_exact(&output);
    }
}

#[test]
fn a_job_changes_its_state_backend_at_savepoints() {
    let folder = tempfile::tempdir().expect("a folder");
    let cluster = Cluster::start(options(3, folder.path()));
    let output = folder.path().join("out");
    let on = |backend: &str| format!("-Dstate.backend.type={backend}");
    let said = run(&cluster, &["-d", "-p", "2", &on("rocksdb")], &arguments(&output)).expect("submitted");
    let mut job = said.trim().rsplit(' ').next().expect("an id").to_owned();
    let mut before = 0;
    for (backend, parallelism) in [("hashmap", "3"), ("rocksdb", "1")] {
        eventually("more is published", || (lines(&output.join("running")).len() > before + 1000).then_some(()));
        let (said, error, code) = client(&cluster, &["stop", &job]);
        assert_eq!(code, Some(0), "{error}");
        before = lines(&output.join("running")).len();
        assert!((before as u64) < ROWS, "it was stopped in the middle");
        job = run_from(&cluster, &path_in(&said[3]), &["-p", parallelism, &on(backend)], &arguments(&output));
    }
    finishes(&cluster, &job);
    assert_exact(&output);
}

/// A job that reads numbers from files, whose parts grow over checkpoints.
struct OfFiles {
    folder: tempfile::TempDir,
    cluster: Cluster,
}

impl OfFiles {
    const FILES: i64 = 12;
    const LINES: i64 = 1000;

    fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::create_dir(folder.path().join("in")).expect("a folder");
        for file in 0..Self::FILES {
            let lines: String = (0..Self::LINES).map(|line| format!("{}\n", file * Self::LINES + line)).collect();
            std::fs::write(folder.path().join(format!("in/{file}")), lines).expect("written");
        }
        let cluster = Cluster::start(options(3, folder.path()));
        Self { folder, cluster }
    }

    fn arguments(&self) -> Vec<String> {
        let path = |name: &str| self.folder.path().join(name).display().to_string();
        vec!["lines".to_owned(), "400".to_owned(), path("fast"), path("in"), path("out")]
    }

    fn submit(&self) -> String {
        let arguments = self.arguments();
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let job = self.cluster.submit(2, &program("test-job"), &arguments);
        eventually("parts are published", || (self.written() > 2000).then_some(()));
        job
    }

    fn written(&self) -> usize {
        lines(&self.folder.path().join("out/lines")).len()
    }

    fn let_run(&self) {
        std::fs::write(self.folder.path().join("fast"), "").expect("the switch");
    }

    fn stop(&self, job: &str, flags: &[&str]) -> PathBuf {
        let (said, error, code) = client(&self.cluster, &[&["stop", job], flags].concat());
        assert_eq!(code, Some(0), "{error}");
        assert_eq!(self.cluster.state(job), "FINISHED");
        assert!(self.written() < (Self::FILES * Self::LINES) as usize, "it was stopped in the middle");
        path_in(&said[3])
    }
}

#[test]
fn a_source_with_an_enumerator_and_parts_that_are_open_go_on_from_a_savepoint() {
    let setup = OfFiles::start();
    let job = setup.submit();
    let savepoint = setup.stop(&job, &[]);
    assert!(lines(&setup.folder.path().join("out/counts")).is_empty(), "event time has not ended");
    // Once more in the middle, at another parallelism.
    let before = setup.written();
    let job = run_from(&setup.cluster, &savepoint, &["-p", "3"], &setup.arguments());
    eventually("more is published", || (setup.written() > before + 1000).then_some(()));
    let savepoint = setup.stop(&job, &[]);
    setup.let_run();
    let job = run_from(&setup.cluster, &savepoint, &["-p", "1"], &setup.arguments());
    finishes(&setup.cluster, &job);
    let rows = OfFiles::FILES * OfFiles::LINES;
    assert_same(&lines(&setup.folder.path().join("out/lines")), (0..rows).map(|n| n.to_string()).collect());

    let found = lines(&setup.folder.path().join("out/counts"));
    let total: usize = found.iter().map(|(line, times)| times * count_in(line)).sum();
    assert_eq!(total, rows as usize, "{found:?}");
}

#[test]
fn a_source_with_an_enumerator_is_drained() {
    let setup = OfFiles::start();
    let job = setup.submit();
    let savepoint = setup.stop(&job, &["--drain"]);
    let read = setup.written();
    let counted =
        |found: BTreeMap<String, usize>| found.iter().map(|(line, times)| times * count_in(line)).sum::<usize>();
    assert_eq!(
        counted(lines(&setup.folder.path().join("out/counts"))),
        read,
        "every row is in a window that has fired"
    );
    // Whoever goes on all the same reads the rest, and each row once.
    setup.let_run();
    let job = run_from(&setup.cluster, &savepoint, &[], &setup.arguments());
    finishes(&setup.cluster, &job);
    let rows = OfFiles::FILES * OfFiles::LINES;
    assert_same(&lines(&setup.folder.path().join("out/lines")), (0..rows).map(|n| n.to_string()).collect());
}

fn count_in(line: &str) -> usize {
    line.rsplit(' ').next().and_then(|count| count.parse().ok()).expect("a count")
}

#[test]
fn savepoints_of_a_running_job_are_taken_gone_on_from_and_disposed_of() {
    let folder = tempfile::tempdir().expect("a folder");
    let cluster = Cluster::start(options(2, folder.path()));
    let output = folder.path().join("out");
    let job = counting(&cluster, 2, &output);

    let (said, error, code) = client(&cluster, &["checkpoint", &job]);
    assert_eq!(code, Some(0), "{error}");
    assert!(said[2].starts_with("Checkpoint ") && said[2].ends_with(&format!(" for job {job} completed.")), "{said:?}");

    let (said, error, code) = client(&cluster, &["savepoint", &job]);
    assert_eq!(code, Some(0), "{error}");
    assert_eq!(said[..2], [format!("Triggering savepoint for job {job}."), "Waiting for response...".to_owned()]);
    let savepoint = path_in(&said[2]);
    assert_eq!(said[3], "You can resume your program from this savepoint with the run command.");
    assert!(savepoint.join("_metadata").exists());

    let savepoints = format!("/jobs/{job}/savepoints");
    let chosen = "0123456789abcdef0123456789abcdef";
    let body = serde_json::json!({ "target-directory": folder.path().join("rest"), "triggerId": chosen });
    let first = outcome(&cluster, &savepoints, &post(&cluster, &savepoints, &body));
    let second = outcome(&cluster, &savepoints, &post(&cluster, &savepoints, &body));
    assert_eq!(first, second, "the same id takes no second one");
    let other = PathBuf::from(first["location"].as_str().expect("a path").strip_prefix("file:").expect("a file"));

    let (said, error, code) = client(&cluster, &["savepoint", "-d", &other.display().to_string()]);
    assert_eq!(code, Some(0), "{error}");
    assert_eq!(said[2], format!("Savepoint '{}' disposed.", other.display()));
    assert!(!other.exists(), "nothing of it is left");
    let (_, error, code) = client(&cluster, &["savepoint", "-d", &other.display().to_string()]);
    assert_eq!(code, Some(1));
    assert!(error.contains("there is no checkpoint and no savepoint"), "{error}");

    finishes(&cluster, &job);
    assert_exact(&output);
    assert!(savepoint.join("_metadata").exists(), "it is nobody's but its owner's");

    // From the savepoint on, in another folder: every last count is there, and no line twice.
    let again = folder.path().join("again");
    let job = run_from(&cluster, &savepoint, &["-p", "1", "-claimMode", "claim"], &arguments(&again));
    finishes(&cluster, &job);
    let running = lines(&again.join("running"));
    assert!(running.values().all(|count| *count == 1));
    assert!((0..KEYS).all(|key| running.contains_key(&format!("{key} {}", ROWS / KEYS))), "{}", running.len());
    assert!(running.len() < ROWS as usize, "it did not begin anew");
    assert!(!savepoint.join("_metadata").exists(), "what is claimed is removed in the end");
}

#[test]
fn a_job_without_checkpoints_of_which_a_source_has_ended_is_saved_and_goes_on() {
    const FIRST: usize = 1000;
    const ALL: usize = 9000;
    let folder = tempfile::tempdir().expect("a folder");
    let options = ClusterOptions::slots(2)
        .set("execution.checkpointing.savepoint-dir", &folder.path().join("savepoints").display().to_string());
    let cluster = Cluster::start(options);
    let output = folder.path().join("out");
    let (second, place) = ((ALL - FIRST).to_string(), output.display().to_string());
    let at = |rows_per_second: &str| {
        ["two-sources", &FIRST.to_string(), &second, rows_per_second, &place].map(str::to_owned)
    };
    let arguments = at("500");
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let job = cluster.submit(2, &program("test-job"), &words);
    eventually("the first source ends", || {
        let details = cluster.get(&format!("/jobs/{job}"));
        let vertices = details["vertices"].as_array()?;
        let first = vertices.iter().find(|vertex| vertex["name"].as_str().is_some_and(|name| name.contains("soon")))?;
        (first["status"] == "FINISHED").then_some(())
    });
    let (said, error, code) = client(&cluster, &["savepoint", &job]);
    assert_eq!(code, Some(0), "{error}");
    assert!(path_in(&said[2]).join("_metadata").exists());
    let (said, error, code) = client(&cluster, &["stop", &job]);
    assert_eq!(code, Some(0), "{error}");
    let written = lines(&output).len();
    assert!((FIRST..ALL).contains(&written), "{written} lines: it was stopped in the middle");
    let job = run_from(&cluster, &path_in(&said[3]), &["-p", "1"], &at("4000"));
    finishes(&cluster, &job);
    let expected = (0..10).flat_map(|digit| (1..=ALL / 10).map(move |count| format!("{digit} {count}")));
    assert_same(&lines(&output), expected.collect());
}

#[test]
fn a_savepoint_that_fails_costs_the_job_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let cluster = Cluster::start(options(2, folder.path()));
    let output = folder.path().join("out");
    let job = counting(&cluster, 2, &output);
    let file = folder.path().join("file");
    std::fs::write(&file, "no folder").expect("written");
    let file = file.display().to_string();
    for line in [vec!["savepoint", &job, &file], vec!["stop", &job, "-p", &file]] {
        let (_, error, code) = client(&cluster, &line);
        assert_eq!(code, Some(1), "{error}");
        assert!(error.contains(&format!("a savepoint of job {job} was refused")), "{error}");
        assert!(error.contains("is not a directory"), "{error}");
    }
    let stop = format!("/jobs/{job}/stop");
    let failed = outcome(
        &cluster,
        &format!("/jobs/{job}/savepoints"),
        &post(&cluster, &stop, &serde_json::json!({ "targetDirectory": "ftp://nowhere/x" })),
    );
    let words = failed["failure-cause"]["stack-trace"].as_str().expect("words");
    assert!(words.contains("unknown scheme `ftp`"), "{words}");
    assert_eq!(cluster.state(&job), "RUNNING");
    let statistics = cluster.get(&format!("/jobs/{job}/checkpoints"));
    assert_eq!(statistics["counts"]["failed"], 2);
    finishes(&cluster, &job);
    assert_exact(&output);
    let statistics = cluster.get(&format!("/jobs/{job}/checkpoints"));
    assert_eq!(statistics["counts"]["restored"], 0, "and it was not restarted");

    let (_, error, code) = client(&cluster, &["savepoint", &job]);
    assert_eq!(code, Some(1));
    assert!(error.contains("has already ended as FINISHED"), "{error}");
    let nobody = "0".repeat(32);
    let (_, error, _) = client(&cluster, &["stop", &nobody]);
    assert!(error.contains(&format!("Could not find Flink job ({nobody})")), "{error}");
}

#[test]
fn types_of_state_may_change_as_far_as_no_value_is_lost() {
    const EVOLVING: u64 = 8000;
    let folder = tempfile::tempdir().expect("a folder");
    let cluster = Cluster::start(options(3, folder.path()));
    let output = folder.path().join("out");
    let told = |form: &str| {
        let (count, output) = (EVOLVING.to_string(), output.display().to_string());
        ["evolving", form, &count, "4000", &output].map(str::to_owned).to_vec()
    };
    let old = told("old");
    let old: Vec<&str> = old.iter().map(String::as_str).collect();
    let job = cluster.submit(2, &program("test-job"), &old);
    eventually("results are published", || (lines(&output).len() > 1000).then_some(()));
    let (said, error, code) = client(&cluster, &["stop", &job]);
    assert_eq!(code, Some(0), "{error}");
    let savepoint = path_in(&said[3]);

    // No restart can help, so there is none, although the job's strategy has no end.
    for (form, expected) in [
        ("other", "its field `total` has type Int32 in the checkpoint, but the program needs Utf8"),
        ("rekeyed", "keys of types [Utf8] do not fit state that is keyed by [Int64]: the type of a key cannot change"),
    ] {
        let job = run_from(&cluster, &savepoint, &[], &told(form));
        assert_eq!(cluster.await_state(&job, &["FAILED", "FINISHED"]), "FAILED");
        let why = cluster.failure(&job);
        assert!(why.contains(expected), "{why}");
    }

    let job = run_from(&cluster, &savepoint, &["-p", "3"], &told("new"));
    finishes(&cluster, &job);
    let expected = (0..10).flat_map(|key| (1..=EVOLVING / 10).map(move |total| format!("{key} {total}")));
    assert_same(&lines(&output), expected.collect());
}

#[test]
fn a_state_that_an_operator_keeps_no_more_is_refused_and_dropped_only_when_that_is_allowed() {
    const ROWS: u64 = 8000;
    for backend in ["hashmap", "rocksdb"] {
        let folder = tempfile::tempdir().expect("a folder");
        let cluster = Cluster::start(options(3, folder.path()).set("state.backend.type", backend));
        let output = folder.path().join("out");
        let told = |form: &str| {
            let (count, output) = (ROWS.to_string(), output.display().to_string());
            ["evolving", form, &count, "4000", &output].map(str::to_owned).to_vec()
        };
        let two = told("two");
        let two: Vec<&str> = two.iter().map(String::as_str).collect();
        let job = cluster.submit(2, &program("test-job"), &two);
        eventually("results are published", || (lines(&output).len() > 1000).then_some(()));
        let (said, error, code) = client(&cluster, &["stop", &job]);
        assert_eq!(code, Some(0), "{error}");
        let savepoint = path_in(&said[3]);

        let job = run_from(&cluster, &savepoint, &[], &told("one"));
        assert_eq!(cluster.await_state(&job, &["FAILED", "FINISHED"]), "FAILED");
        let why = cluster.failure(&job);
        assert!(why.contains("the checkpoint has state `before`, which the operator registers no more"), "{why}");
        assert!(why.contains("--allowNonRestoredState"), "{why}");

        let job = run_from(&cluster, &savepoint, &["-n", "-p", "3"], &told("one"));
        finishes(&cluster, &job);
        let expected = (0..10).flat_map(|key| (1..=ROWS / 10).map(move |total| format!("{key} {total}")));
        assert_same(&lines(&output), expected.collect());
    }
}
