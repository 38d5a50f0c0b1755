//! `SPLIT_INDEX(text, separator, index)`: the part number `index`, from 0, of a text.

use arrow::datatypes::DataType;
use datafusion_common::{DataFusionError, Result};
use datafusion_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, TypeSignature, Volatility};

use super::texts::{all_null, constant_number, constant_text, map, result, rows_of, texts};

const NAME: &str = "SPLIT_INDEX";

/// NULL when there is no such part, or when anything is NULL.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct SplitIndex {
    signature: Signature,
}

impl SplitIndex {
    pub(super) fn new() -> Self {
        let exact = TypeSignature::Exact(vec![DataType::Utf8, DataType::Utf8, DataType::Int64]);
        Self { signature: Signature::new(exact, Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for SplitIndex {
    fn name(&self) -> &str {
        "split_index"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let [text, separator, index] = arguments.args.as_slice() else {
            return Err(DataFusionError::Internal(format!("{NAME} has three arguments")));
        };
        let separator = constant_text(NAME, "a separator", separator)?;
        let index = constant_number(NAME, "an index", index)?;
        let (Some(separator), Some(index)) = (separator, index) else { return Ok(all_null()) };
        if separator.is_empty() {
            return Err(DataFusionError::NotImplemented(format!("{NAME} with an empty separator")));
        }
        let Ok(index) = usize::try_from(index) else { return Ok(all_null()) };
        let texts = texts(text, rows_of(text, arguments.number_rows))?;
        let mut characters = separator.chars();
        let parts = match (characters.next(), characters.next()) {
            // Finding one character is much faster than finding a text.
            (Some(only), None) => map(&texts, |text| text.split(only).nth(index)),
            _ => map(&texts, |text| text.split(separator.as_str()).nth(index)),
        };
        result(text, parts)
    }
}
