//! Rows of a result as it was and as it is now, as changes of a stream.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::{concat, take};
use arrow::datatypes::SchemaRef;
use pelton_runtime_core::element::{RowKind, StreamBatch};
use pelton_runtime_core::operator::OperatorResult;

/// Changes, each a row of columns that hold what was before, then what is after.
#[derive(Debug, Default)]
pub(super) struct Changelog {
    rows: Vec<u32>,
    kinds: Vec<u8>,
}

impl Changelog {
    pub(super) fn push(&mut self, row: usize, kind: RowKind) {
        self.rows.push(row as u32);
        self.kinds.push(kind as u8);
    }

    /// The changes as rows of these columns. Without updates and deletions they are a stream of inserts.
    pub(super) fn into_batch(self, columns: &[ArrayRef], schema: &SchemaRef) -> OperatorResult<StreamBatch> {
        let count = self.rows.len();
        let rows = UInt32Array::from(self.rows);
        let columns = columns.iter().map(|column| take(column, &rows, None)).collect::<Result<Vec<_>, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        let records = RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?;
        let only_inserts = self.kinds.iter().all(|kind| *kind == RowKind::Insert as u8);
        Ok(StreamBatch::new(records).with_kinds((!only_inserts).then(|| self.kinds.into())))
    }
}

/// One column after the other.
pub(super) fn before_and_after(before: &ArrayRef, after: &ArrayRef) -> OperatorResult<ArrayRef> {
    Ok(concat(&[before.as_ref() as &dyn Array, after.as_ref()])?)
}
