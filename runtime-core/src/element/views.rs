//! View columns on their way out of the process: Arrow writes all buffers that a view shares, also what nobody sees.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{ByteViewType, DataType};
use arrow::error::ArrowError;

/// Copies view columns that keep far more bytes alive than they show: all of those would travel.
pub(crate) fn compact_views(records: &RecordBatch) -> Result<Cow<'_, RecordBatch>, ArrowError> {
    let is_view = |column: &ArrayRef| matches!(column.data_type(), DataType::Utf8View | DataType::BinaryView);
    if !records.columns().iter().any(is_view) {
        return Ok(Cow::Borrowed(records));
    }
    let columns = records.columns().iter().map(|column| match column.data_type() {
        DataType::Utf8View => compact_view::<arrow::datatypes::StringViewType>(column),
        DataType::BinaryView => compact_view::<arrow::datatypes::BinaryViewType>(column),
        _ => Arc::clone(column),
    });
    let options = RecordBatchOptions::new().with_row_count(Some(records.num_rows()));
    RecordBatch::try_new_with_options(records.schema(), columns.collect(), &options).map(Cow::Owned)
}

fn compact_view<T: ByteViewType>(column: &ArrayRef) -> ArrayRef {
    let views = column.as_byte_view::<T>();
    let kept: usize = views.data_buffers().iter().map(arrow::buffer::Buffer::len).sum();
    if kept > 2 * views.total_buffer_bytes_used() { Arc::new(views.gc()) } else { Arc::clone(column) }
}
