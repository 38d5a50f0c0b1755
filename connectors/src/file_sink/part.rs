//! One part file: written where nobody sees it, then given its name.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use object_store::path::Path as StorePath;
use object_store::{ObjectStore, ObjectStoreExt, WriteMultipart};
use pelton_filesystem::location::{Location, Place, display};
use pelton_runtime_core::env::{Env, Stopped};
use tokio::sync::{mpsc, oneshot};

use super::pending::{self, PendingPart, WriterId};
use super::resumable::ResumableUpload;

/// When a part is published, and so how it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Publish {
    /// As soon as it is complete.
    AtOnce,
    /// When a checkpoint that lists it has completed.
    WithCheckpoint,
}

/// Where parts are written and how they are called.
#[derive(Debug, Clone)]
pub(super) struct PartNames {
    pub(super) publish: Publish,
    pub(super) directory: Location,
    pub(super) writer: WriterId,
    pub(super) suffix: String,
}

impl PartNames {
    /// The name of a part.
    pub(super) fn name(&self, number: u64) -> String {
        self.writer.name(number, &self.suffix)
    }

    /// Makes the directory, where there are directories.
    pub(super) fn prepare(&self) -> Result<(), WriteError> {
        let Place::Local(directory) = self.directory.place() else {
            return Ok(());
        };
        let failed = |source: io::Error| {
            let expected = match directory.is_file() {
                true => "it is a file, expected a directory".to_owned(),
                false => format!("the directory cannot be made: {source}"),
            };
            WriteError { path: display(directory), source: io::Error::new(source.kind(), expected) }
        };
        fs::create_dir_all(directory).map_err(failed)?;
        if !directory.is_dir() {
            return Err(failed(io::Error::from(io::ErrorKind::NotADirectory)));
        }
        Ok(())
    }

    /// Starts a part.
    pub(super) fn open(&self, number: u64, env: &Env) -> Result<Part, WriteError> {
        let name = self.name(number);
        let path = format!("{}/{name}", self.directory.to_string().trim_end_matches('/'));
        let file = match self.directory.place() {
            Place::Local(directory) => LocalPart::create(directory, &name).map(PartFile::Local),
            Place::Remote { path, .. } if self.publish == Publish::WithCheckpoint => {
                let path = path.clone().join(name.as_str());
                match self.directory.multipart() {
                    Some(store) => ResumableUpload::start(store, path, env).map(PartFile::Resumable),
                    None => Err(io::Error::other("its object store cannot complete an upload by its id")),
                }
            }
            Place::Remote { store, path } => {
                Ok(PartFile::Remote(RemotePart::start(store, path.clone().join(name.as_str()), env)))
            }
        };
        match file {
            Ok(file) => Ok(Part { file, path, directory: self.directory.to_string(), name, bytes: 0 }),
            Err(source) => Err(WriteError { path, source }),
        }
    }
}

/// A part cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write `{path}`")]
pub(super) struct WriteError {
    pub(super) path: String,
    pub(super) source: io::Error,
}

/// A part in the making. Dropped without [`commit`](Self::commit) or [`close`](Self::close), it is removed.
pub(super) struct Part {
    file: PartFile,
    path: String,
    directory: String,
    name: String,
    bytes: u64,
}

enum PartFile {
    Local(LocalPart),
    Remote(RemotePart),
    Resumable(ResumableUpload),
}

impl Part {
    /// The part's path or URL.
    pub(super) fn path(&self) -> &str {
        &self.path
    }

    /// Bytes written so far.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Makes the part durable and visible under its name.
    pub(super) fn commit(self) -> Result<(), WriteError> {
        let done = match self.file {
            PartFile::Local(file) => file.commit(),
            PartFile::Remote(upload) => upload.commit(),
            PartFile::Resumable(_) => Err(io::Error::other("it is published by a checkpoint only")),
        };
        done.map_err(|source| WriteError { path: self.path, source })
    }

    /// Makes the part durable; it stays invisible until it is published.
    pub(super) fn close(self) -> Result<PendingPart, WriteError> {
        let Self { file, path, directory, name, bytes } = self;
        let closed = match file {
            PartFile::Local(file) => file.close(bytes).map(|()| None),
            PartFile::Resumable(upload) => upload.close().map(Some),
            PartFile::Remote(_) => Err(io::Error::other("its upload cannot be completed by its id")),
        };
        match closed {
            Ok(upload) => Ok(PendingPart { directory, name, bytes, upload }),
            Err(source) => Err(WriteError { path, source }),
        }
    }
}

