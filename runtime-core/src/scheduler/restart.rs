//! Whether a job that failed is tried again.

use crate::failure::FailureCause;
use crate::time::EpochMillis;

/// What to do about a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestartDecision {
    /// The job fails.
    Fail,
}

/// Decides about each failure of one job; remembers what it needs to.
pub trait RestartStrategy: Send {
    /// What to do about `cause`, which happened `now`.
    fn on_failure(&mut self, cause: &FailureCause, now: EpochMillis) -> RestartDecision;

    /// The strategy in words.
    fn describe(&self) -> String;
}

/// Never restarts.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoRestart;

impl RestartStrategy for NoRestart {
    fn on_failure(&mut self, _cause: &FailureCause, _now: EpochMillis) -> RestartDecision {
        RestartDecision::Fail
    }

    fn describe(&self) -> String {
        "No restart".to_owned()
    }
}
