//! Runs a [`KeyedProcessFunction`]: slots of a whole batch at once, then row by row.

use pelton_runtime_core::checkpoint::snapshot::{OperatorSnapshot, RestoredState};
use pelton_runtime_core::element::{CheckpointId, StreamBatch};
use pelton_runtime_core::operator::{InputIndex, Operator, OperatorContext, OperatorResult, refuse_state};
use pelton_runtime_core::state::{KeyBatch, KeyedStateBackend, Namespace, Rows, Slot, TimerQueue};
use pelton_runtime_core::time::{EpochMillis, MIN_WATERMARK};

use crate::keyed::context::{KeyedContext, OpenContext};
use crate::keyed::key_selector::KeyLayout;
use crate::keyed::process_function::{KeyedProcessFunction, failed};
use crate::keyed::timer_service::{TimeDomain, TimerCounts, Timers};
use crate::record::{Record, RecordReader};
use crate::stream::{SideOutputWriter, only_inserts};

use super::output_rows::OutputRows;

/// Name of the state that counts each key's timers; functions cannot take it.
const TIMERS: &str = "_timer_state";

/// Names of the tables in a checkpoint.
const KEYED_STATE: &str = "keyed-state";
const EVENT_TIME_TIMERS: &str = "event-time-timers";
const PROCESSING_TIME_TIMERS: &str = "processing-time-timers";

/// How many timers' keys are read from the table at once.
const TIMER_CHUNK: usize = 1024;

/// Gives every row and every timer to the function.
///
/// State: what the function registers, and its timers. Keys without either are forgotten after every batch.
pub(in crate::keyed) struct KeyedProcessOperator<F: KeyedProcessFunction> {
    function: F,
    key: KeyLayout,
    backend: KeyedStateBackend,
    timers: Option<Timers>,
    max_parallelism: u32,
    keys: KeyBatch,
    slots: Vec<Slot>,
    record: F::In,
    output: OutputRows<F::Out>,
    side_outputs: SideOutputWriter,
}

impl<F: KeyedProcessFunction> KeyedProcessOperator<F> {
    pub(in crate::keyed) fn new(function: F, key: KeyLayout, side_outputs: SideOutputWriter) -> Self {
        Self {
            function,
            key,
            backend: KeyedStateBackend::new(),
            timers: None,
            max_parallelism: 1,
            keys: KeyBatch::default(),
            slots: Vec::new(),
            record: F::In::scratch(),
            output: OutputRows::new(),
            side_outputs,
        }
    }

    /// Fires what is due at `time` of one clock, in the order of time. Timers that functions register meanwhile take
    /// part when they are due as well.
    fn fire(&mut self, domain: TimeDomain, time: EpochMillis, cx: &mut OperatorContext<'_>) -> OperatorResult {
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
            let keys: RecordReader<F::Key> = self.key.reader(&columns, slots.len())?;
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
                };
                let function = &mut self.function;
                let result_time = (domain == TimeDomain::EventTime).then_some(at);
                self.output.write(result_time, |out| function.on_timer(at, &mut context, out)).map_err(failed)?;
                self.output.emit_if_full(cx)?;
            }
            table.free_empty(&mut slots);
        }
        self.output.emit(cx)?;
        self.side_outputs.flush(cx)?;
        Ok(self.backend.make_room()?)
    }

    fn arm(&self, cx: &mut OperatorContext<'_>) {
        if let Some(time) = self.timers.as_ref().and_then(|timers| timers.processing_time.next()) {
            cx.wake_at(time);
        }
    }
}

fn queue(timers: &mut Timers, domain: TimeDomain) -> &mut TimerQueue {
    match domain {
        TimeDomain::EventTime => &mut timers.event_time,
        TimeDomain::ProcessingTime => &mut timers.processing_time,
    }
}

impl<F: KeyedProcessFunction> Operator for KeyedProcessOperator<F> {
    fn open(&mut self, cx: &mut OperatorContext<'_>) -> OperatorResult {
        self.max_parallelism = cx.runtime().max_parallelism;
        self.backend.open(cx.runtime())?;
        let counts = self.backend.register(TIMERS, TimerCounts::default)?;
        let (event_time, processing_time) = (TimerQueue::default(), TimerQueue::default());
        self.timers = Some(Timers { event_time, processing_time, counts });
        let mut context = OpenContext { backend: &mut self.backend, runtime: cx.runtime() };
        self.function.open(&mut context).map_err(failed)
    }

    fn process(&mut self, _input: InputIndex, batch: StreamBatch, cx: &mut OperatorContext<'_>) -> OperatorResult {
        only_inserts(&batch)?;
        let Some(timers) = &mut self.timers else { return Ok(()) };
        let columns = self.key.columns.of(&batch)?;
        self.keys.read(&columns, batch.num_rows())?;
        let table = self.backend.table(Namespace::Void, self.keys.types());
        table.slots(&self.keys, Rows::All(batch.num_rows()), &mut self.slots)?;
        let keys: RecordReader<F::Key> = self.key.reader(&columns, batch.num_rows())?;
        let reader = RecordReader::<F::In>::open(batch.records())?;
        for row in 0..reader.len() {
            reader.read_into(row, &mut self.record);
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
            };
            let (function, record) = (&mut self.function, &self.record);
            self.output.write(timestamp, |out| function.process_element(record, &mut context, out)).map_err(failed)?;
            self.output.emit_if_full(cx)?;
        }
        table.free_empty(&mut self.slots);
        self.output.emit(cx)?;
        self.side_outputs.flush(cx)?;
        self.backend.make_room()?;
        self.arm(cx);
        Ok(())
    }

    fn watermark(&mut self, watermark: EpochMillis, cx: &mut OperatorContext<'_>) -> OperatorResult {
        self.fire(TimeDomain::EventTime, watermark, cx)?;
        self.arm(cx);
        cx.emit_watermark(watermark);
        Ok(())
    }

    fn processing_time(&mut self, now: EpochMillis, cx: &mut OperatorContext<'_>) -> OperatorResult {
        self.fire(TimeDomain::ProcessingTime, now, cx)?;
        self.arm(cx);
        Ok(())
    }

    fn snapshot(&mut self, _checkpoint: CheckpointId) -> OperatorResult<OperatorSnapshot> {
        let max_parallelism = self.max_parallelism;
        let mut snapshot = OperatorSnapshot::default();
        self.backend.save(KEYED_STATE, max_parallelism, &mut snapshot)?;
        let keyed = &mut snapshot.keyed;
        if let (Some(timers), Some(table)) = (&self.timers, self.backend.existing(Namespace::Void)) {
            keyed.extend(timers.event_time.snapshot(EVENT_TIME_TIMERS, table.index(), max_parallelism)?);
            keyed.extend(timers.processing_time.snapshot(PROCESSING_TIME_TIMERS, table.index(), max_parallelism)?);
        }
        Ok(snapshot)
    }

    fn restore(&mut self, mut state: RestoredState, cx: &mut OperatorContext<'_>) -> OperatorResult {
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
        refuse_state(&state)?;
        self.arm(cx);
        Ok(())
    }

    fn close(&mut self) {
        self.function.close();
    }
}

#[cfg(test)]
impl<F: KeyedProcessFunction> KeyedProcessOperator<F> {
    /// How many keys are held, and how many slots there are for them.
    pub(in crate::keyed) fn key_counts(&self) -> (usize, usize) {
        let index = self.backend.existing(Namespace::Void).map(|table| table.index());
        index.map_or((0, 0), |index| (index.len(), index.slot_count()))
    }
}
