//! `ROW_NUMBER()` of which a condition takes the first rows: Top-N and deduplication.

use std::sync::Arc;

use arrow::compute::SortOptions;
use arrow::datatypes::{DataType, Field, Schema};
use datafusion_common::tree_node::{Transformed, TreeNode};
use datafusion_common::{Column, DFSchema, ScalarValue};
use datafusion_expr::expr::WindowFunction;
use datafusion_expr::utils::split_conjunction;
use datafusion_expr::{
    BinaryExpr, Expr, FetchType, Filter, Limit, LogicalPlan, Operator, Projection, SkipType, Window,
    WindowFunctionDefinition, lit,
};
use datafusion_physical_expr::expressions::Literal;

use crate::error::SqlError;
use crate::functions::{self, ROW_NUMBER};
use crate::operator::{Rank, Step, Ties};
use crate::planner::time_attribute::TimeAttribute;

use super::aggregate::{check_key, one_key};
use super::needs::{self, Need};
use super::stream::{Changes, Stream, column_of, columns_of};
use super::{Lowering, key_name, physical, planning, unnested, unsupported};

impl Lowering<'_> {
    /// The rows of `window` that pass `filter`, which says how many there are for each key.
    pub(super) fn rank(&self, filter: &Filter, window: &Window, needs: Vec<Need>) -> Result<Stream, SqlError> {
        let schema = window.input.schema();
        let columns = schema.fields().len();
        let function = row_number(window)?;
        let (limit, rest) = limit(&filter.predicate, &window.schema, columns)?;
        let mut input_needs: Vec<Need> = needs.iter().take(columns).cloned().collect();
        let order = &function.params.order_by;
        for expression in function.params.partition_by.iter().chain(order.iter().map(|sort| &sort.expr)) {
            needs::add(expression, schema, &mut input_needs);
        }
        let mut needs = needs;
        for condition in &rest {
            needs::add(condition, &window.schema, &mut needs);
            needs::add(condition, schema, &mut input_needs);
        }
        let with_place = needs.get(columns).is_some_and(|need| !need.is_nothing());
        let mut stream = self.rows(&window.input, input_needs)?;
        let shown = unnested(stream.schema());
        let ties = ties(order, schema, limit);
        let (changes, retracts) = match (&stream.changes, &ties) {
            // The first row to come stays for good.
            (None, Some(Clock { ties: Ties::FirstStays, is_arrival: true })) => (None, false),
            (None, None) if order.is_empty() => (None, false),
            (before, _) => {
                let node = format!(
                    "Rank(strategy=[{}])",
                    if before.is_some() { "RetractStrategy" } else { "AppendFastStrategy" }
                );
                let deletes = before.as_ref().is_some_and(|changes| changes.deletes) || (limit > 1 && !with_place);
                (Some(Changes { deletes, node }), before.is_some())
            }
        };
        let by_arrival = ties.as_ref().is_some_and(|clock| clock.is_arrival);
        // What is sorted by and no column of its own, then the keys.
        let mut fields = stream.schema().fields().to_vec();
        let mut expressions = columns_of(stream.schema());
        let mut sorted = Vec::with_capacity(order.len());
        for sort in order.iter().filter(|_| !by_arrival) {
            let options = SortOptions { descending: !sort.asc, nulls_first: sort.nulls_first };
            let column = match column_of(&sort.expr, schema) {
                Some(column) => column,
                None => {
                    let expression = physical(&sort.expr, schema)?;
                    let data_type = expression.data_type(schema.as_arrow()).map_err(planning)?;
                    fields.push(Arc::new(Field::new(format!("$order{}", sorted.len()), data_type, true)));
                    expressions.push(expression);
                    fields.len() - 1
                }
            };
            sorted.push((column, options));
        }
        let kept = fields.len();
        let mut keys = function.params.partition_by.clone();
        if keys.is_empty() {
            keys.push(one_key());
        }
        for (index, key) in keys.iter().enumerate() {
            let key = physical(key, schema)?;
            let data_type = key.data_type(schema.as_arrow()).map_err(planning)?;
            check_key(&data_type)?;
            fields.push(Arc::new(Field::new(key_name(index), data_type, true)));
            expressions.push(key);
        }
        let input = Arc::new(Schema::new(fields));
        stream.steps.push(Step::Project { expressions, schema: Arc::clone(&input) });
        let names: Vec<String> = (0..keys.len()).map(key_name).collect();
        let inputs = self.finish_keyed(stream, &names, 0)?;
        let mut output = shown.fields().to_vec();
        let place = Field::new(window.schema.field(columns).name(), DataType::Int64, true);
        if with_place {
            output.push(Arc::new(place.clone()));
        }
        let output = Arc::new(Schema::new(output));
        let operator = Rank {
            input,
            columns,
            kept,
            keys: keys.len(),
            order: sorted,
            ties: ties.map_or(Ties::FirstStays, |clock| clock.ties),
            limit,
            with_place,
            retracts,
            schema: Arc::clone(&output),
        };
        let name = if limit == 1 { "Deduplicate" } else { "Rank" };
        let mut stream = Stream { changes, ..self.keyed(name, inputs, operator, Arc::clone(&output)) };
        if !with_place {
            // Where the place would be is nothing, as nobody reads it.
            let mut expressions = columns_of(&output);
            let mut fields = output.fields().to_vec();
            expressions.push(Arc::new(Literal::new(ScalarValue::Int64(None))));
            fields.push(Arc::new(place));
            stream.steps.push(Step::Project { expressions, schema: Arc::new(Schema::new(fields)) });
        }
        for condition in rest {
            stream.steps.push(Step::Filter(physical(condition, &window.schema)?));
        }
        Ok(stream)
    }
}

