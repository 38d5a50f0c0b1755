//! Copies of state files in the TaskManager's own folder, so that a restart on the same host need not fetch them.
//!
//! ```text
//!  <TaskManager's folder>/local-state/<job>/chk-7/<attempt>.state        as in the directory of checkpoints
//!                                         /chk-7/shared/chk-5-…-000017.sst   a link, one for every checkpoint that names it
//! ```
//!
//! They belong to the TaskManager: who follows a killed worker finds them, and they end with the TaskManager. Nothing
//! depends on them. One that is missing, cut or changed is not used, and one that cannot be written is not kept.
//!
//! Of a file that checkpoints share every checkpoint has a link of its own, so nobody counts who needs it: a checkpoint's
//! copies go with its folder. The files of a store are linked where they are and cost no bytes until the store drops them.
//!
//! Everything here blocks; it runs beside the tasks.
//!
//! Invariant: what is [read](LocalState::read) has the length and the SHA-256 that the checkpoint's record names. What is
//! [linked](LocalState::link) has the length: its store checks every block that it reads, and when a task fails by that or
//! anything like it, no copy of such a file is believed any more ([`LocalState::distrust`]).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use pelton_runtime_core::checkpoint::layout;
use pelton_runtime_core::checkpoint::record::StateFileHandle;
use pelton_runtime_core::element::CheckpointId;
use sha2::{Digest, Sha256};

use super::checkpoints::SPILL_MIN;
use super::spill_file;

/// The copies of one job.
#[derive(Debug, Clone)]
pub(super) struct LocalState {
    folder: PathBuf,
}

impl LocalState {
    /// The copies that lie in `folder`, which need not be there yet.
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Keeps a copy of a state file that goes to `path`.
    pub(super) fn keep(&self, path: &str, bytes: &[u8]) {
        self.kept(path, write(&self.folder.join(path), |half| fs::write(half, bytes)));
    }

    /// Keeps a copy of a file that goes to `path` and that later checkpoints may name, too.
    pub(super) fn keep_shared(&self, checkpoint: CheckpointId, path: &str, bytes: &[u8]) {
        self.kept(path, write(&self.place(checkpoint, path), |half| fs::write(half, bytes)));
    }

    /// Keeps files of a store, each by its path in the directory of checkpoints, which `checkpoint` names: nobody changes
    /// them where they are.
    pub(super) fn keep_files(&self, checkpoint: CheckpointId, files: &[(String, PathBuf)]) {
        for (path, file) in files {
            let place = self.place(checkpoint, path);
            // Where they lie on another file system one copy is made, with the first checkpoint that names them.
            let kept = link(file, &place)
                .or_else(|_| self.link_other(checkpoint, path))
                .or_else(|_| write(&place, |half| fs::copy(file, half).map(drop)));
            if kept.is_err() {
                // The others would end like it.
                return self.kept(path, kept);
            }
        }
    }

    /// Keeps what an earlier checkpoint has and `checkpoint` names again, as far as it is here.
    pub(super) fn keep_again(&self, checkpoint: CheckpointId, paths: &[String]) {
        for path in paths {
            match self.link_other(checkpoint, path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                kept => self.kept(path, kept),
            }
        }
    }

    /// The bytes of a state file, if they are here.
    pub(super) fn read(&self, file: &StateFileHandle) -> Option<Bytes> {
        self.read_at(self.folder.join(&file.path), file)
    }

    /// The bytes of a file that `checkpoint` shares with others, if they are here.
    pub(super) fn read_shared(&self, checkpoint: CheckpointId, file: &StateFileHandle) -> Option<Bytes> {
        self.read_at(self.place(checkpoint, &file.path), file)
    }

