//! Checkpoints that write only what is new, of state in RocksDB and on the heap: nothing is lost or doubled, what one names stays, and what
//! none names goes.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use pelton_tests::cluster::signal;
use pelton_tests::counts::{
    KEYS, arguments, arguments_of, assert_exact, assert_exact_of, finishes, lines, run, run_from, submit_slow,
};
use pelton_tests::{Cluster, ClusterOptions, eventually};
use serde_json::Value;

/// So many that few of them are used between two checkpoints.
const MANY_KEYS: u64 = 6000;

/// A cluster whose jobs keep no key in memory, where they keep state in RocksDB as they are told to, and take checkpoints in `folder` every 100 ms, of which some are kept.
fn options(slots: u32, folder: &Path) -> ClusterOptions {
    ClusterOptions::slots(slots)
        .set("state.backend.type", "rocksdb")
        .set("pelton.state.rocksdb.cache-fraction", "0")
        .set("execution.checkpointing.incremental", "true")
        .set("execution.checkpointing.interval", "100 ms")
        .set("execution.checkpointing.num-retained", "3")
        .set("execution.checkpointing.dir", &folder.join("checkpoints").display().to_string())
        .set("execution.checkpointing.externalized-checkpoint-retention", "RETAIN_ON_CANCELLATION")
        .set("restart-strategy.type", "fixed-delay")
        .set("restart-strategy.fixed-delay.attempts", "100")
        .set("restart-strategy.fixed-delay.delay", "0 ms")
}

/// Waits for results that are more than those there are now.
fn await_progress(output: &Path) {
    let before = lines(&output.join("running")).len();
    eventually("a checkpoint publishes more results", || (lines(&output.join("running")).len() > before).then_some(()));
}

