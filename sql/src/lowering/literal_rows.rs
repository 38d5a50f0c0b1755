//! Rows that stand in the script: `VALUES`, and `SELECT` without `FROM`.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::compute::{cast, concat};
use arrow::datatypes::Schema;
use datafusion_common::DFSchema;
use datafusion_expr::{EmptyRelation, Values};
use pelton_connectors::Collection;

use crate::error::SqlError;

use super::{internal, physical, unnested};

/// The rows of `VALUES`.
pub(super) fn values(values: &Values) -> Result<Collection, SqlError> {
    let schema = unnested(values.schema.as_arrow());
    let (nothing, one_row) = (DFSchema::empty(), one_row()?);
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(schema.fields().len());
    for (index, field) in schema.fields().iter().enumerate() {
        let mut cells = Vec::with_capacity(values.values.len());
        for row in &values.values {
            let expression =
                row.get(index).ok_or_else(|| internal("rows of VALUES have different lengths".to_owned()))?;
            let value = physical(expression, &nothing)?.evaluate(&one_row).and_then(|value| value.into_array(1));
            let value = value.map_err(super::planning)?;
            cells.push(cast(&value, field.data_type()).map_err(|error| internal(error.to_string()))?);
        }
        let cells: Vec<&dyn arrow::array::Array> = cells.iter().map(|cell| cell.as_ref()).collect();
        columns.push(concat(&cells).map_err(|error| internal(error.to_string()))?);
    }
    let rows = RecordBatch::try_new(Arc::clone(&schema), columns).map_err(|error| internal(error.to_string()))?;
    Collection::new(schema, vec![rows]).map_err(|error| internal(error.to_string()))
}

/// One row without columns, or none.
pub(super) fn empty(empty: &EmptyRelation) -> Result<Collection, SqlError> {
    let schema = unnested(empty.schema.as_arrow());
    let rows = if empty.produce_one_row { vec![one_row()?] } else { Vec::new() };
    Collection::new(schema, rows).map_err(|error| internal(error.to_string()))
}

fn one_row() -> Result<RecordBatch, SqlError> {
    let options = RecordBatchOptions::new().with_row_count(Some(1));
    RecordBatch::try_new_with_options(Arc::new(Schema::empty()), Vec::new(), &options)
        .map_err(|error| internal(error.to_string()))
}