    fn read_at(&self, path: PathBuf, file: &StateFileHandle) -> Option<Bytes> {
        // As when it is fetched: what is large is the kernel's to keep, so that it costs the worker no memory.
        let read = if file.bytes > SPILL_MIN { spill_file::mapped_at(&path) } else { fs::read(&path).map(Bytes::from) };
        let bytes = match read {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                cannot_be_read(&path, &error);
                return None;
            }
        };
        if bytes.len() as u64 != file.bytes || Sha256::digest(&bytes)[..] != file.sha256 {
            is_not_used(&path);
            return None;
        }
        Some(bytes)
    }

    /// Puts a file of a store that `checkpoint` names in its place `to`, which is free, if it is here in its length.
    pub(super) fn link(&self, checkpoint: CheckpointId, file: &StateFileHandle, to: &Path) -> bool {
        let path = self.place(checkpoint, &file.path);
        match fs::metadata(&path) {
            Ok(found) if found.len() == file.bytes => {}
            Ok(_) => {
                is_not_used(&path);
                return false;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return false,
            Err(error) => {
                cannot_be_read(&path, &error);
                return false;
            }
        }
        let put = link(&path, to).or_else(|_| write(to, |half| fs::copy(&path, half).map(drop)));
        put.inspect_err(|error| cannot_be_read(&path, error)).is_ok()
    }

    /// A checkpoint is complete: nothing begins from an older one any more, or it is fetched.
    pub(super) fn completed(&self, checkpoint: CheckpointId) {
        for (number, folder) in self.checkpoints() {
            if number < checkpoint {
                remove(fs::remove_dir_all(&folder), &folder);
            }
        }
    }

    /// A checkpoint is given up, by all tasks.
    pub(super) fn aborted(&self, checkpoint: CheckpointId) {
        let folder = self.folder.join(layout::directory(checkpoint));
        remove(fs::remove_dir_all(&folder), &folder);
    }

    /// A task has failed by no fault of its program: what was linked may be damaged, and is fetched from now on.
    pub(super) fn distrust(&self) {
        for (_, folder) in self.checkpoints() {
            let shared = folder.join(layout::SHARED_DIRECTORY);
            match fs::remove_dir_all(&shared) {
                Ok(()) => tracing::info!(folder = %shared.display(), "copies of state are not used any more"),
                failed => remove(failed, &shared),
            }
        }
    }

    /// The job is over.
    pub(super) fn clear(&self) {
        remove(fs::remove_dir_all(&self.folder), &self.folder);
    }

    /// Where a checkpoint's link of a file is that others name, too.
    fn place(&self, checkpoint: CheckpointId, path: &str) -> PathBuf {
        self.folder.join(layout::directory(checkpoint)).join(path)
    }

    /// The checkpoints of which there is something, and where.
    fn checkpoints(&self) -> impl Iterator<Item = (CheckpointId, PathBuf)> {
        fs::read_dir(&self.folder).into_iter().flatten().flatten().filter_map(|entry| {
            let number = entry.file_name().to_str()?.strip_prefix("chk-")?.parse().ok()?;
            Some((CheckpointId(number), entry.path()))
        })
    }

    /// Links what another checkpoint has of this path.
    fn link_other(&self, checkpoint: CheckpointId, path: &str) -> io::Result<()> {
        let place = self.place(checkpoint, path);
        let others = self.checkpoints().filter(|(other, _)| *other != checkpoint);
        let mut links = others.map(|(_, folder)| link(&folder.join(path), &place));
        links.find(Result::is_ok).unwrap_or_else(|| Err(io::ErrorKind::NotFound.into()))
    }

    fn kept(&self, path: &str, outcome: io::Result<()>) {
        if let Err(error) = outcome {
            tracing::warn!(folder = %self.folder.display(), path, %error, "state is not kept on this host");
        }
    }
}

/// Links a file that nobody changes. Where there is one of this name, it is the same.
fn link(file: &Path, place: &Path) -> io::Result<()> {
    if let Some(folder) = place.parent() {
        fs::create_dir_all(folder)?;
    }
    match fs::hard_link(file, place) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        linked => linked,
    }
}

/// Makes a file that is complete as soon as it has its name. Until then it has one that nobody else has: what lies under
/// any other may be a link.
fn write(place: &Path, write: impl FnOnce(&Path) -> io::Result<()>) -> io::Result<()> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let mut half = place.as_os_str().to_owned();
    half.push(format!(".{}-{}.half", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)));
    let half = PathBuf::from(half);
    if let Some(folder) = place.parent() {
        fs::create_dir_all(folder)?;
    }
    // Not synced: after a crash of the host the TaskManager is another one.
    write(&half).and_then(|()| fs::rename(&half, place)).inspect_err(|_| {
        remove(fs::remove_file(&half), &half);
    })
}

fn cannot_be_read(path: &Path, error: &io::Error) {
    tracing::warn!(path = %path.display(), %error, "a copy of state cannot be read");
}

fn is_not_used(path: &Path) {
    tracing::warn!(path = %path.display(), "a copy of state is not what was written, and is not used");
}

