//! Functions of the user as aggregates of windows.
//!
//! ```text
//!  rows ── Accumulate::add ──► accumulator of each key and window ── EmitWindow::emit ──► results
//! ```
//!
//! An accumulator is what can be cloned and saved; what emits is one instance's own.

use std::marker::PhantomData;
use std::sync::Arc;

use arrow::array::ArrayRef;
use pelton_runtime_core::element::StreamBatch;
use pelton_runtime_core::operator::{OperatorContext, OperatorResult, OperatorRuntime};
use pelton_runtime_core::state::{ColumnError, NO_SLOT, Rows, Slot, StateColumn, ValueCodec};
use pelton_runtime_core::time::EpochMillis;
use pelton_runtime_core::window::{GroupAggregate, TimeWindow, Windows};

use crate::keyed::aggregate_function::AggregateFunction;
use crate::keyed::key_selector::KeyLayout;
use crate::record::{Record, RecordReader};
use crate::state_codec::{codec, list_codec, optional_codec};
use crate::stream::{Collector, Parallel, SideOutputs, only_inserts};

use super::output_rows::OutputRows;

/// What is kept of the rows of a key and window.
pub trait Accumulate<T>: Clone + Send + Sync + 'static {
    type Accumulator: Send + 'static;
    /// See [`GroupAggregate::SHARES_PANES`].
    const SHARES_PANES: bool;
    /// The accumulator's Arrow form.
    fn codec() -> ValueCodec<Self::Accumulator>;
    fn create(&self) -> Self::Accumulator;
    fn add(&self, accumulator: &mut Self::Accumulator, value: &T);
    fn merge(&self, into: &mut Self::Accumulator, other: &Self::Accumulator);
}

/// What is made of it when the window fires.
pub(crate) trait EmitWindow<K, A, U: Record>: Send + 'static {
    /// Whether the key must be read.
    const NEEDS_KEY: bool;

    fn emit(
        &mut self,
        key: Option<&K>,
        window: &TimeWindow,
        clocks: Clocks,
        accumulator: &A,
        out: &mut Collector<'_, U>,
    ) -> OperatorResult;

    /// Emits what went to side outputs.
    fn flush(&mut self, _cx: &mut OperatorContext<'_>) -> OperatorResult {
        Ok(())
    }
}

/// The clocks when a window fires.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clocks {
    pub(crate) watermark: EpochMillis,
    pub(crate) processing_time: EpochMillis,
}

impl Clocks {
    pub(crate) fn now(cx: &OperatorContext<'_>) -> Self {
        Self { watermark: cx.current_watermark(), processing_time: cx.processing_time() }
    }
}

/// An aggregation of windows by functions.
pub(crate) struct WindowFunctions<T: Record, K: Record, U: Record, A, E> {
    accumulate: A,
    /// Absent in copies, which make groups only.
    emit: Option<E>,
    key: KeyLayout,
    reader: Option<RecordReader<T>>,
    record: T,
    output: OutputRows<U>,
    key_type: PhantomData<fn() -> K>,
}

impl<T: Record, K: Record, U: Record, A: Accumulate<T>, E: EmitWindow<K, A::Accumulator, U>>
    WindowFunctions<T, K, U, A, E>
{
    pub(crate) fn new(key: KeyLayout, accumulate: A, emit: E) -> Self {
        Self::with(key, accumulate, Some(emit))
    }

    fn with(key: KeyLayout, accumulate: A, emit: Option<E>) -> Self {
        Self {
            accumulate,
            emit,
            key,
            reader: None,
            record: T::scratch(),
            output: OutputRows::new(),
            key_type: PhantomData,
        }
    }
}

impl<T: Record, K: Record, U: Record, A: Accumulate<T>, E: EmitWindow<K, A::Accumulator, U>> Clone
    for WindowFunctions<T, K, U, A, E>
{
    fn clone(&self) -> Self {
        Self::with(self.key.clone(), self.accumulate.clone(), None)
    }
}

