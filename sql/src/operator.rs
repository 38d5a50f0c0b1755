//! The operators that queries are made of. They see whole batches, and evaluate DataFusion's expressions on them.

mod calc;
mod watermark;

pub(crate) use self::calc::{Calc, Step};
pub(crate) use self::watermark::WatermarkAssigner;

use arrow::array::{ArrayRef, RecordBatch};
use datafusion_common::DataFusionError;
use datafusion_physical_expr::PhysicalExpr;
use pelton_runtime_core::operator::{OperatorError, OperatorResult};

/// The values of an expression, one per row.
fn evaluate(expression: &dyn PhysicalExpr, rows: &RecordBatch) -> OperatorResult<ArrayRef> {
    expression.evaluate(rows).and_then(|values| values.into_array(rows.num_rows())).map_err(failed)
}

/// What a query's expression fails with is the fault of its data, or of the query.
fn failed(error: DataFusionError) -> OperatorError {
    match error {
        DataFusionError::ArrowError(error, _) => OperatorError::data(error.to_string()),
        other => OperatorError::data(other.strip_backtrace()),
    }
}
