//! Whatever the storage of checkpoints does, the job goes on, what failed is counted and said, and the next good checkpoint
//! completes; and whatever happens to a file of a checkpoint, nobody goes on from it.

use std::path::Path;

use pelton_tests::cluster::signal;
use pelton_tests::counts::{arguments, assert_exact, finishes, lines, run, submit};
use pelton_tests::{Cluster, ClusterOptions, Disk, eventually};
use serde_json::Value;

fn options(folder: &Path) -> ClusterOptions {
    ClusterOptions::slots(2)
        .set("execution.checkpointing.dir", &folder.join("checkpoints").display().to_string())
        .set("execution.checkpointing.data-inline-threshold", "0 b")
        .set("execution.checkpointing.tolerable-failed-checkpoints", "1000000")
        .set("execution.checkpointing.externalized-checkpoint-retention", "RETAIN_ON_CANCELLATION")
        .set("restart-strategy.type", "fixed-delay")
        .set("restart-strategy.fixed-delay.attempts", "100")
        .set("restart-strategy.fixed-delay.delay", "0 ms")
}

fn checkpoints(cluster: &Cluster, job: &str) -> Value {
    cluster.get(&format!("/jobs/{job}/checkpoints"))
}

fn count(cluster: &Cluster, job: &str, what: &str) -> u64 {
    checkpoints(cluster, job)["counts"][what].as_u64().expect("a number")
}

fn published(output: &Path, more_than: usize) {
    eventually("results are published", || (lines(&output.join("running")).len() > more_than).then_some(()));
}

#[test]
fn a_storage_that_refuses_for_a_while_costs_nothing_but_its_checkpoints() {
    let folder = tempfile::tempdir().expect("a folder");
    let cluster = Cluster::start(options(folder.path()).set("execution.checkpointing.interval", "100 ms"));
    let output = folder.path().join("out");
    let job = submit(&cluster, 2, &output);
    published(&output, 500);
    let (place, aside) = (folder.path().join("checkpoints"), folder.path().join("aside"));
    std::fs::rename(&place, &aside).expect("it can be moved");
    std::fs::write(&place, "no folder").expect("written");
    let before = count(&cluster, &job, "failed");
    eventually("checkpoints fail", || (count(&cluster, &job, "failed") > before + 2).then_some(()));
    let failed = checkpoints(&cluster, &job)["latest"]["failed"]["failure_message"].clone();
    let failed = failed.as_str().expect("a reason");
    assert!(failed.contains("is not a directory") && failed.contains("chk-"), "{failed}");
    assert_eq!(cluster.state(&job), "RUNNING");
    std::fs::remove_file(&place).expect("it can be removed");
    std::fs::rename(&aside, &place).expect("it can be moved back");
    let before = count(&cluster, &job, "completed");
    eventually("the next one completes", || (count(&cluster, &job, "completed") > before).then_some(()));
    finishes(&cluster, &job);
    assert_exact(&output);
    assert_eq!(count(&cluster, &job, "restored"), 0);
}

#[test]
fn a_record_that_cannot_be_stored_costs_its_checkpoint_only() {
    let folder = tempfile::tempdir().expect("a folder");
    let cluster = Cluster::start(options(folder.path()).set("execution.checkpointing.interval", "100 ms"));
    let output = folder.path().join("out");
    let job = submit(&cluster, 2, &output);
    published(&output, 500);
    let newest = checkpoints(&cluster, &job)["latest"]["completed"]["id"].as_u64().expect("a checkpoint");
    // Something that is no record lies where the record of a checkpoint to come will.
    let taken = newest + 10;
    let place = folder.path().join(format!("checkpoints/{job}/chk-{taken}/_metadata"));
    std::fs::create_dir_all(place.join("in-the-way")).expect("a folder");
    let failed = eventually("it fails", || {
        let failed = checkpoints(&cluster, &job)["latest"]["failed"].clone();
        (failed["id"] == taken).then_some(failed)
    });
    let reason = failed["failure_message"].as_str().expect("a reason");
    assert!(reason.contains("its storage did not say whether its record exists"), "{reason}");
    eventually("the next one completes", || {
        (checkpoints(&cluster, &job)["latest"]["completed"]["id"].as_u64() > Some(taken)).then_some(())
    });
    finishes(&cluster, &job);
    assert_exact(&output);
}

