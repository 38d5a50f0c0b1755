//! State on its way out of an operator and back: named tables of rows.
//!
//! Keyed rows know their key group, so that they find the subtask that owns it at any parallelism. Operator state is
//! redistributed by a rule of its own.
//!
//! Invariants: names are unique within one operator's keyed tables and within its operator tables; keyed rows are in
//! the order of their key groups; an operator gets back only rows that are its own.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use arrow::array::{RecordBatch, UInt32Array};
use arrow::compute::{concat, concat_batches};
use arrow::datatypes::Schema;

use crate::key_group::KeyGroupRange;
use crate::state::StateError;
use crate::state::files::{StoredPart, StoredSnapshot};
use crate::state::layers::{LayeredSnapshot, VoidKeys};

/// Rows that belong to keys.
#[derive(Debug, Clone)]
pub struct KeyedTable {
    /// The table's name within the operator.
    pub name: String,
    /// The key group of every row, ascending.
    pub key_groups: UInt32Array,
    /// The rows: key, namespace and values, as the operator likes.
    pub rows: RecordBatch,
}

impl KeyedTable {
    /// A table of which nobody here has a row.
    pub fn without_rows(name: &str) -> Self {
        let (key_groups, rows) =
            (UInt32Array::from(Vec::<u32>::new()), RecordBatch::new_empty(Arc::new(Schema::empty())));
        Self { name: name.to_owned(), key_groups, rows }
    }

    /// The rows whose key groups lie in `range`; a slice, nothing is copied.
    pub fn rows_of(&self, range: KeyGroupRange) -> RecordBatch {
        let groups = self.key_groups.values();
        let start = groups.partition_point(|group| *group < range.start);
        let end = groups.partition_point(|group| *group < range.end);
        self.rows.slice(start, end - start)
    }
}

/// Rows of keys of one moment that are too many to be in memory at once: read, some at a time, by whoever writes them.
#[derive(Clone)]
pub struct StreamedTable {
    /// The table's name within the operator.
    pub name: String,
    /// The rows.
    pub rows: Arc<dyn KeyedBatches>,
}

impl fmt::Debug for StreamedTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamedTable").field("name", &self.name).finish()
    }
}

/// What the rows of a [`StreamedTable`] are read from.
pub trait KeyedBatches: Send + Sync {
    /// All rows with their key groups, in the order of these, in batches of one schema.
    fn batches(&self) -> Box<dyn Iterator<Item = Result<(UInt32Array, RecordBatch), StateError>> + '_>;
}

impl StreamedTable {
    /// The table in memory; none when it has no rows.
    ///
    /// # Errors
    ///
    /// When the rows cannot be read.
    pub fn collect(&self) -> Result<Option<KeyedTable>, StateError> {
        let (groups, rows): (Vec<_>, Vec<_>) = self.rows.batches().collect::<Result<Vec<_>, _>>()?.into_iter().unzip();
        let Some(first) = rows.first() else { return Ok(None) };
        let rows = concat_batches(first.schema_ref(), &rows)?;
        let groups: Vec<_> = groups.iter().map(|groups| groups as &dyn arrow::array::Array).collect();
        let key_groups = UInt32Array::from(concat(&groups)?.to_data());
        Ok(Some(KeyedTable { name: self.name.clone(), key_groups, rows }))
    }
}

/// How operator state finds its subtasks after a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Redistribution {
    /// Every row goes to one subtask, in turn.
    Split,
    /// Every subtask gets the rows of all.
    Union,
    /// All subtasks wrote the same rows; every subtask gets them once.
    Broadcast,
}

/// Rows that belong to a subtask rather than to keys.
#[derive(Debug, Clone)]
pub struct OperatorTable {
    /// The table's name within the operator.
    pub name: String,
    /// Who gets the rows back.
    pub redistribution: Redistribution,
    /// The rows.
    pub rows: RecordBatch,
}

