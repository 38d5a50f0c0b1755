//! The rows of a store at one moment, in the form in which state leaves an operator: read off the task's thread, some
//! thousands at a time.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, UInt32Array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use super::Namespace;
use super::cold_part::StoredForm;
use crate::checkpoint::snapshot::KeyedBatches;
use crate::key_group::KeyGroupRange;
use crate::state::cold::{ColdSnapshot, KeyedRows, ScanLimit};
use crate::state::files::{StoredRows, StoredTable};
use crate::state::key_index::key_columns;
use crate::state::row_key::{self, RowKey, SlotRows};
use crate::state::table_columns::{WINDOW_END, WINDOW_START, key_name, key_types, state_name, state_of, table};
use crate::state::{ColumnError, StateError, Ttl, row_expiry};
use crate::time::EpochMillis;

/// How much of the rows is in memory at once.
const BATCH: ScanLimit = ScanLimit { rows: 8192, bytes: 4 << 20 };

/// What the rows of slots look like.
pub(in crate::state) struct RowShape {
    pub(super) form: Arc<StoredForm>,
    /// The names of states, to which the form's positions refer.
    pub(super) names: Arc<[String]>,
    pub(super) key_types: Arc<[DataType]>,
    pub(super) with_windows: bool,
    /// What is void at this time is left out.
    pub(super) now: EpochMillis,
}

/// Rows of slots that a store held at one moment.
pub(in crate::state) struct ColdRows {
    snapshot: Arc<dyn ColdSnapshot>,
    shape: RowShape,
    groups: Range<u32>,
}

impl KeyedBatches for ColdRows {
    fn batches(&self) -> Box<dyn Iterator<Item = Result<(UInt32Array, RecordBatch), StateError>> + '_> {
        let (mut from, until) = row_key::of_slots(self.shape.form.kind, self.groups.clone());
        let mut rows = KeyedRows::default();
        let mut next = move || -> Result<Option<(UInt32Array, RecordBatch)>, StateError> {
            loop {
                rows.clear();
                self.snapshot.scan(&from, &until, BATCH, &mut rows)?;
                let Some(last) = rows.keys.last() else { return Ok(None) };
                from = row_key::successor(last);
                let batch = self.shape.batch(&rows)?;
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
    /// Those of `groups`, which are all that there are in the snapshot.
    pub(super) fn new(snapshot: Arc<dyn ColdSnapshot>, shape: RowShape, groups: KeyGroupRange) -> Self {
        Self { snapshot, shape, groups: groups.start..groups.end }
    }

    /// Those of a table of slots in the files of a store, in these key groups.
    ///
    /// # Errors
    ///
    /// When the table is none of slots.
    pub(in crate::state) fn stored(
        snapshot: Arc<dyn ColdSnapshot>,
        table: &StoredTable,
        groups: Range<u32>,
    ) -> Result<Self, StateError> {
        let shape = RowShape::of(table)?.ok_or_else(|| StateError::StoredTable { table: table.name.clone() })?;
        Ok(Self { snapshot, shape, groups })
    }
}

/// Where a field says for how many milliseconds its state lives.
const TTL: &str = "ttl.ms";

/// How long the state of a field lives; `None` when what is said of that is no number.
fn time_to_live(field: &Field) -> Option<Option<Ttl>> {
    match field.metadata().get(TTL) {
        Some(millis) => Some(Some(Ttl { millis: millis.parse().ok()? })),
        None => Some(None),
    }
}

impl RowShape {
    /// What the rows of a stored table look like; none when it is one of timers.
    pub(super) fn of(table: &StoredTable) -> Result<Option<Self>, StateError> {
        let kind = match table.rows {
            StoredRows::Lasting => SlotRows::Lasting,
            StoredRows::Expiring => SlotRows::Expiring,
            StoredRows::Timers(_) => return Ok(None),
        };
        let fields = table.schema.fields();
        let states = fields.iter().filter_map(|field| Some((state_of(field.name())?.to_owned(), field.data_type())));
        let (names, types): (Vec<String>, Vec<DataType>) =
            states.map(|(name, data_type)| (name, data_type.clone())).unzip();
        let unreadable = |reason| StateError::Restore { name: names.join("`, `"), reason: Box::new(reason) };
        let of_states = fields.iter().filter(|field| state_of(field.name()).is_some());
        let lives = of_states.map(|field| time_to_live(field)).collect::<Option<Vec<_>>>();
        let lives = lives.ok_or_else(|| StateError::StoredTable { table: table.name.clone() })?;
        let form = StoredForm::of_types(kind, &types, lives).map_err(unreadable)?;
        Ok(Some(Self {
            form: Arc::new(form),
            names: names.into(),
            key_types: key_types(&table.schema),
            with_windows: table.schema.field_with_name(WINDOW_START).is_ok(),
            now: table.now,
        }))
    }

    /// The columns of a batch.
    pub(super) fn schema(&self) -> Result<SchemaRef, StateError> {
        let schema = self.batch(&KeyedRows::default())?.1.schema();
        let mut lives = self.form.lives.iter();
        let fields = schema.fields().iter().map(|field| match state_of(field.name()).and_then(|_| *lives.next()?) {
            Some(ttl) => field.as_ref().clone().with_metadata([(TTL.to_owned(), ttl.millis.to_string())].into()),
            None => field.as_ref().clone(),
        });
        Ok(Arc::new(Schema::new(fields.collect::<Vec<_>>())))
    }

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