#[test]
fn a_disk_that_is_full_or_read_only_for_a_while_costs_nothing_but_its_checkpoints() {
    type Trouble = (&'static str, fn(&Disk), fn(&Disk));
    let troubles: [Trouble; 2] = [
        ("No space left on device", Disk::fill, Disk::make_room),
        ("Read-only file system", |disk| disk.remount("ro"), |disk| disk.remount("rw")),
    ];
    for (expected, begins, ends) in troubles {
        let folder = tempfile::tempdir().expect("a folder");
        let disk = Disk::mount(folder.path().join("checkpoints"), 8);
        let cluster = Cluster::start(options(folder.path()).set("execution.checkpointing.interval", "100 ms"));
        let output = folder.path().join("out");
        let job = submit(&cluster, 2, &output);
        published(&output, 500);
        begins(&disk);
        eventually("checkpoints fail", || {
            let failed = checkpoints(&cluster, &job)["latest"]["failed"]["failure_message"].clone();
            failed.as_str().is_some_and(|reason| reason.contains(expected)).then_some(())
        });
        assert_eq!(cluster.state(&job), "RUNNING");
        ends(&disk);
        let before = count(&cluster, &job, "completed");
        eventually("the next one completes", || (count(&cluster, &job, "completed") > before).then_some(()));
        finishes(&cluster, &job);
        assert_exact(&output);
        assert_eq!(count(&cluster, &job, "restored"), 0);
    }
}

/// Does something to the files of a checkpoint.
type Damage = (&'static str, fn(&Path));

const DAMAGES: [Damage; 3] = [
    ("there is no file", |file| std::fs::remove_file(file).expect("removed")),
    ("bytes and should have", |file| {
        let bytes = std::fs::read(file).expect("read");
        std::fs::write(file, &bytes[..bytes.len() - 1]).expect("cut");
    }),
    ("is damaged", |file| {
        let mut bytes = std::fs::read(file).expect("read");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 4;
        std::fs::write(file, bytes).expect("damaged");
    }),
];

/// Takes a checkpoint now, and answers with its number.
fn take(cluster: &Cluster, job: &str) -> u64 {
    let output = cluster.client(["checkpoint", job]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let number = said.lines().find_map(|line| line.strip_prefix("Checkpoint ")?.split(' ').next()?.parse().ok());
    number.unwrap_or_else(|| panic!("{said}{}", String::from_utf8_lossy(&output.stderr)))
}

fn files(directory: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(directory).expect("a folder").flatten().map(|entry| entry.path());
    let mut files: Vec<_> = entries.filter(|path| path.is_file()).collect();
    files.sort();
    files
}

#[test]
fn a_job_whose_newest_checkpoint_is_damaged_goes_on_from_the_one_before() {
    for (expected, damage) in DAMAGES {
        let folder = tempfile::tempdir().expect("a folder");
        let options = options(folder.path()).set("execution.checkpointing.interval", "1 h");
        let cluster = Cluster::start(options.set("execution.checkpointing.num-retained", "2"));
        let job = submit(&cluster, 2, &folder.path().join("out"));
        cluster.await_running(&job);
        let (older, newer) = (take(&cluster, &job), take(&cluster, &job));
        let directory = folder.path().join(format!("checkpoints/{job}/chk-{newer}"));
        let state = files(&directory).into_iter().find(|file| file.extension().is_some()).expect("a state file");
        damage(&state);
        for worker in cluster.workers_of(&job) {
            signal(worker, 9);
        }
        finishes(&cluster, &job);
        let restored = checkpoints(&cluster, &job)["latest"]["restored"]["id"].as_u64();
        assert_eq!(restored, Some(older), "{expected}");
        let said = cluster.get(&format!("/jobs/{job}/exceptions")).to_string();
        let name = state.file_name().expect("a name").to_string_lossy().into_owned();
        assert!(said.contains(expected) && said.contains(&name), "{expected}, {name}: {said}");
    }
}

#[test]
fn nobody_begins_from_a_checkpoint_of_which_any_file_is_damaged() {
    let folder = tempfile::tempdir().expect("a folder");
    let cluster = Cluster::start(options(folder.path()).set("execution.checkpointing.interval", "1 h"));
    let output = folder.path().join("out");
    let job = submit(&cluster, 2, &output);
    cluster.await_running(&job);
    let checkpoint = folder.path().join(format!("checkpoints/{job}/chk-{}", take(&cluster, &job)));
    cluster.cancel(&job);
    cluster.await_state(&job, &["CANCELED"]);
    let all = files(&checkpoint);
    assert!(all.len() > 2, "{all:?}");
    for file in &all {
        let whole = std::fs::read(file).expect("a file");
        let name = file.file_name().expect("a name").to_string_lossy().into_owned();
        for (expected, damage) in DAMAGES {
            damage(file);
            let path = checkpoint.display().to_string();
            let said = run(&cluster, &["-s", &path, "-Drestart-strategy.type=none"], &arguments(&output));
            let said = said.expect_err("it is damaged");
            // Of a directory without a record only that is missing which makes it a checkpoint.
            let missing_record = name == "_metadata" && expected == "there is no file";
            let expected = if missing_record { "is no checkpoint and no savepoint" } else { expected };
            assert!(said.contains(expected) && said.contains(&name), "{name}, {expected}: {said}");
            std::fs::write(file, &whole).expect("mended");
        }
    }
    let path = checkpoint.display().to_string();
    run(&cluster, &["-s", &path], &arguments(&output)).expect("mended, it is whole");
    assert_exact(&output);
}
