//! `DATE_FORMAT(time, pattern)`: a point in time as a text.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StringBuilder};
use arrow::datatypes::{
    DataType, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType,
};
use datafusion_common::{DataFusionError, Result};
use datafusion_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};

use super::date_pattern::DatePattern;
use super::texts::{all_null, constant_text, result, rows_of};

const NAME: &str = "DATE_FORMAT";

/// NULL when either is NULL.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct DateFormat {
    signature: Signature,
}

impl DateFormat {
    pub(super) fn new() -> Self {
        Self { signature: Signature::any(2, Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for DateFormat {
    fn name(&self) -> &str {
        "date_format"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        match arguments {
            [DataType::Timestamp(..), DataType::Utf8] => Ok(DataType::Utf8),
            [time, pattern] => {
                let (time, pattern) = (crate::parse::sql_name(time), crate::parse::sql_name(pattern));
                let expected = "expected a TIMESTAMP and a pattern";
                Err(DataFusionError::Plan(format!("{NAME}({time}, {pattern}) has no meaning: {expected}")))
            }
            _ => Err(DataFusionError::Internal(format!("{NAME} has two arguments"))),
        }
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [time, pattern] = arguments.args.as_slice() else {
            return Err(DataFusionError::Internal(format!("{NAME} has two arguments")));
        };
        let Some(pattern) = constant_text(NAME, "a pattern", pattern)? else { return Ok(all_null()) };
        let pattern =
            DatePattern::parse(&pattern).map_err(|error| DataFusionError::Plan(format!("{NAME}: {error}")))?;
        let times = time.to_array(rows_of(time, arguments.number_rows))?;
        result(time, format(&times, &pattern)?)
    }
}

fn format(times: &ArrayRef, pattern: &DatePattern) -> Result<ArrayRef> {
    let DataType::Timestamp(unit, _) = times.data_type() else {
        return Err(DataFusionError::Internal(format!("{NAME} of {}", times.data_type())));
    };
    let (values, per_second) = match unit {
        TimeUnit::Second => (times.as_primitive::<TimestampSecondType>().values(), 1),
        TimeUnit::Millisecond => (times.as_primitive::<TimestampMillisecondType>().values(), 1000),
        TimeUnit::Microsecond => (times.as_primitive::<TimestampMicrosecondType>().values(), 1_000_000),
        TimeUnit::Nanosecond => (times.as_primitive::<TimestampNanosecondType>().values(), 1_000_000_000),
    };
    let mut texts = StringBuilder::with_capacity(times.len(), times.len() * 16);
    let mut text = Vec::new();
    // Rows near each other often have the same time.
    let mut last = None;
    for (row, &value) in values.iter().enumerate() {
        if times.is_null(row) {
            texts.append_null();
            continue;
        }
        if last != Some(value) {
            text.clear();
            let nanos = value.rem_euclid(per_second) * (1_000_000_000 / per_second);
            pattern.write(value.div_euclid(per_second), nanos as u32, &mut text);
            last = Some(value);
        }
        let text = std::str::from_utf8(&text).map_err(|error| DataFusionError::Internal(error.to_string()))?;
        texts.append_value(text);
    }
    Ok(Arc::new(texts.finish()))
}
