//! `MOD(a, b)`: what is left of `a` when it is divided by `b`, with the sign of `a`.

use arrow::array::{ArrayRef, Datum, Scalar};
use arrow::compute::kernels::numeric::rem;
use arrow::datatypes::DataType;
use datafusion_common::{DataFusionError, Result, ScalarValue};
use datafusion_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};

/// An error when `b` is 0, as in Flink.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Modulo {
    signature: Signature,
}

impl Modulo {
    pub(super) fn new() -> Self {
        Self { signature: Signature::numeric(2, Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for Modulo {
    fn name(&self) -> &str {
        "mod"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        arguments.first().cloned().ok_or_else(|| DataFusionError::Internal("MOD has two arguments".to_owned()))
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [left, right] = arguments.args.as_slice() else {
            return Err(DataFusionError::Internal("MOD has two arguments".to_owned()));
        };
        match (left, right) {
            (ColumnarValue::Scalar(left), ColumnarValue::Scalar(right)) => {
                let left = left.to_array()?;
                let found = rem(&left, &right.to_scalar()?)?;
                Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&found, 0)?))
            }
            (ColumnarValue::Array(left), ColumnarValue::Array(right)) => array(left, right),
            (ColumnarValue::Array(left), ColumnarValue::Scalar(right)) => array(left, &right.to_scalar()?),
            (ColumnarValue::Scalar(left), ColumnarValue::Array(right)) => {
                let left: Scalar<ArrayRef> = left.to_scalar()?;
                array(&left, right)
            }
        }
    }
}

fn array(left: &dyn Datum, right: &dyn Datum) -> Result<ColumnarValue> {
    Ok(ColumnarValue::Array(rem(left, right)?))
}
