//! The states of a user's function: how they are registered, saved and given back.

use pelton_runtime_core::checkpoint::snapshot::{OperatorTable, RestoredState};
use pelton_runtime_core::operator::{OperatorContext, OperatorResult, OperatorRuntime, refuse_state};
use pelton_runtime_core::state::KeyedStateBackend;

use crate::keyed::context::OpenContext;
use crate::keyed::process_function::{FunctionResult, failed};
use crate::keyed::state::States;
use crate::operator_state::{OperatorStates, StateContext};

/// The operator states of one function, and where it runs.
#[derive(Default)]
pub(crate) struct FunctionStates {
    operator: OperatorStates,
    /// Known from the opening on.
    runtime: Option<OperatorRuntime>,
}

impl FunctionStates {
    /// Lets the function register its states; `keyed` is where those of keys go.
    pub(super) fn open(
        &mut self,
        keyed: Option<&mut KeyedStateBackend>,
        cx: &OperatorContext<'_>,
        open: impl FnOnce(&mut OpenContext<'_>) -> FunctionResult,
    ) -> OperatorResult {
        self.runtime = Some(cx.runtime().clone());
        let states = States { keyed, operator: &mut self.operator };
        open(&mut OpenContext { states, runtime: cx.runtime() }).map_err(failed)
    }

    pub(super) fn operator(&self) -> &OperatorStates {
        &self.operator
    }

    #[inline]
    pub(super) fn operator_mut(&mut self) -> &mut OperatorStates {
        &mut self.operator
    }

    /// Everything as tables, after the function has brought in what it keeps itself.
    pub(super) fn snapshot(
        &mut self,
        save: impl FnOnce(&mut StateContext<'_>) -> FunctionResult,
    ) -> OperatorResult<Vec<OperatorTable>> {
        if let Some(runtime) = &self.runtime {
            save(&mut StateContext { states: &mut self.operator, runtime }).map_err(failed)?;
        }
        Ok(self.operator.snapshot()?)
    }

    /// Takes all that is left of the state back, and lets the function take what it keeps itself.
    pub(super) fn restore(
        &mut self,
        mut state: RestoredState,
        take_back: impl FnOnce(&mut StateContext<'_>) -> FunctionResult,
    ) -> OperatorResult {
        if !state.keyed.is_empty() {
            return refuse_state(&state);
        }
        self.operator.restore(&mut state)?;
        match &self.runtime {
            Some(runtime) => take_back(&mut StateContext { states: &mut self.operator, runtime }).map_err(failed),
            None => Ok(()),
        }
    }
}
