//! Rows on their way out, each with its event time.

use pelton_runtime_core::element::StreamBatch;
use pelton_runtime_core::operator::{OperatorContext, OperatorResult, TARGET_BATCH_ROWS};
use pelton_runtime_core::time::{EpochMillis, MIN_WATERMARK};

use crate::record::{Record, RecordBuilder};
use crate::stream::Collector;

/// Bytes from which on rows are emitted before there are [`TARGET_BATCH_ROWS`] of them.
const TARGET_BATCH_BYTES: usize = 4 << 20;

/// Collects rows and emits them in batches. Invariant: one time per row; `MIN_WATERMARK` where a row has none.
pub(crate) struct OutputRows<U: Record> {
    builder: RecordBuilder<U>,
    times: Vec<EpochMillis>,
    any_time: bool,
}

impl<U: Record> OutputRows<U> {
    pub(crate) fn new() -> Self {
        Self { builder: RecordBuilder::new(), times: Vec::new(), any_time: false }
    }

    /// Lets `write` collect rows, which all get `time`.
    #[inline]
    pub(crate) fn write<R>(&mut self, time: Option<EpochMillis>, write: impl FnOnce(&mut Collector<'_, U>) -> R) -> R {
        let result = write(&mut Collector::columns(&mut self.builder));
        if self.builder.len() > self.times.len() {
            self.any_time |= time.is_some();
            self.times.resize(self.builder.len(), time.unwrap_or(MIN_WATERMARK));
        }
        result
    }

    /// Emits what was collected when it makes a good batch.
    #[inline]
    pub(crate) fn emit_if_full(&mut self, cx: &mut OperatorContext<'_>) -> OperatorResult {
        if self.builder.len() >= TARGET_BATCH_ROWS || self.builder.byte_len() >= TARGET_BATCH_BYTES {
            self.emit(cx)?;
        }
        Ok(())
    }

    /// Emits what was collected.
    pub(crate) fn emit(&mut self, cx: &mut OperatorContext<'_>) -> OperatorResult {
        if self.builder.is_empty() {
            return Ok(());
        }
        let times = std::mem::take(&mut self.times);
        let times = std::mem::take(&mut self.any_time).then(|| times.into());
        cx.emit(StreamBatch::new(self.builder.finish()?).with_timestamps(times));
        Ok(())
    }
}
