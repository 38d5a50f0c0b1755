//! A real HDFS: what it keeps and removes, what becomes of calls when its nodes hang or die, and jobs with checkpoints,
//! sources and sinks on it.

#![allow(clippy::disallowed_methods, reason = "tests run on the real clock")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use object_store::multipart::MultipartStore;
use object_store::path::Path as StorePath;
use object_store::{Error, ObjectStore, ObjectStoreExt};
use pelton_filesystem::checkpoint_storage;
use pelton_filesystem::location::{Location, Place};
use pelton_runtime_core::checkpoint::storage::{PutIfAbsent, Storage};
use pelton_runtime_core::env::Env;
use pelton_tests::cluster::signal;
use pelton_tests::programs::program;
use pelton_tests::{Cluster, ClusterOptions, Hdfs, eventually, within};

const KEYS: u64 = 10;
const ROWS: u64 = 15_000;

/// More than enough for a call whose steps may take 3 s or 6 s each.
const BOUNDED: Duration = Duration::from_secs(30);

fn storage(hdfs: &Hdfs, path: &str) -> Arc<dyn Storage> {
    checkpoint_storage(&hdfs.url(path), &hdfs.settings(), &Env::production()).expect("a storage")
}

/// One whose calls end soon.
fn impatient_storage(hdfs: &Hdfs, path: &str) -> Arc<dyn Storage> {
    checkpoint_storage(&hdfs.url(path), &hdfs.impatient_settings(), &Env::production()).expect("a storage")
}

fn store(hdfs: &Hdfs, path: &str) -> (Arc<dyn ObjectStore>, Arc<dyn MultipartStore>, Location) {
    let mut settings = hdfs.settings();
    // With several, the client gives up when one is not yet done with the piece before.
    settings.insert("flink.hadoop.dfs.replication".to_owned(), "1".to_owned());
    let location = Location::parse(&hdfs.url(path), &settings).expect("a location");
    let Place::Remote { store, .. } = location.place() else { panic!("it is remote") };
    let pieces = location.multipart().expect("it has uploads in pieces");
    (Arc::clone(store), Arc::clone(pieces), location.clone())
}

async fn paths(storage: &Arc<dyn Storage>) -> Vec<String> {
    storage.list().await.expect("listed").into_iter().map(|file| file.path).collect()
}

