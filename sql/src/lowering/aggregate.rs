//! `GROUP BY`: of windows, when the groups are those of a window, or of all rows so far.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use datafusion_common::{DFSchema, ScalarValue};
use datafusion_expr::expr::AggregateFunction;
use datafusion_expr::{Aggregate, Expr, ExprSchemable, cast, lit};
use pelton_runtime_core::window::{KeyColumns, TimeDomain, WindowAssigner, WindowSettings};

use crate::aggregate::{Call, Changes as RowChanges, Function, Layout};
use crate::error::SqlError;
use crate::operator::{GroupAggregate, GroupColumn, Step, WindowAggregate};

use super::needs::{self, Need};
use super::stream::{Changes, Stream, WindowState, Windowed, column_of};
use super::{Lowering, key_name, physical, planning, unnested, unsupported};

/// What a group's expression is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Group {
    Key,
    Start,
    End,
    Time,
}

/// The columns that an aggregation reads: keys first, then arguments and filters, each once.
struct Columns<'a> {
    schema: &'a DFSchema,
    expressions: Vec<Expr>,
}

impl Columns<'_> {
    fn index_of(&mut self, expression: Expr) -> usize {
        self.expressions.iter().position(|known| *known == expression).unwrap_or_else(|| {
            self.expressions.push(expression);
            self.expressions.len() - 1
        })
    }

    /// The rows with these columns, of which the first `keys` are keys.
    fn step(&self, keys: usize) -> Result<Step, SqlError> {
        let mut fields = Vec::with_capacity(self.expressions.len());
        let mut physicals = Vec::with_capacity(self.expressions.len());
        for (index, expression) in self.expressions.iter().enumerate() {
            let expression = physical(expression, self.schema)?;
            let data_type = expression.data_type(self.schema.as_arrow()).map_err(planning)?;
            if index < keys {
                check_key(&data_type)?;
            }
            let name = if index < keys { key_name(index) } else { format!("$argument{index}") };
            fields.push(Field::new(name, data_type, true));
            physicals.push(expression);
        }
        Ok(Step::Project { expressions: physicals, schema: Arc::new(Schema::new(fields)) })
    }
}

