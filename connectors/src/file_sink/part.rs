//! One part file in the making: written where nobody sees it.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use object_store::path::Path as StorePath;
use pelton_filesystem::location::{Location, Place, display};
use pelton_runtime_core::env::Env;

use super::names::{WriterId, hidden};
use super::pending::{PartForm, PendingPart};
use super::resumable::ResumableUpload;

/// Where parts are written and how they are called.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) directory: Location,
    pub(super) writer: WriterId,
    pub(super) suffix: String,
    pub(super) env: Env,
}

impl Target {
    /// Makes the directory, where there are directories.
    pub(super) fn prepare(&self) -> Result<(), WriteError> {
        match self.directory.place() {
            Place::Local(directory) => make_directory(directory),
            Place::Remote { .. } => Ok(()),
        }
    }

    /// Starts a part of a bucket, which is a relative path or nothing.
    pub(super) fn open(&self, bucket: &str, number: u64) -> Result<Part, WriteError> {
        let mut name = self.writer.name(number, &self.suffix);
        if !bucket.is_empty() {
            name = format!("{bucket}/{name}");
        }
        let path = format!("{}/{name}", self.directory.to_string().trim_end_matches('/'));
        let file = match (self.directory.place(), self.directory.multipart()) {
            (Place::Local(directory), _) => {
                if !bucket.is_empty() {
                    make_directory(&directory.join(bucket))?;
                }
                LocalPart::create(directory.join(hidden(&name))).map(PartFile::Local)
            }
            (Place::Remote { path, .. }, Some(store)) => {
                ResumableUpload::start(store, object_path(path, &name), &self.env).map(PartFile::Resumable)
            }
            (Place::Remote { .. }, None) => {
                Err(io::Error::other("its object store cannot complete an upload by its id"))
            }
        };
        match file {
            Ok(file) => Ok(Part { file, path, directory: self.directory.to_string(), name, bytes: 0 }),
            Err(source) => Err(WriteError { path, source }),
        }
    }
}

/// The place of a part in a store.
pub(super) fn object_path(directory: &StorePath, name: &str) -> StorePath {
    name.split('/').fold(directory.clone(), |path, step| path.join(step))
}

/// Makes a directory and those above it, durably.
fn make_directory(directory: &Path) -> Result<(), WriteError> {
    fn make(directory: &Path) -> io::Result<()> {
        if directory.as_os_str().is_empty() || directory.is_dir() {
            return Ok(());
        }
        let above = directory.parent().unwrap_or(Path::new(""));
        make(above)?;
        match fs::create_dir(directory) {
            Ok(()) if above.as_os_str().is_empty() => Ok(()),
            Ok(()) => File::open(above)?.sync_all(),
            Err(error) if error.kind() == ErrorKind::AlreadyExists && directory.is_dir() => Ok(()),
            Err(error) => Err(error),
        }
    }
    make(directory).map_err(|source| {
        let expected = match directory.ancestors().find(|above| above.is_file()) {
            Some(file) if file == directory => "it is a file, expected a directory".to_owned(),
            Some(file) => format!("`{}` is a file, expected a directory", display(file)),
            None => format!("the directory cannot be made: {source}"),
        };
        WriteError { path: display(directory), source: io::Error::new(source.kind(), expected) }
    })
}

/// A part cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write `{path}`")]
pub(super) struct WriteError {
    pub(super) path: String,
    pub(super) source: io::Error,
}

/// A part in the making. Dropped without [`close`](Self::close), it is removed, unless a checkpoint lists it.
pub(super) struct Part {
    file: PartFile,
    path: String,
    directory: String,
    name: String,
    bytes: u64,
}

enum PartFile {
    Local(LocalPart),
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

    /// Makes the part durable; it stays invisible until it is published.
    pub(super) fn close(self) -> Result<PendingPart, WriteError> {
        let Self { file, path, directory, name, bytes } = self;
        let closed = match file {
            PartFile::Local(file) => file.close(bytes).map(|()| PartForm::Closed),
            PartFile::Resumable(upload) => upload.close(),
        };
        match closed {
            Ok(form) => Ok(PendingPart { directory, name, bytes, form }),
            Err(source) => Err(WriteError { path, source }),
        }
    }

    /// Whether [`so_far`](Self::so_far) can be asked for.
    pub(super) fn can_be_cut(&self) -> bool {
        matches!(self.file, PartFile::Local(_))
    }

    /// Makes what was written durable, to be published if the job restarts from now.
    pub(super) fn so_far(&mut self) -> Result<PendingPart, WriteError> {
        let synced = match &mut self.file {
            PartFile::Local(file) => file.sync(),
            PartFile::Resumable(_) => Err(io::Error::other("an upload cannot be cut")),
        };
        match synced {
            Ok(()) => {
                let (directory, name) = (self.directory.clone(), self.name.clone());
                Ok(PendingPart { directory, name, bytes: self.bytes, form: PartForm::Open })
            }
            Err(source) => Err(WriteError { path: self.path.clone(), source }),
        }
    }
}

impl Write for Part {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = match &mut self.file {
            PartFile::Local(file) => file.file.write(bytes)?,
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
    /// Whether it stays when this is dropped.
    stays: bool,
    /// Whether its hidden name is durable.
    named: bool,
}

impl LocalPart {
    fn create(hidden: PathBuf) -> io::Result<Self> {
        let file = File::options().write(true).create_new(true).open(&hidden)?;
        Ok(Self { file, hidden, stays: false, named: false })
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()?;
        if !self.named {
            self.hidden.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())?;
            self.named = true;
        }
        self.stays = true;
        Ok(())
    }

    fn close(mut self, bytes: u64) -> io::Result<()> {
        self.sync()?;
        // What is not there under its hidden name can never be published.
        if fs::metadata(&self.hidden)?.len() != bytes {
            return Err(io::Error::other("somebody else has written to it"));
        }
        Ok(())
    }
}

impl Drop for LocalPart {
    fn drop(&mut self) {
        if !self.stays
            && let Err(error) = fs::remove_file(&self.hidden)
        {
            tracing::warn!(path = %self.hidden.display(), %error, "an abandoned part file could not be removed");
        }
    }
}
