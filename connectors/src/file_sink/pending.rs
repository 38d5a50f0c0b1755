//! Parts that are complete and wait for a checkpoint: what they are called, and how they get their names.
//!
//! ```text
//!  closed (durable, invisible) ─► listed in a snapshot ─► its checkpoint completes ─► published
//!                                                     └─► restored from it ─────────► published, if not yet
//! ```
//!
//! Publishing is idempotent: it may happen again after any crash, by whoever restores the checkpoint.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListBuilder, RecordBatch, StringArray, StringBuilder, UInt64Array};
use arrow::datatypes::{DataType, Field, UInt64Type};
use object_store::multipart::PartId;
use object_store::{ObjectStore, ObjectStoreExt};
use pelton_filesystem::location::{Location, Place};
use pelton_runtime_core::checkpoint::snapshot::{OperatorSnapshot, OperatorTable, Redistribution, RestoredState};
use pelton_runtime_core::env::{Env, Stopped};
use pelton_runtime_core::operator::{OperatorError, OperatorResult, OperatorRuntime, refuse_state};

use super::part::WriteError;
use crate::wait::wait_for;

/// The table's name in snapshots.
const PENDING: &str = "pending-parts";

/// A part that is durable and not visible.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PendingPart {
    /// The directory it was written to, which may have been changed since.
    pub(super) directory: String,
    /// The name it will have.
    pub(super) name: String,
    pub(super) bytes: u64,
    /// In an object store: the upload that is to be completed.
    pub(super) upload: Option<PendingUpload>,
}

/// A multipart upload that wants to be completed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PendingUpload {
    pub(super) id: String,
    /// The content ids of its pieces, in order.
    pub(super) pieces: Vec<String>,
}

/// What a local part is called until it is published.
pub(super) fn hidden(name: &str) -> String {
    format!(".{name}{IN_PROGRESS}")
}

const IN_PROGRESS: &str = ".inprogress";

/// Which attempt of which subtask of which sink writes, and how its parts are called:
/// `<prefix>-<sink><attempt><random>-<subtask>-<number><suffix>`.
#[derive(Debug, Clone)]
pub(super) struct WriterId {
    /// Prefix and sink: the same for all attempts and subtasks.
    sink: String,
    attempt: u32,
    random: u32,
    subtask: u32,
    parallelism: u32,
}

/// Digits of the random part of a name.
const RANDOM_DIGITS: usize = 8;

impl WriterId {
    /// The writer in the place that `runtime` describes. What an earlier attempt wrote is never written again, even
    /// where attempts are counted anew.
    pub(super) fn new(prefix: &str, runtime: &OperatorRuntime) -> Self {
        Self {
            sink: format!("{prefix}-{}", sink_id(runtime)),
            attempt: runtime.attempt_number,
            random: runtime.env.random_u64() as u32,
            subtask: runtime.subtask,
            parallelism: runtime.parallelism,
        }
    }

    /// The name of a part.
    pub(super) fn name(&self, number: u64, suffix: &str) -> String {
        let Self { sink, attempt, random, subtask, .. } = self;
        format!("{sink}{attempt:04x}{random:0RANDOM_DIGITS$x}-{subtask}-{number}{suffix}")
    }

    /// Whether a part is of an earlier attempt of a subtask that this one follows; `None` for names of others.
    fn follows(&self, name: &str) -> Option<bool> {
        let (uid, rest) = name.strip_prefix(self.sink.as_str())?.split_once('-')?;
        let (attempt, random) = uid.split_at_checked(uid.len().checked_sub(RANDOM_DIGITS)?)?;
        let attempt = u32::from_str_radix(attempt, 16).ok()?;
        u32::from_str_radix(random, 16).ok()?;
        let subtask: u32 = rest.split_once('-')?.0.parse().ok()?;
        Some(attempt < self.attempt && subtask % self.parallelism.max(1) == self.subtask)
    }
}