impl Lowering<'_> {
    pub(super) fn aggregate(&self, aggregate: &Aggregate) -> Result<Stream, SqlError> {
        let schema = aggregate.input.schema();
        if aggregate.group_expr.iter().any(|group| matches!(group, Expr::GroupingSet(_))) {
            return Err(unsupported("GROUPING SETS, CUBE and ROLLUP"));
        }
        let mut needs = Need::nothing(schema.fields().len());
        for expression in aggregate.group_expr.iter().chain(&aggregate.aggr_expr) {
            needs::add(expression, schema, &mut needs);
        }
        let mut stream = self.stream(&aggregate.input, needs)?;
        let computed = aggregate.group_expr.iter().filter(|group| column_of(group, schema).is_none());
        let computed: Vec<&Expr> = computed.chain(&aggregate.aggr_expr).collect();
        if computed.into_iter().any(|expression| stream.awaits_window_read_by(expression, schema)) {
            stream = self.in_windows(stream)?;
        }
        let groups = groups(&aggregate.group_expr, schema, stream.windows.as_ref());
        match groups.filter(|_| stream.changes.is_none()) {
            Some(groups) => self.window_aggregate(aggregate, stream, &groups),
            None => {
                let stream = self.in_windows(stream)?;
                self.group_aggregate(aggregate, stream)
            }
        }
    }

    fn group_aggregate(&self, aggregate: &Aggregate, mut stream: Stream) -> Result<Stream, SqlError> {
        let schema = aggregate.input.schema();
        let mut keys = aggregate.group_expr.clone();
        if keys.is_empty() {
            keys.push(one_key());
        }
        let groups = aggregate.group_expr.len();
        let key_count = keys.len();
        let mut columns = Columns { schema, expressions: keys };
        let changes = if stream.changes.is_some() { RowChanges::Retractions } else { RowChanges::Inserts };
        let layout = layout(&aggregate.aggr_expr, &mut columns, changes)?;
        stream.steps.push(columns.step(key_count)?);
        let result_changes = match &stream.changes {
            None if layout.calls.is_empty() => None,
            before => Some(Changes { deletes: before.is_some(), node: description(aggregate) }),
        };
        let names: Vec<String> = (0..key_count).map(key_name).collect();
        let inputs = self.finish_keyed(stream, &names, 0)?;
        let output = unnested(aggregate.schema.as_arrow());
        let operator = GroupAggregate::new(key_count, groups, layout, Arc::clone(&output)).map_err(refused)?;
        Ok(Stream { changes: result_changes, ..self.keyed("GroupAggregate", inputs, operator, output) })
    }

    fn window_aggregate(
        &self,
        aggregate: &Aggregate,
        mut stream: Stream,
        groups: &[Group],
    ) -> Result<Stream, SqlError> {
        let schema = aggregate.input.schema();
        let Some(windows) = stream.windows.clone() else { return Err(unsupported("a window that is none")) };
        let (assigner, attached_end) = match &windows.state {
            WindowState::Pending(assigner, _) => (*assigner, None),
            // The rows of a window come together by its end; what else tells it from others is part of the key.
            WindowState::Attached => {
                let at_end = WindowAssigner::tumbling(1, 0, TimeDomain::EventTime);
                (at_end.map_err(|error| super::internal(error.to_string()))?, windows.end)
            }
            // Rows have left the windows that the wall clock has made, which nothing says to be complete any more.
            WindowState::Passed => {
                return Err(unsupported(
                    "an aggregation that computes with windows of processing time, or a condition on these,",
                ));
            }
        };
        let is_key = |group: &Group| match group {
            Group::Key => true,
            Group::Start => attached_end.is_some(),
            Group::End | Group::Time => false,
        };
        let keys = aggregate.group_expr.iter().zip(groups).filter(|(_, group)| is_key(group));
        let mut keys: Vec<Expr> = keys.map(|(expression, _)| expression.clone()).collect();
        if keys.is_empty() {
            keys.push(one_key());
        }
        let key_count = keys.len();
        let mut columns = Columns { schema, expressions: keys };
        let layout = layout(&aggregate.aggr_expr, &mut columns, RowChanges::Inserts)?;
        if let Some(end) = attached_end {
            let (qualifier, field) = schema.qualified_field(end);
            let end = Expr::Column(datafusion_common::Column::from((qualifier, field)));
            stream.steps.push(Step::TimeBefore(physical(&end, schema)?));
        }
        stream.steps.push(columns.step(key_count)?);
        let names: Vec<String> = (0..key_count).map(key_name).collect();
        let inputs = self.finish_keyed(stream, &names, 0)?;
        let output = unnested(aggregate.schema.as_arrow());
        let mut next_key = 0..;
        let mut key = || next_key.next().unwrap_or(0);
        let of_group = |group: &Group| match group {
            Group::Key => GroupColumn::Key(key()),
            Group::Start if attached_end.is_some() => GroupColumn::Key(key()),
            Group::Start => GroupColumn::Start,
            Group::End => GroupColumn::End,
            Group::Time => GroupColumn::Time,
        };
        let mut output_columns: Vec<GroupColumn> = groups.iter().map(of_group).collect();
        output_columns.extend((0..aggregate.aggr_expr.len()).map(GroupColumn::Result));
        let settings = WindowSettings {
            key: KeyColumns::new(names),
            windows: assigner.into(),
            allowed_lateness_ms: 0,
            late_output: None,
        };
        let operator = WindowAggregate::new(settings, layout, output_columns, Arc::clone(&output)).map_err(refused)?;
        let place = |of: Group| groups.iter().position(|group| *group == of);
        let state = Windowed::assigned(assigner.domain());
        let windows = Windowed { start: place(Group::Start), end: place(Group::End), time: place(Group::Time), state };
        Ok(Stream { windows: Some(windows), ..self.keyed("WindowAggregate", inputs, operator, output) })
    }
}

/// What the groups' expressions are, when they are those of a window: its start and end are among them.
fn groups(expressions: &[Expr], schema: &DFSchema, windows: Option<&Windowed>) -> Option<Vec<Group>> {
    let windows = windows?;
    let group = |expression: &Expr| match column_of(expression, schema) {
        Some(column) if windows.start == Some(column) => Group::Start,
        Some(column) if windows.end == Some(column) => Group::End,
        Some(column) if windows.time == Some(column) => Group::Time,
        _ => Group::Key,
    };
    let groups: Vec<Group> = expressions.iter().map(group).collect();
    (groups.contains(&Group::Start) && groups.contains(&Group::End)).then_some(groups)
}

