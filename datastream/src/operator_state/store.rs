//! What the operator states of one instance hold, and how it leaves and returns.
//!
//! Each state is one operator table of its name. Invariant: names are unique.

use std::any::Any;
use std::sync::Arc;

use arrow::array::RecordBatch;
use pelton_runtime_core::checkpoint::snapshot::{OperatorTable, Redistribution, RestoredState, Unclaimed};
use pelton_runtime_core::state::{ColumnError, StateError};

/// What one state holds.
pub(crate) trait Contents: Any + Send {
    /// All of it as rows.
    fn rows(&self) -> Result<RecordBatch, ColumnError>;

    /// Takes rows back, those of one instance's snapshot at a time.
    fn restore(&mut self, rows: &RecordBatch) -> Result<(), ColumnError>;
}

struct Registered {
    name: Arc<str>,
    redistribution: Redistribution,
    contents: Box<dyn Contents>,
}

/// The operator states of one function.
#[derive(Default)]
#[doc(hidden)]
pub struct OperatorStates(Vec<Registered>);

impl std::fmt::Debug for OperatorStates {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.iter().map(|state| &state.name)).finish()
    }
}

impl OperatorStates {
    /// Adds a state; answers with its place.
    pub(super) fn register(
        &mut self,
        name: &Arc<str>,
        redistribution: Redistribution,
        contents: Box<dyn Contents>,
    ) -> Result<usize, StateError> {
        if self.0.iter().any(|state| state.name == *name) {
            return Err(StateError::DuplicateName { name: name.to_string() });
        }
        self.0.push(Registered { name: name.clone(), redistribution, contents });
        Ok(self.0.len() - 1)
    }

    /// The names of all states.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|state| state.name.as_ref())
    }

    /// What the state at `place` holds.
    ///
    /// # Panics
    ///
    /// When the place is of another operator's states.
    pub(super) fn contents<C: Contents>(&self, place: usize) -> &C {
        let contents: &dyn Any = self.0[place].contents.as_ref();
        contents.downcast_ref().expect("a state's place is used with the states it was registered in")
    }

    /// The same, to be changed.
    ///
    /// # Panics
    ///
    /// When the place is of another operator's states.
    pub(super) fn contents_mut<C: Contents>(&mut self, place: usize) -> &mut C {
        let contents: &mut dyn Any = self.0[place].contents.as_mut();
        contents.downcast_mut().expect("a state's place is used with the states it was registered in")
    }

    /// Everything as tables. A state without content has a table, too: it was there.
    pub(crate) fn snapshot(&self) -> Result<Vec<OperatorTable>, StateError> {
        let table = |state: &Registered| {
            let rows = state
                .contents
                .rows()
                .map_err(|reason| StateError::Snapshot { name: state.name.to_string(), reason: Box::new(reason) })?;
            Ok(OperatorTable { name: state.name.to_string(), redistribution: state.redistribution, rows })
        };
        self.0.iter().map(table).collect()
    }

    /// Takes the tables of all registered states out of what came back. The rest is somebody else's.
    pub(crate) fn restore(&mut self, restored: &mut RestoredState) -> Result<(), StateError> {
        for state in &mut self.0 {
            for rows in restored.take_operator(&state.name) {
                state
                    .contents
                    .restore(&rows)
                    .map_err(|reason| StateError::Restore { name: state.name.to_string(), reason: Box::new(reason) })?;
            }
        }
        match (restored.operator.keys().next(), restored.unclaimed) {
            (Some(name), Unclaimed::Refused) => Err(StateError::Dropped { name: name.clone() }),
            _ => {
                for state in std::mem::take(&mut restored.operator).into_keys() {
                    tracing::warn!(state, "state is dropped: the operator registers it no more");
                }
                Ok(())
            }
        }
    }
}
