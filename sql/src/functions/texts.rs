//! Functions from texts to texts: what their implementations share.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringArray, StringBuilder};
use arrow::datatypes::DataType;
use datafusion_common::{DataFusionError, Result, ScalarValue};
use datafusion_expr::ColumnarValue;

/// A column of texts, and whether it has as many rows as the batch or one for all.
pub(super) fn texts(value: &ColumnarValue, rows: usize) -> Result<StringArray> {
    let array = value.to_array(rows)?;
    let array =
        if *array.data_type() == DataType::Utf8 { array } else { arrow::compute::cast(&array, &DataType::Utf8)? };
    Ok(array.as_string::<i32>().clone())
}

/// The text that is the same for all rows; `None` when it is NULL.
///
/// # Errors
///
/// When it is not the same for all rows.
pub(super) fn constant_text(function: &str, which: &str, value: &ColumnarValue) -> Result<Option<String>> {
    match value {
        ColumnarValue::Scalar(scalar) => match scalar.cast_to(&DataType::Utf8)? {
            ScalarValue::Utf8(text) => Ok(text),
            other => Err(DataFusionError::Internal(format!("{other} is no text"))),
        },
        ColumnarValue::Array(_) => Err(not_constant(function, which)),
    }
}

/// The number that is the same for all rows; `None` when it is NULL.
pub(super) fn constant_number(function: &str, which: &str, value: &ColumnarValue) -> Result<Option<i64>> {
    match value {
        ColumnarValue::Scalar(scalar) => match scalar.cast_to(&DataType::Int64)? {
            ScalarValue::Int64(number) => Ok(number),
            other => Err(DataFusionError::Internal(format!("{other} is no number"))),
        },
        ColumnarValue::Array(_) => Err(not_constant(function, which)),
    }
}

fn not_constant(function: &str, which: &str) -> DataFusionError {
    DataFusionError::NotImplemented(format!("{function} with {which} that differs from row to row"))
}

/// One text or NULL for every text; NULL for NULL.
pub(super) fn map<'a>(texts: &'a StringArray, value: impl Fn(&'a str) -> Option<&'a str>) -> ArrayRef {
    let mut results = StringBuilder::with_capacity(texts.len(), texts.len() * 8);
    for text in texts {
        results.append_option(text.and_then(&value));
    }
    Arc::new(results.finish())
}

/// NULL for every row.
pub(super) fn all_null() -> ColumnarValue {
    ColumnarValue::Scalar(ScalarValue::Utf8(None))
}

/// The result for as many rows as there are, as one value where the text is the same for all.
pub(super) fn result(of: &ColumnarValue, results: ArrayRef) -> Result<ColumnarValue> {
    match of {
        ColumnarValue::Array(_) => Ok(ColumnarValue::Array(results)),
        ColumnarValue::Scalar(_) => Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&results, 0)?)),
    }
}

/// How many rows to compute: one where the text is the same for all.
pub(super) fn rows_of(value: &ColumnarValue, rows: usize) -> usize {
    match value {
        ColumnarValue::Array(_) => rows,
        ColumnarValue::Scalar(_) => 1,
    }
}
