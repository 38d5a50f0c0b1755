//! What records and batches that do not fit a typed operator become.

use pelton_runtime_core::element::{RowKind, StreamBatch};
use pelton_runtime_core::operator::{OperatorError, OperatorResult};

use crate::record::RecordError;

impl From<RecordError> for OperatorError {
    fn from(error: RecordError) -> Self {
        match error {
            RecordError::Arrow { source, .. } => Self::Arrow(source),
            other => Self::data(other.to_string()),
        }
    }
}

/// Refuses rows that change or delete earlier ones: closures see records, not changes.
pub(crate) fn only_inserts(batch: &StreamBatch) -> OperatorResult {
    let changes = |kinds: &[u8]| kinds.iter().position(|&kind| kind != RowKind::Insert as u8);
    match batch.kinds().and_then(|kinds| changes(kinds)) {
        None => Ok(()),
        Some(row) => Err(OperatorError::data(format!(
            "row {row} of a batch updates or deletes an earlier row, but a `DataStream` holds inserts only: convert \
             the changelog before using it as a stream"
        ))),
    }
}
