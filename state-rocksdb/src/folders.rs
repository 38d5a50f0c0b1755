//! The folders in which a worker's databases are, where people have named such: a worker that is killed leaves its own
//! behind, and the next one that comes there removes it.
//!
//! ```text
//!  <localdir>/pelton-<pid>         databases
//!  <localdir>/pelton-<pid>.lock    locked as long as the worker lives, by the kernel
//!  <localdir>/pelton-<pid>-1 …     where another one has the same process id
//! ```
//!
//! Invariant: a folder whose lock is held is never removed by another process, also not by one in another container.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

const PREFIX: &str = "pelton-";
const LOCK: &str = "lock";

/// How many folders may have the same process id.
const NAMES_MAX: u32 = 1000;

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

    /// A folder of this name, or of one with a number behind it: processes in several containers have the same id, and one
    /// process may need several folders.
    fn claim_as(parent: &Path, name: &str) -> Self {
        let claimed = fs::create_dir_all(parent).and_then(|()| claimed(parent, name));
        if let Err(error) = remove_left(parent) {
            tracing::warn!(folder = %parent.display(), %error, "what killed workers have left cannot be looked for");
        }
        claimed.unwrap_or_else(|error| {
            tracing::warn!(folder = %parent.display(), %error, "what is left here after a crash will not be removed");
            Self { path: parent.join(name), lock: None }
        })
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

/// The first folder of this name, or with a number behind it, that nobody has. It is empty.
fn claimed(parent: &Path, name: &str) -> io::Result<OwnFolder> {
    for number in 0..NAMES_MAX {
        let path = parent.join(if number == 0 { name.to_owned() } else { format!("{name}-{number}") });
        let file = File::options().create(true).truncate(false).write(true).open(path.with_extension(LOCK))?;
        if !locks(&file, &path.with_extension(LOCK))? {
            continue;
        }
        // One that was killed had the same id.
        match remove_folder(&path) {
            Ok(()) => return Ok(OwnFolder { path, lock: Some(file) }),
            Err(error) => cannot_remove(&path, &error),
        }
    }
    Err(io::Error::other(format!("{NAMES_MAX} folders of this name are in use")))
}

/// Locks a file, unless somebody else has, or has just removed its name.
fn locks(file: &File, name: &Path) -> io::Result<bool> {
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => return Ok(false),
        Err(TryLockError::Error(error)) => return Err(error),
        Ok(()) => {}
    }
    let own = file.metadata()?;
    let there = fs::metadata(name).map(|there| (there.dev(), there.ino()));
    Ok(there.is_ok_and(|there| there == (own.dev(), own.ino())))
}

/// Removes the folders whose processes are gone. One that cannot be removed does not keep the others.
fn remove_left(parent: &Path) -> io::Result<()> {
    for entry in fs::read_dir(parent)? {
        let lock = entry?.path();
        let is_lock = lock.extension().is_some_and(|extension| extension == LOCK);
        let name = lock.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if is_lock && name.starts_with(PREFIX) {
            match remove_if_left(&lock) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    cannot_remove(&lock.with_extension(""), &error)
                }
                _ => {}
            }
        }
    }
    Ok(())
}

/// Removes the folder of a lock that nobody holds.
fn remove_if_left(lock: &Path) -> io::Result<()> {
    let file = File::options().write(true).open(lock)?;
    if !locks(&file, lock)? {
        return Ok(());
    }
    remove_folder(&lock.with_extension(""))?;
    fs::remove_file(lock)
}

fn remove_folder(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) => tracing::info!(folder = %folder.display(), "removed what a killed worker had left"),
        Err(_) => {}
    }
    Ok(())
}

fn cannot_remove(folder: &Path, error: &io::Error) {
    tracing::warn!(folder = %folder.display(), %error, "what a killed worker has left cannot be removed");
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

    #[test]
    fn a_process_with_the_id_of_a_killed_one_begins_with_an_empty_folder() {
        let parent = tempfile::tempdir().unwrap();
        let killed = OwnFolder::claim_as(parent.path(), "pelton-8");
        fs::create_dir_all(killed.path.join("database")).unwrap();
        let mut killed = std::mem::ManuallyDrop::new(killed);
        drop(killed.lock.take());
        let next = OwnFolder::claim_as(parent.path(), "pelton-8");
        assert_eq!(next.path, killed.path);
        assert!(!next.path.exists());
    }

    #[test]
    fn two_with_the_same_id_have_folders_of_their_own() {
        let parent = tempfile::tempdir().unwrap();
        let [one, other] = [(); 2].map(|()| OwnFolder::claim_as(parent.path(), "pelton-8"));
        assert_eq!(other.path, parent.path().join("pelton-8-1"));
        fs::create_dir_all(one.path.join("database")).unwrap();
        drop(OwnFolder::claim_as(parent.path(), "pelton-8"));
        assert!(one.path.join("database").exists());
    }
}
