//! What DataFusion's planner asks: which tables, functions and types there are.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef};
use datafusion_common::config::ConfigOptions;
use datafusion_common::{DataFusionError, Result, TableReference};
use datafusion_expr::planner::{ContextProvider, ExprPlanner, RelationPlanner, TypePlanner};
use datafusion_expr::{
    AggregateUDF, Expr, Extension, HigherOrderUDF, LogicalPlan, LogicalPlanBuilder, ScalarUDF, TableSource, WindowUDF,
};
use datafusion_sql::planner::PlannerContext;
use datafusion_sql::sqlparser::ast;

use crate::catalog::{Catalog, Relation, Table, View};
use crate::error::{Place, SqlError};
use crate::functions;
use crate::statement::ColumnKind;

use super::count_all::CountAll;
use super::fields::FieldNames;
use super::lookup::LookupTables;
use super::types::FlinkTypes;
use super::watermark::WatermarkNode;
use super::window_table::WindowFunctions;

pub(super) struct Context<'a> {
    catalog: &'a Catalog,
    config: ConfigOptions,
    expressions: Vec<Arc<dyn ExprPlanner>>,
    relations: Vec<Arc<dyn RelationPlanner>>,
}

impl<'a> Context<'a> {
    pub(super) fn new(catalog: &'a Catalog) -> Self {
        Self {
            catalog,
            config: ConfigOptions::default(),
            expressions: vec![Arc::new(FieldNames), Arc::new(CountAll)],
            relations: vec![Arc::new(WindowFunctions), Arc::new(LookupTables)],
        }
    }

    pub(super) fn config(&self) -> &ConfigOptions {
        &self.config
    }
}

/// The plan of a query, as it is written.
pub(super) fn query_plan(context: &Context<'_>, query: &ast::Query) -> Result<LogicalPlan> {
    let statement = ast::Statement::Query(Box::new(super::rewriting::rewritten(query)?));
    super::relations(context).sql_statement_to_plan(statement)
}

fn view_plan(context: &Context<'_>, view: &View) -> Result<LogicalPlan> {
    let plan = query_plan(context, &view.query)?;
    if view.columns.is_empty() {
        return Ok(plan);
    }
    let found = plan.schema().fields().len();
    if found != view.columns.len() {
        let message = format!("the view names {} columns, its query has {found}", view.columns.len());
        return Err(DataFusionError::Plan(message));
    }
    super::renamed(plan, &view.columns)
}

/// A table as queries see it: what is stored, then what is computed, then the event time.
fn table_plan(context: &Context<'_>, table: &Arc<Table>) -> Result<LogicalPlan> {
    let planner = super::relations(context);
    let name = TableReference::bare(table.name.as_str());
    let source = ScanSource { table: Arc::clone(table), stored: table.stored() };
    let mut plan = LogicalPlanBuilder::scan(name, Arc::new(source), None)?.build()?;
    if table.columns.iter().any(|column| !matches!(column.kind, ColumnKind::Physical(_))) {
        let stored = Arc::clone(plan.schema());
        let mut columns = Vec::with_capacity(table.columns.len());
        for column in &table.columns {
            let name = column.name.value.as_str();
            columns.push(match &column.kind {
                ColumnKind::Physical(_) => stored_column(&stored, name)?,
                ColumnKind::Computed(expression) => {
                    planner.sql_to_expr(expression.as_ref().clone(), &stored, &mut PlannerContext::new())?.alias(name)
                }
                ColumnKind::Metadata => {
                    let place = Place::start(column.name.span);
                    let why = "connectors have no metadata yet";
                    return Err(external(SqlError::not_supported(place, format!("the METADATA column `{name}`"), why)));
                }
            });
        }
        plan = LogicalPlanBuilder::from(plan).project(columns)?.build()?;
    }
    let Some(watermark) = &table.watermark else { return Ok(plan) };
    let schema = Arc::clone(plan.schema());
    let time = stored_column(&schema, &watermark.column.value)?;
    let place = Place::start(watermark.column.span);
    let is_time = |expression: &Expr| -> Result<bool> {
        Ok(matches!(datafusion_expr::ExprSchemable::get_type(expression, schema.as_ref())?, DataType::Timestamp(..)))
    };
    let advances = planner.sql_to_expr(watermark.expression.clone(), &schema, &mut PlannerContext::new())?;
    if !is_time(&time)? || !is_time(&advances)? {
        let message =
            format!("`{}` and its watermark must be of a type TIMESTAMP or TIMESTAMP_LTZ", watermark.column.value);
        return Err(external(SqlError::table(place, &table.name, message)));
    }
    let node = WatermarkNode::new(plan, time, advances)?;
    Ok(LogicalPlan::Extension(Extension { node: Arc::new(node) }))
}

