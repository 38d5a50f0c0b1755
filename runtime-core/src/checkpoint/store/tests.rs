use std::collections::BTreeSet;

use async_trait::async_trait;
use futures::executor::block_on;
use parking_lot::Mutex;
use proptest::prelude::*;

use super::*;
use crate::checkpoint::record::tests::record;
use crate::checkpoint::storage::{MemoryStorage, StorageAction};
use crate::id::{Epoch, ExecutionAttemptId};

fn store() -> (CheckpointStore, Arc<MemoryStorage>) {
    let storage = Arc::new(MemoryStorage::default());
    (CheckpointStore::new(JobId::from_bytes([1; 16]), storage.clone()), storage)
}

fn attempt(n: u8) -> ExecutionAttemptId {
    ExecutionAttemptId::from_bytes([n; 16])
}

/// A checkpoint with one file per attempt, and its record.
fn complete(store: &CheckpointStore, checkpoint: u64, attempts: &[u8]) -> CheckpointRecord {
    let handles = attempts
        .iter()
        .map(|n| {
            let path = layout::state(CheckpointId(checkpoint), attempt(*n));
            block_on(store.put_state(path, Some(vec![*n; 40]), 20)).unwrap()
        })
        .collect();
    let record = record(checkpoint, handles);
    assert_eq!(block_on(store.write_record(&record)).unwrap(), RecordOutcome::Stored);
    record
}

fn paths(storage: &MemoryStorage) -> Vec<String> {
    block_on(storage.list()).unwrap().into_iter().map(|file| file.path).collect()
}

fn latest(store: &CheckpointStore) -> (Option<u64>, Vec<String>) {
    let latest = block_on(store.latest()).unwrap();
    let refused = latest.refused.iter().map(|(_, error)| error.to_string()).collect();
    (latest.record.map(|record| record.checkpoint.0), refused)
}

#[test]
fn little_state_travels_in_its_handle_and_more_in_a_file() {
    let (store, storage) = store();
    let put = |bytes: Option<usize>| {
        block_on(store.put_state("chk-1/a.state".into(), bytes.map(|n| vec![5; n]), 20)).unwrap()
    };
    assert_eq!(put(None), StateHandle::Empty);
    assert_eq!(put(Some(20)), StateHandle::Inline(vec![5; 20].into()));
    assert!(paths(&storage).is_empty());
    let handle = put(Some(21));
    assert_eq!(paths(&storage), ["chk-1/a.state"]);
    assert_eq!(block_on(store.get_state(&handle)).unwrap().unwrap(), vec![5; 21]);
}

#[test]
fn a_record_is_written_once_and_writing_it_again_is_no_harm() {
    let (store, _) = store();
    let record = complete(&store, 1, &[1]);
    assert_eq!(block_on(store.write_record(&record)).unwrap(), RecordOutcome::Stored);
    let other = CheckpointRecord { epoch: Epoch(5), ..record.clone() };
    let outcome = block_on(store.write_record(&other)).unwrap();
    assert!(matches!(&outcome, RecordOutcome::Taken { by } if by.ends_with("in epoch 4")), "{outcome:?}");
    assert_eq!(block_on(store.read_record(CheckpointId(1))).unwrap(), record);
}

#[test]
fn the_latest_whole_checkpoint_is_found_and_what_is_wrong_with_newer_ones_is_named() {
    let (store, storage) = store();
    assert_eq!(latest(&store), (None, vec![]));
    for checkpoint in 1..=5 {
        complete(&store, checkpoint, &[1, 2]);
    }
    assert_eq!(latest(&store).0, Some(5));
    let file = |checkpoint| layout::state(CheckpointId(checkpoint), attempt(2));
    block_on(storage.delete(&file(5))).unwrap();
    block_on(storage.put(&file(4), vec![2; 39].into())).unwrap();
    block_on(storage.put("chk-3/_metadata", Bytes::from_static(b"no"))).unwrap();
    let other = CheckpointRecord { job: JobId::from_bytes([9; 16]), ..record(2, vec![]) };
    block_on(storage.put("chk-2/_metadata", other.encode().into())).unwrap();
    let (found, refused) = latest(&store);
    assert_eq!(found, Some(1));
    assert!(refused[0].starts_with("there is no file `memory:chk-5/"), "{refused:?}");
    assert!(refused[1].ends_with("has 39 bytes and should have 40"), "{refused:?}");
    assert!(refused[2].contains("`memory:chk-3/_metadata`"), "{refused:?}");
    assert!(refused[3].starts_with("the record `memory:chk-2/_metadata` is that of"), "{refused:?}");
}