/// All state of one operator instance at one moment. Empty for an operator without state.
#[derive(Debug, Clone, Default)]
pub struct OperatorSnapshot {
    /// State of keys.
    pub keyed: Vec<KeyedTable>,
    /// State of the subtask.
    pub operator: Vec<OperatorTable>,
    /// State of keys that is not in memory. Once written it is like all other.
    pub streamed: Vec<StreamedTable>,
    /// State of keys that lies in the files of a store.
    pub stored: Option<StoredSnapshot>,
    /// State of keys that lies in layers of several checkpoints, under what is in `keyed` of the same tables.
    pub layered: Option<Box<LayeredSnapshot>>,
    /// What is void in these layers.
    pub void: Vec<VoidKeys>,
}

impl OperatorSnapshot {
    /// Whether there is no table.
    pub fn is_empty(&self) -> bool {
        let lies_elsewhere = self.stored.is_some() || self.layered.is_some() || !self.void.is_empty();
        self.keyed.is_empty() && self.operator.is_empty() && self.streamed.is_empty() && !lies_elsewhere
    }

    /// The snapshot with everything in memory.
    ///
    /// # Errors
    ///
    /// When rows cannot be read.
    pub fn collect(mut self) -> Result<Self, StateError> {
        for table in std::mem::take(&mut self.streamed) {
            self.keyed.extend(table.collect()?);
        }
        Ok(self)
    }

    /// Leaves out what lies in other files: whoever gets no rows of it knows all the same that there is some.
    pub fn forget_stored(&mut self) {
        let stored = self.stored.take();
        let tables = stored.iter().flat_map(|stored| &stored.tables);
        self.keyed.extend(tables.map(|table| KeyedTable::without_rows(&table.name)));
        if let Some(layered) = self.layered.take() {
            self.keyed.retain(|table| !layered.tables.contains(&table.name));
            self.keyed.extend(layered.tables.iter().map(|name| KeyedTable::without_rows(name)));
            self.void.clear();
        }
    }

    /// Adds what was found out later.
    pub fn extend(&mut self, rest: Self) {
        self.keyed.extend(rest.keyed);
        self.operator.extend(rest.operator);
        self.streamed.extend(rest.streamed);
        self.stored = self.stored.take().or(rest.stored);
        self.layered = self.layered.take().or(rest.layered);
        self.void.extend(rest.void);
    }
}

/// State that an operator instance gets back: per table the rows that are its own, which may come in several batches
/// (of the subtasks that wrote them).
#[derive(Debug, Clone, Default)]
pub struct RestoredState {
    /// State of keys, by table.
    pub keyed: BTreeMap<String, Vec<RecordBatch>>,
    /// State of the subtask, by table.
    pub operator: BTreeMap<String, Vec<RecordBatch>>,
    /// State of keys in the files of stores, by table.
    pub stored: BTreeMap<String, Vec<StoredPart>>,
    /// What becomes of state that nobody takes.
    pub unclaimed: Unclaimed,
}

/// What becomes of state that a program has no place for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Unclaimed {
    /// The program does not begin, as that state would be lost.
    #[default]
    Refused,
    /// It is left behind.
    Dropped,
}

impl RestoredState {
    /// Whether there is no table.
    pub fn is_empty(&self) -> bool {
        self.keyed.is_empty() && self.operator.is_empty() && self.stored.is_empty()
    }

    /// Takes the rows of a table of keys out.
    pub fn take_keyed(&mut self, name: &str) -> Vec<RecordBatch> {
        self.keyed.remove(name).unwrap_or_default()
    }

    /// Takes what the files of stores have of a table out.
    pub fn take_stored(&mut self, name: &str) -> Vec<StoredPart> {
        self.stored.remove(name).unwrap_or_default()
    }

    /// Takes the rows of a table of the subtask out.
    pub fn take_operator(&mut self, name: &str) -> Vec<RecordBatch> {
        self.operator.remove(name).unwrap_or_default()
    }

