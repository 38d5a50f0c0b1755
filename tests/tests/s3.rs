//! A real S3 server: checkpoints, sources and sinks on it, and what happens when it is away.

#![allow(clippy::disallowed_methods, reason = "tests run on the real clock")]

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use pelton_filesystem::checkpoint_storage;
use pelton_runtime_core::checkpoint::storage::PutIfAbsent;
use pelton_runtime_core::env::Env;
use pelton_runtime_core::failure::error_chain;
use pelton_tests::cluster::signal;
use pelton_tests::counts::run_from;
use pelton_tests::output::parts;
use pelton_tests::programs::program;
use pelton_tests::{Cluster, ClusterOptions, S3Server, Trouble, TroubledProxy, eventually, within};

const KEYS: u64 = 10;
const ROWS: u64 = 8_000;
const ROWS_PER_SECOND: &str = "2000";
/// Where something has to happen before the job has finished, however busy the machine is.
const SLOWLY: &str = "200";

/// A cluster whose jobs take checkpoints on the server every 100 ms and restart at once.
fn options(slots: u32, server: &S3Server) -> ClusterOptions {
    let mut options = ClusterOptions::slots(slots)
        .set("execution.checkpointing.interval", "100 ms")
        .set("execution.checkpointing.dir", &server.url("checkpoints"))
        .set("restart-strategy.type", "fixed-delay")
        .set("restart-strategy.fixed-delay.attempts", "100")
        .set("restart-strategy.fixed-delay.delay", "0 ms");
    options.settings.extend(server.settings());
    options
}

/// How often each line is in the files beneath a folder.
fn lines(folder: &Path) -> BTreeMap<String, usize> {
    let mut lines = BTreeMap::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        for line in std::fs::read_to_string(entry.path()).unwrap_or_default().lines() {
            *lines.entry(line.to_owned()).or_default() += 1;
        }
    }
    lines
}

fn await_end(cluster: &Cluster, job: &str) {
    let state = within(Duration::from_secs(120), "the job ends", || {
        let state = cluster.state(job);
        ["FINISHED", "FAILED"].contains(&state.as_str()).then_some(state)
    });
    assert_eq!(state, "FINISHED", "{}", cluster.failure(job));
}

