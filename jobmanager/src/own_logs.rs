//! The JobManager's own log files.

use std::io;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use bytes::Bytes;
use tokio::io::AsyncReadExt;

use crate::view::{LogBody, LogError, LogFileView, WhichLog};

/// Size of the pieces in which a file is read.
const CHUNK_BYTES: usize = 256 * 1024;

/// Where this process logs.
#[derive(Debug, Clone)]
pub enum OwnLogs {
    /// Into files.
    Files {
        /// The main log.
        log: PathBuf,
        /// What it prints.
        out: PathBuf,
    },
    /// To nowhere that could be read again.
    Nowhere {
        /// Where instead.
        reason: String,
    },
}

impl OwnLogs {
    /// All files in the folder of the main log.
    pub(crate) async fn list(&self) -> Result<Vec<LogFileView>, LogError> {
        let folder = self.folder()?;
        let read = |source| LogError::Read { name: folder.display().to_string(), source };
        let mut entries = tokio::fs::read_dir(folder).await.map_err(read)?;
        let mut files = Vec::new();
        while let Some(entry) = entries.next_entry().await.map_err(read)? {
            let (Ok(metadata), Ok(name)) = (entry.metadata().await, entry.file_name().into_string()) else { continue };
            if !metadata.is_file() || name.starts_with('.') {
                continue;
            }
            let modified = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
            files.push(LogFileView {
                name,
                size_bytes: metadata.len(),
                modified: modified.map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX)),
            });
        }
        files.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(files)
    }

    /// The content of one of them, as long as it was when it was opened.
    pub(crate) async fn read(&self, which: WhichLog) -> Result<LogBody, LogError> {
        let folder = self.folder()?;
        let (path, may_be_missing) = match (which, self) {
            (WhichLog::Log, Self::Files { log, .. }) => (log.clone(), false),
            (WhichLog::Stdout, Self::Files { out, .. }) => (out.clone(), true),
            (WhichLog::Named(name), _) if is_plain(&name) => (folder.join(name), false),
            (WhichLog::Named(name), _) => return Err(LogError::NoSuchFile(name)),
            (_, Self::Nowhere { reason }) => return Err(LogError::NoLogFolder(reason.clone())),
        };
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let file = match tokio::fs::File::open(&path).await {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound && may_be_missing => {
                return Ok(Box::pin(futures::stream::empty()));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(LogError::NoSuchFile(name)),
            Err(source) => return Err(LogError::Read { name, source }),
        };
        let length = match file.metadata().await {
            Ok(metadata) if metadata.is_file() => metadata.len(),
            Ok(_) => return Err(LogError::NoSuchFile(name)),
            Err(source) => return Err(LogError::Read { name, source }),
        };
        Ok(Box::pin(futures::stream::unfold(Some(file.take(length)), |file| async move {
            let mut file = file?;
            let mut chunk = Vec::with_capacity(CHUNK_BYTES);
            let mut piece = (&mut file).take(CHUNK_BYTES as u64);
            match piece.read_to_end(&mut chunk).await {
                Ok(0) => None,
                Ok(_) => Some((Ok(Bytes::from(chunk)), Some(file))),
                Err(error) => Some((Err(error), None)),
            }
        })))
    }

    fn folder(&self) -> Result<&Path, LogError> {
        match self {
            Self::Files { log, .. } => Ok(log.parent().unwrap_or(Path::new("."))),
            Self::Nowhere { reason } => Err(LogError::NoLogFolder(reason.clone())),
        }
    }
}

fn is_plain(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\\', '\0'])
}

#[cfg(test)]
mod tests {
    use futures::StreamExt;

    use super::*;

    async fn text(logs: &OwnLogs, which: WhichLog) -> Result<String, LogError> {
        let chunks: Vec<_> = logs.read(which).await?.collect().await;
        Ok(chunks.into_iter().map(|chunk| String::from_utf8_lossy(&chunk.expect("read")).into_owned()).collect())
    }

    #[tokio::test]
    async fn only_files_of_the_folder_are_shown() {
        let home = tempfile::tempdir().expect("a folder");
        let folder = home.path().join("log");
        std::fs::create_dir(&folder).expect("made");
        std::fs::write(home.path().join("secret"), "secret").expect("written");
        std::fs::write(folder.join("jm.log"), "hello").expect("written");
        let logs = OwnLogs::Files { log: folder.join("jm.log"), out: folder.join("jm.out") };
        assert_eq!(text(&logs, WhichLog::Log).await.expect("there"), "hello");
        assert_eq!(text(&logs, WhichLog::Stdout).await.expect("empty"), "");
        assert_eq!(text(&logs, WhichLog::Named("jm.log".into())).await.expect("there"), "hello");
        for name in ["../secret", "..", "", "nothing", "/etc/passwd"] {
            let read = text(&logs, WhichLog::Named(name.into())).await;
            assert!(matches!(read, Err(LogError::NoSuchFile(_))), "{name}");
        }
        assert_eq!(logs.list().await.expect("a list").len(), 1);
    }
}
