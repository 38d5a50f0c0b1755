//! State of an operator's subtasks rather than of keys: lists that are redistributed, and broadcast maps.
//!
//! ```text
//!  OperatorListState::split   every element goes to one subtask after a restart, in turn
//!  OperatorListState::union   every subtask gets the elements of all
//!  BroadcastState             every subtask has the same map
//! ```
//!
//! As with keyed state, a handle is a name and, once registered, a place; what it holds lives in the operator and is
//! part of every checkpoint. A function that keeps something in fields of its own brings it into such a state in
//! `snapshot_state` and takes it back in `restore_state`, which every function trait has.

mod broadcast;
mod list;
mod restored;
mod store;

use std::sync::Arc;

use pelton_runtime_core::state::StateError;

pub use broadcast::BroadcastState;
pub use list::OperatorListState;
pub use restored::StateContext;
pub(crate) use store::OperatorStates;

use self::store::Contents;

/// What gives access to the state of an operator: the contexts of functions.
pub trait OperatorStateAccess: sealed::Sealed {
    #[doc(hidden)]
    fn operator_states(&self) -> &OperatorStates;
}

/// What gives access to the state of an operator and may change lists.
pub trait OperatorStateAccessMut: OperatorStateAccess {
    #[doc(hidden)]
    fn operator_states_mut(&mut self) -> &mut OperatorStates;
}

/// What may change broadcast state: contexts of elements that every subtask sees.
#[diagnostic::on_unimplemented(
    message = "broadcast state cannot be changed here",
    label = "`{Self}` only reads broadcast state",
    note = "subtasks would come to hold different rules: change it in `process_broadcast_element`, which sees the same \
            elements on every subtask"
)]
pub trait BroadcastStateAccessMut: OperatorStateAccess {
    #[doc(hidden)]
    fn broadcast_states_mut(&mut self) -> &mut OperatorStates;
}

pub(crate) mod sealed {
    /// Contexts are made here and nowhere else.
    pub trait Sealed {}
}

/// The name and place of a state.
#[derive(Debug, Clone)]
struct Handle {
    name: Arc<str>,
    place: Option<usize>,
}

impl Handle {
    fn new(name: &str) -> Self {
        Self { name: name.into(), place: None }
    }

    fn place(&self) -> Result<usize, StateError> {
        self.place.ok_or_else(|| StateError::NotRegistered { name: self.name.to_string() })
    }

    fn contents<'c, C: Contents>(&self, access: &'c impl OperatorStateAccess) -> Result<&'c C, StateError> {
        Ok(access.operator_states().contents(self.place()?))
    }
}

#[cfg(test)]
mod tests;
