//! From an optimized logical plan to operators of a job.
//!
//! ```text
//!  TableScan ─► WatermarkAssigner ─► Calc ─► GroupAggregate │ WindowAggregate │ Join │ WindowJoin │ Rank │ LookupJoin ─► Calc … ─► sink
//! ```
//!
//! A Calc is all filters and projections up to the next other operator. What is not built is refused by the name of its operator.
//!
//! Scans are told which columns are read, and of rows (`ROW<…>`) which fields: [`needs`]. Parts of a plan that occur more than
//! once are run once: [`shared`].

mod aggregate;
mod join;
mod literal_rows;
mod needs;
mod rank;
mod shared;
mod stream;
mod window;

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
use pelton_runtime_core::graph::Partitioner;
use pelton_runtime_core::graph::program::OperatorCode;
use pelton_runtime_core::operator::{InputIndex, MAIN_OUTPUT, OperatorFactory};

use crate::catalog::Table;
use crate::connector::{Accepts, Connectors, ReadColumn, ReadTable, Times};
use crate::error::{Cause, SqlError};
use crate::operator::{Calc, Step, WatermarkAssigner};
use crate::planner::ScanSource;
use crate::planner::lookup::LookupNode;
use crate::planner::watermark::WatermarkNode;
use crate::planner::window_table::WindowTable;

use self::needs::Need;
use self::shared::Shared;
use self::stream::{Changes, Lookup, Stream, columns_of};

/// Adds the operators of insertions to an environment.
pub(crate) struct Lowering<'a> {
    environment: &'a StreamExecutionEnvironment,
    connectors: &'a Connectors,
    shared: Shared,
}

impl<'a> Lowering<'a> {
    /// Insertions become operators of `environment`.
    pub(crate) fn new(environment: &'a StreamExecutionEnvironment, connectors: &'a Connectors) -> Self {
        Self { environment, connectors, shared: Shared::default() }
    }

    /// Adds an insertion: the plan, and the table's sink.
    pub(crate) fn insert(&self, plan: &LogicalPlan, table: &Table) -> Result<(), SqlError> {
        let needs = vec![Need::Whole; plan.schema().fields().len()];
        let mut stream = self.rows(plan, needs)?;
        // The rows as the table has them, NOT NULL included.
        let stored = table.stored();
        let is_stored =
            |steps: &[Step]| matches!(steps.last(), Some(Step::Project { schema, .. }) if *schema == stored);
        if !is_stored(&stream.steps) {
            stream.steps.push(as_they_are(&stored));
        }
        let sink = self.connectors.sink(table)?;
        if let (Accepts::Inserts, Some(changes)) = (sink.accepts, &stream.changes) {
            let cause = Cause::Changes {
                table: table.name.clone(),
                changes: if changes.deletes { "update and delete changes" } else { "update changes" },
                node: changes.node.clone(),
            };
            return Err(SqlError::at(None, cause));
        }
        if sink.times == Times::Texts {
            stream.steps.push(Step::TimesAsTexts);
        }
        let inputs = self.finish(stream)?;
        let code = OperatorCode::Operator(sink.operator);
        let mut node = StreamNode::new(format!("Sink: {}", table.name), OperatorRole::Sink, inputs, code);
        node.parallelism = sink.parallelism;
        self.environment.add_node(node);
        Ok(())
    }

    /// The rows of a plan, in their windows if they belong to some.
    fn rows(&self, plan: &LogicalPlan, needs: Vec<Need>) -> Result<Stream, SqlError> {
        let stream = self.stream(plan, needs)?;
        self.in_windows(stream)
    }

