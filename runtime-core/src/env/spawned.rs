//! Handles of what runs in the background.

use std::fmt;
use std::sync::Arc;

use tokio::task::AbortHandle;

/// Aborts its task when told to, and not when dropped.
#[derive(Clone)]
pub struct SpawnedTask(Task);

#[derive(Clone)]
enum Task {
    Tokio(AbortHandle),
    World(Arc<dyn Fn() + Send + Sync>),
}

impl SpawnedTask {
    pub(super) fn of_tokio(handle: AbortHandle) -> Self {
        Self(Task::Tokio(handle))
    }

    /// A task of another world, which `abort` ends at its next await point.
    pub fn new(abort: impl Fn() + Send + Sync + 'static) -> Self {
        Self(Task::World(Arc::new(abort)))
    }

    /// Ends the task at its next await point.
    pub fn abort(&self) {
        match &self.0 {
            Task::Tokio(handle) => handle.abort(),
            Task::World(abort) => abort(),
        }
    }

    /// A handle that ends the task when it is dropped.
    pub fn abort_on_drop(self) -> AbortOnDrop {
        AbortOnDrop(self)
    }
}

impl fmt::Debug for SpawnedTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SpawnedTask")
    }
}

/// Ends its task when dropped.
#[derive(Debug)]
pub struct AbortOnDrop(SpawnedTask);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
