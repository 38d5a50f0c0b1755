//! Testing jobs: a harness that runs a job's operators step by step, with time in the test's hands, and a cluster in the
//! test's process.
//!
//! A [`Harness`] runs what the program describes, without threads, checkpoints or network: a test gives records and
//! watermarks, moves the wall clock, restarts the job, and looks at what comes out. Requests of asynchronous functions run on
//! the test's thread, and the harness goes on when all of them are answered.
//!
//! ```
//! use pelton::keyed::TumblingEventTimeWindows;
//! use pelton::record::field;
//! use pelton::testing::Harness;
//! use std::time::Duration;
//!
//! # fn main() -> Result<(), pelton::testing::TestError> {
//! let mut harness = Harness::new();
//! let (words, input) = harness.source::<(String, i64)>();
//! let windows = TumblingEventTimeWindows::of(Duration::from_millis(10));
//! let counts = harness.collect(words.key_by(field::<0, _>()).window(windows).sum(field::<1, _>()));
//!
//! let word = |word: &str| (word.to_owned(), 1i64);
//! harness.push(&input, [(word("a"), 1), (word("b"), 2), (word("a"), 9)])?;
//! harness.watermark(&input, 8)?;
//! assert_eq!(counts.take(), []);
//! harness.restart()?;
//! harness.watermark(&input, 9)?;
//! let mut found = counts.take();
//! found.sort();
//! assert_eq!(found, [(("a".to_owned(), 2), Some(9)), (("b".to_owned(), 1), Some(9))]);
//! # Ok(())
//! # }
//! ```
//!
//! What depends on threads, parallelism and real checkpoints is tested in a cluster: [`mini_cluster`].

mod background;
mod harness;
mod patterns;
mod sink;

use pelton_runtime_core::config::Configuration;

use crate::environment::StreamExecutionEnvironment;

pub use harness::{Harness, TestError, TestSource};
pub use patterns::find_matches;
pub use sink::TestSink;

/// The environment of a job that runs in a cluster of its own in this process, with JobManager, TaskManager and as many
/// slots as it needs. Whatever is configured on the machine is not part of it.
///
/// ```
/// use pelton::testing::mini_cluster;
///
/// # fn main() -> Result<(), pelton::ExecuteError> {
/// let squares = mini_cluster(2).from_sequence(1, 3).map(|n| n * n).execute_and_collect("squares")?;
/// let mut squares = squares.collect::<Result<Vec<i64>, _>>()?;
/// squares.sort();
/// assert_eq!(squares, [1, 4, 9]);
/// # Ok(())
/// # }
/// ```
pub fn mini_cluster(parallelism: u32) -> StreamExecutionEnvironment {
    let environment = StreamExecutionEnvironment::with_configuration(Configuration::default());
    environment.set_parallelism(parallelism);
    environment
}

#[cfg(test)]
mod semantics;
#[cfg(test)]
mod tests;
