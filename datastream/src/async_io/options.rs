//! How requests are made: how many at once, how long, and how often.

use std::sync::Arc;
use std::time::Duration;

use crate::keyed::FunctionError;
use crate::stream::Parallel;

/// Requests at once, when nothing else is said; as in Flink.
const DEFAULT_CAPACITY: usize = 100;

/// How requests are made. `U` is the answers' type.
pub struct AsyncOptions<U> {
    pub(super) ordered: bool,
    pub(super) timeout: Duration,
    pub(super) capacity: usize,
    pub(super) retry: Option<AsyncRetry<U>>,
}

impl<U> AsyncOptions<U> {
    /// Answers leave in the order of their records. Each must come within `timeout`, with all its retries.
    ///
    /// ```
    /// # fn main() -> Result<(), pelton::ExecuteError> {
    /// # let env = pelton::testing::mini_cluster(1);
    /// use std::time::Duration;
    ///
    /// use pelton::async_io::AsyncOptions;
    ///
    /// let names = env.from_elements(["ann".to_owned(), "bob".to_owned()]);
    /// let options = AsyncOptions::ordered(Duration::from_secs(5));
    /// let answers = names.async_map(options, |name: String| async move { Ok(format!("{name} is known")) });
    /// let answers = answers.execute_and_collect("example")?;
    /// assert_eq!(answers.collect::<Result<Vec<_>, _>>()?, ["ann is known", "bob is known"]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn ordered(timeout: Duration) -> Self {
        Self { ordered: true, timeout, capacity: DEFAULT_CAPACITY, retry: None }
    }

    /// Answers leave as they come, but do not pass watermarks. Each must come within `timeout`, with all its retries.
    ///
    /// ```
    /// # fn main() -> Result<(), pelton::ExecuteError> {
    /// # let env = pelton::testing::mini_cluster(1);
    /// use std::time::Duration;
    ///
    /// use pelton::async_io::AsyncOptions;
    ///
    /// let names = env.from_elements(["ann".to_owned(), "bob".to_owned()]);
    /// let options = AsyncOptions::unordered(Duration::from_secs(5));
    /// let answers = names.async_map(options, |name: String| async move { Ok(format!("{name} is known")) });
    /// let mut answers = answers.execute_and_collect("example")?.collect::<Result<Vec<_>, _>>()?;
    /// answers.sort();
    /// assert_eq!(answers, ["ann is known", "bob is known"]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn unordered(timeout: Duration) -> Self {
        Self { ordered: false, ..Self::ordered(timeout) }
    }

    /// At most so many records wait for their answers, or for those before them, at once.
    ///
    /// ```
    /// # fn main() -> Result<(), pelton::ExecuteError> {
    /// # let env = pelton::testing::mini_cluster(1);
    /// use std::time::Duration;
    ///
    /// use pelton::async_io::AsyncOptions;
    ///
    /// let names = env.from_elements(["ann".to_owned(), "bob".to_owned()]);
    /// let options = AsyncOptions::ordered(Duration::from_secs(5)).capacity(1_000);
    /// let answers = names.async_map(options, |name: String| async move { Ok(format!("{name} is known")) });
    /// let answers = answers.execute_and_collect("example")?;
    /// assert_eq!(answers.collect::<Result<Vec<_>, _>>()?, ["ann is known", "bob is known"]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// When it is 0.
    #[must_use]
    #[track_caller]
    pub fn capacity(self, capacity: usize) -> Self {
        assert!(capacity > 0, "at least one request must be allowed at once");
        Self { capacity, ..self }
    }

    /// Asks again when a request fails.
    ///
    /// ```
    /// # fn main() -> Result<(), pelton::ExecuteError> {
    /// # let env = pelton::testing::mini_cluster(1);
    /// use std::sync::Arc;
    /// use std::sync::atomic::{AtomicU32, Ordering};
    /// use std::time::Duration;
    ///
    /// use pelton::async_io::{AsyncOptions, AsyncRetry};
    ///
    /// let names = env.from_elements(["ann".to_owned()]);
    /// let retry = AsyncRetry::fixed_delay(3, Duration::from_millis(1));
    /// let options = AsyncOptions::ordered(Duration::from_secs(5)).retry(retry);
    /// let asked = Arc::new(AtomicU32::new(0));
    /// let requests = asked.clone();
    /// let answers = names.async_map(options, move |name: String| {
    ///     let request = requests.fetch_add(1, Ordering::Relaxed) + 1;
    ///     // The first two requests find nobody.
    ///     async move { if request < 3 { Err("try again".into()) } else { Ok(format!("{name} is known")) } }
    /// });
    /// let answers = answers.execute_and_collect("example")?;
    /// assert_eq!(answers.collect::<Result<Vec<_>, _>>()?, ["ann is known"]);
    /// assert_eq!(asked.load(Ordering::Relaxed), 3);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn retry(self, retry: AsyncRetry<U>) -> Self {
        Self { retry: Some(retry), ..self }
    }
}

