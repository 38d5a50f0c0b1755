use object_store::memory::InMemory;

use super::*;

fn storage() -> (ObjectStorage, Arc<InMemory>) {
    let store = Arc::new(InMemory::new());
    (ObjectStorage::new(store.clone(), Path::from("ckpt/job"), "s3://bucket/ckpt/job".to_owned()), store)
}

#[tokio::test]
async fn objects_are_written_read_listed_and_removed() {
    let (storage, store) = storage();
    store.put(&Path::from("ckpt/jobs"), Bytes::from_static(b"another's").into()).await.unwrap();
    storage.put("chk-1/a.state", Bytes::from_static(b"abc")).await.unwrap();
    assert_eq!(storage.get("chk-1/a.state").await.unwrap(), "abc");
    assert_eq!(storage.list().await.unwrap(), [StoredFile { path: "chk-1/a.state".into(), bytes: 3 }]);
    let error = storage.get("chk-1/b.state").await.unwrap_err();
    assert_eq!(error.to_string(), "there is no file `s3://bucket/ckpt/job/chk-1/b.state`");
    storage.delete("chk-1/a.state").await.unwrap();
    storage.delete("chk-1/a.state").await.unwrap();
    assert!(storage.list().await.unwrap().is_empty());
    assert!(matches!(storage.put("../x", Bytes::new()).await, Err(StorageError::InvalidPath { .. })));
}

#[tokio::test]
async fn large_objects_are_written_in_parts() {
    let (storage, _) = storage();
    let bytes: Bytes = (0..PART_BYTES + 5).map(|n| n as u8).collect();
    storage.put("chk-1/a.state", bytes.clone()).await.unwrap();
    assert_eq!(storage.get("chk-1/a.state").await.unwrap(), bytes);
    let parts: Vec<Bytes> = storage.get_parts("chk-1/a.state").await.unwrap().try_collect().await.unwrap();
    assert_eq!(parts.concat(), bytes);
    let missing = storage.get_parts("chk-1/b.state").await.err();
    assert!(matches!(missing, Some(StorageError::NotFound { .. })), "{missing:?}");
}

#[tokio::test]
async fn an_object_that_is_there_is_left_as_it_is() {
    let (storage, _) = storage();
    let put = |bytes: &'static [u8]| storage.put_if_absent("chk-1/_metadata", Bytes::from_static(bytes));
    assert_eq!(put(b"one").await.unwrap(), PutIfAbsent::Stored);
    assert_eq!(put(b"two").await.unwrap(), PutIfAbsent::Existed);
    assert_eq!(storage.get("chk-1/_metadata").await.unwrap(), "one");
}