/// The directories in a directory.
async fn directories(hdfs: &Hdfs, path: &str) -> Vec<String> {
    let listed = store(hdfs, "").0.list_with_delimiter(Some(&StorePath::from(path))).await.expect("listed");
    listed.common_prefixes.iter().map(ToString::to_string).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_kept_found_and_removed_and_calls_end_when_nodes_do_not_answer() {
    let Some(mut hdfs) = Hdfs::start(2) else { return };
    of_many_writers_of_one_record_one_is_told_that_it_stored_it(&hdfs).await;
    large_files_are_read_from_anywhere(&hdfs).await;
    directories_go_with_the_last_file_in_them(&hdfs).await;
    a_write_that_is_given_up_leaves_nothing(&hdfs).await;
    what_a_killed_writer_left_is_in_nobodys_way(&hdfs).await;
    an_upload_in_pieces_is_completed_by_another_process_or_given_up(&hdfs).await;
    files_are_renamed(&hdfs).await;
    a_name_node_that_hangs_ends_calls_and_goes_on_later(&hdfs).await;
    // The last one, as the data nodes are gone after it.
    a_data_node_that_dies_in_a_read_is_replaced_as_long_as_there_is_another(&mut hdfs).await;
}

async fn of_many_writers_of_one_record_one_is_told_that_it_stored_it(hdfs: &Hdfs) {
    let storage = storage(hdfs, "once/job");
    assert!(storage.list().await.expect("nothing is there").is_empty());
    let writers = (0..16u8).map(|writer| {
        let storage = storage.clone();
        tokio::spawn(async move { storage.put_if_absent("chk-1/_metadata", Bytes::from(vec![writer; 100])).await })
    });
    let mut stored = Vec::new();
    for (number, writer) in (0u8..).zip(writers.collect::<Vec<_>>()) {
        match writer.await.expect("no panic").expect("an answer") {
            PutIfAbsent::Stored => stored.push(number),
            PutIfAbsent::Existed => {}
            PutIfAbsent::Unknown { reason } => panic!("the name node answers: {reason}"),
        }
    }
    assert_eq!(stored.len(), 1, "{stored:?}");
    assert_eq!(storage.get("chk-1/_metadata").await.expect("there"), vec![stored[0]; 100]);
    within(BOUNDED, "what the others have written is removed", || {
        tokio::task::block_in_place(|| {
            let paths = tokio::runtime::Handle::current().block_on(paths(&storage));
            (paths == ["chk-1/_metadata"]).then_some(())
        })
    });
}

async fn large_files_are_read_from_anywhere(hdfs: &Hdfs) {
    let storage = storage(hdfs, "large");
    // Several parts of ours, and several blocks of HDFS.
    let large: Bytes = (0..20 << 20).map(|n: u32| (n ^ (n >> 9)) as u8).collect();
    storage.put("a.state", large.clone()).await.expect("written in parts");
    assert!(storage.get("a.state").await.expect("there") == large);
    for range in [0..1, 4_194_303..4_194_305, 1_000_000..9_000_000, 20_971_519..20_971_520] {
        let read = storage.get_range("a.state", range.clone()).await.expect("read");
        assert!(read == large.slice(range.start as usize..range.end as usize), "{range:?}");
    }
    storage.put("a.state", Bytes::from_static(b"anew")).await.expect("written anew");
    assert_eq!(storage.get("a.state").await.expect("there"), "anew");
    storage.put("empty", Bytes::new()).await.expect("written");
    assert_eq!(storage.get("empty").await.expect("there"), "");
    let missing = storage.get("b.state").await.expect_err("not there").to_string();
    assert_eq!(missing, format!("there is no file `{}/b.state`", hdfs.url("large")));
}

async fn directories_go_with_the_last_file_in_them(hdfs: &Hdfs) {
    let storage = storage(hdfs, "chks/job");
    for path in ["chk-1/a.state", "chk-1/b.state", "shared/c"] {
        storage.put(path, Bytes::from_static(b"x")).await.expect("written");
    }
    assert_eq!(paths(&storage).await, ["chk-1/a.state", "chk-1/b.state", "shared/c"]);
    storage.delete("chk-1/a.state").await.expect("removed");
    assert_eq!(directories(hdfs, "chks/job").await, ["chks/job/chk-1", "chks/job/shared"]);
    for path in ["chk-1/b.state", "chk-1/b.state", "chk-2/never"] {
        storage.delete(path).await.expect("removed, or gone");
    }
    assert_eq!(directories(hdfs, "chks/job").await, ["chks/job/shared"]);
    storage.delete("shared/c").await.expect("removed");
    // The directory of all jobs is somebody else's.
    assert_eq!(directories(hdfs, "chks").await, [""; 0]);
    assert!(directories(hdfs, "").await.contains(&"chks".to_owned()));
}

async fn a_write_that_is_given_up_leaves_nothing(hdfs: &Hdfs) {
    let storage = storage(hdfs, "given-up/job");
    let large: Bytes = vec![7; 8 << 20].into();
    {
        let put = storage.put("chk-1/a.state", large);
        let begun = async {
            while paths(&storage).await.is_empty() {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            biased;
            () = begun => {}
            written = put => written.expect("it may be faster"),
        }
    }
    let started = Instant::now();
    let given_up = || async {
        let has_directory = directories(hdfs, "given-up/job").await.contains(&"given-up/job/chk-1".to_owned());
        has_directory && !paths(&storage).await.contains(&"chk-1/a.state".to_owned())
    };
    while given_up().await {
        assert!(started.elapsed() < BOUNDED, "{:?}", paths(&storage).await);
        tokio::task::yield_now().await;
    }
}

/// The steps of a record are: a hidden file, its end, its name. Whoever dies before the last has not stored it.
async fn what_a_killed_writer_left_is_in_nobodys_way(hdfs: &Hdfs) {
    let storage = storage(hdfs, "killed/job");
    let left = "chk-1/._metadata.00000000000000ff.part";
    storage.put(left, Bytes::from_static(b"half")).await.expect("written");
    assert_eq!(
        storage.put_if_absent("chk-1/_metadata", Bytes::from_static(b"whole")).await.expect("an answer"),
        PutIfAbsent::Stored
    );
    assert_eq!(
        storage.put_if_absent("chk-1/_metadata", Bytes::from_static(b"late")).await.expect("an answer"),
        PutIfAbsent::Existed
    );
    assert_eq!(storage.get("chk-1/_metadata").await.expect("there"), "whole");
    let found = paths(&storage).await;
    assert!(found.contains(&left.to_owned()), "what sweeps finds it: {found:?}");
}

async fn an_upload_in_pieces_is_completed_by_another_process_or_given_up(hdfs: &Hdfs) {
    let (_, writer, _) = store(hdfs, "pieces");
    let path = StorePath::from("pieces/part-0");
    let id = writer.create_multipart(&path).await.expect("begun");
    let mut pieces = Vec::new();
    for (index, text) in ["one ", "two ", "three"].into_iter().enumerate() {
        pieces.push(writer.put_part(&path, &id, index, text.into()).await.expect("appended"));
    }
    let again = writer.put_part(&path, &id, 1, "two ".into()).await.expect_err("out of order").to_string();
    assert!(again.contains("does not grow by piece 1 now"), "{again}");
    let (other_store, other, location) = store(hdfs, "pieces");
    let open = location.open_uploads().expect("they can be listed");
    let uploads = open.beneath(&StorePath::from("pieces")).await.expect("listed");
    assert_eq!(
        uploads.iter().map(|upload| (&upload.path, upload.id.as_str())).collect::<Vec<_>>(),
        [(&path, id.as_str())]
    );
    let short = other.complete_multipart(&path, &id, pieces[..2].to_vec()).await.expect_err("too short").to_string();
    assert!(short.contains("has 13 bytes, expected 8"), "{short}");
    other.complete_multipart(&path, &id, pieces.clone()).await.expect("completed");
    let read = other_store.get(&path).await.expect("there").bytes().await.expect("read");
    assert_eq!(read, "one two three");
    let repeated = other.complete_multipart(&path, &id, pieces).await;
    assert!(matches!(repeated, Err(Error::NotFound { .. })), "{repeated:?}");
    let given_up = other.create_multipart(&path).await.expect("begun");
    other.put_part(&path, &given_up, 0, "lost".into()).await.expect("written");
    other.abort_multipart(&path, &given_up).await.expect("given up");
    assert!(open.beneath(&StorePath::from("pieces")).await.expect("listed").is_empty());
}

async fn files_are_renamed(hdfs: &Hdfs) {
    let (store, ..) = store(hdfs, "");
    let (from, to) = (StorePath::from("names/a"), StorePath::from("names/below/b c"));
    store.put(&from, "x".into()).await.expect("written");
    store.rename(&from, &to).await.expect("renamed");
    assert!(matches!(store.head(&from).await, Err(Error::NotFound { .. })));
    assert_eq!(store.head(&to).await.expect("there").size, 1);
    store.put(&from, "y".into()).await.expect("written");
    let taken = store.rename_if_not_exists(&from, &to).await;
    assert!(matches!(taken, Err(Error::AlreadyExists { .. })), "{taken:?}");
    assert!(matches!(store.head(&StorePath::from("names")).await, Err(Error::NotFound { .. })), "it is a directory");
}

async fn a_name_node_that_hangs_ends_calls_and_goes_on_later(hdfs: &Hdfs) {
    let storage = impatient_storage(hdfs, "hangs");
    storage.put("there", Bytes::from_static(b"x")).await.expect("written");
    hdfs.pause();
    let started = Instant::now();
    let (put, record, got, listed, removed) = tokio::join!(
        storage.put("a", Bytes::from_static(b"x")),
        storage.put_if_absent("b", Bytes::from_static(b"x")),
        storage.get("there"),
        storage.list(),
        storage.delete("there"),
    );
    let took = started.elapsed();
    hdfs.resume();
    assert!(took < BOUNDED, "{took:?}");
    for failed in [put.map(drop), record.map(drop), got.map(drop), listed.map(drop), removed] {
        let error = failed.expect_err("nobody answered");
        let chain = pelton_runtime_core::failure::error_chain(&error);
        assert!(chain.contains("no answer within 3s"), "{chain}");
    }
    let started = Instant::now();
    while storage.put("a", Bytes::from_static(b"y")).await.is_err() {
        assert!(started.elapsed() < BOUNDED);
    }
    assert_eq!(storage.get("a").await.expect("there"), "y");
}

async fn a_data_node_that_dies_in_a_read_is_replaced_as_long_as_there_is_another(hdfs: &mut Hdfs) {
    use futures::TryStreamExt;
    let storage = impatient_storage(hdfs, "replaced");
    let large: Bytes = vec![9; 48 << 20].into();
    storage.put("a.state", large.clone()).await.expect("written");
    let mut parts = storage.get_parts("a.state").await.expect("there");
    let mut read = parts.try_next().await.expect("read").expect("a part").len();
    hdfs.kill_data_node(0);
    while let Some(part) = parts.try_next().await.expect("read from the other one") {
        read += part.len();
    }
    assert_eq!(read, large.len());
    let mut parts = storage.get_parts("a.state").await.expect("there");
    parts.try_next().await.expect("read").expect("a part");
    hdfs.kill_data_node(1);
    let started = Instant::now();
    let failed = async {
        while parts.try_next().await?.is_some() {}
        Ok::<_, pelton_runtime_core::checkpoint::storage::StorageError>(())
    };
    let error = failed.await.expect_err("no node has it");
    assert!(started.elapsed() < BOUNDED, "{error}");
    let error = storage.put("b", Bytes::from_static(b"x")).await.expect_err("nobody takes it");
    assert!(started.elapsed() < BOUNDED + BOUNDED, "{error}");
}

/// A cluster whose jobs take checkpoints on the file system every 200 ms and restart at once.
fn options(hdfs: &Hdfs) -> ClusterOptions {
    let mut options = ClusterOptions::slots(2)
        .set("execution.checkpointing.interval", "200 ms")
        .set("execution.checkpointing.dir", &hdfs.url("checkpoints"))
        // Also small state is a file.
        .set("execution.checkpointing.data-inline-threshold", "0 b")
        .set("execution.checkpointing.externalized-checkpoint-retention", "RETAIN_ON_CANCELLATION")
        .set("restart-strategy.type", "fixed-delay")
        .set("restart-strategy.fixed-delay.attempts", "100")
        .set("restart-strategy.fixed-delay.delay", "0 ms");
    options.settings.extend(hdfs.settings());
    options
}

/// How often each line is in the visible files of a directory.
async fn lines(hdfs: &Hdfs, path: &str) -> BTreeMap<String, usize> {
    let storage = storage(hdfs, path);
    let mut lines = BTreeMap::new();
    for file in paths(&storage).await.iter().filter(|path| !path.split('/').any(|part| part.starts_with('.'))) {
        let bytes = storage.get(file).await.expect("read");
        for line in std::str::from_utf8(&bytes).expect("text").lines() {
            *lines.entry(line.to_owned()).or_default() += 1;
        }
    }
    lines
}

#[test]
fn a_job_with_checkpoints_and_files_on_hdfs_loses_and_doubles_nothing_when_its_workers_are_killed() {
    let Some(hdfs) = Hdfs::start(1) else { return };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let cluster = Cluster::start(options(&hdfs));
    let completed = |job: &str| {
        cluster.get(&format!("/jobs/{job}/checkpoints"))["counts"]["completed"].as_u64().unwrap_or_default()
    };
    let arguments = ["counts", &ROWS.to_string(), &KEYS.to_string(), "1500", &hdfs.url("out")];
    let job = cluster.submit(2, &program("test-job"), &arguments);
    for _ in 0..2 {
        let before = completed(&job);
        eventually("a checkpoint completes", || (completed(&job) > before).then_some(()));
        for worker in cluster.workers_of(&job) {
            signal(worker, 9);
        }
    }
    let state = within(Duration::from_secs(120), "the job ends", || {
        let state = cluster.state(&job);
        ["FINISHED", "FAILED"].contains(&state.as_str()).then_some(state)
    });
    assert_eq!(state, "FINISHED", "{}", cluster.failure(&job));
    let found = runtime.block_on(lines(&hdfs, "out/running"));
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
    eventually("nothing hidden is left among the files", || {
        let paths = runtime.block_on(paths(&runtime.block_on(async { storage(&hdfs, "out") })));
        (!paths.iter().any(|path| path.contains("/."))).then_some(())
    });
    eventually("a job that has finished leaves no checkpoints", || {
        runtime.block_on(async { paths(&storage(&hdfs, "checkpoints")).await }).is_empty().then_some(())
    });

    files_are_read(&hdfs, &runtime, &cluster);

    let output = cluster.folder().join("steady");
    let job = cluster.submit(1, &program("test-job"), &["steady", "1000", &output.display().to_string()]);
    eventually("checkpoints complete", || (completed(&job) > 3).then_some(()));
    cluster.cancel(&job);
    cluster.await_state(&job, &["CANCELED"]);
    let left = || runtime.block_on(async { paths(&storage(&hdfs, &format!("checkpoints/{job}"))).await });
    eventually("the retained checkpoint alone is left of a job that was cancelled", || {
        let left = left();
        let (retained, _) = left.first()?.split_once('/')?;
        let is_whole = left.contains(&format!("{retained}/_metadata"));
        (is_whole && left.iter().all(|path| path.split_once('/').is_some_and(|(of, _)| of == retained))).then_some(())
    });
}

fn files_are_read(hdfs: &Hdfs, runtime: &tokio::runtime::Runtime, cluster: &Cluster) {
    runtime.block_on(async {
        let storage = storage(hdfs, "in");
        for file in 0..3 {
            let rows: String = (0..5_000).map(|row| format!("{},{row}\n", file * 5_000 + row)).collect();
            storage.put(&format!("part-{file}.csv"), Bytes::from(format!("id,delay\n{rows}"))).await.expect("written");
        }
    });
    let job = cluster.submit(2, &program("test-job"), &["csv", "fail", &hdfs.url("in"), &hdfs.url("copied")]);
    cluster.await_state(&job, &["FINISHED"]);
    let found = runtime.block_on(lines(hdfs, "copied"));
    assert_eq!(found.len(), 15_000);
    assert!((0..15_000).all(|id| found.get(&format!("{id},{}", id % 5_000)) == Some(&1)));
}
