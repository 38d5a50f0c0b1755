//! Runs a [`ProcessFunction`].

use pelton_runtime_core::element::StreamBatch;
use pelton_runtime_core::operator::{InputIndex, Operator, OperatorContext, OperatorResult};
use pelton_runtime_core::time::MIN_WATERMARK;

use crate::keyed::context::ProcessContext;
use crate::keyed::process_function::{ProcessFunction, failed};
use crate::record::{Record, RecordReader};
use crate::stream::{SideOutputWriter, only_inserts};

use super::output_rows::OutputRows;

/// Gives every row to the function.
pub(in crate::keyed) struct ProcessOperator<F: ProcessFunction> {
    function: F,
    record: F::In,
    output: OutputRows<F::Out>,
    side_outputs: SideOutputWriter,
}

impl<F: ProcessFunction> ProcessOperator<F> {
    pub(in crate::keyed) fn new(function: F, side_outputs: SideOutputWriter) -> Self {
        Self { function, record: F::In::scratch(), output: OutputRows::new(), side_outputs }
    }
}

impl<F: ProcessFunction> Operator for ProcessOperator<F> {
    fn open(&mut self, _cx: &mut OperatorContext<'_>) -> OperatorResult {
        self.function.open().map_err(failed)
    }

    fn process(&mut self, _input: InputIndex, batch: StreamBatch, cx: &mut OperatorContext<'_>) -> OperatorResult {
        only_inserts(&batch)?;
        let reader = RecordReader::<F::In>::open(batch.records())?;
        for row in 0..reader.len() {
            reader.read_into(row, &mut self.record);
            let timestamp = batch.timestamps().map(|times| times[row]).filter(|time| *time != MIN_WATERMARK);
            let mut context = ProcessContext {
                timestamp,
                watermark: cx.current_watermark(),
                processing_time: cx.processing_time(),
                side_outputs: &mut self.side_outputs,
            };
            let (function, record) = (&mut self.function, &self.record);
            self.output.write(timestamp, |out| function.process_element(record, &mut context, out)).map_err(failed)?;
            self.output.emit_if_full(cx)?;
        }
        self.output.emit(cx)?;
        self.side_outputs.flush(cx)
    }

    fn close(&mut self) {
        self.function.close();
    }
}