/// The number of checkpoints that completed or failed.
fn checkpoints(cluster: &Cluster, job: &str, what: &str) -> u64 {
    cluster.get(&format!("/jobs/{job}/checkpoints"))["counts"][what].as_u64().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn of_many_writers_of_one_record_one_is_told_that_it_stored_it() {
    let Some(server) = S3Server::start() else { return };
    let storage = checkpoint_storage(&server.url("job"), &server.settings(), &Env::production()).expect("a storage");
    let writers = (0..16u8).map(|writer| {
        let storage = storage.clone();
        tokio::spawn(async move { storage.put_if_absent("chk-1/_metadata", Bytes::from(vec![writer; 100])).await })
    });
    let mut stored = Vec::new();
    for (number, writer) in (0u8..).zip(writers.collect::<Vec<_>>()) {
        match writer.await.expect("no panic").expect("an answer") {
            PutIfAbsent::Stored => stored.push(number),
            PutIfAbsent::Existed => {}
            PutIfAbsent::Unknown { reason } => panic!("the server answers: {reason}"),
        }
    }
    assert_eq!(stored.len(), 1, "{stored:?}");
    assert_eq!(storage.get("chk-1/_metadata").await.expect("there"), vec![stored[0]; 100]);
    let large: Bytes = vec![7; 40 << 20].into();
    storage.put("chk-1/large.state", large.clone()).await.expect("written in parts");
    assert_eq!(storage.get("chk-1/large.state").await.expect("there"), large);
    assert_eq!(storage.list().await.expect("listed").len(), 2);
    for path in ["chk-1/_metadata", "chk-1/large.state", "chk-1/large.state"] {
        storage.delete(path).await.expect("removed, or gone");
    }
    assert!(storage.list().await.expect("listed").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_credentials_and_wrong_addresses_are_known_soon_and_by_name() {
    let Some(server) = S3Server::start() else { return };
    for (key, value, expected) in [
        ("s3.secret-key", "guessed", "SignatureDoesNotMatch"),
        ("s3.access-key", "nobody", "access key ID"),
        ("s3.endpoint", "http://127.0.0.1:1", "http://127.0.0.1:1/pelton/job/a"),
    ] {
        let mut settings = server.settings();
        settings.insert(key.to_owned(), value.to_owned());
        let storage = checkpoint_storage(&server.url("job"), &settings, &Env::production()).expect("a storage");
        let started = Env::production().moment();
        let error = error_chain(&storage.put("a", Bytes::from_static(b"x")).await.expect_err(key));
        assert!(error.contains("s3://pelton/job/a") && error.contains(expected), "{error}");
        assert!(Env::production().moment().since(started) < Duration::from_secs(20), "{error}");
    }
}

#[test]
fn a_job_with_checkpoints_and_files_on_s3_loses_and_doubles_nothing_when_its_workers_are_killed() {
    let Some(server) = S3Server::start() else { return };
    let cluster = Cluster::start(options(2, &server));
    let arguments = ["counts", &ROWS.to_string(), &KEYS.to_string(), ROWS_PER_SECOND, &server.url("out")];
    let job = cluster.submit(2, &program("test-job"), &arguments);
    let running = server.objects("out/running");
    for _ in 0..2 {
        let before = lines(&running).len();
        eventually("a checkpoint publishes more objects", || (lines(&running).len() > before).then_some(()));
        for worker in cluster.workers_of(&job) {
            signal(worker, 9);
        }
    }
    await_end(&cluster, &job);
    let found = lines(&running);
    let expected = (0..KEYS).flat_map(|key| (1..=ROWS / KEYS).map(move |count| (format!("{key} {count}"), 1)));
    let expected: BTreeMap<String, usize> = expected.collect();
    let different: Vec<_> = expected
        .keys()
        .chain(found.keys())
        .filter(|line| found.get(*line) != expected.get(*line))
        .map(|line| (line, found.get(line)))
        .take(5)
        .collect();
    assert!(different.is_empty() && found.len() == expected.len(), "{different:?}");
    let windows = lines(&server.objects("out/windows"));
    assert_eq!(windows.len() as u64, ROWS / 100 * KEYS);
    assert!(windows.values().all(|times| *times == 1));
    eventually("uploads that killed workers left open are aborted", || (server.open_uploads() == 0).then_some(()));
}

#[test]
fn a_savepoint_lists_uploads_and_who_begins_from_it_is_told_when_they_and_their_objects_are_gone() {
    let Some(server) = S3Server::start() else { return };
    let options = options(2, &server).set("execution.checkpointing.savepoint-dir", &server.url("savepoints"));
    let cluster = Cluster::start(options);
    let out = server.url("out");
    let arguments = ["counts", &ROWS.to_string(), &KEYS.to_string(), SLOWLY, &out];
    let job = cluster.submit(1, &program("test-job"), &arguments);
    eventually("objects are published", || (!lines(&server.objects("out/running")).is_empty()).then_some(()));
    let saved = cluster.client(["savepoint", job.as_str()]);
    let said = String::from_utf8_lossy(&saved.stdout).into_owned();
    let savepoint = said.lines().find_map(|line| line.strip_prefix("Savepoint completed. Path: ")).expect(&said);
    cluster.cancel(&job);
    cluster.await_state(&job, &["CANCELED"]);
    // Whether the job has published the savepoint's parts or they were still open: both are gone. The server may
    // still be busy with a request of the worker, and then puts a file where everything is being removed.
    for folder in ["out", ".sgwtmp"] {
        let folder = server.objects(folder);
        eventually("the objects are removed", || {
            let removed = std::fs::remove_dir_all(&folder);
            removed.map_or_else(|error| error.kind() == ErrorKind::NotFound, |()| true).then_some(())
        });
    }
    let arguments = arguments.map(str::to_owned);
    let job = run_from(&cluster, Path::new(savepoint), &["-p", "1"], &arguments);
    eventually("the loss is said", || {
        let reason = cluster.exception(&job).to_string();
        reason.contains("its upload is gone and there is no object").then_some(())
    });
    cluster.cancel(&job);
}

#[test]
fn files_on_s3_are_read_as_those_on_a_disk() {
    let Some(server) = S3Server::start() else { return };
    let storage_runtime = tokio::runtime::Runtime::new().expect("a runtime");
    storage_runtime.block_on(async {
        let storage = checkpoint_storage(&server.url("in"), &server.settings(), &Env::production()).expect("a storage");
        for file in 0..3 {
            let rows: String = (0..50_000).map(|row| format!("{},{row}\n", file * 50_000 + row)).collect();
            let file = format!("part-{file}.csv");
            storage.put(&file, Bytes::from(format!("id,delay\n{rows}"))).await.expect("written");
        }
    });
    let cluster = Cluster::start(options(2, &server));
    let output = cluster.folder().join("out");
    let arguments = ["csv", "fail", &server.url("in"), &output.display().to_string()];
    let job = cluster.submit(2, &program("test-job"), &arguments);
    await_end(&cluster, &job);
    let found = lines(&output);
    assert_eq!(found.len(), 150_000);
    assert!((0..150_000).all(|id| found.get(&format!("{id},{}", id % 50_000)) == Some(&1)));
}

#[test]
fn a_job_goes_on_while_its_storage_is_away_and_takes_the_next_good_checkpoint() {
    let Some(mut server) = S3Server::start() else { return };
    let options = options(1, &server)
        .set("execution.checkpointing.timeout", "1 s")
        .set("execution.checkpointing.tolerable-failed-checkpoints", "1000")
        // State of any size is uploaded, so that a checkpoint spends its time there.
        .set("execution.checkpointing.data-inline-threshold", "0 b");
    let cluster = Cluster::start(options);
    let output = cluster.folder().join("out");
    let job = cluster.submit(1, &program("test-job"), &["steady", "1000", &output.display().to_string()]);
    let completed = || checkpoints(&cluster, &job, "completed");
    let failed = || checkpoints(&cluster, &job, "failed");
    let written = || parts(&output).values().map(Vec::len).sum::<usize>();
    let goes_on = |what: &str| {
        let before = written();
        eventually(what, || (written() > before).then_some(()));
        assert_eq!(cluster.state(&job), "RUNNING");
    };
    let recovers = || {
        let before = completed();
        within(Duration::from_secs(90), "the next good checkpoint completes", || {
            (completed() > before + 1).then_some(())
        });
        assert_eq!(cluster.state(&job), "RUNNING");
        assert!(cluster.exception(&job).is_null(), "{}", cluster.failure(&job));
    };
    eventually("a checkpoint completes", || (completed() > 0).then_some(()));
    // A server that hangs while state is uploaded. When it hangs while the record is written, nobody knows whether that
    // exists, and nothing has failed yet.
    let before = failed();
    while failed() == before {
        server.pause();
        goes_on("the job writes while its storage hangs");
        let patience = Instant::now() + Duration::from_secs(3);
        eventually("a failure, or the end of patience", || {
            (failed() != before || Instant::now() > patience).then_some(())
        });
        server.resume();
        recovers();
    }
    // A server that is gone and comes back.
    server.kill();
    goes_on("the job writes while its storage is gone");
    server.restart();
    recovers();
    cluster.cancel(&job);
    cluster.await_state(&job, &["CANCELED"]);
}

/// A step of checkpoints on an object store, the requests it makes, and the troubles of which a checkpoint fails. While
/// nobody knows whether a record exists, nothing has failed: a writer who hears nothing asks three times, for 30 s each.
/// A removal is tried again until it is done.
type Step = (&'static str, fn(&str, &str) -> bool, &'static [Trouble]);

const STEPS: [Step; 3] = [
    (
        "state is uploaded",
        |method, path| ["PUT", "POST"].contains(&method) && path.contains(".state"),
        &[Trouble::Refused, Trouble::Hangs],
    ),
    ("the record is written", |method, path| method == "PUT" && path.ends_with("/_metadata"), &[Trouble::Refused]),
    ("an old one is removed", |method, path| method == "POST" && path.ends_with("?delete"), &[]),
];

#[test]
fn trouble_in_any_step_of_a_checkpoint_is_counted_and_said_and_the_next_one_without_it_completes() {
    let Some(server) = S3Server::start() else { return };
    let proxy = TroubledProxy::before(server.port());
    let mut options = options(1, &server)
        .set("execution.checkpointing.timeout", "1 s")
        .set("execution.checkpointing.tolerable-failed-checkpoints", "1000")
        .set("execution.checkpointing.data-inline-threshold", "0 b");
    options.settings.extend(server.settings_by(&proxy.endpoint()));
    let cluster = Cluster::start(options);
    let output = cluster.folder().join("out");
    let job = cluster.submit(1, &program("test-job"), &["steady", "1000", &output.display().to_string()]);
    let completed = || checkpoints(&cluster, &job, "completed");
    let failed = || checkpoints(&cluster, &job, "failed");
    let written = || parts(&output).values().map(Vec::len).sum::<usize>();
    eventually("a checkpoint completes", || (completed() > 0).then_some(()));
    for (step, chosen, fatal) in STEPS {
        for trouble in [Trouble::Refused, Trouble::Hangs, Trouble::DoneButUnanswered] {
            let what = format!("{step}, {trouble:?}");
            let (failed_before, written_before) = (failed(), written());
            proxy.begin(trouble, chosen);
            eventually(&format!("{what}: it happens"), || (proxy.troubled() > 0).then_some(()));
            if fatal.contains(&trouble) {
                eventually(&format!("{what}: a checkpoint fails"), || (failed() > failed_before).then_some(()));
                let failed = cluster.get(&format!("/jobs/{job}/checkpoints"))["latest"]["failed"].clone();
                assert!(failed["failure_message"].as_str().is_some_and(|reason| !reason.is_empty()), "{failed}");
            }
            eventually(&format!("{what}: the job goes on"), || (written() > written_before).then_some(()));
            proxy.end();
            let completed_before = completed();
            within(Duration::from_secs(90), &format!("{what}: the next good ones complete"), || {
                (completed() > completed_before + 1).then_some(())
            });
            assert_eq!(cluster.state(&job), "RUNNING", "{what}");
            assert!(cluster.exception(&job).is_null(), "{what}: {}", cluster.failure(&job));
        }
    }
    // What the server is busy with when the job ends would come when the JobManager has looked for the last time.
    proxy.begin(Trouble::Refused, |method, path| method == "PUT" || (method == "POST" && path.contains("upload")));
    eventually("nothing is on its way to the server", || (proxy.open() == 0).then_some(()));
    cluster.cancel(&job);
    cluster.await_state(&job, &["CANCELED"]);
    let left = || beneath(&server.objects("checkpoints"));
    within(Duration::from_secs(90), "nothing is left behind", || left().is_empty().then_some(()));
}

/// All files beneath a folder.
fn beneath(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { beneath(&path) } else { vec![path] }).collect()
}