/// The same plan with its condition right above the window that it is about, where columns are selected between them.
pub(super) fn condition_below_projection(filter: &Filter) -> Result<Option<LogicalPlan>, SqlError> {
    let LogicalPlan::Projection(projection) = filter.input.as_ref() else { return Ok(None) };
    if !matches!(projection.input.as_ref(), LogicalPlan::Window(_)) {
        return Ok(None);
    }
    let replaced = filter.predicate.clone().transform(|expression| match &expression {
        Expr::Column(column) => match projection.schema.maybe_index_of_column(column) {
            Some(index) => Ok(Transformed::yes(projection.expr[index].clone().unalias())),
            None => Ok(Transformed::no(expression)),
        },
        _ => Ok(Transformed::no(expression)),
    });
    let predicate = replaced.map_err(planning)?.data;
    let filter = Filter::try_new(predicate, Arc::clone(&projection.input)).map_err(planning)?;
    let plan = Projection::try_new(projection.expr.clone(), Arc::new(LogicalPlan::Filter(filter))).map_err(planning)?;
    Ok(Some(LogicalPlan::Projection(plan)))
}

/// `LIMIT` as the condition on a `ROW_NUMBER()` that it is: over the order of the query, or that of arrival.
pub(super) fn first_rows(limit: &Limit) -> Result<LogicalPlan, SqlError> {
    let (Ok(SkipType::Literal(0)), Ok(FetchType::Literal(Some(count)))) =
        (limit.get_skip_type(), limit.get_fetch_type())
    else {
        return Err(unsupported("OFFSET, or a LIMIT that is no number"));
    };
    let sorted = |plan: &LogicalPlan| match plan {
        LogicalPlan::Sort(sort) => Some((sort.expr.clone(), Arc::clone(&sort.input))),
        _ => None,
    };
    let (order_by, input, shown) = match limit.input.as_ref() {
        LogicalPlan::Projection(projection) => match sorted(&projection.input) {
            Some((order_by, input)) => (order_by, input, Some(projection.expr.clone())),
            None => (Vec::new(), Arc::clone(&limit.input), None),
        },
        plan => match sorted(plan) {
            Some((order_by, input)) => (order_by, input, None),
            None => (Vec::new(), Arc::clone(&limit.input), None),
        },
    };
    let function = functions::window(ROW_NUMBER).ok_or_else(|| unsupported("LIMIT"))?;
    let mut row_number = WindowFunction::new(WindowFunctionDefinition::WindowUDF(function), Vec::new());
    row_number.params.order_by = order_by;
    let columns: Vec<Expr> = input.schema().columns().into_iter().map(Expr::Column).collect();
    let window = Window::try_new(vec![Expr::WindowFunction(Box::new(row_number))], input).map_err(planning)?;
    let (qualifier, field) = window.schema.qualified_field(columns.len());
    let place = Expr::Column(Column::from((qualifier, field)));
    let condition = place.lt_eq(lit(count as i64));
    let filter = Filter::try_new(condition, Arc::new(LogicalPlan::Window(window))).map_err(planning)?;
    let plan = Projection::try_new(shown.unwrap_or(columns), Arc::new(LogicalPlan::Filter(filter)));
    Ok(LogicalPlan::Projection(plan.map_err(planning)?))
}

