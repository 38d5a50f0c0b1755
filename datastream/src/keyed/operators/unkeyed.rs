//! The operator of functions that see no keys, of one input or two.

use pelton_runtime_core::checkpoint::snapshot::{OperatorSnapshot, RestoredState};
use pelton_runtime_core::element::{CheckpointId, StreamBatch};
use pelton_runtime_core::operator::{InputIndex, Operator, OperatorContext, OperatorResult};
use pelton_runtime_core::time::MIN_WATERMARK;

use crate::keyed::context::{OpenContext, ProcessContext};
use crate::keyed::process_function::{FunctionResult, failed};
use crate::operator_state::StateContext;
use crate::record::Record;
use crate::stream::{Collector, SideOutputWriter, only_inserts};

use super::function_states::FunctionStates;
use super::output_rows::OutputRows;

/// A user's function of whatever kind, row by row.
pub(crate) trait UnkeyedFunction: Send + 'static {
    type Out: Record;

    fn open(&mut self, ctx: &mut OpenContext<'_>) -> FunctionResult;

    /// The rows that follow are of this batch.
    fn begin(&mut self, input: InputIndex, batch: &StreamBatch) -> OperatorResult;

    fn element(
        &mut self,
        input: InputIndex,
        row: usize,
        ctx: &mut ProcessContext<'_>,
        out: &mut Collector<'_, Self::Out>,
    ) -> FunctionResult;

    fn snapshot_state(&mut self, ctx: &mut StateContext<'_>) -> FunctionResult;

    fn restore_state(&mut self, ctx: &mut StateContext<'_>) -> FunctionResult;

    fn close(&mut self);
}

/// Gives every row to the function.
pub(crate) struct UnkeyedOperator<F: UnkeyedFunction> {
    function: F,
    states: FunctionStates,
    output: OutputRows<F::Out>,
    side_outputs: SideOutputWriter,
}

impl<F: UnkeyedFunction> UnkeyedOperator<F> {
    pub(crate) fn new(function: F, side_outputs: SideOutputWriter) -> Self {
        Self { function, states: FunctionStates::default(), output: OutputRows::new(), side_outputs }
    }
}

impl<F: UnkeyedFunction> Operator for UnkeyedOperator<F> {
    fn open(&mut self, cx: &mut OperatorContext<'_>) -> OperatorResult {
        self.states.open(None, cx, |ctx| self.function.open(ctx))
    }

    fn process(&mut self, input: InputIndex, batch: StreamBatch, cx: &mut OperatorContext<'_>) -> OperatorResult {
        only_inserts(&batch)?;
        self.function.begin(input, &batch)?;
        for row in 0..batch.num_rows() {
            let timestamp = batch.timestamps().map(|times| times[row]).filter(|time| *time != MIN_WATERMARK);
            let mut context = ProcessContext {
                timestamp,
                watermark: cx.current_watermark(),
                processing_time: cx.processing_time(),
                side_outputs: &mut self.side_outputs,
                states: self.states.operator_mut(),
            };
            let function = &mut self.function;
            self.output.write(timestamp, |out| function.element(input, row, &mut context, out)).map_err(failed)?;
            self.output.emit_if_full(cx)?;
        }
        self.output.emit(cx)?;
        self.side_outputs.flush(cx)
    }

    fn snapshot(&mut self, _checkpoint: CheckpointId) -> OperatorResult<OperatorSnapshot> {
        let operator = self.states.snapshot(|ctx| self.function.snapshot_state(ctx))?;
        Ok(OperatorSnapshot { operator, ..OperatorSnapshot::default() })
    }

    fn restore(&mut self, state: RestoredState, _cx: &mut OperatorContext<'_>) -> OperatorResult {
        self.states.restore(state, |ctx| self.function.restore_state(ctx))
    }

    fn close(&mut self) {
        self.function.close();
    }
}