fn stored_column(schema: &datafusion_common::DFSchema, name: &str) -> Result<Expr> {
    let (qualifier, field) = schema.qualified_field_with_unqualified_name(name)?;
    Ok(Expr::Column(datafusion_common::Column::from((qualifier, field))))
}

fn external(error: SqlError) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

impl ContextProvider for Context<'_> {
    fn get_table_source(&self, name: TableReference) -> Result<Arc<dyn TableSource>> {
        let is_default = |found: Option<&str>, default| found.is_none_or(|found| found == default);
        if !is_default(name.catalog(), "default_catalog") || !is_default(name.schema(), "default_database") {
            let why = "there are `default_catalog` and `default_database`";
            return Err(external(SqlError::not_supported(None, "a catalog or database of your own", why)));
        }
        let plan = match self.catalog.get(name.table()) {
            Some(Relation::Table(table)) => table_plan(self, table)?,
            Some(Relation::View(view)) => view_plan(self, view)?,
            None => return Err(external(SqlError::unknown(None, "table or view", name.table(), self.catalog.names()))),
        };
        Ok(Arc::new(PlannedSource { schema: Arc::clone(plan.schema().inner()), plan }))
    }

    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        &self.expressions
    }

    fn get_relation_planners(&self) -> &[Arc<dyn RelationPlanner>] {
        &self.relations
    }

    fn get_type_planner(&self) -> Option<Arc<dyn TypePlanner>> {
        Some(Arc::new(FlinkTypes))
    }

    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        functions::scalar(name)
    }

    fn get_higher_order_meta(&self, _name: &str) -> Option<Arc<HigherOrderUDF>> {
        None
    }

    fn get_aggregate_meta(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        functions::aggregate(name)
    }

    fn get_window_meta(&self, name: &str) -> Option<Arc<WindowUDF>> {
        functions::window(name)
    }

    fn get_variable_type(&self, _variable_names: &[String]) -> Option<DataType> {
        None
    }

    fn options(&self) -> &ConfigOptions {
        &self.config
    }

    fn udf_names(&self) -> Vec<String> {
        functions::names().map(ToOwned::to_owned).collect()
    }

    fn higher_order_function_names(&self) -> Vec<String> {
        Vec::new()
    }

    fn udaf_names(&self) -> Vec<String> {
        functions::aggregate_names().map(ToOwned::to_owned).collect()
    }

    fn udwf_names(&self) -> Vec<String> {
        vec![functions::ROW_NUMBER.to_owned()]
    }
}

/// What a table stores: the leaf of a plan.
pub(crate) struct ScanSource {
    pub(crate) table: Arc<Table>,
    stored: SchemaRef,
}

impl TableSource for ScanSource {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.stored)
    }
}

/// A relation that stands for a plan.
struct PlannedSource {
    plan: LogicalPlan,
    schema: SchemaRef,
}

impl TableSource for PlannedSource {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn get_logical_plan(&self) -> Option<Cow<'_, LogicalPlan>> {
        Some(Cow::Borrowed(&self.plan))
    }
}
