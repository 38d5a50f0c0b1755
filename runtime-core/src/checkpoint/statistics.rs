//! What is known about the checkpoints of a job: counts, the last ones in detail, sums over all.
//!
//! Owns the facts, under Flink's names where it has them; their JSON is made where REST answers. Bounded: details of
//! the last few, figures of the last [`SUMMARY_WINDOW`] completed ones.

mod spread;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

pub use self::spread::{SUMMARY_WINDOW, Spread, Summary};
use super::coordinator::TaskKey;
use super::record::RecordKind;
use crate::element::{CheckpointId, Savepoint};
use crate::graph::JobGraph;
use crate::id::JobVertexId;
use crate::time::EpochMillis;

/// How a subtask's part of a checkpoint went, in its own words.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AckStats {
    /// From the trigger to the first barrier.
    pub start_delay: Duration,
    /// From the first barrier to the last one.
    pub alignment: Duration,
    /// How long the task stood still for its snapshot.
    pub synchronous: Duration,
    /// How long its upload took.
    pub asynchronous: Duration,
    /// Bytes that were processed during alignment.
    pub processed_bytes: u64,
    /// Bytes in flight that were stored; only of unaligned checkpoints.
    pub persisted_bytes: u64,
    /// Its barrier was one that overtakes records.
    pub unaligned: bool,
}

/// A subtask that has acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AcknowledgedSubtask {
    /// When.
    pub at: EpochMillis,
    /// How much state it has.
    pub state_bytes: u64,
    /// How much of it was written for this checkpoint.
    pub written_bytes: u64,
    /// How it went.
    pub stats: AckStats,
}

/// A checkpoint in detail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckpointDetails {
    /// Which one.
    pub checkpoint: CheckpointId,
    /// What makes it a savepoint; none for a checkpoint.
    pub savepoint: Option<Arc<Savepoint>>,
    /// How far it is.
    pub status: CheckpointStatus,
    /// When it began.
    pub triggered_at: EpochMillis,
    /// Its vertices in the order of the graph.
    pub vertices: Vec<VertexDetails>,
    /// How many subtasks had finished before it began; they count as acknowledged.
    pub already_finished: usize,
}

/// How far a checkpoint is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CheckpointStatus {
    /// On its way.
    InProgress,
    /// It exists.
    Completed {
        /// When its record was durable.
        at: EpochMillis,
        /// How much state it has, of finished subtasks too.
        state_bytes: u64,
        /// How much of it was written for this checkpoint.
        written_bytes: u64,
        /// Whether it was removed since.
        discarded: bool,
    },
    /// It was given up.
    Failed {
        /// When.
        at: EpochMillis,
        /// Why.
        message: String,
    },
}

/// The part of one vertex.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VertexDetails {
    /// Which one.
    pub id: JobVertexId,
    /// By index; none while a subtask has not acknowledged.
    pub subtasks: Vec<Option<AcknowledgedSubtask>>,
}

/// A checkpoint that the job was restored from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RestoredCheckpoint {
    /// Which one.
    pub checkpoint: CheckpointId,
    /// What it is.
    pub kind: RecordKind,
    /// When.
    pub at: EpochMillis,
}

/// How many checkpoints there were.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CheckpointCounts {
    /// Restores.
    pub restored: u64,
    /// All that were begun or asked for.
    pub total: u64,
    /// On their way.
    pub in_progress: u64,
    /// That exist or existed.
    pub completed: u64,
    /// That were given up or refused.
    pub failed: u64,
}

/// Sums over the completed checkpoints.
#[derive(Debug, Clone, Default)]
pub struct CheckpointSummary {
    /// Bytes of state.
    pub state_bytes: Summary,
    /// Bytes of state that were written.
    pub written_bytes: Summary,
    /// Milliseconds from trigger to the last acknowledgement.
    pub end_to_end_ms: Summary,
    /// Bytes processed during alignment.
    pub processed_bytes: Summary,
    /// Bytes in flight that were stored.
    pub persisted_bytes: Summary,
}

