//! Fields of rows, `bid.price`: how they are read, and that a column of one has the name of the field, as in Flink.

use arrow::datatypes::Field;
use datafusion_common::{Column, Result, ScalarValue, TableReference};
use datafusion_expr::planner::{ExprPlanner, PlannerResult};
use datafusion_expr::{Expr, lit};
use datafusion_functions::core::get_field;

#[derive(Debug)]
pub(super) struct FieldNames;

impl ExprPlanner for FieldNames {
    fn plan_compound_identifier(
        &self,
        field: &Field,
        qualifier: Option<&TableReference>,
        nested_names: &[String],
    ) -> Result<PlannerResult<Vec<Expr>>> {
        let row = Expr::Column(Column::new(qualifier.cloned(), field.name()));
        let access = |row, name: &String| get_field().call(vec![row, lit(ScalarValue::from(name.clone()))]);
        let value = nested_names.iter().fold(row, access);
        Ok(PlannerResult::Planned(match nested_names.last() {
            Some(name) => value.alias(name),
            None => value,
        }))
    }
}
