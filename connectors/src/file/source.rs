//! The source of rows from files: the reader that a task polls, and the thread behind it.

use std::collections::BTreeSet;
use std::io::Read;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use pelton_filesystem::location::Location;
use pelton_runtime_core::checkpoint::snapshot::{OperatorSnapshot, RestoredState};
use pelton_runtime_core::element::{CheckpointId, StreamBatch};
use pelton_runtime_core::env::Env;
use pelton_runtime_core::metrics::Counter;
use pelton_runtime_core::operator::{OperatorError, OperatorResult, OperatorRuntime};
use pelton_runtime_core::source::splits::{SplitEnumerator, SplitReader, SplitSource};
use pelton_runtime_core::source::{Boundedness, SourceFactory, SourcePoll, SourceReader};
use pelton_runtime_core::time::EpochMillis;

use super::csv::{self, CsvOptions};
use super::enumerator::FileEnumerator;
use super::error::{Halt, ReadError, RecordStart};
use super::json::{self, JsonOptions};
use super::lines::{self, LineBlocks};
use super::listing::{self, FileEntry};
use super::parquet::{self, ParquetOptions};
use super::positions::{self, SplitState};
use super::split::{self, Part, Split, Splittable};
use super::split_reader::FileSplitReader;
use super::text::{self, TextOptions};
use super::{input, listing::list};
use crate::handover::{Received, Receiver, Sender, handover};

/// Bytes of decoded batches that wait between a reader's thread and its task.
pub(super) const PREFETCH_BYTES: usize = 8 << 20;

/// How long a record may be unless the source says otherwise.
const MAX_RECORD_BYTES: usize = 64 << 20;

/// Batches of longer records would not have offsets.
const MAX_RECORD_BYTES_MAX: usize = 1 << 30;

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
    max_record_bytes: Option<usize>,
    assignment: Assignment,
}

/// How readers come to their splits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Assignment {
    /// Each lists the files and takes its share.
    Shares,
    /// They ask an enumerator.
    OnRequest,
    /// They ask an enumerator that looks for new files so often.
    Monitored(Duration),
}

