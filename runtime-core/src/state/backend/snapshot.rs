//! How the tables of a backend leave it and return.
//!
//! All namespaces share one table of rows, in the order of key groups: the key, the window, and a column per state. A
//! row that returns finds its namespace and its key anew, so the tables may come from any number of instances.
//!
//! Refused: a state that is not registered any more, unless it may be dropped, and a state whose type has changed beyond what
//! [`adapt`](super::super::adapt) bridges. A state that the rows lack is new and empty.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, UInt32Array, new_null_array};
use arrow::compute;
use arrow::datatypes::{DataType, Int64Type};

use super::changes::Bits;
use super::cold_part::{ColdPart, StoredForm};
use super::cold_rows::{ColdRows, RowShape};
use super::{KeyedStateBackend, Namespace, NamespaceTable};
use crate::checkpoint::snapshot::{KeyedTable, OperatorSnapshot, RestoredState, StreamedTable, Unclaimed};
use crate::state::codec::ColumnError;
use crate::state::files::{StoredFiles, StoredPart, StoredSnapshot, StoredTable};
use crate::state::key_order::order;
use crate::state::table_columns::{WINDOW_END, WINDOW_START, key_name, read_keys, state_name, state_of, table};
use crate::state::{KeyBatch, Rows, Slot, StateError};
use crate::window::TimeWindow;

/// How many rows return at once where what they become may have to be written away.
const RESTORED_ROWS: usize = 8192;

/// Is shown a table and slots in it that have just come back.
pub type SeeRestored<'a> = dyn FnMut(&mut NamespaceTable, &[Slot]) -> Result<(), StateError> + 'a;

/// The rows of one namespace, in the order of key groups.
struct Part {
    groups: Vec<u32>,
    columns: Vec<(String, ArrayRef)>,
}

impl KeyedStateBackend {
    /// Adds everything in the backend to `snapshot`, as a table of this name; nothing when there are no keys. What a
    /// store has is read when it is written away, or leaves as files: then timers of these keys were saved before.
    ///
    /// # Errors
    ///
    /// When a state's values exceed what a column can hold, or the store refuses.
    pub fn save(
        &mut self,
        name: &str,
        max_parallelism: u32,
        snapshot: &mut OperatorSnapshot,
    ) -> Result<(), StateError> {
        if self.is_cache() {
            self.write_back_all()?;
        } else if !self.save_layered(name, max_parallelism, snapshot)? {
            snapshot.keyed.extend(self.snapshot(name, max_parallelism)?);
        }
        let Some(cold) = self.cold.clone() else { return Ok(()) };
        let mut cold = cold.lock();
        let shape = if self.is_cache() { self.shape(&cold) } else { None };
        if !cold.wants_files() {
            if let Some(shape) = shape {
                let (rows, groups) = (cold.hold_all()?, cold.groups());
                let rows = Arc::new(ColdRows::new(rows, shape, groups));
                snapshot.streamed.push(StreamedTable { name: name.to_owned(), rows });
            }
            return Ok(());
        }
        if let Some(shape) = shape {
            let table = StoredTable {
                name: name.to_owned(),
                rows: shape.form.kind.into(),
                schema: shape.schema()?,
                now: shape.now,
                namespaces: self.tables.keys().copied().collect(),
            };
            snapshot.stored.get_or_insert_with(|| StoredSnapshot::new(cold.groups())).tables.push(table);
        }
        if let Some(stored) = &mut snapshot.stored {
            stored.files = StoredFiles::Held(cold.files()?);
        }
        Ok(())
    }

    /// Writes every slot to the store, so that it has everything.
    fn write_back_all(&mut self) -> Result<(), StateError> {
        for NamespaceTable { index, columns, cache, .. } in self.tables.values_mut() {
            if let Some(cache) = cache {
                cache.flush(index, columns)?;
            }
        }
        Ok(())
    }

