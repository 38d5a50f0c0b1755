//! The rows of a window table function: each row once for every window that it is in, with the window's columns.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, TimestampMillisecondArray, UInt32Array};
use arrow::compute::take;
use arrow::datatypes::{DataType, SchemaRef};
use pelton_runtime_core::element::StreamBatch;
use pelton_runtime_core::operator::{
    InputIndex, Operator, OperatorContext, OperatorError, OperatorFactory, OperatorResult, OperatorRuntime,
};
use pelton_runtime_core::window::{TimeDomain, TimeWindow, WindowAssigner, window_start};

/// Puts rows into aligned windows.
#[derive(Debug, Clone)]
pub(crate) struct WindowColumns {
    assigner: WindowAssigner,
    /// The columns of start, end and time, where they are read.
    columns: [Option<usize>; 3],
    schema: SchemaRef,
}

impl WindowColumns {
    /// Rows of `schema` but for the columns of the window, which are `[start, end, time]`.
    pub(crate) fn new(assigner: WindowAssigner, columns: [Option<usize>; 3], schema: SchemaRef) -> Self {
        Self { assigner, columns, schema }
    }
}

impl OperatorFactory for WindowColumns {
    fn create(&self, _runtime: &OperatorRuntime) -> OperatorResult<Box<dyn Operator>> {
        Ok(Box::new(self.clone()))
    }
}

impl Operator for WindowColumns {
    fn process(&mut self, _input: InputIndex, batch: StreamBatch, cx: &mut OperatorContext<'_>) -> OperatorResult {
        let WindowAssigner::Aligned { size_ms, slide_ms, offset_ms, domain } = self.assigner else {
            return Err(OperatorError::data("sessions are made by aggregations"));
        };
        let now = cx.processing_time();
        let times = match domain {
            TimeDomain::EventTime => {
                Some(batch.timestamps().ok_or_else(|| OperatorError::data("a row in event-time windows has no time"))?)
            }
            TimeDomain::ProcessingTime => None,
        };
        let mut rows: Vec<u32> = Vec::with_capacity(batch.num_rows());
        let mut windows: Vec<TimeWindow> = Vec::with_capacity(batch.num_rows());
        for row in 0..batch.num_rows() {
            let time = times.map_or(now, |times| times[row]);
            let mut start = window_start(time, offset_ms, slide_ms);
            // The latest window first.
            while start.saturating_add(size_ms) > time {
                rows.push(row as u32);
                windows.push(TimeWindow::new(start, start.saturating_add(size_ms)));
                match start.checked_sub(slide_ms) {
                    Some(earlier) => start = earlier,
                    None => break,
                }
            }
        }
        let in_order = slide_ms == size_ms;
        let rows = UInt32Array::from(rows);
        let moments: [fn(&TimeWindow) -> i64; 3] =
            [|window| window.start, |window| window.end, TimeWindow::max_timestamp];
        let mut columns = Vec::with_capacity(self.schema.fields().len());
        for (index, (column, field)) in batch.records().columns().iter().zip(self.schema.fields()).enumerate() {
            let of_window = self.columns.iter().position(|column| *column == Some(index));
            columns.push(match of_window {
                Some(which) => {
                    let zone = match field.data_type() {
                        DataType::Timestamp(_, zone) => zone.clone(),
                        _ => None,
                    };
                    let times = TimestampMillisecondArray::from_iter_values(windows.iter().map(moments[which]));
                    Arc::new(times.with_timezone_opt(zone)) as ArrayRef
                }
                None if in_order => Arc::clone(column),
                None => take(column, &rows, None)?,
            });
        }
        let timestamps = batch.timestamps().map(|times| rows.values().iter().map(|row| times[*row as usize]).collect());
        let records = RecordBatch::try_new(Arc::clone(&self.schema), columns)?;
        cx.emit(StreamBatch::new(records).with_timestamps(timestamps));
        Ok(())
    }
}