#[test]
fn any_damage_to_any_file_is_refused_with_its_name() {
    let (store, storage) = store();
    complete(&store, 1, &[1, 2]);
    for path in paths(&storage) {
        let whole = block_on(storage.get(&path)).unwrap();
        let mut damages = vec![None];
        damages.extend((0..whole.len()).map(|length| Some(whole.slice(..length))));
        damages.extend((0..whole.len()).map(|position| {
            let mut flipped = whole.to_vec();
            flipped[position] ^= 4;
            Some(flipped.into())
        }));
        for damaged in damages {
            match damaged {
                Some(bytes) => block_on(storage.put(&path, bytes)).unwrap(),
                None => block_on(storage.delete(&path)).unwrap(),
            }
            let outcome = block_on(async {
                let record = store.read_record(CheckpointId(1)).await?;
                store.verify(&record).await
            });
            let error = outcome.expect_err("damaged");
            assert!(error.to_string().contains(&path), "{path}: {error}");
            assert_eq!(error.class(), FailureClass::Corrupt);
        }
        block_on(storage.put(&path, whole)).unwrap();
    }
    assert!(block_on(store.verify(&block_on(store.read_record(CheckpointId(1))).unwrap())).is_ok());
}

#[test]
fn a_sweep_removes_exactly_what_nobody_names() {
    let (store, storage) = store();
    complete(&store, 2, &[1]);
    let shared = layout::final_state(Epoch(4), attempt(9));
    let last = block_on(store.put_state(shared, Some(vec![0; 40]), 20)).unwrap();
    block_on(store.write_record(&record(4, vec![last]))).unwrap();
    let pending = layout::final_state(Epoch(4), attempt(8));
    let leftovers = ["chk-1/x.state", "chk-2/x.state", "chk-2/.leftover", "chk-3/x.state"];
    for path in leftovers.into_iter().chain(["chk-5/x.state", "chk-6/x.state", "mine", &pending]) {
        block_on(storage.put(path, Bytes::new())).unwrap();
    }
    let by_epoch = |epoch| layout::final_state(Epoch(epoch), attempt(7));
    for epoch in [4, 5, 7] {
        block_on(storage.put(&by_epoch(epoch), Bytes::new())).unwrap();
    }
    let shared = |path: &String| path.starts_with("shared/");
    assert!(
        !block_on(store.sweep(None, CheckpointId(u64::MAX), &BTreeSet::from(["chk-1/x.state".to_owned()])))
            .unwrap()
            .iter()
            .any(shared)
    );
    for path in leftovers {
        block_on(storage.put(path, Bytes::new())).unwrap();
    }
    let removed = block_on(store.sweep(Some(Epoch(5)), CheckpointId(6), &BTreeSet::from([pending]))).unwrap();
    let mut expected: Vec<_> = leftovers.map(str::to_owned).into_iter().chain([by_epoch(4), by_epoch(5)]).collect();
    // Nobody is at it any more.
    expected.push("chk-5/x.state".to_owned());
    expected.sort();
    assert_eq!(removed, expected);
    let left = paths(&storage);
    for kept in ["chk-6/x.state", "mine", &by_epoch(7)] {
        assert!(left.iter().any(|path| path == kept), "{kept}");
    }
    assert_eq!(latest(&store).0, Some(4));
}

#[test]
fn nothing_is_swept_while_a_record_cannot_be_read() {
    let (store, storage) = store();
    complete(&store, 1, &[1]);
    complete(&store, 3, &[1]);
    block_on(storage.put("chk-2/x.state", Bytes::new())).unwrap();
    block_on(storage.put("chk-1/_metadata", Bytes::from_static(b"no"))).unwrap();
    let before = paths(&storage);
    assert!(block_on(store.sweep(Some(Epoch(9)), CheckpointId(u64::MAX), &BTreeSet::new())).is_err());
    assert_eq!(paths(&storage), before);
}

