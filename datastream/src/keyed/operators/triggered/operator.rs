//! The operator of windows with triggers.
//!
//! A trigger's timers and the windows' ends are part of the windows' state; a key rings when the first of them is due, by
//! either clock.

use arrow::array::UInt32Array;
use pelton_runtime_core::checkpoint::snapshot::{OperatorSnapshot, RestoredState};
use pelton_runtime_core::element::{CheckpointId, StreamBatch};
use pelton_runtime_core::metrics::{Counter, NUM_LATE_RECORDS_DROPPED};
use pelton_runtime_core::operator::{
    InputIndex, Operator, OperatorContext, OperatorError, OperatorResult, OutputPort, refuse_state,
};
use pelton_runtime_core::state::{
    Alarms, KeyBatch, KeyedStateBackend, Namespace, NamespaceTable, Rows, Slot, StateId, ValueColumn,
};
use pelton_runtime_core::time::{EpochMillis, MIN_WATERMARK};
use pelton_runtime_core::window::{RowMillis, TimeDomain, TimeWindow, WindowAssigner, WindowAssignment, window_start};

use crate::keyed::evictors::EvictorContext;
use crate::keyed::key_selector::KeyLayout;
use crate::keyed::operators::output_rows::OutputRows;
use crate::keyed::operators::window::Clocks;
use crate::keyed::triggers::{TimerChange, Trigger, TriggerContext};
use crate::record::{Record, RecordReader};
use crate::state_codec::codec;
use crate::stream::only_inserts;

use super::contents::Contents;
use super::emit::{EmitTriggered, Memory};
use super::ends::{CLOCKS, Ends, position_of};
use super::entries::{Entries, Entry};

/// Name of the table in a checkpoint, and of the state in it.
const TABLE: &str = "triggered-windows";
const STATE: &str = "windows";

/// Name of the state that a function has of keys.
const KEYS_STATE: &str = "keys";

/// How many keys ring at once.
const RING_KEYS: usize = 1024;

/// How elements get their windows.
#[derive(Debug, Clone)]
pub(crate) enum Windowing {
    /// By time.
    Time(WindowAssignment),
    /// There is one window per key, without end.
    Global,
}

impl Windowing {
    /// Whether windows of one key become one when they touch.
    pub(crate) fn merges(&self) -> bool {
        matches!(self, Self::Time(windows) if windows.merges())
    }
}

/// The window without end.
const GLOBAL: TimeWindow = TimeWindow::new(EpochMillis::MIN, EpochMillis::MAX);

/// What such an operator does.
#[derive(Clone)]
pub(crate) struct TriggeredSettings {
    pub(crate) key: KeyLayout,
    pub(crate) windowing: Windowing,
    pub(crate) allowed_lateness_ms: i64,
    pub(crate) late_output: Option<OutputPort>,
}

/// Where the windows are.
type WindowsId<T, K, U, C, E, R> =
    StateId<Entries<<C as Contents<T>>::Held, <R as Trigger<T>>::State, OfWindow<T, K, U, C, E>>>;

/// What a function remembers of windows.
type OfWindow<T, K, U, C, E> = <E as EmitTriggered<K, <C as Contents<T>>::Shown, U>>::OfWindow;

/// Windows that fire when a trigger says so. See the [module](super).
pub(crate) struct TriggeredWindows<T, K, U, C, E, R>
where
    T: Record,
    K: Record,
    U: Record,
    C: Contents<T>,
    E: EmitTriggered<K, C::Shown, U>,
    R: Trigger<T>,
{
    settings: TriggeredSettings,
    contents: C,
    emit: E,
    trigger: R,
    backend: KeyedStateBackend,
    state: Option<WindowsId<T, K, U, C, E, R>>,
    /// What the function remembers of keys, if it does.
    of_keys: Option<StateId<ValueColumn<E::OfKey>>>,
    max_parallelism: u32,
    /// When keys are due by event time and by the wall clock.
    alarms: [Alarms; 2],
    keys: KeyBatch,
    slots: Vec<Slot>,
    gaps_ms: Vec<i64>,
    assigned: Vec<TimeWindow>,
    changes: Vec<TimerChange>,
    late: Vec<u32>,
    late_dropped: Option<Counter>,
    record: T,
    key: K,
    output: OutputRows<U>,
}

/// What happened to a window.
enum Occasion<'a, T> {
    Element(&'a T, EpochMillis),
    EventTime(EpochMillis),
    ProcessingTime(EpochMillis),
}

