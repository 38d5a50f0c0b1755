//! What a function may do before a checkpoint and after a restart.

use pelton_runtime_core::operator::OperatorRuntime;

use super::store::OperatorStates;
use super::{OperatorStateAccess, OperatorStateAccessMut, sealed};

/// Access to the function's operator state before a checkpoint and after a restart.
pub struct StateContext<'a> {
    pub(crate) states: &'a mut OperatorStates,
    pub(crate) runtime: &'a OperatorRuntime,
}

impl StateContext<'_> {
    /// The function's place in the job.
    pub fn runtime(&self) -> &OperatorRuntime {
        self.runtime
    }
}

impl sealed::Sealed for StateContext<'_> {}

impl OperatorStateAccess for StateContext<'_> {
    fn operator_states(&self) -> &OperatorStates {
        self.states
    }
}

impl OperatorStateAccessMut for StateContext<'_> {
    fn operator_states_mut(&mut self) -> &mut OperatorStates {
        self.states
    }
}