impl<U> Clone for AsyncOptions<U> {
    fn clone(&self) -> Self {
        Self { retry: self.retry.clone(), ..*self }
    }
}

impl<U> std::fmt::Debug for AsyncOptions<U> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AsyncOptions")
            .field("ordered", &self.ordered)
            .field("timeout", &self.timeout)
            .field("capacity", &self.capacity)
            .field("retry", &self.retry)
            .finish()
    }
}

type IfResult<U> = Arc<dyn Fn(&[U]) -> bool + Send + Sync>;
type IfError = Arc<dyn Fn(&FunctionError) -> bool + Send + Sync>;

/// When and how often a request is made again.
pub struct AsyncRetry<U> {
    attempts: u32,
    delay: Duration,
    max_delay: Duration,
    multiplier: f64,
    if_result: Option<IfResult<U>>,
    if_error: Option<IfError>,
}

impl<U> AsyncRetry<U> {
    /// At most `attempts` requests, `delay` apart.
    ///
    /// ```
    /// # fn main() -> Result<(), pelton::ExecuteError> {
    /// # let env = pelton::testing::mini_cluster(1);
    /// use std::sync::Arc;
    /// use std::sync::atomic::{AtomicU32, Ordering};
    /// use std::time::Duration;
    ///
    /// use pelton::async_io::{AsyncOptions, AsyncRetry};
    ///
    /// let names = env.from_elements(["ann".to_owned()]);
    /// let retry = AsyncRetry::fixed_delay(3, Duration::from_millis(1));
    /// let options = AsyncOptions::ordered(Duration::from_secs(5)).retry(retry);
    /// let asked = Arc::new(AtomicU32::new(0));
    /// let requests = asked.clone();
    /// let answers = names.async_map(options, move |name: String| {
    ///     let request = requests.fetch_add(1, Ordering::Relaxed) + 1;
    ///     // The first two requests find nobody.
    ///     async move { if request < 3 { Err("try again".into()) } else { Ok(format!("{name} is known")) } }
    /// });
    /// let answers = answers.execute_and_collect("example")?;
    /// assert_eq!(answers.collect::<Result<Vec<_>, _>>()?, ["ann is known"]);
    /// assert_eq!(asked.load(Ordering::Relaxed), 3);
    /// # Ok(())
    /// # }
    /// ```
    pub fn fixed_delay(attempts: u32, delay: Duration) -> Self {
        Self { attempts, delay, max_delay: delay, multiplier: 1.0, if_result: None, if_error: None }
    }

    /// At most `attempts` requests; the pauses between them begin with `initial` and grow by `multiplier` up to `max`.
    ///
    /// ```
    /// # fn main() -> Result<(), pelton::ExecuteError> {
    /// # let env = pelton::testing::mini_cluster(1);
    /// use std::sync::Arc;
    /// use std::sync::atomic::{AtomicU32, Ordering};
    /// use std::time::Duration;
    ///
    /// use pelton::async_io::{AsyncOptions, AsyncRetry};
    ///
    /// let names = env.from_elements(["ann".to_owned()]);
    /// let (first, longest) = (Duration::from_millis(1), Duration::from_secs(1));
    /// let retry = AsyncRetry::exponential_backoff(5, first, longest, 2.0);
    /// let options = AsyncOptions::ordered(Duration::from_secs(5)).retry(retry);
    /// let asked = Arc::new(AtomicU32::new(0));
    /// let requests = asked.clone();
    /// let answers = names.async_map(options, move |name: String| {
    ///     let request = requests.fetch_add(1, Ordering::Relaxed) + 1;
    ///     // The first two requests find nobody.
    ///     async move { if request < 3 { Err("try again".into()) } else { Ok(format!("{name} is known")) } }
    /// });
    /// let answers = answers.execute_and_collect("example")?;
    /// assert_eq!(answers.collect::<Result<Vec<_>, _>>()?, ["ann is known"]);
    /// assert_eq!(asked.load(Ordering::Relaxed), 3);
    /// # Ok(())
    /// # }
    /// ```
    pub fn exponential_backoff(attempts: u32, initial: Duration, max: Duration, multiplier: f64) -> Self {
        Self { attempts, delay: initial, max_delay: max, multiplier, if_result: None, if_error: None }
    }

