//! The blob store: artifacts by their SHA-256, on disk, as long as a job needs them and a little longer.
//!
//! An upload goes to a temporary file and gets its name when it is complete, so a named file is always whole. A blob
//! that no job retains stays for [`LEASE`], the time a client needs between upload (or asking whether it is there)
//! and submission. The last [`MAX_UNUSED`] that jobs have used stay too, so that a program that is submitted again need
//! not be uploaded again. The folder belongs to this process alone: a lock in it says so, and folders whose process is gone
//! are removed at the next start.

use std::collections::BTreeMap;
use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt};
use parking_lot::Mutex;
use pelton_runtime_core::env::Env;
use pelton_runtime_core::graph::hex;
use pelton_runtime_core::time::Moment;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tracing::warn;

/// How long a blob waits for its first job.
pub const LEASE: Duration = Duration::from_secs(600);

/// The largest artifact.
pub const MAX_BLOB_BYTES: u64 = 4 << 30;

/// All artifacts together.
pub const MAX_STORE_BYTES: u64 = 32 << 30;

/// How many artifacts stay whose last job has ended, as long as there is room.
const MAX_UNUSED: usize = 2;

/// Size of the pieces in which a blob travels.
const CHUNK_BYTES: usize = 256 * 1024;

const FOLDER_PREFIX: &str = "blobStore-";
const LOCK_FILE: &str = "lock";

