//! Functions of the user that see a window with its context, as what emits a window's results.
//!
//! A function is opened when its instance is made and closed when that is dropped, also after a failure.

use pelton_runtime_core::operator::{OperatorContext, OperatorError, OperatorResult, OperatorRuntime};
use pelton_runtime_core::state::StateError;
use pelton_runtime_core::window::TimeWindow;

use crate::keyed::context::OpenContext;
use crate::keyed::process_function::failed;
use crate::keyed::state::States;
use crate::keyed::window_function::{ProcessWindowFunction, WindowContext};
use crate::operator_state::OperatorStates;
use crate::stream::{Collector, Parallel, SideOutputWriter, SideOutputs};

use super::window::{Clocks, EmitWindow, View};

/// Gives the window's context and what `view` shows to a function of the user.
pub(crate) struct EmitThrough<V, F: ProcessWindowFunction> {
    view: V,
    function: Opened<F>,
    side_outputs: SideOutputWriter,
}

/// Opens a copy of the function for each instance.
pub(in crate::keyed) fn opened<V: Clone + Parallel, F: ProcessWindowFunction>(
    view: V,
    function: F,
) -> impl Fn(&OperatorRuntime, &SideOutputs) -> OperatorResult<EmitThrough<V, F>> + Parallel {
    move |runtime, sides| {
        let function = Opened::new(function.clone(), runtime)?;
        Ok(EmitThrough { view: view.clone(), function, side_outputs: sides.writer() })
    }
}

impl<A, V, F> EmitWindow<F::Key, A, F::Out> for EmitThrough<V, F>
where
    V: View<A, Element = F::In>,
    F: ProcessWindowFunction,
{
    const NEEDS_KEY: bool = true;

    fn emit(
        &mut self,
        key: Option<&F::Key>,
        window: &TimeWindow,
        clocks: Clocks,
        accumulator: &A,
        out: &mut Collector<'_, F::Out>,
    ) -> OperatorResult {
        let Some(key) = key else { return Ok(()) };
        let mut ctx = WindowContext { key, window, clocks, side_outputs: &mut self.side_outputs };
        let function = &mut self.function.0;
        let answer = self.view.show(accumulator, |elements| function.process(&mut ctx, elements, out));
        answer.transpose().map_err(failed)?;
        Ok(())
    }

    fn flush(&mut self, cx: &mut OperatorContext<'_>) -> OperatorResult {
        self.side_outputs.flush(cx)
    }
}

/// A function that was opened, and is closed in the end.
struct Opened<F: ProcessWindowFunction>(F);

impl<F: ProcessWindowFunction> Opened<F> {
    fn new(mut function: F, runtime: &OperatorRuntime) -> OperatorResult<Self> {
        let mut operator = OperatorStates::default();
        let states = States { keyed: None, operator: &mut operator };
        let open = function.open(&mut OpenContext { states, runtime }).map_err(failed);
        let function = Self(function);
        match open {
            Err(OperatorError::State(StateError::NoKeys { name })) => return Err(no_state(&name)),
            other => other?,
        }
        match operator.names().next() {
            Some(name) => Err(no_state(name)),
            None => Ok(function),
        }
    }
}

impl<F: ProcessWindowFunction> Drop for Opened<F> {
    fn drop(&mut self) {
        self.0.close();
    }
}

fn no_state(name: &str) -> OperatorError {
    OperatorError::misfit(format!(
        "A window function has no state of its own, but registers `{name}`; keep it in a `KeyedProcessFunction` behind \
         the window, or in the window's aggregate"
    ))
}
