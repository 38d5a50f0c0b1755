//! `JOIN t FOR SYSTEM_TIME AS OF …`: a table that rows are looked up in when the other side's come.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use datafusion_common::tree_node::TreeNodeRecursion;
use datafusion_common::{DFSchemaRef, DataFusionError, Result};
use datafusion_expr::planner::{PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning};
use datafusion_expr::{Expr, Extension, LogicalPlan, UserDefinedLogicalNodeCore};
use datafusion_sql::sqlparser::ast::{self, TableFactor, TableVersion};

use super::time_attribute::TimeAttribute;

/// A table as of the time at which it is asked.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd)]
pub(crate) struct LookupNode {
    pub(crate) input: LogicalPlan,
    /// The column whose time is meant, of the other side of the join.
    pub(crate) time: String,
}

impl UserDefinedLogicalNodeCore for LookupNode {
    fn name(&self) -> &str {
        "LookupTable"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        self.input.schema()
    }

    fn expressions(&self) -> Vec<Expr> {
        Vec::new()
    }

    fn prevent_predicate_push_down_columns(&self) -> HashSet<String> {
        HashSet::new()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LookupTable(time=[{}])", self.time)
    }

    fn with_exprs_and_inputs(&self, _expressions: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        let Ok([input]) = <[LogicalPlan; 1]>::try_from(inputs) else {
            return Err(DataFusionError::Internal("a lookup table has one input".to_owned()));
        };
        Ok(Self { input, time: self.time.clone() })
    }

    fn necessary_children_exprs(&self, output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        Some(vec![output_columns.to_vec()])
    }
}

/// Refuses tables as of a time that is not that of the wall clock.
pub(super) fn check(plan: &LogicalPlan) -> Result<()> {
    plan.apply_with_subqueries(|plan| {
        if let LogicalPlan::Join(join) = plan
            && let Some(lookup) = lookup_of(&join.right)
        {
            let is_clock = |field: &std::sync::Arc<arrow::datatypes::Field>| {
                *field.name() == lookup.time && TimeAttribute::of(field) == Some(TimeAttribute::Processing)
            };
            if !join.left.schema().fields().iter().any(is_clock) {
                let what = format!("FOR SYSTEM_TIME AS OF `{}`, which is not PROCTIME(),", lookup.time);
                return Err(DataFusionError::NotImplemented(what));
            }
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(())
}

/// The table as of a time that a side of a join is, if it is one.
fn lookup_of(plan: &LogicalPlan) -> Option<&LookupNode> {
    match plan {
        LogicalPlan::SubqueryAlias(alias) => lookup_of(&alias.input),
        LogicalPlan::Extension(extension) => extension.node.as_any().downcast_ref(),
        _ => None,
    }
}

/// Plans `t FOR SYSTEM_TIME AS OF …`.
#[derive(Debug)]
pub(super) struct LookupTables;

impl RelationPlanner for LookupTables {
    fn plan_relation(
        &self,
        mut relation: TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<RelationPlanning> {
        let TableFactor::Table { version, alias, .. } = &mut relation else {
            return Ok(RelationPlanning::Original(Box::new(relation)));
        };
        let time = match version.take() {
            None => return Ok(RelationPlanning::Original(Box::new(relation))),
            Some(TableVersion::ForSystemTimeAsOf(ast::Expr::Identifier(name))) => name.value,
            Some(TableVersion::ForSystemTimeAsOf(ast::Expr::CompoundIdentifier(names))) => {
                names.last().map(|name| name.value.clone()).unwrap_or_default()
            }
            Some(_) => {
                let what = "FOR SYSTEM_TIME AS OF anything but a column".to_owned();
                return Err(DataFusionError::NotImplemented(what));
            }
        };
        // Without another name, its columns may be qualified by its own.
        let alias = alias.take();
        let input = context.plan(relation)?;
        let node = LookupNode { input, time };
        let plan = LogicalPlan::Extension(Extension { node: Arc::new(node) });
        Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, alias))))
    }
}
