use std::process::Command;

use pelton_runtime_core::checkpoint::record::{CheckpointRecord, StateHandle};
use pelton_runtime_core::checkpoint::store::{CheckpointStore, RecordOutcome};
use pelton_runtime_core::element::CheckpointId;
use pelton_runtime_core::failure::error_chain;
use pelton_runtime_core::id::{Epoch, ExecutionAttemptId, JobId};

use super::*;

const JOB: JobId = JobId::from_bytes([1; 16]);

fn storage(root: &Path) -> LocalStorage {
    LocalStorage::new(root.to_owned(), format!("file://{}", root.display()), Env::production())
}

fn names(root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    list_into(root, "", &mut found).unwrap();
    let mut names: Vec<_> = found.into_iter().map(|file| file.path).collect();
    names.sort();
    names
}

/// A file system of its own, which is unmounted when dropped.
struct Mounted {
    directory: tempfile::TempDir,
}

impl Mounted {
    /// None where the user who runs the tests may not mount anything.
    fn new(options: &str) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let mount = Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(directory.path()).output();
        mount.is_ok_and(|output| output.status.success()).then_some(Self { directory })
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        drop(Command::new("umount").arg(self.directory.path()).status());
    }
}

#[tokio::test]
async fn large_files_are_read_in_parts() {
    let directory = tempfile::tempdir().unwrap();
    let storage = storage(directory.path());
    let bytes: Bytes = (0..2 * PART_BYTES + 5).map(|n| n as u8).collect();
    storage.put("chk-1/a.state", bytes.clone()).await.unwrap();
    let parts: Vec<Bytes> = storage.get_parts("chk-1/a.state").await.unwrap().try_collect().await.unwrap();
    assert_eq!(parts.iter().map(Bytes::len).collect::<Vec<_>>(), [PART_BYTES, PART_BYTES, 5]);
    assert_eq!(parts.concat(), bytes);
    let missing = storage.get_parts("chk-1/b.state").await.err();
    assert!(matches!(missing, Some(StorageError::NotFound { .. })), "{missing:?}");
}

#[tokio::test]
async fn files_are_written_read_listed_and_removed_with_their_directories() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("deep/job");
    let storage = storage(&root);
    assert_eq!(storage.list().await.unwrap(), []);
    storage.put("chk-1/a.state", Bytes::from_static(b"old")).await.unwrap();
    storage.put("chk-1/a.state", Bytes::from_static(b"new")).await.unwrap();
    assert_eq!(storage.get("chk-1/a.state").await.unwrap(), "new");
    assert_eq!(storage.list().await.unwrap(), [StoredFile { path: "chk-1/a.state".into(), bytes: 3 }]);
    let error = storage.get("chk-1/b.state").await.unwrap_err();
    assert!(matches!(&error, StorageError::NotFound { file } if file.ends_with("/deep/job/chk-1/b.state")), "{error}");
    storage.delete("chk-1/a.state").await.unwrap();
    storage.delete("chk-1/a.state").await.unwrap();
    assert!(!root.exists() && directory.path().join("deep").exists());
}

#[tokio::test]
async fn of_many_writers_of_one_file_one_is_told_that_it_stored_it() {
    let directory = tempfile::tempdir().unwrap();
    let storage = storage(directory.path());
    let writers = (0..16u8).map(|n| storage.put_if_absent("chk-1/_metadata", vec![n; 100].into()));
    let outcomes: Vec<_> = futures::future::join_all(writers).await.into_iter().map(Result::unwrap).collect();
    let winners: Vec<_> = (0u8..).zip(&outcomes).filter(|(_, outcome)| **outcome == PutIfAbsent::Stored).collect();
    assert_eq!(winners.len(), 1, "{outcomes:?}");
    assert!(outcomes.iter().all(|outcome| !matches!(outcome, PutIfAbsent::Unknown { .. })));
    assert_eq!(storage.get("chk-1/_metadata").await.unwrap(), vec![winners[0].0; 100]);
    assert_eq!(names(directory.path()), ["chk-1/_metadata"], "nothing is left behind");
}

#[tokio::test]
async fn writing_and_removing_in_one_directory_at_once_loses_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let storage = storage(&directory.path().join("job"));
    for round in 0..20 {
        let (a, b) = (format!("chk-1/a{round}"), format!("chk-1/b{round}"));
        storage.put(&a, Bytes::new()).await.unwrap();
        let (written, removed) = futures::join!(storage.put(&b, Bytes::new()), storage.delete(&a));
        written.unwrap();
        removed.unwrap();
        assert_eq!(storage.list().await.unwrap(), [StoredFile { path: b.clone(), bytes: 0 }]);
        storage.delete(&b).await.unwrap();
    }
}

#[tokio::test]
async fn no_path_leaves_the_directory() {
    let directory = tempfile::tempdir().unwrap();
    let storage = storage(&directory.path().join("job"));
    for path in ["../x", "/etc/x", "a/../../x", ""] {
        let outcome = storage.put(path, Bytes::new()).await;
        assert!(matches!(outcome, Err(StorageError::InvalidPath { .. })), "{path}");
        assert!(storage.get(path).await.is_err() && storage.delete(path).await.is_err());
    }
    assert_eq!(names(directory.path()), [""; 0]);
}

