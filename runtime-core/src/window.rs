//! Windows: which rows belong together in time, when they are complete, and what is computed of them.
//!
//! ```text
//!                        ┌ AlignedWindows: tumbling, sliding; one table per window or pane ┐
//!  WindowOperator ──────►┤                                                                 ├──► GroupAggregate
//!   keys, times, late    └ SessionWindows: sessions of each key, merged when they touch    ┘     accumulators, results
//! ```
//!
//! The semantics are Flink's. A window `[start, end)` fires when the watermark reaches `end - 1`; its results carry that
//! time. A row is late for a window when `end - 1 + allowed lateness` is at or before the watermark; a row that is late
//! for all its windows goes to the late output or is counted and dropped. Until then rows are added to a window that
//! has fired already, and each makes it fire again for its key. Windows of processing time that are open when the input
//! ends do not fire.
//!
//! Windows survive a restart with the clock they have come to (`group_clocks`): nothing fires twice, and what was late
//! stays late although watermarks begin anew. Windows in state that are none of the assigner's are refused.

mod aggregate;
mod aligned;
mod assigner;
mod assignment;
mod columnar;
mod group_clocks;
mod operator;
mod session;
mod time_window;

#[cfg(test)]
mod tests;

pub use aggregate::{GroupAggregate, Windows, result_timestamps};
pub use assigner::{InvalidWindow, TimeDomain, WindowAssigner, window_start};
pub use assignment::{RowMillis, SessionGaps, WindowAssignment};
pub use columnar::{AggregateCall, ColumnAggregates, ColumnFunction, OutputColumn, RollingAggregates};
pub use operator::{KeyColumns, WINDOW_CONTENTS, WindowOperator, WindowSettings};
pub use time_window::TimeWindow;
