//! The operator that runs the last stage of a run of closures, which pulls everything through the others.

use arrow::array::BooleanArray;
use arrow::buffer::{BooleanBuffer, MutableBuffer, ScalarBuffer};
use arrow::util::bit_util;
use pelton_runtime_core::element::StreamBatch;
use pelton_runtime_core::operator::{InputIndex, Operator, OperatorContext, OperatorResult, TARGET_BATCH_ROWS};
use pelton_runtime_core::time::EpochMillis;

use crate::record::Record;
use crate::stream::only_inserts;

use super::chunk::{Columns, Target};
use super::{More, Stage};

/// Bytes from which on an output batch is emitted before its input is used up.
const TARGET_BATCH_BYTES: usize = 4 << 20;

/// How the results of a run relate to its input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// Some of the rows, unchanged.
    Selection,
    /// One new row per row.
    OneToOne,
    /// Any number of new rows per row.
    Any,
}

/// Runs closures over batches.
pub(super) struct FusedOperator<T: Record> {
    stage: Box<dyn Stage<T>>,
    shape: Shape,
    columns: Columns<T>,
    selected: Vec<u32>,
}

impl<T: Record> FusedOperator<T> {
    pub(super) fn new(stage: Box<dyn Stage<T>>, shape: Shape) -> Self {
        Self { stage, shape, columns: Columns::new(), selected: Vec::new() }
    }

    fn select(&mut self, batch: &StreamBatch, cx: &mut OperatorContext<'_>) -> OperatorResult {
        self.selected.clear();
        while self.stage.step(&mut Target::Origins(&mut self.selected))? == More::Yes {}
        if self.selected.len() == batch.num_rows() {
            cx.emit(batch.clone());
        } else if !self.selected.is_empty() {
            cx.emit(batch.filter(&mask(&self.selected, batch.num_rows()))?);
        }
        Ok(())
    }

    fn build(&mut self, batch: &StreamBatch, cx: &mut OperatorContext<'_>) -> OperatorResult {
        self.columns.wants_origins = self.shape == Shape::Any && batch.timestamps().is_some();
        let mut emitted = 0;
        loop {
            let more = self.stage.step(&mut Target::Columns(&mut self.columns))?;
            let full = self.columns.builder.len() >= TARGET_BATCH_ROWS
                || self.columns.builder.byte_len() >= TARGET_BATCH_BYTES;
            if more == More::No || full {
                emitted += self.emit(batch, emitted, cx)?;
            }
            if more == More::No {
                return Ok(());
            }
        }
    }

    /// Emits the columns built so far, after `emitted` rows of the same batch, and answers with their number of rows.
    fn emit(&mut self, batch: &StreamBatch, emitted: usize, cx: &mut OperatorContext<'_>) -> OperatorResult<usize> {
        let rows = self.columns.builder.len();
        let timestamps = batch.timestamps().map(|times| match self.shape {
            Shape::OneToOne => times.slice(emitted, rows),
            _ => gather(times, &self.columns.origins),
        });
        self.columns.origins.clear();
        if rows > 0 {
            let records = self.columns.builder.finish()?;
            cx.emit(StreamBatch::new(records).with_timestamps(timestamps));
        }
        Ok(rows)
    }
}

impl<T: Record> Operator for FusedOperator<T> {
    fn process(&mut self, _: InputIndex, batch: StreamBatch, cx: &mut OperatorContext<'_>) -> OperatorResult {
        only_inserts(&batch)?;
        self.stage.open(batch.records())?;
        match self.shape {
            Shape::Selection => self.select(&batch, cx),
            Shape::OneToOne | Shape::Any => self.build(&batch, cx),
        }
    }
}

fn gather(times: &ScalarBuffer<EpochMillis>, origins: &[u32]) -> ScalarBuffer<EpochMillis> {
    origins.iter().map(|&row| times[row as usize]).collect::<Vec<_>>().into()
}

fn mask(selected: &[u32], rows: usize) -> BooleanArray {
    let mut bits = MutableBuffer::from_len_zeroed(bit_util::ceil(rows, 8));
    for &row in selected {
        bit_util::set_bit(bits.as_slice_mut(), row as usize);
    }
    BooleanArray::new(BooleanBuffer::new(bits.into(), 0, rows), None)
}
