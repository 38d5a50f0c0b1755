//! What most programs need: `use pelton::prelude::*;`.
//!
//! ```
//! use pelton::prelude::*;
//!
//! # fn main() -> Result<(), pelton::ExecuteError> {
//! let env = StreamExecutionEnvironment::get_execution_environment();
//! let words = env.from_elements(["to be or not to be".to_owned()]).flat_map(|line: &String, words: &mut Collector<_>| {
//!     line.split(' ').for_each(|word| words.collect((word, 1i64)));
//! });
//! let counts: DataStream<(String, i64)> = words.key_by(field::<0, _>()).sum(field::<1, _>());
//! # drop(counts.discard());
//! # Ok(())
//! # }
//! ```

pub use crate::environment::StreamExecutionEnvironment;
pub use crate::keyed::{
    AggregateFunction, EventTimeSessionWindows, FunctionResult, GlobalWindows, KeyedContext, KeyedProcessFunction,
    KeyedStream, ListState, MapState, OpenContext, ProcessContext, ProcessFunction, SlidingEventTimeWindows,
    SlidingProcessingTimeWindows, TimeWindow, TumblingEventTimeWindows, TumblingProcessingTimeWindows, ValueState,
};
pub use crate::record::{Record, Timestamp, field};
pub use crate::stream::{Collector, DataStream, OutputTag};
pub use crate::watermarks::WatermarkStrategy;