#[test]
fn clearing_leaves_nothing_but_what_is_not_ours() {
    let (store, storage) = store();
    complete(&store, 1, &[1, 2]);
    block_on(storage.put("mine", Bytes::new())).unwrap();
    block_on(store.clear(&[])).unwrap();
    assert_eq!(paths(&storage), ["mine"]);
}

/// Storage that works for so many writes and removals and fails from then on; the first that fails may be done all
/// the same.
#[derive(Debug, Default)]
struct Faulty {
    inner: MemoryStorage,
    left: Mutex<usize>,
    does_the_first: Mutex<bool>,
}

impl Faulty {
    fn failure(path: &str) -> StorageError {
        let source = "the storage is away".into();
        StorageError::Failed { action: StorageAction::Write, file: path.to_owned(), source }
    }

    /// Whether the operation is done, and whether that is said.
    fn spend(&self) -> (bool, bool) {
        let mut left = self.left.lock();
        let works = *left > 0;
        *left = left.saturating_sub(1);
        (works || std::mem::take(&mut *self.does_the_first.lock()), works)
    }
}

#[async_trait]
impl Storage for Faulty {
    fn url(&self, path: &str) -> String {
        self.inner.url(path)
    }

    async fn put(&self, path: &str, bytes: Bytes) -> Result<(), StorageError> {
        let (done, said) = self.spend();
        if done {
            self.inner.put(path, bytes).await?;
        }
        if said { Ok(()) } else { Err(Self::failure(path)) }
    }

    async fn put_if_absent(&self, path: &str, bytes: Bytes) -> Result<PutIfAbsent, StorageError> {
        let (done, said) = self.spend();
        let outcome = if done { self.inner.put_if_absent(path, bytes).await? } else { PutIfAbsent::Existed };
        if said { Ok(outcome) } else { Ok(PutIfAbsent::Unknown { reason: "away".to_owned() }) }
    }

    async fn get(&self, path: &str) -> Result<Bytes, StorageError> {
        self.inner.get(path).await
    }

    async fn delete(&self, path: &str) -> Result<(), StorageError> {
        let (done, said) = self.spend();
        if done {
            self.inner.delete(path).await?;
        }
        if said { Ok(()) } else { Err(Self::failure(path)) }
    }

    async fn list(&self) -> Result<Vec<StoredFile>, StorageError> {
        self.inner.list().await
    }
}

/// Takes three checkpoints and removes the older ones until something fails; answers with the last one announced.
async fn three_checkpoints(store: &CheckpointStore) -> u64 {
    let mut announced = 0;
    for checkpoint in 1..=3 {
        let mut handles = Vec::new();
        for n in 1..=2 {
            let path = layout::state(CheckpointId(checkpoint), attempt(n));
            match store.put_state(path, Some(vec![n; 40]), 20).await {
                Ok(handle) => handles.push(handle),
                Err(_) => return announced,
            }
        }
        if store.write_record(&record(checkpoint, handles)).await.ok() != Some(RecordOutcome::Stored) {
            return announced;
        }
        announced = checkpoint;
        if checkpoint > 1 {
            let old = CheckpointId(checkpoint - 1);
            if store.remove(old, &[1, 2].map(|n| layout::state(old, attempt(n)))).await.is_err() {
                return announced;
            }
        }
    }
    announced
}