fn remove(outcome: io::Result<()>, path: &Path) {
    if let Err(error) = outcome
        && error.kind() != io::ErrorKind::NotFound
    {
        tracing::warn!(path = %path.display(), %error, "a copy of state cannot be removed");
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    fn handle(path: &str, bytes: &[u8]) -> StateFileHandle {
        StateFileHandle { path: path.to_owned(), bytes: bytes.len() as u64, sha256: Sha256::digest(bytes).into() }
    }

    #[test]
    fn a_copy_is_used_only_when_it_is_what_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let local = LocalState::new(folder.path().join("job"));
        let file = handle("chk-3/a.state", b"state");
        assert_eq!(local.read(&file), None);
        local.keep("chk-3/a.state", b"state");
        assert_eq!(local.read(&file).as_deref(), Some(&b"state"[..]));
        for other in [&b"stat"[..], b"statf"] {
            local.keep("chk-3/a.state", other);
            assert_eq!(local.read(&file), None);
        }
        // A folder that cannot be written costs nothing but the copy.
        fs::write(folder.path().join("file"), b"").unwrap();
        LocalState::new(folder.path().join("file")).keep("chk-3/a.state", b"state");
    }

    #[test]
    fn copies_go_with_their_checkpoint_and_with_their_job() {
        let folder = tempfile::tempdir().unwrap();
        let local = LocalState::new(folder.path().join("job"));
        let path = |checkpoint| format!("chk-{checkpoint}/a.state");
        for checkpoint in [8, 9, 10] {
            local.keep(&path(checkpoint), b"state");
        }
        local.completed(CheckpointId(9));
        let there = |checkpoint| local.read(&handle(&path(checkpoint), b"state")).is_some();
        assert_eq!([8, 9, 10].map(there), [false, true, true]);
        local.aborted(CheckpointId(10));
        assert_eq!([8, 9, 10].map(there), [false, true, false]);
        local.clear();
        assert!(!folder.path().join("job").exists());
        local.clear();
        local.completed(CheckpointId(9));
    }

    /// A folder with the copies of a job, and a file of a store.
    fn with_file() -> (tempfile::TempDir, LocalState, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let (local, file) = (LocalState::new(folder.path().join("job")), folder.path().join("000017.sst"));
        fs::write(&file, b"table").unwrap();
        (folder, local, file)
    }

    #[test]
    fn a_file_that_checkpoints_share_is_linked_and_there_as_long_as_one_of_them() {
        let (folder, local, file) = with_file();
        let path = "shared/chk-5-a-0-000017.sst";
        for checkpoint in [5, 6, 7] {
            local.keep_files(CheckpointId(checkpoint), &[(path.to_owned(), file.clone())]);
        }
        assert_eq!(fs::metadata(&file).unwrap().nlink(), 4, "nothing is copied");
        // The store is done with it.
        fs::remove_file(&file).unwrap();
        let link = |checkpoint: u64| {
            let to = folder.path().join(format!("restored-{checkpoint}"));
            local.link(CheckpointId(checkpoint), &handle(path, b"table"), &to).then(|| fs::read(to).unwrap())
        };
        local.completed(CheckpointId(6));
        assert_eq!(link(5), None);
        assert_eq!(link(6).as_deref(), Some(&b"table"[..]));
        local.aborted(CheckpointId(6));
        assert_eq!(link(6), None);
        assert_eq!(link(7).as_deref(), Some(&b"table"[..]));
    }

    #[test]
    fn a_link_that_is_cut_is_not_used_and_none_after_a_task_has_failed() {
        let (folder, local, file) = with_file();
        let (path, checkpoint) = ("shared/chk-5-a-0-000017.sst", CheckpointId(5));
        local.keep_files(checkpoint, &[(path.to_owned(), file.clone())]);
        local.keep("chk-5/a.state", b"state");
        let there = |bytes: &[u8], name| local.link(checkpoint, &handle(path, bytes), &folder.path().join(name));
        assert!(!there(b"tabl", "cut"));
        assert!(there(b"table", "whole"));
        local.distrust();
        assert!(!there(b"table", "distrusted"));
        assert!(local.read(&handle("chk-5/a.state", b"state")).is_some(), "what is checked as a whole stays");
    }

    #[test]
    fn what_lies_elsewhere_is_copied_once_and_layers_are_linked_from_checkpoint_to_checkpoint() {
        let (_folder, local, file) = with_file();
        let copied = "shared/chk-5-a-0-000017.sst".to_owned();
        local.keep_shared(CheckpointId(5), &copied, b"table");
        fs::remove_file(&file).unwrap();
        // A store whose files cannot be linked to where copies are.
        local.keep_files(CheckpointId(6), &[(copied.clone(), file)]);
        let layer = "shared/chk-5-a-1-layer".to_owned();
        local.keep_shared(CheckpointId(5), &layer, b"layer");
        local.keep_again(CheckpointId(6), &[layer.clone(), "shared/chk-4-a-1-layer".to_owned()]);
        local.completed(CheckpointId(6));
        for (path, bytes) in [(copied, b"table"), (layer, b"layer")] {
            assert!(local.read_shared(CheckpointId(6), &handle(&path, bytes)).is_some());
            assert!(local.read_shared(CheckpointId(6), &handle(&path, b"other")).is_none());
            assert!(local.read_shared(CheckpointId(5), &handle(&path, bytes)).is_none());
        }
    }
}
