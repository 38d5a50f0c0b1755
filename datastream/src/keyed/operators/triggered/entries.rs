//! The open windows of every key, as a column of state.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, ListArray, StructArray};
use arrow::datatypes::{DataType, Field, Fields, Int64Type};
use arrow::error::ArrowError;
use pelton_runtime_core::state::codec::LIST_ITEM;
use pelton_runtime_core::state::{ColumnError, Slot, StateColumn, ValueCodec};
use pelton_runtime_core::time::EpochMillis;
use pelton_runtime_core::window::{TimeDomain, TimeWindow};

use crate::keyed::triggers::TimerChange;
use crate::state_codec::list_codec;

/// An open window of one key.
pub(super) struct Entry<H, S, W> {
    pub(super) window: TimeWindow,
    pub(super) contents: Option<H>,
    /// What the trigger remembers.
    pub(super) trigger: Option<S>,
    /// What the function remembers.
    pub(super) function: Option<W>,
    /// The trigger's timers of both clocks.
    pub(super) event_times: Vec<EpochMillis>,
    pub(super) processing_times: Vec<EpochMillis>,
}

impl<H, S, W> Entry<H, S, W> {
    pub(super) fn new(window: TimeWindow) -> Self {
        let (event_times, processing_times) = (Vec::new(), Vec::new());
        Self { window, contents: None, trigger: None, function: None, event_times, processing_times }
    }

    /// The trigger's timers of a clock.
    pub(super) fn timers(&self, clock: TimeDomain) -> &Vec<EpochMillis> {
        match clock {
            TimeDomain::EventTime => &self.event_times,
            TimeDomain::ProcessingTime => &self.processing_times,
        }
    }

    /// Registers and deletes timers as the trigger has asked.
    pub(super) fn apply(&mut self, changes: impl Iterator<Item = TimerChange>) {
        for change in changes {
            let own = match change.domain {
                TimeDomain::EventTime => &mut self.event_times,
                TimeDomain::ProcessingTime => &mut self.processing_times,
            };
            match (change.register, own.iter().position(|time| *time == change.time)) {
                (true, None) => own.push(change.time),
                (false, Some(position)) => drop(own.swap_remove(position)),
                _ => {}
            }
        }
    }

    /// Takes the timer at `time` away; answers whether there was one.
    pub(super) fn take_timer(&mut self, domain: TimeDomain, time: EpochMillis) -> bool {
        let before = self.timers(domain).len();
        self.apply(std::iter::once(TimerChange { domain, time, register: false }));
        self.timers(domain).len() < before
    }

    /// Whether nothing is lost when it is forgotten.
    pub(super) fn is_empty(&self) -> bool {
        self.contents.is_none()
            && self.trigger.is_none()
            && self.function.is_none()
            && self.event_times.is_empty()
            && self.processing_times.is_empty()
    }
}

/// The open windows of every key.
pub(super) struct Entries<H, S, W> {
    of_keys: Vec<Vec<Entry<H, S, W>>>,
    contents: ValueCodec<H>,
    trigger: ValueCodec<S>,
    /// Absent where the function remembers nothing.
    function: Option<ValueCodec<W>>,
}

impl<H, S, W> Entries<H, S, W> {
    pub(super) fn new(contents: ValueCodec<H>, trigger: ValueCodec<S>, function: Option<ValueCodec<W>>) -> Self {
        Self { of_keys: Vec::new(), contents, trigger, function }
    }

    pub(super) fn get(&self, slot: Slot) -> &[Entry<H, S, W>] {
        &self.of_keys[slot as usize]
    }

    pub(super) fn entry(&mut self, slot: Slot) -> &mut Vec<Entry<H, S, W>> {
        &mut self.of_keys[slot as usize]
    }
}

/// The column of what functions remember.
const FUNCTION: &str = "function";

const NO_WINDOWS: ColumnError = ColumnError::Corrupt { what: "there are no windows in it" };

const FUNCTIONS_STATE: ColumnError =
    ColumnError::Corrupt { what: "a function remembers something of its windows, and the program's does not" };

