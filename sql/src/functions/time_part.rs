//! `YEAR`, `MONTH`, `DAYOFMONTH`, `HOUR`, `MINUTE`, `SECOND` of a point in time.

use std::hash::{Hash, Hasher};

use arrow::compute::{DatePart, cast, date_part};
use arrow::datatypes::DataType;
use datafusion_common::{DataFusionError, Result};
use datafusion_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};

use super::texts::{result, rows_of};

/// A part of a point in time, a BIGINT as in Flink.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TimePart {
    name: &'static str,
    part: DatePart,
    signature: Signature,
}

/// The name says which part it is.
impl Hash for TimePart {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl TimePart {
    pub(super) fn new(name: &'static str, part: DatePart) -> Self {
        Self { name, part, signature: Signature::any(1, Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for TimePart {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        let has_it = match arguments {
            [DataType::Timestamp(..)] => true,
            [DataType::Date32] => matches!(self.part, DatePart::Year | DatePart::Month | DatePart::Day),
            _ => false,
        };
        if has_it {
            return Ok(DataType::Int64);
        }
        let found = arguments.first().map_or_else(String::new, crate::parse::sql_name);
        Err(DataFusionError::Plan(format!(
            "{} of a value of type {found} has no meaning",
            self.name.to_ascii_uppercase()
        )))
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [time] = arguments.args.as_slice() else {
            return Err(DataFusionError::Internal(format!("{} has one argument", self.name)));
        };
        let times = time.to_array(rows_of(time, arguments.number_rows))?;
        let parts = cast(&date_part(&times, self.part)?, &DataType::Int64)?;
        result(time, parts)
    }
}
