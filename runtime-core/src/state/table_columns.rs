//! What the columns of a table of keyed rows are called, when it leaves an operator.
//!
//! ```text
//!  key.0  key.1 …  [window.start  window.end]  [time]  state.NAME …
//! ```

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{DataType, Field, Schema};

use super::{KeyBatch, StateError};

pub(super) const WINDOW_START: &str = "window.start";
pub(super) const WINDOW_END: &str = "window.end";
pub(super) const TIME: &str = "time";
const KEY: &str = "key.";
const STATE: &str = "state.";

pub(super) fn key_name(index: usize) -> String {
    format!("{KEY}{index}")
}

pub(super) fn state_name(name: &str) -> String {
    format!("{STATE}{name}")
}

/// The state that a column is of, if it is of one.
pub(super) fn state_of(column: &str) -> Option<&str> {
    column.strip_prefix(STATE)
}

/// The types of the keys of such a table.
pub(super) fn key_types(table: &Schema) -> Arc<[DataType]> {
    let of_key = |index| table.field_with_name(&key_name(index)).ok();
    (0..).map_while(of_key).map(|field| field.data_type().clone()).collect()
}

/// The columns by which such a table tells a row's key and window.
pub(super) fn key_and_window(table: &Schema) -> Vec<String> {
    let of_key = (0..).map(key_name).take_while(|name| table.field_with_name(name).is_ok());
    let of_window = [WINDOW_START, WINDOW_END].into_iter().filter(|name| table.field_with_name(name).is_ok());
    of_key.chain(of_window.map(str::to_owned)).collect()
}

/// Rows of these columns, every one of which may hold NULL.
pub(super) fn table(columns: Vec<(String, ArrayRef)>, rows: usize) -> Result<RecordBatch, StateError> {
    let fields = columns.iter().map(|(name, column)| Field::new(name, column.data_type().clone(), true));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let columns = columns.into_iter().map(|(_, column)| column).collect();
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(schema, columns, &options)?)
}

/// The keys of a table's rows.
pub(super) fn read_keys(table: &RecordBatch) -> Result<KeyBatch, StateError> {
    let columns: Vec<ArrayRef> = (0..).map_while(|index| table.column_by_name(&key_name(index))).cloned().collect();
    let mut keys = KeyBatch::default();
    keys.read(&columns, table.num_rows())?;
    Ok(keys)
}
