//! What functions measure, shown by REST and the dashboard among the operator's metrics while the job runs.
//!
//! A function asks for metrics by name in `open` and keeps them. A counter is a total, a gauge the last value that was
//! set, a meter is shown as events per second, and a histogram as `name_min`, `name_p99` and so on of its last 1000 values.
//!
//! ```
//! # use pelton::testing::Harness;
//! # fn main() -> Result<(), pelton::testing::TestError> {
//! # let mut harness = Harness::new();
//! use pelton::keyed::{FunctionResult, OpenContext, ProcessContext, ProcessFunction};
//! use pelton::metrics::{Counter, Gauge, Histogram, Meter};
//! use pelton::stream::Collector;
//!
//! /// Passes numbers and drops what is none.
//! #[derive(Clone, Default)]
//! struct Numbers {
//!     malformed: Counter,
//!     last: Gauge,
//!     parsed: Meter,
//!     lengths: Histogram,
//! }
//!
//! impl ProcessFunction for Numbers {
//!     type In = String;
//!     type Out = f64;
//!
//!     fn open(&mut self, ctx: &mut OpenContext<'_>) -> FunctionResult {
//!         let metrics = &ctx.runtime().metrics;
//!         self.malformed = metrics.counter("malformed");
//!         self.last = metrics.gauge("last");
//!         self.parsed = metrics.meter("parsed");
//!         self.lengths = metrics.histogram("lengths");
//!         Ok(())
//!     }
//!
//!     fn process_element(
//!         &mut self,
//!         text: &String,
//!         _ctx: &mut ProcessContext<'_>,
//!         numbers: &mut Collector<'_, f64>,
//!     ) -> FunctionResult {
//!         self.lengths.update(text.len() as f64);
//!         match text.parse::<f64>() {
//!             Ok(number) => {
//!                 self.parsed.mark();
//!                 self.last.set(number);
//!                 numbers.collect(number);
//!             }
//!             Err(_) => self.malformed.add(1),
//!         }
//!         Ok(())
//!     }
//! }
//!
//! let (texts, input) = harness.source::<String>();
//! let numbers = harness.collect(texts.process(Numbers::default()));
//! harness.push_untimed(&input, ["7", "seven", "0.5"])?;
//! assert_eq!(numbers.take_records(), [7.0, 0.5]);
//! # Ok(())
//! # }
//! ```
//!
//! [`JobClient::rest_address`](crate::role::JobClient::rest_address) has the address where a test can ask for them.

pub use pelton_runtime_core::metrics::{Counter, Gauge, Histogram, Meter};