    /// What the rows of slots in the store look like; none when there never were any.
    fn shape(&self, cold: &ColdPart) -> Option<RowShape> {
        Some(RowShape {
            form: cold.form()?,
            names: self.names.clone(),
            key_types: self.tables.values().next()?.index.types().clone(),
            with_windows: self.tables.keys().any(|namespace| *namespace != Namespace::Void),
            now: cold.now(),
        })
    }

    /// Takes back everything of a table that instances of this operator saved, in whatever form, as far as it is this
    /// instance's own. Called before there are any other keys, and before the timers of the keys are taken back.
    ///
    /// # Errors
    ///
    /// When the rows do not fit the states that are registered, or files cannot be read.
    pub fn restore_from(&mut self, state: &mut RestoredState, name: &str) -> Result<(), StateError> {
        self.restore_seen(state, name, &mut |_, _| Ok(()))
    }

    /// The same, where `see` is shown every table and slots in it that have just come back, as long as they are there.
    /// What is in files that the store has taken over is not shown: it is not read.
    ///
    /// # Errors
    ///
    /// As of [`restore_from`](Self::restore_from), and what `see` answers.
    pub fn restore_seen(
        &mut self,
        state: &mut RestoredState,
        name: &str,
        see: &mut SeeRestored<'_>,
    ) -> Result<(), StateError> {
        self.unclaimed = state.unclaimed;
        let parts = state.take_stored(name);
        self.adopt(&parts)?;
        self.restore_batches(&state.take_keyed(name), see)?;
        for part in parts.iter().filter(|part| !part.adopted.get()) {
            for rows in part.rows()?.batches() {
                self.restore_batches(&[rows?.1], see)?;
            }
        }
        Ok(())
    }

    /// Lets the store take over the files that have most of this instance's key groups, if their rows have the form that
    /// this instance gives them.
    fn adopt(&mut self, parts: &[StoredPart]) -> Result<(), StateError> {
        let Some(cold) = self.cold.clone() else { return Ok(()) };
        let Some(part) = parts.iter().max_by_key(|part| part.own.len()) else { return Ok(()) };
        let Some((form, key_types)) = self.form_of(&part.table)? else { return Ok(()) };
        if !cold.lock().adopt(part, form)? {
            return Ok(());
        }
        part.adopted.set();
        for namespace in &part.table.namespaces {
            if let Some(cache) = &mut self.table(*namespace, &key_types).cache {
                cache.note_rows();
            }
        }
        Ok(())
    }

    /// The form of the rows of a stored table, if it is the one that rows have here.
    fn form_of(&self, table: &StoredTable) -> Result<Option<(StoredForm, Vec<DataType>)>, StateError> {
        let mut columns: Vec<_> = self.states.iter().map(|(_, make)| make()).collect();
        if !columns.iter().all(|column| column.is_evictable()) {
            return Ok(None);
        }
        let names: Vec<String> = self.states.iter().map(|(name, _)| name.clone()).collect();
        let form = StoredForm::of(&mut columns, &names)?;
        let Some(shape) = RowShape::of(table)? else { return Ok(None) };
        let stored: Vec<&String> = form.states.iter().map(|state| &names[*state]).collect();
        let is_same = form.is_like(&shape.form) && stored.into_iter().eq(shape.names.iter());
        Ok(is_same.then(|| (form, shape.key_types.to_vec())))
    }

    /// Everything on the heap as a table of this name; none when there are no keys.
    pub fn snapshot(&mut self, name: &str, max_parallelism: u32) -> Result<Option<KeyedTable>, StateError> {
        let with_windows = self.tables.keys().any(|namespace| *namespace != Namespace::Void);
        self.table_of(name, max_parallelism, with_windows, |_| None)
    }

