//! Records of two streams that have equal keys and are close in time.
//!
//! ```text
//!  a.join(b).where_key(…).equal_to(…).window(…)      ── apply(pairs of one window)
//!  a.co_group(b).where_key(…).equal_to(…).window(…)  ── apply(all records of one window, of both sides)
//!  a.key_by(…).interval_join(b.key_by(…)).between(…) ── process(pairs whose distance in time is within bounds)
//! ```
//!
//! Window joins and co-groups are windows over one stream of both sides ([`tagged`]): whatever holds of windows holds of
//! them. An interval join keeps the records of each side as long as one of the other may come to match.

mod apply;
mod interval;
mod interval_operator;
mod tagged;
mod triggers;
mod window;

pub use apply::WindowsOfBoth;
pub use interval::{IntervalJoin, IntervalJoined, JoinTimes};
pub use tagged::Tagged;
pub use triggers::{TriggeredCoGroup, TriggeredJoin};
pub use window::{
    CoGroupedByKey, CoGroupedStreams, CoGroupedWindows, JoinedByKey, JoinedStreams, JoinedWindows, WhereCoGrouped,
    WhereJoined,
};

#[cfg(test)]
mod tests;
