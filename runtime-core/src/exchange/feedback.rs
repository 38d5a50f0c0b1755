//! What the reader of a channel tells its writer, against the direction of the data.
//!
//! Readers of splits ask their enumerator for more and say how far their event time has come. Only the newest word counts:
//! numbers are totals, so words may be left out. Nothing of it is state; a reader that restarts begins anew.

use crate::time::{EpochMillis, MIN_WATERMARK};

/// A reader's newest word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Feedback {
    /// How much the reader has asked for since it started.
    pub requested: u64,
    /// How far its event time has come.
    pub watermark: EpochMillis,
}

impl Default for Feedback {
    fn default() -> Self {
        Self { requested: 0, watermark: MIN_WATERMARK }
    }
}