    /// What is in those slots of each table that `only` says, or in all of them, as a table of this name.
    pub(super) fn table_of(
        &mut self,
        name: &str,
        max_parallelism: u32,
        with_windows: bool,
        only: impl Fn(&NamespaceTable) -> Option<Bits>,
    ) -> Result<Option<KeyedTable>, StateError> {
        let states: Vec<&str> = self.states.iter().map(|(state, _)| state.as_str()).collect();
        let mut parts = Vec::new();
        for (namespace, contents) in &mut self.tables {
            let slots = match only(contents) {
                Some(only) => contents.index.used_among(&only.slots().collect::<Vec<_>>()),
                None => contents.index.used_slots(),
            };
            if !slots.is_empty() {
                let window = with_windows.then_some(*namespace);
                parts.push(part(contents, &slots, window, &states, max_parallelism)?);
            }
        }
        if parts.is_empty() {
            return Ok(None);
        }
        let Part { groups, columns } =
            if parts.len() == 1 { parts.remove(0) } else { merged(&parts, max_parallelism)? };
        let rows = table(columns, groups.len())?;
        Ok(Some(KeyedTable { name: name.to_owned(), key_groups: UInt32Array::from(groups), rows }))
    }

    /// Takes rows back that [`snapshot`](Self::snapshot) made, in this backend or in others that registered the same
    /// states. Called before there are any other keys.
    ///
    /// # Errors
    ///
    /// When the rows do not fit the states that are registered.
    pub fn restore(&mut self, batches: &[RecordBatch]) -> Result<(), StateError> {
        self.restore_batches(batches, &mut |_, _| Ok(()))
    }

    fn restore_batches(&mut self, batches: &[RecordBatch], see: &mut SeeRestored<'_>) -> Result<(), StateError> {
        if self.cold.is_none() {
            return batches.iter().try_for_each(|batch| self.restore_rows(batch, see));
        }
        for batch in batches {
            for start in (0..batch.num_rows()).step_by(RESTORED_ROWS) {
                self.restore_rows(&batch.slice(start, RESTORED_ROWS.min(batch.num_rows() - start)), see)?;
                self.make_room()?;
            }
        }
        Ok(())
    }

    fn restore_rows(&mut self, batch: &RecordBatch, see: &mut SeeRestored<'_>) -> Result<(), StateError> {
        let (mut states, mut drops) = (Vec::with_capacity(batch.num_columns()), false);
        for (field, column) in batch.schema_ref().fields().iter().zip(batch.columns()) {
            let Some(name) = state_of(field.name()) else { continue };
            match self.states.iter().position(|(registered, _)| registered == name) {
                Some(position) => states.push((position, column)),
                None => {
                    self.leave_behind(name)?;
                    drops = true;
                }
            }
        }
        let keys = read_keys(batch)?;
        let mut slots = Vec::new();
        for (namespace, rows) in rows_by_namespace(batch)? {
            let picked = rows.as_ref().map_or(Rows::All(keys.len()), |rows| Rows::Picked(rows.values()));
            let contents = self.table(namespace, keys.types());
            slots_of(contents, &keys, picked, &mut slots)?;
            for (position, column) in &states {
                let values = match &rows {
                    Some(rows) => compute::take(column, rows, None)?,
                    None => (*column).clone(),
                };
                if let Err(reason) = contents.columns[*position].restore(&slots, &values) {
                    let name = self.states[*position].0.clone();
                    return Err(StateError::Restore { name, reason: Box::new(reason) });
                }
            }
            if drops {
                // Keys that had nothing else are forgotten.
                let mut empty = slots.clone();
                contents.free_empty(&mut empty);
                slots.retain(|slot| empty.binary_search(slot).is_err());
            }
            see(contents, &slots)?;
        }
        Ok(())
    }

    /// A restored state is not registered.
    fn leave_behind(&mut self, name: &str) -> Result<(), StateError> {
        match self.unclaimed {
            Unclaimed::Refused => Err(StateError::Dropped { name: name.to_owned() }),
            Unclaimed::Dropped => {
                if self.dropped.insert(name.to_owned()) {
                    tracing::warn!(state = name, "state is dropped: the operator registers it no more");
                }
                Ok(())
            }
        }
    }
}

