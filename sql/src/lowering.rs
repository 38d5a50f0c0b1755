//! From an optimized logical plan to operators of a job.
//!
//! ```text
//!  TableScan ─► WatermarkAssigner ─► Calc (all filters and projections up to the next other operator) ─► sink
//! ```
//!
//! Plans are of rows that are only added. What needs state, or takes rows back, is refused by the name of its operator.
//!
//! Scans are told which columns are read, and of rows (`ROW<…>`) which fields: [`needs`].

mod literal_rows;
mod needs;

use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion_common::{DFSchema, DataFusionError};
use datafusion_expr::execution_props::ExecutionProps;
use datafusion_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion_expr::{Expr, LogicalPlan};
use datafusion_physical_expr::expressions::Column;
use datafusion_physical_expr::{PhysicalExpr, create_physical_expr};
use pelton::StreamExecutionEnvironment;
use pelton::graph_builder::{NodeId, NodeInput, StreamNode};
use pelton_connectors::Collection;
use pelton_runtime_core::graph::OperatorRole;
use pelton_runtime_core::graph::program::OperatorCode;
use pelton_runtime_core::operator::MAIN_OUTPUT;

use crate::catalog::Table;
use crate::connector::{Connectors, ReadColumn, ReadTable};
use crate::error::{Cause, SqlError};
use crate::operator::{Calc, Step, WatermarkAssigner};
use crate::planner::ScanSource;
use crate::planner::watermark::WatermarkNode;

use self::needs::Need;

/// Adds the operators of insertions to an environment.
pub(crate) struct Lowering<'a> {
    pub(crate) environment: &'a StreamExecutionEnvironment,
    pub(crate) connectors: &'a Connectors,
}

/// Rows on their way: where they come from, and what happens to them before anybody gets them.
struct Stream {
    inputs: Vec<NodeInput>,
    /// What the inputs bring.
    input_schema: SchemaRef,
    steps: Vec<Step>,
}

impl Lowering<'_> {
    /// Adds an insertion: the plan, and the table's sink.
    pub(crate) fn insert(&self, plan: &LogicalPlan, table: &Table) -> Result<(), SqlError> {
        let needs = vec![Need::Whole; plan.schema().fields().len()];
        let mut stream = self.stream(plan, needs)?;
        // The rows as the table has them, NOT NULL included.
        let stored = table.stored();
        let is_stored =
            |steps: &[Step]| matches!(steps.last(), Some(Step::Project { schema, .. }) if *schema == stored);
        if !is_stored(&stream.steps) {
            stream.steps.push(as_they_are(&stored));
        }
        let sink = self.connectors.sink(table)?;
        let inputs = self.finish(stream)?;
        let code = OperatorCode::Operator(sink.operator);
        let mut node = StreamNode::new(format!("Sink: {}", table.name), OperatorRole::Sink, inputs, code);
        node.parallelism = sink.parallelism;
        self.environment.add_node(node);
        Ok(())
    }

    fn stream(&self, plan: &LogicalPlan, needs: Vec<Need>) -> Result<Stream, SqlError> {
        match plan {
            LogicalPlan::Projection(projection) => {
                let input = &projection.input;
                let mut stream = self.stream(input, needs::of_projection(&projection.expr, &needs, input.schema()))?;
                stream.steps.push(project(&projection.expr, input.schema(), &projection.schema)?);
                Ok(stream)
            }
            LogicalPlan::Filter(filter) => {
                let input = &filter.input;
                let mut needs = needs;
                needs::add(&filter.predicate, input.schema(), &mut needs);
                let mut stream = self.stream(input, needs)?;
                stream.steps.push(Step::Filter(physical(&filter.predicate, input.schema())?));
                Ok(stream)
            }
            LogicalPlan::SubqueryAlias(alias) => self.stream(&alias.input, needs),
            LogicalPlan::Extension(extension) => match extension.node.as_any().downcast_ref::<WatermarkNode>() {
                Some(watermark) => self.watermarks(watermark, needs),
                None => Err(unsupported(extension.node.name())),
            },
            LogicalPlan::TableScan(scan) => {
                let source = scan.source.downcast_ref::<ScanSource>().ok_or_else(|| unsupported("such a scan"))?;
                self.scan(&source.table, scan.projected_schema.as_arrow(), needs)
            }
            LogicalPlan::Union(union) => {
                let schema = unnested(union.schema.as_arrow());
                let mut inputs = Vec::new();
                for input in &union.inputs {
                    let mut stream = self.stream(input, needs.clone())?;
                    stream.steps.push(as_they_are(&schema));
                    inputs.extend(self.finish(stream)?);
                }
                Ok(Stream { inputs, input_schema: schema, steps: Vec::new() })
            }
            LogicalPlan::Values(values) => {
                let rows = literal_rows::values(values)?;
                Ok(self.collection(rows))
            }
            LogicalPlan::EmptyRelation(empty) => Ok(self.collection(literal_rows::empty(empty)?)),
            LogicalPlan::Aggregate(_) | LogicalPlan::Distinct(_) => {
                Err(unsupported("GROUP BY, DISTINCT and aggregate functions"))
            }
            LogicalPlan::Join(_) => Err(unsupported("JOIN, and IN or EXISTS with a query")),
            LogicalPlan::Window(_) => Err(unsupported("OVER")),
            LogicalPlan::Sort(_) => Err(unsupported("ORDER BY")),
            LogicalPlan::Limit(_) => Err(unsupported("LIMIT, OFFSET and FETCH")),
            LogicalPlan::Unnest(_) => Err(unsupported("UNNEST")),
            LogicalPlan::RecursiveQuery(_) => Err(unsupported("WITH RECURSIVE")),
            LogicalPlan::Subquery(_) => Err(unsupported("a query in an expression")),
            other => Err(unsupported(&other.display().to_string())),
        }
    }

    fn scan(&self, table: &Table, projected: &Schema, needs: Vec<Need>) -> Result<Stream, SqlError> {
        let columns = projected.fields().iter().zip(needs);
        let columns: Vec<ReadColumn> =
            columns.map(|(field, need)| ReadColumn { field: Arc::clone(field), fields: need.fields() }).collect();
        let source = self.connectors.source(&ReadTable { table, columns: &columns })?;
        let name = format!("Source: {}", table.name);
        let mut node = StreamNode::new(name, OperatorRole::Source, Vec::new(), OperatorCode::Source(source.factory));
        node.parallelism = source.parallelism;
        let mut stream = self.start(node, source.schema);
        // A source may bring more columns than are read, and in another order.
        let wanted: Vec<&String> = projected.fields().iter().map(|field| field.name()).collect();
        let found: Vec<&String> = stream.input_schema.fields().iter().map(|field| field.name()).collect();
        if wanted != found {
            let expressions = wanted.iter().map(|name| {
                let index = stream.input_schema.index_of(name).map_err(|error| internal(error.to_string()))?;
                Ok(Arc::new(Column::new(name, index)) as Arc<dyn PhysicalExpr>)
            });
            let expressions = expressions.collect::<Result<Vec<_>, SqlError>>()?;
            stream.steps.push(Step::Project { expressions, schema: Arc::new(projected.clone()) });
        }
        Ok(stream)
    }

    fn watermarks(&self, node: &WatermarkNode, mut needs: Vec<Need>) -> Result<Stream, SqlError> {
        let schema = node.input.schema();
        for expression in [&node.time, &node.watermark] {
            needs::add(expression, schema, &mut needs);
        }
        let stream = self.stream(&node.input, needs)?;
        let (time, watermark) = (physical(&node.time, schema)?, physical(&node.watermark, schema)?);
        let inputs = self.finish(stream)?;
        let name = node.time.schema_name().to_string();
        let code = OperatorCode::Operator(Arc::new(WatermarkAssigner::new(&name, time, watermark)));
        let node = StreamNode::new("WatermarkAssigner", OperatorRole::Transform, inputs, code);
        Ok(self.start(node, unnested(schema.as_arrow())))
    }

    fn collection(&self, rows: Collection) -> Stream {
        let schema = Arc::clone(rows.schema());
        let code = OperatorCode::Source(Arc::new(rows));
        let mut node = StreamNode::new("Source: Values", OperatorRole::Source, Vec::new(), code);
        // Their order is that of the script.
        node.parallelism = Some(1);
        self.start(node, schema)
    }

    fn start(&self, node: StreamNode, schema: SchemaRef) -> Stream {
        let node = self.environment.add_node(node);
        Stream { inputs: vec![input(node)], input_schema: schema, steps: Vec::new() }
    }

    /// What an operator reads that gets the rows after all steps.
    fn finish(&self, stream: Stream) -> Result<Vec<NodeInput>, SqlError> {
        if stream.steps.is_empty() {
            return Ok(stream.inputs);
        }
        let code = OperatorCode::Operator(Arc::new(Calc::new(stream.steps, &stream.input_schema)));
        let node = self.environment.add_node(StreamNode::new("Calc", OperatorRole::Transform, stream.inputs, code));
        Ok(vec![input(node)])
    }
}