/// Accumulators by group.
pub(crate) struct Accumulators<A> {
    values: Vec<A>,
    create: Box<dyn Fn() -> A + Send>,
    codec: ValueCodec<A>,
}

impl<A: Send + 'static> StateColumn for Accumulators<A> {
    fn grow(&mut self, _slots: usize) {}

    fn is_empty(&self, _slot: Slot) -> bool {
        false
    }

    fn snapshot(&mut self, slots: &[Slot]) -> Result<Option<ArrayRef>, ColumnError> {
        let values: Vec<Option<&A>> = slots.iter().map(|slot| self.values.get(*slot as usize)).collect();
        Ok(Some(self.codec.encode(&values)?))
    }

    fn restore(&mut self, slots: &[Slot], values: &ArrayRef) -> Result<(), ColumnError> {
        for (slot, value) in slots.iter().zip(self.codec.decode(values)?) {
            let value = value.ok_or(ColumnError::Corrupt { what: "a key has no accumulator" })?;
            if *slot as usize >= self.values.len() {
                self.values.resize_with(*slot as usize + 1, &self.create);
            }
            self.values[*slot as usize] = value;
        }
        Ok(())
    }

    fn is_evictable(&self) -> bool {
        true
    }

    fn clear(&mut self, slots: &[Slot]) {
        for slot in slots {
            if let Some(value) = self.values.get_mut(*slot as usize) {
                *value = (self.create)();
            }
        }
    }

    fn slot_bytes(&self) -> usize {
        size_of::<A>()
    }

    fn add_heap_bytes(&self, slots: &[Slot], bytes: &mut [usize]) {
        for (slot, bytes) in slots.iter().zip(bytes) {
            *bytes += self.codec.heap_bytes(&self.values[*slot as usize]);
        }
    }
}

impl<T: Record, K: Record, U: Record, A: Accumulate<T>, E: EmitWindow<K, A::Accumulator, U>> GroupAggregate
    for WindowFunctions<T, K, U, A, E>
{
    type Groups = Accumulators<A::Accumulator>;

    const SHARES_PANES: bool = A::SHARES_PANES;

    fn groups(&self) -> Self::Groups {
        let accumulate = self.accumulate.clone();
        Accumulators { values: Vec::new(), create: Box::new(move || accumulate.create()), codec: A::codec() }
    }

    fn begin(&mut self, batch: &StreamBatch) -> OperatorResult {
        only_inserts(batch)?;
        self.reader = Some(RecordReader::open(batch.records())?);
        Ok(())
    }

    fn accumulate(
        &mut self,
        groups: &mut Self::Groups,
        rows: Rows<'_>,
        of_rows: &[Slot],
        group_count: usize,
    ) -> OperatorResult {
        let Some(reader) = &self.reader else { return Ok(()) };
        let accumulate = &self.accumulate;
        groups.values.resize_with(group_count, || accumulate.create());
        let record = &mut self.record;
        rows.zip(of_rows, |row, group| {
            reader.read_into(row, record);
            accumulate.add(&mut groups.values[group as usize], record);
        });
        Ok(())
    }

    fn merge(
        &mut self,
        into: &mut Self::Groups,
        from: &Self::Groups,
        targets: &[Slot],
        group_count: usize,
    ) -> OperatorResult {
        into.values.resize_with(group_count, || self.accumulate.create());
        for (target, other) in targets.iter().zip(&from.values).filter(|(target, _)| **target != NO_SLOT) {
            self.accumulate.merge(&mut into.values[*target as usize], other);
        }
        Ok(())
    }

    fn merge_one(
        &mut self,
        into: &mut Self::Groups,
        target: Slot,
        from: &Self::Groups,
        source: Slot,
    ) -> OperatorResult {
        let group_count = into.values.len().max(target as usize + 1);
        into.values.resize_with(group_count, || self.accumulate.create());
        self.accumulate.merge(&mut into.values[target as usize], &from.values[source as usize]);
        Ok(())
    }

    fn merge_within(&mut self, groups: &mut Self::Groups, target: Slot, source: Slot) -> OperatorResult {
        let source = std::mem::replace(&mut groups.values[source as usize], self.accumulate.create());
        self.accumulate.merge(&mut groups.values[target as usize], &source);
        Ok(())
    }

    fn release(&mut self, groups: &mut Self::Groups, gone: &[Slot]) {
        groups.clear(gone);
    }

    fn emit(
        &mut self,
        groups: &mut Self::Groups,
        of: &[Slot],
        keys: &[ArrayRef],
        windows: Windows<'_>,
        cx: &mut OperatorContext<'_>,
    ) -> OperatorResult {
        let reader: Option<RecordReader<K>> = if E::NEEDS_KEY { Some(self.key.reader(keys, of.len())?) } else { None };
        let mut key: Option<K> = None;
        let clocks = Clocks::now(cx);
        let emit = self.emit.as_mut().expect("only a copy, which makes groups, does not emit");
        for (position, group) in of.iter().enumerate() {
            if let Some(reader) = &reader {
                reader.read_into(position, key.get_or_insert_with(K::scratch));
            }
            let window = windows.get(position);
            let accumulator = &groups.values[*group as usize];
            self.output.write(Some(window.max_timestamp()), |out| {
                emit.emit(key.as_ref(), &window, clocks, accumulator, out)
            })?;
            self.output.emit_if_full(cx)?;
        }
        self.output.emit(cx)?;
        emit.flush(cx)
    }
}

