//! The operators that queries are made of. They see whole batches, and evaluate DataFusion's expressions on them.

mod calc;
mod changelog;
mod group_aggregate;
mod join;
mod lookup_join;
mod rank;
mod row_lists;
mod texts;
mod watermark;
mod window_aggregate;
mod window_columns;

pub(crate) use self::calc::{Calc, Step};
pub(crate) use self::group_aggregate::GroupAggregate;
pub(crate) use self::join::{Join, JoinKind, JoinSide};
pub(crate) use self::lookup_join::LookupJoin;
pub(crate) use self::rank::{Rank, Ties};
pub(crate) use self::watermark::WatermarkAssigner;
pub(crate) use self::window_aggregate::{GroupColumn, WindowAggregate};
pub(crate) use self::window_columns::WindowColumns;

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
