//! The source of rows from files: the reader that a task polls, and the thread behind it.

use std::io::Read;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use pelton_runtime_core::element::StreamBatch;
use pelton_runtime_core::env::Env;
use pelton_runtime_core::metrics::Counter;
use pelton_runtime_core::operator::{OperatorError, OperatorResult, OperatorRuntime};
use pelton_runtime_core::source::{Boundedness, SourceFactory, SourcePoll, SourceReader};
use pelton_runtime_core::time::EpochMillis;

use super::compression::Compression;
use super::csv::{self, CsvOptions};
use super::error::{Halt, ReadError};
use super::json::{self, JsonOptions};
use super::lines;
use super::listing::{self, FileEntry};
use super::parquet::{self, ParquetOptions};
use super::split::{self, Part, Split, Splittable};
use super::text::{self, TextOptions};
use super::{input, listing::list};
use crate::handover::{Received, Receiver, Sender, handover};
use crate::location::Location;

/// Bytes of decoded batches that wait between a reader's thread and its task.
const PREFETCH_BYTES: usize = 8 << 20;

/// What the files contain, and how it becomes rows.
#[derive(Debug, Clone)]
pub enum FileFormat {
    /// One string per line.
    Text(TextOptions),
    /// Comma-separated values.
    Csv(CsvOptions),
    /// One JSON object per line.
    Json(JsonOptions),
    /// Apache Parquet.
    Parquet(ParquetOptions),
}

/// Reads files, or all files beneath a directory, once.
#[derive(Debug, Clone)]
pub struct FileSource {
    location: String,
    format: FileFormat,
    split_bytes: Option<u64>,
}

impl FileSource {
    /// Reads what lies at `location`: a path, or a URL of an object store.
    pub fn new(location: impl Into<String>, format: FileFormat) -> Self {
        Self { location: location.into(), format, split_bytes: None }
    }

    /// Lines of text.
    pub fn text(location: impl Into<String>) -> Self {
        Self::new(location, FileFormat::Text(TextOptions::new()))
    }

    /// Cuts files of lines every so many bytes. Without this the size follows from the files and the parallelism.
    #[must_use]
    pub fn split_bytes(mut self, bytes: u64) -> Self {
        self.split_bytes = Some(bytes);
        self
    }

    /// The schema of the batches.
    pub fn schema(&self) -> SchemaRef {
        match &self.format {
            FileFormat::Text(options) => options.schema(),
            FileFormat::Csv(options) => Arc::clone(options.schema()),
            FileFormat::Json(options) => Arc::clone(options.schema()),
            FileFormat::Parquet(options) => Arc::clone(options.schema()),
        }
    }

    /// Checks the settings, without looking at any file.
    ///
    /// # Errors
    ///
    /// When the settings contradict each other or ask for what the format cannot do.
    pub fn validate(&self) -> OperatorResult {
        if self.location.is_empty() {
            return Err(ReadError::from(crate::location::LocationError::Empty).into());
        }
        if self.split_bytes == Some(0) {
            return Err(OperatorError::data("a split of a file has at least 1 byte, not 0"));
        }
        match &self.format {
            FileFormat::Csv(options) => options.validate(),
            FileFormat::Json(options) => options.validate(),
            FileFormat::Text(_) | FileFormat::Parquet(_) => Ok(()),
        }
    }

    fn splittable(&self) -> Splittable {
        match &self.format {
            FileFormat::Text(_) | FileFormat::Json(_) => Splittable::ByLines,
            FileFormat::Csv(options) => options.splittable(),
            FileFormat::Parquet(_) => Splittable::ByRowGroups,
        }
    }
}

impl SourceFactory for FileSource {
    fn boundedness(&self) -> Boundedness {
        Boundedness::Bounded
    }

    fn create(&self, _runtime: &OperatorRuntime) -> OperatorResult<Box<dyn SourceReader>> {
        self.validate()?;
        Ok(Box::new(FileReader { source: self.clone(), stage: Stage::New }))
    }
}

struct FileReader {
    source: FileSource,
    stage: Stage,
}

enum Stage {
    New,
    Reading(Receiver<Message>),
    Ended,
}

enum Message {
    Batch(RecordBatch),
    Failed(ReadError),
    /// Everything was read. A queue that ends without it belonged to a thread that died.
    Complete,
}

