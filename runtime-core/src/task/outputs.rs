//! What leaves a task: one partitioned output per edge, one writer per channel.
//!
//! Small batches wait for company until there are enough rows, a control element passes, the buffer timeout comes, or
//! the task runs out of input; large ones go at once. So batches are large under load and leave immediately at rest.

use std::time::Duration;

use crate::element::{BarrierMode, CheckpointBarrier, CheckpointId, StreamBatch, StreamElement};
use crate::exchange::ElementWriter;
use crate::exchange::feedback::Feedback;
use crate::graph::Partitioner;
use crate::graph::program::PartitionFunction;
use crate::metrics::TaskMetricGroup;
use crate::operator::{OperatorError, OutputPort, TARGET_BATCH_ROWS, TaskWaker};
use crate::planted::{PlantedFault, is_planted};
use crate::time::{EpochMillis, Moment};

use super::partition::Partition;

/// A piece with at least this many rows is sent at once; smaller ones wait for company.
const ENOUGH_ROWS: usize = TARGET_BATCH_ROWS / 8;

/// And so is one with at least this many bytes, however few rows it has.
const ENOUGH_BYTES: usize = 256 << 10;

/// One edge's output, before the task runs.
pub struct EdgeOutput {
    /// Index of the operator in the chain.
    pub operator: usize,
    /// Which of its outputs.
    pub port: OutputPort,
    /// Which channel gets which record.
    pub partitioner: Partitioner,
    /// What a custom partitioner does.
    pub function: Option<PartitionFunction>,
    /// One per channel.
    pub writers: Vec<Box<dyn ElementWriter>>,
    /// Number of key groups of the reader.
    pub max_parallelism: u32,
    /// Seeds a shuffle, and where a rebalance begins.
    pub seed: u64,
}

/// All outputs of one task.
pub struct Outputs {
    edges: Vec<Edge>,
    buffer_timeout: Option<Duration>,
    metrics: TaskMetricGroup,
    /// When the oldest pending row came.
    pending_since: Option<Moment>,
    /// A barrier that may still be on its way to its readers and overtakes at this time.
    hurries: Option<(CheckpointId, EpochMillis)>,
}

struct Edge {
    operator: usize,
    port: OutputPort,
    partition: Partition,
    channels: Vec<Channel>,
    lets_overtake: bool,
}

struct Channel {
    writer: Box<dyn ElementWriter>,
    pending: Vec<StreamBatch>,
    pending_rows: usize,
    pending_bytes: usize,
    /// Written to since its room was last asked for, or found full then.
    unsure: bool,
}

impl Outputs {
    /// Outputs that hold rows back for `buffer_timeout` at most; `None` means only until the task is out of input.
    pub fn new(edges: Vec<EdgeOutput>, buffer_timeout: Option<Duration>, metrics: TaskMetricGroup) -> Self {
        let edges = edges
            .into_iter()
            .map(|edge| Edge {
                operator: edge.operator,
                port: edge.port,
                lets_overtake: edge.partitioner.lets_barriers_overtake(),
                partition: Partition::new(
                    edge.partitioner,
                    edge.function,
                    edge.writers.len(),
                    edge.max_parallelism,
                    edge.seed,
                ),
                channels: edge
                    .writers
                    .into_iter()
                    .map(|writer| Channel {
                        writer,
                        pending: Vec::new(),
                        pending_rows: 0,
                        pending_bytes: 0,
                        unsure: true,
                    })
                    .collect(),
            })
            .collect();
        Self { edges, buffer_timeout, metrics, pending_since: None, hurries: None }
    }

    /// Whether every channel is below its capacity. If not, `waker` is called when the full one is again.
    pub fn has_room(&mut self, waker: &TaskWaker) -> bool {
        let mut room = true;
        for channel in self.edges.iter_mut().flat_map(|edge| &mut edge.channels) {
            if channel.unsure {
                channel.unsure = !channel.writer.has_room(waker);
                room &= !channel.unsure;
            }
        }
        room
    }

    /// Whether everything has left this process. If not, `waker` is called when it has.
    pub(super) fn is_delivered(&self, waker: &TaskWaker) -> bool {
        self.edges.iter().flat_map(|edge| &edge.channels).all(|channel| channel.writer.is_delivered(waker))
    }

    /// The readers of the first edge, which a source of splits has.
    pub(super) fn readers(&self) -> u32 {
        // A job's parallelism has 32 bits.
        self.edges.first().map_or(0, |edge| edge.channels.len() as u32)
    }

    /// What these readers have said since the last question, by their index. `waker` is called when they say more.
    pub(super) fn take_feedback(&self, waker: &TaskWaker, mut said: impl FnMut(u32, Feedback)) {
        for (reader, channel) in self.edges.first().into_iter().flat_map(|edge| (0u32..).zip(&edge.channels)) {
            if let Some(feedback) = channel.writer.take_feedback(waker) {
                said(reader, feedback);
            }
        }
    }

