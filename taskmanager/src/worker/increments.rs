//! Checkpoints that consist of the files of a store: only those are written that no earlier checkpoint has, and all are
//! put into a folder when a task begins from them: linked where they are on this host, otherwise fetched.
//!
//! ```text
//!  the base's files, by name ─┐
//!  the store's files ─────────┴─► known: named again      new: written, then named      small: in the task's state file
//! ```
//!
//! Invariants: a file is named again only if the base names it, which stays until the checkpoint has ended, and only
//! for the store that wrote it, or that began from it; what comes from the storage has the length and the SHA-256 that the
//! record names, and a copy on this host the length (see `local_state`).

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use parking_lot::Mutex;
use pelton_runtime_core::checkpoint::layout;
use pelton_runtime_core::checkpoint::record::{StateFileHandle, StateHandle};
use pelton_runtime_core::checkpoint::snapshot::{OperatorSnapshot, RestoredState};
use pelton_runtime_core::checkpoint::storage::StorageError;
use pelton_runtime_core::checkpoint::store::{CheckpointStore, StoreError};
use pelton_runtime_core::element::CheckpointId;
use pelton_runtime_core::id::{ExecutionAttemptId, OperatorId};
use pelton_runtime_core::state::StateError;
use pelton_runtime_core::state::cold::ColdFile;
use pelton_runtime_core::state::files::{Adopted, FetchedFiles, FilePlace, PlacedFile, StoredFiles, StoredSnapshot};
use sha2::{Digest, Sha256};

use super::checkpoints::{Checkpoints, Origin, SPILL_MIN, StateTransferError};
use super::spill_file;

/// How many files of a task are on their way at once.
const FILES_AT_ONCE: usize = 4;

/// How much of a file is read at once that is not copied; it stays in the processor's cache.
const DIGESTED_AT_ONCE: usize = 256 << 10;

/// How many checkpoints are remembered behind the newest base: those that were given up are among them.
const TAKEN_MAX: usize = 16;

/// Files by the names that their store has for them.
type Named = Arc<BTreeMap<String, StateFileHandle>>;

/// Where the files of one task's stores are, by checkpoint.
#[derive(Default)]
pub(super) struct KnownFiles(Mutex<Known>);

#[derive(Default)]
struct Known {
    taken: BTreeMap<CheckpointId, BTreeMap<OperatorId, Named>>,
    /// What the task began from.
    restored: Vec<(CheckpointId, OperatorId, Adopted, Named)>,
}

impl KnownFiles {
    /// The task begins from this state, whose files may become those of its own stores.
    pub(super) fn begins_from(&self, checkpoint: CheckpointId, operator: OperatorId, state: &RestoredState) {
        let parts = state.stored.values().flatten().map(|part| part.files());
        let restored = parts.map(|(adopted, files)| (checkpoint, operator, adopted.clone(), files.handles().clone()));
        self.0.lock().restored.extend(restored);
    }

    /// The files that `base` has of an operator.
    fn of(&self, base: Option<CheckpointId>, operator: OperatorId) -> Named {
        let Some(base) = base else { return Named::default() };
        let known = self.0.lock();
        let taken = known.taken.get(&base).and_then(|taken| taken.get(&operator));
        let restored = || {
            let mut adopted = known.restored.iter().filter(|restored| restored.2.get());
            adopted.find(|restored| (restored.0, restored.1) == (base, operator)).map(|restored| &restored.3)
        };
        taken.or_else(restored).cloned().unwrap_or_default()
    }

    /// The task has taken a checkpoint; nothing older than its base is asked for any more.
    fn took(&self, checkpoint: CheckpointId, base: Option<CheckpointId>, files: BTreeMap<OperatorId, Named>) {
        let mut known = self.0.lock();
        known.taken.insert(checkpoint, files);
        if let Some(base) = base {
            known.taken.retain(|taken, _| *taken >= base);
            known.restored.retain(|restored| restored.0 >= base);
        }
        while known.taken.len() > TAKEN_MAX {
            // Not the base, and not the newest.
            let surplus = known.taken.keys().copied().find(|taken| Some(*taken) != base);
            surplus.map(|surplus| known.taken.remove(&surplus));
        }
    }
}