impl SourceReader for FileReader {
    fn open(&mut self, runtime: &OperatorRuntime) -> OperatorResult {
        let (sender, receiver) = handover(PREFETCH_BYTES);
        receiver.wake_on_items(runtime.waker.clone());
        let source = self.source.clone();
        let worker = runtime.clone();
        runtime
            .env
            .spawn_thread(format!("files-{}", runtime.subtask), move || {
                let last = match run(&source, &worker, &sender) {
                    Ok(()) => Message::Complete,
                    Err(Halt::Failed(error)) => Message::Failed(error),
                    Err(Halt::Cancelled) => return,
                };
                // The task may be gone; then nobody waits for the end.
                let _ = sender.push(last, 0);
            })
            .map_err(|source| OperatorError::external("cannot start a thread to read files", source))?;
        self.stage = Stage::Reading(receiver);
        Ok(())
    }

    fn poll(&mut self, _now: EpochMillis) -> OperatorResult<SourcePoll> {
        let Stage::Reading(receiver) = &self.stage else {
            return Ok(SourcePoll::End);
        };
        match receiver.try_recv() {
            Received::Item(Message::Batch(batch)) => Ok(SourcePoll::Batch(StreamBatch::new(batch))),
            Received::Empty => Ok(SourcePoll::Pending(None)),
            Received::Item(Message::Complete) => {
                self.stage = Stage::Ended;
                Ok(SourcePoll::End)
            }
            Received::Item(Message::Failed(error)) => {
                self.stage = Stage::Ended;
                Err(error.into())
            }
            Received::End => {
                self.stage = Stage::Ended;
                Err(OperatorError::external(
                    format!("reading `{}` ended early", self.source.location),
                    pelton_runtime_core::env::Stopped,
                ))
            }
        }
    }

    fn close(&mut self) {
        self.stage = Stage::Ended;
    }
}

fn run(source: &FileSource, runtime: &OperatorRuntime, sender: &Sender<Message>) -> Result<(), Halt> {
    let location = Location::parse(&source.location, &runtime.configuration).map_err(ReadError::from)?;
    let files = list(&location, &runtime.env)?;
    let splits = split::plan(files, source.splittable(), source.split_bytes, runtime.parallelism)?;
    let mut output = Output { sender, runtime };
    for split in split::of_reader(splits, runtime.subtask, runtime.parallelism) {
        let split = SplitContext { split, env: &runtime.env };
        match &source.format {
            FileFormat::Text(options) => text::read(options, &split, &mut output)?,
            FileFormat::Csv(options) => csv::read(options, &split, &mut output)?,
            FileFormat::Json(options) => json::read(options, &split, &mut output)?,
            FileFormat::Parquet(options) => parquet::read(options, &split, &mut output)?,
        }
    }
    Ok(())
}

/// Where a format's rows go.
pub(super) struct Output<'a> {
    sender: &'a Sender<Message>,
    runtime: &'a OperatorRuntime,
}

impl Output<'_> {
    /// Hands a batch to the task; waits for room.
    pub(super) fn emit(&mut self, batch: RecordBatch) -> Result<(), Halt> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let bytes = batch.get_array_memory_size();
        self.sender.send_blocking(Message::Batch(batch), bytes).map_err(|_| Halt::Cancelled)
    }

    /// The operator's counter of this name.
    pub(super) fn counter(&self, name: &str) -> Counter {
        self.runtime.metrics.counter(name)
    }
}

/// The split that a format reads.
pub(super) struct SplitContext<'a> {
    split: Split,
    env: &'a Env,
}

impl SplitContext<'_> {
    pub(super) fn file(&self) -> &listing::FileEntry {
        &self.split.file
    }

    pub(super) fn part(&self) -> Part {
        self.split.part
    }

    pub(super) fn env(&self) -> &Env {
        self.env
    }

    /// The plain bytes from where a reader of lines must begin.
    pub(super) fn open_lines(&self) -> Result<Box<dyn Read + Send>, ReadError> {
        open_plain(self.file(), lines::first_byte(self.part()), self.env)
    }

    /// The plain bytes from the file's start.
    pub(super) fn open_start(&self) -> Result<Box<dyn Read + Send>, ReadError> {
        open_plain(self.file(), 0, self.env)
    }

    /// The number, starting at 1, of the line that begins at `offset` of the file or is `lines` below it.
    pub(super) fn line_number(&self, offset: u64, lines: u64) -> Result<u64, ReadError> {
        Ok(1 + lines
            + match self.part() {
                Part::Lines { start, .. } if start > 0 => input::lines_before(self.file(), offset, self.env)?,
                _ => 0,
            })
    }
}

fn open_plain(file: &FileEntry, offset: u64, env: &Env) -> Result<Box<dyn Read + Send>, ReadError> {
    let raw = input::open(file, offset, env)?;
    Compression::of(&file.name)?.decoder(raw).map_err(|source| ReadError::io(&file.name, source))
}
