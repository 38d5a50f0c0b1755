//! Checkpoints in a directory of this machine, or of a network file system that is mounted here.
//!
//! ```text
//!  put:            write .name.part ─► fsync ─► rename to name ─► fsync the directory
//!  put_if_absent:  write .name.part ─► fsync ─► link as name (fails when there is one) ─► fsync the directory
//! ```
//!
//! Invariant: under its name a file is always complete, and durable once its writer has been told so. A crash leaves
//! at most a `.part`, which is swept with the other leftovers.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use pelton_runtime_core::checkpoint::layout;
use pelton_runtime_core::checkpoint::storage::{
    FileParts, PutIfAbsent, Storage, StorageAction, StorageError, StoredFile,
};
use pelton_runtime_core::env::Env;

/// How often a directory is made again that somebody removes because it is empty.
const DIRECTORY_TRIES: usize = 8;

/// How much of a large file is read at once.
const PART_BYTES: usize = 4 << 20;

/// Files below a local directory.
#[derive(Debug)]
pub struct LocalStorage {
    root: PathBuf,
    url: String,
    env: Env,
}

impl LocalStorage {
    /// The files below `root`, which people find under `url`. The directory is made when it is needed.
    pub fn new(root: PathBuf, url: String, env: Env) -> Self {
        Self { root, url, env }
    }

    fn place(&self, path: &str) -> Result<PathBuf, StorageError> {
        if layout::is_valid(path) {
            Ok(self.root.join(path))
        } else {
            Err(StorageError::InvalidPath { path: path.to_owned() })
        }
    }

    /// Does what may block off the async threads.
    async fn on_disk<T: Send + 'static>(
        &self,
        action: StorageAction,
        path: &str,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> Result<T, StorageError> {
        let done = self.env.blocking(work).await.unwrap_or_else(|stopped| Err(io::Error::other(stopped)));
        done.map_err(|source| match (action, source.kind()) {
            (StorageAction::Read, ErrorKind::NotFound) => StorageError::NotFound { file: self.url(path) },
            _ => StorageError::Failed { action, file: self.url(path), source: source.into() },
        })
    }

    fn part_suffix(&self) -> String {
        format!("{:016x}.part", self.env.random_u64())
    }
}

#[async_trait]
impl Storage for LocalStorage {
    fn url(&self, path: &str) -> String {
        if path.is_empty() { self.url.clone() } else { format!("{}/{path}", self.url) }
    }

    async fn put(&self, path: &str, bytes: Bytes) -> Result<(), StorageError> {
        let (place, suffix) = (self.place(path)?, self.part_suffix());
        self.on_disk(StorageAction::Write, path, move || {
            let part = write_part(&place, &suffix, &bytes)?;
            fs::rename(&part, &place).inspect_err(|_| remove_part(&part))?;
            sync_directory(parent(&place))
        })
        .await
    }

    async fn put_parts(&self, path: &str, mut parts: FileParts) -> Result<(), StorageError> {
        let (place, suffix) = (self.place(path)?, self.part_suffix());
        let opened = self.on_disk(StorageAction::Write, path, {
            let place = place.clone();
            move || open_part(&place, &suffix)
        });
        let (mut file, part) = opened.await?;
        let part = Removed(part);
        while let Some(bytes) = parts.try_next().await? {
            let written = self.on_disk(StorageAction::Write, path, move || file.write_all(&bytes).map(|()| file));
            file = written.await?;
        }
        self.on_disk(StorageAction::Write, path, move || {
            file.sync_all()?;
            fs::rename(&part.0, &place)?;
            sync_directory(parent(&place))
        })
        .await
    }

    async fn put_if_absent(&self, path: &str, bytes: Bytes) -> Result<PutIfAbsent, StorageError> {
        let (place, suffix) = (self.place(path)?, self.part_suffix());
        self.on_disk(StorageAction::Write, path, move || {
            let part = write_part(&place, &suffix, &bytes)?;
            let linked = fs::hard_link(&part, &place);
            remove_part(&part);
            match linked {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(PutIfAbsent::Existed),
                Err(error) if was_refused(&error) => return Err(error),
                Err(error) => return Ok(PutIfAbsent::Unknown { reason: error.to_string() }),
            }
            // It is there; whether it survives a crash is known only after this.
            Ok(match sync_directory(parent(&place)) {
                Ok(()) => PutIfAbsent::Stored,
                Err(error) => PutIfAbsent::Unknown { reason: error.to_string() },
            })
        })
        .await
    }

    async fn get(&self, path: &str) -> Result<Bytes, StorageError> {
        let place = self.place(path)?;
        self.on_disk(StorageAction::Read, path, move || fs::read(place).map(Bytes::from)).await
    }

    async fn get_parts(&self, path: &str) -> Result<FileParts, StorageError> {
        let place = self.place(path)?;
        let file = self.on_disk(StorageAction::Read, path, move || File::open(place)).await?;
        let (env, url) = (self.env.clone(), self.url(path));
        let parts = futures::stream::try_unfold((file, env), |(mut file, env)| async move {
            let part = env.blocking(move || {
                let mut part = Vec::with_capacity(PART_BYTES);
                Read::by_ref(&mut file).take(PART_BYTES as u64).read_to_end(&mut part).map(|_| (part, file))
            });
            let (part, file) = part.await.unwrap_or_else(|stopped| Err(io::Error::other(stopped)))?;
            Ok((!part.is_empty()).then(|| (Bytes::from(part), (file, env))))
        });
        let failed = move |source: io::Error| StorageError::Failed {
            action: StorageAction::Read,
            file: url.clone(),
            source: source.into(),
        };
        Ok(parts.map_err(failed).boxed())
    }

