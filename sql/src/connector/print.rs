//! `print`: a line per row, as Flink prints it: `+I[1, a]`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, StringBuilder};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use pelton_connectors::{PrintSink, PrintTarget};
use pelton_runtime_core::element::{RowKind, StreamBatch};
use pelton_runtime_core::operator::{
    InputIndex, Operator, OperatorContext, OperatorFactory, OperatorResult, OperatorRuntime,
};

use super::{Accepts, Connector, Options, TableSink, Times};
use crate::catalog::Table;
use crate::error::SqlError;

pub(super) struct Print;

impl Connector for Print {
    fn sink(&self, _table: &Table, options: &mut Options<'_>) -> Result<TableSink, SqlError> {
        let mut sink = PrintSink::new();
        if let Some(identifier) = options.take("print-identifier") {
            sink = sink.identifier(identifier.value.as_str());
        }
        if options.is_on("standard-error")? {
            sink = sink.to(PrintTarget::Stderr);
        }
        let parallelism = options.parallelism("sink.parallelism")?;
        let operator = Arc::new(RowPrinter { sink });
        Ok(TableSink { operator, parallelism, accepts: Accepts::Changes, times: Times::Values })
    }
}

struct RowPrinter {
    sink: PrintSink,
}

impl OperatorFactory for RowPrinter {
    fn create(&self, runtime: &OperatorRuntime) -> OperatorResult<Box<dyn Operator>> {
        Ok(Box::new(Printing { sink: self.sink.create(runtime)? }))
    }
}

struct Printing {
    sink: Box<dyn Operator>,
}

impl Operator for Printing {
    fn process(&mut self, input: InputIndex, batch: StreamBatch, cx: &mut OperatorContext<'_>) -> OperatorResult {
        let kinds = batch.kinds().cloned().unwrap_or_else(|| vec![RowKind::Insert as u8; batch.num_rows()].into());
        let printable = printable(batch.records())?;
        self.sink.process(input, batch.with_records(printable).with_kinds(Some(kinds)), cx)
    }
}

/// The rows with times as Java's `LocalDateTime` shows them.
fn printable(rows: &RecordBatch) -> OperatorResult<RecordBatch> {
    let mut fields = Vec::with_capacity(rows.num_columns());
    let mut columns = Vec::with_capacity(rows.num_columns());
    for (field, column) in rows.schema().fields().iter().zip(rows.columns()) {
        let column = match column.data_type() {
            DataType::Timestamp(unit, None) => times(column, unit)?,
            _ => Arc::clone(column),
        };
        fields.push(Field::new(field.name(), column.data_type().clone(), true));
        columns.push(column);
    }
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}

/// `2026-01-01T23:59`: without seconds when they are 0, and with three, six or nine digits after them otherwise.
fn times(column: &ArrayRef, unit: &TimeUnit) -> OperatorResult<ArrayRef> {
    let format = match unit {
        TimeUnit::Second => "%Y-%m-%dT%H:%M:%S",
        _ => "%Y-%m-%dT%H:%M:%S%.f",
    };
    let options = FormatOptions::new().with_timestamp_format(Some(format));
    let formatter = ArrayFormatter::try_new(column.as_ref(), &options)?;
    let mut texts = StringBuilder::with_capacity(column.len(), column.len() * 24);
    for row in 0..column.len() {
        if column.is_null(row) {
            texts.append_null();
        } else {
            let text = formatter.value(row).try_to_string()?;
            texts.append_value(text.strip_suffix(":00").unwrap_or(&text));
        }
    }
    Ok(Arc::new(texts.finish()))
}

#[cfg(test)]
mod tests {
    use arrow::array::{AsArray, TimestampMillisecondArray};

    use super::*;

    #[test]
    fn times_are_shown_as_java_does() {
        let base = 1_767_311_940_000;
        let column: ArrayRef = Arc::new(TimestampMillisecondArray::from(vec![
            Some(base),
            Some(base + 1000),
            Some(base + 20_500),
            Some(base + 60_004),
            None,
        ]));
        let texts = times(&column, &TimeUnit::Millisecond).expect("formatted");
        let texts: Vec<_> = texts.as_string::<i32>().iter().collect();
        let expected =
            ["2026-01-01T23:59", "2026-01-01T23:59:01", "2026-01-01T23:59:20.500", "2026-01-02T00:00:00.004"];
        assert_eq!(texts[..4], expected.map(Some));
        assert_eq!(texts[4], None);
    }
}