    /// What instance `subtask` of `parallelism` gets of the snapshots that the instances of one operator wrote, in the
    /// order of their subtasks; `range` are its key groups.
    pub fn assign(snapshots: &[OperatorSnapshot], range: KeyGroupRange, subtask: u32, parallelism: u32) -> Self {
        let mut restored = Self::default();
        for table in snapshots.iter().flat_map(|snapshot| &snapshot.keyed) {
            // A table without rows is named all the same: whoever reads it knows that it was written.
            let batches = restored.keyed.entry(table.name.clone()).or_default();
            let rows = table.rows_of(range);
            if rows.num_rows() > 0 {
                batches.push(rows);
            }
        }
        for stored in snapshots.iter().filter_map(|snapshot| snapshot.stored.as_ref()) {
            for table in &stored.tables {
                restored.keyed.entry(table.name.clone()).or_default();
            }
            for part in stored.parts(range) {
                restored.stored.entry(part.name().to_owned()).or_default().push(part);
            }
        }
        let mut turns: BTreeMap<&str, usize> = BTreeMap::new();
        for table in snapshots.iter().flat_map(|snapshot| &snapshot.operator) {
            let known = restored.operator.contains_key(&table.name);
            let batches = restored.operator.entry(table.name.clone()).or_default();
            match table.redistribution {
                Redistribution::Union => batches.push(table.rows.clone()),
                Redistribution::Broadcast if known => {}
                Redistribution::Broadcast => batches.push(table.rows.clone()),
                Redistribution::Split => {
                    let turn = turns.entry(&table.name).or_default();
                    for row in 0..table.rows.num_rows() {
                        if *turn % parallelism as usize == subtask as usize {
                            batches.push(table.rows.slice(row, 1));
                        }
                        *turn += 1;
                    }
                }
            }
        }
        restored
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, AsArray, Int64Array};
    use arrow::datatypes::Int64Type;

    use super::*;

    fn rows(values: &[i64]) -> RecordBatch {
        let column: ArrayRef = Arc::new(Int64Array::from(values.to_vec()));
        RecordBatch::try_from_iter([("value", column)]).unwrap()
    }

    fn values(batches: &[RecordBatch]) -> Vec<i64> {
        batches.iter().flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values().to_vec()).collect()
    }

    #[test]
    fn every_keyed_row_finds_the_subtask_of_its_group_at_any_parallelism() {
        let max = 128;
        let snapshots: Vec<OperatorSnapshot> = (0..3)
            .map(|subtask| {
                let range = KeyGroupRange::of_subtask(max, 3, subtask);
                let groups: Vec<u32> = (range.start..range.end).collect();
                let rows = rows(&groups.iter().map(|group| i64::from(*group)).collect::<Vec<_>>());
                let table = KeyedTable { name: "count".to_owned(), key_groups: groups.into(), rows };
                OperatorSnapshot { keyed: vec![table], ..OperatorSnapshot::default() }
            })
            .collect();
        for parallelism in [1, 2, 3, 5, 128] {
            for subtask in 0..parallelism {
                let range = KeyGroupRange::of_subtask(max, parallelism, subtask);
                let restored = RestoredState::assign(&snapshots, range, subtask, parallelism);
                let expected: Vec<i64> = (range.start..range.end).map(i64::from).collect();
                assert_eq!(values(&restored.keyed["count"]), expected);
            }
        }
    }

    #[test]
    fn operator_state_is_split_united_or_the_same_for_all() {
        let snapshot = |values: &[i64]| {
            let table = |name: &str, redistribution| OperatorTable {
                name: name.to_owned(),
                redistribution,
                rows: rows(values),
            };
            let operator = vec![
                table("split", Redistribution::Split),
                table("union", Redistribution::Union),
                table("broadcast", Redistribution::Broadcast),
            ];
            OperatorSnapshot { operator, ..OperatorSnapshot::default() }
        };
        let snapshots = [snapshot(&[1, 2]), snapshot(&[3])];
        let range = KeyGroupRange::of_subtask(128, 2, 0);
        let first = RestoredState::assign(&snapshots, range, 0, 2).operator;
        let second = RestoredState::assign(&snapshots, range, 1, 2).operator;
        assert_eq!((values(&first["split"]), values(&second["split"])), (vec![1, 3], vec![2]));
        assert_eq!((values(&first["union"]), values(&second["union"])), (vec![1, 2, 3], vec![1, 2, 3]));
        assert_eq!((values(&first["broadcast"]), values(&second["broadcast"])), (vec![1, 2], vec![1, 2]));
    }
}
