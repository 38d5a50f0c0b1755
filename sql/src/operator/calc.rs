//! Filters and projections, as many as follow each other, as one operator.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, NullArray, RecordBatch, RecordBatchOptions};
use arrow::compute::prep_null_mask_filter;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::utils::collect_columns;
use pelton_runtime_core::element::StreamBatch;
use pelton_runtime_core::operator::{
    InputIndex, Operator, OperatorContext, OperatorError, OperatorFactory, OperatorResult, OperatorRuntime,
};
use pelton_runtime_core::time::EpochMillis;

use super::watermark::millis;
use super::{evaluate, texts};
use crate::functions::set_now;

/// One thing that happens to every row.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// Rows for which the expression is not true are dropped.
    Filter(Arc<dyn PhysicalExpr>),
    /// The columns become these.
    Project { expressions: Vec<Arc<dyn PhysicalExpr>>, schema: SchemaRef },
    /// Rows get the time that the expression says.
    Time(Arc<dyn PhysicalExpr>),
    /// Times become texts, as Flink writes them into files.
    TimesAsTexts,
    /// Rows get the last millisecond before what the expression says.
    TimeBefore(Arc<dyn PhysicalExpr>),
}

/// Does one step after the other.
#[derive(Debug, Clone)]
pub(crate) struct Calc {
    steps: Arc<[Prepared]>,
}

#[derive(Debug, Clone)]
enum Prepared {
    Filter {
        predicate: Arc<dyn PhysicalExpr>,
        /// Which columns somebody reads after it; the others are not copied.
        kept: Option<Kept>,
    },
    Project {
        expressions: Vec<Arc<dyn PhysicalExpr>>,
        schema: SchemaRef,
    },
    TimesAsTexts {
        schema: SchemaRef,
    },
    Time {
        time: Arc<dyn PhysicalExpr>,
        /// What is subtracted.
        before_ms: EpochMillis,
    },
}

/// Columns that are read, at their places; those between them are nothing.
#[derive(Debug, Clone)]
struct Kept {
    columns: Vec<bool>,
    schema: SchemaRef,
}

impl Calc {
    /// The steps, on rows of `input`.
    pub(crate) fn new(steps: Vec<Step>, input: &SchemaRef) -> Self {
        let mut prepared = Vec::with_capacity(steps.len());
        let mut schema = Arc::clone(input);
        for (index, step) in steps.iter().enumerate() {
            prepared.push(match step {
                Step::Filter(predicate) => {
                    let kept = kept(&steps[index + 1..], &schema);
                    if let Some(kept) = &kept {
                        schema = Arc::clone(&kept.schema);
                    }
                    Prepared::Filter { predicate: Arc::clone(predicate), kept }
                }
                Step::Project { expressions, schema: projected } => {
                    schema = Arc::clone(projected);
                    Prepared::Project { expressions: expressions.clone(), schema: Arc::clone(projected) }
                }
                Step::TimesAsTexts => {
                    schema = texts::schema(&schema);
                    Prepared::TimesAsTexts { schema: Arc::clone(&schema) }
                }
                Step::Time(time) => Prepared::Time { time: Arc::clone(time), before_ms: 0 },
                Step::TimeBefore(time) => Prepared::Time { time: Arc::clone(time), before_ms: 1 },
            });
        }
        Self { steps: prepared.into() }
    }
}

/// What the next projection, and the filters before it, read; none when there is no projection and all columns stay.
fn kept(next: &[Step], schema: &Schema) -> Option<Kept> {
    let mut columns = vec![false; schema.fields().len()];
    let mut read = |expression: &Arc<dyn PhysicalExpr>| {
        for column in collect_columns(expression) {
            if let Some(kept) = columns.get_mut(column.index()) {
                *kept = true;
            }
        }
    };
    for step in next {
        match step {
            Step::Filter(read_there) | Step::Time(read_there) | Step::TimeBefore(read_there) => read(read_there),
            // All columns are read.
            Step::TimesAsTexts => return None,
            Step::Project { expressions, .. } => {
                expressions.iter().for_each(read);
                let field = |(field, kept): (&Arc<Field>, &bool)| match kept {
                    true => Arc::clone(field),
                    false => Arc::new(Field::new(field.name(), DataType::Null, true)),
                };
                let fields: Vec<_> = schema.fields().iter().zip(&columns).map(field).collect();
                return Some(Kept { columns, schema: Arc::new(Schema::new(fields)) });
            }
        }
    }
    None
}

