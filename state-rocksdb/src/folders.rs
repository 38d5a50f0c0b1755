//! The folders in which a worker's databases are, where people have named such: a worker that is killed leaves its own
//! behind, and the next one that comes there removes it.
//!
//! ```text
//!  <localdir>/pelton-<pid>         databases
//!  <localdir>/pelton-<pid>.lock    locked as long as the worker lives, by the kernel
//! ```
//!
//! Invariant: a folder whose lock is held is never removed by another process, also not by one in another container.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

const PREFIX: &str = "pelton-";
const LOCK: &str = "lock";

/// A folder of this process's own.
#[derive(Debug)]
pub(crate) struct OwnFolder {
    pub(crate) path: PathBuf,
    /// None where locks cannot be had; then nobody can tell that it is left behind, either.
    lock: Option<File>,
}

impl OwnFolder {
    /// A folder in `parent`, after those were removed that killed processes left there. The folder itself is made by
    /// whoever needs it first.
    pub(crate) fn claim(parent: &Path) -> Self {
        Self::claim_as(parent, &format!("{PREFIX}{}", std::process::id()))
    }

    fn claim_as(parent: &Path, name: &str) -> Self {
        let path = parent.join(name);
        let lock = fs::create_dir_all(parent).and_then(|()| locked(&path.with_extension(LOCK)));
        let lock = lock.inspect_err(|error| {
            tracing::warn!(folder = %path.display(), %error, "what is left here after a crash will not be removed");
        });
        if let Err(error) = remove_left(parent) {
            tracing::warn!(folder = %parent.display(), %error, "what killed workers have left cannot be removed");
        }
        Self { path, lock: lock.ok() }
    }
}

impl Drop for OwnFolder {
    fn drop(&mut self) {
        if self.lock.is_some() {
            // Databases remove their own folders; one that is still open keeps this one.
            if fs::remove_dir(&self.path).is_ok() || !self.path.exists() {
                drop(fs::remove_file(self.path.with_extension(LOCK)));
            }
        }
    }
}

/// The lock file, locked.
fn locked(path: &Path) -> io::Result<File> {
    loop {
        let file = File::options().create(true).truncate(false).write(true).open(path)?;
        file.lock()?;
        // Who removed what was left may have removed this name meanwhile.
        let there = fs::metadata(path).map(|there| (there.dev(), there.ino()));
        let own = file.metadata()?;
        if there.is_ok_and(|there| there == (own.dev(), own.ino())) {
            return Ok(file);
        }
    }
}

/// Removes the folders whose processes are gone.
fn remove_left(parent: &Path) -> io::Result<()> {
    for entry in fs::read_dir(parent)? {
        let path = entry?.path();
        let is_lock = path.extension().is_some_and(|extension| extension == LOCK);
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if !is_lock || !name.starts_with(PREFIX) {
            continue;
        }
        let file = match File::options().write(true).open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            opened => opened?,
        };
        match file.try_lock() {
            Err(TryLockError::WouldBlock) => continue,
            Err(TryLockError::Error(error)) => return Err(error),
            Ok(()) => {}
        }
        let folder = path.with_extension("");
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            removed => {
                if removed.is_ok() {
                    tracing::info!(folder = %folder.display(), "removed what a killed worker had left");
                }
                fs::remove_file(&path)?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_process_left_is_removed_and_what_is_in_use_is_not() {
        let parent = tempfile::tempdir().unwrap();
        let parent = parent.path().join("databases");
        let living = OwnFolder::claim_as(&parent, "pelton-1");
        fs::create_dir_all(living.path.join("database")).unwrap();
        let killed = OwnFolder::claim_as(&parent, "pelton-2");
        fs::create_dir_all(killed.path.join("database")).unwrap();
        fs::create_dir_all(parent.join("somebody's")).unwrap();
        // The kernel lets go of what a process held; nothing else happens when it is killed.
        let mut killed = std::mem::ManuallyDrop::new(killed);
        drop(killed.lock.take());
        let next = OwnFolder::claim_as(&parent, "pelton-3");
        let names = || -> Vec<String> {
            let mut names: Vec<String> =
                fs::read_dir(&parent).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
            names.sort();
            names
        };
        assert_eq!(names(), ["pelton-1", "pelton-1.lock", "pelton-3.lock", "somebody's"]);
        assert!(living.path.join("database").exists());
        drop(next);
        fs::remove_dir_all(living.path.join("database")).unwrap();
        drop(living);
        assert_eq!(names(), ["somebody's"]);
    }
}
