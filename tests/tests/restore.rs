//! A job begins from a checkpoint or savepoint of another one, at whatever parallelism, or is refused with a reason.

use std::path::{Path, PathBuf};

use pelton_tests::cluster::signal;
use pelton_tests::counts::{KEYS, ROWS, arguments, assert_exact, finishes, lines, run, run_from, submit, submit_slow};
use pelton_tests::{Cluster, ClusterOptions, eventually};

/// A cluster whose jobs take checkpoints in `folder` every 100 ms and leave them there.
fn options(slots: u32, folder: &Path) -> ClusterOptions {
    ClusterOptions::slots(slots)
        .set("execution.checkpointing.interval", "100 ms")
        .set("execution.checkpointing.dir", &folder.join("checkpoints").display().to_string())
        .set("execution.checkpointing.externalized-checkpoint-retention", "RETAIN_ON_CANCELLATION")
}

/// The newest checkpoint of a job that is over.
fn newest(folder: &Path, job: &str) -> PathBuf {
    let number = |path: &Path| path.file_name()?.to_str()?.strip_prefix("chk-")?.parse::<u64>().ok();
    let all = std::fs::read_dir(folder.join("checkpoints").join(job)).expect("checkpoints").flatten();
    let whole = all.map(|entry| entry.path()).filter(|path| path.join("_metadata").exists());
    whole.max_by_key(|path| number(path)).expect("a checkpoint")
}

/// Starts counting, cancels in the middle, and answers with the checkpoint that is left.
fn interrupted(cluster: &Cluster, folder: &Path, output: &Path) -> PathBuf {
    let job = submit(cluster, 2, output);
    eventually("results are published", || (lines(&output.join("running")).len() > 1000).then_some(()));
    cluster.cancel(&job);
    cluster.await_state(&job, &["CANCELED"]);
    let checkpoint = newest(folder, &job);
    assert!(lines(&output.join("running")).len() < (ROWS / 2) as usize, "it was interrupted too late");
    checkpoint
}

#[test]
fn a_job_goes_on_from_a_retained_checkpoint_at_other_parallelisms() {
    let folder = tempfile::tempdir().expect("a folder");
    let cluster = Cluster::start(options(4, folder.path()));
    for parallelism in ["1", "3"] {
        let output = folder.path().join(format!("out-{parallelism}"));
        let checkpoint = interrupted(&cluster, folder.path(), &output);
        let id: u64 = checkpoint.to_string_lossy().rsplit('-').next().expect("an id").parse().expect("a number");
        let job = run_from(&cluster, &checkpoint, &["-p", parallelism], &arguments(&output));
        finishes(&cluster, &job);
        assert_exact(&output);
        assert!(checkpoint.join("_metadata").exists(), "what is not claimed stays");

        let statistics = cluster.get(&format!("/jobs/{job}/checkpoints"));
        assert_eq!(statistics["counts"]["restored"], 1);
        let restored = &statistics["latest"]["restored"];
        assert_eq!((&restored["id"], &restored["is_savepoint"]), (&id.into(), &false.into()));
        assert_eq!(restored["external_path"], format!("file:{}", checkpoint.display()));
        assert!(statistics["latest"]["completed"]["id"].as_u64() > Some(id), "ids go on");
    }
}

#[test]
fn a_checkpoint_that_is_claimed_is_the_jobs_own() {
    let folder = tempfile::tempdir().expect("a folder");
    let cluster = Cluster::start(options(2, folder.path()));
    let output = folder.path().join("out");
    let checkpoint = interrupted(&cluster, folder.path(), &output);
    let record = checkpoint.join("_metadata");
    let job = run_from(&cluster, &record, &["-p", "2", "-cm", "claim"], &arguments(&output));
    eventually("the claimed checkpoint is subsumed and removed", || (!record.exists()).then_some(()));
    finishes(&cluster, &job);
    assert_exact(&output);
}

