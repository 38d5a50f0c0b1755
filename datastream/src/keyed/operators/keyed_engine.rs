//! What every operator with keyed functions does: finds the slots of a whole batch at once, then goes row by row; fires
//! timers; saves and restores.
//!
//! Which function sees a row, and from which input, is its operator's business: it hands in a closure.

use std::marker::PhantomData;

use pelton_runtime_core::checkpoint::snapshot::{OperatorSnapshot, RestoredState};
use pelton_runtime_core::element::StreamBatch;
use pelton_runtime_core::operator::{OperatorContext, OperatorResult, refuse_state};
use pelton_runtime_core::state::{KeyBatch, KeyedStateBackend, Namespace, Rows, Slot, TimerQueue};
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
    /// Whether all keys have to be on the heap, as [`for_each_key`](Self::for_each_key) looks there.
    sees_all_keys: bool,
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
            sees_all_keys: false,
            key_type: PhantomData,
        }
    }

    /// An engine that keeps all of its keys on the heap, for [`for_each_key`](Self::for_each_key).
    pub(super) fn with_all_keys_on_the_heap(self) -> Self {
        Self { sees_all_keys: true, ..self }
    }

    /// Lets the function register its states.
    pub(super) fn open(
        &mut self,
        cx: &mut OperatorContext<'_>,
        open: impl FnOnce(&mut OpenContext<'_>) -> FunctionResult,
    ) -> OperatorResult {
        self.max_parallelism = cx.runtime().max_parallelism;
        if !self.sees_all_keys {
            self.backend.open(cx.runtime())?;
        }
        let counts = self.backend.register(TIMERS, TimerCounts::default)?;
        let (event_time, processing_time) = (TimerQueue::default(), TimerQueue::default());
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
        output.emit(cx)?;
        self.side_outputs.flush(cx)?;
        self.backend.make_room()?;
        self.arm(cx);
        Ok(())
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
        let (Some(timers), Some(table)) = (&mut self.timers, self.backend.existing_mut(Namespace::Void)) else {
            return Ok(());
        };
        loop {
            // A timer that is registered while another fires is of the same key, so these keys suffice for them too.
            let due = queue(timers, domain).iter().take_while(|timer| timer.0 <= time).take(TIMER_CHUNK);
            let mut slots: Vec<Slot> = due.map(|timer| timer.2).collect();
            if slots.is_empty() {
                break;
            }
            slots.sort_unstable();
            slots.dedup();
            table.touch(&slots);
            let columns = table.index().columns(&slots)?;
            let keys: RecordReader<K> = self.key.reader(&columns, slots.len())?;
            while let Some((at, (), slot)) = queue(timers, domain).first().filter(|timer| timer.0 <= time) {
                let Ok(key_row) = slots.binary_search(&slot) else { break };
                queue(timers, domain).pop_due(time);
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
            table.free_empty(&mut slots);
        }
        output.emit(cx)?;
        self.side_outputs.flush(cx)?;
        self.backend.make_room()?;
        self.arm(cx);
        Ok(())
    }

    /// Calls `each` with every key that is held, and a context for it that has the time of the element that is seen.
    pub(in crate::keyed) fn for_each_key(
        &mut self,
        times: ElementTimes,
        mut each: impl FnMut(&K, &mut KeyedContext<'_, K>) -> FunctionResult,
    ) -> FunctionResult {
        let (Some(timers), Some(table)) = (&mut self.timers, self.backend.existing_mut(Namespace::Void)) else {
            return Ok(());
        };
        let (mut all, _) = table.index().by_key_group(self.max_parallelism);
        for slots in all.chunks(TIMER_CHUNK) {
            let columns = table.index().columns(slots)?;
            let keys: RecordReader<K> = self.key.reader(&columns, slots.len()).map_err(Box::new)?;
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
        }
        table.free_empty(&mut all);
        Ok(())
    }

    /// What a broadcast batch has left in side outputs and timers is on its way.
    pub(super) fn after_broadcast(&mut self, cx: &mut OperatorContext<'_>) -> OperatorResult {
        self.side_outputs.flush(cx)?;
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
        }
    }

    pub(super) fn snapshot(
        &mut self,
        save: impl FnOnce(&mut StateContext<'_>) -> FunctionResult,
    ) -> OperatorResult<OperatorSnapshot> {
        let max_parallelism = self.max_parallelism;
        let operator = self.states.snapshot(save)?;
        let mut snapshot = OperatorSnapshot { operator, ..OperatorSnapshot::default() };
        self.backend.save(KEYED_STATE, max_parallelism, &mut snapshot)?;
        let keyed = &mut snapshot.keyed;
        if let (Some(timers), Some(table)) = (&self.timers, self.backend.existing(Namespace::Void)) {
            keyed.extend(timers.event_time.snapshot(EVENT_TIME_TIMERS, table.index(), max_parallelism)?);
            keyed.extend(timers.processing_time.snapshot(PROCESSING_TIME_TIMERS, table.index(), max_parallelism)?);
        }
        Ok(snapshot)
    }

    pub(super) fn restore(
        &mut self,
        mut state: RestoredState,
        cx: &mut OperatorContext<'_>,
        take_back: impl FnOnce(&mut StateContext<'_>) -> FunctionResult,
    ) -> OperatorResult {
        let Some(timers) = &mut self.timers else { return refuse_state(&state) };
        self.backend.restore(&state.take_keyed(KEYED_STATE))?;
        for (queue, name) in
            [(&mut timers.event_time, EVENT_TIME_TIMERS), (&mut timers.processing_time, PROCESSING_TIME_TIMERS)]
        {
            let slots = queue.restore(&state.take_keyed(name), &mut self.backend)?;
            if let Some(table) = self.backend.existing_mut(Namespace::Void) {
                table.column_mut(timers.counts).restored(&slots);
            }
        }
        self.states.restore(state, take_back)?;
        self.arm(cx);
        Ok(())
    }
}

fn queue(timers: &mut Timers, domain: TimeDomain) -> &mut TimerQueue {
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