    pub(super) fn emit(
        &mut self,
        operator: usize,
        port: OutputPort,
        batch: &StreamBatch,
        now: Moment,
    ) -> Result<(), OperatorError> {
        // Splits have their numbers from their reader, and mean nothing to others.
        let alike = batch.split().map(|_| batch.clone().without_split());
        let batch = alike.as_ref().unwrap_or(batch);
        let at_once = self.buffer_timeout.is_some_and(|timeout| timeout.is_zero());
        let mut holds_back = false;
        for edge in self.edges.iter_mut().filter(|edge| edge.operator == operator && edge.port == port) {
            let channels = &mut edge.channels;
            let metrics = &self.metrics;
            edge.partition.split(batch, |channel, piece| {
                metrics.records_out.add(piece.num_rows() as u64);
                channels[channel].push(piece, at_once, metrics);
                holds_back |= channels[channel].pending_rows > 0;
            })?;
        }
        if holds_back && self.pending_since.is_none() {
            self.pending_since = Some(now);
        }
        Ok(())
    }

    /// Sends a control element of `operator` on every channel of its outputs, after what is pending there.
    pub(super) fn control(&mut self, operator: usize, element: &StreamElement) {
        for edge in self.edges.iter_mut().filter(|edge| edge.operator == operator) {
            for channel in &mut edge.channels {
                channel.send(element.clone(), &self.metrics);
            }
        }
    }

    /// Sends an element on every channel of every output, after what is pending there.
    pub(super) fn broadcast(&mut self, element: &StreamElement) {
        for channel in self.edges.iter_mut().flat_map(|edge| &mut edge.channels) {
            channel.send(element.clone(), &self.metrics);
        }
    }

    /// Sends a barrier on every channel, after everything that is pending.
    pub(super) fn barrier(&mut self, barrier: CheckpointBarrier) {
        let (checkpoint, mode) = (barrier.checkpoint, barrier.mode);
        if is_planted(PlantedFault::BarrierBeforePendingRecords) {
            for channel in self.edges.iter_mut().flat_map(|edge| &mut edge.channels) {
                channel.write(StreamElement::Barrier(barrier.clone()), &self.metrics);
            }
            return;
        }
        self.broadcast(&StreamElement::Barrier(barrier));
        self.pending_since = None;
        self.hurries = None;
        match mode {
            BarrierMode::Aligned => {}
            BarrierMode::AlignedUntil(at) => self.hurries = Some((checkpoint, at)),
            BarrierMode::Unaligned => self.hurry(checkpoint),
        }
    }

    /// When a barrier that was sent overtakes, if it is still on its way.
    pub(super) fn hurries_at(&self) -> Option<EpochMillis> {
        self.hurries.map(|(_, at)| at)
    }

    /// Lets that barrier overtake if it is time.
    pub(super) fn hurry_overdue(&mut self, wall: EpochMillis) {
        if let Some((checkpoint, _)) = self.hurries.take_if(|(_, at)| *at <= wall) {
            self.hurry(checkpoint);
        }
    }

    /// The checkpoint exists or is given up: its barrier need not hurry.
    pub(super) fn is_over(&mut self, checkpoint: CheckpointId) {
        self.hurries.take_if(|(hurries, _)| *hurries <= checkpoint);
    }

    fn hurry(&self, checkpoint: CheckpointId) {
        for channel in self.edges.iter().filter(|edge| edge.lets_overtake).flat_map(|edge| &edge.channels) {
            channel.writer.hurry(checkpoint);
        }
    }

    /// Sends what is pending.
    pub(super) fn flush(&mut self) {
        if self.pending_since.take().is_some() {
            for channel in self.edges.iter_mut().flat_map(|edge| &mut edge.channels) {
                channel.flush(&self.metrics);
            }
        }
    }

    /// Sends what is pending if it has waited as long as it may.
    pub(super) fn flush_overdue(&mut self, now: Moment) {
        if let (Some(since), Some(timeout)) = (self.pending_since, self.buffer_timeout)
            && now.since(since) >= timeout
        {
            self.flush();
        }
    }

    /// Says on every channel that nothing follows.
    pub(super) fn end(&mut self) {
        self.broadcast(&StreamElement::EndOfInput);
        self.pending_since = None;
    }
}

impl Channel {
    fn push(&mut self, piece: StreamBatch, at_once: bool, metrics: &TaskMetricGroup) {
        let rows = piece.num_rows();
        if self.pending.is_empty() && (at_once || rows >= ENOUGH_ROWS) {
            self.write(StreamElement::Batch(piece), metrics);
            return;
        }
        self.pending_rows += rows;
        self.pending_bytes += piece.size_bytes();
        self.pending.push(piece);
        if self.pending_rows >= ENOUGH_ROWS || self.pending_bytes >= ENOUGH_BYTES {
            self.flush(metrics);
        }
    }

    fn flush(&mut self, metrics: &TaskMetricGroup) {
        if self.pending.is_empty() {
            return;
        }
        self.pending_rows = 0;
        self.pending_bytes = 0;
        let pending = std::mem::take(&mut self.pending);
        match StreamBatch::concat(&pending) {
            Ok(batch) => self.write(StreamElement::Batch(batch), metrics),
            // Columns whose values cannot be joined (offsets would overflow) travel one by one.
            Err(_) => pending.into_iter().for_each(|batch| self.write(StreamElement::Batch(batch), metrics)),
        }
    }

    fn send(&mut self, element: StreamElement, metrics: &TaskMetricGroup) {
        self.flush(metrics);
        self.write(element, metrics);
    }

    fn write(&mut self, element: StreamElement, metrics: &TaskMetricGroup) {
        if let StreamElement::Batch(batch) = &element {
            metrics.bytes_out.add(batch.size_bytes() as u64);
        }
        self.unsure = true;
        self.writer.push(element);
    }
}
