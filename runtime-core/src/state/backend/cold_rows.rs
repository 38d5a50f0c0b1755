//! The rows of a store at one moment, in the form in which state leaves an operator: read off the task's thread, some
//! thousands at a time.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, UInt32Array};
use arrow::datatypes::DataType;

use super::Namespace;
use super::cold_part::StoredForm;
use crate::checkpoint::snapshot::KeyedBatches;
use crate::state::cold::{ColdSnapshot, KeyedRows, ScanLimit};
use crate::state::key_index::key_columns;
use crate::state::row_key::{self, RowKey};
use crate::state::table_columns::{WINDOW_END, WINDOW_START, key_name, state_name, table};
use crate::state::{ColumnError, StateError, row_expiry};
use crate::time::EpochMillis;

/// How much of the rows is in memory at once.
const BATCH: ScanLimit = ScanLimit { rows: 8192, bytes: 4 << 20 };

/// Everything that a store held at one moment.
pub(super) struct ColdRows {
    pub(super) snapshot: Box<dyn ColdSnapshot>,
    pub(super) form: Arc<StoredForm>,
    pub(super) names: Arc<[String]>,
    pub(super) key_types: Arc<[DataType]>,
    pub(super) with_windows: bool,
    /// What is void at this time is left out.
    pub(super) now: EpochMillis,
}

impl KeyedBatches for ColdRows {
    fn batches(&self) -> Box<dyn Iterator<Item = Result<(UInt32Array, RecordBatch), StateError>> + '_> {
        let (mut from, until) = row_key::everything(self.form.kind);
        let mut rows = KeyedRows::default();
        let mut next = move || -> Result<Option<(UInt32Array, RecordBatch)>, StateError> {
            loop {
                rows.clear();
                self.snapshot.scan(&from, &until, BATCH, &mut rows)?;
                let Some(last) = rows.keys.last() else { return Ok(None) };
                from = row_key::successor(last);
                let batch = self.batch(&rows)?;
                if batch.1.num_rows() > 0 {
                    return Ok(Some(batch));
                }
            }
        };
        // Behind an error nothing can be said about what follows.
        let mut failed = false;
        Box::new(std::iter::from_fn(move || {
            let batch = if failed { None } else { next().transpose() };
            failed = matches!(batch, Some(Err(_)));
            batch
        }))
    }
}

impl ColdRows {
    fn batch(&self, rows: &KeyedRows) -> Result<(UInt32Array, RecordBatch), StateError> {
        let rows = rows.keys.iter().zip(rows.values.iter());
        let lasting = rows.filter(|(key, row)| !row_expiry::is_void(key, row, self.now));
        let (keys, rows): (Vec<&[u8]>, Vec<&[u8]>) = lasting.unzip();
        let keys = keys.into_iter().map(RowKey::read).collect::<Result<Vec<_>, _>>()?;
        let groups = UInt32Array::from_iter_values(keys.iter().map(|key| key.key_group));
        let of_key = key_columns(&self.key_types, keys.iter().map(|key| key.key).collect())?;
        let mut columns: Vec<(String, ArrayRef)> =
            of_key.into_iter().enumerate().map(|(index, column)| (key_name(index), column)).collect();
        if self.with_windows {
            let bound = |pick: fn(Namespace) -> Option<i64>| -> ArrayRef {
                Arc::new(keys.iter().map(|key| pick(key.namespace)).collect::<Int64Array>())
            };
            columns.push((WINDOW_START.to_owned(), bound(|namespace| namespace.window().map(|window| window.start))));
            columns.push((WINDOW_END.to_owned(), bound(|namespace| namespace.window().map(|window| window.end))));
        }
        let unreadable =
            |reason: ColumnError| StateError::Snapshot { name: self.names.join("`, `"), reason: Box::new(reason) };
        let count = rows.len();
        let values = self.form.decode(rows.into_iter()).map_err(unreadable)?;
        let states = self.form.states.iter().map(|state| state_name(&self.names[*state]));
        columns.extend(states.zip(values));
        Ok((groups, table(columns, count)?))
    }
}
