//! All instances of one keyed operator: records go to the instance that owns their key, watermarks go to all.

use std::sync::Arc;

use arrow::array::UInt32Array;

use super::OperatorHarness;
use crate::checkpoint::snapshot::OperatorSnapshot;
use crate::element::{CheckpointId, StreamBatch};
use crate::key_group::KeyGroup;
use crate::operator::{InputIndex, OperatorFactory, OperatorResult, OutputPort};
use crate::state::cold::ColdStores;
use crate::state::hash_columns;
use crate::time::EpochMillis;
use crate::window::KeyColumns;

/// The instances of one operator, which restart together at any parallelism.
pub struct ParallelHarness {
    factory: Arc<dyn OperatorFactory>,
    key: KeyColumns,
    instances: Vec<OperatorHarness>,
    now: EpochMillis,
    checkpoints: u64,
    cold_stores: Option<Arc<dyn ColdStores>>,
}

impl ParallelHarness {
    /// `parallelism` instances of the operator that `factory` makes, opened; records are partitioned by `key`.
    ///
    /// # Errors
    ///
    /// When an instance cannot be created or opened.
    pub fn open(factory: Arc<dyn OperatorFactory>, key: KeyColumns, parallelism: u32) -> OperatorResult<Self> {
        let mut harness = Self { factory, key, instances: Vec::new(), now: 0, checkpoints: 0, cold_stores: None };
        harness.instances = harness.instances_of(parallelism)?;
        Ok(harness)
    }

    fn instances_of(&self, parallelism: u32) -> OperatorResult<Vec<OperatorHarness>> {
        (0..parallelism)
            .map(|subtask| {
                let mut runtime = OperatorHarness::runtime();
                (runtime.subtask, runtime.parallelism) = (subtask, parallelism);
                runtime.cold_stores.clone_from(&self.cold_stores);
                let mut instance = OperatorHarness::open_in(self.factory.as_ref(), runtime)?;
                instance.set_processing_time(self.now);
                Ok(instance)
            })
            .collect()
    }

    /// Where instances keep their state from the next restart on; none is the heap.
    pub fn set_cold_stores(&mut self, cold_stores: Option<Arc<dyn ColdStores>>) {
        self.cold_stores = cold_stores;
    }

    /// The instances, by subtask.
    pub fn instances(&mut self) -> &mut [OperatorHarness] {
        &mut self.instances
    }

    /// Gives every row of a batch to the instance that owns its key.
    ///
    /// # Errors
    ///
    /// What an instance answers.
    pub fn process(&mut self, batch: &StreamBatch) -> OperatorResult {
        self.process_on(0, &self.key.clone(), batch)
    }

    /// The same for an input whose records have their key in columns of these names.
    ///
    /// # Errors
    ///
    /// What an instance answers.
    pub fn process_on(&mut self, input: InputIndex, key: &KeyColumns, batch: &StreamBatch) -> OperatorResult {
        let mut hashes = Vec::new();
        hash_columns(&key.of(batch)?, batch.num_rows(), &mut hashes).map_err(crate::state::StateError::from)?;
        let parallelism = self.instances.len() as u32;
        for (subtask, instance) in (0..).zip(&mut self.instances) {
            let max = instance.runtime.max_parallelism;
            let owner = |row: &u32| KeyGroup::of_hash(hashes[*row as usize], max).subtask(max, parallelism);
            let rows = (0..hashes.len() as u32).filter(|row| owner(row) == subtask);
            instance.process_on(input, batch.take(&UInt32Array::from_iter_values(rows))?)?;
        }
        Ok(())
    }

    /// Advances every instance's event-time clock.
    ///
    /// # Errors
    ///
    /// What an instance answers.
    pub fn watermark(&mut self, watermark: EpochMillis) -> OperatorResult {
        self.instances.iter_mut().try_for_each(|instance| instance.watermark(watermark))
    }

    /// Advances the wall clock of all, with the wake-ups on the way.
    ///
    /// # Errors
    ///
    /// What an instance answers.
    pub fn advance_processing_time(&mut self, to: EpochMillis) -> OperatorResult {
        self.now = to;
        self.instances.iter_mut().try_for_each(|instance| instance.advance_processing_time(to))
    }

    /// Takes a checkpoint of all instances.
    ///
    /// # Errors
    ///
    /// What an instance answers.
    pub fn checkpoint(&mut self) -> OperatorResult<Vec<OperatorSnapshot>> {
        self.checkpoints += 1;
        let checkpoint = CheckpointId(self.checkpoints);
        self.instances.iter_mut().map(|instance| instance.checkpoint(checkpoint)).collect()
    }

    /// Replaces the instances by `parallelism` new ones with the state of `snapshots`. What the old ones emitted and
    /// nobody has taken is lost.
    ///
    /// # Errors
    ///
    /// When an instance cannot be opened or refuses the state.
    pub fn restart(&mut self, snapshots: &[OperatorSnapshot], parallelism: u32) -> OperatorResult {
        self.instances = self.instances_of(parallelism)?;
        self.instances.iter_mut().try_for_each(|instance| instance.restore(snapshots))
    }

    /// The batches that all instances emitted on a port since the last call; what other ports emitted is dropped.
    pub fn take_batches(&mut self, port: OutputPort) -> Vec<StreamBatch> {
        self.instances.iter_mut().flat_map(|instance| instance.take_batches(port)).collect()
    }
}