impl OperatorFactory for Calc {
    fn create(&self, _runtime: &OperatorRuntime) -> OperatorResult<Box<dyn Operator>> {
        Ok(Box::new(self.clone()))
    }
}

impl Calc {
    /// The rows after all steps; none when none are left.
    pub(super) fn apply(
        &self,
        mut batch: StreamBatch,
        cx: &OperatorContext<'_>,
    ) -> OperatorResult<Option<StreamBatch>> {
        set_now(cx.processing_time());
        for step in self.steps.iter() {
            batch = match step {
                Prepared::Filter { predicate, kept } => filter(batch, predicate.as_ref(), kept.as_ref())?,
                Prepared::Project { expressions, schema } => project(batch, expressions, schema)?,
                Prepared::TimesAsTexts { schema } => texts::texts(batch, schema)?,
                Prepared::Time { time, before_ms } => timed(batch, time.as_ref(), *before_ms)?,
            };
            if batch.num_rows() == 0 {
                return Ok(None);
            }
        }
        Ok(Some(batch))
    }
}

impl Operator for Calc {
    fn process(&mut self, _input: InputIndex, batch: StreamBatch, cx: &mut OperatorContext<'_>) -> OperatorResult {
        if let Some(batch) = self.apply(batch, cx)? {
            cx.emit(batch);
        }
        Ok(())
    }
}

fn filter(batch: StreamBatch, predicate: &dyn PhysicalExpr, kept: Option<&Kept>) -> OperatorResult<StreamBatch> {
    let mask = evaluate(predicate, batch.records())?;
    let mask = mask.as_boolean_opt().ok_or_else(|| OperatorError::data("a condition is neither true nor false"))?;
    let batch = match kept {
        Some(kept) => {
            let rows = batch.num_rows();
            let column = |(column, kept): (&ArrayRef, &bool)| match kept {
                true => Arc::clone(column),
                false => Arc::new(NullArray::new(rows)) as ArrayRef,
            };
            let columns = batch.records().columns().iter().zip(&kept.columns).map(column).collect();
            let records = records(&kept.schema, columns, rows)?;
            batch.with_records(records)
        }
        None => batch,
    };
    Ok(match mask.null_count() {
        0 => batch.filter(mask)?,
        _ => batch.filter(&prep_null_mask_filter(mask))?,
    })
}

fn project(
    batch: StreamBatch,
    expressions: &[Arc<dyn PhysicalExpr>],
    schema: &SchemaRef,
) -> OperatorResult<StreamBatch> {
    let rows = batch.num_rows();
    let mut columns = Vec::with_capacity(expressions.len());
    for (expression, field) in expressions.iter().zip(schema.fields()) {
        let column = evaluate(expression.as_ref(), batch.records())?;
        if !field.is_nullable() && column.null_count() > 0 {
            let message = format!("a row has no value for the column `{}`, which is NOT NULL", field.name());
            return Err(OperatorError::data(message));
        }
        columns.push(column);
    }
    let records = records(schema, columns, rows)?;
    Ok(batch.with_records(records))
}

fn timed(batch: StreamBatch, time: &dyn PhysicalExpr, before_ms: EpochMillis) -> OperatorResult<StreamBatch> {
    let times = evaluate(time, batch.records())?;
    if times.null_count() > 0 {
        return Err(OperatorError::data("a row has no value for its event time: filter such rows before"));
    }
    let times = millis(&times)?;
    let times = match before_ms {
        0 => times,
        before_ms => times.iter().map(|time| time.saturating_sub(before_ms)).collect(),
    };
    Ok(batch.with_timestamps(Some(times)))
}

pub(super) fn records(schema: &SchemaRef, columns: Vec<ArrayRef>, rows: usize) -> OperatorResult<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
}
