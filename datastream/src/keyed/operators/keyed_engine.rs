//! What every operator with keyed functions does: finds the slots of a whole batch at once, then goes row by row; fires
//! timers; saves and restores.
//!
//! Which function sees a row, and from which input, is its operator's business: it hands in a closure.

use std::marker::PhantomData;

use arrow::array::{Array, ArrayRef};
use pelton_runtime_core::checkpoint::snapshot::{OperatorSnapshot, RestoredState};
use pelton_runtime_core::element::StreamBatch;
use pelton_runtime_core::operator::{OperatorContext, OperatorResult, refuse_state};
use pelton_runtime_core::state::{KeyBatch, KeyTimers, KeyedStateBackend, Namespace, Rows, Slot};
use pelton_runtime_core::time::{EpochMillis, MIN_WATERMARK};

use crate::keyed::context::{ElementTimes, KeyedContext, OpenContext};
use crate::keyed::key_selector::KeyLayout;
use crate::keyed::process_function::{FunctionResult, failed};
use crate::keyed::timer_service::{TimeDomain, TimerCounts, Timers};
use crate::operator_state::{OperatorStates, StateContext};
use crate::record::{Record, RecordReader};
use crate::stream::{Collector, SideOutputWriter, only_inserts};

use super::function_states::FunctionStates;
use super::output_rows::OutputRows;

/// Name of the state that counts each key's timers; functions cannot take it.
const TIMERS: &str = "_timer_state";

/// Names of the tables in a checkpoint.
const KEYED_STATE: &str = "keyed-state";
const EVENT_TIME_TIMERS: &str = "event-time-timers";
const PROCESSING_TIME_TIMERS: &str = "processing-time-timers";

/// How many timers' keys are read from the table at once.
const TIMER_CHUNK: usize = 1024;

/// How many slots at least are looked at after a batch, for state that has expired.
const SWEPT_SLOTS: u32 = 64;

/// The keys, their states and timers, and the state of the subtask.
///
/// State: what the function registers, and its timers. Keys without either are forgotten after every batch.
pub(crate) struct KeyedEngine<K: Record> {
    /// Where keys are among the columns that timers' keys are read as.
    key: KeyLayout,
    states: FunctionStates,
    backend: KeyedStateBackend,
    timers: Option<Timers>,
    max_parallelism: u32,
    keys: KeyBatch,
    slots: Vec<Slot>,
    side_outputs: SideOutputWriter,
    /// The slot from which to look for expired state next.
    sweep: Slot,
    key_type: PhantomData<fn() -> K>,
}

impl<K: Record> KeyedEngine<K> {
    pub(crate) fn new(key: KeyLayout, side_outputs: SideOutputWriter) -> Self {
        Self {
            key,
            states: FunctionStates::default(),
            backend: KeyedStateBackend::new(),
            timers: None,
            max_parallelism: 1,
            keys: KeyBatch::default(),
            slots: Vec::new(),
            side_outputs,
            sweep: 0,
            key_type: PhantomData,
        }
    }

