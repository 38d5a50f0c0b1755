//! The files of the log folder, by name and in bounded pieces.
//!
//! A name is one of the listing, never a path: what is asked for comes from the network.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use pelton_process::log_files::LogFiles;
use pelton_proto as proto;
use pelton_runtime_core::env::Env;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

/// How much of a file one message carries.
const CHUNK_BYTES: usize = 64 << 10;
/// How many messages wait for a slow reader.
const CHUNKS_AHEAD: usize = 4;

/// The log folder, if there is one.
#[derive(Clone)]
pub(super) struct Logs {
    files: Option<Arc<LogFiles>>,
}

impl Logs {
    pub(super) fn new(files: Option<Arc<LogFiles>>) -> Self {
        Self { files }
    }

    fn files(&self) -> Result<&LogFiles, Status> {
        self.files.as_deref().ok_or_else(|| Status::not_found("this TaskManager logs to its standard error only"))
    }

    pub(super) fn log(&self) -> Result<PathBuf, Status> {
        self.files().map(|files| files.log().to_owned())
    }

    pub(super) fn stdout(&self) -> Result<PathBuf, Status> {
        self.files().map(LogFiles::out)
    }

    /// The file with this name.
    pub(super) fn named(&self, name: &str) -> Result<PathBuf, Status> {
        let path = self.files()?.folder().join(name);
        match is_plain_name(name) && is_listed(&path) {
            true => Ok(path),
            false => Err(Status::not_found(format!("there is no log file `{name}`"))),
        }
    }

    /// All files, by name.
    pub(super) fn list(&self) -> Result<Vec<proto::LogFile>, Status> {
        let folder = self.files()?.folder();
        let failed = |error: io::Error| Status::internal(format!("cannot read the log folder: {error}"));
        let mut files = Vec::new();
        for entry in fs::read_dir(folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            // A file may be set aside while the folder is read.
            let Ok(metadata) = fs::symlink_metadata(entry.path()) else { continue };
            if !metadata.is_file() || name.starts_with('.') {
                continue;
            }
            let modified = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
            files.push(proto::LogFile {
                name,
                size_bytes: metadata.len(),
                modified_ms: modified.map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX)),
            });
        }
        files.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(files)
    }
}

fn is_plain_name(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\\', '\0'])
}

fn is_listed(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_file())
}

/// The content that a file has now; what is appended meanwhile is left for the next reader.
pub(super) async fn read(env: &Env, path: PathBuf) -> Result<ReceiverStream<Result<proto::LogChunk, Status>>, Status> {
    let file = env.blocking(move || open(&path)).await.map_err(|_| super::shutting_down())??;
    let (chunks, stream) = mpsc::channel(CHUNKS_AHEAD);
    let sender_env = env.clone();
    env.spawn("read-log", async move {
        let mut file = Some(file);
        while let Some(open_file) = file.take() {
            let Ok((rest, chunk)) = sender_env.blocking(move || next_chunk(open_file)).await else { return };
            file = rest;
            // A reader that went away wants no more.
            if let Some(chunk) = chunk
                && chunks.send(chunk).await.is_err()
            {
                return;
            }
        }
    });
    Ok(ReceiverStream::new(stream))
}

fn open(path: &Path) -> Result<io::Take<File>, Status> {
    let file = File::open(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Status::not_found("there is no such file"),
        _ => Status::internal(format!("cannot open the file: {error}")),
    })?;
    let size = file.metadata().map_err(|error| Status::internal(format!("cannot read the file: {error}")))?.len();
    Ok(file.take(size))
}

type Chunk = Result<proto::LogChunk, Status>;

fn next_chunk(mut file: io::Take<File>) -> (Option<io::Take<File>>, Option<Chunk>) {
    let mut data = Vec::new();
    match (&mut file).take(CHUNK_BYTES as u64).read_to_end(&mut data) {
        Ok(0) => (None, None),
        Ok(_) => (Some(file), Some(Ok(proto::LogChunk { data }))),
        Err(error) => (None, Some(Err(Status::internal(format!("cannot read the file: {error}"))))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_lead_out_of_the_folder() {
        for wrong in ["", ".", "..", "../x", "a/b", "/etc/passwd", "..\\x", ".hidden", "a\0b"] {
            assert!(!is_plain_name(wrong), "{wrong:?}");
        }
        assert!(is_plain_name("pelton-me-taskmanager-0-host.log.1"));
    }
}
