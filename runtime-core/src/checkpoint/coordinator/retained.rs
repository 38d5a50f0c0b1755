//! The checkpoints that exist and are kept.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::checkpoint::record::CheckpointRecord;
use crate::element::CheckpointId;

#[derive(Debug)]
pub(super) struct Retained {
    max: usize,
    records: BTreeMap<CheckpointId, Arc<CheckpointRecord>>,
}

impl Retained {
    pub(super) fn new(max: u32) -> Self {
        Self { max: max.max(1) as usize, records: BTreeMap::new() }
    }

    pub(super) fn keep(&mut self, record: Arc<CheckpointRecord>) {
        self.records.insert(record.checkpoint, record);
    }

    pub(super) fn newest(&self) -> Option<&Arc<CheckpointRecord>> {
        self.records.values().next_back()
    }

    /// The oldest one, if there are more than are kept.
    pub(super) fn take_surplus(&mut self) -> Option<Arc<CheckpointRecord>> {
        (self.records.len() > self.max).then(|| self.records.pop_first()).flatten().map(|(_, record)| record)
    }

    /// Whether it was one of them.
    pub(super) fn forget(&mut self, checkpoint: CheckpointId) -> bool {
        self.records.remove(&checkpoint).is_some()
    }

    pub(super) fn take_all(&mut self) -> Vec<Arc<CheckpointRecord>> {
        std::mem::take(&mut self.records).into_values().collect()
    }

    pub(super) fn names(&self, path: &str) -> bool {
        self.records.values().any(|record| record.files().any(|file| file.path == path))
    }
}
