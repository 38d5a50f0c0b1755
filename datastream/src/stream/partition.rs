//! Which reader gets which record, and streams put together.

use pelton_runtime_core::graph::Partitioner;

use crate::record::Record;

use super::DataStream;

/// How the next operator's subtasks share the records. Without any of these, records stay on their subtask where both
/// operators have the same parallelism, and are rebalanced otherwise.
impl<T: Record> DataStream<T> {
    /// Subtask i of this stream's operator writes to subtask i of the next, which must have the same parallelism.
    pub fn forward(self) -> Self {
        self.partitioned(Partitioner::Forward)
    }

    /// All readers in turn.
    pub fn rebalance(self) -> Self {
        self.partitioned(Partitioner::Rebalance)
    }

    /// In turn among a part of the readers, which no other writer has.
    pub fn rescale(self) -> Self {
        self.partitioned(Partitioner::Rescale)
    }

    /// Random readers.
    pub fn shuffle(self) -> Self {
        self.partitioned(Partitioner::Shuffle)
    }

    /// Every reader gets every record.
    pub fn broadcast(self) -> Self {
        self.partitioned(Partitioner::Broadcast)
    }

    /// The first reader gets every record.
    pub fn global(self) -> Self {
        self.partitioned(Partitioner::Global)
    }

    /// The records of this stream and of `others`, in no particular order between them. A stream that is united with
    /// itself has each of its records twice.
    ///
    /// ```no_run
    /// # use pelton::stream::DataStream;
    /// # fn both(a: DataStream<i64>, b: DataStream<i64>) -> DataStream<i64> {
    /// a.union([b]).map(|n| n + 1)
    /// # }
    /// ```
    pub fn union(self, others: impl IntoIterator<Item = Self>) -> Self {
        let mut outputs = self.outputs();
        outputs.extend(others.into_iter().flat_map(|other| other.outputs()));
        Self::from_outputs(self.env, outputs)
    }
}
