//! The place in a plan where rows get their event time.

use std::collections::BTreeSet;
use std::fmt;

use datafusion_common::{DFSchemaRef, DataFusionError, Result};
use datafusion_expr::{Expr, LogicalPlan, UserDefinedLogicalNodeCore};

/// Gives rows the time of a column, and the stream its watermarks.
///
/// What filters rows stays above: a row that nobody wants still says how far time has come.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd)]
pub(crate) struct WatermarkNode {
    pub(crate) input: LogicalPlan,
    pub(crate) time: Expr,
    pub(crate) watermark: Expr,
}

impl UserDefinedLogicalNodeCore for WatermarkNode {
    fn name(&self) -> &str {
        "WatermarkAssigner"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        self.input.schema()
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
        Ok(Self { input, time, watermark })
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