/// Which sink of which job, in 16 digits. Job ids are random, so this is no other's.
fn sink_id(runtime: &OperatorRuntime) -> String {
    let ids = runtime.job_id.as_bytes().iter().zip(runtime.operator_id.as_bytes());
    let mixed = ids.fold(0xcbf2_9ce4_8422_2325u64, |mixed, (job, operator)| {
        // A round of FNV-1a per byte.
        let mixed = (mixed ^ u64::from(*job)).wrapping_mul(0x0000_0100_0000_01b3);
        (mixed ^ u64::from(*operator)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    format!("{mixed:016x}")
}

impl PendingPart {
    fn path(&self) -> String {
        format!("{}/{}", self.directory.trim_end_matches('/'), self.name)
    }

    /// Gives the part its name, unless it has it already. For a thread that may block.
    pub(super) fn publish(&self, directory: &Location, env: &Env) -> Result<(), WriteError> {
        let published = match (directory.place(), &self.upload) {
            (Place::Local(directory), None) => self.rename(directory),
            (Place::Remote { store, path }, Some(upload)) => {
                self.complete(directory, store, path.clone().join(self.name.as_str()), upload, env)
            }
            _ => Err(io::Error::other("the checkpoint lists it for another kind of storage")),
        };
        published.map_err(|source| WriteError { path: self.path(), source })
    }

    fn rename(&self, directory: &Path) -> io::Result<()> {
        let (hidden, visible) = (directory.join(hidden(&self.name)), directory.join(&self.name));
        let renamed = fs::metadata(&hidden).and_then(|metadata| match metadata.len() == self.bytes {
            true => fs::rename(&hidden, &visible),
            false => Err(io::Error::other(format!(
                "it has {} bytes before it is published, and the checkpoint lists it with {}",
                metadata.len(),
                self.bytes
            ))),
        });
        match renamed {
            // The new name is durable when the directory is.
            Ok(()) => File::open(directory)?.sync_all(),
            // Also when an attempt that was given up renames it at this moment.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if !visible.exists() {
                    self.warn_of_absence();
                }
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    fn complete(
        &self,
        directory: &Location,
        store: &Arc<dyn ObjectStore>,
        path: object_store::path::Path,
        upload: &PendingUpload,
        env: &Env,
    ) -> io::Result<()> {
        let Some(uploads) = directory.multipart().cloned() else {
            return Err(io::Error::other("its object store cannot complete an upload by its id"));
        };
        let (store, id) = (Arc::clone(store), upload.id.clone());
        let pieces = upload.pieces.iter().map(|piece| PartId { content_id: piece.clone() }).collect();
        let bytes = self.bytes;
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
        match found.map_err(|Stopped| io::Error::other(Stopped))?? {
            Found::Whole => {}
            Found::Nothing => self.warn_of_absence(),
        }
        Ok(())
    }

    /// Somebody took it away after it was published, as consumers of finished files do, or it was lost. Nobody can
    /// tell; going on is what Flink does.
    fn warn_of_absence(&self) {
        tracing::warn!(
            part = self.path(),
            "a part of the restored checkpoint is neither pending nor published; was it taken away since?"
        );
    }
}

enum Found {
    Whole,
    Nothing,
}

/// Removes what earlier attempts of this sink left open in a directory, except parts that are still to be published.
///
/// Only leftovers of subtasks that this one follows are removed, as others may be writing already; and only those of
/// earlier attempts, as this one may have been given up without knowing.
pub(super) fn remove_leftovers(directory: &Path, writer: &WriterId, keep: impl Fn(&str) -> bool) -> io::Result<()> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let leftover = |file: &str| -> Option<PathBuf> {
        let name = file.strip_prefix('.')?.strip_suffix(IN_PROGRESS)?;
        (writer.follows(name)? && !keep(name)).then(|| directory.join(file))
    };
    for entry in entries {
        let file = entry?.file_name();
        if let Some(path) = file.to_str().and_then(leftover) {
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
    }
    Ok(())
}

/// The parts as state: every subtask gets those of all, so that it knows what is no leftover.
pub(super) fn snapshot(parts: &[PendingPart]) -> OperatorResult<OperatorSnapshot> {
    let mut pieces = ListBuilder::new(StringBuilder::new()).with_field(Field::new("item", DataType::Utf8, false));
    for part in parts {
        match &part.upload {
            Some(upload) => pieces.append_value(upload.pieces.iter().map(Some)),
            None => pieces.append_null(),
        }
    }
    let uploads = parts.iter().map(|part| part.upload.as_ref().map(|upload| upload.id.as_str()));
    let columns: [(&str, ArrayRef, bool); 5] = [
        ("directory", Arc::new(StringArray::from_iter_values(parts.iter().map(|part| &part.directory))), false),
        ("name", Arc::new(StringArray::from_iter_values(parts.iter().map(|part| &part.name))), false),
        ("bytes", Arc::new(UInt64Array::from_iter_values(parts.iter().map(|part| part.bytes))), false),
        ("upload", Arc::new(uploads.collect::<StringArray>()), true),
        ("pieces", Arc::new(pieces.finish()), true),
    ];
    let rows = RecordBatch::try_from_iter_with_nullable(columns)?;
    let table = OperatorTable { name: PENDING.to_owned(), redistribution: Redistribution::Union, rows };
    Ok(OperatorSnapshot { keyed: Vec::new(), operator: vec![table], ..OperatorSnapshot::default() })
}

/// The parts of all subtasks, in the same order for each.
pub(super) fn restore(mut state: RestoredState) -> OperatorResult<Vec<PendingPart>> {
    let batches = state.operator.remove(PENDING);
    refuse_state(&state)?;
    let mut parts = Vec::new();
    for batch in batches.iter().flatten() {
        let column = |name: &str| batch.column_by_name(name).ok_or_else(|| unknown(name));
        let strings = |name| column(name)?.as_string_opt::<i32>().ok_or_else(|| unknown(name));
        let (directories, names, uploads) = (strings("directory")?, strings("name")?, strings("upload")?);
        let bytes = column("bytes")?.as_primitive_opt::<UInt64Type>().ok_or_else(|| unknown("bytes"))?;
        let pieces = column("pieces")?.as_list_opt::<i32>().ok_or_else(|| unknown("pieces"))?;
        for row in 0..batch.num_rows() {
            let upload = match uploads.is_valid(row) {
                false => None,
                true => {
                    let pieces = pieces.value(row);
                    let pieces = pieces.as_string_opt::<i32>().ok_or_else(|| unknown("pieces"))?;
                    let pieces = pieces.iter().flatten().map(str::to_owned).collect();
                    Some(PendingUpload { id: uploads.value(row).to_owned(), pieces })
                }
            };
            let name = names.value(row).to_owned();
            parts.push(PendingPart {
                directory: directories.value(row).to_owned(),
                name,
                bytes: bytes.value(row),
                upload,
            });
        }
    }
    Ok(parts)
}

fn unknown(column: &str) -> OperatorError {
    OperatorError::data(format!("the checkpoint's list of pending files has another form: `{column}`"))
}
