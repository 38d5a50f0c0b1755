//! Where a process writes its log, in Flink's names.
//!
//! ```text
//!  log/pelton-<user>-<taskmanager>-<number>-<host>.log    the process's own log
//!  log/pelton-<user>-<taskmanager>-<number>-<host>.out    what jobs print
//! ```
//!
//! A daemon is told its file by the script that starts it. A process in the foreground takes the first number whose
//! log nobody else writes; the lock that tells so is released by the kernel with the process.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use pelton_runtime_core::config::{Environment, log_directory, options};

use crate::flags::Settings;
use crate::machine::host_name;
use crate::rotating_file::Rotation;

/// The script that starts a daemon names its log file here. Such a process writes nothing to its standard error.
pub const LOG_FILE_VARIABLE: &str = "PELTON_LOG_FILE";

/// How many processes of one role and user may log into one folder.
const MAX_NUMBER: u32 = 1000;

/// What a process is, as its files are named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The cluster's master.
    JobManager,
    /// A host's supervisor.
    TaskManager,
    /// The command line.
    Client,
}

impl Role {
    /// The role's part of a file name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::JobManager => "jobmanager",
            Self::TaskManager => "taskmanager",
            Self::Client => "client",
        }
    }
}

/// The files of one process.
#[derive(Debug)]
pub struct LogFiles {
    log: PathBuf,
    /// Whether what goes to the files goes to the terminal too.
    pub foreground: bool,
    /// Bounds of every file.
    pub rotation: Rotation,
    _lock: Option<File>,
}

/// There is no file to log to.
#[derive(Debug, thiserror::Error)]
pub enum LogFilesError {
    /// The folder cannot be written.
    #[error("cannot write logs to {}", folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// All names are taken.
    #[error("{MAX_NUMBER} processes log to {} already", folder.display())]
    Full {
        /// The folder.
        folder: PathBuf,
    },
}

impl LogFiles {
    /// Chooses the files of this process and makes sure that their folder exists.
    ///
    /// # Errors
    ///
    /// When there is no folder that can be written.
    pub fn choose(role: Role, settings: &Settings) -> Result<Self, LogFilesError> {
        let configuration = &settings.configuration;
        let rotation = Rotation {
            max_size: configuration.get(&options::log::MAX_SIZE).as_bytes(),
            keep: configuration.get(&options::env::LOG_MAX),
        };
        if let Some(log) = settings.environment.get(LOG_FILE_VARIABLE).filter(|path| !path.is_empty()) {
            let log = PathBuf::from(log);
            let folder = log.parent().unwrap_or(Path::new("."));
            fs::create_dir_all(folder).map_err(|source| LogFilesError::Folder { folder: folder.to_owned(), source })?;
            return Ok(Self { log, foreground: false, rotation, _lock: None });
        }
        let folder = log_directory(configuration, &settings.environment, settings.home.as_deref());
        let name = format!("pelton-{}-{}", user_name(&settings.environment), role.as_str());
        let host = host_name().unwrap_or_else(|_| "localhost".to_owned());
        let (log, lock) = first_free(&folder, &name, &host)?;
        Ok(Self { log, foreground: true, rotation, _lock: Some(lock) })
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        self.log.parent().unwrap_or(Path::new("."))
    }

    /// The process's own log.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// What jobs print.
    pub fn out(&self) -> PathBuf {
        self.log.with_extension("out")
    }

    /// A further log of this process, beside its own.
    pub fn beside(&self, suffix: &str) -> PathBuf {
        let stem = self.log.file_stem().unwrap_or_default().to_string_lossy();
        self.log.with_file_name(format!("{stem}-{suffix}.log"))
    }
}

/// The user's name, as it is part of the names of files.
pub fn user_name(environment: &Environment) -> String {
    let name = ["USER", "LOGNAME"].iter().find_map(|name| environment.get(*name)).filter(|name| !name.is_empty());
    if let Some(name) = name {
        return name.clone();
    }
    // SAFETY: `geteuid` has no preconditions.
    let number = unsafe { libc::geteuid() }.to_string();
    // Daemons and containers are often started without the variables.
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let mut entries = users.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let own = entries.find(|entry| entry.get(2) == Some(&number.as_str()));
    own.map_or(number.clone(), |entry| entry[0].to_owned())
}

fn first_free(folder: &Path, name: &str, host: &str) -> Result<(PathBuf, File), LogFilesError> {
    let failed = |source| LogFilesError::Folder { folder: folder.to_owned(), source };
    fs::create_dir_all(folder).map_err(failed)?;
    for number in 0..MAX_NUMBER {
        let log = folder.join(format!("{name}-{number}-{host}.log"));
        // The lock is on a file of its own, because the log is renamed when it is full.
        let lock = folder.join(format!(".{name}-{number}-{host}.lock"));
        let lock = OpenOptions::new().create(true).append(true).open(lock).map_err(failed)?;
        // SAFETY: the descriptor is open.
        if unsafe { libc::flock(lock.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } == 0 {
            return Ok((log, lock));
        }
    }
    Err(LogFilesError::Full { folder: folder.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_processes_never_share_a_log() {
        let folder = tempfile::tempdir().unwrap();
        let (first, lock) = first_free(folder.path(), "pelton-me-client", "here").unwrap();
        let (second, _other) = first_free(folder.path(), "pelton-me-client", "here").unwrap();
        assert!(first.ends_with("pelton-me-client-0-here.log"));
        assert!(second.ends_with("pelton-me-client-1-here.log"));
        drop(lock);
        assert_eq!(first_free(folder.path(), "pelton-me-client", "here").unwrap().0, first);
    }
}
