//! What a window with a trigger holds, and what is made of it when it fires.

use pelton_runtime_core::state::ValueCodec;
use pelton_runtime_core::time::EpochMillis;
use pelton_runtime_core::window::TimeWindow;

use crate::keyed::evictors::{Evictor, EvictorContext};
use crate::keyed::operators::window::Accumulate;
use crate::record::Record;
use crate::state_codec::list_codec;

/// The contents of one window.
pub trait Contents<T: Record>: Clone + Send + Sync + 'static {
    /// What is held between elements.
    type Held: Send + 'static;
    /// What a function sees.
    type Shown;

    /// The Arrow form of what is held.
    fn codec() -> ValueCodec<Self::Held>;

    fn add(&self, held: &mut Option<Self::Held>, time: EpochMillis, value: &T);

    fn merge(&self, into: &mut Option<Self::Held>, other: Self::Held);

    /// Lets `show` see the contents; some of them may be gone afterwards.
    fn fire(
        &self,
        held: &mut Option<Self::Held>,
        window: &TimeWindow,
        ctx: &EvictorContext,
        show: impl FnOnce(&Self::Shown),
    );
}

/// An accumulator.
#[derive(Clone)]
pub struct Incremental<A>(pub(crate) A);

impl<T: Record, A: Accumulate<T>> Contents<T> for Incremental<A> {
    type Held = A::Accumulator;
    type Shown = A::Accumulator;

    fn codec() -> ValueCodec<A::Accumulator> {
        A::codec()
    }

    fn add(&self, held: &mut Option<A::Accumulator>, _time: EpochMillis, value: &T) {
        self.0.add(held.get_or_insert_with(|| self.0.create()), value);
    }

    fn merge(&self, into: &mut Option<A::Accumulator>, other: A::Accumulator) {
        match into {
            Some(into) => self.0.merge(into, &other),
            None => *into = Some(other),
        }
    }

    fn fire(
        &self,
        held: &mut Option<A::Accumulator>,
        _window: &TimeWindow,
        _ctx: &EvictorContext,
        show: impl FnOnce(&A::Accumulator),
    ) {
        if let Some(held) = held {
            show(held);
        }
    }
}

/// Every element with its time, of which an evictor takes some out.
#[derive(Clone)]
pub struct Evicting<A, V> {
    pub(crate) accumulate: A,
    pub(crate) evictor: V,
}

impl<T: Record, A: Accumulate<T>, V: Evictor<T>> Contents<T> for Evicting<A, V> {
    type Held = Vec<(EpochMillis, T)>;
    type Shown = A::Accumulator;

    fn codec() -> ValueCodec<Vec<(EpochMillis, T)>> {
        list_codec()
    }

    fn add(&self, held: &mut Option<Vec<(EpochMillis, T)>>, time: EpochMillis, value: &T) {
        held.get_or_insert_default().push((time, value.clone()));
    }

    fn merge(&self, into: &mut Option<Vec<(EpochMillis, T)>>, mut other: Vec<(EpochMillis, T)>) {
        into.get_or_insert_default().append(&mut other);
    }

    fn fire(
        &self,
        held: &mut Option<Vec<(EpochMillis, T)>>,
        window: &TimeWindow,
        ctx: &EvictorContext,
        show: impl FnOnce(&A::Accumulator),
    ) {
        let Some(elements) = held else { return };
        self.evictor.evict_before(elements, window, ctx);
        let mut accumulator = self.accumulate.create();
        elements.iter().for_each(|(_, element)| self.accumulate.add(&mut accumulator, element));
        show(&accumulator);
        self.evictor.evict_after(elements, window, ctx);
        if elements.is_empty() {
            *held = None;
        }
    }
}
