//! How rows get their windows: by time alone, or in sessions whose gaps they say themselves.

use std::sync::Arc;

use super::assigner::{InvalidWindow, TimeDomain, WindowAssigner};
use crate::element::StreamBatch;
use crate::operator::{OperatorError, OperatorResult};

/// Says of rows how long their session waits for another row of their key.
pub trait SessionGaps: Send + Sync + 'static {
    /// Appends the gap of every row of the batch, in milliseconds.
    ///
    /// # Errors
    ///
    /// When the rows are not what was expected.
    fn append_gaps(&self, batch: &StreamBatch, gaps_ms: &mut Vec<i64>) -> OperatorResult;
}

/// How the rows of a batch get their windows.
#[derive(Clone)]
pub enum WindowAssignment {
    /// By their time alone.
    Assigner(WindowAssigner),
    /// Each row keeps its session open for as long as `gaps` says of it.
    DynamicSessions {
        /// Says how long.
        gaps: Arc<dyn SessionGaps>,
        /// Which clock closes the sessions.
        domain: TimeDomain,
    },
}

impl From<WindowAssigner> for WindowAssignment {
    fn from(assigner: WindowAssigner) -> Self {
        Self::Assigner(assigner)
    }
}

impl WindowAssignment {
    /// Which clock closes the windows.
    pub const fn domain(&self) -> TimeDomain {
        match self {
            Self::Assigner(assigner) => assigner.domain(),
            Self::DynamicSessions { domain, .. } => *domain,
        }
    }

    /// Whether windows of one key become one when they touch.
    pub const fn merges(&self) -> bool {
        matches!(self, Self::DynamicSessions { .. } | Self::Assigner(WindowAssigner::Session { .. }))
    }

    /// How long the session of each row waits for another; 0 for windows that are no sessions. `memory` is overwritten.
    ///
    /// # Errors
    ///
    /// When the rows cannot be read, or one has no positive gap.
    pub fn gaps<'a>(&self, batch: &StreamBatch, memory: &'a mut Vec<i64>) -> OperatorResult<RowMillis<'a>> {
        match self {
            Self::Assigner(WindowAssigner::Aligned { .. }) => Ok(RowMillis::Same(0)),
            Self::Assigner(WindowAssigner::Session { gap_ms, .. }) => Ok(RowMillis::Same(*gap_ms)),
            Self::DynamicSessions { gaps, .. } => {
                memory.clear();
                gaps.append_gaps(batch, memory)?;
                match memory.iter().find(|gap| **gap <= 0) {
                    Some(millis) => {
                        let refused = InvalidWindow::NotPositive { what: "gap", millis: *millis };
                        Err(OperatorError::data(refused.to_string()))
                    }
                    None => Ok(RowMillis::Each(memory)),
                }
            }
        }
    }
}

impl std::fmt::Debug for WindowAssignment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Assigner(assigner) => assigner.fmt(f),
            Self::DynamicSessions { domain, .. } => {
                f.debug_struct("DynamicSessions").field("domain", domain).finish_non_exhaustive()
            }
        }
    }
}

/// Milliseconds of every row: when it happened, or how long its session waits.
#[derive(Debug, Clone, Copy)]
pub enum RowMillis<'a> {
    /// The same of all.
    Same(i64),
    /// Of each its own.
    Each(&'a [i64]),
}

impl RowMillis<'_> {
    /// Those of a row.
    #[inline(always)]
    pub fn get(&self, row: usize) -> i64 {
        match self {
            Self::Same(millis) => *millis,
            Self::Each(millis) => millis[row],
        }
    }
}