proptest! {
    #[test]
    fn after_a_crash_at_any_step_what_exists_is_whole_and_the_rest_is_swept(
        steps in 0usize..20, does_the_first: bool,
    ) {
        let storage = Faulty { left: steps.into(), does_the_first: does_the_first.into(), ..Faulty::default() };
        let storage = Arc::new(storage);
        let store = CheckpointStore::new(JobId::from_bytes([1; 16]), storage.clone());
        let announced = block_on(three_checkpoints(&store));
        *storage.left.lock() = usize::MAX;

        let latest = block_on(store.latest()).unwrap();
        prop_assert!(latest.refused.is_empty(), "{:?}", latest.refused);
        let found = latest.record.map_or(0, |record| record.checkpoint.0);
        prop_assert!(found >= announced, "found {found}, announced {announced}");

        block_on(store.sweep(Some(Epoch(9)), CheckpointId(u64::MAX), &BTreeSet::new())).unwrap();
        let mut named = BTreeSet::new();
        for checkpoint in block_on(store.checkpoints()).unwrap() {
            let record = block_on(store.read_record(checkpoint)).unwrap();
            block_on(store.verify(&record)).unwrap();
            named.insert(layout::record(checkpoint));
            named.extend(record.paths().into_iter().map(str::to_owned));
        }
        for file in block_on(store.storage.list()).unwrap() {
            let newer = matches!(layout::owner(&file.path), Some(Owner::Checkpoint(n)) if n.0 > found);
            prop_assert!(named.contains(&file.path) || newer, "{}", file.path);
        }
    }
}

/// A storage in which a file is removed right after it was listed.
#[derive(Debug)]
struct Vanishing {
    files: Arc<MemoryStorage>,
    vanishes: String,
}

#[async_trait]
impl Storage for Vanishing {
    fn url(&self, path: &str) -> String {
        self.files.url(path)
    }
    async fn put(&self, path: &str, bytes: Bytes) -> Result<(), StorageError> {
        self.files.put(path, bytes).await
    }
    async fn put_if_absent(&self, path: &str, bytes: Bytes) -> Result<PutIfAbsent, StorageError> {
        self.files.put_if_absent(path, bytes).await
    }
    async fn get(&self, path: &str) -> Result<Bytes, StorageError> {
        self.files.get(path).await
    }
    async fn delete(&self, path: &str) -> Result<(), StorageError> {
        self.files.delete(path).await
    }
    async fn list(&self) -> Result<Vec<StoredFile>, StorageError> {
        let files = self.files.list().await;
        self.files.delete(&self.vanishes).await?;
        files
    }
}

#[test]
fn a_checkpoint_that_is_removed_meanwhile_does_not_keep_leftovers() {
    let (store, files) = store();
    complete(&store, 1, &[1]);
    complete(&store, 3, &[1]);
    block_on(files.put("chk-2/left.state", Bytes::from_static(b"x"))).unwrap();
    let storage = Arc::new(Vanishing { files: files.clone(), vanishes: layout::record(CheckpointId(1)) });
    let racing = CheckpointStore::new(JobId::from_bytes([1; 16]), storage);
    let swept = block_on(racing.sweep(None, CheckpointId(u64::MAX), &BTreeSet::new())).unwrap();
    assert!(swept.contains(&"chk-2/left.state".to_owned()), "{swept:?}");
    assert!(paths(&files).iter().all(|path| path.starts_with("chk-3/")), "{:?}", paths(&files));
}

#[test]
fn a_file_is_read_without_its_keys_and_refused_by_its_name_when_it_is_cut_or_gone() {
    use arrow::array::{ArrayRef, Int64Array, RecordBatch};

    use crate::checkpoint::snapshot::{OperatorTable, Redistribution};
    use crate::checkpoint::state_file;

    let (store, storage) = store();
    let column: ArrayRef = Arc::new(Int64Array::from_iter_values(0..10));
    let rows = RecordBatch::try_from_iter([("n", column)]).unwrap();
    let table = OperatorTable { name: "splits".to_owned(), redistribution: Redistribution::Split, rows: rows.clone() };
    let state = OperatorSnapshot { operator: vec![table], ..OperatorSnapshot::default() };
    let bytes = state_file::encode(&[(OperatorId::from_bytes([2; 16]), state)]).unwrap();
    let handle = block_on(store.put_state("chk-1/a.state".into(), bytes, 0)).unwrap();
    let file = handle.file().unwrap();
    let read = || block_on(store.get_without_keys(file));
    assert_eq!(read().unwrap().unwrap()[0].1.operator[0].rows, rows);
    let whole = block_on(storage.get(&file.path)).unwrap();
    let mut changed = whole.to_vec();
    changed[whole.len() - 30] ^= 1;
    for bytes in [whole.slice(1..), whole.slice(..whole.len() - 1), changed.into()] {
        block_on(storage.put(&file.path, bytes)).unwrap();
        // Whoever reads all of it then says what is wrong.
        let error = read().and_then(|found| match found {
            Some(_) => Ok(()),
            None => block_on(store.get_state(&handle)).map(drop),
        });
        assert!(error.as_ref().is_err_and(|error| error.to_string().contains("chk-1/a.state")), "{error:?}");
    }
    block_on(storage.delete(&file.path)).unwrap();
    assert!(read().is_err_and(|error| error.to_string().contains("chk-1/a.state")));
}

