//! The table functions of windows: `TUMBLE`, `HOP`, `SESSION`, in `FROM TABLE(…)`.
//!
//! What they give is a table with the columns of theirs and `window_start`, `window_end`, `window_time`.

use std::cmp::Ordering;
use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, TimeUnit};
use datafusion_common::{DFSchema, DFSchemaRef, DataFusionError, ExprSchema, Result, ScalarValue};
use datafusion_expr::planner::{PlannedRelation, RelationPlanner, RelationPlannerContext, RelationPlanning};
use datafusion_expr::{Expr, Extension, LogicalPlan, UserDefinedLogicalNodeCore};
use datafusion_sql::sqlparser::ast::{
    self, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, ObjectName, TableFactor,
};
use pelton_runtime_core::window::{TimeDomain, WindowAssigner};

use crate::error::{Place, SqlError};

use super::lookup::LookupNode;
use super::time_attribute::{TimeAttribute, marked, unmarked};

pub(crate) const WINDOW_START: &str = "window_start";
pub(crate) const WINDOW_END: &str = "window_end";
pub(crate) const WINDOW_TIME: &str = "window_time";

/// Assigns rows to windows.
#[derive(Debug, Clone)]
pub(crate) struct WindowTable {
    pub(crate) input: LogicalPlan,
    /// The column that windows are made of.
    pub(crate) time: Expr,
    pub(crate) assigner: WindowAssigner,
    /// The columns of the input, then those of the window.
    schema: DFSchemaRef,
}

impl WindowTable {
    fn new(input: LogicalPlan, time: Expr, assigner: WindowAssigner) -> Result<Self> {
        let attribute = match assigner.domain() {
            TimeDomain::EventTime => TimeAttribute::Event,
            TimeDomain::ProcessingTime => TimeAttribute::Processing,
        };
        let time_type = datafusion_expr::ExprSchemable::get_type(&time, input.schema().as_ref())?;
        let zone = match time_type {
            DataType::Timestamp(_, zone) => zone,
            _ => None,
        };
        let shown = DataType::Timestamp(TimeUnit::Millisecond, None);
        let of_window = [
            Field::new(WINDOW_START, shown.clone(), false),
            Field::new(WINDOW_END, shown, false),
            marked(Field::new(WINDOW_TIME, DataType::Timestamp(TimeUnit::Millisecond, zone), false), attribute),
        ];
        // The rows of a window have one time, which is that of the window.
        let kept = input
            .schema()
            .iter()
            .map(|(qualifier, field)| (qualifier.cloned(), Arc::new(unmarked(field.as_ref().clone()))));
        let fields = kept.chain(of_window.into_iter().map(|field| (None, Arc::new(field)))).collect();
        let schema = Arc::new(DFSchema::new_with_metadata(fields, DFSchema::metadata(input.schema()).clone())?);
        Ok(Self { input, time, assigner, schema })
    }

    /// How many columns the input has; those of the window follow them.
    pub(crate) fn input_columns(&self) -> usize {
        self.input.schema().fields().len()
    }

    fn comparable(&self) -> (&LogicalPlan, &Expr, [i64; 4], bool) {
        let (numbers, domain) = match self.assigner {
            WindowAssigner::Aligned { size_ms, slide_ms, offset_ms, domain } => {
                ([0, size_ms, slide_ms, offset_ms], domain)
            }
            WindowAssigner::Session { gap_ms, domain } => ([1, gap_ms, 0, 0], domain),
        };
        (&self.input, &self.time, numbers, domain == TimeDomain::ProcessingTime)
    }
}

impl PartialEq for WindowTable {
    fn eq(&self, other: &Self) -> bool {
        self.comparable() == other.comparable()
    }
}

impl Eq for WindowTable {}

impl PartialOrd for WindowTable {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.comparable().partial_cmp(&other.comparable())
    }
}

impl Hash for WindowTable {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.comparable().hash(state);
    }
}

impl UserDefinedLogicalNodeCore for WindowTable {
    fn name(&self) -> &str {
        "WindowTableFunction"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        vec![self.time.clone()]
    }

    /// What is said of a row holds in all its windows, and may be said before.
    fn prevent_predicate_push_down_columns(&self) -> HashSet<String> {
        [WINDOW_START, WINDOW_END, WINDOW_TIME].map(str::to_owned).into()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WindowTableFunction(window=[{:?}], time_col=[{}])", self.assigner, self.time)
    }

    fn with_exprs_and_inputs(&self, expressions: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        let (Ok([time]), Ok([input])) = (<[Expr; 1]>::try_from(expressions), <[LogicalPlan; 1]>::try_from(inputs))
        else {
            return Err(DataFusionError::Internal("windows have one time and one input".to_owned()));
        };
        Self::new(input, time, self.assigner)
    }