    async fn get_range(&self, path: &str, range: Range<u64>) -> Result<Bytes, StorageError> {
        let place = self.place(path)?;
        self.on_disk(StorageAction::Read, path, move || {
            let mut file = File::open(place)?;
            file.seek(SeekFrom::Start(range.start))?;
            let mut bytes = Vec::new();
            file.take(range.end.saturating_sub(range.start)).read_to_end(&mut bytes)?;
            Ok(bytes.into())
        })
        .await
    }

    fn local_path(&self, path: &str) -> Option<PathBuf> {
        self.place(path).ok()
    }

    async fn delete(&self, path: &str) -> Result<(), StorageError> {
        let (place, root) = (self.place(path)?, self.root.clone());
        self.on_disk(StorageAction::Remove, path, move || {
            match fs::remove_file(&place) {
                Ok(()) => sync_directory(parent(&place))?,
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
            remove_empty_directories(parent(&place), &root);
            Ok(())
        })
        .await
    }

    async fn list(&self) -> Result<Vec<StoredFile>, StorageError> {
        let root = self.root.clone();
        self.on_disk(StorageAction::List, "", move || {
            let mut found = Vec::new();
            list_into(&root, "", &mut found)?;
            found.sort_unstable_by(|a, b| a.path.cmp(&b.path));
            Ok(found)
        })
        .await
    }
}

fn parent(place: &Path) -> &Path {
    place.parent().unwrap_or(Path::new("."))
}

/// A part that is removed, unless it has its name by then.
struct Removed(PathBuf);

impl Drop for Removed {
    fn drop(&mut self) {
        remove_part(&self.0);
    }
}

/// Writes a file beside the place it is meant for.
fn write_part(place: &Path, suffix: &str, bytes: &[u8]) -> io::Result<PathBuf> {
    let (mut file, part) = open_part(place, suffix)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).inspect_err(|_| remove_part(&part))?;
    Ok(part)
}

/// Opens a new file beside the place it is meant for.
fn open_part(place: &Path, suffix: &str) -> io::Result<(File, PathBuf)> {
    let name = place.file_name().and_then(OsStr::to_str).unwrap_or("file");
    let part = place.with_file_name(format!(".{name}.{suffix}"));
    let mut tries = 0;
    loop {
        make_directory(parent(place))?;
        match File::options().write(true).create_new(true).open(&part) {
            Ok(file) => return Ok((file, part)),
            // Somebody has just removed the directory because it was empty.
            Err(error) if error.kind() == ErrorKind::NotFound && tries < DIRECTORY_TRIES => tries += 1,
            Err(error) => return Err(error),
        }
    }
}

/// What cannot be removed now is swept later.
fn remove_part(part: &Path) {
    drop(fs::remove_file(part));
}

/// Makes a directory and those above it durable.
fn make_directory(directory: &Path) -> io::Result<()> {
    if directory.as_os_str().is_empty() || directory.is_dir() {
        return Ok(());
    }
    make_directory(parent(directory))?;
    match fs::create_dir(directory) {
        Ok(()) => sync_directory(parent(directory)),
        Err(error) if error.kind() == ErrorKind::AlreadyExists && directory.is_dir() => Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            Err(io::Error::new(ErrorKind::NotADirectory, format!("`{}` is not a directory", directory.display())))
        }
        // The next try makes those above again, too.
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

fn sync_directory(directory: &Path) -> io::Result<()> {
    let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    match File::open(directory).and_then(|directory| directory.sync_all()) {
        // Removed because it was empty: then there is nothing to make durable in it.
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

/// Whether a link was certainly not made. Everything else may be a network file system that lost an answer.
fn was_refused(error: &io::Error) -> bool {
    use ErrorKind::{
        CrossesDevices, NotADirectory, NotFound, PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull,
        TooManyLinks, Unsupported,
    };
    let known = [
        CrossesDevices,
        NotADirectory,
        NotFound,
        PermissionDenied,
        QuotaExceeded,
        ReadOnlyFilesystem,
        StorageFull,
        TooManyLinks,
        Unsupported,
    ];
    known.contains(&error.kind())
}

/// Removes this directory and those above it up to `root`, as long as they are empty.
fn remove_empty_directories(directory: &Path, root: &Path) {
    let mut next = Some(directory);
    while let Some(directory) = next.filter(|directory| directory.starts_with(root)) {
        // It is not empty, or not ours to remove.
        if fs::remove_dir(directory).is_err() {
            return;
        }
        next = directory.parent();
    }
}

fn list_into(directory: &Path, prefix: &str, found: &mut Vec<StoredFile>) -> io::Result<()> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let Some(path) = name.to_str().map(|name| format!("{prefix}{name}")) else { continue };
        match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => list_into(&entry.path(), &format!("{path}/"), found)?,
            Ok(metadata) if metadata.is_file() => found.push(StoredFile { path, bytes: metadata.len() }),
            Ok(_) => {}
            // Removed meanwhile.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