/// Why a blob was not stored or not read.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// The folder cannot be used.
    #[error("cannot use the artifact folder {} (`blob.storage.directory`, `io.tmp.dirs`)", path.display())]
    Folder {
        /// Which folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is not here.
    #[error("there is no artifact {0}")]
    Unknown(String),
    /// It is too large.
    #[error("the artifact is larger than {limit} bytes")]
    TooLarge {
        /// How large it may be.
        limit: u64,
    },
    /// There is no room.
    #[error("the artifacts of all jobs may not be larger than {limit} bytes together")]
    Full {
        /// How large they may be.
        limit: u64,
    },
    /// The sender stopped in the middle.
    #[error("the upload broke off: {reason}")]
    BrokenOff {
        /// Why.
        reason: String,
    },
    /// The disk does not play along.
    #[error("cannot access the artifact folder")]
    Io(#[from] io::Error),
}

/// Artifacts on disk.
pub struct BlobStore {
    env: Env,
    folder: PathBuf,
    /// Held as long as the folder is used.
    _lock: File,
    blobs: Mutex<Blobs>,
}

#[derive(Default)]
struct Blobs {
    by_digest: BTreeMap<String, Blob>,
    uploads: u64,
    removals: u64,
    /// Grows with every release, so that the longest unused blob is known.
    releases: u64,
}

struct Blob {
    size: u64,
    retained: usize,
    /// The place of its last release among all; none while no job has used it.
    released: Option<u64>,
    /// When each client that may be about to submit has given up.
    leases: Vec<Moment>,
}

impl BlobStore {
    /// Opens a folder of its own below `parent`, and removes those that were left behind there.
    ///
    /// # Errors
    ///
    /// When the folder cannot be made.
    pub async fn open(env: Env, parent: PathBuf) -> Result<Self, BlobError> {
        let name = format!("{FOLDER_PREFIX}{:016x}", env.random_u64());
        let path = parent.clone();
        let opened = env.blocking(move || open_folder(&parent, &name)).await;
        let (folder, lock) = opened
            .map_err(io::Error::other)
            .and_then(|opened| opened)
            .map_err(|source| BlobError::Folder { path, source })?;
        Ok(Self { env, folder, _lock: lock, blobs: Mutex::default() })
    }

    /// Stores what comes; answers with its digest. What is here already is not stored twice.
    ///
    /// # Errors
    ///
    /// When the upload breaks off, or there is no room for it.
    pub async fn put(
        &self,
        mut chunks: impl Stream<Item = Result<Bytes, String>> + Unpin + Send,
    ) -> Result<String, BlobError> {
        let number = {
            let mut blobs = self.blobs.lock();
            blobs.uploads += 1;
            blobs.uploads
        };
        let temporary = TemporaryFile(self.folder.join(format!("upload-{number}")));
        let mut file = tokio::fs::File::create(&temporary.0).await?;
        let mut hash = Sha256::new();
        let mut size = 0;
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|reason| BlobError::BrokenOff { reason })?;
            size += chunk.len() as u64;
            if size > MAX_BLOB_BYTES {
                return Err(BlobError::TooLarge { limit: MAX_BLOB_BYTES });
            }
            hash.update(&chunk);
            file.write_all(&chunk).await?;
        }
        file.flush().await?;
        drop(file);
        let digest = hex(&hash.finalize());
        self.sweep(MAX_UNUSED).await;
        if self.size() + size > MAX_STORE_BYTES {
            self.sweep(0).await;
        }
        if self.size() + size > MAX_STORE_BYTES {
            return Err(BlobError::Full { limit: MAX_STORE_BYTES });
        }
        let lease = self.env.moment().after(LEASE);
        let mut blobs = self.blobs.lock();
        // Under the lock, which is held for no longer than a rename takes: a name in the folder is always in the table.
        std::fs::rename(&temporary.0, self.path(&digest))?;
        let new = Blob { size, retained: 0, released: None, leases: Vec::new() };
        let blob = blobs.by_digest.entry(digest.clone()).or_insert(new);
        blob.leases.push(lease);
        Ok(digest)
    }

    /// Whether a blob is here; if so, it stays for the asker's submission.
    pub fn contains(&self, digest: &str) -> bool {
        let lease = self.env.moment().after(LEASE);
        match self.blobs.lock().by_digest.get_mut(digest) {
            Some(blob) => {
                blob.leases.push(lease);
                true
            }
            None => false,
        }
    }

    /// A job needs this blob until it is released. Answers whether it is here.
    pub fn retain(&self, digest: &str) -> bool {
        match self.blobs.lock().by_digest.get_mut(digest) {
            Some(blob) => {
                blob.retained += 1;
                if !blob.leases.is_empty() {
                    blob.leases.remove(0);
                }
                true
            }
            None => false,
        }
    }

    /// A job does not need this blob any more.
    pub async fn release(&self, digest: &str) {
        {
            let mut blobs = self.blobs.lock();
            blobs.releases += 1;
            let released = blobs.releases;
            if let Some(blob) = blobs.by_digest.get_mut(digest) {
                blob.retained = blob.retained.saturating_sub(1);
                blob.released = Some(released);
            }
        }
        self.sweep(MAX_UNUSED).await;
    }

    /// The content of a blob, piece by piece.
    ///
    /// # Errors
    ///
    /// When it is not here.
    pub async fn read(&self, digest: &str) -> Result<impl Stream<Item = io::Result<Bytes>> + Send + use<>, BlobError> {
        if !self.blobs.lock().by_digest.contains_key(digest) {
            return Err(BlobError::Unknown(digest.to_owned()));
        }
        let file = tokio::fs::File::open(self.path(digest)).await?;
        Ok(futures::stream::unfold(Some(file), |file| async move {
            let mut file = file?;
            let mut chunk = Vec::with_capacity(CHUNK_BYTES);
            let mut piece = (&mut file).take(CHUNK_BYTES as u64);
            match piece.read_to_end(&mut chunk).await {
                Ok(0) => None,
                Ok(_) => Some((Ok(Bytes::from(chunk)), Some(file))),
                Err(error) => Some((Err(error), None)),
            }
        }))
    }

    /// Removes the folder with all blobs.
    pub async fn close(&self) {
        self.blobs.lock().by_digest.clear();
        let folder = self.folder.clone();
        let removed = self.env.blocking(move || std::fs::remove_dir_all(&folder)).await;
        if let Err(error) = removed.map_err(io::Error::other).flatten() {
            warn!(folder = %self.folder.display(), %error, "cannot remove the artifact folder");
        }
    }

    /// Bytes of all blobs.
    fn size(&self) -> u64 {
        self.blobs.lock().by_digest.values().map(|blob| blob.size).sum()
    }

    /// Removes what nobody needs but the last so many that were used.
    async fn sweep(&self, keep: usize) {
        for file in self.take_unused(keep) {
            let removed = self.env.blocking({
                let file = file.clone();
                move || std::fs::remove_file(&file)
            });
            if let Err(error) = removed.await.map_err(io::Error::other).flatten() {
                warn!(file = %file.display(), %error, "cannot remove an artifact");
            }
        }
    }

    /// Takes the files of those blobs out of the way. Removing a large file takes time, in which the same program may be
    /// uploaded again.
    fn take_unused(&self, keep: usize) -> Vec<PathBuf> {
        let now = self.env.moment();
        let mut blobs = self.blobs.lock();
        let mut removed = Vec::new();
        for digest in blobs.take_unused(now, keep) {
            blobs.removals += 1;
            let file = self.folder.join(format!("removed-{}", blobs.removals));
            match std::fs::rename(self.path(&digest), &file) {
                Ok(()) => removed.push(file),
                Err(error) => warn!(digest, %error, "cannot remove an artifact"),
            }
        }
        removed
    }

    fn path(&self, digest: &str) -> PathBuf {
        self.folder.join(digest)
    }
}

