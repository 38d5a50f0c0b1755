//! State on the heap that leaves an operator as what has changed since layers that earlier checkpoints have written.
//!
//! ```text
//!  top      what has changed since the layer below     in the task's own state file while it is small, then a layer
//!  layer    of an earlier checkpoint, named again
//!  layer    of an earlier checkpoint, named again
//!  lowest   everything there was
//! ```
//!
//! Owns what a layer is on its way out ([`LayeredSnapshot`]) and how layers become rows again ([`resolve`]). Which keys
//! changed, and how many layers are worth keeping, is the backend's business; where layers lie is that of whoever stores
//! them.
//!
//! Invariants: a row, and a key that is said to be void, makes void what lies below of the same key and window in the same
//! table, and nothing in its own layer; layers are named by their checkpoint or by later ones that build on it, and
//! never change.

mod resolving;

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

use arrow::array::RecordBatch;
use bytes::Bytes;

use crate::checkpoint::record::StateFileHandle;
use crate::checkpoint::snapshot::{KeyedTable, OperatorSnapshot};
use crate::checkpoint::state_file::{self, StateFileError};
use crate::element::CheckpointId;
use crate::id::OperatorId;

pub use resolving::resolve;

/// Keys of a table whose rows in the layers below are void.
#[derive(Debug, Clone)]
pub struct VoidKeys {
    /// The table's name.
    pub table: String,
    /// Columns of the table: below is void what has these values in them.
    pub keys: RecordBatch,
}

/// What is in one layer.
#[derive(Debug, Clone, Default)]
pub struct LayerRows {
    /// The rows.
    pub rows: Vec<KeyedTable>,
    /// What is void below.
    pub void: Vec<VoidKeys>,
}

/// A layer that a checkpoint wrote, or is writing.
#[derive(Debug)]
pub struct Layer {
    checkpoint: CheckpointId,
    size: LayerSize,
    tables: BTreeSet<String>,
    place: OnceLock<StateFileHandle>,
}

/// How large a layer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct LayerSize {
    /// Its rows and void keys.
    pub(super) rows: usize,
    /// What they take in memory.
    pub(super) bytes: usize,
}

/// Tables of one operator instance that lie in layers.
#[derive(Debug, Clone)]
pub struct LayeredSnapshot {
    /// The tables' names.
    pub tables: Vec<String>,
    /// The layers. What the snapshot has itself of the tables lies above them.
    pub layers: Layers,
}

/// How far layers are on their way; the lowest comes first.
#[derive(Debug, Clone)]
pub enum Layers {
    /// Some are durable, and perhaps one more is to be written above them.
    Held {
        /// Those that are durable.
        below: Vec<Arc<Layer>>,
        /// The one that is not.
        top: Option<(Arc<Layer>, LayerRows)>,
    },
    /// All have their places, by path.
    Placed(Vec<String>),
}

impl Layer {
    /// What a checkpoint is about to write.
    pub(super) fn new(checkpoint: CheckpointId, rows: &LayerRows) -> Self {
        let tables = rows.rows.iter().map(|table| table.name.clone()).collect();
        Self { checkpoint, size: rows.size(), tables, place: OnceLock::new() }
    }

    /// The checkpoint that it was written for.
    pub(super) fn checkpoint(&self) -> CheckpointId {
        self.checkpoint
    }

    pub(super) fn size(&self) -> LayerSize {
        self.size
    }

    /// Whether it has rows of this table.
    pub(super) fn has(&self, table: &str) -> bool {
        self.tables.contains(table)
    }

    /// Where it is, once it is durable.
    pub fn place(&self) -> Option<&StateFileHandle> {
        self.place.get()
    }

    /// It is durable.
    pub fn placed(&self, at: StateFileHandle) {
        // Nobody writes a layer twice.
        let first = self.place.set(at);
        debug_assert!(first.is_ok(), "a layer has one place");
    }
}

impl LayerRows {
    pub(super) fn size(&self) -> LayerSize {
        let rows: usize = self.rows.iter().map(|table| table.rows.num_rows()).sum();
        let void: usize = self.void.iter().map(|void| void.keys.num_rows()).sum();
        let bytes: usize = self.rows.iter().map(|table| table.rows.get_array_memory_size()).sum();
        let of_void: usize = self.void.iter().map(|void| void.keys.get_array_memory_size()).sum();
        LayerSize { rows: rows + void, bytes: bytes + of_void }
    }

    /// The bytes of the layer's file, which is a state file of the operator alone.
    ///
    /// # Errors
    ///
    /// When Arrow cannot write it.
    pub fn encode(self, operator: OperatorId) -> Result<Bytes, StateFileError> {
        let snapshot = OperatorSnapshot { keyed: self.rows, void: self.void, ..OperatorSnapshot::default() };
        // None is a layer without tables, which nobody writes.
        Ok(state_file::encode(&[(operator, snapshot)])?.unwrap_or_default().into())
    }

    /// What is in the layer of an operator in these bytes of `file`, which are known to be those that were written.
    ///
    /// # Errors
    ///
    /// When they are none of this operator.
    pub fn decode(file: &str, operator: OperatorId, bytes: &Bytes) -> Result<Self, StateFileError> {
        let (operators, _) = state_file::decode_known(file, bytes)?;
        let own = operators.into_iter().find(|(id, _)| *id == operator);
        let (_, snapshot) = own.ok_or_else(|| StateFileError::OtherOperator { file: file.to_owned(), operator })?;
        Ok(Self { rows: snapshot.keyed, void: snapshot.void })
    }
}

impl LayeredSnapshot {
    /// Tables that are in these layers, and in what the snapshot has itself.
    pub(super) fn on(below: Vec<Arc<Layer>>) -> Self {
        Self { tables: Vec::new(), layers: Layers::Held { below, top: None } }
    }

    pub(super) fn add_table(&mut self, name: &str) {
        if !self.tables.iter().any(|known| known == name) {
            self.tables.push(name.to_owned());
        }
    }
}

impl OperatorSnapshot {
    /// Puts the rows of layers, the lowest first, under those that the snapshot has itself of the same tables.
    ///
    /// # Errors
    ///
    /// When layers do not have the columns that others do.
    pub fn put_on(&mut self, mut layers: Vec<LayerRows>) -> Result<(), super::StateError> {
        let Some(tables) = self.layered.take().map(|layered| layered.tables) else { return Ok(()) };
        let (rows, others): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.keyed).into_iter().partition(|table| tables.contains(&table.name));
        layers.push(LayerRows { rows, void: std::mem::take(&mut self.void) });
        self.keyed = resolve(&tables, &layers)?;
        self.keyed.extend(others);
        Ok(())
    }
}
