//! `ROW_NUMBER()`, as the planner knows it. It is computed where a condition says how many rows matter.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion_common::{DataFusionError, Result};
use datafusion_expr::function::{PartitionEvaluatorArgs, WindowUDFFieldArgs};
use datafusion_expr::{PartitionEvaluator, Signature, Volatility, WindowUDFImpl};

pub(crate) const ROW_NUMBER: &str = "row_number";

#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct RowNumber {
    signature: Signature,
}

impl RowNumber {
    pub(super) fn new() -> Self {
        Self { signature: Signature::nullary(Volatility::Immutable) }
    }
}

impl WindowUDFImpl for RowNumber {
    fn name(&self) -> &str {
        ROW_NUMBER
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn partition_evaluator(&self, _arguments: PartitionEvaluatorArgs) -> Result<Box<dyn PartitionEvaluator>> {
        Err(DataFusionError::Internal("ROW_NUMBER is computed by an operator of ours".to_owned()))
    }

    fn field(&self, arguments: WindowUDFFieldArgs) -> Result<FieldRef> {
        Ok(Arc::new(Field::new(arguments.name(), DataType::Int64, false)))
    }
}
