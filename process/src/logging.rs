//! The log of a process: one line per event, as text for people or JSON for programs.
//!
//! A log that cannot be written must not stop what it describes: such a line is lost, and the first loss is said on
//! standard error.

use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use pelton_runtime_core::config::{Configuration, LogFormat, LogLevel, options};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::writer::{BoxMakeWriter, MakeWriter, MakeWriterExt};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};
use tracing_subscriber::{Layer, fmt, registry};

use crate::flags::Settings;
use crate::log_files::{LogFiles, LogFilesError, Role};
use crate::rotating_file::RotatingFile;

/// Libraries whose steps below INFO are theirs alone and come by the thousand.
const NOISY: [&str; 6] = ["h2", "hyper", "hyper_util", "tonic", "tower", "rustls"];

/// The process cannot log.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// There is no place for the files.
    #[error(transparent)]
    Files(#[from] LogFilesError),
    /// The file cannot be opened.
    #[error("cannot write to the log file {}", path.display())]
    Open {
        /// The file.
        path: std::path::PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Something else logs for this process already.
    #[error("logging was set up before")]
    Twice(#[from] TryInitError),
}

/// Logs into files from here on, and to standard error too unless a script started this process as a daemon.
///
/// A process in the foreground that finds no writable folder logs to standard error alone and answers `None`: that is
/// a container with a read-only file system.
///
/// # Errors
///
/// When a daemon has no file to log to, or logging was set up before.
pub fn to_files(role: Role, settings: &Settings) -> Result<Option<Arc<LogFiles>>, LoggingError> {
    let daemon = settings.environment.contains_key(crate::log_files::LOG_FILE_VARIABLE);
    let opened = LogFiles::choose(role, settings).map_err(LoggingError::from).and_then(|files| {
        let path = files.log().to_owned();
        let file =
            RotatingFile::begin(path.clone(), files.rotation).map_err(|source| LoggingError::Open { path, source })?;
        Ok((files, SharedFile(Arc::new(Mutex::new(Sink { file, failed: false })))))
    });
    match opened {
        Ok((files, file)) if files.foreground => {
            install(&settings.configuration, BoxMakeWriter::new(file.and(io::stderr)))?;
            Ok(Some(Arc::new(files)))
        }
        Ok((files, file)) => {
            install(&settings.configuration, BoxMakeWriter::new(file))?;
            Ok(Some(Arc::new(files)))
        }
        Err(error) if daemon => Err(error),
        Err(error) => {
            to_standard_error(&settings.configuration)?;
            let error: &dyn std::error::Error = &error;
            tracing::warn!(error, "logging to standard error only");
            Ok(None)
        }
    }
}

/// Logs to standard error from here on.
///
/// # Errors
///
/// When logging was set up before.
pub fn to_standard_error(configuration: &Configuration) -> Result<(), LoggingError> {
    install(configuration, BoxMakeWriter::new(io::stderr))
}

fn install(configuration: &Configuration, writer: BoxMakeWriter) -> Result<(), LoggingError> {
    let level = level(configuration.get(&options::env::LOG_LEVEL));
    let calm = level.min(LevelFilter::INFO);
    let targets = Targets::new().with_default(level).with_targets(NOISY.map(|target| (target, calm)));
    let layer = match configuration.get(&options::log::FORMAT) {
        LogFormat::Text => fmt::layer().with_ansi(false).with_writer(writer).boxed(),
        LogFormat::Json => fmt::layer().json().flatten_event(true).with_writer(writer).boxed(),
    };
    registry().with(layer.with_filter(targets)).try_init()?;
    Ok(())
}

const fn level(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Trace => LevelFilter::TRACE,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Off => LevelFilter::OFF,
    }
}

struct Sink {
    file: RotatingFile,
    failed: bool,
}

/// The formatter hands over one event per call, so an event is never torn between files or threads.
#[derive(Clone)]
struct SharedFile(Arc<Mutex<Sink>>);

impl io::Write for SharedFile {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut sink = self.0.lock();
        let written = sink.file.write_lines(line);
        if let Err(error) = &written
            && !sink.failed
        {
            eprintln!("cannot write to the log file {}: {error}", sink.file.path().display());
        }
        sink.failed = written.is_err();
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for SharedFile {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}
