//! Times as Flink writes them into files of text: `2026-01-01 23:59:20.5`, and with `Z` when they are points in time.

use std::fmt::Write;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, StringBuilder};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use pelton_runtime_core::element::StreamBatch;
use pelton_runtime_core::operator::{OperatorError, OperatorResult};

/// The columns, of which those that are times are texts.
pub(super) fn schema(schema: &Schema) -> SchemaRef {
    let field = |field: &Arc<Field>| match field.data_type() {
        DataType::Timestamp(..) => Arc::new(field.as_ref().clone().with_data_type(DataType::Utf8)),
        _ => Arc::clone(field),
    };
    Arc::new(Schema::new(schema.fields().iter().map(field).collect::<Vec<_>>()))
}

/// The rows with these columns.
pub(super) fn texts(batch: StreamBatch, schema: &SchemaRef) -> OperatorResult<StreamBatch> {
    let column = |column: &ArrayRef| match column.data_type() {
        DataType::Timestamp(_, zone) => text(column, zone.is_some()),
        _ => Ok(Arc::clone(column)),
    };
    let columns = batch.records().columns().iter().map(column).collect::<OperatorResult<Vec<_>>>()?;
    let records = super::calc::records(schema, columns, batch.num_rows())?;
    Ok(batch.with_records(records))
}

fn text(column: &ArrayRef, is_point: bool) -> OperatorResult<ArrayRef> {
    let format = Some("%Y-%m-%d %H:%M:%S%.f");
    let options = FormatOptions::new().with_timestamp_format(format).with_timestamp_tz_format(format);
    let formatter = ArrayFormatter::try_new(column.as_ref(), &options)?;
    let mut texts = StringBuilder::with_capacity(column.len(), column.len() * 24);
    let mut text = String::new();
    for row in 0..column.len() {
        if column.is_null(row) {
            texts.append_null();
            continue;
        }
        text.clear();
        write!(text, "{}", formatter.value(row)).map_err(|_| OperatorError::data("a time cannot be written"))?;
        // A fraction has no zeros at its end.
        let shown = if text.contains('.') { text.trim_end_matches('0') } else { text.as_str() };
        match is_point {
            true => texts.append_value(format!("{shown}Z")),
            false => texts.append_value(shown),
        }
    }
    Ok(Arc::new(texts.finish()))
}

#[cfg(test)]
mod tests {
    use arrow::array::{AsArray, TimestampMillisecondArray};

    use super::*;

    #[test]
    fn times_are_written_as_flink_writes_them() {
        let times = TimestampMillisecondArray::from(vec![Some(1_767_311_960_500), Some(1_767_312_000_000), None]);
        let column: ArrayRef = Arc::new(times.clone());
        let texts = text(&column, false).expect("written");
        let expected = [Some("2026-01-01 23:59:20.5"), Some("2026-01-02 00:00:00"), None];
        assert_eq!(texts.as_string::<i32>().iter().collect::<Vec<_>>(), expected);
        let points: ArrayRef = Arc::new(times.with_timezone("UTC"));
        assert_eq!(text(&points, true).expect("written").as_string::<i32>().value(0), "2026-01-01 23:59:20.5Z");
    }
}