impl<T, K, U, C, E, R> TriggeredWindows<T, K, U, C, E, R>
where
    T: Record,
    K: Record,
    U: Record,
    C: Contents<T>,
    E: EmitTriggered<K, C::Shown, U>,
    R: Trigger<T>,
{
    pub(crate) fn new(settings: TriggeredSettings, contents: C, emit: E, trigger: R) -> Self {
        Self {
            settings,
            contents,
            emit,
            trigger,
            backend: KeyedStateBackend::new(),
            state: None,
            of_keys: None,
            max_parallelism: 1,
            alarms: CLOCKS.map(Alarms::new),
            keys: KeyBatch::default(),
            slots: Vec::new(),
            gaps_ms: Vec::new(),
            assigned: Vec::new(),
            changes: Vec::new(),
            late: Vec::new(),
            late_dropped: None,
            record: T::scratch(),
            key: K::scratch(),
            output: OutputRows::new(),
        }
    }

    /// The clock that the windows are of; none for the window without end.
    fn domain(&self) -> Option<TimeDomain> {
        match &self.settings.windowing {
            Windowing::Time(windows) => Some(windows.domain()),
            Windowing::Global => None,
        }
    }

    fn ends(&self) -> Ends {
        Ends { domain: self.domain(), allowed_lateness_ms: self.settings.allowed_lateness_ms }
    }

    /// The windows of an element, before sessions merge; one that is alone in its session ends it after `gap_ms`.
    fn assign(&mut self, time: EpochMillis, gap_ms: i64) {
        self.assigned.clear();
        match self.settings.windowing {
            Windowing::Global => self.assigned.push(GLOBAL),
            Windowing::Time(WindowAssignment::Assigner(WindowAssigner::Aligned {
                size_ms,
                slide_ms,
                offset_ms,
                ..
            })) => {
                let mut start = window_start(time, offset_ms, slide_ms);
                while start.saturating_add(size_ms) > time {
                    self.assigned.push(TimeWindow::new(start, start.saturating_add(size_ms)));
                    match start.checked_sub(slide_ms) {
                        Some(earlier) => start = earlier,
                        None => break,
                    }
                }
            }
            Windowing::Time(_) => self.assigned.push(TimeWindow::new(time, time.saturating_add(gap_ms))),
        }
    }

    /// Tells the trigger what happened to a window of the key in `self.key`, and does what it says.
    fn tell(
        &mut self,
        slot: Slot,
        window: TimeWindow,
        event: &Occasion<'_, T>,
        cx: &mut OperatorContext<'_>,
    ) -> OperatorResult {
        let (Some(state), Some(table)) = (self.state, self.backend.existing_mut(Namespace::Void)) else {
            return Ok(());
        };
        let entries = table.column_mut(state).entry(slot);
        let position = match (entries.iter().position(|entry| entry.window == window), event) {
            (Some(position), _) => position,
            (None, Occasion::Element(..)) => {
                entries.push(Entry::new(window));
                entries.len() - 1
            }
            (None, _) => return Ok(()),
        };
        let entry = &mut entries[position];
        let mut ctx = TriggerContext {
            watermark: cx.current_watermark(),
            processing_time: cx.processing_time(),
            changes: &mut self.changes,
        };
        let result = match event {
            Occasion::Element(element, time) => {
                self.contents.add(&mut entry.contents, *time, element);
                self.trigger.on_element(element, *time, &window, &mut entry.trigger, &mut ctx)
            }
            Occasion::EventTime(time) => self.trigger.on_event_time(*time, &window, &mut entry.trigger, &mut ctx),
            Occasion::ProcessingTime(time) => {
                self.trigger.on_processing_time(*time, &window, &mut entry.trigger, &mut ctx)
            }
        };
        if result.fires() {
            let clocks = Clocks::now(cx);
            let times = EvictorContext { watermark: clocks.watermark, processing_time: clocks.processing_time };
            let (emit, output, key) = (&mut self.emit, &mut self.output, E::NEEDS_KEY.then_some(&self.key));
            let mut of_key = self.of_keys.and_then(|of_keys| table.column_mut(of_keys).entry(slot).take());
            let entry = &mut table.column_mut(state).entry(slot)[position];
            let (contents, of_window) = (&mut entry.contents, &mut entry.function);
            let mut emitted = Ok(());
            self.contents.fire(contents, &window, &times, |shown| {
                let time = Some(window.max_timestamp());
                let mut memory = Memory { of_window, of_key: &mut of_key };
                emitted = output.write(time, |out| emit.emit(key, &window, clocks, shown, &mut memory, out));
            });
            emitted?;
            if let Some(of_keys) = self.of_keys {
                *table.column_mut(of_keys).entry(slot) = of_key;
            }
        }
        let entries = table.column_mut(state).entry(slot);
        let entry = &mut entries[position];
        if result.purges() {
            entry.contents = None;
        }
        entry.apply(self.changes.drain(..));
        // A session that was purged goes on until its end: elements that touch it belong to it.
        if entry.is_empty() && !self.settings.windowing.merges() {
            entries.swap_remove(position);
        }
        self.output.emit_if_full(cx)
    }

    /// Makes one session of `own` and those of the key that it touches, and answers with it.
    fn merge(&mut self, slot: Slot, own: TimeWindow, cx: &OperatorContext<'_>) -> TimeWindow {
        let (Some(state), Some(table)) = (self.state, self.backend.existing_mut(Namespace::Void)) else { return own };
        let entries = table.column_mut(state).entry(slot);
        let touched: Vec<usize> = (0..entries.len()).filter(|index| entries[*index].window.intersects(&own)).collect();
        let merged = touched.iter().fold(own, |window, index| window.cover(&entries[*index].window));
        if touched.is_empty() || (touched.len() == 1 && entries[touched[0]].window == merged) {
            return merged;
        }
        let mut parts: Vec<_> = touched.iter().rev().map(|index| entries.remove(*index)).collect();
        parts.reverse();
        let mut whole = Entry::new(merged);
        let mut states = Vec::new();
        for part in parts {
            if let Some(held) = part.contents {
                self.contents.merge(&mut whole.contents, held);
            }
            states.extend(part.trigger);
        }
        let mut states = states.into_iter();
        whole.trigger = states.next();
        let mut ctx = TriggerContext {
            watermark: cx.current_watermark(),
            processing_time: cx.processing_time(),
            changes: &mut self.changes,
        };
        self.trigger.on_merge(&merged, &mut whole.trigger, states.collect(), &mut ctx);
        whole.apply(self.changes.drain(..));
        entries.push(whole);
        merged
    }

    /// Fires timers and drops windows whose time has come, in its order; of one key timers before the end at the same time.
    fn advance(&mut self, domain: TimeDomain, to: EpochMillis, cx: &mut OperatorContext<'_>) -> OperatorResult {
        let clock = position_of(domain);
        while let Some(mut due) = self.alarms[clock].due(to, RING_KEYS, &mut self.backend)? {
            let keys: Option<RecordReader<K>> =
                if E::NEEDS_KEY { Some(self.settings.key.reader(&due.columns, due.slots.len())?) } else { None };
            while let Some(table) = self.backend.existing_mut(Namespace::Void) {
                let Some((at, row)) = self.alarms[clock].pop(to, &due, table) else { break };
                let slot = due.slots[row];
                if let Some(keys) = &keys {
                    keys.read_into(row, &mut self.key);
                }
                self.ring(domain, at, slot, cx)?;
            }
            self.settle(&mut due.slots)?;
        }
        self.output.emit(cx)?;
        self.emit.flush(cx)
    }

    /// Fires what is due of a key at `at`, drops windows that end then, and arms the key again.
    fn ring(
        &mut self,
        domain: TimeDomain,
        at: EpochMillis,
        slot: Slot,
        cx: &mut OperatorContext<'_>,
    ) -> OperatorResult {
        let (Some(state), Some(table)) = (self.state, self.backend.existing_mut(Namespace::Void)) else {
            return Ok(());
        };
        let entries = table.column_mut(state).entry(slot);
        let mut fires: Vec<TimeWindow> =
            entries.iter().filter(|entry| entry.timers(domain).contains(&at)).map(|entry| entry.window).collect();
        fires.sort_unstable();
        let event = match domain {
            TimeDomain::EventTime => Occasion::EventTime(at),
            TimeDomain::ProcessingTime => Occasion::ProcessingTime(at),
        };
        for window in fires {
            if self.take_timer(domain, at, window, slot) {
                self.tell(slot, window, &event, cx)?;
            }
        }
        let ends = self.ends();
        let Some(table) = self.backend.existing_mut(Namespace::Void) else { return Ok(()) };
        if ends.domain == Some(domain) {
            table.column_mut(state).entry(slot).retain(|entry| ends.of(&entry.window).is_none_or(|end| end > at));
        }
        // What it was told or lost may have changed when it is due by the other clock.
        let [event_time, processing_time] = &mut self.alarms;
        let (of_clock, of_other, other) = match domain {
            TimeDomain::EventTime => (event_time, processing_time, TimeDomain::ProcessingTime),
            TimeDomain::ProcessingTime => (processing_time, event_time, TimeDomain::EventTime),
        };
        let next = ends.first_due(table.column(state).get(slot), domain);
        of_clock.arm(table, slot, next);
        Ok(of_other.changed(table, &[slot], |table, slot| ends.first_due(table.column(state).get(slot), other))?)
    }

    /// Takes a timer that is due from its window; answers whether it was still there.
    fn take_timer(&mut self, domain: TimeDomain, time: EpochMillis, window: TimeWindow, slot: Slot) -> bool {
        let (Some(state), Some(table)) = (self.state, self.backend.existing_mut(Namespace::Void)) else { return false };
        let entries = table.column_mut(state).entry(slot);
        let entry = entries.iter_mut().find(|entry| entry.window == window);
        entry.is_some_and(|entry| entry.take_timer(domain, time))
    }

    /// Forgets those of `slots` that have no windows, and keeps what is on the heap within its bounds.
    fn settle(&mut self, slots: &mut Vec<Slot>) -> OperatorResult {
        if let Some(table) = self.backend.existing_mut(Namespace::Void) {
            table.free_empty(slots);
        }
        self.alarms.iter_mut().try_for_each(Alarms::settle)?;
        Ok(self.backend.make_room()?)
    }

    /// The windows of `slots` have changed.
    fn changed(&mut self, slots: &[Slot]) -> OperatorResult {
        let ends = self.ends();
        let (Some(state), Some(table)) = (self.state, self.backend.existing_mut(Namespace::Void)) else {
            return Ok(());
        };
        for (alarms, clock) in self.alarms.iter_mut().zip(CLOCKS) {
            let due = |table: &NamespaceTable, slot| ends.first_due(table.column(state).get(slot), clock);
            alarms.changed(table, slots, due)?;
        }
        Ok(())
    }

    fn arm(&self, cx: &mut OperatorContext<'_>) {
        if let Some(time) = self.alarms[position_of(TimeDomain::ProcessingTime)].next() {
            cx.wake_at(time.saturating_add(1));
        }
    }

    /// The time by which an element finds its windows.
    fn time_of(&self, batch: &StreamBatch, row: usize, cx: &OperatorContext<'_>) -> OperatorResult<EpochMillis> {
        let stamped = batch.timestamps().map(|times| times[row]).filter(|time| *time != MIN_WATERMARK);
        match (self.domain(), stamped) {
            (Some(TimeDomain::ProcessingTime), _) => Ok(cx.processing_time()),
            (_, Some(time)) => Ok(time),
            (None, None) => Ok(EpochMillis::MIN),
            (Some(TimeDomain::EventTime), None) => Err(OperatorError::data(
                "Record has no timestamp, but the window is one of event time; call \
                 `assign_timestamps_and_watermarks` before it, or use a window of processing time",
            )),
        }
    }

    fn pass_late(&mut self, batch: &StreamBatch, cx: &mut OperatorContext<'_>) -> OperatorResult {
        if self.late.is_empty() {
            return Ok(());
        }
        match (self.settings.late_output, &self.late_dropped) {
            (Some(port), _) => {
                cx.emit_to(port, batch.take(&UInt32Array::from_iter_values(self.late.iter().copied()))?);
            }
            (None, Some(dropped)) => dropped.add(self.late.len() as u64),
            (None, None) => {}
        }
        self.late.clear();
        Ok(())
    }
}

