//! Timers of keys.

use arrow::array::ArrayRef;
use pelton_runtime_core::state::{ColumnError, KeyTimers, NamespaceTable, Slot, StateColumn, StateId};
use pelton_runtime_core::time::EpochMillis;

pub use pelton_runtime_core::window::TimeDomain;

/// How many timers on the heap each key has: a key with such timers is not forgotten.
#[derive(Debug, Default)]
pub(super) struct TimerCounts(Vec<u32>);

impl StateColumn for TimerCounts {
    fn grow(&mut self, slots: usize) {
        self.0.resize(self.0.len().max(slots), 0);
    }

    fn is_empty(&self, slot: Slot) -> bool {
        self.0[slot as usize] == 0
    }

    /// The timers themselves are state; they are counted again when they return.
    fn snapshot(&mut self, _slots: &[Slot]) -> Result<Option<ArrayRef>, ColumnError> {
        Ok(None)
    }

    fn restore(&mut self, _slots: &[Slot], _values: &ArrayRef) -> Result<(), ColumnError> {
        Err(ColumnError::Corrupt { what: "counts of timers are no part of a checkpoint" })
    }

    /// Where slots leave for a store, timers are there, too, and are not counted.
    fn is_evictable(&self) -> bool {
        true
    }

    fn slot_bytes(&self) -> usize {
        size_of::<u32>()
    }
}

impl TimerCounts {
    pub(super) fn fired(&mut self, slot: Slot) {
        let count = &mut self.0[slot as usize];
        *count = count.saturating_sub(1);
    }

    pub(super) fn restored(&mut self, slots: &[Slot]) {
        slots.iter().for_each(|slot| self.0[*slot as usize] += 1);
    }
}

/// The timers of all keys of one operator instance.
#[derive(Debug)]
pub(super) struct Timers {
    pub(super) event_time: KeyTimers,
    pub(super) processing_time: KeyTimers,
    pub(super) counts: StateId<TimerCounts>,
}

/// The clocks, and the timers of the current key.
///
/// ```
/// # use pelton::testing::Harness;
/// # fn main() -> Result<(), pelton::testing::TestError> {
/// # let mut harness = Harness::new();
/// use pelton::keyed::{FunctionResult, KeyedContext, KeyedProcessFunction, OpenContext, ValueState};
/// use pelton::record::field;
/// use pelton::stream::Collector;
///
/// /// Reports keys that were silent for ten milliseconds.
/// #[derive(Clone)]
/// struct Silence {
///     state: ValueState<i64>,
/// }
///
/// impl KeyedProcessFunction for Silence {
///     type Key = String;
///     type In = (String, i64);
///     type Out = String;
///
///     fn open(&mut self, ctx: &mut OpenContext<'_>) -> FunctionResult {
///         ctx.register(&mut self.state)
///     }
///
///     fn process_element(
///         &mut self,
///         _reading: &(String, i64),
///         ctx: &mut KeyedContext<'_, String>,
///         _out: &mut Collector<'_, String>,
///     ) -> FunctionResult {
///         if let Some(due) = self.state.take(ctx)? {
///             ctx.timer_service().delete_event_time_timer(due);
///         }
///         let due = ctx.timestamp().unwrap_or_default() + 10;
///         ctx.timer_service().register_event_time_timer(due);
///         self.state.update(ctx, due)?;
///         Ok(())
///     }
///
///     fn on_timer(
///         &mut self,
///         timestamp: i64,
///         ctx: &mut KeyedContext<'_, String>,
///         out: &mut Collector<'_, String>,
///     ) -> FunctionResult {
///         out.collect(format!("{} at {timestamp}", ctx.current_key()));
///         Ok(())
///     }
/// }
///
/// let (readings, input) = harness.source::<(String, i64)>();
/// let results = readings.key_by(field::<0, _>()).process(Silence { state: ValueState::new("due") });
/// let results = harness.collect(results);
/// harness.push(&input, [(("a", 1), 0), (("b", 2), 1), (("a", 3), 5)])?;
/// harness.watermark(&input, 20)?;
/// assert_eq!(results.take_records(), ["b at 11", "a at 15"]);
/// # Ok(())
/// # }
/// ```
pub struct TimerService<'a> {
    pub(super) timers: &'a mut Timers,
    pub(super) table: &'a mut NamespaceTable,
    pub(super) slot: Slot,
    pub(super) watermark: EpochMillis,
    pub(super) processing_time: EpochMillis,
}

impl TimerService<'_> {
    /// The event-time clock; before any watermark `i64::MIN`.
    pub fn current_watermark(&self) -> EpochMillis {
        self.watermark
    }

    /// The wall clock.
    pub fn current_processing_time(&self) -> EpochMillis {
        self.processing_time
    }

    /// Calls `on_timer` when the watermark reaches `time`. Registering a time twice is registering it once.
    pub fn register_event_time_timer(&mut self, time: EpochMillis) {
        if self.timers.event_time.register(time, self.table.index(), self.slot) {
            self.count(|count| *count += 1);
        }
    }

    /// Calls `on_timer` when the wall clock reaches `time`. Registering a time twice is registering it once.
    pub fn register_processing_time_timer(&mut self, time: EpochMillis) {
        if self.timers.processing_time.register(time, self.table.index(), self.slot) {
            self.count(|count| *count += 1);
        }
    }

    /// Deletes the key's event-time timer of this time, if there is one.
    pub fn delete_event_time_timer(&mut self, time: EpochMillis) {
        if self.timers.event_time.delete(time, self.table.index(), self.slot) {
            self.count(|count| *count -= 1);
        }
    }

    /// Deletes the key's processing-time timer of this time, if there is one.
    pub fn delete_processing_time_timer(&mut self, time: EpochMillis) {
        if self.timers.processing_time.delete(time, self.table.index(), self.slot) {
            self.count(|count| *count -= 1);
        }
    }

    fn count(&mut self, change: impl FnOnce(&mut u32)) {
        change(&mut self.table.column_mut(self.timers.counts).0[self.slot as usize]);
    }
}