impl Checkpoints {
    /// Gives every file of a store its place in the checkpoint; answers with those that have one of their own.
    pub(super) async fn place_files(
        &self,
        (checkpoint, base): (CheckpointId, Option<CheckpointId>),
        attempt: ExecutionAttemptId,
        operators: &mut [(OperatorId, OperatorSnapshot)],
        known: &KnownFiles,
    ) -> Result<Vec<StateFileHandle>, StateTransferError> {
        let (mut shared, mut taken) = (Vec::new(), BTreeMap::new());
        for (part, (operator, snapshot)) in operators.iter_mut().enumerate() {
            let Some(stored) = &mut snapshot.stored else { continue };
            let StoredFiles::Held(held) = &stored.files else { continue };
            let held = held.clone();
            let before = known.of(base, *operator);
            let mut places = Vec::with_capacity(held.files().len());
            let mut copies = Vec::new();
            for file in held.files().iter().cloned() {
                let known =
                    before.get(&file.name).filter(|known| file.is_lasting && known.bytes == file.bytes).cloned();
                let path = match &known {
                    Some(known) => known.path.clone(),
                    None => layout::increment(checkpoint, attempt, part, &file.name),
                };
                if file.is_lasting {
                    copies.push((path.clone(), file.path.clone()));
                }
                places.push(self.place(file, known, path));
            }
            if let Some(local) = self.keeps_copies.clone() {
                self.env.blocking(move || local.keep_files(checkpoint, &copies)).await?;
            }
            let placed: Vec<(String, Place)> =
                futures::stream::iter(places).buffered(FILES_AT_ONCE).try_collect().await?;
            let mut named = BTreeMap::new();
            let mut files = Vec::with_capacity(placed.len());
            for (name, place) in placed {
                let place = match place {
                    Place::Here(bytes) => FilePlace::Here(bytes),
                    Place::At(handle) => {
                        let path = handle.path.clone();
                        shared.push(handle.clone());
                        named.insert(name.clone(), handle);
                        FilePlace::At(path)
                    }
                };
                files.push(PlacedFile { name, place });
            }
            taken.insert(*operator, Arc::new(named));
            stored.files = StoredFiles::Placed(files);
        }
        if !taken.is_empty() {
            known.took(checkpoint, base, taken);
        }
        Ok(shared)
    }

    async fn place(
        &self,
        file: ColdFile,
        known: Option<StateFileHandle>,
        path: String,
    ) -> Result<(String, Place), StateTransferError> {
        let ColdFile { name, path: local, bytes, is_lasting } = file;
        if let Some(known) = known {
            return Ok((name, Place::At(known)));
        }
        let read = self.env.blocking(move || {
            // Nobody changes it, and it stays as long as the snapshot.
            let bytes = if bytes > SPILL_MIN { spill_file::mapped_at(&local)? } else { fs::read(local)?.into() };
            let sha256: [u8; 32] = if is_lasting { Sha256::digest(&bytes).into() } else { [0; 32] };
            Ok((bytes, sha256))
        });
        let (bytes, sha256) = read.await?.map_err(|source| self.unplaced(source))?;
        Ok((
            name,
            if is_lasting { Place::At(self.store.put_shared(path, bytes, sha256).await?) } else { Place::Here(bytes) },
        ))
    }

    /// Fetches the files of which the state of a subtask tells, as far as they are of these operators.
    pub(super) async fn fetch_files(
        &self,
        origin: &Origin,
        state: &StateHandle,
        operators: &[OperatorId],
        snapshots: &mut [(OperatorId, OperatorSnapshot)],
    ) -> Result<(), StateTransferError> {
        for (operator, snapshot) in snapshots {
            match &mut snapshot.stored {
                Some(stored) if operators.contains(operator) => self.fetch_store(origin, state, stored).await?,
                Some(_) => snapshot.stored = None,
                None => {}
            }
        }
        Ok(())
    }