#[test]
fn what_a_killed_job_manager_has_left_goes_with_the_checkpoint_that_is_claimed() {
    let folder = tempfile::tempdir().expect("a folder");
    let options = options(2, folder.path())
        .set("state.backend.type", "rocksdb")
        .set("execution.checkpointing.incremental", "true")
        .set("execution.checkpointing.data-inline-threshold", "0 b");
    let cluster = Cluster::start(options.clone());
    let output = folder.path().join("out");
    let job = submit_slow(KEYS, &cluster, 2, &output);
    eventually("results are published", || (lines(&output.join("running")).len() > 1000).then_some(()));
    signal(cluster.processes()[0], 9);
    eventually("its workers are gone", || cluster.workers_of(&job).is_empty().then_some(()));
    let checkpoint = newest(folder.path(), &job);
    let of_job = checkpoint.parent().expect("a folder");
    let next = checkpoint.to_string_lossy().rsplit('-').next().expect("an id").parse::<u64>().expect("a number") + 1;
    // What it may have been at, whatever the moment was.
    for left in [
        format!("chk-{next}/0a.state"),
        format!("chk-{next}/._metadata.1f.part"),
        format!("shared/chk-{next}-0a-0-000017.sst"),
        format!("shared/.chk-{next}-0a-0-000018.sst.1f.part"),
        "shared/1-0a.state".to_owned(),
    ] {
        let path = of_job.join(left);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("made");
        std::fs::write(path, b"half").expect("written");
    }
    let cluster = Cluster::start(options);
    let job = run_from(&cluster, &checkpoint, &["-p", "2", "-cm", "claim"], &arguments(&output));
    finishes(&cluster, &job);
    assert_exact(&output);
    eventually("nothing is left of the former job", || (!of_job.exists()).then_some(()));
}

#[test]
fn what_a_job_cannot_begin_from_is_refused_before_it_exists() {
    let folder = tempfile::tempdir().expect("a folder");
    let cluster = Cluster::start(options(2, folder.path()));
    let output = folder.path().join("out");
    let checkpoint = interrupted(&cluster, folder.path(), &output);
    let jobs = || cluster.get("/jobs")["jobs"].as_array().expect("a list").len();
    let before = jobs();
    let above = checkpoint.parent().expect("the job's directory");
    let name = checkpoint.file_name().expect("a name").to_string_lossy().into_owned();
    let refused = |path: &Path, flags: &[&str], expected: &str| {
        let shown = path.display().to_string();
        let flags = [&["-d", "-s", shown.as_str()], flags].concat();
        let said = run(&cluster, &flags, &arguments(&output)).expect_err(expected);
        let expected = expected.replace("PATH", &path.display().to_string());
        assert!(said.contains(&expected), "{said}\nis to contain\n{expected}");
    };
    let nowhere = folder.path().join("nowhere");
    refused(
        &nowhere,
        &[],
        "the submission was refused: the job cannot begin from `PATH`: there is no checkpoint and no savepoint: `file:PATH` does not exist or is empty",
    );
    refused(above, &[], &format!("it is a directory of checkpoints and not one of them: it has `{name}`"));
    refused(
        &folder.path().join("out/running"),
        &[],
        "it is no checkpoint and no savepoint: `file:PATH/_metadata` does not exist, although other files are there",
    );
    refused(
        &checkpoint,
        &["-Dpipeline.max-parallelism=256"],
        "was saved with max parallelism 128 and has 256 in the job",
    );

    let numbers = ["numbers", "10", &folder.path().join("numbers").display().to_string()].map(str::to_owned);
    let path = checkpoint.display().to_string();
    let said = run(&cluster, &["-d", "-s", &path], &numbers).expect_err("another job");
    assert!(said.contains("which is not in the job: it had no uid"), "{said}");
    assert!(said.contains("--allowNonRestoredState"), "{said}");
    assert_eq!(jobs(), before, "nothing of them was begun");
    let job = run_from(&cluster, &checkpoint, &["-n"], &numbers);
    finishes(&cluster, &job);

    let moved = folder.path().join("moved");
    std::fs::rename(&checkpoint, &moved).expect("it can be moved");
    refused(&moved, &[], &format!("whose directory has to keep its name `{name}`"));
    std::fs::rename(&moved, &checkpoint).expect("and back");
    let record = std::fs::read(checkpoint.join("_metadata")).expect("a record");
    std::fs::write(checkpoint.join("_metadata"), &record[..record.len() - 1]).expect("it can be cut");
    refused(&checkpoint, &[], "the checkpoint's record `file:PATH/_metadata` has");
    let mut flipped = record.clone();
    flipped[100] ^= 1;
    std::fs::write(checkpoint.join("_metadata"), &flipped).expect("it can be damaged");
    refused(
        &checkpoint,
        &[],
        "the checkpoint's record `file:PATH/_metadata` is damaged: its checksum does not match its bytes",
    );
}
