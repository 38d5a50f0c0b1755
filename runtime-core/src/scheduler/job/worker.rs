//! What the scheduler knows of a worker process.

use super::fact::WorkerExit;
use crate::failure::FailureCause;
use crate::id::TaskManagerId;

/// A worker that was started and whose end has not been heard of.
#[derive(Debug, Clone)]
pub(super) struct Worker {
    pub task_manager: TaskManagerId,
    pub host: String,
    pub link: Link,
    /// How it ended, kept while its connection may still hold a better story.
    pub exit: Option<WorkerExit>,
    /// Why it cannot go on, in its own words.
    pub fatal: Option<FailureCause>,
    /// Whether its supervisor was told to end it.
    pub stopping: bool,
}

/// The connection with a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Link {
    /// Not there yet.
    Expected,
    /// There.
    Attached {
        /// Where its exchange listens.
        data_address: String,
    },
    /// Gone, for this reason.
    Detached(String),
}

impl Worker {
    pub fn new(task_manager: TaskManagerId, host: String) -> Self {
        Self { task_manager, host, link: Link::Expected, exit: None, fatal: None, stopping: false }
    }

    /// Whether new tasks may be sent to it.
    pub fn can_take_tasks(&self) -> bool {
        self.is_attached() && !self.stopping && self.exit.is_none() && self.fatal.is_none()
    }

    /// Whether it lives as far as is known, and will never take tasks again.
    pub fn is_unfit(&self) -> bool {
        matches!(self.link, Link::Detached(_)) || self.fatal.is_some()
    }

    /// Whether somebody wants it to end.
    pub fn was_told_to_end(&self) -> bool {
        self.stopping || self.exit.as_ref().is_some_and(|exit| exit.requested)
    }

    pub fn is_attached(&self) -> bool {
        matches!(self.link, Link::Attached { .. })
    }
}
