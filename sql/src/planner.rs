//! From a query to an optimized logical plan: DataFusion's planner, analyzer and optimizer, under Flink's rules.
//!
//! Owns which functions and types there are, how tables with computed columns and watermarks look to a query, and how
//! DataFusion's errors become ours. Of DataFusion's rules it takes those that hold for streams without end as well.

mod context;
mod count_all;
mod failure;
mod fields;
pub(crate) mod lookup;
mod rewriting;
mod sink;
pub(crate) mod time_attribute;
mod types;
pub(crate) mod watermark;
pub(crate) mod window_table;

use std::sync::Arc;

use datafusion_common::config::ConfigOptions;
use datafusion_expr::{Expr, LogicalPlan, LogicalPlanBuilder};
use datafusion_optimizer::analyzer::type_coercion::TypeCoercion;
use datafusion_optimizer::common_subexpr_eliminate::CommonSubexprEliminate;
use datafusion_optimizer::decorrelate_predicate_subquery::DecorrelatePredicateSubquery;
use datafusion_optimizer::eliminate_cross_join::EliminateCrossJoin;
use datafusion_optimizer::eliminate_filter::EliminateFilter;
use datafusion_optimizer::eliminate_outer_join::EliminateOuterJoin;
use datafusion_optimizer::extract_equijoin_predicate::ExtractEquijoinPredicate;
use datafusion_optimizer::extract_leaf_expressions::{ExtractLeafExpressions, PushDownLeafProjections};
use datafusion_optimizer::optimize_projections::OptimizeProjections;
use datafusion_optimizer::optimize_unions::OptimizeUnions;
use datafusion_optimizer::push_down_filter::PushDownFilter;
use datafusion_optimizer::replace_distinct_aggregate::ReplaceDistinctWithAggregate;
use datafusion_optimizer::simplify_expressions::SimplifyExpressions;
use datafusion_optimizer::{Analyzer, Optimizer, OptimizerContext, OptimizerRule};
use datafusion_sql::planner::{NullOrdering, ParserOptions, SqlToRel};
use datafusion_sql::sqlparser::ast;

use crate::catalog::{Catalog, Table};
use crate::error::{Place, SqlError};
use crate::statement::Insert;

use self::context::Context;
use self::failure::sql_error;

pub(crate) use self::context::ScanSource;

/// The plan of a query, with the types that its expressions have.
///
/// # Errors
///
/// What in the query has no meaning.
pub(crate) fn plan_query(catalog: &Catalog, query: &ast::Query) -> Result<LogicalPlan, SqlError> {
    let context = Context::new(catalog);
    let plan = context::query_plan(&context, query).and_then(|plan| {
        lookup::check(&plan)?;
        let analyzer = Analyzer::with_rules(vec![Arc::new(TypeCoercion::new())]);
        analyzer.execute_and_check(plan, context.config(), |_, _| {})
    });
    plan.map_err(sql_error)
}

/// The optimized plan of an insertion, whose columns are those that the table stores.
///
/// # Errors
///
/// What in the query has no meaning, or does not fit the table.
pub(crate) fn plan_insert(catalog: &Catalog, table: &Table, insert: &Insert) -> Result<LogicalPlan, SqlError> {
    let plan = plan_query(catalog, &insert.query).map_err(|error| error.or_at(insert.query_place))?;
    let plan = sink::fit(plan, table, insert)?;
    optimized(plan).map_err(|error| error.or_at(insert.query_place))
}

/// The plan that does the same with less.
pub(crate) fn optimized(plan: LogicalPlan) -> Result<LogicalPlan, SqlError> {
    let rules: Vec<Arc<dyn OptimizerRule + Send + Sync>> = vec![
        Arc::new(OptimizeUnions::new()),
        Arc::new(SimplifyExpressions::new()),
        Arc::new(ReplaceDistinctWithAggregate::new()),
        Arc::new(DecorrelatePredicateSubquery::new()),
        Arc::new(ExtractEquijoinPredicate::new()),
        Arc::new(EliminateFilter::new()),
        Arc::new(EliminateCrossJoin::new()),
        Arc::new(EliminateOuterJoin::new()),
        Arc::new(PushDownFilter::new()),
        Arc::new(CommonSubexprEliminate::new()),
        Arc::new(ExtractLeafExpressions::new()),
        Arc::new(PushDownLeafProjections::new()),
        Arc::new(OptimizeProjections::new()),
    ];
    // What depends on the time is not computed when the query is planned: every worker plans it once more.
    let context = OptimizerContext::new_with_config_options(Arc::new(ConfigOptions::default()));
    let context = context.without_query_execution_start_time();
    Optimizer::with_rules(rules).optimize(plan, &context, |_, _| {}).map_err(sql_error)
}

fn parser_options() -> ParserOptions {
    ParserOptions {
        parse_float_as_decimal: true,
        enable_ident_normalization: false,
        support_varchar_with_length: true,
        enable_options_value_normalization: false,
        collect_spans: true,
        map_string_types_to_utf8view: false,
        // Flink sorts NULL below everything.
        default_null_ordering: NullOrdering::NullsMin,
    }
}

/// The plan with other names for its columns.
fn renamed(plan: LogicalPlan, names: &[String]) -> datafusion_common::Result<LogicalPlan> {
    let columns = plan.schema().columns();
    let renamed = columns.into_iter().zip(names).map(|(column, name)| Expr::Column(column).alias(name));
    LogicalPlanBuilder::from(plan).project(renamed.collect::<Vec<_>>())?.build()
}

/// DataFusion's planner over what there is.
fn relations<'a, 'b>(context: &'a Context<'b>) -> SqlToRel<'a, Context<'b>> {
    SqlToRel::new_with_options(context, parser_options())
}

/// The place of a span of DataFusion's.
fn place(span: datafusion_common::Span) -> Option<Place> {
    (span.start.line > 0).then_some(Place { line: span.start.line, column: span.start.column })
}