    async fn fetch_store(
        &self,
        origin: &Origin,
        state: &StateHandle,
        stored: &mut StoredSnapshot,
    ) -> Result<(), StateTransferError> {
        let StoredFiles::Placed(placed) = &stored.files else { return Ok(()) };
        let backend = self.cold_backend.clone().ok_or(StateError::NoStoreForFiles)?;
        let parent = self.spill_folder.clone();
        let folder =
            self.env.blocking(move || Folder::create(&parent)).await?.map_err(|source| self.unplaced(source))?;
        let mut handles = BTreeMap::new();
        let mut fetched = Vec::new();
        for PlacedFile { name, place } in placed {
            let local = folder.0.join(name);
            match place {
                FilePlace::Here(bytes) => {
                    let bytes = bytes.clone();
                    let written = self.env.blocking(move || fs::write(local, bytes));
                    written.await?.map_err(|source| self.unplaced(source))?;
                }
                FilePlace::At(path) => {
                    let handle = state.shared().iter().find(|file| file.path == *path);
                    let handle = handle.ok_or_else(|| StorageError::NotFound { file: path.clone() })?;
                    handles.insert(name.clone(), handle.clone());
                    fetched.push(self.fetch_file(origin, handle.clone(), local));
                }
            }
        }
        futures::stream::iter(fetched).buffer_unordered(FILES_AT_ONCE).try_collect::<()>().await?;
        stored.files = StoredFiles::Fetched(Arc::new(FetchedFiles::new(folder, backend, handles)));
        Ok(())
    }

    /// Puts a file where `to` says: a link to a copy on this host, or to the file itself where the storage is on the same
    /// file system; otherwise its bytes.
    async fn fetch_file(
        &self,
        Origin { checkpoint, store }: &Origin,
        handle: StateFileHandle,
        to: PathBuf,
    ) -> Result<(), StateTransferError> {
        if let Some(local) = self.reads_copies.clone() {
            let (checkpoint, file, to) = (*checkpoint, handle.clone(), to.clone());
            if self.env.blocking(move || local.link(checkpoint, &file, &to)).await? {
                return Ok(());
            }
        }
        if let Some(file) = store.local_path(&handle) {
            let to = to.clone();
            if let Some((length, sha256)) = self.env.blocking(move || linked(&file, &to)).await? {
                return store.check_digest(&handle, length, sha256).map_err(StoreError::into);
            }
        }
        self.copy_file(store, handle, to).await
    }

    async fn copy_file(
        &self,
        store: &CheckpointStore,
        handle: StateFileHandle,
        to: PathBuf,
    ) -> Result<(), StateTransferError> {
        let unplaced = |source| self.unplaced(source);
        let mut writing = self.env.blocking(move || fs::File::create_new(to)).await?.map_err(unplaced)?;
        let (mut digest, mut length) = (Sha256::new(), 0);
        let mut parts = store.state_parts(&handle).await?;
        while let Some(part) = parts.try_next().await? {
            length += part.len() as u64;
            let written = self.env.blocking(move || {
                digest.update(&part);
                writing.write_all(&part).map(|()| (writing, digest))
            });
            (writing, digest) = written.await?.map_err(unplaced)?;
        }
        store.check_digest(&handle, length, digest.finalize().into()).map_err(StoreError::into)
    }
}

/// Links a file of the storage, which nobody changes, and answers with its length and SHA-256. None where that is not
/// possible: whoever copies it finds out why.
fn linked(file: &Path, to: &Path) -> Option<(u64, [u8; 32])> {
    fs::hard_link(file, to).ok()?;
    let digest = digest_of(to);
    if digest.is_err() {
        drop(fs::remove_file(to));
    }
    digest.ok()
}

fn digest_of(file: &Path) -> io::Result<(u64, [u8; 32])> {
    let (mut reading, mut digest, mut length) = (fs::File::open(file)?, Sha256::new(), 0);
    let mut part = vec![0; DIGESTED_AT_ONCE];
    loop {
        match reading.read(&mut part) {
            Ok(0) => return Ok((length, digest.finalize().into())),
            Ok(bytes) => {
                length += bytes as u64;
                digest.update(&part[..bytes]);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

enum Place {
    Here(Bytes),
    At(StateFileHandle),
}

/// A folder that goes with what is in it.
struct Folder(PathBuf);

impl Folder {
    fn create(parent: &Path) -> io::Result<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!("files-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let folder = Self(parent.join(name));
        fs::create_dir_all(&folder.0)?;
        Ok(folder)
    }
}

impl AsRef<Path> for Folder {
    fn as_ref(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(folder = %self.0.display(), %error, "fetched state cannot be removed");
        }
    }
}
