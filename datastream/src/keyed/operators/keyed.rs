//! The operator of functions that see keys, of one input or two, of which the second may be broadcast.

use pelton_runtime_core::checkpoint::snapshot::{OperatorSnapshot, RestoredState};
use pelton_runtime_core::element::{CheckpointId, StreamBatch};
use pelton_runtime_core::operator::{InputIndex, Operator, OperatorContext, OperatorResult};
use pelton_runtime_core::time::{EpochMillis, MIN_WATERMARK};

use crate::keyed::context::{ElementTimes, KeyedBroadcastContext, KeyedContext, OpenContext};
use crate::keyed::key_selector::KeyLayout;
use crate::keyed::process_function::{FunctionResult, failed};
use crate::operator_state::StateContext;
use crate::record::Record;
use crate::stream::{Collector, SideOutputWriter, only_inserts};

use super::keyed_engine::KeyedEngine;
use super::output_rows::OutputRows;

/// A user's function of whatever kind, row by row.
pub(crate) trait KeyedFunction: Send + 'static {
    type Key: Record;
    type Out: Record;

    fn open(&mut self, ctx: &mut OpenContext<'_>) -> FunctionResult;

    /// The rows that follow are of this batch.
    fn begin(&mut self, input: InputIndex, batch: &StreamBatch) -> OperatorResult;

    fn element(
        &mut self,
        input: InputIndex,
        row: usize,
        ctx: &mut KeyedContext<'_, Self::Key>,
        out: &mut Collector<'_, Self::Out>,
    ) -> FunctionResult;

    /// A row of an input without keys.
    fn broadcast_element(
        &mut self,
        _row: usize,
        _ctx: &mut KeyedBroadcastContext<'_, Self::Key>,
        _out: &mut Collector<'_, Self::Out>,
    ) -> FunctionResult {
        Ok(())
    }

    fn on_timer(
        &mut self,
        at: EpochMillis,
        ctx: &mut KeyedContext<'_, Self::Key>,
        out: &mut Collector<'_, Self::Out>,
    ) -> FunctionResult;

    fn snapshot_state(&mut self, ctx: &mut StateContext<'_>) -> FunctionResult;

    fn restore_state(&mut self, ctx: &mut StateContext<'_>) -> FunctionResult;

    fn close(&mut self);
}

/// Gives every row and every timer to the function.
pub(crate) struct KeyedOperator<F: KeyedFunction> {
    function: F,
    /// Where the keys of each input are. An input beyond these has none.
    keys: Vec<KeyLayout>,
    engine: KeyedEngine<F::Key>,
    output: OutputRows<F::Out>,
}

impl<F: KeyedFunction> KeyedOperator<F> {
    /// `keys` has at least one layout.
    pub(crate) fn new(function: F, keys: Vec<KeyLayout>, side_outputs: SideOutputWriter) -> Self {
        let engine = KeyedEngine::new(keys[0].clone(), side_outputs);
        Self { function, keys, engine, output: OutputRows::new() }
    }

    fn broadcast(&mut self, batch: &StreamBatch, cx: &mut OperatorContext<'_>) -> OperatorResult {
        only_inserts(batch)?;
        for row in 0..batch.num_rows() {
            let timestamp = batch.timestamps().map(|times| times[row]).filter(|time| *time != MIN_WATERMARK);
            let times =
                ElementTimes { timestamp, watermark: cx.current_watermark(), processing_time: cx.processing_time() };
            let mut context = KeyedBroadcastContext { times, engine: &mut self.engine };
            let function = &mut self.function;
            self.output.write(timestamp, |out| function.broadcast_element(row, &mut context, out)).map_err(failed)?;
            self.output.emit_if_full(cx)?;
        }
        self.output.emit(cx)?;
        self.engine.after_broadcast(cx)
    }
}

impl<F: KeyedFunction> Operator for KeyedOperator<F> {
    fn open(&mut self, cx: &mut OperatorContext<'_>) -> OperatorResult {
        self.engine.open(cx, |ctx| self.function.open(ctx))
    }

    fn process(&mut self, input: InputIndex, batch: StreamBatch, cx: &mut OperatorContext<'_>) -> OperatorResult {
        self.function.begin(input, &batch)?;
        let Self { function, keys, engine, output } = self;
        match keys.get(input as usize) {
            Some(key) => {
                engine.process(key, &batch, output, cx, |row, ctx, out| function.element(input, row, ctx, out))
            }
            None => self.broadcast(&batch, cx),
        }
    }

    fn watermark(&mut self, watermark: EpochMillis, cx: &mut OperatorContext<'_>) -> OperatorResult {
        let Self { function, engine, output, .. } = self;
        engine.watermark(watermark, output, cx, |at, ctx, out| function.on_timer(at, ctx, out))
    }

    fn processing_time(&mut self, now: EpochMillis, cx: &mut OperatorContext<'_>) -> OperatorResult {
        let Self { function, engine, output, .. } = self;
        engine.processing_time(now, output, cx, |at, ctx, out| function.on_timer(at, ctx, out))
    }

    fn prepare_checkpoint(&mut self, cx: &mut OperatorContext<'_>) -> OperatorResult {
        self.engine.prepare_checkpoint(cx);
        Ok(())
    }

    fn snapshot(&mut self, _checkpoint: CheckpointId) -> OperatorResult<OperatorSnapshot> {
        self.engine.snapshot(|ctx| self.function.snapshot_state(ctx))
    }

    fn restore(&mut self, state: RestoredState, cx: &mut OperatorContext<'_>) -> OperatorResult {
        self.engine.restore(state, cx, |ctx| self.function.restore_state(ctx))
    }

    fn close(&mut self) {
        self.function.close();
    }
}

#[cfg(test)]
impl<F: KeyedFunction> KeyedOperator<F> {
    /// How many keys are held, and how many slots there are for them.
    pub(crate) fn key_counts(&self) -> (usize, usize) {
        self.engine.key_counts()
    }
}
