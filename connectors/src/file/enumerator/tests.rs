//! Files that are found while their readers run, and handed out on request, through restarts.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::*;
use crate::testing::{SplitCheckpoint, SplitJob, place, strings_of};

fn start(source: &FileSource, parallelism: u32, restored: Option<&SplitCheckpoint>) -> SplitJob {
    SplitJob::start(Arc::new(source.clone()), parallelism, restored, |batch| strings_of(std::slice::from_ref(batch)))
}

fn write(folder: &Path, file: &str, lines: std::ops::Range<usize>) {
    let text: String = lines.map(|line| format!("{line}\n")).collect();
    fs::write(folder.join(format!(".{file}")), text).expect("written");
    fs::rename(folder.join(format!(".{file}")), folder.join(file)).expect("renamed");
}

#[tokio::test(flavor = "multi_thread")]
async fn new_files_are_read_once_and_only_once_over_restarts_at_any_parallelism() {
    let folder = tempfile::tempdir().expect("a folder");
    let source = FileSource::text(folder.path().display().to_string());
    let source = source.split_bytes(1000).monitor_continuously(Duration::from_millis(5));
    let mut lines: BTreeMap<String, usize> = BTreeMap::new();
    let mut checkpoint: Option<SplitCheckpoint> = None;
    for (round, parallelism) in [2, 3, 1, 2].into_iter().enumerate() {
        let mut job = start(&source, parallelism, checkpoint.as_ref());
        write(folder.path(), &format!("file-{round}"), round * 1000..(round + 1) * 1000);
        // Somewhere in the middle.
        job.until(|job| job.values.len() > 300);
        checkpoint = Some(job.checkpoint());
        lines.append(&mut job.values);
        // What comes now is lost with the attempt.
        for _ in 0..5 {
            job.turn().expect("readable");
        }
    }
    let mut last = start(&source, 2, checkpoint.as_ref());
    let before = lines.len();
    last.until(|job| before + job.values.len() >= 4000);
    // The folder is looked at again, and nothing is new.
    write(folder.path(), "last", 4000..4001);
    last.until(|job| job.values.contains_key("4000"));
    lines.append(&mut last.values);
    assert_eq!(lines.len(), 4001);
    assert!(lines.values().all(|times| *times == 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bounded_source_that_hands_out_splits_ends_and_does_not_list_again_after_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    for file in 0..3 {
        write(folder.path(), &format!("file-{file}"), file * 1000..(file + 1) * 1000);
    }
    let source = FileSource::text(folder.path().display().to_string()).split_bytes(1000).splits_on_request();
    let mut job = start(&source, 2, None);
    // Nothing was listed yet: whoever restores this lists.
    let fresh = job.checkpoint();
    job.until(|job| !job.values.is_empty());
    let checkpoint = job.checkpoint();
    write(folder.path(), "too-late", 9000..9001);
    let mut again = start(&source, 3, Some(&checkpoint));
    while !again.turn().expect("readable") {}
    job.values.append(&mut again.values);
    assert_eq!(job.values.len(), 3000);
    assert!(job.values.values().all(|times| *times == 1));
    let mut listed = start(&source, 1, Some(&fresh));
    while !listed.turn().expect("readable") {}
    assert_eq!(listed.values.len(), 3001);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_location_that_is_not_there_fails_with_its_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let location = folder.path().join("nowhere").display().to_string();
    let mut job = start(&FileSource::text(&location).monitor_continuously(Duration::from_millis(5)), 1, None);
    let error = loop {
        if let Err(error) = job.turn() {
            break error.to_string();
        }
    };
    assert!(error.contains(&location), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_is_away_for_a_while_is_watched_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let (watched, away) = (folder.path().join("in"), folder.path().join("away"));
    fs::create_dir(&watched).expect("a folder");
    write(&watched, "first", 0..10);
    let source = FileSource::text(watched.display().to_string()).monitor_continuously(Duration::from_millis(5));
    let mut job = start(&source, 1, None);
    job.until(|job| job.values.len() == 10);
    fs::rename(&watched, &away).expect("moved");
    // As long as twenty looks take.
    let env = place(0, 1).env;
    let away_since = env.moment();
    while env.moment().since(away_since) < Duration::from_millis(100) {
        job.turn().expect("the job goes on");
    }
    write(&away, "second", 10..20);
    fs::rename(&away, &watched).expect("moved back");
    job.until(|job| job.values.len() == 20);
    assert!(job.values.values().all(|times| *times == 1));
}
