//! The TaskManager's folders below `io.tmp.dirs` and `blob.storage.directory`, and what earlier TaskManagers left there.
//!
//! ```text
//!  <tmp>/pelton-taskmanager-<id>/lock          held while the TaskManager lives
//!                               /artifacts/    users' programs, unless blob.storage.directory is set
//!                               /workers/<id>  one folder per worker
//!                               /local-state/  copies of state, unless execution.checkpointing.local-backup.dirs is set
//!  <local-backup.dirs>/pelton-local-state-<id>/lock
//!                                             /local-state/
//!  <blob.storage.directory>/pelton-artifacts-<id>/lock
//!                                                /artifacts/
//! ```
//!
//! Several TaskManagers of a host may be given the same folders, each has folders of its own in them.
//! The kernel releases the lock of a TaskManager however it ended, so a folder whose lock is free belongs to nobody
//! and the next TaskManager removes it.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use pelton_runtime_core::id::TaskManagerId;

const PREFIX: &str = "pelton-taskmanager-";
const ARTIFACTS_PREFIX: &str = "pelton-artifacts-";
const LOCAL_STATE_PREFIX: &str = "pelton-local-state-";
const LOCAL_STATE: &str = "local-state";
const ARTIFACTS: &str = "artifacts";
const LOCK: &str = "lock";

/// A folder cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot use {}; `{option}` expects what can be written", path.display())]
pub struct WorkspaceError {
    path: PathBuf,
    option: &'static str,
    source: io::Error,
}

/// The folders of one TaskManager; they are removed with this value.
#[derive(Debug)]
pub(crate) struct Workspace {
    /// Below `io.tmp.dirs`.
    folders: Vec<Claim>,
    /// Below `execution.checkpointing.local-backup.dirs`.
    local_state: Vec<Claim>,
    /// Below `blob.storage.directory`.
    artifacts: Option<Claim>,
}

/// A folder that nobody else uses; it is removed with this value.
#[derive(Debug)]
struct Claim {
    folder: PathBuf,
    _lock: File,
}

impl Workspace {
    /// Creates the folders and removes those of TaskManagers that are gone.
    pub(crate) fn create(
        tmp_dirs: &[PathBuf],
        local_state: &[PathBuf],
        artifacts: Option<&Path>,
        id: &TaskManagerId,
    ) -> Result<Self, WorkspaceError> {
        let name: String = id.0.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).collect();
        let claim = |base: &Path, prefix, option| {
            remove_leftovers(base, prefix);
            let path = base.join(format!("{prefix}{name}"));
            Claim::on(&path).map_err(|source| WorkspaceError { path, option, source })
        };
        let folders = tmp_dirs.iter().map(|tmp| claim(tmp, PREFIX, "io.tmp.dirs")).collect::<Result<_, _>>()?;
        let artifacts = artifacts.map(|base| claim(base, ARTIFACTS_PREFIX, "blob.storage.directory")).transpose()?;
        let option = "execution.checkpointing.local-backup.dirs";
        let local_state = local_state.iter().map(|base| claim(base, LOCAL_STATE_PREFIX, option));
        let local_state = local_state.collect::<Result<_, _>>()?;
        Ok(Self { folders, local_state, artifacts })
    }

    /// Where programs are kept.
    pub(crate) fn artifacts(&self) -> PathBuf {
        self.artifacts.as_ref().unwrap_or(&self.folders[0]).folder.join(ARTIFACTS)
    }

    /// Where copies of state are kept.
    pub(crate) fn local_state(&self) -> Vec<PathBuf> {
        let folders = if self.local_state.is_empty() { &self.folders[..1] } else { &self.local_state };
        folders.iter().map(|claim| claim.folder.join(LOCAL_STATE)).collect()
    }

    /// The folders in which workers get theirs.
    pub(crate) fn workers(&self) -> Vec<PathBuf> {
        self.folders.iter().map(|claim| claim.folder.join("workers")).collect()
    }
}

impl Claim {
    fn on(folder: &Path) -> io::Result<Self> {
        let lock = claim(folder)?.ok_or_else(|| {
            io::Error::new(io::ErrorKind::ResourceBusy, "another TaskManager with the same id uses it")
        })?;
        Ok(Self { folder: fs::canonicalize(folder)?, _lock: lock })
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        remove(&self.folder);
    }
}

/// How often a folder is tried for that somebody else holds: whoever takes it for a leftover lets go at once.
const CLAIM_ATTEMPTS: u32 = 20;

/// How long to wait between two attempts.
const CLAIM_PAUSE: Duration = Duration::from_millis(10);

