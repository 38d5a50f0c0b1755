//! Gives finished parts their names. Idempotent: it may happen again after any crash, by whoever restores the checkpoint.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use object_store::multipart::{MultipartStore, PartId};
use object_store::path::Path as StorePath;
use object_store::{ObjectStore, ObjectStoreExt};
use pelton_filesystem::location::{Location, Place};
use pelton_runtime_core::env::{Env, Stopped};
use pelton_runtime_core::failure::error_chain;
use pelton_runtime_core::operator::{OperatorError, OperatorResult, OperatorRuntime};

use super::kept;
use super::leftovers::CUT;
use super::names::{WriterId, hidden};
use super::part::object_path;
use super::pending::{PartForm, PendingPart};
use crate::committing::{CommitError, Committer};
use crate::wait::wait_for;

/// Publishes the parts of one subtask.
pub(super) struct FileCommitter {
    directory: Location,
    configuration: Arc<BTreeMap<String, String>>,
    pub(super) env: Env,
    /// Who writes beside it. Only parts of others may be kept without being in `kept`.
    writer: WriterId,
    /// Parts that a savepoint lists and that are not published.
    kept: BTreeSet<String>,
}

impl FileCommitter {
    pub(super) fn new(directory: Location, writer: WriterId, runtime: &OperatorRuntime) -> Self {
        let (configuration, env) = (Arc::clone(&runtime.configuration), runtime.env.clone());
        Self { directory, configuration, env, writer, kept: BTreeSet::new() }
    }

    /// Where the part is: in the directory that its sink had when it was written.
    fn directory_of(&self, part: &PendingPart) -> OperatorResult<Location> {
        if part.directory == self.directory.to_string() {
            return Ok(self.directory.clone());
        }
        Location::parse(&part.directory, &self.configuration).map_err(|error| OperatorError::data(error_chain(&error)))
    }
}

/// Why a part is not published.
enum Trouble {
    /// It may be later.
    Passing(io::Error),
    /// It never will be.
    Lasting(String),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Passing(error)
    }
}

impl Committer<PendingPart> for FileCommitter {
    fn commit(&mut self, part: &PendingPart) -> Result<(), CommitError> {
        let directory = self.directory_of(part)?;
        let published = match (directory.place(), &part.form) {
            (Place::Local(directory), PartForm::Closed) => rename(part, directory),
            (Place::Local(directory), PartForm::Open) => cut(part, directory, self.env.random_u64()),
            (Place::Remote { store, path }, PartForm::Upload { id, pieces }) => match directory.multipart() {
                Some(uploads) => {
                    complete(part, store, uploads, object_path(path, &part.name), id.clone(), pieces, &self.env)
                }
                None => Err(Trouble::Lasting("its object store cannot complete an upload by its id".to_owned())),
            },
            _ => Err(Trouble::Lasting("the checkpoint lists it for another kind of storage".to_owned())),
        };
        if published.is_ok() && (self.kept.remove(&part.name) || !self.writer.wrote(&part.name)) {
            kept::unmark(&directory, &part.name, &self.env);
        }
        let action = || format!("cannot publish `{}`", part.path());
        published.map_err(|trouble| match trouble {
            Trouble::Passing(error) => CommitError::retry(action(), error),
            Trouble::Lasting(reason) => OperatorError::external(action(), io::Error::other(reason)).into(),
        })
    }

    fn keep(&mut self, part: &PendingPart) -> OperatorResult {
        let directory = self.directory_of(part)?;
        kept::mark(&directory, &part.name, &self.env).map_err(|source| {
            OperatorError::external(format!("cannot keep `{}` for a savepoint", part.path()), source)
        })?;
        self.kept.insert(part.name.clone());
        Ok(())
    }
}

