//! The place in a plan where rows get their event time.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use datafusion_common::{DFSchema, DFSchemaRef, DataFusionError, Result};
use datafusion_expr::{Expr, LogicalPlan, UserDefinedLogicalNodeCore};

use super::time_attribute::{TimeAttribute, marked};

/// Gives rows the time of a column, and the stream its watermarks.
///
/// What filters rows stays above: a row that nobody wants still says how far time has come.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct WatermarkNode {
    pub(crate) input: LogicalPlan,
    pub(crate) time: Expr,
    pub(crate) watermark: Expr,
    /// The columns of the input, of which one is a clock.
    schema: DFSchemaRef,
}

impl WatermarkNode {
    /// Makes the column `time` the clock of the rows of `input`.
    pub(super) fn new(input: LogicalPlan, time: Expr, watermark: Expr) -> Result<Self> {
        let clock = match &time {
            Expr::Column(column) => input.schema().maybe_index_of_column(column),
            _ => None,
        };
        let fields = input.schema().iter().enumerate().map(|(index, (qualifier, field))| {
            let field = if clock == Some(index) {
                Arc::new(marked(field.as_ref().clone(), TimeAttribute::Event))
            } else {
                Arc::clone(field)
            };
            (qualifier.cloned(), field)
        });
        let schema = DFSchema::new_with_metadata(fields.collect(), input.schema().metadata().clone())?;
        Ok(Self { input, time, watermark, schema: Arc::new(schema) })
    }
}

impl PartialOrd for WatermarkNode {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        (&self.input, &self.time, &self.watermark).partial_cmp(&(&other.input, &other.time, &other.watermark))
    }
}

impl UserDefinedLogicalNodeCore for WatermarkNode {
    fn name(&self) -> &str {
        "WatermarkAssigner"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        &self.schema
    }

    fn expressions(&self) -> Vec<Expr> {
        vec![self.time.clone(), self.watermark.clone()]
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WatermarkAssigner(rowtime=[{}], watermark=[{}])", self.time, self.watermark)
    }

    fn with_exprs_and_inputs(&self, expressions: Vec<Expr>, inputs: Vec<LogicalPlan>) -> Result<Self> {
        let (Ok([time, watermark]), Ok([input])) =
            (<[Expr; 2]>::try_from(expressions), <[LogicalPlan; 1]>::try_from(inputs))
        else {
            return Err(DataFusionError::Internal("a watermark has two expressions and one input".to_owned()));
        };
        Self::new(input, time, watermark)
    }

    fn necessary_children_exprs(&self, output_columns: &[usize]) -> Option<Vec<Vec<usize>>> {
        let schema = self.input.schema();
        let mut needed: BTreeSet<usize> = output_columns.iter().copied().collect();
        for expression in [&self.time, &self.watermark] {
            for column in expression.column_refs() {
                needed.insert(schema.maybe_index_of_column(column)?);
            }
        }
        Some(vec![needed.into_iter().collect()])
    }
}
