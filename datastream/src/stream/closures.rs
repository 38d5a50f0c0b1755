//! `map`, `filter` and `flat_map`, plain and with closures that may fail.

use std::error::Error;

use pelton_runtime_core::operator::OperatorError;

use crate::record::Record;

use super::{Collector, DataStream, Parallel};

/// What a closure that may fail can fail with. The job fails with this error and the operator's name.
#[diagnostic::on_unimplemented(
    message = "a job cannot fail with `{Self}`",
    label = "this closure's error is none that can be shown",
    note = "fail with a type that implements `std::error::Error`, with `anyhow::Error`, or with a `String`"
)]
pub trait UserError: Into<Box<dyn Error + Send + Sync>> {}

impl<E: Into<Box<dyn Error + Send + Sync>>> UserError for E {}

fn user(error: impl UserError) -> OperatorError {
    OperatorError::User(error.into())
}

/// Closures are shared by all subtasks of an operator. A run of them is one operator; see the [module](super).
impl<T: Record> DataStream<T> {
    /// One record per record.
    ///
    /// ```
    /// # fn main() -> Result<(), pelton::ExecuteError> {
    /// # let env = pelton::testing::mini_cluster(1);
    /// let results = env.from_sequence(1, 3).map(|n| n * n).execute_and_collect("example")?;
    /// assert_eq!(results.collect::<Result<Vec<_>, _>>()?, [1, 4, 9]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn map<U: Record>(self, f: impl Fn(&T) -> U + Parallel) -> DataStream<U> {
        self.fuse(|fused| fused.map(move |record| Ok(f(record))))
    }

    /// One record per record, or an error that fails the job.
    ///
    /// ```
    /// # fn main() -> Result<(), pelton::ExecuteError> {
    /// # let env = pelton::testing::mini_cluster(1);
    /// let texts = env.from_elements(["1".to_owned(), "2".to_owned()]);
    /// let results = texts.try_map(|text| text.parse::<i64>()).execute_and_collect("example")?;
    /// assert_eq!(results.collect::<Result<Vec<_>, _>>()?, [1, 2]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn try_map<U: Record, E: UserError>(self, f: impl Fn(&T) -> Result<U, E> + Parallel) -> DataStream<U> {
        self.fuse(|fused| fused.map(move |record| f(record).map_err(user)))
    }

    /// The records for which `f` holds.
    ///
    /// ```
    /// # fn main() -> Result<(), pelton::ExecuteError> {
    /// # let env = pelton::testing::mini_cluster(1);
    /// let results = env.from_sequence(1, 4).filter(|n| n % 2 == 0).execute_and_collect("example")?;
    /// assert_eq!(results.collect::<Result<Vec<_>, _>>()?, [2, 4]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn filter(self, f: impl Fn(&T) -> bool + Parallel) -> Self {
        self.fuse(|fused| fused.filter(move |record| Ok(f(record))))
    }

    /// The records for which `f` holds; an error fails the job.
    ///
    /// ```
    /// # fn main() -> Result<(), pelton::ExecuteError> {
    /// # let env = pelton::testing::mini_cluster(1);
    /// let numbers = env.from_elements(["1".to_owned(), "2".to_owned()]);
    /// let even = numbers.try_filter(|text| text.parse::<i64>().map(|number| number % 2 == 0));
    /// let results = even.execute_and_collect("example")?;
    /// assert_eq!(results.collect::<Result<Vec<_>, _>>()?, ["2"]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn try_filter<E: UserError>(self, f: impl Fn(&T) -> Result<bool, E> + Parallel) -> Self {
        self.fuse(|fused| fused.filter(move |record| f(record).map_err(user)))
    }

    /// Any number of records per record.
    ///
    /// ```
    /// # fn main() -> Result<(), pelton::ExecuteError> {
    /// # let env = pelton::testing::mini_cluster(1);
    /// let lines = env.from_elements(["to be".to_owned(), "or not".to_owned()]);
    /// let words = lines.flat_map::<String>(|line, out| line.split(' ').for_each(|word| out.collect(word)));
    /// let results = words.execute_and_collect("example")?;
    /// assert_eq!(results.collect::<Result<Vec<_>, _>>()?, ["to", "be", "or", "not"]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn flat_map<U: Record>(self, f: impl Fn(&T, &mut Collector<'_, U>) + Parallel) -> DataStream<U> {
        self.fuse(|fused| {
            fused.flat_map(move |record, out: &mut Collector<'_, U>| {
                f(record, out);
                Ok(())
            })
        })
    }

    /// Any number of records per record, or an error that fails the job.
    ///
    /// ```
    /// # fn main() -> Result<(), pelton::ExecuteError> {
    /// # let env = pelton::testing::mini_cluster(1);
    /// let lines = env.from_elements(["1 2".to_owned(), "3".to_owned()]);
    /// let numbers = lines.try_flat_map::<i64, std::num::ParseIntError>(|line, out| {
    ///     for number in line.split(' ') {
    ///         out.collect(number.parse::<i64>()?);
    ///     }
    ///     Ok(())
    /// });
    /// let results = numbers.execute_and_collect("example")?;
    /// assert_eq!(results.collect::<Result<Vec<_>, _>>()?, [1, 2, 3]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn try_flat_map<U: Record, E: UserError>(
        self,
        f: impl Fn(&T, &mut Collector<'_, U>) -> Result<(), E> + Parallel,
    ) -> DataStream<U> {
        self.fuse(|fused| fused.flat_map(move |record, out: &mut Collector<'_, U>| f(record, out).map_err(user)))
    }
}
