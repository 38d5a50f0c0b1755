//! What a sink's thread tells its task.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use pelton_runtime_core::element::CheckpointId;
use pelton_runtime_core::operator::OperatorResult;
use pelton_runtime_core::time::EpochMillis;

/// Lists of checkpoints that nobody asked for, at most: those that were given up while their sink was at work.
const UNASKED_MAX: usize = 64;

/// Shared by the thread, which writes, and the task, which reads.
pub(super) struct Progress<C>(Arc<Mutex<State<C>>>);

struct State<C> {
    outcome: Option<OperatorResult>,
    position: Position,
    /// What checkpoints list, until the task takes it.
    lists: BTreeMap<CheckpointId, Vec<C>>,
}

/// How far the thread has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Position {
    /// When it wants to be told the time.
    pub(super) wake_at: Option<EpochMillis>,
    /// Commands that it has done.
    pub(super) done: u64,
}

impl<C> Default for Progress<C> {
    fn default() -> Self {
        let state = State { outcome: None, position: Position::default(), lists: BTreeMap::new() };
        Self(Arc::new(Mutex::new(state)))
    }
}

impl<C> Clone for Progress<C> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<C> Progress<C> {
    /// Whether everything is written and committed.
    pub(super) fn is_done(&self) -> bool {
        matches!(self.0.lock().outcome, Some(Ok(())))
    }

    pub(super) fn end(&self, outcome: OperatorResult) {
        self.0.lock().outcome.get_or_insert(outcome);
    }

    pub(super) fn has_ended(&self) -> bool {
        self.0.lock().outcome.is_some()
    }

    /// How the thread ended, once.
    pub(super) fn take_outcome(&self) -> Option<OperatorResult> {
        self.0.lock().outcome.take()
    }

    pub(super) fn put_list(&self, checkpoint: CheckpointId, list: Vec<C>) {
        let mut state = self.0.lock();
        state.lists.insert(checkpoint, list);
        if state.lists.len() > UNASKED_MAX {
            state.lists.pop_first();
        }
    }

    /// What this checkpoint lists, once. Checkpoints may be under way at once, so those of others stay.
    pub(super) fn take_list(&self, checkpoint: CheckpointId) -> Option<Vec<C>> {
        self.0.lock().lists.remove(&checkpoint)
    }

    /// Nobody will ask for the lists of this checkpoint and those before it.
    pub(super) fn forget_lists(&self, completed: CheckpointId) {
        self.0.lock().lists.retain(|checkpoint, _| *checkpoint > completed);
    }

    pub(super) fn set_position(&self, position: Position) {
        self.0.lock().position = position;
    }

    pub(super) fn position(&self) -> Position {
        self.0.lock().position
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_an_older_checkpoint_is_there_after_that_of_a_newer_was_taken() {
        let progress = Progress::default();
        for checkpoint in 1..4 {
            progress.put_list(CheckpointId(checkpoint), vec![checkpoint]);
        }
        assert_eq!(progress.take_list(CheckpointId(2)), Some(vec![2]));
        assert_eq!(progress.take_list(CheckpointId(1)), Some(vec![1]));
        progress.forget_lists(CheckpointId(3));
        assert_eq!(progress.take_list(CheckpointId(3)), None);
    }
}
