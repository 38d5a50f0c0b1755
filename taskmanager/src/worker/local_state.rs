//! Copies of state files in the TaskManager's own folder, so that a restart on the same host need not fetch them.
//!
//! ```text
//!  <TaskManager's folder>/local-state/<job>/chk-7/<attempt>.state    as in the directory of checkpoints
//! ```
//!
//! They belong to the TaskManager: who follows a killed worker finds them, and they end with the TaskManager. Nothing
//! depends on them. One that is missing, cut or changed is not used, and one that cannot be written is not kept.
//!
//! Everything here blocks; it runs beside the tasks.
//!
//! Invariant: what is read has the length and the SHA-256 that the checkpoint's record names.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use pelton_runtime_core::checkpoint::layout;
use pelton_runtime_core::checkpoint::record::StateFileHandle;
use pelton_runtime_core::element::CheckpointId;
use pelton_runtime_core::id::ExecutionAttemptId;
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
        if let Err(error) = self.write(path, bytes) {
            tracing::warn!(folder = %self.folder.display(), path, %error, "state is not kept on this host");
        }
    }

    /// The bytes of a state file, if they are here.
    pub(super) fn read(&self, file: &StateFileHandle) -> Option<Bytes> {
        let path = self.folder.join(&file.path);
        // As when it is fetched: what is large is the kernel's to keep, so that it costs the worker no memory.
        let read = if file.bytes > SPILL_MIN { spill_file::mapped_at(&path) } else { fs::read(&path).map(Bytes::from) };
        let bytes = match read {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "a copy of state cannot be read");
                return None;
            }
        };
        if bytes.len() as u64 != file.bytes || Sha256::digest(&bytes)[..] != file.sha256 {
            tracing::warn!(path = %path.display(), "a copy of state is not what was written, and is not used");
            return None;
        }
        Some(bytes)
    }

    /// A checkpoint is complete: nothing begins from an older one any more, or it is fetched.
    pub(super) fn completed(&self, checkpoint: CheckpointId) {
        for entry in fs::read_dir(&self.folder).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let number = name.to_str().and_then(|name| name.strip_prefix("chk-")?.parse::<u64>().ok());
            if number.is_some_and(|number| number < checkpoint.0) {
                remove(fs::remove_dir_all(entry.path()), &entry.path());
            }
        }
    }

    /// A checkpoint is given up.
    pub(super) fn aborted(&self, checkpoint: CheckpointId, attempt: ExecutionAttemptId) {
        let path = self.folder.join(layout::state(checkpoint, attempt));
        remove(fs::remove_file(&path), &path);
    }

    /// The job is over.
    pub(super) fn clear(&self) {
        remove(fs::remove_dir_all(&self.folder), &self.folder);
    }

    fn write(&self, path: &str, bytes: &[u8]) -> io::Result<()> {
        let path = self.folder.join(path);
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        // Not synced: after a crash of the host the TaskManager is another one.
        let half = path.with_extension("half");
        fs::write(&half, bytes).and_then(|()| fs::rename(&half, &path)).inspect_err(|_| {
            remove(fs::remove_file(&half), &half);
        })
    }
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
        let attempt = ExecutionAttemptId::from_bytes([1; 16]);
        let path = |checkpoint| layout::state(CheckpointId(checkpoint), attempt);
        for checkpoint in [8, 9, 10] {
            local.keep(&path(checkpoint), b"state");
        }
        local.completed(CheckpointId(9));
        let there = |checkpoint| local.read(&handle(&path(checkpoint), b"state")).is_some();
        assert_eq!([8, 9, 10].map(there), [false, true, true]);
        local.aborted(CheckpointId(10), attempt);
        assert_eq!([8, 9, 10].map(there), [false, true, false]);
        local.clear();
        assert!(!folder.path().join("job").exists());
        local.clear();
        local.completed(CheckpointId(9));
    }
}
