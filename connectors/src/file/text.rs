//! Text: one record per line.
//!
//! Lines end with `\n` or `\r\n`; the end is not part of the record. Bytes that are not UTF-8 become U+FFFD, as in
//! Flink, and the lines that have some are counted.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use pelton_runtime_core::metrics::Counter;
use pelton_runtime_core::operator::TARGET_BATCH_ROWS;

use super::error::Halt;
use super::source::{Output, SplitContext};

/// Name of the counter of lines in which bytes that are not UTF-8 were replaced.
pub const NUM_LINES_WITH_REPLACED_BYTES: &str = "numLinesWithReplacedBytes";

/// Bytes after which a batch is handed on, though it has few rows.
const TARGET_BATCH_BYTES: usize = 4 << 20;

/// How text files are read.
#[derive(Debug, Clone)]
pub struct TextOptions {
    column: String,
}

impl Default for TextOptions {
    fn default() -> Self {
        Self { column: "value".to_owned() }
    }
}

impl TextOptions {
    /// Lines in a column named `value`.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lines in a column of this name.
    #[must_use]
    pub fn column(mut self, name: impl Into<String>) -> Self {
        self.column = name.into();
        self
    }

    /// The schema of the batches: one column of strings that are never null.
    pub fn schema(&self) -> SchemaRef {
        Arc::new(Schema::new(vec![Field::new(&self.column, DataType::Utf8, false)]))
    }
}

pub(super) fn read(options: &TextOptions, split: &SplitContext<'_>, output: &mut Output<'_>) -> Result<(), Halt> {
    let mut blocks = split.line_blocks()?;
    let mut end = 0;
    let mut lines = LineBatch::new(options.schema(), output.counter(NUM_LINES_WITH_REPLACED_BYTES));
    while let Some(block) = blocks.next_block()? {
        let mut in_block = LineIter::new(block.bytes);
        while let Some(line) = in_block.next() {
            lines.push(line);
            if lines.is_full() {
                output.emit(lines.take(), block.offset + in_block.consumed() as u64)?;
            }
        }
        end = block.offset + block.bytes.len() as u64;
    }
    if !lines.is_empty() {
        output.emit(lines.take(), end)?;
    }
    Ok(())
}

/// The lines of a block, without their ends.
pub(super) struct LineIter<'a> {
    rest: &'a [u8],
    ends: memchr::Memchr<'a>,
    start: usize,
}

impl<'a> LineIter<'a> {
    pub(super) fn new(block: &'a [u8]) -> Self {
        Self { rest: block, ends: memchr::memchr_iter(b'\n', block), start: 0 }
    }

    /// Bytes of the lines so far, with their ends.
    pub(super) fn consumed(&self) -> usize {
        self.start
    }
}

impl<'a> Iterator for LineIter<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        let line = match self.ends.next() {
            Some(end) => {
                let line = &self.rest[self.start..end];
                self.start = end + 1;
                line
            }
            None if self.start < self.rest.len() => {
                let line = &self.rest[self.start..];
                self.start = self.rest.len();
                line
            }
            None => return None,
        };
        Some(line.strip_suffix(b"\r").unwrap_or(line))
    }
}

/// A batch of lines in the making.
pub(crate) struct LineBatch {
    schema: SchemaRef,
    offsets: Vec<i32>,
    values: Vec<u8>,
    replaced: Counter,
}

impl LineBatch {
    pub(crate) fn new(schema: SchemaRef, replaced: Counter) -> Self {
        Self { schema, offsets: vec![0], values: Vec::new(), replaced }
    }

    #[inline]
    pub(crate) fn push(&mut self, line: &[u8]) {
        self.values.extend_from_slice(line);
        // A line has at most 1 GiB and is added to less than 4 MiB.
        self.offsets.push(self.values.len() as i32);
    }

    #[inline]
    pub(crate) fn is_full(&self) -> bool {
        self.offsets.len() > TARGET_BATCH_ROWS || self.values.len() >= TARGET_BATCH_BYTES
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.offsets.len() == 1
    }

    /// The lines so far, as a batch; the next batch starts.
    pub(crate) fn take(&mut self) -> RecordBatch {
        let next_values = Vec::with_capacity(self.values.len());
        let values = std::mem::replace(&mut self.values, next_values);
        let offsets = std::mem::replace(&mut self.offsets, vec![0]);
        self.offsets.reserve(TARGET_BATCH_ROWS);
        let lines = strings(offsets, values, &self.replaced);
        RecordBatch::try_new(Arc::clone(&self.schema), vec![Arc::new(lines) as ArrayRef])
            .expect("one column of strings that are never null")
    }
}

/// The strings between `offsets`; what is not UTF-8 is replaced and counted.
fn strings(offsets: Vec<i32>, values: Vec<u8>, replaced: &Counter) -> StringArray {
    let values = Buffer::from_vec(values);
    let ends = OffsetBuffer::new(ScalarBuffer::from(offsets));
    match StringArray::try_new(ends.clone(), values.clone(), None) {
        Ok(strings) => strings,
        Err(_) => ends
            .windows(2)
            .map(|ends| {
                let text = String::from_utf8_lossy(&values[ends[0] as usize..ends[1] as usize]);
                replaced.add(u64::from(matches!(text, std::borrow::Cow::Owned(_))));
                Some(text)
            })
            .collect(),
    }
}