fn input(node: NodeId) -> NodeInput {
    NodeInput { node, port: MAIN_OUTPUT, input: 0, partitioner: None }
}

/// An expression that can be evaluated on rows of `schema`.
fn physical(expression: &Expr, schema: &DFSchema) -> Result<Arc<dyn PhysicalExpr>, SqlError> {
    create_physical_expr(expression, schema, &ExecutionProps::new(), &PhysicalPlanningContext::default())
        .map_err(planning)
}

fn project(expressions: &[Expr], input: &DFSchema, output: &DFSchema) -> Result<Step, SqlError> {
    let mut fields = Vec::with_capacity(expressions.len());
    let mut physicals = Vec::with_capacity(expressions.len());
    for (expression, field) in expressions.iter().zip(output.fields()) {
        let expression = physical(expression, input)?;
        let data_type = expression.data_type(input.as_arrow()).map_err(planning)?;
        // Whether there can be NULLs, only a table's NOT NULL says for sure.
        fields.push(Field::new(field.name(), data_type, true));
        physicals.push(expression);
    }
    Ok(Step::Project { expressions: physicals, schema: Arc::new(Schema::new(fields)) })
}

/// The same columns under the names, and with the NOT NULL, of `schema`.
fn as_they_are(schema: &SchemaRef) -> Step {
    let column =
        |(index, field): (usize, &Arc<Field>)| Arc::new(Column::new(field.name(), index)) as Arc<dyn PhysicalExpr>;
    let expressions = schema.fields().iter().enumerate().map(column).collect();
    Step::Project { expressions, schema: Arc::clone(schema) }
}

/// The schema without what the planner knows beyond it.
fn unnested(schema: &Schema) -> SchemaRef {
    let field = |field: &Arc<Field>| Field::new(field.name(), field.data_type().clone(), true);
    Arc::new(Schema::new(schema.fields().iter().map(field).collect::<Vec<_>>()))
}

fn unsupported(what: &str) -> SqlError {
    SqlError::not_supported(None, what, "queries project, filter and unite what tables hold")
}

fn planning(error: DataFusionError) -> SqlError {
    internal(error.strip_backtrace())
}

fn internal(message: String) -> SqlError {
    SqlError::at(None, Cause::Plan { message })
}
