//! Layers become rows again: the highest row of a key counts.
//!
//! Keys of higher layers are remembered while lower ones are read, those of the lowest never, as it is the largest.

use arrow::array::{ArrayRef, BooleanArray, RecordBatch};
use arrow::compute::{filter, filter_record_batch};
use arrow::datatypes::Schema;

use super::LayerRows;
use crate::checkpoint::snapshot::KeyedTable;
use crate::state::table_columns::key_and_window;
use crate::state::{KeyBatch, KeyIndex, NO_SLOT, Rows, Slot, StateError};

/// The rows of `tables` in these layers, the lowest first. A table of which no row is left is there without rows.
///
/// # Errors
///
/// When a layer does not have the columns that others do.
pub fn resolve(tables: &[String], layers: &[LayerRows]) -> Result<Vec<KeyedTable>, StateError> {
    let mut resolved = Vec::new();
    for name in tables {
        let (mut above, before) = (Above::default(), resolved.len());
        for (height, layer) in layers.iter().enumerate().rev() {
            let rows = || layer.rows.iter().filter(|table| table.name == *name);
            for table in rows() {
                resolved.extend(above.not_in(table)?);
            }
            if height == 0 {
                break;
            }
            for table in rows() {
                above.add(&table.rows, key_and_window(table.rows.schema_ref()))?;
            }
            for void in layer.void.iter().filter(|void| void.table == *name) {
                above.add(&void.keys, names(void.keys.schema_ref()))?;
            }
        }
        if resolved.len() == before {
            resolved.push(KeyedTable::without_rows(name));
        }
    }
    Ok(resolved)
}

/// What the layers above have said of one table.
#[derive(Default)]
struct Above {
    /// Values of these columns.
    sets: Vec<(Vec<String>, KeyIndex)>,
    keys: KeyBatch,
    slots: Vec<Slot>,
}

impl Above {
    fn add(&mut self, batch: &RecordBatch, columns: Vec<String>) -> Result<(), StateError> {
        let values = columns.iter().filter_map(|column| batch.column_by_name(column)).cloned().collect::<Vec<_>>();
        self.keys.read(&values, batch.num_rows())?;
        let position = match self.sets.iter().position(|(known, _)| *known == columns) {
            Some(position) => position,
            None => {
                self.sets.push((columns, KeyIndex::new(self.keys.types())));
                self.sets.len() - 1
            }
        };
        self.sets[position].1.slots(&self.keys, Rows::All(batch.num_rows()), &mut self.slots)
    }

    /// Those rows of a table of which nothing is above; none when there are none.
    fn not_in(&mut self, table: &KeyedTable) -> Result<Option<KeyedTable>, StateError> {
        let rows = table.rows.num_rows();
        let mut left = vec![true; rows];
        for (columns, index) in &self.sets {
            let values: Option<Vec<ArrayRef>> =
                columns.iter().map(|column| table.rows.column_by_name(column).cloned()).collect();
            let values = values.ok_or_else(|| StateError::StoredTable { table: table.name.clone() })?;
            self.keys.read(&values, rows)?;
            index.find(&self.keys, Rows::All(rows), &mut self.slots)?;
            left.iter_mut().zip(&self.slots).for_each(|(left, slot)| *left &= *slot == NO_SLOT);
        }
        if left.iter().all(|left| *left) {
            return Ok(Some(table.clone()).filter(|_| rows > 0));
        }
        let left = BooleanArray::from(left);
        if left.true_count() == 0 {
            return Ok(None);
        }
        let groups = filter(&table.key_groups, &left)?;
        Ok(Some(KeyedTable {
            name: table.name.clone(),
            key_groups: groups.to_data().into(),
            rows: filter_record_batch(&table.rows, &left)?,
        }))
    }
}

fn names(schema: &Schema) -> Vec<String> {
    schema.fields().iter().map(|field| field.name().clone()).collect()
}
