//! What functions add up beside their records. They ask for an accumulator in `open`, with
//! [`OpenContext::accumulator`](crate::keyed::OpenContext::accumulator).
//!
//! Values are merged over all subtasks: shown by REST (`/jobs/:jobid/accumulators`) while the job runs, by `client run` at its
//! end, and in the [result](crate::JobExecutionResult) of a program that is run by hand. They are of the current attempt
//! of each subtask and not part of checkpoints, as in Flink.

//! One of a type of your own is a [`CustomAccumulator`], to which a function adds by its handle, [`Custom`]:
//!
//! ```
//! use std::collections::BTreeSet;
//!
//! use pelton::accumulators::{Custom, CustomAccumulator};
//! use pelton::keyed::{FunctionResult, OpenContext, ProcessContext, ProcessFunction};
//! use pelton::stream::Collector;
//! use pelton::testing::mini_cluster;
//! use serde::{Deserialize, Serialize};
//!
//! /// How many different numbers there are.
//! #[derive(Default, Serialize, Deserialize)]
//! struct Distinct(BTreeSet<i64>);
//!
//! impl CustomAccumulator for Distinct {
//!     type Value = i64;
//!     type Result = usize;
//!
//!     fn add(&mut self, number: i64) {
//!         self.0.insert(number);
//!     }
//!
//!     fn merge(&mut self, other: Self) {
//!         self.0.extend(other.0);
//!     }
//!
//!     fn result(&self) -> usize {
//!         self.0.len()
//!     }
//! }
//!
//! #[derive(Clone, Default)]
//! struct LastDigit {
//!     digits: Custom<Distinct>,
//! }
//!
//! impl ProcessFunction for LastDigit {
//!     type In = i64;
//!     type Out = i64;
//!
//!     fn open(&mut self, ctx: &mut OpenContext<'_>) -> FunctionResult {
//!         self.digits = ctx.accumulator("digits")?;
//!         Ok(())
//!     }
//!
//!     fn process_element(
//!         &mut self,
//!         number: &i64,
//!         _ctx: &mut ProcessContext<'_>,
//!         out: &mut Collector<'_, i64>,
//!     ) -> FunctionResult {
//!         self.digits.add(number % 10);
//!         out.collect(*number);
//!         Ok(())
//!     }
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let env = mini_cluster(2);
//! env.from_sequence(1, 100).process(LastDigit::default()).discard();
//! let digits = env.execute("digits")?.custom_accumulator::<Distinct>("digits");
//! assert_eq!(digits.transpose()?, Some(10));
//! # Ok(())
//! # }
//! ```
//!
//! The program merges those: the JobManager has no user's code, and REST shows what each subtask has come to, as JSON. They
//! travel whole twice a second, so they are for little: in the place of a value that has more than a megabyte in one subtask,
//! or of which a task has more than three, stands why.

pub use pelton_runtime_core::accumulator::{
    Accumulator, AccumulatorExists, AccumulatorValue, AverageAccumulator, Custom, CustomAccumulator, DoubleCounter,
    DoubleMaximum, DoubleMinimum, Histogram, IntCounter, IntMaximum, IntMinimum, ListAccumulator, ListError,
    LongCounter, LongMaximum, LongMinimum,
};