/// Keeps one record: all of them, reduced in the order of arrival.
pub(crate) struct Reduce<F>(pub(in crate::keyed) Arc<F>);

impl<F> Clone for Reduce<F> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: Record, F: Fn(&T, &T) -> T + Send + Sync + 'static> Accumulate<T> for Reduce<F> {
    type Accumulator = Option<T>;
    // A reduction may depend on the order in which records arrived.
    const SHARES_PANES: bool = false;

    fn codec() -> ValueCodec<Option<T>> {
        optional_codec()
    }

    fn create(&self) -> Option<T> {
        None
    }

    #[inline]
    fn add(&self, accumulator: &mut Option<T>, value: &T) {
        *accumulator = Some(match accumulator.take() {
            Some(reduced) => (self.0)(&reduced, value),
            None => value.clone(),
        });
    }

    fn merge(&self, into: &mut Option<T>, other: &Option<T>) {
        if let Some(other) = other {
            self.add(into, other);
        }
    }
}

/// Keeps what an [`AggregateFunction`] keeps.
#[derive(Clone)]
pub(crate) struct Aggregate<A>(pub(in crate::keyed) A);

impl<A: AggregateFunction> Accumulate<A::In> for Aggregate<A> {
    type Accumulator = A::Accumulator;
    const SHARES_PANES: bool = A::MERGEABLE;

    fn codec() -> ValueCodec<A::Accumulator> {
        codec()
    }

    fn create(&self) -> A::Accumulator {
        self.0.create_accumulator()
    }

    #[inline]
    fn add(&self, accumulator: &mut A::Accumulator, value: &A::In) {
        self.0.add(value, accumulator);
    }

    fn merge(&self, into: &mut A::Accumulator, other: &A::Accumulator) {
        self.0.merge(into, other);
    }
}

/// Keeps every record.
#[derive(Clone)]
pub(crate) struct Collect;

impl<T: Record> Accumulate<T> for Collect {
    type Accumulator = Vec<T>;
    // A window function sees its records in the order of arrival.
    const SHARES_PANES: bool = false;

    fn codec() -> ValueCodec<Vec<T>> {
        list_codec()
    }

    fn create(&self) -> Vec<T> {
        Vec::new()
    }

    #[inline]
    fn add(&self, accumulator: &mut Vec<T>, value: &T) {
        accumulator.push(value.clone());
    }

    fn merge(&self, into: &mut Vec<T>, other: &Vec<T>) {
        into.extend_from_slice(other);
    }
}

/// Emits the reduced record.
#[derive(Clone)]
pub(crate) struct EmitReduced;