    /// Lets the function register its states.
    pub(super) fn open(
        &mut self,
        cx: &mut OperatorContext<'_>,
        open: impl FnOnce(&mut OpenContext<'_>) -> FunctionResult,
    ) -> OperatorResult {
        self.max_parallelism = cx.runtime().max_parallelism;
        self.backend.open(cx.runtime())?;
        let counts = self.backend.register(TIMERS, TimerCounts::default)?;
        let timers = |clock| self.backend.timers(clock);
        let (event_time, processing_time) = (timers(TimeDomain::EventTime), timers(TimeDomain::ProcessingTime));
        self.timers = Some(Timers { event_time, processing_time, counts });
        self.states.open(Some(&mut self.backend), cx, open)
    }

    /// Calls `each` with every row of a batch whose keys lie where `key` says, and emits what it collects.
    pub(super) fn process<U: Record>(
        &mut self,
        key: &KeyLayout,
        batch: &StreamBatch,
        output: &mut OutputRows<U>,
        cx: &mut OperatorContext<'_>,
        mut each: impl FnMut(usize, &mut KeyedContext<'_, K>, &mut Collector<'_, U>) -> FunctionResult,
    ) -> OperatorResult {
        only_inserts(batch)?;
        let Some(timers) = &mut self.timers else { return Ok(()) };
        let (rows, columns) = (batch.num_rows(), key.columns.of(batch)?);
        self.keys.read(&columns, rows)?;
        let table = self.backend.table(Namespace::Void, self.keys.types());
        table.slots(&self.keys, Rows::All(rows), &mut self.slots)?;
        let keys: RecordReader<K> = key.reader(&columns, rows)?;
        for row in 0..rows {
            let timestamp = batch.timestamps().map(|times| times[row]).filter(|time| *time != MIN_WATERMARK);
            let mut context = KeyedContext {
                keys: &keys,
                key_row: row,
                slot: self.slots[row],
                table,
                timers,
                timer_domain: None,
                timestamp,
                watermark: cx.current_watermark(),
                processing_time: cx.processing_time(),
                side_outputs: &mut self.side_outputs,
                states: self.states.operator_mut(),
            };
            output.write(timestamp, |out| each(row, &mut context, out)).map_err(failed)?;
            output.emit_if_full(cx)?;
        }
        table.free_empty(&mut self.slots);
        if table.expires() {
            self.sweep = table.expire(self.sweep, SWEPT_SLOTS.max(rows as u32), cx.processing_time());
        }
        let expires = table.expires();
        output.emit(cx)?;
        self.side_outputs.flush(cx)?;
        self.settle(expires.then(|| cx.processing_time()))?;
        self.arm(cx);
        Ok(())
    }

    /// Keeps what is on the heap within its bounds, when no slot is in use; `now` is the clock that state expires by.
    fn settle(&mut self, now: Option<EpochMillis>) -> OperatorResult {
        if let Some(timers) = &mut self.timers {
            timers.event_time.settle()?;
            timers.processing_time.settle()?;
        }
        if let Some(now) = now {
            self.backend.expire_stored(now);
        }
        Ok(self.backend.make_room()?)
    }

    /// The event-time clock has come to `watermark`.
    pub(super) fn watermark<U: Record>(
        &mut self,
        watermark: EpochMillis,
        output: &mut OutputRows<U>,
        cx: &mut OperatorContext<'_>,
        on_timer: impl FnMut(EpochMillis, &mut KeyedContext<'_, K>, &mut Collector<'_, U>) -> FunctionResult,
    ) -> OperatorResult {
        self.fire(TimeDomain::EventTime, watermark, output, cx, on_timer)?;
        cx.emit_watermark(watermark);
        Ok(())
    }

    /// The wall clock has come to `now`.
    pub(super) fn processing_time<U: Record>(
        &mut self,
        now: EpochMillis,
        output: &mut OutputRows<U>,
        cx: &mut OperatorContext<'_>,
        on_timer: impl FnMut(EpochMillis, &mut KeyedContext<'_, K>, &mut Collector<'_, U>) -> FunctionResult,
    ) -> OperatorResult {
        self.fire(TimeDomain::ProcessingTime, now, output, cx, on_timer)
    }

    /// Fires what is due at `time` of one clock, in the order of time. Timers that functions register meanwhile take
    /// part when they are due as well.
    fn fire<U: Record>(
        &mut self,
        domain: TimeDomain,
        time: EpochMillis,
        output: &mut OutputRows<U>,
        cx: &mut OperatorContext<'_>,
        mut on_timer: impl FnMut(EpochMillis, &mut KeyedContext<'_, K>, &mut Collector<'_, U>) -> FunctionResult,
    ) -> OperatorResult {
        loop {
            let Some(timers) = &mut self.timers else { return Ok(()) };
            // A timer that is registered while another fires is of the same key, so these keys suffice for them too.
            let Some(mut due) = of_clock(timers, domain).due(time, TIMER_CHUNK, &mut self.backend)? else { break };
            let Some(table) = self.backend.existing_mut(Namespace::Void) else { break };
            let keys: RecordReader<K> = self.key.reader(&due.columns, due.slots.len())?;
            while let Some((at, key_row)) = of_clock(timers, domain).pop(time, &due) {
                let slot = due.slots[key_row];
                table.column_mut(timers.counts).fired(slot);
                let mut context = KeyedContext {
                    keys: &keys,
                    key_row,
                    slot,
                    table,
                    timers,
                    timer_domain: Some(domain),
                    timestamp: Some(at),
                    watermark: cx.current_watermark(),
                    processing_time: cx.processing_time(),
                    side_outputs: &mut self.side_outputs,
                    states: self.states.operator_mut(),
                };
                let result_time = (domain == TimeDomain::EventTime).then_some(at);
                output.write(result_time, |out| on_timer(at, &mut context, out)).map_err(failed)?;
                output.emit_if_full(cx)?;
            }
            table.free_empty(&mut due.slots);
            self.settle(None)?;
        }
        output.emit(cx)?;
        self.side_outputs.flush(cx)?;
        self.arm(cx);
        Ok(())
    }

    /// Calls `each` with every key that has state, and a context for it that has the time of the element that is seen.
    pub(in crate::keyed) fn for_each_key(
        &mut self,
        times: ElementTimes,
        mut each: impl FnMut(&K, &mut KeyedContext<'_, K>) -> FunctionResult,
    ) -> FunctionResult {
        // What is in the store is looked at in its order. So that no key is seen twice, none is cached at first.
        self.backend.write_away(Namespace::Void)?;
        for group in self.backend.stored_groups() {
            let mut from = Vec::new();
            while let Some(columns) = self.backend.stored_keys(Namespace::Void, group, &mut from)? {
                let rows = columns.first().map_or(0, |column| column.len());
                let types: Vec<_> = columns.iter().map(|column| column.data_type().clone()).collect();
                self.keys.read(&columns, rows)?;
                let mut slots = std::mem::take(&mut self.slots);
                self.backend.table(Namespace::Void, &types).slots(&self.keys, Rows::All(rows), &mut slots)?;
                self.for_keys(&columns, &mut slots, times, &mut each)?;
                self.slots = slots;
                self.settle(None).map_err(Box::new)?;
            }
        }
        if self.backend.stored_groups().next().is_some() {
            return Ok(());
        }
        let (Some(timers), Some(table)) = (&self.timers, self.backend.existing(Namespace::Void)) else { return Ok(()) };
        let (mut all, _) = table.index().by_key_group(self.max_parallelism);
        all.retain(|slot| table.holds_more_than(timers.counts, *slot));
        for slots in all.chunks(TIMER_CHUNK) {
            let Some(table) = self.backend.existing_mut(Namespace::Void) else { return Ok(()) };
            table.touch(slots);
            let columns = table.index().columns(slots)?;
            self.for_keys(&columns, &mut slots.to_vec(), times, &mut each)?;
        }
        Ok(())
    }

    /// Calls `each` with the keys in these columns, which are in these slots, and forgets those that it leaves without
    /// state.
    fn for_keys(
        &mut self,
        columns: &[ArrayRef],
        slots: &mut Vec<Slot>,
        times: ElementTimes,
        each: &mut impl FnMut(&K, &mut KeyedContext<'_, K>) -> FunctionResult,
    ) -> FunctionResult {
        let (Some(timers), Some(table)) = (&mut self.timers, self.backend.existing_mut(Namespace::Void)) else {
            return Ok(());
        };
        let keys: RecordReader<K> = self.key.reader(columns, slots.len()).map_err(Box::new)?;
        for (key_row, slot) in slots.iter().enumerate() {
            let mut context = KeyedContext {
                keys: &keys,
                key_row,
                slot: *slot,
                table,
                timers,
                timer_domain: None,
                timestamp: times.timestamp,
                watermark: times.watermark,
                processing_time: times.processing_time,
                side_outputs: &mut self.side_outputs,
                states: self.states.operator_mut(),
            };
            each(&keys.read(key_row), &mut context)?;
        }
        table.free_empty(slots);
        Ok(())
    }

    /// What a broadcast batch has left in side outputs and timers is on its way.
    pub(super) fn after_broadcast(&mut self, cx: &mut OperatorContext<'_>) -> OperatorResult {
        self.side_outputs.flush(cx)?;
        self.settle(None)?;
        self.arm(cx);
        Ok(())
    }

    pub(crate) fn operator_states(&self) -> &OperatorStates {
        self.states.operator()
    }

    pub(crate) fn operator_states_mut(&mut self) -> &mut OperatorStates {
        self.states.operator_mut()
    }

    pub(crate) fn side_outputs(&mut self) -> &mut SideOutputWriter {
        &mut self.side_outputs
    }

    /// Asks for a call when the next timer of the wall clock is due.
    fn arm(&self, cx: &mut OperatorContext<'_>) {
        if let Some(time) = self.timers.as_ref().and_then(|timers| timers.processing_time.next()) {
            cx.wake_at(time);
        }
    }

    /// Drops all that has expired, so that it is not written.
    pub(super) fn prepare_checkpoint(&mut self, cx: &mut OperatorContext<'_>) {
        if let Some(table) = self.backend.existing_mut(Namespace::Void).filter(|table| table.expires()) {
            table.expire(0, u32::MAX, cx.processing_time());
            self.backend.expire_stored(cx.processing_time());
        }
    }

    pub(super) fn snapshot(
        &mut self,
        save: impl FnOnce(&mut StateContext<'_>) -> FunctionResult,
    ) -> OperatorResult<OperatorSnapshot> {
        let max_parallelism = self.max_parallelism;
        let operator = self.states.snapshot(save)?;
        let mut snapshot = OperatorSnapshot { operator, ..OperatorSnapshot::default() };
        // The backend comes last: where it leaves as files, what timers have written is in them.
        if let Some(timers) = &mut self.timers {
            let backend = &self.backend;
            timers.event_time.save(EVENT_TIME_TIMERS, backend, max_parallelism, &mut snapshot)?;
            timers.processing_time.save(PROCESSING_TIME_TIMERS, backend, max_parallelism, &mut snapshot)?;
        }
        self.backend.save(KEYED_STATE, max_parallelism, &mut snapshot)?;
        Ok(snapshot)
    }

    pub(super) fn restore(
        &mut self,
        mut state: RestoredState,
        cx: &mut OperatorContext<'_>,
        take_back: impl FnOnce(&mut StateContext<'_>) -> FunctionResult,
    ) -> OperatorResult {
        let Some(timers) = &mut self.timers else { return refuse_state(&state) };
        self.backend.restore_from(&mut state, KEYED_STATE)?;
        for (of_clock, name) in
            [(&mut timers.event_time, EVENT_TIME_TIMERS), (&mut timers.processing_time, PROCESSING_TIME_TIMERS)]
        {
            let slots = of_clock.restore_from(&mut state, name, &mut self.backend)?;
            if let Some(table) = self.backend.existing_mut(Namespace::Void) {
                table.column_mut(timers.counts).restored(&slots);
            }
        }
        self.states.restore(state, take_back)?;
        self.arm(cx);
        Ok(())
    }
}

fn of_clock(timers: &mut Timers, domain: TimeDomain) -> &mut KeyTimers {
    match domain {
        TimeDomain::EventTime => &mut timers.event_time,
        TimeDomain::ProcessingTime => &mut timers.processing_time,
    }
}

#[cfg(test)]
impl<K: Record> KeyedEngine<K> {
    /// How many keys are held, and how many slots there are for them.
    pub(crate) fn key_counts(&self) -> (usize, usize) {
        let index = self.backend.existing(Namespace::Void).map(|table| table.index());
        index.map_or((0, 0), |index| (index.len(), index.slot_count()))
    }
}