/// A key that all rows have.
pub(super) fn one_key() -> Expr {
    lit(true)
}

/// The calls, with the columns that they read added to those that there are.
fn layout(expressions: &[Expr], columns: &mut Columns<'_>, changes: RowChanges) -> Result<Layout, SqlError> {
    let calls = expressions.iter().map(|expression| call(expression, columns)).collect::<Result<Vec<_>, _>>()?;
    Ok(Layout { calls: calls.into(), changes })
}

fn call(expression: &Expr, columns: &mut Columns<'_>) -> Result<Call, SqlError> {
    let AggregateFunction { func, params } = match expression {
        Expr::Alias(alias) => return call(&alias.expr, columns),
        Expr::AggregateFunction(call) => call,
        other => return Err(unsupported(&other.to_string())),
    };
    let name = func.name();
    let function = Function::ALL.into_iter().find(|function| function.name() == name);
    let function = function.ok_or_else(|| unsupported(&format!("the aggregate function {name}")))?;
    if !params.order_by.is_empty() {
        return Err(unsupported("ORDER BY in an aggregate function"));
    }
    let [argument] = params.args.as_slice() else {
        return Err(unsupported(&format!("{name} of {} arguments", params.args.len())));
    };
    let is_constant = matches!(argument, Expr::Literal(value, _) if !value.is_null()) && function == Function::Count;
    let given = argument.get_type(columns.schema).map_err(planning)?;
    let result = function.result(&given);
    let result = result.ok_or_else(|| unsupported(&format!("{name} of {}", crate::parse::sql_name(&given))))?;
    let input = function.computed_as(&given);
    let distinct = params.distinct && !matches!(function, Function::Min | Function::Max);
    let argument = match is_constant && !distinct {
        true => None,
        false if input == given => Some(columns.index_of(argument.clone())),
        false => Some(columns.index_of(cast(argument.clone(), input.clone()))),
    };
    let filter = params.filter.as_ref().map(|filter| columns.index_of(filter.as_ref().clone()));
    Ok(Call { function, argument, filter, distinct, input, result })
}

/// The aggregation as Flink names it.
fn description(aggregate: &Aggregate) -> String {
    let name = |expression: &Expr| match expression {
        Expr::Column(column) => column.name.clone(),
        Expr::Alias(alias) => alias.name.clone(),
        other => other.to_string(),
    };
    let groups: Vec<String> = aggregate.group_expr.iter().map(name).collect();
    let call = |(index, expression): (usize, &Expr)| {
        let text = match expression {
            Expr::AggregateFunction(call) => {
                let arguments: Vec<String> = call.params.args.iter().map(argument_name).collect();
                format!("{}({})", call.func.name().to_ascii_uppercase(), arguments.join(", "))
            }
            other => name(other),
        };
        format!("{text} AS EXPR${}", groups.len() + index)
    };
    let calls = aggregate.aggr_expr.iter().enumerate().map(call);
    let select: Vec<String> = groups.iter().cloned().chain(calls).collect();
    let group_by = if groups.is_empty() { String::new() } else { format!("groupBy=[{}], ", groups.join(", ")) };
    format!("GroupAggregate({group_by}select=[{}])", select.join(", "))
}

fn argument_name(argument: &Expr) -> String {
    match argument {
        Expr::Column(column) => column.name.clone(),
        Expr::Literal(ScalarValue::Int64(Some(1)), _) => "*".to_owned(),
        other => other.to_string(),
    }
}

fn refused(error: pelton_runtime_core::operator::OperatorError) -> SqlError {
    super::internal(error.to_string())
}

/// Whether values of a type may be part of a key.
pub(super) fn check_key(data_type: &DataType) -> Result<(), SqlError> {
    if pelton_runtime_core::state::key_hash::is_key_type(data_type) {
        return Ok(());
    }
    Err(unsupported(&format!("a key of type {}", crate::parse::sql_name(data_type))))
}
