//! Where a closure's rows come from: the batch's columns, or the closure before it.

use std::ops::Range;

use arrow::array::RecordBatch;
use pelton_runtime_core::operator::OperatorResult;

use crate::record::{Record, RecordReader};

use super::chunk::{Chunk, Target};
use super::{CHUNK_ROWS, More, Stage};

/// Rows for a closure, a chunk at a time.
pub(super) trait Input<T: Record>: Send {
    /// Begins with a batch.
    fn open(&mut self, batch: &RecordBatch) -> OperatorResult;

    /// Shows `visit` the next chunk's rows, each with its origin.
    fn visit(&mut self, visit: impl FnMut(&T, u32) -> OperatorResult) -> OperatorResult<More>;
}

/// Rows read from columns, one after the other into the same value.
pub(super) struct ColumnsInput<T: Record> {
    reader: Option<RecordReader<T>>,
    /// Absent while it is in use, and before.
    scratch: Option<T>,
    next: usize,
}

impl<T: Record> ColumnsInput<T> {
    pub(super) fn new() -> Self {
        Self { reader: None, scratch: None, next: 0 }
    }

    /// Gives `read` the rows of the next chunk.
    #[inline]
    pub(super) fn read_chunk(
        &mut self,
        read: impl FnOnce(&RecordReader<T>, Range<usize>) -> OperatorResult,
    ) -> OperatorResult<More> {
        let Some(reader) = &self.reader else { return Ok(More::No) };
        let rows = self.next..reader.len().min(self.next + CHUNK_ROWS);
        self.next = rows.end;
        read(reader, rows)?;
        if self.next < reader.len() {
            return Ok(More::Yes);
        }
        // The batch's memory is not held until the next one comes.
        self.reader = None;
        Ok(More::No)
    }
}

impl<T: Record> Input<T> for ColumnsInput<T> {
    fn open(&mut self, batch: &RecordBatch) -> OperatorResult {
        self.reader = Some(RecordReader::open(batch)?);
        self.next = 0;
        Ok(())
    }

    #[inline]
    fn visit(&mut self, mut visit: impl FnMut(&T, u32) -> OperatorResult) -> OperatorResult<More> {
        let mut scratch = self.scratch.take().unwrap_or_else(T::scratch);
        let more = self.read_chunk(|reader, rows| {
            for row in rows {
                reader.read_into(row, &mut scratch);
                visit(&scratch, row as u32)?;
            }
            Ok(())
        });
        self.scratch = Some(scratch);
        more
    }
}

/// Results of the closure before.
pub(super) struct StageInput<T: Record> {
    stage: Box<dyn Stage<T>>,
    chunk: Chunk<T>,
}

impl<T: Record> StageInput<T> {
    pub(super) fn new(stage: Box<dyn Stage<T>>) -> Self {
        Self { stage, chunk: Chunk::new() }
    }
}

impl<T: Record> Input<T> for StageInput<T> {
    fn open(&mut self, batch: &RecordBatch) -> OperatorResult {
        self.stage.open(batch)
    }

    #[inline]
    fn visit(&mut self, mut visit: impl FnMut(&T, u32) -> OperatorResult) -> OperatorResult<More> {
        self.chunk.clear();
        let more = self.stage.step(&mut Target::Chunk(&mut self.chunk))?;
        for (row, origin) in self.chunk.iter() {
            visit(row, origin)?;
        }
        Ok(more)
    }
}