impl FileSource {
    /// Reads what lies at `location`: a path, or a URL of an object store.
    pub fn new(location: impl Into<String>, format: FileFormat) -> Self {
        let (location, assignment) = (location.into(), Assignment::Shares);
        Self { location, format, split_bytes: None, max_record_bytes: None, assignment }
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

    /// How many bytes a line, or a row of CSV, may have: 64 MiB unless set. A longer one fails the job with its place
    /// instead of costing the worker its memory. Rows of Parquet have no such limit.
    #[must_use]
    pub fn max_record_bytes(mut self, bytes: usize) -> Self {
        self.max_record_bytes = Some(bytes);
        self
    }

    /// Readers ask an enumerator for one part of a file after the other, instead of each having its share from the
    /// beginning: a slow one leaves more to the others. It costs one more task.
    #[must_use]
    pub fn splits_on_request(mut self) -> Self {
        if self.assignment == Assignment::Shares {
            self.assignment = Assignment::OnRequest;
        }
        self
    }

    /// Looks for new files so often, for ever. Each is read once, over restarts too; it must be complete when it appears,
    /// and what is added to it later is not seen.
    #[must_use]
    pub fn monitor_continuously(mut self, interval: Duration) -> Self {
        self.assignment = Assignment::Monitored(interval);
        self
    }

    /// Whether readers ask an enumerator, so that this is to be used as a [`SplitSource`].
    pub fn has_enumerator(&self) -> bool {
        self.assignment != Assignment::Shares
    }

    pub(super) fn monitor_interval(&self) -> Option<Duration> {
        match self.assignment {
            Assignment::Monitored(interval) => Some(interval),
            Assignment::Shares | Assignment::OnRequest => None,
        }
    }

    pub(super) fn location(&self) -> &str {
        &self.location
    }

    /// The splits of these files for so many readers.
    pub(super) fn plan(&self, files: Vec<FileEntry>, readers: u32) -> Result<Vec<Split>, ReadError> {
        split::plan(files, self.splittable(), self.split_bytes, readers)
    }

    /// Refuses splits of a checkpoint that this format cannot go on with.
    pub(super) fn check_restored(&self, splits: &[SplitState]) -> OperatorResult {
        match splits.iter().find(|state| !self.splittable().reads(state.split.part)) {
            None => Ok(()),
            Some(other) => Err(OperatorError::data(format!(
                "the checkpoint has a part of `{}` that a source of this format cannot go on with",
                other.split.file.name
            ))),
        }
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
            return Err(ReadError::from(pelton_filesystem::location::LocationError::Empty).into());
        }
        if self.monitor_interval().is_some_and(|interval| interval.is_zero()) {
            return Err(OperatorError::data("new files are looked for at least 1 ms apart, not all the time"));
        }
        if self.split_bytes == Some(0) {
            return Err(OperatorError::data("a split of a file has at least 1 byte, not 0"));
        }
        match (self.max_record_bytes, &self.format) {
            (None, _) => {}
            (Some(_), FileFormat::Parquet(_)) => {
                return Err(OperatorError::data("`max_record_bytes` is for lines and CSV, not for Parquet"));
            }
            (Some(1..=MAX_RECORD_BYTES_MAX), _) => {}
            (Some(bytes), _) => {
                let message = format!("`max_record_bytes` is {bytes}, expected 1 to {MAX_RECORD_BYTES_MAX}");
                return Err(OperatorError::data(message));
            }
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

impl SplitSource for FileSource {
    fn boundedness(&self) -> Boundedness {
        match self.monitor_interval() {
            Some(_) => Boundedness::ContinuousUnbounded,
            None => Boundedness::Bounded,
        }
    }

    fn enumerator(&self, runtime: &OperatorRuntime) -> OperatorResult<Box<dyn SplitEnumerator>> {
        self.validate()?;
        Ok(Box::new(FileEnumerator::new(self.clone(), runtime)))
    }

    fn reader(&self, runtime: &OperatorRuntime) -> OperatorResult<Box<dyn SplitReader>> {
        self.validate()?;
        Ok(Box::new(FileSplitReader::new(self.clone(), runtime)))
    }
}

impl SourceFactory for FileSource {
    fn boundedness(&self) -> Boundedness {
        Boundedness::Bounded
    }

    fn create(&self, runtime: &OperatorRuntime) -> OperatorResult<Box<dyn SourceReader>> {
        self.validate()?;
        if self.monitor_interval().is_some() {
            return Err(OperatorError::data("a source that watches for new files needs its enumerator"));
        }
        Ok(Box::new(FileReader {
            source: self.clone(),
            stage: Stage::New,
            splits: Splits::Unlisted(BTreeSet::new()),
            restored: None,
            runtime: runtime.clone(),
        }))
    }
}

/// Reads the splits of one subtask. Its position is what the task has taken, however far the thread is ahead.
struct FileReader {
    source: FileSource,
    stage: Stage,
    splits: Splits,
    /// What a checkpoint says is left for this reader; absent: it lists the files.
    restored: Option<Vec<SplitState>>,
    runtime: OperatorRuntime,
}

/// What there is to read for this reader.
enum Splits {
    /// The thread has not listed the files yet, and these checkpoints wait for it.
    Unlisted(BTreeSet<CheckpointId>),
    Listed {
        /// By the number that the thread gives them; read to the end: none.
        left: Vec<Option<SplitState>>,
        /// Checkpoints that came before the first record, and their state.
        at_start: BTreeSet<CheckpointId>,
        start: OperatorSnapshot,
    },
}

enum Stage {
    New,
    Reading(Receiver<Message>),
    Ended,
}

pub(super) enum Message {
    /// What there is to read; comes first. Not from readers that are given their splits.
    Splits(Vec<SplitState>),
    /// Rows of a split, and where it stands after them.
    Batch {
        batch: RecordBatch,
        split: usize,
        position: u64,
    },
    /// A split was read to its end.
    Done(usize),
    Failed(ReadError),
    /// Everything was read. A queue that ends without it belonged to a thread that died. Not from readers that are
    /// given their splits.
    Complete,
}

impl SourceReader for FileReader {
    fn open(&mut self, runtime: &OperatorRuntime) -> OperatorResult {
        let (sender, receiver) = handover(PREFETCH_BYTES);
        receiver.wake_on_items(runtime.waker.clone());
        let source = self.source.clone();
        let restored = self.restored.take();
        let worker = runtime.clone();
        runtime
            .env
            .spawn_thread(format!("files-{}", runtime.subtask), move || {
                let last = match run(&source, restored, &worker, &sender) {
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
        loop {
            match receiver.try_recv() {
                Received::Item(Message::Splits(splits)) => self.splits.listed(splits)?,
                Received::Item(Message::Done(split)) => self.splits.done(split),
                Received::Item(Message::Batch { batch, split, position }) => {
                    self.splits.advance(split, position);
                    return Ok(SourcePoll::Batch(StreamBatch::new(batch)));
                }
                Received::Empty => return Ok(SourcePoll::Pending(None)),
                Received::Item(Message::Complete) => {
                    self.stage = Stage::Ended;
                    return Ok(SourcePoll::End);
                }
                Received::Item(Message::Failed(error)) => {
                    self.stage = Stage::Ended;
                    return Err(error.into());
                }
                Received::End => {
                    self.stage = Stage::Ended;
                    return Err(OperatorError::external(
                        format!("reading `{}` ended early", self.source.location),
                        pelton_runtime_core::env::Stopped,
                    ));
                }
            }
        }
    }

    fn snapshot(&mut self, checkpoint: CheckpointId) -> OperatorResult<OperatorSnapshot> {
        match &mut self.splits {
            Splits::Listed { left, .. } => positions::snapshot(left.iter().flatten()),
            Splits::Unlisted(waiting) => {
                waiting.insert(checkpoint);
                Ok(OperatorSnapshot::default())
            }
        }
    }

    fn poll_snapshot(&mut self, checkpoint: CheckpointId) -> OperatorResult<Poll<OperatorSnapshot>> {
        Ok(match &mut self.splits {
            Splits::Unlisted(_) => Poll::Pending,
            Splits::Listed { at_start, start, .. } => match at_start.remove(&checkpoint) {
                true => Poll::Ready(start.clone()),
                false => Poll::Ready(OperatorSnapshot::default()),
            },
        })
    }

    fn restore(&mut self, state: RestoredState) -> OperatorResult {
        let splits = positions::restore(state, &self.runtime)?;
        self.source.check_restored(&splits)?;
        self.splits.listed(splits.clone())?;
        self.restored = Some(splits);
        Ok(())
    }

    fn close(&mut self) {
        self.stage = Stage::Ended;
    }
}

impl Splits {
    fn listed(&mut self, splits: Vec<SplitState>) -> OperatorResult {
        if let Self::Unlisted(waiting) = self {
            let start = positions::snapshot(&splits)?;
            let left = splits.into_iter().map(Some).collect();
            *self = Self::Listed { left, at_start: std::mem::take(waiting), start };
        }
        Ok(())
    }

    fn advance(&mut self, split: usize, position: u64) {
        if let Self::Listed { left, .. } = self
            && let Some(state) = &mut left[split]
        {
            state.position = Some(position);
        }
    }

    fn done(&mut self, split: usize) {
        if let Self::Listed { left, .. } = self {
            left[split] = None;
        }
    }
}

fn run(
    source: &FileSource,
    restored: Option<Vec<SplitState>>,
    runtime: &OperatorRuntime,
    sender: &Sender<Message>,
) -> Result<(), Halt> {
    let splits = match restored {
        Some(splits) => splits,
        None => {
            let location = Location::parse(&source.location, &runtime.configuration).map_err(ReadError::from)?;
            let files = list(&location, &runtime.env)?;
            let splits = source.plan(files, runtime.parallelism)?;
            let own = split::of_reader(splits, runtime.subtask, runtime.parallelism);
            let own: Vec<_> = own.map(|split| SplitState::new(&source.location, split)).collect();
            sender.push(Message::Splits(own.clone()), 0).map_err(|_| Halt::Cancelled)?;
            own
        }
    };
    splits.into_iter().enumerate().try_for_each(|(index, split)| read_split(source, index, split, runtime, sender))
}

/// Reads what is left of a split, which has this number between task and thread.
pub(super) fn read_split(
    source: &FileSource,
    number: usize,
    SplitState { split, position, .. }: SplitState,
    runtime: &OperatorRuntime,
    sender: &Sender<Message>,
) -> Result<(), Halt> {
    let mut output = Output { sender, runtime, split: number };
    let max_record_bytes = source.max_record_bytes.unwrap_or(MAX_RECORD_BYTES);
    let split = SplitContext { split, position, max_record_bytes, env: &runtime.env };
    let read = match &source.format {
        FileFormat::Text(options) => text::read(options, &split, &mut output),
        FileFormat::Csv(options) => csv::read(options, &split, &mut output),
        FileFormat::Json(options) => json::read(options, &split, &mut output),
        FileFormat::Parquet(options) => parquet::read(options, &split, &mut output),
    };
    read.map_err(|halt| split.with_line(halt))?;
    sender.push(Message::Done(number), 0).map_err(|_| Halt::Cancelled)
}

/// Where a format's rows go.
pub(super) struct Output<'a> {
    sender: &'a Sender<Message>,
    runtime: &'a OperatorRuntime,
    /// The split that is being read, by its number.
    split: usize,
}

impl Output<'_> {
    /// Hands a batch to the task; waits for room. A reader that starts at `position` goes on right after it: a byte of
    /// the plain content, in Parquet a row of the split.
    pub(super) fn emit(&mut self, batch: RecordBatch, position: u64) -> Result<(), Halt> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let bytes = batch.get_array_memory_size();
        let message = Message::Batch { batch, split: self.split, position };
        self.sender.send_blocking(&self.runtime.env, message, bytes).map_err(|_| Halt::Cancelled)
    }

    /// The operator's counter of this name.
    pub(super) fn counter(&self, name: &str) -> Counter {
        self.runtime.metrics.counter(name)
    }
}

/// The split that a format reads.
pub(super) struct SplitContext<'a> {
    split: Split,
    /// Where to go on, when it was begun before.
    position: Option<u64>,
    max_record_bytes: usize,
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

    /// How long a record may be.
    pub(super) fn max_record_bytes(&self) -> usize {
        self.max_record_bytes
    }

    /// Where to go on; absent: at the beginning.
    pub(super) fn position(&self) -> Option<u64> {
        self.position
    }

    /// The lines of the split that are left.
    pub(super) fn line_blocks(&self) -> Result<LineBlocks<Box<dyn Read + Send>>, ReadError> {
        let name = &self.file().name;
        Ok(match self.position {
            None => {
                let input = self.open_at(lines::first_byte(self.part()))?;
                LineBlocks::new(input, name, self.part(), self.max_record_bytes)
            }
            Some(position) => {
                LineBlocks::resume(self.open_at(position)?, name, self.part(), self.max_record_bytes, position)
            }
        })
    }

    /// The plain bytes from this one on.
    pub(super) fn open_at(&self, offset: u64) -> Result<Box<dyn Read + Send>, ReadError> {
        input::open_plain(self.file(), offset, self.env)
    }

    /// The number, starting at 1, of the line that begins at `offset` of the file or is `lines` below it.
    pub(super) fn line_number(&self, offset: u64, lines: u64) -> Result<u64, ReadError> {
        let above = if offset > 0 { input::lines_before(self.file(), offset, self.env)? } else { 0 };
        Ok(1 + lines + above)
    }

    /// Says the line instead of the byte of a record that is too long, when the file can be read again.
    fn with_line(&self, halt: Halt) -> Halt {
        let Halt::Failed(ReadError::RecordTooLong { path, start: RecordStart::Byte(offset), limit }) = halt else {
            return halt;
        };
        let line = self.file().size.and_then(|_| self.line_number(offset, 0).ok());
        let start = line.map_or(RecordStart::Byte(offset), RecordStart::Line);
        Halt::Failed(ReadError::RecordTooLong { path, start, limit })
    }
}