    /// The stream that a plan is. Rows may wait for their windows.
    fn stream(&self, plan: &LogicalPlan, needs: Vec<Need>) -> Result<Stream, SqlError> {
        match plan {
            LogicalPlan::Projection(projection) => {
                let schema = projection.input.schema();
                let mut stream =
                    self.stream(&projection.input, needs::of_projection(&projection.expr, &needs, schema))?;
                if stream.needs_windows_for(&projection.expr, schema) {
                    stream = self.in_windows(stream)?;
                }
                stream.steps.push(project(&projection.expr, schema, &projection.schema)?);
                stream.project_windows(&projection.expr, schema);
                Ok(stream)
            }
            LogicalPlan::Filter(filter) => {
                let schema = filter.input.schema();
                if let LogicalPlan::Window(window) = filter.input.as_ref() {
                    return self.rank(filter, window, needs);
                }
                if let Some(plan) = rank::condition_below_projection(filter)? {
                    return self.stream(&plan, needs);
                }
                let mut needs = needs;
                needs::add(&filter.predicate, schema, &mut needs);
                let mut stream = self.stream(&filter.input, needs)?;
                // A condition reads a column when it is one, too.
                let reads = |column: &datafusion_common::Column| {
                    let of_window = |index| stream.windows.iter().flat_map(|of| of.columns()).any(|of| of == index);
                    schema.maybe_index_of_column(column).is_some_and(of_window)
                };
                let is_pending = stream.windows.as_ref().is_some_and(|windows| windows.is_pending());
                if is_pending && filter.predicate.column_refs().into_iter().any(reads) {
                    stream = self.in_windows(stream)?;
                }
                stream.steps.push(Step::Filter(physical(&filter.predicate, schema)?));
                Ok(stream)
            }
            LogicalPlan::SubqueryAlias(alias) => self.stream(&alias.input, needs),
            LogicalPlan::Union(union) => {
                let schema = unnested(union.schema.as_arrow());
                let mut inputs = Vec::new();
                let mut changes = None;
                for input in &union.inputs {
                    let mut stream = self.rows(input, needs.clone())?;
                    stream.steps.push(as_they_are(&schema));
                    changes = Changes::and(changes, stream.changes.clone());
                    inputs.extend(self.finish(stream)?);
                }
                Ok(Stream { changes, ..Stream::of(inputs, schema) })
            }
            LogicalPlan::Values(values) => {
                let rows = literal_rows::values(values)?;
                Ok(self.collection(rows))
            }
            LogicalPlan::EmptyRelation(empty) => Ok(self.collection(literal_rows::empty(empty)?)),
            LogicalPlan::Extension(_)
            | LogicalPlan::TableScan(_)
            | LogicalPlan::Aggregate(_)
            | LogicalPlan::Join(_) => {
                if let Some(stream) = self.shared.get(plan, &needs) {
                    return Ok(stream);
                }
                let stream = self.operator(plan, needs.clone())?;
                self.shared.put(plan, needs, &stream);
                Ok(stream)
            }
            LogicalPlan::Distinct(_) => Err(unsupported("DISTINCT ON")),
            LogicalPlan::Window(_) => {
                Err(unsupported("OVER, but for ROW_NUMBER() of which a condition takes the first rows,"))
            }
            LogicalPlan::Sort(_) => Err(unsupported("ORDER BY without LIMIT")),
            LogicalPlan::Limit(limit) => self.stream(&rank::first_rows(limit)?, needs),
            LogicalPlan::Unnest(_) => Err(unsupported("UNNEST")),
            LogicalPlan::RecursiveQuery(_) => Err(unsupported("WITH RECURSIVE")),
            LogicalPlan::Subquery(_) => Err(unsupported("a query in an expression")),
            other => Err(unsupported(&other.display().to_string())),
        }
    }