    fn necessary_children_exprs(&self, output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        let columns = self.input_columns();
        let mut needed: BTreeSet<usize> = output_columns.iter().copied().filter(|index| *index < columns).collect();
        for column in self.time.column_refs() {
            needed.insert(self.input.schema().maybe_index_of_column(column)?);
        }
        Some(vec![needed.into_iter().collect()])
    }
}

/// Plans `TABLE(TUMBLE(…))` and its like.
#[derive(Debug)]
pub(super) struct WindowFunctions;

impl RelationPlanner for WindowFunctions {
    fn plan_relation(
        &self,
        relation: TableFactor,
        context: &mut dyn RelationPlannerContext,
    ) -> Result<RelationPlanning> {
        let TableFactor::TableFunction { expr: ast::Expr::Function(function), alias } = relation else {
            return Ok(RelationPlanning::Original(Box::new(relation)));
        };
        let plan = window_table(&function, context)?;
        Ok(RelationPlanning::Planned(Box::new(PlannedRelation::new(plan, alias))))
    }
}

/// What a `SESSION` in `GROUP BY` is called when it is rewritten: its sessions are those of the groups, of rows that the query's
/// conditions leave, which is not so with a table function.
pub(super) const SESSION_OF_GROUPS: &str = "SESSION OF GROUPS";

/// The names of arguments, in their order.
const TUMBLE: &[&str] = &["DATA", "TIMECOL", "SIZE", "OFFSET"];
const HOP: &[&str] = &["DATA", "TIMECOL", "SLIDE", "SIZE", "OFFSET"];
const SESSION: &[&str] = &["DATA", "TIMECOL", "GAP"];

fn window_table(function: &ast::Function, context: &mut dyn RelationPlannerContext) -> Result<LogicalPlan> {
    let written = function.name.to_string().to_ascii_uppercase();
    let name = if written == SESSION_OF_GROUPS { "SESSION".to_owned() } else { written.clone() };
    let place = Place::start(ast::Spanned::span(&function.name));
    let refuse = |error: SqlError| DataFusionError::External(Box::new(error));
    let names = match written.as_str() {
        "TUMBLE" => TUMBLE,
        "HOP" => HOP,
        SESSION_OF_GROUPS => SESSION,
        "SESSION" => {
            let why = "write GROUP BY key, SESSION(column, gap)";
            return Err(refuse(SqlError::not_supported(place, "the table function SESSION", why)));
        }
        "CUMULATE" => return Err(refuse(SqlError::not_supported(place, "the window function CUMULATE", ""))),
        _ => {
            let known = ["TUMBLE", "HOP"];
            return Err(refuse(SqlError::unknown(place, "table function", &name, known)));
        }
    };
    let wrong = |message: String| refuse(SqlError::window(place, &name, message));
    let arguments = arguments(function, names).map_err(&wrong)?;
    let required = |index: usize| {
        arguments[index].as_ref().ok_or_else(|| wrong(format!("the argument {} is missing", names[index])))
    };
    let input = context.plan(relation(required(0)?).ok_or_else(|| wrong("DATA is not a table".to_owned()))?)?;
    if let Some(taken) = [WINDOW_START, WINDOW_END, WINDOW_TIME].into_iter().find(|name| has_column(&input, name)) {
        return Err(wrong(format!("its table has a column `{taken}` already: give that another name")));
    }
    if joins_without_windows(&input) {
        let what = "a window over the result of a join without windows";
        return Err(refuse(SqlError::not_supported(place, what, "its rows come later than their time says")));
    }
    let column = descriptor(required(1)?).ok_or_else(|| wrong("TIMECOL is not DESCRIPTOR(column)".to_owned()))?;
    let time = context.sql_to_expr(ast::Expr::Identifier(column.clone()), input.schema())?;
    let domain = match &time {
        Expr::Column(found) => TimeAttribute::of(input.schema().field_from_column(found)?),
        _ => None,
    };
    let domain = match domain {
        Some(TimeAttribute::Event) => TimeDomain::EventTime,
        Some(TimeAttribute::Processing) => TimeDomain::ProcessingTime,
        None => {
            return Err(wrong(format!(
                "`{}` is no time attribute: a column that WATERMARK FOR names, or that is PROCTIME()",
                column.value
            )));
        }
    };
    let mut millis = |index: usize| -> Result<i64> {
        let expression = context.sql_to_expr(required(index)?.clone(), &DFSchema::empty())?;
        interval_millis(&expression)
            .ok_or_else(|| wrong(format!("{} is not an interval of days, hours, minutes or seconds", names[index])))
    };
    let has = |index: usize| arguments.get(index).is_some_and(Option::is_some);
    let assigner = match names.len() {
        4 => {
            let size = millis(2)?;
            WindowAssigner::tumbling(size, if has(3) { millis(3)? } else { 0 }, domain)
        }
        5 => {
            let (slide, size) = (millis(2)?, millis(3)?);
            if slide > 0 && size % slide != 0 {
                return Err(wrong(format!("its size of {size} ms is no multiple of its slide of {slide} ms")));
            }
            WindowAssigner::sliding(size, slide, if has(4) { millis(4)? } else { 0 }, domain)
        }
        _ => WindowAssigner::session(millis(2)?, domain),
    };
    let assigner = assigner.map_err(|error| wrong(error.to_string()))?;
    let node = WindowTable::new(input, time, assigner)?;
    Ok(LogicalPlan::Extension(Extension { node: Arc::new(node) }))
}