impl<K, T: Record> EmitWindow<K, Option<T>, T> for EmitReduced {
    const NEEDS_KEY: bool = false;

    fn emit(
        &mut self,
        _key: Option<&K>,
        _window: &TimeWindow,
        _clocks: Clocks,
        accumulator: &Option<T>,
        out: &mut Collector<'_, T>,
    ) -> OperatorResult {
        if let Some(reduced) = accumulator {
            out.collect(reduced);
        }
        Ok(())
    }
}

/// Emits an aggregate function's result.
#[derive(Clone)]
pub(crate) struct EmitResult<A>(pub(in crate::keyed) A);

impl<K, A: AggregateFunction> EmitWindow<K, A::Accumulator, A::Out> for EmitResult<A> {
    const NEEDS_KEY: bool = false;

    fn emit(
        &mut self,
        _key: Option<&K>,
        _window: &TimeWindow,
        _clocks: Clocks,
        accumulator: &A::Accumulator,
        out: &mut Collector<'_, A::Out>,
    ) -> OperatorResult {
        out.collect(self.0.get_result(accumulator));
        Ok(())
    }
}

/// Shows an accumulator as the elements that a function of the user sees.
pub(crate) trait View<A>: Clone + Send + Sync + 'static {
    type Element;
    /// Answers what `see` does; nothing when there is nothing to see.
    fn show<R>(&self, accumulator: &A, see: impl FnOnce(&[Self::Element]) -> R) -> Option<R>;
}

/// Shows all rows.
#[derive(Clone)]
pub(crate) struct AllRows;

impl<T: 'static> View<Vec<T>> for AllRows {
    type Element = T;

    fn show<R>(&self, accumulator: &Vec<T>, see: impl FnOnce(&[T]) -> R) -> Option<R> {
        Some(see(accumulator))
    }
}

/// Shows the reduced record.
#[derive(Clone)]
pub(crate) struct Reduced;

impl<T: 'static> View<Option<T>> for Reduced {
    type Element = T;

    fn show<R>(&self, accumulator: &Option<T>, see: impl FnOnce(&[T]) -> R) -> Option<R> {
        accumulator.as_ref().map(|reduced| see(std::slice::from_ref(reduced)))
    }
}

/// Shows an aggregate function's result.
#[derive(Clone)]
pub(crate) struct ResultOf<A>(pub(in crate::keyed) A);

impl<A: AggregateFunction> View<A::Accumulator> for ResultOf<A> {
    type Element = A::Out;

    fn show<R>(&self, accumulator: &A::Accumulator, see: impl FnOnce(&[A::Out]) -> R) -> Option<R> {
        Some(see(std::slice::from_ref(&self.0.get_result(accumulator))))
    }
}

/// Gives key, window and what `view` shows to a closure of the user.
pub(crate) struct EmitWith<V, F> {
    pub(crate) view: V,
    pub(crate) function: Arc<F>,
}

impl<V: Clone, F> Clone for EmitWith<V, F> {
    fn clone(&self) -> Self {
        Self { view: self.view.clone(), function: self.function.clone() }
    }
}

impl<K, A, V, U, F> EmitWindow<K, A, U> for EmitWith<V, F>
where
    K: Record,
    V: View<A>,
    U: Record,
    F: Fn(&K, &TimeWindow, &[V::Element], &mut Collector<'_, U>) + Send + Sync + 'static,
{
    const NEEDS_KEY: bool = true;

    fn emit(
        &mut self,
        key: Option<&K>,
        window: &TimeWindow,
        _clocks: Clocks,
        accumulator: &A,
        out: &mut Collector<'_, U>,
    ) -> OperatorResult {
        if let Some(key) = key {
            self.view.show(accumulator, |elements| (self.function)(key, window, elements, out));
        }
        Ok(())
    }
}

/// Makes a copy for each instance.
pub(crate) fn instances_of<E: Clone + Parallel>(
    emit: E,
) -> impl Fn(&OperatorRuntime, &SideOutputs) -> OperatorResult<E> + Parallel {
    move |_, _| Ok(emit.clone())
}