fn names_in(folder: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// The checkpoints of a job that exist, by number.
fn checkpoints(folder: &Path, job: &str) -> Vec<(u64, PathBuf)> {
    let folder = folder.join("checkpoints").join(job);
    let numbered = names_in(&folder).into_iter().filter_map(|name| {
        let number = name.strip_prefix("chk-")?.parse().ok()?;
        Some((number, folder.join(name))).filter(|(_, path)| path.join("_metadata").exists())
    });
    let mut all: Vec<_> = numbered.collect();
    all.sort();
    all
}

/// Whether a record names a file.
fn names(checkpoint: &Path, file: &str) -> bool {
    let record = std::fs::read(checkpoint.join("_metadata")).expect("a record");
    record.windows(file.len()).any(|window| window == file.as_bytes())
}

#[test]
fn killed_workers_cost_no_result_and_what_no_checkpoint_names_is_gone() {
    workers_are_killed("rocksdb", KEYS, ".sst");
}

#[test]
fn killed_workers_cost_no_result_of_state_in_layers_and_what_no_checkpoint_names_is_gone() {
    workers_are_killed("hashmap", MANY_KEYS, "-layer");
}

fn workers_are_killed(backend: &str, keys: u64, shared_files: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    let cluster = Cluster::start(
        options(2, folder.path())
            .set("state.backend.type", backend)
            // What there is after a moment has files of its own.
            .set("execution.checkpointing.data-inline-threshold", "1 kb"),
    );
    let output = folder.path().join("out");
    let job = submit_slow(keys, &cluster, 2, &output);
    for _ in 0..3 {
        await_progress(&output);
        cluster.workers_of(&job).into_iter().for_each(|worker| signal(worker, 9));
    }
    eventually("a checkpoint names files of an earlier one", || {
        let statistics = cluster.get(&format!("/jobs/{job}/checkpoints"));
        let is_small = |checkpoint: &Value| {
            let size = |field: &str| checkpoint[field].as_u64().filter(|_| checkpoint["status"] == "COMPLETED");
            let (Some(written), Some(all)) = (size("checkpointed_size"), size("state_size")) else { return false };
            // Of many keys few have changed.
            written < if keys > KEYS { all / 3 } else { all }
        };
        statistics["history"].as_array()?.iter().any(is_small).then_some(())
    });
    finishes(&cluster, &job);
    assert_exact_of(keys, &output);

    // One more, to be cancelled: what is left is what its checkpoints name.
    let output = folder.path().join("again");
    let job = submit_slow(keys, &cluster, 2, &output);
    await_progress(&output);
    cluster.workers_of(&job).into_iter().for_each(|worker| signal(worker, 9));
    let as_many_as_are_kept = || Some(checkpoints(folder.path(), &job)).filter(|all| all.len() == 3);
    eventually("as many checkpoints exist as are kept", as_many_as_are_kept);
    cluster.cancel(&job);
    cluster.await_state(&job, &["CANCELED"]);
    let kept = eventually("the surplus is gone", as_many_as_are_kept);
    eventually("only what is named is left", || {
        let shared = names_in(&folder.path().join("checkpoints").join(&job).join("shared"));
        assert!(shared.iter().any(|file| file.ends_with(shared_files)), "{shared:?}");
        shared.iter().all(|file| kept.iter().any(|(_, checkpoint)| names(checkpoint, file))).then_some(())
    });
}

#[test]
fn a_job_goes_on_from_one_at_other_parallelisms_and_on_the_heap() {
    let folder = tempfile::tempdir().expect("a folder");
    let cluster = Cluster::start(options(4, folder.path()));
    for (parallelism, backend, claim) in
        [("2", "rocksdb", "no_claim"), ("3", "rocksdb", "claim"), ("1", "hashmap", "claim")]
    {
        let output = folder.path().join(format!("out-{parallelism}"));
        let from = submit_slow(KEYS, &cluster, 2, &output);
        eventually("results are published", || (lines(&output.join("running")).len() > 1000).then_some(()));
        cluster.cancel(&from);
        cluster.await_state(&from, &["CANCELED"]);
        let kept = checkpoints(folder.path(), &from);
        let (_, checkpoint) = kept.last().expect("a checkpoint");
        let backend = format!("-Dstate.backend.type={backend}");
        let job =
            run_from(&cluster, checkpoint, &["-p", parallelism, "-claimMode", claim, &backend], &arguments(&output));
        finishes(&cluster, &job);
        assert_exact(&output);
        let claimed = claim == "claim";
        assert_eq!(checkpoint.join("_metadata").exists(), !claimed, "what is claimed is removed, and nothing else");
        // The others are whole.
        let shared = names_in(&checkpoint.parent().expect("a folder").join("shared"));
        for (_, other) in kept.iter().filter(|(_, other)| !claimed || other != checkpoint) {
            let record = std::fs::read(other.join("_metadata")).expect("a record");
            let text = String::from_utf8_lossy(&record).into_owned();
            let named = text.split("shared/").skip(1).filter_map(|rest| Some(&rest[..rest.find(".sst")? + 4]));
            for file in named {
                assert!(shared.contains(file), "{file} of {} is gone", other.display());
            }
        }
    }
}

#[test]
fn a_job_goes_on_from_layers_at_other_parallelisms_and_in_rocksdb() {
    let folder = tempfile::tempdir().expect("a folder");
    let options = options(4, folder.path())
        .set("state.backend.type", "hashmap")
        // A layer is a file also where few keys have changed.
        .set("execution.checkpointing.data-inline-threshold", "1 kb");
    let cluster = Cluster::start(options);
    for (parallelism, backend, claim) in [("3", "hashmap", "no_claim"), ("1", "rocksdb", "claim")] {
        let output = folder.path().join(format!("out-{parallelism}"));
        let from = submit_slow(MANY_KEYS, &cluster, 2, &output);
        let source = folder.path().join("checkpoints").join(&from).join("shared");
        let of_several = || {
            let kept = checkpoints(folder.path(), &from);
            let layers = names_in(&source).into_iter().filter(|file| file.ends_with("-layer"));
            let named = layers.filter(|file| kept.last().is_some_and(|(_, checkpoint)| names(checkpoint, file)));
            (named.count() > 4).then_some(())
        };
        eventually("a checkpoint has layers of several", of_several);
        cluster.cancel(&from);
        cluster.await_state(&from, &["CANCELED"]);
        let kept = checkpoints(folder.path(), &from);
        let (_, checkpoint) = kept.last().expect("a checkpoint");
        let backend = format!("-Dstate.backend.type={backend}");
        let flags = ["-p", parallelism, "-claimMode", claim, &backend];
        let job = run_from(&cluster, checkpoint, &flags, &arguments_of(MANY_KEYS, &output));
        finishes(&cluster, &job);
        assert_exact_of(MANY_KEYS, &output);
    }
}

/// Begins from a checkpoint whose file is damaged: the client refuses, or the job fails, and the file is named.
fn is_refused(cluster: &Cluster, checkpoint: &Path, arguments: &[String], file: &str, what: &str) {
    let source = checkpoint.display().to_string();
    let said = match run(cluster, &["-d", "-s", &source], arguments) {
        Err(said) => said,
        Ok(said) => {
            let job = said.trim().rsplit(' ').next().expect("an id");
            cluster.await_state(job, &["FAILED"]);
            cluster.failure(job)
        }
    };
    assert!(said.contains(file), "{file} was {what}: {said}");
}

#[test]
fn a_checkpoint_of_which_any_file_is_damaged_is_refused_with_its_name() {
    for (backend, keys) in [("rocksdb", KEYS), ("hashmap", MANY_KEYS)] {
        let folder = tempfile::tempdir().expect("a folder");
        let options = options(2, folder.path())
            .set("restart-strategy.type", "none")
            .set("state.backend.type", backend)
            // Also small state is a file.
            .set("execution.checkpointing.data-inline-threshold", "0 b");
        let cluster = Cluster::start(options);
        let output = folder.path().join("out");
        let arguments = arguments_of(keys, &output);
        let from = submit_slow(keys, &cluster, 2, &output);
        eventually("results are published", || (lines(&output.join("running")).len() > 1000).then_some(()));
        cluster.cancel(&from);
        cluster.await_state(&from, &["CANCELED"]);
        let (_, checkpoint) = checkpoints(folder.path(), &from).pop().expect("a checkpoint");
        let shared = checkpoint.parent().expect("a folder").join("shared");
        let own = names_in(&checkpoint).into_iter().map(|file| checkpoint.join(file));
        let named = names_in(&shared).into_iter().filter(|file| names(&checkpoint, file));
        let files: Vec<PathBuf> = own.chain(named.map(|file| shared.join(file))).collect();
        assert!(files.len() > 4, "{backend}: {files:?}");
        for path in &files {
            let file = path.file_name().expect("named").to_string_lossy().into_owned();
            let bytes = std::fs::read(path).expect("a file");
            std::fs::remove_file(path).expect("removed");
            is_refused(&cluster, &checkpoint, &arguments, &file, "removed");
            std::fs::write(path, &bytes[..bytes.len() - 1]).expect("cut");
            is_refused(&cluster, &checkpoint, &arguments, &file, "cut");
            let mut flipped = bytes.clone();
            flipped[bytes.len() / 2] ^= 1;
            std::fs::write(path, &flipped).expect("flipped");
            is_refused(&cluster, &checkpoint, &arguments, &file, "flipped");
            std::fs::write(path, &bytes).expect("mended");
        }
        let job = run_from(&cluster, &checkpoint, &[], &arguments);
        finishes(&cluster, &job);
        assert_exact_of(keys, &output);
    }
}

#[test]
fn a_job_whose_newest_files_are_damaged_goes_on_from_an_older_checkpoint() {
    let folder = tempfile::tempdir().expect("a folder");
    let options = options(2, folder.path())
        .set("execution.checkpointing.interval", "300 ms")
        .set("execution.checkpointing.num-retained", "20");
    let cluster = Cluster::start(options);
    let output = folder.path().join("out");
    let job = submit_slow(KEYS, &cluster, 2, &output);
    let shared = folder.path().join("checkpoints").join(&job).join("shared");
    let newest = eventually("three checkpoints, the last of which has written something", || {
        let all = checkpoints(folder.path(), &job);
        let newest = all.last().filter(|_| all.len() > 2)?.0;
        let wrote = names_in(&shared).iter().any(|file| file.starts_with(&format!("chk-{newest}-")));
        wrote.then_some(newest)
    });
    let mut damaged = 0;
    for file in names_in(&shared).into_iter().filter(|file| file.starts_with(&format!("chk-{newest}-"))) {
        let mut bytes = std::fs::read(shared.join(&file)).expect("a file");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        std::fs::write(shared.join(&file), bytes).expect("damaged");
        damaged += 1;
    }
    assert!(damaged > 0);
    cluster.workers_of(&job).into_iter().for_each(|worker| signal(worker, 9));
    let restored = eventually("it goes on from an older one", || {
        let id = cluster.get(&format!("/jobs/{job}/checkpoints"))["latest"]["restored"]["id"].as_u64()?;
        (id < newest).then_some(id)
    });
    finishes(&cluster, &job);
    // What was published between the two is published again, and nothing is missing.
    let running = lines(&output.join("running"));
    let expected = pelton_tests::counts::KEYS * (pelton_tests::counts::ROWS / pelton_tests::counts::KEYS);
    assert_eq!(running.len() as u64, expected, "after {restored}");
}

/// Workers that are killed find the copies of what checkpoints share on their host as `change` leaves them.
fn copies_are_changed(backend: &str, keys: u64, change: impl Fn(&Cluster, &Path, &str)) {
    let folder = tempfile::tempdir().expect("a folder");
    let options = options(2, folder.path())
        .set("state.backend.type", backend)
        .set("execution.checkpointing.interval", "300 ms")
        .set("execution.checkpointing.data-inline-threshold", "1 kb")
        .set("execution.state-recovery.from-local", "true");
    let cluster = Cluster::start(options);
    let output = folder.path().join("out");
    let job = submit_slow(keys, &cluster, 2, &output);
    let shared = folder.path().join("checkpoints").join(&job).join("shared");
    await_progress(&output);
    eventually("a checkpoint has files that others may name", || (!names_in(&shared).is_empty()).then_some(()));
    await_progress(&output);
    let workers = cluster.workers_of(&job);
    // Nothing is written meanwhile.
    workers.iter().for_each(|worker| signal(*worker, libc::SIGSTOP));
    change(&cluster, &shared, &job);
    workers.into_iter().for_each(|worker| signal(worker, libc::SIGKILL));
    finishes(&cluster, &job);
    assert_exact_of(keys, &output);
}

/// The copies on this host of what checkpoints share.
fn copies(cluster: &Cluster, job: &str) -> Vec<PathBuf> {
    let folders = |folder: &Path| -> Vec<PathBuf> {
        names_in(folder).into_iter().map(|name| folder.join(name)).filter(|path| path.is_dir()).collect()
    };
    let of_job = folders(&cluster.folder().join("tmp")).into_iter().map(|folder| folder.join("local-state").join(job));
    let of_checkpoints = of_job.flat_map(|folder| folders(&folder)).map(|folder| folder.join("shared"));
    of_checkpoints.flat_map(|folder| names_in(&folder).into_iter().map(move |name| folder.join(name))).collect()
}

#[test]
fn a_killed_workers_tasks_link_the_files_on_their_host_when_the_directory_has_lost_them() {
    for (backend, keys) in [("rocksdb", KEYS), ("hashmap", MANY_KEYS)] {
        copies_are_changed(backend, keys, |cluster, shared, job| {
            assert!(!copies(cluster, job).is_empty(), "{backend}");
            std::fs::remove_dir_all(shared).expect("removed");
        });
    }
}

#[test]
fn copies_on_a_host_that_are_damaged_or_gone_are_fetched_from_the_directory() {
    for (backend, keys) in [("rocksdb", KEYS), ("hashmap", MANY_KEYS)] {
        copies_are_changed(backend, keys, |cluster, _, job| {
            let copies = copies(cluster, job);
            assert!(!copies.is_empty(), "{backend}");
            // Several names of one file are of several checkpoints.
            let inode = |path: &PathBuf| std::fs::metadata(path).expect("a copy").ino();
            let mut files: Vec<u64> = copies.iter().map(inode).collect();
            files.sort_unstable();
            files.dedup();
            let names_of: Vec<Vec<PathBuf>> =
                files.iter().map(|file| copies.iter().filter(|path| inode(path) == *file).cloned().collect()).collect();
            for (number, names) in names_of.iter().enumerate() {
                let path = &names[0];
                let mut bytes = std::fs::read(path).expect("a copy");
                let middle = bytes.len() / 2;
                match number % 3 {
                    0 => bytes[middle] ^= 1,
                    1 => bytes.truncate(middle),
                    _ => {
                        names.iter().for_each(|name| std::fs::remove_file(name).expect("removed"));
                        continue;
                    }
                }
                std::fs::write(path, bytes).expect("damaged");
            }
        });
    }
}
