//! Generated records.

use std::marker::PhantomData;
use std::sync::Arc;

use arrow::array::RecordBatch;
use pelton_connectors::{BatchGenerator, DataGenerator};
use pelton_runtime_core::operator::{OperatorResult, OperatorRuntime};
use pelton_runtime_core::source::SourceFactory;

use crate::record::{Record, RecordBuilder, ToRecord};
use crate::stream::Parallel;

use super::Source;

/// Makes records out of their numbers 0, 1, 2, …: some or without end, at a rate or as fast as they are taken. Every
/// subtask has its own numbers.
///
/// ```
/// use pelton::sources::DataGeneratorSource;
///
/// let readings = DataGeneratorSource::<(String, i64)>::new(|index| (format!("sensor {}", index % 10), index as i64))
///     .count(1_000)
///     .rows_per_second(100.0);
/// ```
#[must_use]
pub struct DataGeneratorSource<T> {
    generator: DataGenerator,
    records: PhantomData<fn() -> T>,
}

impl<T: Record> DataGeneratorSource<T> {
    /// Records without end, as fast as they are taken.
    ///
    /// ```
    /// # fn main() -> Result<(), pelton::ExecuteError> {
    /// # let env = pelton::testing::mini_cluster(1);
    /// use pelton::sources::DataGeneratorSource;
    ///
    /// let squares = DataGeneratorSource::<i64>::new(|index| (index * index) as i64);
    /// let squares = env.data_generator(squares).execute_and_collect("example")?;
    /// assert_eq!(squares.take(3).collect::<Result<Vec<_>, _>>()?, [0, 1, 4]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn new<R: ToRecord<T>>(make: impl Fn(u64) -> R + Parallel) -> Self {
        let make = Arc::new(make);
        let generator = DataGenerator::new(move |_: &OperatorRuntime| {
            Ok(Box::new(Rows { make: make.clone(), builder: RecordBuilder::<T>::new() }))
        });
        Self { generator, records: PhantomData }
    }

    /// This many records, of all subtasks together.
    ///
    /// ```
    /// # fn main() -> Result<(), pelton::ExecuteError> {
    /// # let env = pelton::testing::mini_cluster(1);
    /// use pelton::sources::DataGeneratorSource;
    ///
    /// let squares = DataGeneratorSource::<i64>::new(|index| (index * index) as i64).count(3);
    /// let squares = env.data_generator(squares).execute_and_collect("example")?;
    /// assert_eq!(squares.take(3).collect::<Result<Vec<_>, _>>()?, [0, 1, 4]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn count(self, count: u64) -> Self {
        Self { generator: self.generator.count(count), ..self }
    }

    /// This many records per second, of all subtasks together, evenly.
    ///
    /// ```
    /// # fn main() -> Result<(), pelton::ExecuteError> {
    /// # let env = pelton::testing::mini_cluster(1);
    /// use pelton::sources::DataGeneratorSource;
    ///
    /// let squares = DataGeneratorSource::<i64>::new(|index| (index * index) as i64).count(3).rows_per_second(1_000.0);
    /// let squares = env.data_generator(squares).execute_and_collect("example")?;
    /// assert_eq!(squares.take(3).collect::<Result<Vec<_>, _>>()?, [0, 1, 4]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn rows_per_second(self, rows: f64) -> Self {
        Self { generator: self.generator.rows_per_second(rows), ..self }
    }
}

impl<T: Record> Source<T> for DataGeneratorSource<T> {
    fn into_factory(self) -> Arc<dyn SourceFactory> {
        Arc::new(self.generator)
    }
}

impl<T> std::fmt::Debug for DataGeneratorSource<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.generator.fmt(f)
    }
}

struct Rows<T: Record, F> {
    make: Arc<F>,
    builder: RecordBuilder<T>,
}

impl<T: Record, R: ToRecord<T>, F: Fn(u64) -> R + Send + Sync> BatchGenerator for Rows<T, F> {
    fn generate(&mut self, first_index: u64, rows: usize) -> OperatorResult<RecordBatch> {
        for index in first_index..first_index + rows as u64 {
            self.builder.append(&(self.make)(index));
        }
        Ok(self.builder.finish()?)
    }
}
