//! Complex event processing: finds sequences of events that a [`Pattern`] describes.
//!
//! ```text
//!  Pattern ── compiled ──► automaton (states, guarded transitions)
//!                              │
//!  events of a key ── in order of time ──► partial matches ──► matches ──► select · flat_select · process
//!                                               └── too old ──► timed out, to a side output
//! ```
//!
//! ```
//! use std::time::Duration;
//! use pelton::cep::Pattern;
//! use pelton::record::Record;
//! use pelton::testing::Harness;
//!
//! #[derive(Debug, Clone, Record)]
//! struct Login { user: String, succeeded: bool }
//!
//! # fn main() -> Result<(), pelton::testing::TestError> {
//! let mut harness = Harness::new();
//! let (logins, input) = harness.source::<Login>();
//! let pattern = Pattern::begin("fails")
//!     .where_event(|login: &Login| !login.succeeded)
//!     .times(2)
//!     .followed_by("success")
//!     .where_event(|login: &Login| login.succeeded)
//!     .within(Duration::from_secs(10));
//! let guessed = logins.key_by(Login::user).pattern(pattern).select(|found| found.first("success").user.clone());
//! let guessed = harness.collect(guessed);
//!
//! let login = |user: &str, succeeded| Login { user: user.into(), succeeded };
//! harness.push(&input, [(login("ann", false), 1), (login("ann", true), 3), (login("ann", false), 2)])?;
//! harness.watermark(&input, 3)?;
//! assert_eq!(guessed.take(), [("ann".to_owned(), Some(3))]);
//! # Ok(())
//! # }
//! ```
//!
//! Semantics are those of Flink's CEP library. With event time, the default, events are kept until the watermark has
//! come to them and are then matched in the order of their time, those of one time in the order they came; an event that
//! comes after the watermark is late. With [`in_processing_time`](PatternStream::in_processing_time) they are matched as
//! they come.
//!
//! Owns patterns, their automata, and the state of keys: events that wait for the watermark, and partial matches, which
//! share the events and the beginnings that they have in common. All of it is in checkpoints; a pattern that changed so
//! that partial matches have no place in it any more is refused. Groups of patterns (a pattern in place of an event) are
//! not there.

mod automaton;
mod condition;
mod finding;
mod found;
mod function;
mod malformed;
mod matching;
mod operator;
mod pattern;
mod pattern_stream;
mod skip;
mod state;

pub use condition::ConditionContext;
pub(crate) use finding::find_in;
pub use found::Match;
pub use function::{MatchContext, PatternProcessFunction};
pub use malformed::MalformedPattern;
pub use pattern::Pattern;
pub use pattern_stream::PatternStream;
pub use skip::AfterMatchSkipStrategy;

#[cfg(test)]
mod tests;