/// Makes a folder and locks it; `None` when somebody lives there.
///
/// Between its creation and its lock, another TaskManager that starts may take the folder for a leftover and remove it;
/// then it is made again.
fn claim(folder: &Path) -> io::Result<Option<File>> {
    let path = folder.join(LOCK);
    for _ in 0..CLAIM_ATTEMPTS {
        fs::create_dir_all(folder)?;
        match lock(&path) {
            Ok(Some(lock)) if path.exists() => return Ok(Some(lock)),
            Ok(Some(_)) => {}
            Ok(None) => std::thread::park_timeout(CLAIM_PAUSE),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(None)
}

/// The lock, or `None` when somebody holds it.
fn lock(path: &Path) -> io::Result<Option<File>> {
    let file = OpenOptions::new().create(true).append(true).open(path)?;
    // SAFETY: the descriptor is open.
    if unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } == 0 {
        return Ok(Some(file));
    }
    match io::Error::last_os_error() {
        error if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
        error => Err(error),
    }
}

fn remove_leftovers(base: &Path, prefix: &str) {
    // A folder that does not exist yet has no leftovers.
    let Ok(entries) = fs::read_dir(base) else { return };
    for entry in entries.flatten() {
        let folder = entry.path();
        if !entry.file_name().to_string_lossy().starts_with(prefix) || !folder.join(LOCK).exists() {
            continue;
        }
        // Otherwise somebody lives there, or it is another user's.
        if let Ok(Some(_ours)) = lock(&folder.join(LOCK)) {
            tracing::info!(folder = %folder.display(), "removing what an earlier TaskManager left behind");
            remove(&folder);
        }
    }
}

fn remove(folder: &Path) {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(folder = %folder.display(), %error, "cannot remove a temporary folder");
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn create(tmp: &Path, id: &str) -> Result<Workspace, WorkspaceError> {
        Workspace::create(&[tmp.to_owned()], &[], None, &TaskManagerId(id.to_owned()))
    }

    #[test]
    fn what_a_dead_task_manager_left_is_removed_and_what_a_living_one_uses_stays() {
        let tmp = tempfile::tempdir().unwrap();
        let dead = tmp.path().join("pelton-taskmanager-dead");
        fs::create_dir_all(dead.join("workers/x")).unwrap();
        fs::write(dead.join(LOCK), "").unwrap();
        let living = create(tmp.path(), "host:1-a").unwrap();
        let _second = create(tmp.path(), "host:2-b").unwrap();
        assert!(!dead.exists());
        assert!(living.folders[0].folder.exists());
    }

    #[test]
    fn two_task_managers_cannot_have_the_same_id() {
        let tmp = tempfile::tempdir().unwrap();
        let _first = create(tmp.path(), "same").unwrap();
        assert!(create(tmp.path(), "same").is_err());
    }

    #[test]
    fn task_managers_that_start_together_do_not_remove_each_other() {
        let tmp = tempfile::tempdir().unwrap();
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let tmp = tmp.path();
                scope.spawn(move || {
                    for round in 0..50 {
                        let workspace = create(tmp, &format!("host:{thread}-{round}")).unwrap();
                        assert!(workspace.folders[0].folder.exists());
                    }
                });
            }
        });
        assert_eq!(fs::read_dir(tmp.path()).unwrap().count(), 0);
    }

    #[test]
    fn nothing_stays_after_the_end() {
        let tmp = tempfile::tempdir().unwrap();
        drop(create(tmp.path(), "host:1-a").unwrap());
        assert_eq!(fs::read_dir(tmp.path()).unwrap().count(), 0);
    }

    #[test]
    fn programs_in_a_folder_of_their_own_are_removed_like_all_else() {
        let base = tempfile::tempdir().unwrap();
        let (tmp, blobs) = (base.path().join("tmp"), base.path().join("blobs"));
        let create = |id: &str| {
            let workspace =
                Workspace::create(std::slice::from_ref(&tmp), &[], Some(&blobs), &TaskManagerId(id.to_owned()))
                    .unwrap();
            fs::create_dir_all(workspace.artifacts()).unwrap();
            fs::write(workspace.artifacts().join("program"), "").unwrap();
            workspace
        };
        let dead = blobs.join("pelton-artifacts-dead");
        fs::create_dir_all(dead.join("artifacts")).unwrap();
        fs::write(dead.join(LOCK), "").unwrap();
        fs::write(blobs.join("of-somebody-else"), "").unwrap();
        let (first, second) = (create("host:1-a"), create("host:2-b"));
        assert!(!dead.exists());
        assert!(first.artifacts().starts_with(fs::canonicalize(&blobs).unwrap()));
        drop(second);
        assert!(first.artifacts().join("program").exists());
        drop(first);
        assert_eq!(fs::read_dir(&tmp).unwrap().count(), 0);
        let left: Vec<_> = fs::read_dir(&blobs).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["of-somebody-else"]);
    }
}
