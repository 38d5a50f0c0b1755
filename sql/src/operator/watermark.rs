//! Gives rows their event times, and the stream its watermarks.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::buffer::ScalarBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, TimeUnit, TimestampMillisecondType};
use datafusion_physical_expr::PhysicalExpr;
use pelton_runtime_core::element::StreamBatch;
use pelton_runtime_core::operator::{
    InputIndex, Operator, OperatorContext, OperatorError, OperatorFactory, OperatorResult, OperatorRuntime,
};
use pelton_runtime_core::time::{EpochMillis, MAX_WATERMARK, MIN_WATERMARK};

use super::evaluate;
use crate::functions::set_now;

/// Two expressions over every row: its time, and how far time has come with it. A watermark follows each batch that
/// advances it; those from upstream say nothing about this time and end here, all but the last.
#[derive(Debug, Clone)]
pub(crate) struct WatermarkAssigner {
    /// The column's name, for messages.
    name: Arc<str>,
    time: Arc<dyn PhysicalExpr>,
    advances: Arc<dyn PhysicalExpr>,
    watermark: EpochMillis,
}

impl WatermarkAssigner {
    pub(crate) fn new(name: &str, time: Arc<dyn PhysicalExpr>, advances: Arc<dyn PhysicalExpr>) -> Self {
        Self { name: name.into(), time, advances, watermark: MIN_WATERMARK }
    }
}

impl OperatorFactory for WatermarkAssigner {
    fn create(&self, _runtime: &OperatorRuntime) -> OperatorResult<Box<dyn Operator>> {
        Ok(Box::new(self.clone()))
    }
}

impl Operator for WatermarkAssigner {
    fn process(&mut self, _input: InputIndex, batch: StreamBatch, cx: &mut OperatorContext<'_>) -> OperatorResult {
        set_now(cx.processing_time());
        let times = evaluate(self.time.as_ref(), batch.records())?;
        if times.null_count() > 0 {
            let message = format!("a row has no value for `{}`, its event time: filter such rows before", self.name);
            return Err(OperatorError::data(message));
        }
        let times = millis(&times)?;
        let advances = evaluate(self.advances.as_ref(), batch.records())?;
        let advances = arrow::compute::max(in_millis(&advances)?.as_primitive::<TimestampMillisecondType>());
        cx.emit(batch.with_timestamps(Some(times)));
        if let Some(watermark) = advances.filter(|watermark| *watermark > self.watermark) {
            self.watermark = watermark;
            cx.emit_watermark(watermark);
        }
        Ok(())
    }

    fn watermark(&mut self, watermark: EpochMillis, cx: &mut OperatorContext<'_>) -> OperatorResult {
        if watermark == MAX_WATERMARK {
            cx.emit_watermark(watermark);
        }
        Ok(())
    }
}

/// Times in milliseconds.
pub(super) fn millis(times: &ArrayRef) -> OperatorResult<ScalarBuffer<EpochMillis>> {
    Ok(in_millis(times)?.as_primitive::<TimestampMillisecondType>().values().clone())
}

/// Times of any unit in milliseconds.
fn in_millis(times: &ArrayRef) -> OperatorResult<ArrayRef> {
    match times.data_type() {
        DataType::Timestamp(TimeUnit::Millisecond, _) => Ok(Arc::clone(times)),
        DataType::Timestamp(_, zone) => Ok(cast(times, &DataType::Timestamp(TimeUnit::Millisecond, zone.clone()))?),
        other => Err(OperatorError::data(format!("an event time of type {other}"))),
    }
}