impl Blobs {
    /// Forgets the blobs that nobody needs but the `keep` that were released last, and answers with them.
    fn take_unused(&mut self, now: Moment, keep: usize) -> Vec<String> {
        let mut unused = Vec::new();
        for (digest, blob) in &mut self.by_digest {
            blob.leases.retain(|&lease| lease > now);
            if blob.retained == 0 && blob.leases.is_empty() {
                unused.push((blob.released, digest.clone()));
            }
        }
        // The longest unused first, before them those that no job ever used.
        unused.sort_unstable();
        let used = unused.iter().filter(|(released, _)| released.is_some()).count();
        unused.truncate(unused.len() - used.min(keep));
        unused
            .into_iter()
            .inspect(|(_, digest)| drop(self.by_digest.remove(digest)))
            .map(|(_, digest)| digest)
            .collect()
    }
}

/// Removes what is left of an upload that did not get its name.
struct TemporaryFile(PathBuf);

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        // It is not there when the upload succeeded.
        drop(std::fs::remove_file(&self.0));
    }
}

fn open_folder(parent: &Path, name: &str) -> io::Result<(PathBuf, File)> {
    std::fs::create_dir_all(parent)?;
    remove_leftovers(parent)?;
    let folder = parent.join(name);
    loop {
        std::fs::create_dir(&folder)?;
        let lock_file = folder.join(LOCK_FILE);
        let lock = match File::create(&lock_file) {
            Ok(lock) => lock,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        lock.lock()?;
        // Between its creation and its lock, another process may have taken it for a leftover.
        if lock_file.try_exists()? {
            return Ok((folder, lock));
        }
    }
}

/// Folders whose lock nobody holds belong to processes that are gone.
fn remove_leftovers(parent: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(parent)? {
        let entry = entry?;
        if !entry.file_name().to_string_lossy().starts_with(FOLDER_PREFIX) {
            continue;
        }
        let Ok(lock) = File::open(entry.path().join(LOCK_FILE)) else { continue };
        match lock.try_lock() {
            Ok(()) => {
                // It may belong to another user, or another process may be removing it at this moment.
                if let Err(error) = std::fs::remove_dir_all(entry.path()) {
                    warn!(folder = %entry.path().display(), %error, "cannot remove what an earlier process left");
                }
            }
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => {
                warn!(folder = %entry.path().display(), %error, "cannot tell whose folder this is");
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manual_world::ManualClock;

    async fn store(parent: &Path) -> BlobStore {
        BlobStore::open(Env::production(), parent.to_owned()).await.expect("a folder")
    }

    async fn put(store: &BlobStore, chunks: &[&'static str]) -> Result<String, BlobError> {
        let chunks: Vec<_> = chunks.iter().map(|&chunk| Ok(Bytes::from(chunk))).collect();
        store.put(futures::stream::iter(chunks)).await
    }

    fn files(folder: &Path) -> Vec<String> {
        let names = std::fs::read_dir(folder).expect("a folder");
        names.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
    }

    #[tokio::test]
    async fn equal_content_is_stored_once_under_its_digest() {
        let parent = tempfile::tempdir().expect("a folder");
        let store = store(parent.path()).await;
        let first = put(&store, &["ab", "c"]).await.expect("stored");
        let second = put(&store, &["a", "bc"]).await.expect("stored");
        assert_eq!(first, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(first, second);
        assert_eq!(files(&store.folder).len(), 2, "one blob and the lock");
        let chunks: Vec<_> = store.read(&first).await.expect("there").collect().await;
        assert_eq!(chunks.into_iter().map(|chunk| chunk.expect("read")).collect::<Vec<_>>(), ["abc"]);
    }

    #[tokio::test]
    async fn a_blob_stays_while_a_job_needs_it_and_until_newer_ones_take_its_place() {
        let parent = tempfile::tempdir().expect("a folder");
        let store = store(parent.path()).await;
        let oldest = put(&store, &["oldest"]).await.expect("stored");
        assert!(store.retain(&oldest) && store.retain(&oldest));
        store.release(&oldest).await;
        for newer in ["a", "b", "c"] {
            assert!(store.read(&oldest).await.is_ok(), "another job needs it");
            let digest = put(&store, &[newer]).await.expect("stored");
            assert!(store.retain(&digest));
            store.release(&digest).await;
        }
        assert_eq!(files(&store.folder).len(), 1 + 1 + MAX_UNUSED, "the lock, the one in use, the last ones");
        store.release(&oldest).await;
        for newer in ["d", "e"] {
            assert!(store.retain(&oldest), "it can be used again");
            store.release(&oldest).await;
            let digest = put(&store, &[newer]).await.expect("stored");
            assert!(store.retain(&digest));
            store.release(&digest).await;
        }
        let last = put(&store, &["f"]).await.expect("stored");
        assert!(store.retain(&last));
        store.release(&last).await;
        assert!(matches!(store.read(&oldest).await, Err(BlobError::Unknown(_))));
        assert!(!store.retain(&oldest));
        assert_eq!(files(&store.folder).len(), 1 + MAX_UNUSED);
    }

    #[test]
    fn a_blob_that_no_job_came_for_goes_with_its_lease() {
        let leased = Blob { size: 1, retained: 0, released: None, leases: vec![Moment(10)] };
        let mut blobs = Blobs::default();
        blobs.by_digest.insert("x".into(), leased);
        assert!(blobs.take_unused(Moment(9), MAX_UNUSED).is_empty());
        assert_eq!(blobs.take_unused(Moment(10), MAX_UNUSED), ["x"]);
        assert!(blobs.by_digest.is_empty());
    }

    #[tokio::test]
    async fn a_broken_upload_leaves_nothing() {
        let parent = tempfile::tempdir().expect("a folder");
        let store = store(parent.path()).await;
        let chunks = futures::stream::iter([Ok(Bytes::from("x")), Err("reset".to_owned())]);
        assert!(matches!(store.put(chunks).await, Err(BlobError::BrokenOff { .. })));
        assert_eq!(files(&store.folder), [LOCK_FILE]);
    }

    #[tokio::test]
    async fn folders_of_processes_that_are_gone_are_removed_and_others_are_not() {
        let parent = tempfile::tempdir().expect("a folder");
        let gone = store(parent.path()).await;
        let gone_folder = gone.folder.clone();
        drop(gone);
        let alive = store(parent.path()).await;
        let _third = store(parent.path()).await;
        assert!(!gone_folder.exists());
        assert!(alive.folder.exists());
    }

    #[tokio::test]
    async fn an_upload_keeps_its_file_when_the_same_program_is_swept_at_that_moment() {
        let parent = tempfile::tempdir().expect("a folder");
        let (clock, env) = ManualClock::new();
        let store = BlobStore::open(env, parent.path().to_owned()).await.expect("a folder");
        let put = |text: String| store.put(futures::stream::iter([Ok(Bytes::from(text))]));
        for round in 0..20 {
            // Programs that nobody came for are swept first, so that the sweep takes its time.
            for number in 0..50 {
                put(format!("unused {number} {round}")).await.expect("stored");
            }
            let mut used = Vec::new();
            for name in ["oldest", "older", "newest"] {
                let digest = put(format!("{name} {round}")).await.expect("stored");
                assert!(store.retain(&digest));
                used.push(digest);
            }
            store.release(&used[0]).await;
            store.release(&used[1]).await;
            clock.advance(LEASE);
            // The last release takes the place of the oldest while that is uploaded again.
            let (_, again) = tokio::join!(store.release(&used[2]), put(format!("oldest {round}")));
            let again = again.expect("stored");
            assert_eq!(again, used[0]);
            assert!(store.retain(&again));
            assert!(store.read(&again).await.is_ok(), "round {round}");
            store.release(&again).await;
        }
    }
}