#[tokio::test]
async fn a_full_disk_fails_with_its_reason_and_leaves_nothing_behind() {
    let Some(mounted) = Mounted::new("size=64k") else {
        eprintln!("mounting is not allowed here: the full disk was not tested");
        return;
    };
    let storage = storage(mounted.directory.path());
    storage.put("chk-1/a.state", vec![1; 20_000].into()).await.unwrap();
    for _ in 0..3 {
        let error = storage.put("chk-2/a.state", vec![1; 200_000].into()).await.unwrap_err();
        let text = error_chain(&error);
        assert!(text.contains("chk-2/a.state") && text.contains("No space left on device"), "{text}");
        assert!(storage.put_if_absent("chk-2/_metadata", vec![1; 200_000].into()).await.is_err());
    }
    assert_eq!(names(mounted.directory.path()), ["chk-1/a.state"]);
    storage.delete("chk-1/a.state").await.unwrap();
    storage.put("chk-3/a.state", vec![1; 20_000].into()).await.unwrap();
}

#[tokio::test]
async fn a_read_only_directory_fails_with_its_reason_and_can_be_read() {
    let Some(mounted) = Mounted::new("size=64k") else {
        eprintln!("mounting is not allowed here: the read-only directory was not tested");
        return;
    };
    let storage = storage(mounted.directory.path());
    storage.put("chk-1/_metadata", Bytes::from_static(b"x")).await.unwrap();
    let remounted = Command::new("mount").args(["-o", "remount,ro"]).arg(mounted.directory.path()).status().unwrap();
    assert!(remounted.success());
    let error = storage.put("chk-1/a.state", Bytes::new()).await.unwrap_err();
    assert!(error_chain(&error).contains("Read-only file system"), "{}", error_chain(&error));
    assert!(storage.put_if_absent("chk-2/_metadata", Bytes::new()).await.is_err());
    assert!(storage.delete("chk-1/_metadata").await.is_err());
    assert_eq!(storage.get("chk-1/_metadata").await.unwrap(), "x");
}

#[tokio::test]
async fn a_directory_that_cannot_be_made_fails_with_its_reason() {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join("file"), b"").unwrap();
    let storage = storage(&directory.path().join("file/job"));
    let error = storage.put("chk-1/a.state", Bytes::new()).await.unwrap_err();
    assert!(error_chain(&error).ends_with("/file` is not a directory"), "{}", error_chain(&error));
    assert!(storage.put_if_absent("chk-1/_metadata", Bytes::new()).await.is_err());
}

/// A checkpoint of the job in this directory, as the whole product takes it.
async fn take(store: &CheckpointStore, checkpoint: u64) -> CheckpointRecord {
    let attempt = ExecutionAttemptId::from_bytes([checkpoint as u8; 16]);
    let path = layout::state(CheckpointId(checkpoint), attempt);
    let state = store.put_state(path, Some(vec![checkpoint as u8; 50]), 20).await.unwrap();
    assert!(matches!(state, StateHandle::File(_)));
    let subtasks = vec![pelton_runtime_core::checkpoint::record::SubtaskRecord { state, finished: false }];
    let vertex = pelton_runtime_core::checkpoint::record::VertexRecord {
        id: pelton_runtime_core::id::JobVertexId::from_bytes([1; 16]),
        name: "a".to_owned(),
        max_parallelism: 128,
        operators: Vec::new(),
        subtasks,
    };
    let record = CheckpointRecord {
        kind: Default::default(),
        job: JOB,
        checkpoint: CheckpointId(checkpoint),
        epoch: Epoch(1),
        triggered_at: 1,
        completed_at: 2,
        vertices: vec![vertex],
    };
    assert_eq!(store.write_record(&record).await.unwrap(), RecordOutcome::Stored);
    record
}

#[tokio::test]
async fn any_damaged_file_of_the_newest_checkpoint_is_refused_and_the_one_before_is_found() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("job");
    let store = CheckpointStore::new(JOB, std::sync::Arc::new(storage(&root)));
    take(&store, 1).await;
    take(&store, 2).await;
    for name in names(&root).into_iter().filter(|name| name.starts_with("chk-2/")) {
        let file = root.join(&name);
        let whole = fs::read(&file).unwrap();
        let mut flipped = whole.clone();
        flipped[20] ^= 1;
        for damaged in [None, Some(&whole[..10]), Some(&whole[..0]), Some(&flipped)] {
            match damaged {
                None => fs::remove_file(&file).unwrap(),
                Some(bytes) => fs::write(&file, bytes).unwrap(),
            }
            let latest = store.latest().await.unwrap();
            let newest = latest.record.expect("one is whole");
            // What only reading the state shows is found by who reads it.
            let refused = match latest.refused.first() {
                Some((_, error)) => error.to_string(),
                None if newest.checkpoint == CheckpointId(1) => name.clone(),
                None => store.verify(&newest).await.unwrap_err().to_string(),
            };
            let record_is_gone = damaged.is_none() && name.ends_with("_metadata");
            assert!(refused.contains(&name) || record_is_gone, "{refused}");
            fs::write(&file, &whole).unwrap();
        }
    }
    let latest = store.latest().await.unwrap();
    assert_eq!(latest.record.unwrap().checkpoint, CheckpointId(2));
}

#[tokio::test]
async fn a_crash_between_writing_and_naming_leaves_only_what_is_swept() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("job");
    let store = CheckpointStore::new(JOB, std::sync::Arc::new(storage(&root)));
    take(&store, 1).await;
    fs::write(root.join("chk-1/.x.state.0123.part"), b"half").unwrap();
    take(&store, 2).await;
    let removed =
        store.sweep(Some(Epoch(1)), CheckpointId(u64::MAX), &std::collections::BTreeSet::new()).await.unwrap();
    assert_eq!(removed, ["chk-1/.x.state.0123.part"]);
    store.remove(CheckpointId(1), &[]).await.unwrap();
    assert_eq!(store.latest().await.unwrap().record.unwrap().checkpoint, CheckpointId(2));
    store.clear(&[]).await.unwrap();
    assert!(!root.exists());
}
