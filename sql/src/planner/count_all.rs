//! `COUNT(*)`: the count of a value that is never NULL.

use datafusion_common::{Result, ScalarValue};
use datafusion_expr::planner::{ExprPlanner, PlannerResult, RawAggregateExpr, RawWindowExpr};
use datafusion_expr::{Expr, lit};

#[derive(Debug)]
pub(super) struct CountAll;

impl ExprPlanner for CountAll {
    fn plan_aggregate(&self, mut call: RawAggregateExpr) -> Result<PlannerResult<RawAggregateExpr>> {
        count_one(&mut call.args);
        Ok(PlannerResult::Original(call))
    }

    fn plan_window(&self, mut call: RawWindowExpr) -> Result<PlannerResult<RawWindowExpr>> {
        count_one(&mut call.args);
        Ok(PlannerResult::Original(call))
    }
}

fn count_one(arguments: &mut [Expr]) {
    #[expect(deprecated, reason = "it is what the parser gives for `*`")]
    if let [argument @ Expr::Wildcard { .. }] = arguments {
        *argument = lit(ScalarValue::Int64(Some(1)));
    }
}