/// The columns that tell the window of so many rows.
pub(super) fn window_columns(namespace: Namespace, rows: usize) -> [(String, ArrayRef); 2] {
    let bound = |pick: fn(TimeWindow) -> i64| -> ArrayRef {
        match namespace {
            Namespace::Window(window) => Arc::new(Int64Array::from_value(pick(window), rows)),
            Namespace::Void => new_null_array(&DataType::Int64, rows),
        }
    };
    [(WINDOW_START.to_owned(), bound(|window| window.start)), (WINDOW_END.to_owned(), bound(|window| window.end))]
}

/// The rows of these slots of one namespace's table.
fn part(
    contents: &mut NamespaceTable,
    slots: &[Slot],
    window: Option<Namespace>,
    states: &[&str],
    max_parallelism: u32,
) -> Result<Part, StateError> {
    let (slots, groups) = contents.index.in_groups(slots, max_parallelism);
    let keys = contents.index.columns(&slots)?;
    let mut columns: Vec<(String, ArrayRef)> =
        keys.into_iter().enumerate().map(|(index, column)| (key_name(index), column)).collect();
    if let Some(namespace) = window {
        columns.extend(window_columns(namespace, slots.len()));
    }
    for (name, column) in states.iter().zip(&mut contents.columns) {
        let values = column
            .snapshot(&slots)
            .map_err(|reason| StateError::Snapshot { name: (*name).to_owned(), reason: Box::new(reason) })?;
        columns.extend(values.map(|values| (state_name(name), values)));
    }
    Ok(Part { groups, columns })
}

/// The rows of several namespaces, in the order of key groups over all.
fn merged(parts: &[Part], max_parallelism: u32) -> Result<Part, StateError> {
    let places: Vec<(usize, usize)> =
        parts.iter().enumerate().flat_map(|(part, rows)| (0..rows.groups.len()).map(move |row| (part, row))).collect();
    let groups: Vec<u32> = parts.iter().flat_map(|part| part.groups.iter().copied()).collect();
    let order = order(&groups, max_parallelism);
    let places: Vec<(usize, usize)> = order.iter().map(|position| places[*position as usize]).collect();
    let groups = order.iter().map(|position| groups[*position as usize]).collect();
    let column = |(index, (name, _)): (usize, &(String, ArrayRef))| {
        let of_parts: Vec<&dyn Array> = parts.iter().map(|part| part.columns[index].1.as_ref()).collect();
        Ok((name.clone(), compute::interleave(&of_parts, &places)?))
    };
    let columns = parts[0].columns.iter().enumerate().map(column).collect::<Result<Vec<_>, StateError>>()?;
    Ok(Part { groups, columns })
}

/// Which rows belong to which namespace; absent rows are all of them.
fn rows_by_namespace(batch: &RecordBatch) -> Result<Vec<(Namespace, Option<UInt32Array>)>, StateError> {
    let bound = |name: &str| batch.column_by_name(name).and_then(|column| column.as_primitive_opt::<Int64Type>());
    let (Some(starts), Some(ends)) = (bound(WINDOW_START), bound(WINDOW_END)) else {
        return Ok(vec![(Namespace::Void, None)]);
    };
    let mut rows: BTreeMap<Namespace, Vec<u32>> = BTreeMap::new();
    for row in 0..batch.num_rows() {
        let namespace = match starts.is_valid(row) && ends.is_valid(row) {
            true => Namespace::Window(TimeWindow::new(starts.value(row), ends.value(row))),
            false => Namespace::Void,
        };
        rows.entry(namespace).or_default().push(row as u32);
    }
    Ok(rows.into_iter().map(|(namespace, rows)| (namespace, Some(rows.into()))).collect())
}

/// Slots for keys that come back. Each is new, or the rows are not of a snapshot's making.
fn slots_of(
    contents: &mut NamespaceTable,
    keys: &KeyBatch,
    rows: Rows<'_>,
    slots: &mut Vec<Slot>,
) -> Result<(), StateError> {
    let known = contents.index.len();
    contents.new_slots(keys, rows, slots)?;
    if contents.index.len() != known + slots.len() {
        let reason = ColumnError::Corrupt { what: "a key is there twice" };
        return Err(StateError::Restore { name: "key".to_owned(), reason: Box::new(reason) });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
