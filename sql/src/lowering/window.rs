//! Rows and their windows.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema};
use datafusion_expr::ExprSchemable;
use pelton::graph_builder::StreamNode;
use pelton_runtime_core::graph::OperatorRole;
use pelton_runtime_core::graph::program::OperatorCode;
use pelton_runtime_core::window::{TimeDomain, WindowAssigner};

use crate::error::SqlError;
use crate::operator::{Step, WindowColumns};
use crate::planner::window_table::WindowTable;

use super::needs::{self, Need};
use super::stream::{Stream, WindowState, Windowed, window_type};
use super::{Lowering, physical, planning, unsupported};

impl Lowering<'_> {
    /// Rows that wait for their windows.
    pub(super) fn window_table(&self, node: &WindowTable, needs: Vec<Need>) -> Result<Stream, SqlError> {
        let schema = node.input.schema();
        let mut needs: Vec<Need> = needs.into_iter().take(node.input_columns()).collect();
        let is_event_time = node.assigner.domain() == TimeDomain::EventTime;
        if is_event_time {
            needs::add(&node.time, schema, &mut needs);
        }
        let mut stream = self.rows(&node.input, needs)?;
        if let Some(changes) = &stream.changes {
            return Err(unsupported(&format!("a window over rows that change, as those of {},", changes.node)));
        }
        if is_event_time {
            stream.steps.push(Step::Time(physical(&node.time, schema)?));
        }
        let zone = match node.time.get_type(schema.as_ref()).map_err(planning)? {
            DataType::Timestamp(_, zone) => zone,
            _ => None,
        };
        let window_time = DataType::Timestamp(arrow::datatypes::TimeUnit::Millisecond, zone);
        stream.windows = None;
        stream.await_windows(node.assigner, window_time);
        Ok(stream)
    }

    /// The same rows with the columns of their windows, a row for each window that it is in.
    pub(super) fn in_windows(&self, stream: Stream) -> Result<Stream, SqlError> {
        let Some(windows) = &stream.windows else { return Ok(stream) };
        let WindowState::Pending(assigner, window_time) = windows.state.clone() else { return Ok(stream) };
        if matches!(assigner, WindowAssigner::Session { .. }) {
            return Err(unsupported("SESSION without GROUP BY window_start and window_end"));
        }
        let mut fields = stream.schema().fields().to_vec();
        for (column, data_type) in
            [(windows.start, window_type()), (windows.end, window_type()), (windows.time, window_time)]
        {
            if let Some(column) = column {
                fields[column] = Arc::new(Field::new(fields[column].name(), data_type, false));
            }
        }
        let schema = Arc::new(Schema::new(fields));
        let windows = Windowed { state: Windowed::assigned(assigner.domain()), ..windows.clone() };
        let operator = WindowColumns::new(assigner, [windows.start, windows.end, windows.time], Arc::clone(&schema));
        let inputs = self.finish(stream)?;
        let code = OperatorCode::Operator(Arc::new(operator));
        let node = StreamNode::new("WindowTableFunction", OperatorRole::Transform, inputs, code);
        Ok(Stream { windows: Some(windows), ..self.start(node, schema) })
    }
}
