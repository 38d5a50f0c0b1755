//! Asking the outside world about records without waiting for each answer.
//!
//! ```text
//!  records ──► queue ──► up to `capacity` requests at once, off the task's thread
//!                └─────── answers, in the order of the records or as they come ──►
//! ```
//!
//! Requests are futures on the runtime of the worker, so whatever is written for tokio works. Answers never overtake a
//! watermark that came after their records, nor fall behind one that came before. A record whose answer has not left is
//! part of every checkpoint, and is asked about again after a restart; so the outside world may be asked twice.

mod operator;
mod options;
mod requests;

use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;

use pelton_runtime_core::operator::{Operator, OperatorResult, OperatorRuntime};

use crate::keyed::{FunctionError, FunctionResult};
use crate::record::Record;
use crate::stream::{DataStream, Parallel};

use self::operator::AsyncOperator;

pub use options::{AsyncOptions, AsyncRetry};

/// Asks about records.
///
/// ```
/// use pelton::async_io::AsyncFunction;
/// use pelton::keyed::FunctionResult;
///
/// #[derive(Clone)]
/// struct Lengths;
///
/// impl AsyncFunction for Lengths {
///     type In = String;
///     type Out = i64;
///
///     async fn invoke(&self, word: String) -> FunctionResult<Vec<i64>> {
///         Ok(vec![word.len() as i64])
///     }
/// }
/// ```
pub trait AsyncFunction: Clone + Send + Sync + 'static {
    /// The records' type.
    type In: Record;
    /// The answers' type.
    type Out: Record;

    /// Called once before everything else, on each subtask: the place to make clients.
    ///
    /// # Errors
    ///
    /// What makes the job fail.
    fn open(&mut self, _runtime: &OperatorRuntime) -> FunctionResult {
        Ok(())
    }

    /// Asks about a record; any number of results is an answer.
    ///
    /// # Errors
    ///
    /// What makes the job fail, unless it is [retried](AsyncOptions::retry).
    fn invoke(&self, input: Self::In) -> impl Future<Output = FunctionResult<Vec<Self::Out>>> + Send;

    /// What stands for an answer that did not come in time.
    ///
    /// # Errors
    ///
    /// What makes the job fail; by default it does.
    fn timeout(&self, _input: Self::In) -> FunctionResult<Vec<Self::Out>> {
        Err(FunctionError::from("the answer to an asynchronous request did not come in time"))
    }
}

impl<T: Record> DataStream<T> {
    /// Asks a function about every record, several at once.
    ///
    /// ```
    /// # fn main() -> Result<(), pelton::ExecuteError> {
    /// # let env = pelton::testing::mini_cluster(1);
    /// use std::time::Duration;
    ///
    /// use pelton::async_io::{AsyncFunction, AsyncOptions};
    /// use pelton::keyed::FunctionResult;
    ///
    /// #[derive(Clone)]
    /// struct Lengths;
    ///
    /// impl AsyncFunction for Lengths {
    ///     type In = String;
    ///     type Out = i64;
    ///
    ///     async fn invoke(&self, word: String) -> FunctionResult<Vec<i64>> {
    ///         Ok(vec![word.len() as i64])
    ///     }
    /// }
    ///
    /// let words = env.from_elements(["a".to_owned(), "bcd".to_owned()]);
    /// let lengths = words.async_wait(Lengths, AsyncOptions::ordered(Duration::from_secs(5)));
    /// assert_eq!(lengths.execute_and_collect("example")?.collect::<Result<Vec<_>, _>>()?, [1, 3]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn async_wait<F: AsyncFunction<In = T>>(
        self,
        function: F,
        options: AsyncOptions<F::Out>,
    ) -> DataStream<F::Out> {
        let factory = move |runtime: &OperatorRuntime| -> OperatorResult<Box<dyn Operator>> {
            Ok(Box::new(AsyncOperator::new(function.clone(), options.clone(), runtime)))
        };
        self.transform("async wait operator", Arc::new(factory))
    }

    /// One result per record, of a function that may wait; several at once.
    ///
    /// ```
    /// # fn main() -> Result<(), pelton::ExecuteError> {
    /// # let env = pelton::testing::mini_cluster(1);
    /// use std::time::Duration;
    ///
    /// use pelton::async_io::AsyncOptions;
    ///
    /// let names = env.from_elements(["ann".to_owned(), "bob".to_owned()]);
    /// let answers = names.async_map(AsyncOptions::ordered(Duration::from_secs(5)), |name: String| async move {
    ///     Ok(format!("{name} is known")) // where a client would be asked
    /// });
    /// let answers = answers.execute_and_collect("example")?;
    /// assert_eq!(answers.collect::<Result<Vec<_>, _>>()?, ["ann is known", "bob is known"]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn async_map<U: Record, R>(
        self,
        options: AsyncOptions<U>,
        function: impl Fn(T) -> R + Parallel,
    ) -> DataStream<U>
    where
        R: Future<Output = FunctionResult<U>> + Send + 'static,
    {
        self.async_wait(AsyncClosure { function: Arc::new(function), types: PhantomData }, options)
    }
}

/// A closure as a function of one result.
struct AsyncClosure<T, U, F> {
    function: Arc<F>,
    types: PhantomData<fn(T) -> U>,
}

impl<T, U, F> Clone for AsyncClosure<T, U, F> {
    fn clone(&self) -> Self {
        Self { function: self.function.clone(), types: PhantomData }
    }
}

impl<T, U, F, R> AsyncFunction for AsyncClosure<T, U, F>
where
    T: Record,
    U: Record,
    F: Fn(T) -> R + Send + Sync + 'static,
    R: Future<Output = FunctionResult<U>> + Send + 'static,
{
    type In = T;
    type Out = U;

    async fn invoke(&self, input: T) -> FunctionResult<Vec<U>> {
        Ok(vec![(self.function)(input).await?])
    }
}

#[cfg(test)]
mod tests;
