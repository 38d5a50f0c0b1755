//! The rows for which a closure holds.

use std::sync::Arc;

use arrow::array::RecordBatch;
use pelton_runtime_core::operator::OperatorResult;

use crate::record::{Record, RecordReader};

use super::chunk::{Chunk, Target};
use super::input::{ColumnsInput, Input};
use super::{More, Stage};

/// Filters rows read from columns. For a next closure it reads them to where that closure looks for them.
pub(super) struct FilterColumns<T: Record, F> {
    input: ColumnsInput<T>,
    f: Arc<F>,
}

impl<T: Record, F> FilterColumns<T, F> {
    pub(super) fn new(f: Arc<F>) -> Self {
        Self { input: ColumnsInput::new(), f }
    }
}

impl<T, F> Stage<T> for FilterColumns<T, F>
where
    T: Record,
    F: Fn(&T) -> OperatorResult<bool> + Send + Sync,
{
    fn open(&mut self, batch: &RecordBatch) -> OperatorResult {
        self.input.open(batch)
    }

    fn step(&mut self, target: &mut Target<'_, T>) -> OperatorResult<More> {
        let f = &*self.f;
        match target {
            Target::Chunk(chunk) => self.input.read_to(chunk, f),
            Target::Columns(columns) => self.input.visit(|row, origin| {
                if f(row)? {
                    columns.push(row, origin);
                }
                Ok(())
            }),
            Target::Origins(origins) => self.input.visit(|row, origin| {
                if f(row)? {
                    origins.push(origin);
                }
                Ok(())
            }),
        }
    }
}

/// Filters the results of the closure before. For a next closure it does so in place.
pub(super) struct FilterChunks<T: Record, F> {
    stage: Box<dyn Stage<T>>,
    f: Arc<F>,
    chunk: Chunk<T>,
}

impl<T: Record, F> FilterChunks<T, F> {
    pub(super) fn new(stage: Box<dyn Stage<T>>, f: Arc<F>) -> Self {
        Self { stage, f, chunk: Chunk::new() }
    }
}

impl<T, F> Stage<T> for FilterChunks<T, F>
where
    T: Record,
    F: Fn(&T) -> OperatorResult<bool> + Send + Sync,
{
    fn open(&mut self, batch: &RecordBatch) -> OperatorResult {
        self.stage.open(batch)
    }

    fn step(&mut self, target: &mut Target<'_, T>) -> OperatorResult<More> {
        let f = &*self.f;
        if let Target::Chunk(chunk) = target {
            let more = self.stage.step(&mut Target::Chunk(chunk))?;
            chunk.try_retain(f)?;
            return Ok(more);
        }
        self.chunk.clear();
        let more = self.stage.step(&mut Target::Chunk(&mut self.chunk))?;
        for (row, origin) in self.chunk.iter() {
            if f(row)? {
                match target {
                    Target::Columns(columns) => columns.push(row, origin),
                    Target::Origins(origins) => origins.push(origin),
                    Target::Chunk(_) => {}
                }
            }
        }
        Ok(more)
    }
}

impl<T: Record> ColumnsInput<T> {
    /// Reads the next chunk's rows for which `keep` holds to the end of `chunk`.
    fn read_to(&mut self, chunk: &mut Chunk<T>, keep: impl Fn(&T) -> OperatorResult<bool>) -> OperatorResult<More> {
        self.read_chunk(|reader: &RecordReader<T>, rows| {
            for row in rows {
                let slot = chunk.slot();
                reader.read_into(row, slot);
                if keep(slot)? {
                    chunk.commit(row as u32);
                }
            }
            Ok(())
        })
    }
}