impl Write for Part {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = match &mut self.file {
            PartFile::Local(file) => file.file.write(bytes)?,
            PartFile::Remote(upload) => upload.write(bytes)?,
            PartFile::Resumable(upload) => upload.write(bytes)?,
        };
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct LocalPart {
    file: File,
    hidden: PathBuf,
    visible: PathBuf,
    /// Whether it stays when this is dropped.
    committed: bool,
}

impl LocalPart {
    fn create(directory: &Path, name: &str) -> io::Result<Self> {
        let hidden = directory.join(pending::hidden(name));
        let file = File::options().write(true).create_new(true).open(&hidden)?;
        Ok(Self { file, hidden, visible: directory.join(name), committed: false })
    }

    fn close(mut self, bytes: u64) -> io::Result<()> {
        self.file.sync_data()?;
        // What is not there under its hidden name can never be published.
        if fs::metadata(&self.hidden)?.len() != bytes {
            return Err(io::Error::other("somebody else has written to it"));
        }
        self.committed = true;
        // Its hidden name is durable when the directory is.
        self.hidden.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
    }

    fn commit(mut self) -> io::Result<()> {
        self.file.sync_data()?;
        fs::rename(&self.hidden, &self.visible)?;
        self.committed = true;
        // The new name is durable when the directory is.
        self.visible.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
    }
}

impl Drop for LocalPart {
    fn drop(&mut self) {
        if !self.committed
            && let Err(error) = fs::remove_file(&self.hidden)
        {
            tracing::warn!(path = %self.hidden.display(), %error, "an abandoned part file could not be removed");
        }
    }
}

/// Bytes that are sent to the upload at a time.
const CHUNK_BYTES: usize = 1 << 20;

/// Chunks that wait for the upload.
const CHUNKS_AHEAD: usize = 8;

/// Bytes of one request of a multipart upload.
const REQUEST_BYTES: usize = 8 << 20;

/// Requests of one upload at the same time.
const MAX_REQUESTS: usize = 4;

enum Upload {
    Chunk(Bytes),
    Commit,
}

/// A multipart upload, which a future of its own performs. When this is dropped, the future aborts the upload.
struct RemotePart {
    chunk: Vec<u8>,
    uploads: mpsc::Sender<Upload>,
    /// How the upload ended; taken by whoever asks first.
    outcome: Option<oneshot::Receiver<object_store::Result<()>>>,
}

impl RemotePart {
    fn start(store: &Arc<dyn ObjectStore>, path: StorePath, env: &Env) -> Self {
        let (uploads, commands) = mpsc::channel(CHUNKS_AHEAD);
        let (reply, outcome) = oneshot::channel();
        let store = Arc::clone(store);
        env.spawn("part-upload", async move {
            // The writer may be gone; then nobody waits for the outcome.
            drop(reply.send(upload(&*store, &path, commands).await));
        });
        Self { chunk: Vec::with_capacity(CHUNK_BYTES), uploads, outcome: Some(outcome) }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.chunk.extend_from_slice(bytes);
        if self.chunk.len() >= CHUNK_BYTES {
            self.send_chunk()?;
        }
        Ok(bytes.len())
    }

    fn send_chunk(&mut self) -> io::Result<()> {
        let chunk = std::mem::replace(&mut self.chunk, Vec::with_capacity(CHUNK_BYTES));
        self.send(Upload::Chunk(chunk.into()))
    }

    fn send(&mut self, upload: Upload) -> io::Result<()> {
        if self.uploads.blocking_send(upload).is_err() {
            // The upload has ended before its time, and has left the reason.
            self.outcome()?;
            return Err(io::Error::other(Stopped));
        }
        Ok(())
    }

    fn outcome(&mut self) -> io::Result<()> {
        let Some(outcome) = self.outcome.take() else {
            return Err(io::Error::other(Stopped));
        };
        outcome.blocking_recv().map_err(|_| io::Error::other(Stopped))?.map_err(io::Error::from)
    }

    fn commit(mut self) -> io::Result<()> {
        self.send_chunk()?;
        self.send(Upload::Commit)?;
        self.outcome()
    }
}

async fn upload(
    store: &dyn ObjectStore,
    path: &StorePath,
    mut commands: mpsc::Receiver<Upload>,
) -> object_store::Result<()> {
    let mut parts = WriteMultipart::new_with_chunk_size(store.put_multipart(path).await?, REQUEST_BYTES);
    loop {
        match commands.recv().await {
            Some(Upload::Chunk(bytes)) => {
                if let Err(error) = parts.wait_for_capacity(MAX_REQUESTS).await {
                    parts.abort().await?;
                    return Err(error);
                }
                parts.put(bytes);
            }
            Some(Upload::Commit) => return parts.finish().await.map(drop),
            None => return parts.abort().await,
        }
    }
}
