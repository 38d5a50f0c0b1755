//! Which reader gets which record, and streams put together.

use std::marker::PhantomData;
use std::sync::Arc;

use pelton_runtime_core::element::StreamBatch;
use pelton_runtime_core::graph::Partitioner;
use pelton_runtime_core::graph::program::{PartitionFunction, RowPartitioner};
use pelton_runtime_core::operator::OperatorResult;

use crate::record::{Record, RecordReader};

use super::{DataStream, Parallel};

/// How the next operator's subtasks share the records. Without any of these, records stay on their subtask where both
/// operators have the same parallelism, and are rebalanced otherwise.
impl<T: Record> DataStream<T> {
    /// Subtask i of this stream's operator writes to subtask i of the next, which must have the same parallelism.
    ///
    /// ```
    /// # fn main() -> Result<(), pelton::ExecuteError> {
    /// # let env = pelton::testing::mini_cluster(1);
    /// let numbers = env.from_sequence(1, 4).forward().map(|n| n * 10).execute_and_collect("example")?;
    /// let mut numbers = numbers.collect::<Result<Vec<_>, _>>()?;
    /// numbers.sort();
    /// assert_eq!(numbers, [10, 20, 30, 40]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn forward(self) -> Self {
        self.partitioned(Partitioner::Forward)
    }

    /// All readers in turn.
    ///
    /// ```
    /// # fn main() -> Result<(), pelton::ExecuteError> {
    /// # let env = pelton::testing::mini_cluster(1);
    /// let numbers = env.from_sequence(1, 4).rebalance().map(|n| n * 10).execute_and_collect("example")?;
    /// let mut numbers = numbers.collect::<Result<Vec<_>, _>>()?;
    /// numbers.sort();
    /// assert_eq!(numbers, [10, 20, 30, 40]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn rebalance(self) -> Self {
        self.partitioned(Partitioner::Rebalance)
    }

    /// In turn among a part of the readers, which no other writer has.
    ///
    /// ```
    /// # fn main() -> Result<(), pelton::ExecuteError> {
    /// # let env = pelton::testing::mini_cluster(1);
    /// let numbers = env.from_sequence(1, 4).rescale().map(|n| n * 10).execute_and_collect("example")?;
    /// let mut numbers = numbers.collect::<Result<Vec<_>, _>>()?;
    /// numbers.sort();
    /// assert_eq!(numbers, [10, 20, 30, 40]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn rescale(self) -> Self {
        self.partitioned(Partitioner::Rescale)
    }

    /// Random readers.
    ///
    /// ```
    /// # fn main() -> Result<(), pelton::ExecuteError> {
    /// # let env = pelton::testing::mini_cluster(1);
    /// let numbers = env.from_sequence(1, 4).shuffle().map(|n| n * 10).execute_and_collect("example")?;
    /// let mut numbers = numbers.collect::<Result<Vec<_>, _>>()?;
    /// numbers.sort();
    /// assert_eq!(numbers, [10, 20, 30, 40]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn shuffle(self) -> Self {
        self.partitioned(Partitioner::Shuffle)
    }

    /// Every reader gets every record.
    ///
    /// ```
    /// # fn main() -> Result<(), pelton::ExecuteError> {
    /// # let env = pelton::testing::mini_cluster(1);
    /// // Each of two subtasks sees every record.
    /// let numbers = env.from_sequence(1, 2).broadcast().map(|n| n * 10).set_parallelism(2);
    /// let mut numbers = numbers.execute_and_collect("example")?.collect::<Result<Vec<_>, _>>()?;
    /// numbers.sort();
    /// assert_eq!(numbers, [10, 10, 20, 20]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn broadcast(self) -> Self {
        self.partitioned(Partitioner::Broadcast)
    }

    /// The reader that `partitioner` chooses: it gets a record and the number of readers, and answers with one of them, counted
    /// from 0. An answer that is none of them fails the job.
    ///
    /// ```
    /// # use pelton::testing::mini_cluster;
    /// # fn main() -> Result<(), pelton::ExecuteError> {
    /// use pelton::keyed::{FunctionResult, OpenContext, ProcessContext, ProcessFunction};
    /// use pelton::stream::Collector;
    ///
    /// /// Says which subtask sees a number.
    /// #[derive(Clone, Default)]
    /// struct Where(u32);
    ///
    /// impl ProcessFunction for Where {
    ///     type In = i64;
    ///     type Out = (u32, i64);
    ///
    ///     fn open(&mut self, ctx: &mut OpenContext<'_>) -> FunctionResult {
    ///         self.0 = ctx.runtime().subtask;
    ///         Ok(())
    ///     }
    ///
    ///     fn process_element(
    ///         &mut self,
    ///         number: &i64,
    ///         _ctx: &mut ProcessContext<'_>,
    ///         out: &mut Collector<'_, (u32, i64)>,
    ///     ) -> FunctionResult {
    ///         out.collect((self.0, *number));
    ///         Ok(())
    ///     }
    /// }
    ///
    /// let env = mini_cluster(2);
    /// let numbers = env.from_sequence(1, 4);
    /// // Small numbers go to the first reader, all others to the last.
    /// let apart = numbers.partition_custom(|number: &i64, readers| if *number < 3 { 0 } else { readers - 1 });
    /// let seen = apart.process(Where::default()).execute_and_collect("custom")?;
    /// let mut seen = seen.collect::<Result<Vec<_>, _>>()?;
    /// seen.sort();
    /// assert_eq!(seen, [(0, 1), (0, 2), (1, 3), (1, 4)]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn partition_custom(self, partitioner: impl Fn(&T, u32) -> u32 + Parallel) -> Self {
        let function = PartitionFunction(Arc::new(Custom { partitioner, records: PhantomData }));
        let partitioner = self.env.add_partitioner(function);
        self.partitioned(partitioner)
    }

    /// The first reader gets every record.
    ///
    /// ```
    /// # fn main() -> Result<(), pelton::ExecuteError> {
    /// # let env = pelton::testing::mini_cluster(1);
    /// let numbers = env.from_sequence(1, 4).global().map(|n| n * 10).execute_and_collect("example")?;
    /// let mut numbers = numbers.collect::<Result<Vec<_>, _>>()?;
    /// numbers.sort();
    /// assert_eq!(numbers, [10, 20, 30, 40]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn global(self) -> Self {
        self.partitioned(Partitioner::Global)
    }

    /// The records of this stream and of `others`, in no particular order between them. A stream that is united with
    /// itself has each of its records twice.
    ///
    /// ```
    /// # fn main() -> Result<(), pelton::ExecuteError> {
    /// # let env = pelton::testing::mini_cluster(1);
    /// let numbers = env.from_sequence(1, 2).union([env.from_sequence(7, 8), env.from_elements([5])]);
    /// let mut numbers = numbers.execute_and_collect("example")?.collect::<Result<Vec<_>, _>>()?;
    /// numbers.sort();
    /// assert_eq!(numbers, [1, 2, 5, 7, 8]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn union(self, others: impl IntoIterator<Item = Self>) -> Self {
        let mut outputs = self.outputs();
        outputs.extend(others.into_iter().flat_map(|other| other.outputs()));
        Self::from_outputs(self.env, outputs)
    }
}

/// A closure that chooses readers.
struct Custom<T, F> {
    partitioner: F,
    records: PhantomData<fn(&T)>,
}

impl<T: Record, F: Fn(&T, u32) -> u32 + Send + Sync> RowPartitioner for Custom<T, F> {
    fn choose(&self, batch: &StreamBatch, readers: u32, chosen: &mut Vec<u32>) -> OperatorResult {
        let (reader, mut record) = (RecordReader::<T>::open(batch.records())?, T::scratch());
        chosen.extend((0..reader.len()).map(|row| {
            reader.read_into(row, &mut record);
            (self.partitioner)(&record, readers)
        }));
        Ok(())
    }
}
