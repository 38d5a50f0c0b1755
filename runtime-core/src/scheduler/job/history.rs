//! The failures a job has seen: bounded, each with those that came while it was handled.

use std::collections::VecDeque;

use crate::failure::FailureCause;
use crate::id::AttemptNumber;

/// How many failures are noted beside a root cause.
const MAX_CONCURRENT: usize = 16;

/// A failure and what it happened to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedFailure {
    /// Why.
    pub cause: FailureCause,
    /// The attempt of the subtask that failed, when one did.
    pub attempt: Option<AttemptNumber>,
    /// Where the exchange of the worker listened, when one is concerned.
    pub data_address: Option<String>,
    /// Why the job was not restarted, in Flink's words; none when it was, or when this was no root cause.
    pub suppressed: Option<String>,
    /// Failures that came while this one was handled.
    pub concurrent: Vec<RecordedFailure>,
}

/// The failures a job has seen.
#[derive(Debug, Clone)]
pub struct ExceptionHistory {
    capacity: usize,
    truncated: bool,
    newest_first: VecDeque<RecordedFailure>,
}

impl ExceptionHistory {
    pub(super) fn new(capacity: usize) -> Self {
        Self { capacity: capacity.max(1), truncated: false, newest_first: VecDeque::new() }
    }

    pub(super) fn push(&mut self, failure: RecordedFailure) {
        self.newest_first.push_front(failure);
        if self.newest_first.len() > self.capacity {
            self.newest_first.truncate(self.capacity);
            self.truncated = true;
        }
    }

    /// Notes a failure beside the one being handled.
    pub(super) fn push_concurrent(&mut self, failure: RecordedFailure) {
        if let Some(root) = self.newest_first.front_mut()
            && root.concurrent.len() < MAX_CONCURRENT
        {
            root.concurrent.push(failure);
        }
    }

    /// Root causes, the newest first.
    pub fn iter(&self) -> impl Iterator<Item = &RecordedFailure> {
        self.newest_first.iter()
    }

    /// The newest root cause.
    pub fn newest(&self) -> Option<&RecordedFailure> {
        self.newest_first.front()
    }

    /// Whether older ones were forgotten.
    pub fn truncated(&self) -> bool {
        self.truncated
    }
}
