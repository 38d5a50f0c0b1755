//! `map`, `filter` and `flat_map`, plain and with closures that may fail.

use std::error::Error;

use pelton_runtime_core::operator::OperatorError;

use crate::record::Record;

use super::{Collector, DataStream};

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
    /// ```no_run
    /// # use pelton::stream::DataStream;
    /// # fn lengths(words: DataStream<String>) -> DataStream<(String, i64)> {
    /// words.map(|word| (word.to_uppercase(), word.len() as i64))
    /// # }
    /// ```
    pub fn map<U: Record>(self, f: impl Fn(&T) -> U + Send + Sync + 'static) -> DataStream<U> {
        self.fuse(|fused| fused.map(move |record| Ok(f(record))))
    }

    /// One record per record, or an error that fails the job.
    ///
    /// ```no_run
    /// # use pelton::stream::DataStream;
    /// # fn numbers(words: DataStream<String>) -> DataStream<i64> {
    /// words.try_map(|word| word.parse::<i64>())
    /// # }
    /// ```
    pub fn try_map<U: Record, E: UserError>(
        self,
        f: impl Fn(&T) -> Result<U, E> + Send + Sync + 'static,
    ) -> DataStream<U> {
        self.fuse(|fused| fused.map(move |record| f(record).map_err(user)))
    }

    /// The records for which `f` holds.
    ///
    /// ```no_run
    /// # use pelton::stream::DataStream;
    /// # fn long(words: DataStream<String>) -> DataStream<String> {
    /// words.filter(|word| word.len() > 3)
    /// # }
    /// ```
    pub fn filter(self, f: impl Fn(&T) -> bool + Send + Sync + 'static) -> Self {
        self.fuse(|fused| fused.filter(move |record| Ok(f(record))))
    }

    /// The records for which `f` holds; an error fails the job.
    pub fn try_filter<E: UserError>(self, f: impl Fn(&T) -> Result<bool, E> + Send + Sync + 'static) -> Self {
        self.fuse(|fused| fused.filter(move |record| f(record).map_err(user)))
    }

    /// Any number of records per record.
    ///
    /// ```no_run
    /// # use pelton::stream::DataStream;
    /// # fn words(lines: DataStream<String>) -> DataStream<(String, i64)> {
    /// lines.flat_map(|line, out| {
    ///     for word in line.split_whitespace() {
    ///         out.collect((word, 1)); // `word` is a `&str`: nothing is allocated
    ///     }
    /// })
    /// # }
    /// ```
    pub fn flat_map<U: Record>(self, f: impl Fn(&T, &mut Collector<'_, U>) + Send + Sync + 'static) -> DataStream<U> {
        self.fuse(|fused| {
            fused.flat_map(move |record, out: &mut Collector<'_, U>| {
                f(record, out);
                Ok(())
            })
        })
    }

    /// Any number of records per record, or an error that fails the job.
    pub fn try_flat_map<U: Record, E: UserError>(
        self,
        f: impl Fn(&T, &mut Collector<'_, U>) -> Result<(), E> + Send + Sync + 'static,
    ) -> DataStream<U> {
        self.fuse(|fused| fused.flat_map(move |record, out: &mut Collector<'_, U>| f(record, out).map_err(user)))
    }
}