impl<H: Send + 'static, S: Send + 'static, W: Send + 'static> StateColumn for Entries<H, S, W> {
    fn grow(&mut self, slots: usize) {
        if slots > self.of_keys.len() {
            self.of_keys.resize_with(slots, Vec::new);
        }
    }

    fn is_empty(&self, slot: Slot) -> bool {
        self.of_keys[slot as usize].is_empty()
    }

    fn snapshot(&mut self, slots: &[Slot]) -> Result<Option<ArrayRef>, ColumnError> {
        let entries = || slots.iter().flat_map(|slot| &self.of_keys[*slot as usize]);
        let bound = |pick: fn(&TimeWindow) -> i64| -> ArrayRef {
            Arc::new(Int64Array::from_iter_values(entries().map(|entry| pick(&entry.window))))
        };
        let (starts, ends) = (bound(|window| window.start), bound(|window| window.end));
        let contents = self.contents.encode(&entries().map(|entry| entry.contents.as_ref()).collect::<Vec<_>>())?;
        let trigger = self.trigger.encode(&entries().map(|entry| entry.trigger.as_ref()).collect::<Vec<_>>())?;
        let times = list_codec::<i64>();
        let event = times.encode(&entries().map(|entry| Some(&entry.event_times)).collect::<Vec<_>>())?;
        let wall = times.encode(&entries().map(|entry| Some(&entry.processing_times)).collect::<Vec<_>>())?;
        let mut names = vec!["start", "end", "contents", "trigger", "event-times", "processing-times"];
        let mut columns = vec![starts, ends, contents, trigger, event, wall];
        if let Some(function) = &self.function {
            names.push(FUNCTION);
            columns.push(function.encode(&entries().map(|entry| entry.function.as_ref()).collect::<Vec<_>>())?);
        }
        let fields = names.iter().zip(&columns);
        let fields: Fields = fields.map(|(name, column)| Field::new(*name, column.data_type().clone(), true)).collect();
        let entries = StructArray::try_new(fields.clone(), columns, None)?;
        let lengths = slots.iter().map(|slot| self.of_keys[*slot as usize].len());
        let item = Arc::new(Field::new(LIST_ITEM, DataType::Struct(fields), true));
        let offsets = arrow::buffer::OffsetBuffer::from_lengths(lengths);
        Ok(Some(Arc::new(ListArray::try_new(item, offsets, Arc::new(entries), None)?)))
    }

    fn restore(&mut self, slots: &[Slot], values: &ArrayRef) -> Result<(), ColumnError> {
        let lists = values.as_list_opt::<i32>().ok_or(NO_WINDOWS)?;
        let (first, last) = (lists.value_offsets()[0] as usize, lists.value_offsets()[lists.len()] as usize);
        let items = lists.values().slice(first, last - first);
        let entries = items.as_struct_opt().ok_or(NO_WINDOWS)?;
        let column = |name| entries.column_by_name(name).ok_or(NO_WINDOWS);
        let bound = |name| column(name)?.as_primitive_opt::<Int64Type>().ok_or(NO_WINDOWS);
        let (starts, ends) = (bound("start")?, bound("end")?);
        let contents = self.contents.decode(column("contents")?)?;
        let trigger = self.trigger.decode(column("trigger")?)?;
        let times = list_codec::<i64>();
        let event = times.decode(column("event-times")?)?;
        let wall = times.decode(column("processing-times")?)?;
        let function: Vec<Option<W>> = match (&self.function, entries.column_by_name(FUNCTION)) {
            (Some(codec), Some(column)) => codec.decode(column)?,
            (None, Some(column)) if column.null_count() < column.len() => return Err(FUNCTIONS_STATE),
            _ => (0..entries.len()).map(|_| None).collect(),
        };
        let mut rows = contents.into_iter().zip(trigger).zip(event).zip(wall).zip(function).enumerate();
        for (row, slot) in slots.iter().enumerate() {
            let count = lists.value_length(row) as usize;
            for (row, ((((contents, trigger), event), wall), function)) in rows.by_ref().take(count) {
                self.of_keys[*slot as usize].push(Entry {
                    window: TimeWindow::new(starts.value(row), ends.value(row)),
                    contents,
                    trigger,
                    function,
                    event_times: event.unwrap_or_default(),
                    processing_times: wall.unwrap_or_default(),
                });
            }
        }
        if rows.next().is_some() {
            return Err(ArrowError::InvalidArgumentError("windows without a key".to_owned()).into());
        }
        Ok(())
    }

    fn is_evictable(&self) -> bool {
        true
    }

    fn clear(&mut self, slots: &[Slot]) {
        slots.iter().for_each(|slot| self.of_keys[*slot as usize] = Vec::new());
    }

    fn slot_bytes(&self) -> usize {
        size_of::<Vec<Entry<H, S, W>>>()
    }

    fn add_heap_bytes(&self, slots: &[Slot], bytes: &mut [usize]) {
        for (slot, bytes) in slots.iter().zip(bytes) {
            let entries = &self.of_keys[*slot as usize];
            let held = entries.iter().filter_map(|entry| entry.contents.as_ref());
            let remembered = entries.iter().filter_map(|entry| entry.trigger.as_ref());
            let timers = entries.iter().map(|entry| entry.event_times.capacity() + entry.processing_times.capacity());
            *bytes += entries.capacity() * size_of::<Entry<H, S, W>>()
                + held.map(|held| self.contents.heap_bytes(held)).sum::<usize>()
                + remembered.map(|trigger| self.trigger.heap_bytes(trigger)).sum::<usize>()
                + self.function.as_ref().map_or(0, |codec| {
                    entries.iter().filter_map(|entry| entry.function.as_ref()).map(|kept| codec.heap_bytes(kept)).sum()
                })
                + timers.sum::<usize>() * size_of::<EpochMillis>();
        }
    }
}