/// The one function of a window, which is ROW_NUMBER.
fn row_number(window: &Window) -> Result<&WindowFunction, SqlError> {
    fn function(expression: &Expr) -> Option<&WindowFunction> {
        match expression {
            Expr::Alias(alias) => function(&alias.expr),
            Expr::WindowFunction(function) => Some(function),
            _ => None,
        }
    }
    match window.window_expr.as_slice() {
        [one] => match function(one) {
            Some(function) if function.fun.name() == ROW_NUMBER => Ok(function),
            Some(function) => Err(unsupported(&format!("{} OVER", function.fun.name().to_ascii_uppercase()))),
            None => Err(unsupported("OVER")),
        },
        _ => Err(unsupported("more than one function OVER")),
    }
}

/// How many rows a condition on the column `place` takes, and what else it says.
fn limit<'e>(condition: &'e Expr, schema: &DFSchema, place: usize) -> Result<(usize, Vec<&'e Expr>), SqlError> {
    let mut limit: Option<i64> = None;
    let mut rest = Vec::new();
    for part in split_conjunction(condition) {
        match bound(part, schema, place) {
            Some(Bound::UpTo(count)) => limit = Some(limit.map_or(count, |known| known.min(count))),
            Some(Bound::All) => {}
            None => rest.push(part),
        }
    }
    let Some(limit) = limit else {
        return Err(unsupported("ROW_NUMBER() without a condition that it is at most some number"));
    };
    match usize::try_from(limit) {
        Ok(limit) if limit > 0 => Ok((limit, rest)),
        _ => Err(unsupported("a condition that no ROW_NUMBER() meets")),
    }
}

enum Bound {
    UpTo(i64),
    All,
}

fn bound(condition: &Expr, schema: &DFSchema, place: usize) -> Option<Bound> {
    let Expr::BinaryExpr(BinaryExpr { left, op, right }) = condition else { return None };
    let number = |expression: &Expr| match expression {
        Expr::Literal(value, _) => match value.cast_to(&DataType::Int64) {
            Ok(ScalarValue::Int64(number)) => number,
            _ => None,
        },
        _ => None,
    };
    let is_place = |expression: &Expr| column_of(expression, schema) == Some(place);
    let (op, number) = match (is_place(left), is_place(right)) {
        (true, false) => (*op, number(right)?),
        (false, true) => (op.swap()?, number(left)?),
        _ => return None,
    };
    match (op, number) {
        (Operator::LtEq, number) => Some(Bound::UpTo(number)),
        (Operator::Lt, number) => number.checked_sub(1).map(Bound::UpTo),
        (Operator::Eq, 1) => Some(Bound::UpTo(1)),
        (Operator::GtEq, ..=1) | (Operator::Gt, ..=0) => Some(Bound::All),
        _ => None,
    }
}

/// A first row by a clock.
struct Clock {
    ties: Ties,
    /// Whether it is the wall clock, so that rows are in order as they come.
    is_arrival: bool,
}

/// Whether the first row is that of a clock: as in Flink, the last of the rows of one time is then the last to come.
fn ties(order: &[datafusion_expr::expr::Sort], schema: &DFSchema, limit: usize) -> Option<Clock> {
    let ([sort], 1) = (order, limit) else { return None };
    let attribute = TimeAttribute::of(schema.field(column_of(&sort.expr, schema)?))?;
    let ties = if sort.asc { Ties::FirstStays } else { Ties::LastWins };
    Some(Clock { ties, is_arrival: attribute == TimeAttribute::Processing })
}