#[test]
fn what_the_last_checkpoint_of_a_job_that_ends_had_begun_is_swept() {
    let (store, storage) = store();
    let kept = complete(&store, 9, &[1]);
    let increment = |checkpoint| layout::increment(CheckpointId(checkpoint), attempt(1), 0, "000012.sst");
    for path in [increment(10), increment(11), layout::state(CheckpointId(10), attempt(2))] {
        block_on(store.put_state(path, Some(vec![1; 40]), 20)).unwrap();
    }
    let in_use = BTreeSet::from([increment(11)]);
    assert!(block_on(store.sweep(None, CheckpointId(12), &in_use)).unwrap().is_empty(), "tasks may be at it");
    block_on(store.sweep(Some(Epoch(1)), CheckpointId(12), &in_use)).unwrap();
    let mut left: Vec<String> = kept.paths().into_iter().map(str::to_owned).collect();
    left.extend([layout::record(CheckpointId(9)), increment(11)]);
    left.sort();
    assert_eq!(paths(&storage), left);
}

#[test]
fn of_a_claimed_checkpoint_only_what_may_be_shared_stays_beside_one_that_cannot_be_read() {
    let (store, storage) = store();
    let shared = layout::increment(CheckpointId(4), attempt(1), 0, "000012.sst");
    let own = layout::state(CheckpointId(5), attempt(1));
    let handles = [own, shared.clone()].map(|path| block_on(store.put_state(path, Some(vec![1; 40]), 20)).unwrap());
    let claimed = record(5, handles.to_vec());
    block_on(store.write_record(&claimed)).unwrap();
    block_on(storage.put(&layout::record(CheckpointId(4)), Bytes::from_static(b"damaged"))).unwrap();
    let error = block_on(store.remove_claimed(&claimed)).expect_err("nobody knows what the other one names");
    assert!(error.to_string().contains("chk-4"), "{error}");
    assert_eq!(paths(&storage), [layout::record(CheckpointId(4)), shared]);
}

#[test]
fn with_a_claimed_checkpoint_goes_what_a_job_that_is_gone_has_left_beside_it() {
    let (store, storage) = store();
    let older = complete(&store, 8, &[1]);
    let claimed = complete(&store, 9, &[1, 2]);
    let increment = |checkpoint| layout::increment(CheckpointId(checkpoint), attempt(1), 0, "000012.sst");
    let left = [
        increment(7),
        increment(10),
        layout::state(CheckpointId(10), attempt(2)),
        layout::final_state(Epoch(1), attempt(3)),
    ];
    for path in &left {
        block_on(store.put_state(path.clone(), Some(vec![1; 40]), 20)).unwrap();
    }
    block_on(storage.put("foreign", Bytes::from_static(b"of somebody else"))).unwrap();
    let before = paths(&storage);
    block_on(store.remove_claimed(&older)).unwrap();
    let of_older: Vec<&str> = older.paths().into_iter().chain(["chk-8/_metadata"]).collect();
    let expected: Vec<String> = before.into_iter().filter(|path| !of_older.contains(&path.as_str())).collect();
    assert_eq!(paths(&storage), expected, "somebody may go on from the newer one, and be at it");
    block_on(store.remove_claimed(&claimed)).unwrap();
    assert_eq!(paths(&storage), ["foreign"]);
}

#[test]
fn a_checkpoint_that_is_known_is_cleared_though_no_listing_has_it() {
    let (store, storage) = store();
    let kept = complete(&store, 9, &[1]);
    let mut known: Vec<String> = kept.paths().into_iter().map(str::to_owned).collect();
    known.extend([layout::record(CheckpointId(9)), layout::record(CheckpointId(10))]);
    block_on(store.clear(&known)).unwrap();
    assert!(paths(&storage).is_empty());
}