/// Whether rows are those of a join that is not one of windows, which holds rows back and no watermark.
fn joins_without_windows(plan: &LogicalPlan) -> bool {
    match plan {
        // Looking a row up does not hold it back.
        LogicalPlan::Join(join) if is::<LookupNode>(&join.right) => joins_without_windows(&join.left),
        LogicalPlan::Join(_) => !has_windows(plan),
        // What windows have given comes with their time.
        LogicalPlan::Aggregate(_) | LogicalPlan::Extension(_) => false,
        other => other.inputs().into_iter().any(joins_without_windows),
    }
}

fn has_windows(plan: &LogicalPlan) -> bool {
    is::<WindowTable>(plan) || plan.inputs().into_iter().any(has_windows)
}

/// Whether a plan is such a node, under whatever name.
fn is<N: 'static>(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Extension(node) => node.node.as_any().is::<N>(),
        LogicalPlan::SubqueryAlias(alias) => is::<N>(&alias.input),
        _ => false,
    }
}

fn has_column(plan: &LogicalPlan, name: &str) -> bool {
    plan.schema().fields().iter().any(|field| field.name() == name)
}

/// The arguments by their places, whether they are given by name or by place.
fn arguments(function: &ast::Function, names: &[&str]) -> std::result::Result<Vec<Option<ast::Expr>>, String> {
    let FunctionArguments::List(list) = &function.args else { return Err("it has no arguments".to_owned()) };
    let mut found: Vec<Option<ast::Expr>> = vec![None; names.len()];
    for (place, argument) in list.args.iter().enumerate() {
        let (index, value) = match argument {
            FunctionArg::Named { name, arg, .. } => {
                let known = names.iter().position(|known| name.value.eq_ignore_ascii_case(known));
                (known.ok_or_else(|| format!("it has no argument {}", name.value))?, arg)
            }
            FunctionArg::Unnamed(arg) => (place, arg),
            FunctionArg::ExprNamed { name, .. } => return Err(format!("it has no argument {name}")),
        };
        let FunctionArgExpr::Expr(value) = value else { return Err("`*` is no argument of it".to_owned()) };
        match found.get_mut(index) {
            Some(place) => *place = Some(value.clone()),
            None => return Err(format!("it has at most {} arguments", names.len())),
        }
    }
    Ok(found)
}

/// The table that an argument names: the parser of scripts has taken the word `TABLE` away.
fn relation(argument: &ast::Expr) -> Option<TableFactor> {
    let table = |names: Vec<Ident>| TableFactor::Table {
        name: ObjectName::from(names),
        alias: None,
        args: None,
        with_hints: Vec::new(),
        version: None,
        with_ordinality: false,
        partitions: Vec::new(),
        json_path: None,
        sample: None,
        index_hints: Vec::new(),
    };
    match argument {
        ast::Expr::Identifier(name) => Some(table(vec![name.clone()])),
        ast::Expr::CompoundIdentifier(names) => Some(table(names.clone())),
        ast::Expr::Subquery(query) => {
            Some(TableFactor::Derived { lateral: false, subquery: query.clone(), alias: None, sample: None })
        }
        ast::Expr::Nested(inner) => relation(inner),
        _ => None,
    }
}

/// The column in `DESCRIPTOR(column)`.
fn descriptor(argument: &ast::Expr) -> Option<&Ident> {
    let ast::Expr::Function(function) = argument else { return None };
    let FunctionArguments::List(list) = &function.args else { return None };
    match list.args.as_slice() {
        [FunctionArg::Unnamed(FunctionArgExpr::Expr(ast::Expr::Identifier(name)))]
            if function.name.to_string().eq_ignore_ascii_case("DESCRIPTOR") =>
        {
            Some(name)
        }
        _ => None,
    }
}

/// The length of an interval whose length does not depend on when it is.
pub(super) fn interval_millis(expression: &Expr) -> Option<i64> {
    match expression {
        Expr::Literal(ScalarValue::IntervalMonthDayNano(Some(interval)), _) if interval.months == 0 => {
            let days = i64::from(interval.days).checked_mul(86_400_000)?;
            (interval.nanoseconds % 1_000_000 == 0).then_some(())?;
            days.checked_add(interval.nanoseconds / 1_000_000)
        }
        Expr::Literal(ScalarValue::IntervalDayTime(Some(interval)), _) => {
            i64::from(interval.days).checked_mul(86_400_000)?.checked_add(i64::from(interval.milliseconds))
        }
        Expr::Cast(cast) => interval_millis(&cast.expr),
        _ => None,
    }
}
