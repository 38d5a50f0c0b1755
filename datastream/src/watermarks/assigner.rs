//! Where event times come from.

use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::buffer::ScalarBuffer;
use arrow::datatypes::{
    DataType, Int64Type, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType,
};
use chrono::{DateTime, NaiveDateTime, Utc};
use pelton_runtime_core::operator::{OperatorError, OperatorResult};
use pelton_runtime_core::time::EpochMillis;

use crate::record::{Record, RecordReader, Timestamp};

/// Types of columns that may hold event times: points in time, and `i64` as milliseconds since the epoch. Of an
/// `Option` no row may be NULL.
#[diagnostic::on_unimplemented(
    message = "a column of `{Self}` cannot hold event times",
    note = "`Timestamp`, `DateTime<Utc>`, `NaiveDateTime` (as UTC) and `i64` (milliseconds since the epoch) can"
)]
pub trait EventTime: Record {}

impl EventTime for i64 {}
impl EventTime for Timestamp {}
impl EventTime for DateTime<Utc> {}
impl EventTime for NaiveDateTime {}
impl<F: EventTime> EventTime for Option<F> where Option<F>: Record {}

/// Finds the event times of a batch's rows.
pub(super) trait Assigner: Send {
    fn assign(&mut self, records: &RecordBatch) -> OperatorResult<ScalarBuffer<EpochMillis>>;
}

/// Asks a closure, row by row.
pub(super) struct ByClosure<T: Record, F> {
    assign: Arc<F>,
    scratch: T,
}

impl<T: Record, F> ByClosure<T, F> {
    pub(super) fn new(assign: Arc<F>) -> Self {
        Self { assign, scratch: T::scratch() }
    }
}

impl<T, F> Assigner for ByClosure<T, F>
where
    T: Record,
    F: Fn(&T) -> EpochMillis + Send + Sync,
{
    fn assign(&mut self, records: &RecordBatch) -> OperatorResult<ScalarBuffer<EpochMillis>> {
        let reader = RecordReader::<T>::open(records)?;
        let times = (0..reader.len()).map(|row| {
            reader.read_into(row, &mut self.scratch);
            (self.assign)(&self.scratch)
        });
        Ok(times.collect::<Vec<_>>().into())
    }
}

/// Takes a column, which costs nothing where it holds milliseconds.
pub(super) struct ByColumn {
    name: &'static str,
}

impl ByColumn {
    pub(super) fn new(name: &'static str) -> Self {
        Self { name }
    }
}

impl Assigner for ByColumn {
    fn assign(&mut self, records: &RecordBatch) -> OperatorResult<ScalarBuffer<EpochMillis>> {
        let name = self.name;
        let Some(column) = records.column_by_name(name) else {
            return Err(OperatorError::data(format!("there is no column `{name}`, from which event times are taken")));
        };
        if let Some(nulls) = column.nulls().filter(|nulls| nulls.null_count() > 0) {
            let row = nulls.iter().position(|valid| !valid).unwrap_or_default();
            return Err(OperatorError::data(format!(
                "column `{name}`, from which event times are taken, is NULL in row {row} of a batch: filter such \
                 records before `assign_timestamps_and_watermarks`"
            )));
        }
        let micros = |micros: &i64| micros.div_euclid(1_000);
        Ok(match column.data_type() {
            DataType::Int64 => column.as_primitive::<Int64Type>().values().clone(),
            DataType::Timestamp(TimeUnit::Millisecond, _) => {
                column.as_primitive::<TimestampMillisecondType>().values().clone()
            }
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                column.as_primitive::<TimestampMicrosecondType>().values().iter().map(micros).collect()
            }
            DataType::Timestamp(TimeUnit::Nanosecond, _) => {
                let nanos = column.as_primitive::<TimestampNanosecondType>().values().iter();
                nanos.map(|nanos| nanos.div_euclid(1_000_000)).collect()
            }
            DataType::Timestamp(TimeUnit::Second, _) => {
                let seconds = column.as_primitive::<TimestampSecondType>().values().iter();
                seconds.map(|seconds| seconds.saturating_mul(1_000)).collect()
            }
            other => {
                return Err(OperatorError::data(format!(
                    "column `{name}`, from which event times are taken, has type {other}, which is no point in time"
                )));
            }
        })
    }
}