/// What is known about the checkpoints of a job.
#[derive(Debug, Clone)]
pub struct CheckpointStatistics {
    history_max: usize,
    counts: CheckpointCounts,
    in_progress: BTreeMap<CheckpointId, CheckpointDetails>,
    /// Ended ones, by id.
    ended: VecDeque<Arc<CheckpointDetails>>,
    latest_completed: Option<Arc<CheckpointDetails>>,
    latest_savepoint: Option<Arc<CheckpointDetails>>,
    latest_failed: Option<Arc<CheckpointDetails>>,
    latest_restored: Option<RestoredCheckpoint>,
    summary: CheckpointSummary,
}

impl CheckpointDetails {
    /// When the last subtask acknowledged.
    pub fn latest_acknowledged_at(&self) -> Option<EpochMillis> {
        self.acknowledged().map(|subtask| subtask.at).max()
    }

    /// How much state there is so far.
    pub fn state_bytes(&self) -> u64 {
        match self.status {
            CheckpointStatus::Completed { state_bytes, .. } => state_bytes,
            _ => self.acknowledged().map(|subtask| subtask.state_bytes).sum(),
        }
    }

    /// How much was written so far.
    pub fn written_bytes(&self) -> u64 {
        match self.status {
            CheckpointStatus::Completed { written_bytes, .. } => written_bytes,
            _ => self.acknowledged().map(|subtask| subtask.written_bytes).sum(),
        }
    }

    /// From its trigger to the last acknowledgement, to its failure, or until `now`.
    pub fn end_to_end_ms(&self, now: EpochMillis) -> u64 {
        let end = match self.status {
            CheckpointStatus::InProgress => now,
            CheckpointStatus::Completed { at, .. } => self.latest_acknowledged_at().unwrap_or(at),
            CheckpointStatus::Failed { at, .. } => at,
        };
        u64::try_from(end.saturating_sub(self.triggered_at)).unwrap_or(0)
    }

    /// How many subtasks the job has.
    pub fn subtasks(&self) -> usize {
        self.vertices.iter().map(|vertex| vertex.subtasks.len()).sum()
    }

    /// Those that have acknowledged.
    pub fn acknowledged(&self) -> impl Iterator<Item = &AcknowledgedSubtask> {
        self.vertices.iter().flat_map(|vertex| vertex.subtasks.iter().flatten())
    }
}

impl CheckpointStatistics {
    pub(super) fn new(history_max: usize) -> Self {
        Self {
            history_max,
            counts: CheckpointCounts::default(),
            in_progress: BTreeMap::new(),
            ended: VecDeque::new(),
            latest_completed: None,
            latest_savepoint: None,
            latest_failed: None,
            latest_restored: None,
            summary: CheckpointSummary::default(),
        }
    }

    /// How many there were.
    pub fn counts(&self) -> CheckpointCounts {
        CheckpointCounts { in_progress: self.in_progress.len() as u64, ..self.counts }
    }

    /// Sums over the completed ones.
    pub fn summary(&self) -> &CheckpointSummary {
        &self.summary
    }

    /// The last ones, the newest first.
    pub fn history(&self) -> Vec<&CheckpointDetails> {
        let mut all: Vec<_> = self.in_progress.values().chain(self.ended.iter().map(AsRef::as_ref)).collect();
        all.sort_unstable_by_key(|details| std::cmp::Reverse(details.checkpoint));
        all.truncate(self.history_max);
        all
    }

    /// A checkpoint that is remembered in detail.
    pub fn find(&self, checkpoint: CheckpointId) -> Option<&CheckpointDetails> {
        let latest = [&self.latest_completed, &self.latest_savepoint, &self.latest_failed].into_iter().flatten();
        let ended = self.ended.iter().chain(latest).find(|details| details.checkpoint == checkpoint);
        self.in_progress.get(&checkpoint).or(ended.map(AsRef::as_ref))
    }

