//! Which files a location means: one file, or all files beneath a directory.
//!
//! Names that start with `.` or `_` are skipped, as in Flink: they are what other jobs have not finished. The order is
//! the same for every reader.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::TryStreamExt;
use object_store::path::Path as StorePath;
use object_store::{ObjectStore, ObjectStoreExt};
use pelton_filesystem::location::{Location, Place, display};
use pelton_runtime_core::env::Env;

use super::error::ReadError;
use crate::wait::wait_for;

/// One file.
#[derive(Debug, Clone)]
pub(super) struct FileEntry {
    /// How people name it.
    pub(super) name: String,
    pub(super) place: Place,
    /// Its length; `None` for what is no regular file (a pipe, a device).
    pub(super) size: Option<u64>,
}

/// The files of `location`, in order.
pub(super) fn list(location: &Location, env: &Env) -> Result<Vec<FileEntry>, ReadError> {
    match location.place() {
        Place::Local(path) => list_local(path),
        Place::Remote { store, path } => list_remote(location, store, path, env),
    }
}

fn list_local(root: &Path) -> Result<Vec<FileEntry>, ReadError> {
    let mut files = Vec::new();
    let metadata = std::fs::metadata(root).map_err(|source| ReadError::io(&display(root), source))?;
    if !metadata.is_dir() {
        return Ok(vec![local_entry(root.to_owned(), &metadata)]);
    }
    let mut directories = vec![root.to_owned()];
    while let Some(directory) = directories.pop() {
        let failed = |source: io::Error| ReadError::io(&display(&directory), source);
        for entry in std::fs::read_dir(&directory).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            if is_hidden(&entry.file_name().to_string_lossy()) {
                continue;
            }
            let path = entry.path();
            let failed = |source: io::Error| ReadError::io(&display(&path), source);
            let metadata = match std::fs::metadata(&path) {
                // It got another name or was taken away meanwhile; a link that leads nowhere is still there.
                Err(error) if error.kind() == io::ErrorKind::NotFound && std::fs::symlink_metadata(&path).is_err() => {
                    continue;
                }
                metadata => metadata.map_err(failed)?,
            };
            if !metadata.is_dir() {
                files.push(local_entry(path, &metadata));
            } else if !leads_back(&directory, &path).map_err(failed)? {
                directories.push(path);
            }
        }
    }
    files.sort_by(|left, right| left.name.cmp(&right.name));
    Ok(files)
}

/// Whether `path`, found in `directory`, is a symbolic link to a directory above it.
fn leads_back(directory: &Path, path: &PathBuf) -> io::Result<bool> {
    if !std::fs::symlink_metadata(path)?.is_symlink() {
        return Ok(false);
    }
    Ok(directory.canonicalize()?.starts_with(path.canonicalize()?))
}

fn local_entry(path: PathBuf, metadata: &std::fs::Metadata) -> FileEntry {
    FileEntry { name: display(&path), size: metadata.is_file().then_some(metadata.len()), place: Place::Local(path) }
}

fn is_hidden(name: &str) -> bool {
    name.starts_with(['.', '_'])
}

fn list_remote(
    location: &Location,
    store: &Arc<dyn ObjectStore>,
    root: &StorePath,
    env: &Env,
) -> Result<Vec<FileEntry>, ReadError> {
    let name = location.to_string();
    let is_http = name.starts_with("http");
    let objects = {
        let (store, root) = (Arc::clone(store), root.clone());
        wait_for(env, async move {
            let missing = match store.head(&root).await {
                Ok(object) => return Ok(vec![object]),
                Err(error @ object_store::Error::NotFound { .. }) => Some(error),
                // A bucket's root is no object; stores answer that in different ways.
                Err(_) if root.as_ref().is_empty() => None,
                Err(error) => return Err(error),
            };
            let listed = store.list(Some(&root)).try_collect::<Vec<_>>().await;
            // Few HTTP servers can list; what one says about that explains nothing.
            listed.map_err(|error| missing.filter(|_| is_http).unwrap_or(error))
        })
        .map_err(|_| ReadError::Interrupted { path: name.clone() })?
        .map_err(|source| ReadError::store(&name, source))?
    };
    if objects.is_empty() {
        return Err(ReadError::Missing { path: name });
    }
    let base = name.trim_end_matches('/');
    let mut files: Vec<FileEntry> = objects
        .into_iter()
        .filter_map(|object| {
            let beneath: Vec<_> = object.location.prefix_match(root)?.map(|part| part.as_ref().to_owned()).collect();
            if beneath.iter().any(|part| is_hidden(part)) {
                return None;
            }
            let name = std::iter::once(base).chain(beneath.iter().map(String::as_str)).collect::<Vec<_>>().join("/");
            let place = Place::Remote { store: Arc::clone(store), path: object.location };
            Some(FileEntry { name, place, size: Some(object.size) })
        })
        .collect();
    files.sort_by(|left, right| left.name.cmp(&right.name));
    Ok(files)
}