fn rename(part: &PendingPart, directory: &Path) -> Result<(), Trouble> {
    let (hidden, visible) = (directory.join(hidden(&part.name)), directory.join(&part.name));
    let found = match fs::metadata(&hidden) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == ErrorKind::NotFound => return is_published(part, &visible),
        Err(error) => return Err(error.into()),
    };
    if found != part.bytes {
        return Err(Trouble::Lasting(other_length(part, found)));
    }
    match fs::rename(&hidden, &visible) {
        Ok(()) => Ok(sync_directory_of(&visible)?),
        // An attempt that was given up renames it at this moment.
        Err(error) if error.kind() == ErrorKind::NotFound => is_published(part, &visible),
        Err(error) => Err(error.into()),
    }
}

/// Publishes as much of a part as the checkpoint covers. It is copied, as an attempt that was given up may still write to
/// the file; to a name of its own, as that attempt may be publishing too.
fn cut(part: &PendingPart, directory: &Path, copy: u64) -> Result<(), Trouble> {
    let (hidden, visible) = (directory.join(hidden(&part.name)), directory.join(&part.name));
    if !visible.try_exists()? {
        let whole = match File::open(&hidden) {
            Ok(whole) => whole,
            Err(error) if error.kind() == ErrorKind::NotFound => return is_published(part, &visible),
            Err(error) => return Err(error.into()),
        };
        let found = whole.metadata()?.len();
        if found < part.bytes {
            return Err(Trouble::Lasting(other_length(part, found)));
        }
        let mut name = hidden.clone().into_os_string();
        name.push(format!(".{copy:016x}{CUT}"));
        let beginning = PathBuf::from(name);
        let mut copy = File::create(&beginning)?;
        io::copy(&mut whole.take(part.bytes), &mut copy)?;
        copy.sync_all()?;
        fs::rename(&beginning, &visible)?;
        sync_directory_of(&visible)?;
    }
    match fs::remove_file(&hidden) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

fn other_length(part: &PendingPart, found: u64) -> String {
    format!("it has {found} bytes before it is published, and the checkpoint lists it with {}", part.bytes)
}

fn is_published(part: &PendingPart, visible: &Path) -> Result<(), Trouble> {
    if !visible.try_exists()? {
        warn_of_absence(part);
    }
    Ok(())
}

/// The new name is durable when the directory is.
fn sync_directory_of(file: &Path) -> io::Result<()> {
    file.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
}

fn complete(
    part: &PendingPart,
    store: &Arc<dyn ObjectStore>,
    uploads: &Arc<dyn MultipartStore>,
    path: StorePath,
    id: String,
    pieces: &[String],
    env: &Env,
) -> Result<(), Trouble> {
    enum Found {
        Whole,
        Nothing,
    }
    let (store, uploads, bytes) = (Arc::clone(store), Arc::clone(uploads), part.bytes);
    let pieces = pieces.iter().map(|piece| PartId { content_id: piece.clone() }).collect();
    let found = wait_for(env, async move {
        let Err(error) = uploads.complete_multipart(&path, &id, pieces).await else { return Ok(Found::Whole) };
        // An upload that was completed is gone; then the object is there.
        match store.head(&path).await {
            Ok(object) if object.size == bytes => Ok(Found::Whole),
            Err(object_store::Error::NotFound { .. }) if matches!(error, object_store::Error::NotFound { .. }) => {
                Ok(Found::Nothing)
            }
            _ => Err(error),
        }
    });
    match found.map_err(|Stopped| io::Error::other(Stopped))?.map_err(io::Error::from)? {
        Found::Whole => Ok(()),
        // Most buckets end uploads that are left open for long, with all that was written.
        Found::Nothing => Err(Trouble::Lasting(
            "its upload is gone and there is no object, so the rows of a checkpoint are lost: was the upload aborted by a \
             rule of the bucket, or the object taken away? Begin from another checkpoint, or without this one"
                .to_owned(),
        )),
    }
}

/// Somebody took it away after it was published, as consumers of finished files do, or it was lost. Nobody can
/// tell; going on is what Flink does.
fn warn_of_absence(part: &PendingPart) {
    tracing::warn!(
        part = part.path(),
        "a part of the restored checkpoint is neither pending nor published; was it taken away since?"
    );
}
