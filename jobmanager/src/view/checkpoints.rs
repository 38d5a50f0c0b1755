//! The checkpoints of a job.

use std::collections::BTreeMap;

use pelton_runtime_core::checkpoint::coordinator::CheckpointSettings;
use pelton_runtime_core::checkpoint::layout;
use pelton_runtime_core::checkpoint::statistics::CheckpointStatistics;
use pelton_runtime_core::element::CheckpointId;

/// What Flink says of a checkpoint that lies where nobody can point at it; its tools know these words.
const NOT_ADDRESSABLE: &str = "<checkpoint-not-externally-addressable>";

/// The checkpoints of a job at one moment.
#[derive(Debug, Clone)]
pub struct CheckpointsView {
    /// How they are taken.
    pub settings: CheckpointSettings,
    /// The job's own directory of checkpoints; none when they are in the JobManager's memory.
    pub directory: Option<String>,
    /// Where those are that do not lie there.
    pub elsewhere: BTreeMap<CheckpointId, String>,
    /// What is known about them.
    pub statistics: CheckpointStatistics,
}

impl CheckpointsView {
    /// Where people find a checkpoint.
    pub fn path_of(&self, checkpoint: CheckpointId) -> String {
        if let Some(path) = self.elsewhere.get(&checkpoint) {
            return path.clone();
        }
        match &self.directory {
            Some(directory) => format!("{directory}/{}", layout::directory(checkpoint)),
            None => NOT_ADDRESSABLE.to_owned(),
        }
    }
}
