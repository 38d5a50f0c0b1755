//! What functions add up beside their records. They ask for an accumulator in `open`, with
//! [`OpenContext::accumulator`](crate::keyed::OpenContext::accumulator).
//!
//! Values are merged over all subtasks: shown by REST (`/jobs/:jobid/accumulators`) while the job runs, by `client run` at its
//! end, and in the [result](crate::JobExecutionResult) of a program that is run by hand. They are of the current attempt
//! of each subtask and not part of checkpoints, as in Flink.

pub use pelton_runtime_core::accumulator::{
    Accumulator, AccumulatorExists, AccumulatorValue, AverageAccumulator, DoubleCounter, DoubleMaximum, DoubleMinimum,
    Histogram, IntCounter, IntMaximum, IntMinimum, ListAccumulator, ListError, LongCounter, LongMaximum, LongMinimum,
};