    /// Only errors of which `retriable` says so are retried; otherwise all are.
    ///
    /// ```
    /// # fn main() -> Result<(), pelton::ExecuteError> {
    /// # let env = pelton::testing::mini_cluster(1);
    /// use std::sync::Arc;
    /// use std::sync::atomic::{AtomicU32, Ordering};
    /// use std::time::Duration;
    ///
    /// use pelton::async_io::{AsyncOptions, AsyncRetry};
    ///
    /// let names = env.from_elements(["ann".to_owned()]);
    /// let retry = AsyncRetry::fixed_delay(3, Duration::from_millis(1))
    ///     .if_error(|error| error.to_string().contains("try again"));
    /// let options = AsyncOptions::ordered(Duration::from_secs(5)).retry(retry);
    /// let asked = Arc::new(AtomicU32::new(0));
    /// let requests = asked.clone();
    /// let answers = names.async_map(options, move |name: String| {
    ///     let request = requests.fetch_add(1, Ordering::Relaxed) + 1;
    ///     // The first two requests find nobody.
    ///     async move { if request < 3 { Err("try again".into()) } else { Ok(format!("{name} is known")) } }
    /// });
    /// let answers = answers.execute_and_collect("example")?;
    /// assert_eq!(answers.collect::<Result<Vec<_>, _>>()?, ["ann is known"]);
    /// assert_eq!(asked.load(Ordering::Relaxed), 3);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn if_error(self, retriable: impl Fn(&FunctionError) -> bool + Parallel) -> Self {
        Self { if_error: Some(Arc::new(retriable)), ..self }
    }

    /// Answers of which `unsatisfying` says so are no answers; otherwise all are.
    ///
    /// ```
    /// # fn main() -> Result<(), pelton::ExecuteError> {
    /// # let env = pelton::testing::mini_cluster(1);
    /// use std::sync::Arc;
    /// use std::sync::atomic::{AtomicU32, Ordering};
    /// use std::time::Duration;
    ///
    /// use pelton::async_io::{AsyncOptions, AsyncRetry};
    ///
    /// let names = env.from_elements(["ann".to_owned()]);
    /// // An empty answer is none yet.
    /// let empty = |answers: &[String]| answers.iter().all(String::is_empty);
    /// let retry = AsyncRetry::fixed_delay(3, Duration::from_millis(1)).if_result(empty);
    /// let options = AsyncOptions::ordered(Duration::from_secs(5)).retry(retry);
    /// let asked = Arc::new(AtomicU32::new(0));
    /// let requests = asked.clone();
    /// let answers = names.async_map(options, move |name: String| {
    ///     let request = requests.fetch_add(1, Ordering::Relaxed) + 1;
    ///     // The second request is answered.
    ///     async move { Ok(if request < 2 { String::new() } else { format!("{name} is known") }) }
    /// });
    /// let answers = answers.execute_and_collect("example")?;
    /// assert_eq!(answers.collect::<Result<Vec<_>, _>>()?, ["ann is known"]);
    /// assert_eq!(asked.load(Ordering::Relaxed), 2);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn if_result(self, unsatisfying: impl Fn(&[U]) -> bool + Parallel) -> Self {
        Self { if_result: Some(Arc::new(unsatisfying)), ..self }
    }

    /// How long to wait before the next request, after `made` of them the last of which came to `result`; none when it
    /// stands.
    pub(super) fn pause(&self, made: u32, result: &Result<Vec<U>, FunctionError>) -> Option<Duration> {
        let again = match result {
            Ok(answer) => self.if_result.as_ref().is_some_and(|unsatisfying| unsatisfying(answer)),
            Err(error) => self.if_error.as_ref().is_none_or(|retriable| retriable(error)),
        };
        if !again || made >= self.attempts {
            return None;
        }
        let grown = self.delay.as_secs_f64() * self.multiplier.powf(f64::from(made - 1));
        Some(Duration::try_from_secs_f64(grown).map_or(self.max_delay, |grown| grown.min(self.max_delay)))
    }
}

impl<U> Clone for AsyncRetry<U> {
    fn clone(&self) -> Self {
        Self { if_result: self.if_result.clone(), if_error: self.if_error.clone(), ..*self }
    }
}

impl<U> std::fmt::Debug for AsyncRetry<U> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { attempts, delay, max_delay, multiplier, .. } = self;
        write!(f, "AsyncRetry({attempts} attempts, {delay:?} to {max_delay:?} by {multiplier})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_their_greatest_and_end_with_the_attempts() {
        let retry =
            AsyncRetry::<i64>::exponential_backoff(5, Duration::from_millis(10), Duration::from_millis(35), 2.0);
        let pauses: Vec<_> = (1..=5).map(|made| retry.pause(made, &Err("down".into()))).collect();
        assert_eq!(pauses, [Some(10), Some(20), Some(35), Some(35), None].map(|ms| ms.map(Duration::from_millis)));
        assert_eq!(retry.pause(1, &Ok(vec![1])), None);
    }

    #[test]
    fn what_is_retried_can_be_said() {
        let retry = AsyncRetry::<i64>::fixed_delay(3, Duration::from_millis(10))
            .if_error(|error| error.to_string() == "busy")
            .if_result(|answer| answer.is_empty());
        assert_eq!(retry.pause(1, &Err("busy".into())), Some(Duration::from_millis(10)));
        assert_eq!(retry.pause(1, &Err("gone".into())), None);
        assert_eq!(retry.pause(2, &Ok(vec![])), Some(Duration::from_millis(10)));
        assert_eq!(retry.pause(3, &Ok(vec![])), None);
    }
}
