//! Rows on their way from one operator to the next.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use datafusion_common::{DFSchema, ScalarValue};
use datafusion_expr::Expr;
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::expressions::{Column, Literal};
use pelton::graph_builder::NodeInput;
use pelton_runtime_core::window::{TimeDomain, WindowAssigner};

use crate::connector::LookupTable;
use crate::operator::Step;
use crate::planner::window_table::{WINDOW_END, WINDOW_START, WINDOW_TIME};

/// Where rows come from, and what happens to them before anybody gets them.
#[derive(Clone)]
pub(super) struct Stream {
    pub(super) inputs: Vec<NodeInput>,
    /// What the inputs bring.
    pub(super) input_schema: SchemaRef,
    pub(super) steps: Vec<Step>,
    /// Whether there are rows that change earlier ones.
    pub(super) changes: Option<Changes>,
    /// Whether rows belong to windows.
    pub(super) windows: Option<Windowed>,
    /// The table that rows are looked up in, which is then all that there is.
    pub(super) lookup: Option<Lookup>,
}

/// Where changes come from, and of what kind they are beside updates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Changes {
    pub(super) deletes: bool,
    /// The operator, as Flink describes it.
    pub(super) node: String,
}

impl Changes {
    /// The changes of two streams together.
    pub(super) fn and(one: Option<Self>, other: Option<Self>) -> Option<Self> {
        match (one, other) {
            (Some(one), Some(other)) => Some(Self { deletes: one.deletes || other.deletes, ..one }),
            (one, other) => one.or(other),
        }
    }
}

/// A table that is asked for rows.
#[derive(Clone)]
pub(super) struct Lookup {
    pub(super) table: Arc<dyn LookupTable>,
    pub(super) name: String,
}

/// Where in the rows their windows are.
#[derive(Debug, Clone)]
pub(super) struct Windowed {
    pub(super) start: Option<usize>,
    pub(super) end: Option<usize>,
    pub(super) time: Option<usize>,
    pub(super) state: WindowState,
}

/// Whether rows are in their windows.
#[derive(Debug, Clone)]
pub(super) enum WindowState {
    /// They are not yet: where the columns of the window belong is nothing, and the rows' times are those of the windows'
    /// column. An aggregation assigns them itself.
    Pending(WindowAssigner, DataType),
    /// They are: the columns say which, and the watermarks when they are complete.
    Attached,
    /// They are, and the wall clock says when they are complete.
    Passed,
}

impl Windowed {
    /// The columns of the window.
    pub(super) fn columns(&self) -> impl Iterator<Item = usize> {
        [self.start, self.end, self.time].into_iter().flatten()
    }

    pub(super) fn is_pending(&self) -> bool {
        matches!(self.state, WindowState::Pending(..))
    }

    /// The state of windows of an assigner that rows are in.
    pub(super) fn assigned(domain: TimeDomain) -> WindowState {
        match domain {
            TimeDomain::EventTime => WindowState::Attached,
            TimeDomain::ProcessingTime => WindowState::Passed,
        }
    }
}

impl Stream {
    /// What some inputs bring.
    pub(super) fn of(inputs: Vec<NodeInput>, input_schema: SchemaRef) -> Self {
        Self { inputs, input_schema, steps: Vec::new(), changes: None, windows: None, lookup: None }
    }

    /// What the rows are after all steps.
    pub(super) fn schema(&self) -> &SchemaRef {
        let schema = |step: &'_ Step| matches!(step, Step::Project { .. });
        match self.steps.iter().rev().find(|step| schema(step)) {
            Some(Step::Project { schema, .. }) => schema,
            _ => &self.input_schema,
        }
    }

    /// Whether an expression reads a column of windows that rows are not in yet.
    pub(super) fn awaits_window_read_by(&self, expression: &Expr, schema: &DFSchema) -> bool {
        let Some(windows) = self.windows.as_ref().filter(|windows| windows.is_pending()) else { return false };
        let columns = expression.column_refs();
        let mut columns = columns.iter().filter_map(|column| schema.maybe_index_of_column(column));
        columns.any(|index| windows.columns().any(|column| column == index))
    }

    /// Whether a projection needs to know the windows of rows: whether it does more with a window's columns than pass
    /// them on, or passes on so few that no aggregation could assign rows to windows after it.
    pub(super) fn needs_windows_for(&self, expressions: &[Expr], schema: &DFSchema) -> bool {
        let Some(windows) = self.windows.as_ref().filter(|windows| windows.is_pending()) else { return false };
        let computes = |expression: &Expr| {
            column_of(expression, schema).is_none() && self.awaits_window_read_by(expression, schema)
        };
        let passes = |column: Option<usize>| {
            column.is_some() && expressions.iter().any(|expression| column_of(expression, schema) == column)
        };
        expressions.iter().any(computes) || !passes(windows.start) || !passes(windows.end)
    }

    /// Where a window's columns are after a projection.
    pub(super) fn project_windows(&mut self, expressions: &[Expr], schema: &DFSchema) {
        let Some(windows) = &mut self.windows else { return };
        let place = |column: Option<usize>| {
            let column = column?;
            expressions.iter().position(|expression| column_of(expression, schema) == Some(column))
        };
        windows.start = place(windows.start);
        windows.end = place(windows.end);
        windows.time = place(windows.time);
    }

    /// Adds the columns of windows that rows are not in yet.
    pub(super) fn await_windows(&mut self, assigner: WindowAssigner, window_time: DataType) {
        let schema = Arc::clone(self.schema());
        let columns = schema.fields().len();
        let mut fields = schema.fields().to_vec();
        let mut expressions: Vec<Arc<dyn PhysicalExpr>> = columns_of(&schema);
        let zone = match &window_time {
            DataType::Timestamp(_, zone) => zone.clone(),
            _ => None,
        };
        for (name, zone) in [(WINDOW_START, None), (WINDOW_END, None), (WINDOW_TIME, zone)] {
            let nothing = ScalarValue::TimestampMillisecond(None, zone);
            fields.push(Arc::new(Field::new(name, nothing.data_type(), true)));
            expressions.push(Arc::new(Literal::new(nothing)));
        }
        self.steps.push(Step::Project { expressions, schema: Arc::new(Schema::new(fields)) });
        self.windows = Some(Windowed {
            start: Some(columns),
            end: Some(columns + 1),
            time: Some(columns + 2),
            state: WindowState::Pending(assigner, window_time),
        });
    }
}

/// The type of a window's first and last moment.
pub(super) fn window_type() -> DataType {
    DataType::Timestamp(TimeUnit::Millisecond, None)
}

/// All columns as they are.
pub(super) fn columns_of(schema: &Schema) -> Vec<Arc<dyn PhysicalExpr>> {
    let column =
        |(index, field): (usize, &Arc<Field>)| Arc::new(Column::new(field.name(), index)) as Arc<dyn PhysicalExpr>;
    schema.fields().iter().enumerate().map(column).collect()
}

/// The column that an expression is, if it is one, whatever it is called.
pub(super) fn column_of(expression: &Expr, schema: &DFSchema) -> Option<usize> {
    match expression {
        Expr::Alias(alias) => column_of(&alias.expr, schema),
        Expr::Column(column) => schema.maybe_index_of_column(column),
        _ => None,
    }
}
