//! Open parts and uploads that earlier attempts of the same sink left, which nobody will publish.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

use pelton_filesystem::location::{Location, Place};
use pelton_runtime_core::env::Env;
use pelton_runtime_core::failure::error_chain;

use super::kept;
use super::names::{IN_PROGRESS, WriterId};
use super::part::object_path;
use super::resumable;
use crate::wait::wait_for;

/// What a copy ends with, behind a number of its own, that was being made when its publisher died.
pub(super) const CUT: &str = ".cut";

/// Removes them from `directory` and the buckets in it, except the parts with the names of `keep`, which are still to be
/// published, and those that a savepoint lists.
///
/// Only leftovers of subtasks that this one follows are removed, as others may be writing already; and only those of
/// earlier attempts, as this one may have been given up without knowing.
pub(super) fn remove(directory: &Path, writer: &WriterId, keep: &BTreeSet<&str>) -> io::Result<()> {
    if !writer.has_predecessors() {
        return Ok(());
    }
    let mut folders = vec![(directory.to_owned(), String::new())];
    while let Some((folder, bucket)) = folders.pop() {
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        for entry in entries {
            let entry = entry?;
            let file = entry.file_name();
            let Some(file) = file.to_str() else { continue };
            // Links may lead anywhere, and no sink makes one.
            if entry.file_type()?.is_dir() {
                folders.push((entry.path(), format!("{bucket}{file}/")));
            } else if is_leftover(file, &bucket, writer, keep) && !kept::is_marked(&folder, file)? {
                match fs::remove_file(entry.path()) {
                    Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                    _ => {}
                }
            }
        }
    }
    Ok(())
}

/// Aborts uploads that earlier attempts left open beneath `directory`, where its store can list them, except those that make
/// the parts of `keep`. What cannot be found or aborted stays, invisible, and is warned of.
pub(super) fn abort(directory: &Location, writer: &WriterId, keep: &BTreeSet<&str>, env: &Env) -> io::Result<()> {
    let (Place::Remote { path: root, store: objects }, Some(open), Some(store)) =
        (directory.place(), directory.open_uploads().cloned(), directory.multipart())
    else {
        return Ok(());
    };
    if !writer.has_predecessors() {
        return Ok(());
    }
    let place = root.clone();
    let listed = wait_for(env, async move { open.beneath(&place).await }).map_err(io::Error::other)?;
    let uploads = match listed {
        Ok(uploads) => uploads,
        Err(error) => {
            let error = error_chain(&error);
            tracing::warn!(%directory, error, "uploads that earlier attempts left open cannot be found");
            return Ok(());
        }
    };
    // As they are called there: some characters are written differently in stores.
    let keep: BTreeSet<_> = keep.iter().map(|name| object_path(root, name)).collect();
    for upload in uploads {
        let file = upload.path.filename().unwrap_or_default();
        let is_leftover = writer.follows(file) == Some(true) && !keep.contains(&upload.path);
        if !is_leftover {
            continue;
        }
        match kept::is_marked_upload(objects, &upload.path, env) {
            Ok(false) => resumable::abort(store, &upload.path, &upload.id, env),
            Ok(true) => {}
            Err(error) => {
                let error = error_chain(&error);
                let upload = upload.path.as_ref();
                tracing::warn!(
                    upload,
                    error,
                    "an open upload is left, as nobody can tell whether a savepoint lists it"
                );
            }
        }
    }
    Ok(())
}

fn is_leftover(file: &str, bucket: &str, writer: &WriterId, keep: &BTreeSet<&str>) -> bool {
    let copied = file.strip_suffix(CUT).and_then(|copy| copy.rsplit_once('.')).map(|(hidden, _)| hidden);
    let hidden = copied.unwrap_or(file);
    let Some(name) = hidden.strip_prefix('.').and_then(|file| file.strip_suffix(IN_PROGRESS)) else { return false };
    // A copy that somebody still makes is made again.
    writer.follows(name) == Some(true) && (copied.is_some() || !keep.contains(format!("{bucket}{name}").as_str()))
}