impl<T, K, U, C, E, R> Operator for TriggeredWindows<T, K, U, C, E, R>
where
    T: Record,
    K: Record,
    U: Record,
    C: Contents<T>,
    E: EmitTriggered<K, C::Shown, U>,
    R: Trigger<T>,
{
    fn open(&mut self, cx: &mut OperatorContext<'_>) -> OperatorResult {
        self.late_dropped = Some(cx.runtime().metrics.counter(NUM_LATE_RECORDS_DROPPED));
        self.max_parallelism = cx.runtime().max_parallelism;
        self.backend.open(cx.runtime())?;
        self.state = Some(
            self.backend
                .register(STATE, || Entries::new(C::codec(), codec(), E::codecs().map(|(of_window, _)| of_window)))?,
        );
        if let Some((_, of_key)) = E::codecs() {
            self.of_keys = Some(self.backend.register(KEYS_STATE, move || ValueColumn::new(of_key.clone()))?);
        }
        let backend = &mut self.backend;
        Ok(self.alarms.iter_mut().try_for_each(|alarms| alarms.open(backend))?)
    }

    fn process(&mut self, _input: InputIndex, batch: StreamBatch, cx: &mut OperatorContext<'_>) -> OperatorResult {
        only_inserts(&batch)?;
        let (rows, columns) = (batch.num_rows(), self.settings.key.columns.of(&batch)?);
        self.keys.read(&columns, rows)?;
        let table = self.backend.table(Namespace::Void, self.keys.types());
        let mut slots = std::mem::take(&mut self.slots);
        table.slots(&self.keys, Rows::All(rows), &mut slots)?;
        let keys: Option<RecordReader<K>> =
            if E::NEEDS_KEY { Some(self.settings.key.reader(&columns, rows)?) } else { None };
        let reader = RecordReader::<T>::open(batch.records())?;
        let mut record = std::mem::replace(&mut self.record, T::scratch());
        let by_event_time = self.domain() == Some(TimeDomain::EventTime);
        let sessions = self.settings.windowing.merges();
        let mut gaps_ms = std::mem::take(&mut self.gaps_ms);
        let gaps = match &self.settings.windowing {
            Windowing::Time(windows) => windows.gaps(&batch, &mut gaps_ms)?,
            Windowing::Global => RowMillis::Same(0),
        };
        for (row, slot) in slots.iter().enumerate() {
            let time = self.time_of(&batch, row, cx)?;
            reader.read_into(row, &mut record);
            if let Some(keys) = &keys {
                keys.read_into(row, &mut self.key);
            }
            self.assign(time, gaps.get(row));
            let mut taken = false;
            for index in 0..self.assigned.len() {
                let window = match self.assigned[index] {
                    own if sessions => self.merge(*slot, own, cx),
                    own => own,
                };
                let over = |end: EpochMillis| by_event_time && end <= cx.current_watermark();
                if self.ends().of(&window).is_some_and(over) {
                    continue;
                }
                taken = true;
                self.tell(*slot, window, &Occasion::Element(&record, time), cx)?;
            }
            // One that falls between windows is in none and is late only by its own time; by the wall clock none is.
            let behind = time.saturating_add(self.settings.allowed_lateness_ms) <= cx.current_watermark();
            if !taken && by_event_time && behind {
                self.late.push(row as u32);
            }
        }
        self.record = record;
        self.gaps_ms = gaps_ms;
        self.changed(&slots)?;
        self.settle(&mut slots)?;
        self.slots = slots;
        self.output.emit(cx)?;
        self.emit.flush(cx)?;
        self.pass_late(&batch, cx)?;
        self.arm(cx);
        Ok(())
    }

    fn watermark(&mut self, watermark: EpochMillis, cx: &mut OperatorContext<'_>) -> OperatorResult {
        self.advance(TimeDomain::EventTime, watermark, cx)?;
        self.arm(cx);
        cx.emit_watermark(watermark);
        Ok(())
    }

    fn processing_time(&mut self, now: EpochMillis, cx: &mut OperatorContext<'_>) -> OperatorResult {
        // Elements may still come in the millisecond that it is now.
        self.advance(TimeDomain::ProcessingTime, now.saturating_sub(1), cx)?;
        self.arm(cx);
        Ok(())
    }

    fn snapshot(&mut self, _checkpoint: CheckpointId) -> OperatorResult<OperatorSnapshot> {
        let mut snapshot = OperatorSnapshot::default();
        self.alarms.iter_mut().try_for_each(|alarms| alarms.save(&mut snapshot))?;
        self.backend.save(TABLE, self.max_parallelism, &mut snapshot)?;
        Ok(snapshot)
    }

    fn restore(&mut self, mut saved: RestoredState, cx: &mut OperatorContext<'_>) -> OperatorResult {
        let (Some(state), ends) = (self.state, self.ends()) else { return refuse_state(&saved) };
        let alarms = &mut self.alarms;
        self.backend.restore_seen(&mut saved, TABLE, &mut |table, slots| {
            let mut clocks = alarms.iter_mut().zip(CLOCKS);
            clocks.try_for_each(|(alarms, clock)| {
                alarms.restored(table, slots, |table, slot| ends.first_due(table.column(state).get(slot), clock))
            })
        })?;
        self.alarms.iter_mut().try_for_each(|alarms| alarms.restore(&mut saved))?;
        refuse_state(&saved)?;
        self.arm(cx);
        Ok(())
    }
}
