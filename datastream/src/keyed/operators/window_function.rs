//! Functions of the user that see a window with its context, as what emits a window's results.
//!
//! A function is opened when its instance is made and closed when that is dropped, also after a failure.

use pelton_runtime_core::operator::{OperatorContext, OperatorError, OperatorResult, OperatorRuntime};
use pelton_runtime_core::state::StateError;
use pelton_runtime_core::window::TimeWindow;

use crate::keyed::context::OpenContext;
use crate::keyed::process_function::{FunctionResult, failed};
use crate::keyed::state::States;
use crate::keyed::stateful_window_function::{StatefulWindowContext, StatefulWindowFunction};
use crate::keyed::window_function::{ProcessWindowFunction, WindowContext};
use crate::operator_state::OperatorStates;
use crate::state_codec::codec;
use crate::stream::{Collector, Parallel, SideOutputWriter, SideOutputs};

use super::triggered::{Codecs, EmitTriggered, Memory};
use super::window::{Clocks, EmitWindow, View};

/// Gives the window's context and what `view` shows to a function of the user.
pub(crate) struct EmitThrough<V, F: ProcessWindowFunction> {
    view: V,
    function: Opened<Stateless<F>>,
    side_outputs: SideOutputWriter,
}

/// Opens a copy of the function for each instance.
pub(in crate::keyed) fn opened<V: Clone + Parallel, F: ProcessWindowFunction>(
    view: V,
    function: F,
) -> impl Fn(&OperatorRuntime, &SideOutputs) -> OperatorResult<EmitThrough<V, F>> + Parallel {
    move |runtime, sides| {
        let function = Opened::new(Stateless(function.clone()), runtime)?;
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
        let function = &mut self.function.0.0;
        let answer = self.view.show(accumulator, |elements| function.process(&mut ctx, elements, out));
        answer.transpose().map_err(failed)?;
        Ok(())
    }

    fn flush(&mut self, cx: &mut OperatorContext<'_>) -> OperatorResult {
        self.side_outputs.flush(cx)
    }
}

/// Gives the window's context, what `view` shows and what it remembers to a function of the user.
pub(crate) struct EmitRemembering<V, F: StatefulWindowFunction> {
    view: V,
    function: Opened<Stateful<F>>,
    side_outputs: SideOutputWriter,
}

/// Opens a copy of the function for each instance.
pub(in crate::keyed) fn opened_stateful<V: Clone + Parallel, F: StatefulWindowFunction>(
    view: V,
    function: F,
) -> impl Fn(&OperatorRuntime, &SideOutputs) -> OperatorResult<EmitRemembering<V, F>> + Parallel {
    move |runtime, sides| {
        let function = Opened::new(Stateful(function.clone()), runtime)?;
        Ok(EmitRemembering { view: view.clone(), function, side_outputs: sides.writer() })
    }
}

impl<A, V, F> EmitTriggered<F::Key, A, F::Out> for EmitRemembering<V, F>
where
    V: View<A, Element = F::In>,
    F: StatefulWindowFunction,
{
    const NEEDS_KEY: bool = true;

    type OfWindow = F::WindowState;
    type OfKey = F::GlobalState;

    fn codecs() -> Option<Codecs<F::WindowState, F::GlobalState>> {
        Some((codec(), codec()))
    }

    fn emit(
        &mut self,
        key: Option<&F::Key>,
        window: &TimeWindow,
        clocks: Clocks,
        accumulator: &A,
        memory: &mut Memory<'_, F::WindowState, F::GlobalState>,
        out: &mut Collector<'_, F::Out>,
    ) -> OperatorResult {
        let Some(key) = key else { return Ok(()) };
        let context = WindowContext { key, window, clocks, side_outputs: &mut self.side_outputs };
        let mut ctx = StatefulWindowContext { context, of_window: memory.of_window, of_key: memory.of_key };
        let function = &mut self.function.0.0;
        let answer = self.view.show(accumulator, |elements| function.process(&mut ctx, elements, out));
        answer.transpose().map_err(failed)?;
        Ok(())
    }

    fn flush(&mut self, cx: &mut OperatorContext<'_>) -> OperatorResult {
        self.side_outputs.flush(cx)
    }
}

/// What is opened before windows fire, and closed after.
trait Opens {
    fn open(&mut self, ctx: &mut OpenContext<'_>) -> FunctionResult;
    fn close(&mut self);
}

struct Stateless<F>(F);

impl<F: ProcessWindowFunction> Opens for Stateless<F> {
    fn open(&mut self, ctx: &mut OpenContext<'_>) -> FunctionResult {
        self.0.open(ctx)
    }

    fn close(&mut self) {
        self.0.close();
    }
}

struct Stateful<F>(F);

impl<F: StatefulWindowFunction> Opens for Stateful<F> {
    fn open(&mut self, ctx: &mut OpenContext<'_>) -> FunctionResult {
        self.0.open(ctx)
    }

    fn close(&mut self) {
        self.0.close();
    }
}

/// A function that was opened, and is closed in the end.
struct Opened<F: Opens>(F);

impl<F: Opens> Opened<F> {
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

impl<F: Opens> Drop for Opened<F> {
    fn drop(&mut self) {
        self.0.close();
    }
}

fn no_state(name: &str) -> OperatorError {
    OperatorError::misfit(format!(
        "A window function has no state of its own, but registers `{name}`; make it a `StatefulWindowFunction`, or keep it in \
         a `KeyedProcessFunction` behind the window"
    ))
}
