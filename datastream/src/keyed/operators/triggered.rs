//! Windows that fire when a trigger says so, with or without an evictor.
//!
//! ```text
//!  key's slot ──► open windows, each: contents · the trigger's state · its timers of both clocks · the function's state
//!  alarms of both clocks: when the first timer of a key is due, or the end of its first window
//! ```
//!
//! What other windows do for many keys at once is done here element by element: a trigger is asked about each. A window
//! is there as long as it has contents, a state or a timer, and a session until its end; those of time are dropped at their end plus the
//! allowed lateness, of which the trigger is told first. After a restart watermarks begin anew, and what is late is
//! judged by them.

mod contents;
mod emit;
mod ends;
mod entries;
mod operator;

pub(crate) use contents::{Contents, Evicting, Incremental};
pub(crate) use emit::{Codecs, EmitTriggered, Forgetful, Memory};
pub(crate) use operator::{TriggeredSettings, TriggeredWindows, Windowing};
