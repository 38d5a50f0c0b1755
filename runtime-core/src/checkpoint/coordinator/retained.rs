//! The checkpoints that exist and can be restored.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::checkpoint::record::CheckpointRecord;
use crate::element::CheckpointId;
use crate::planted::{PlantedFault, is_planted};

/// Whose a checkpoint is, and so who may remove it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ownership {
    /// The job's: taken by it, or claimed when it began from it.
    Own,
    /// Somebody else's: a savepoint, or what the job began from without claiming it. Never removed.
    Foreign,
}

#[derive(Debug)]
pub(super) struct Retained {
    max: usize,
    records: BTreeMap<CheckpointId, (Arc<CheckpointRecord>, Ownership)>,
    /// The job's own that could not be restored: they stay as they are, with the files that they name.
    set_aside: Vec<Arc<CheckpointRecord>>,
}

impl Retained {
    pub(super) fn new(max: u32) -> Self {
        Self { max: max.max(1) as usize, records: BTreeMap::new(), set_aside: Vec::new() }
    }

    pub(super) fn keep(&mut self, record: Arc<CheckpointRecord>, ownership: Ownership) {
        self.records.insert(record.checkpoint, (record, ownership));
    }

    pub(super) fn newest(&self) -> Option<&Arc<CheckpointRecord>> {
        if is_planted(PlantedFault::OldestCheckpointRestored) {
            return self.records.values().next().map(|(record, _)| record);
        }
        self.records.values().next_back().map(|(record, _)| record)
    }

    /// The oldest one, if there are more than are kept.
    pub(super) fn take_surplus(&mut self) -> Option<(Arc<CheckpointRecord>, Ownership)> {
        if is_planted(PlantedFault::NewestCheckpointRemoved) && self.records.len() > self.max {
            return self.records.pop_last().map(|(_, kept)| kept);
        }
        (self.records.len() > self.max).then(|| self.records.pop_first()).flatten().map(|(_, kept)| kept)
    }

    /// This one cannot be restored. Answers whether it was one of them.
    pub(super) fn set_aside(&mut self, checkpoint: CheckpointId) -> bool {
        let Some((record, ownership)) = self.records.remove(&checkpoint) else { return false };
        if ownership == Ownership::Own {
            self.set_aside.push(record);
        }
        true
    }

    /// Those that are the job's.
    pub(super) fn take_own(&mut self) -> Vec<Arc<CheckpointRecord>> {
        let all = std::mem::take(&mut self.records).into_values();
        all.filter(|(_, ownership)| *ownership == Ownership::Own).map(|(record, _)| record).collect()
    }

    /// The newest one in the job's own directory, whose files a later one may name again.
    pub(super) fn base(&self, claimed: Option<CheckpointId>) -> Option<&Arc<CheckpointRecord>> {
        let own = self.records.values().rev().filter(|(_, ownership)| *ownership == Ownership::Own);
        own.map(|(record, _)| record).find(|record| Some(record.checkpoint) != claimed)
    }

    /// Those whose files stay.
    pub(super) fn records(&self) -> impl Iterator<Item = &Arc<CheckpointRecord>> {
        self.records.values().map(|(record, _)| record).chain(&self.set_aside)
    }
}
