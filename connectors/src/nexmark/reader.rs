//! One reader of the events.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use pelton_runtime_core::checkpoint::snapshot::{OperatorSnapshot, RestoredState};
use pelton_runtime_core::element::{CheckpointId, StreamBatch};
use pelton_runtime_core::operator::{OperatorResult, OperatorRuntime, TARGET_BATCH_ROWS};
use pelton_runtime_core::source::{SourcePoll, SourceReader};
use pelton_runtime_core::time::EpochMillis;

use super::numbers::Numbers;
use super::{Nexmark, NexmarkColumn, NexmarkSource};
use crate::pacer::Pacer;

pub(super) struct NexmarkReader {
    events: Nexmark,
    columns: Arc<[NexmarkColumn]>,
    schema: SchemaRef,
    left: Numbers,
    pacer: Option<Pacer>,
    runtime: OperatorRuntime,
    /// The numbers of the batch that is made; kept for its memory.
    numbers: Vec<u64>,
}

impl NexmarkReader {
    pub(super) fn new(source: &NexmarkSource, runtime: &OperatorRuntime) -> Self {
        Self {
            events: source.events,
            columns: Arc::clone(&source.columns),
            schema: source.schema(),
            // Without a count there are more than anybody lives to see.
            left: Numbers::share(source.count.unwrap_or(i64::MAX as u64), runtime),
            pacer: source.per_second.map(|rate| Pacer::new(rate, runtime.subtask, runtime.parallelism)),
            runtime: runtime.clone(),
            numbers: Vec::new(),
        }
    }
}

impl SourceReader for NexmarkReader {
    fn poll(&mut self, now: EpochMillis) -> OperatorResult<SourcePoll> {
        let due = self.pacer.as_mut().map_or(u64::MAX, |pacer| pacer.due(now));
        if due == 0 {
            return Ok(SourcePoll::Pending(self.pacer.as_ref().map(Pacer::next_due)));
        }
        self.left.take(due.min(TARGET_BATCH_ROWS as u64) as usize, &mut self.numbers);
        if self.numbers.is_empty() {
            return Ok(SourcePoll::End);
        }
        let rows = self.events.rows(&self.numbers, &self.columns, &self.schema)?;
        if let Some(pacer) = &mut self.pacer {
            pacer.made(rows.num_rows() as u64);
        }
        Ok(SourcePoll::Batch(StreamBatch::new(rows)))
    }

    fn snapshot(&mut self, _checkpoint: CheckpointId) -> OperatorResult<OperatorSnapshot> {
        self.left.snapshot()
    }

    fn restore(&mut self, state: RestoredState) -> OperatorResult {
        self.left.restore(state, &self.runtime)
    }
}