    /// The last savepoint that exists or existed.
    pub fn latest_savepoint(&self) -> Option<&CheckpointDetails> {
        self.latest_savepoint.as_deref()
    }

    /// The last checkpoint that exists or existed.
    pub fn latest_completed(&self) -> Option<&CheckpointDetails> {
        self.latest_completed.as_deref()
    }

    /// The last one that was given up.
    pub fn latest_failed(&self) -> Option<&CheckpointDetails> {
        self.latest_failed.as_deref()
    }

    /// The one that the job's tasks began from.
    pub fn latest_restored(&self) -> Option<RestoredCheckpoint> {
        self.latest_restored
    }

    pub(super) fn triggered(
        &mut self,
        checkpoint: CheckpointId,
        now: EpochMillis,
        savepoint: Option<Arc<Savepoint>>,
        graph: &JobGraph,
        already_finished: usize,
    ) {
        let vertices = graph
            .vertices
            .iter()
            .map(|vertex| VertexDetails { id: vertex.id, subtasks: vec![None; vertex.parallelism as usize] });
        let details = CheckpointDetails {
            checkpoint,
            savepoint,
            status: CheckpointStatus::InProgress,
            triggered_at: now,
            vertices: vertices.collect(),
            already_finished,
        };
        self.counts.total += 1;
        self.in_progress.insert(checkpoint, details);
    }

    pub(super) fn acknowledged(&mut self, checkpoint: CheckpointId, task: TaskKey, subtask: AcknowledgedSubtask) {
        if let Some(details) = self.in_progress.get_mut(&checkpoint) {
            details.vertices[task.vertex].subtasks[task.subtask as usize] = Some(subtask);
        }
    }

    pub(super) fn completed(
        &mut self,
        checkpoint: CheckpointId,
        now: EpochMillis,
        state_bytes: u64,
        written_bytes: u64,
    ) {
        let Some(mut details) = self.in_progress.remove(&checkpoint) else { return };
        details.status = CheckpointStatus::Completed { at: now, state_bytes, written_bytes, discarded: false };
        self.counts.completed += 1;
        self.summary.state_bytes.add(state_bytes);
        self.summary.written_bytes.add(written_bytes);
        self.summary.end_to_end_ms.add(details.end_to_end_ms(now));
        self.summary.processed_bytes.add(details.acknowledged().map(|subtask| subtask.stats.processed_bytes).sum());
        self.summary.persisted_bytes.add(details.acknowledged().map(|subtask| subtask.stats.persisted_bytes).sum());
        let details = Arc::new(details);
        match details.savepoint {
            Some(_) => self.latest_savepoint = Some(details.clone()),
            None => self.latest_completed = Some(details.clone()),
        }
        self.remember(details);
    }

    pub(super) fn failed(&mut self, checkpoint: CheckpointId, now: EpochMillis, message: &str) {
        let Some(mut details) = self.in_progress.remove(&checkpoint) else { return };
        details.status = CheckpointStatus::Failed { at: now, message: message.to_owned() };
        self.counts.failed += 1;
        let details = Arc::new(details);
        self.latest_failed = Some(details.clone());
        self.remember(details);
    }

    /// One was asked for and did not even begin.
    pub(super) fn refused(&mut self) {
        self.counts.total += 1;
        self.counts.failed += 1;
    }

    pub(super) fn restored(&mut self, restored: RestoredCheckpoint) {
        self.counts.restored += 1;
        self.latest_restored = Some(restored);
    }

    pub(super) fn discarded(&mut self, checkpoint: CheckpointId) {
        for details in self.ended.iter_mut().chain(&mut self.latest_completed) {
            if details.checkpoint == checkpoint
                && let CheckpointStatus::Completed { discarded, .. } = &mut Arc::make_mut(details).status
            {
                *discarded = true;
            }
        }
    }

    fn remember(&mut self, details: Arc<CheckpointDetails>) {
        self.ended.push_back(details);
        while self.ended.len() > self.history_max {
            self.ended.pop_front();
        }
    }
}