    /// What a plan's topmost operator gives.
    fn operator(&self, plan: &LogicalPlan, needs: Vec<Need>) -> Result<Stream, SqlError> {
        match plan {
            LogicalPlan::Aggregate(aggregate) => self.aggregate(aggregate),
            LogicalPlan::Join(join) => self.join(join, needs),
            LogicalPlan::TableScan(scan) => {
                let source = scan.source.downcast_ref::<ScanSource>().ok_or_else(|| unsupported("such a scan"))?;
                self.scan(&source.table, scan.projected_schema.as_arrow(), needs)
            }
            LogicalPlan::Extension(extension) => {
                let node = extension.node.as_any();
                if let Some(watermark) = node.downcast_ref::<WatermarkNode>() {
                    return self.watermarks(watermark, needs);
                }
                if let Some(windows) = node.downcast_ref::<WindowTable>() {
                    return self.window_table(windows, needs);
                }
                match node.downcast_ref::<LookupNode>() {
                    Some(lookup) => self.lookup(lookup),
                    None => Err(unsupported(extension.node.name())),
                }
            }
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

    /// A table that rows are looked up in: its connector's, with its computed columns and what is selected of it.
    fn lookup(&self, node: &LookupNode) -> Result<Stream, SqlError> {
        let mut plan = &node.input;
        while let LogicalPlan::SubqueryAlias(alias) = plan {
            plan = &alias.input;
        }
        let LogicalPlan::TableScan(scan) = plan else {
            return Err(unsupported(
                "FOR SYSTEM_TIME AS OF anything but a table, without watermark and computed columns,",
            ));
        };
        let source = scan.source.downcast_ref::<ScanSource>().ok_or_else(|| unsupported("such a scan"))?;
        let table = self.connectors.lookup(&source.table)?;
        let mut stream = Stream::of(Vec::new(), source.table.stored());
        stream.lookup = Some(Lookup { table, name: source.table.name.clone() });
        let projected = scan.projected_schema.as_arrow();
        let expressions = projected.fields().iter().map(|field| {
            let index = stream.input_schema.index_of(field.name()).map_err(|error| internal(error.to_string()))?;
            Ok(Arc::new(Column::new(field.name(), index)) as Arc<dyn PhysicalExpr>)
        });
        let expressions = expressions.collect::<Result<Vec<_>, SqlError>>()?;
        stream.steps.push(Step::Project { expressions, schema: Arc::new(projected.clone()) });
        Ok(stream)
    }

    fn watermarks(&self, node: &WatermarkNode, mut needs: Vec<Need>) -> Result<Stream, SqlError> {
        let schema = node.input.schema();
        for expression in [&node.time, &node.watermark] {
            needs::add(expression, schema, &mut needs);
        }
        let stream = self.rows(&node.input, needs)?;
        let (time, watermark) = (physical(&node.time, schema)?, physical(&node.watermark, schema)?);
        let changes = stream.changes.clone();
        let inputs = self.finish(stream)?;
        let name = node.time.schema_name().to_string();
        let code = OperatorCode::Operator(Arc::new(WatermarkAssigner::new(&name, time, watermark)));
        let node = StreamNode::new("WatermarkAssigner", OperatorRole::Transform, inputs, code);
        Ok(Stream { changes, ..self.start(node, unnested(schema.as_arrow())) })
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
        Stream::of(vec![input(node)], schema)
    }

    /// An operator that gets rows by their keys.
    fn keyed(
        &self,
        name: impl Into<String>,
        inputs: Vec<NodeInput>,
        operator: impl OperatorFactory + 'static,
        schema: SchemaRef,
    ) -> Stream {
        let code = OperatorCode::Operator(Arc::new(operator));
        self.start(StreamNode::new(name, OperatorRole::Transform, inputs, code), schema)
    }

    /// What an operator reads that gets the rows after all steps.
    fn finish(&self, stream: Stream) -> Result<Vec<NodeInput>, SqlError> {
        if let Some(lookup) = &stream.lookup {
            let what = format!("FOR SYSTEM_TIME AS OF for `{}` where it is not the right side of a join", lookup.name);
            return Err(unsupported(&what));
        }
        if stream.steps.is_empty() {
            return Ok(stream.inputs);
        }
        let code = OperatorCode::Operator(Arc::new(Calc::new(stream.steps, &stream.input_schema)));
        let node = self.environment.add_node(StreamNode::new("Calc", OperatorRole::Transform, stream.inputs, code));
        Ok(vec![input(node)])
    }

    /// The same for an operator whose input `number` gets rows by the columns `keys`.
    fn finish_keyed(&self, stream: Stream, keys: &[String], number: InputIndex) -> Result<Vec<NodeInput>, SqlError> {
        let hash = Partitioner::Hash { key_columns: keys.to_vec() };
        let inputs = self.finish(stream)?;
        Ok(inputs
            .into_iter()
            .map(|read| NodeInput { input: number, partitioner: Some(hash.clone()), ..read })
            .collect())
    }
}

/// The name of a column that rows are distributed by.
fn key_name(index: usize) -> String {
    format!("$key{index}")
}

fn input(node: NodeId) -> NodeInput {
    NodeInput { node, port: MAIN_OUTPUT, input: 0, partitioner: None }
}

/// An expression that can be evaluated on rows of `schema`.
fn physical(expression: &Expr, schema: &DFSchema) -> Result<Arc<dyn PhysicalExpr>, SqlError> {
    if expression.contains_scalar_subquery() {
        return Err(unsupported("a query as a value"));
    }
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
    Step::Project { expressions: columns_of(schema), schema: Arc::clone(schema) }
}

/// The schema without what the planner knows beyond it.
fn unnested(schema: &Schema) -> SchemaRef {
    let field = |field: &Arc<Field>| Field::new(field.name(), field.data_type().clone(), true);
    Arc::new(Schema::new(schema.fields().iter().map(field).collect::<Vec<_>>()))
}

fn unsupported(what: &str) -> SqlError {
    SqlError::not_supported(None, what, "the documentation says what queries may consist of")
}

fn planning(error: DataFusionError) -> SqlError {
    internal(error.strip_backtrace())
}

fn internal(message: String) -> SqlError {
    SqlError::at(None, Cause::Plan { message })
}
