//! The TaskManager's folders below `io.tmp.dirs`, and what earlier TaskManagers left there.
//!
//! ```text
//!  <tmp>/pelton-taskmanager-<id>/lock          held while the TaskManager lives
//!                               /artifacts/    users' programs, unless blob.storage.directory says otherwise
//!                               /workers/<id>  one folder per worker
//! ```
//!
//! The kernel releases the lock of a TaskManager however it ended, so a folder whose lock is free belongs to nobody
//! and the next TaskManager removes it.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use pelton_runtime_core::id::TaskManagerId;

const PREFIX: &str = "pelton-taskmanager-";
const LOCK: &str = "lock";

/// A folder for temporary files cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot use {} for temporary files; `io.tmp.dirs` expects folders that can be written", path.display())]
pub struct WorkspaceError {
    path: PathBuf,
    source: io::Error,
}

/// The folders of one TaskManager; they are removed with this value.
#[derive(Debug)]
pub(crate) struct Workspace {
    folders: Vec<PathBuf>,
    _locks: Vec<File>,
}

impl Workspace {
    /// Creates the folders and removes those of TaskManagers that are gone.
    pub(crate) fn create(tmp_dirs: &[PathBuf], id: &TaskManagerId) -> Result<Self, WorkspaceError> {
        let name: String = id.0.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).collect();
        let mut workspace = Self { folders: Vec::new(), _locks: Vec::new() };
        for tmp in tmp_dirs {
            remove_leftovers(tmp);
            let folder = tmp.join(format!("{PREFIX}{name}"));
            let failed = |source| WorkspaceError { path: folder.clone(), source };
            let lock = claim(&folder).map_err(failed)?.ok_or_else(|| {
                failed(io::Error::new(io::ErrorKind::ResourceBusy, "another TaskManager with the same id uses it"))
            })?;
            workspace.folders.push(fs::canonicalize(&folder).map_err(failed)?);
            workspace._locks.push(lock);
        }
        Ok(workspace)
    }

    /// Where programs are kept.
    pub(crate) fn artifacts(&self) -> PathBuf {
        self.folders[0].join("artifacts")
    }

    /// The folders in which workers get theirs.
    pub(crate) fn workers(&self) -> Vec<PathBuf> {
        self.folders.iter().map(|folder| folder.join("workers")).collect()
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        self.folders.iter().for_each(|folder| remove(folder));
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

fn remove_leftovers(tmp: &Path) {
    // A folder that does not exist yet has no leftovers.
    let Ok(entries) = fs::read_dir(tmp) else { return };
    for entry in entries.flatten() {
        let folder = entry.path();
        if !entry.file_name().to_string_lossy().starts_with(PREFIX) || !folder.join(LOCK).exists() {
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
        Workspace::create(&[tmp.to_owned()], &TaskManagerId(id.to_owned()))
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
        assert!(living.folders[0].exists());
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
                        assert!(workspace.folders[0].exists());
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
}
