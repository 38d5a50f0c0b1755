//! What emits the results of windows with triggers, and what it remembers meanwhile.

use pelton_runtime_core::operator::{OperatorContext, OperatorResult};
use pelton_runtime_core::state::ValueCodec;
use pelton_runtime_core::window::TimeWindow;

use crate::keyed::operators::window::{Clocks, EmitWindow};
use crate::record::Record;
use crate::stream::Collector;

/// What is made of a window's contents when it fires, by something with a memory.
pub(crate) trait EmitTriggered<K, A, U: Record>: Send + 'static {
    /// Whether the key must be read.
    const NEEDS_KEY: bool;

    /// What it remembers of a window until that ends.
    type OfWindow: Send + 'static;
    /// What it remembers of a key.
    type OfKey: Send + 'static;

    /// The Arrow form of both; absent when it remembers nothing.
    fn codecs() -> Option<Codecs<Self::OfWindow, Self::OfKey>>;

    fn emit(
        &mut self,
        key: Option<&K>,
        window: &TimeWindow,
        clocks: Clocks,
        accumulator: &A,
        memory: &mut Memory<'_, Self::OfWindow, Self::OfKey>,
        out: &mut Collector<'_, U>,
    ) -> OperatorResult;

    /// Emits what went to side outputs.
    fn flush(&mut self, cx: &mut OperatorContext<'_>) -> OperatorResult;
}

/// The Arrow forms of what is remembered of a window, and of a key.
pub(crate) type Codecs<W, G> = (ValueCodec<W>, ValueCodec<G>);

/// What is remembered of a window and of its key.
pub(crate) struct Memory<'a, W, G> {
    pub(crate) of_window: &'a mut Option<W>,
    pub(crate) of_key: &'a mut Option<G>,
}

/// What emits and remembers nothing.
pub(crate) struct Forgetful<E>(pub(crate) E);

impl<K, A, U: Record, E: EmitWindow<K, A, U>> EmitTriggered<K, A, U> for Forgetful<E> {
    const NEEDS_KEY: bool = E::NEEDS_KEY;

    type OfWindow = ();
    type OfKey = ();

    fn codecs() -> Option<Codecs<(), ()>> {
        None
    }

    fn emit(
        &mut self,
        key: Option<&K>,
        window: &TimeWindow,
        clocks: Clocks,
        accumulator: &A,
        _memory: &mut Memory<'_, (), ()>,
        out: &mut Collector<'_, U>,
    ) -> OperatorResult {
        self.0.emit(key, window, clocks, accumulator, out)
    }

    fn flush(&mut self, cx: &mut OperatorContext<'_>) -> OperatorResult {
        self.0.flush(cx)
    }
}
