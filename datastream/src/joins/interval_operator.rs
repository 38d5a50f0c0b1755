//! Keeps the records of both sides in the order of time, and lets each meet those of the other side within the bounds.
//!
//! A left record at `t` meets right ones from `t + lower` to `t + upper`, so it is kept until the watermark has come to
//! `t + upper`, or to `t` where the right ones come first; the right side is the same with the bounds turned round.
//! Records before the watermark are late: what they could meet may be gone.
//!
//! Records that are over are passed over at once, and dropped with others of their key: a key with many is looked at now
//! and then, not with every watermark. Those of a side that is not kept at all are dropped at once: a record at the very
//! time of the watermark may have come before or after it.
//!
//! Invariants: the list of a key is in the order of time; a key that has a record is armed, and rings before the first
//! record of a side that is not kept is over.

use std::sync::Arc;

use arrow::array::UInt32Array;
use pelton_runtime_core::checkpoint::snapshot::{OperatorSnapshot, RestoredState};
use pelton_runtime_core::element::{CheckpointId, StreamBatch};
use pelton_runtime_core::metrics::{Counter, NUM_LATE_RECORDS_DROPPED};
use pelton_runtime_core::operator::{
    InputIndex, Operator, OperatorContext, OperatorError, OperatorResult, OutputPort, refuse_state,
};
use pelton_runtime_core::state::{
    Alarms, KeyBatch, KeyedStateBackend, ListColumn, Namespace, NamespaceTable, Rows, Slot, StateId,
};
use pelton_runtime_core::time::{EpochMillis, MIN_WATERMARK};
use pelton_runtime_core::window::{KeyColumns, TimeDomain};

use crate::keyed::operators::output_rows::OutputRows;
use crate::record::{Record, RecordReader};
use crate::state_codec::codec;
use crate::stream::{Collector, only_inserts};

use super::interval::JoinTimes;

/// Name of the table in a checkpoint.
const TABLE: &str = "interval-join";

/// How many keys ring at once.
const RING_KEYS: usize = 1024;

/// A key whose first records were dropped rings for the next ones so many eighths of the time that they are kept later, so
/// that many are dropped together.
const DROPPED_TOGETHER: i64 = 1;

/// Names of the states.
const LEFT: &str = "left";
const RIGHT: &str = "right";

/// How far after a left record a right one may be, in milliseconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) lower: i64,
    pub(super) upper: i64,
}

/// The records of one key, in the order of time.
type Timed<T> = Vec<(EpochMillis, T)>;

/// One of the two inputs.
pub(super) struct Side<T: Record> {
    key: KeyColumns,
    late_output: Option<OutputPort>,
    state: Option<StateId<ListColumn<(EpochMillis, T)>>>,
}

impl<T: Record> Side<T> {
    pub(super) fn new(key: KeyColumns, late_output: Option<OutputPort>) -> Self {
        Self { key, late_output, state: None }
    }
}

/// Joins two keyed inputs by distance in time.
///
/// State: per key the records of both sides that may still meet others.
pub(super) struct IntervalJoinOperator<A: Record, B: Record, U: Record, F> {
    bounds: Bounds,
    left: Side<A>,
    right: Side<B>,
    function: Arc<F>,
    backend: KeyedStateBackend,
    max_parallelism: u32,
    /// The keys that have records, by when some are over.
    alarms: Alarms,
    keys: KeyBatch,
    slots: Vec<Slot>,
    late: Vec<u32>,
    late_dropped: Option<Counter>,
    output: OutputRows<U>,
}

impl<A, B, U, F> IntervalJoinOperator<A, B, U, F>
where
    A: Record,
    B: Record,
    U: Record,
    F: Fn(&A, &B, &JoinTimes, &mut Collector<'_, U>) + Send + Sync + 'static,
{
    pub(super) fn new(bounds: Bounds, left: Side<A>, right: Side<B>, function: Arc<F>) -> Self {
        Self {
            bounds,
            left,
            right,
            function,
            backend: KeyedStateBackend::new(),
            max_parallelism: 1,
            alarms: Alarms::new(TimeDomain::EventTime),
            keys: KeyBatch::default(),
            slots: Vec::new(),
            late: Vec::new(),
            late_dropped: None,
            output: OutputRows::new(),
        }
    }

    /// The bounds, and the states of both sides.
    fn lists(&self) -> Option<Lists<A, B>> {
        Some(Lists { bounds: self.bounds, left: self.left.state?, right: self.right.state? })
    }

    fn left_batch(&mut self, batch: &StreamBatch, cx: &mut OperatorContext<'_>) -> OperatorResult {
        let Some(Lists { bounds, left, right }) = self.lists() else { return Ok(()) };
        let reader = RecordReader::<A>::open(batch.records())?;
        let (lower, upper) = (bounds.lower, bounds.upper);
        let function = self.function.clone();
        self.each(0, batch, cx, |row, time, slot, table, output, cx| {
            let others = lasting(table.column(right).get(slot), cx.current_watermark(), bounds.kept_for(1));
            let from = others.partition_point(|(other, _)| *other < time.saturating_add(lower));
            let record = reader.read(row);
            for (other, met) in others[from..].iter().take_while(|(other, _)| *other <= time.saturating_add(upper)) {
                let times = JoinTimes { left: time, right: *other };
                output.write(Some(times.timestamp()), |out| function(&record, met, &times, out));
                output.emit_if_full(cx)?;
            }
            keep(table.column_mut(left).entry(slot), time, record);
            Ok(())
        })
    }

    fn right_batch(&mut self, batch: &StreamBatch, cx: &mut OperatorContext<'_>) -> OperatorResult {
        let Some(Lists { bounds, left, right }) = self.lists() else { return Ok(()) };
        let reader = RecordReader::<B>::open(batch.records())?;
        let (lower, upper) = (bounds.lower, bounds.upper);
        let function = self.function.clone();
        self.each(1, batch, cx, |row, time, slot, table, output, cx| {
            let others = lasting(table.column(left).get(slot), cx.current_watermark(), bounds.kept_for(0));
            let from = others.partition_point(|(other, _)| *other < time.saturating_sub(upper));
            let record = reader.read(row);
            for (other, met) in others[from..].iter().take_while(|(other, _)| *other <= time.saturating_sub(lower)) {
                let times = JoinTimes { left: *other, right: time };
                output.write(Some(times.timestamp()), |out| function(met, &record, &times, out));
                output.emit_if_full(cx)?;
            }
            keep(table.column_mut(right).entry(slot), time, record);
            Ok(())
        })
    }

    /// Calls `see` with every row of a batch that is not late: the row, its time, its key's slot and the table.
    fn each(
        &mut self,
        input: InputIndex,
        batch: &StreamBatch,
        cx: &mut OperatorContext<'_>,
        mut see: impl FnMut(
            usize,
            EpochMillis,
            Slot,
            &mut NamespaceTable,
            &mut OutputRows<U>,
            &mut OperatorContext<'_>,
        ) -> OperatorResult,
    ) -> OperatorResult {
        only_inserts(batch)?;
        let Some(lists) = self.lists() else { return Ok(()) };
        let times = event_times(batch)?;
        let (key, late_output) = match input {
            0 => (&self.left.key, self.left.late_output),
            _ => (&self.right.key, self.right.late_output),
        };
        self.keys.read(&key.of(batch)?, batch.num_rows())?;
        let table = self.backend.table(Namespace::Void, self.keys.types());
        table.slots(&self.keys, Rows::All(batch.num_rows()), &mut self.slots)?;
        let watermark = cx.current_watermark();
        for (row, time) in times.iter().enumerate() {
            if *time < watermark {
                self.late.push(row as u32);
                continue;
            }
            see(row, *time, self.slots[row], table, &mut self.output, cx)?;
        }
        if lists.bounds.kept_for(input) == 0 {
            self.alarms.changed(table, &self.slots, |table, slot| lists.first_over(table, slot, 0))?;
        }
        for slot in &self.slots {
            if !self.alarms.is_armed(table, *slot) {
                let over = lists.first_over(table, *slot, 0);
                self.alarms.arm(table, *slot, over);
            }
        }
        table.free_empty(&mut self.slots);
        self.output.emit(cx)?;
        if !self.late.is_empty() {
            match (late_output, &self.late_dropped) {
                (Some(port), _) => {
                    cx.emit_to(port, batch.take(&UInt32Array::from_iter_values(self.late.iter().copied()))?);
                }
                (None, Some(dropped)) => dropped.add(self.late.len() as u64),
                (None, None) => {}
            }
            self.late.clear();
        }
        self.settle()
    }

    /// Keeps what is on the heap within its bounds, when no slot is in use.
    fn settle(&mut self) -> OperatorResult {
        self.alarms.settle()?;
        Ok(self.backend.make_room()?)
    }

    /// Drops what nothing can meet any more, of the keys that ring.
    fn drop_over(&mut self, watermark: EpochMillis) -> OperatorResult {
        let Some(lists) = self.lists() else { return Ok(()) };
        while let Some(mut due) = self.alarms.due(watermark, RING_KEYS, &mut self.backend)? {
            let Some(table) = self.backend.existing_mut(Namespace::Void) else { break };
            while let Some((_, row)) = self.alarms.pop(watermark, &due, table) {
                let slot = due.slots[row];
                drop_until(table.column_mut(lists.left).entry(slot), watermark, lists.bounds.kept_for(0));
                drop_until(table.column_mut(lists.right).entry(slot), watermark, lists.bounds.kept_for(1));
                let next = lists.first_over(table, slot, DROPPED_TOGETHER);
                self.alarms.arm(table, slot, next);
            }
            table.free_empty(&mut due.slots);
            self.settle()?;
        }
        Ok(())
    }
}

/// Where the records of both sides are, and how long.
struct Lists<A: Record, B: Record> {
    bounds: Bounds,
    left: StateId<ListColumn<(EpochMillis, A)>>,
    right: StateId<ListColumn<(EpochMillis, B)>>,
}

impl<A: Record, B: Record> Lists<A, B> {
    /// When the first record of a key is over, or so many eighths of the time that it is kept later.
    fn first_over(&self, table: &NamespaceTable, slot: Slot, later: i64) -> Option<EpochMillis> {
        let left = table.column(self.left).get(slot).first().map(|(time, _)| (*time, self.bounds.kept_for(0)));
        let right = table.column(self.right).get(slot).first().map(|(time, _)| (*time, self.bounds.kept_for(1)));
        let over = |(time, kept_for): (EpochMillis, i64)| {
            time.saturating_add(kept_for).saturating_add((kept_for / 8).saturating_mul(later))
        };
        left.into_iter().chain(right).map(over).min()
    }
}

impl Bounds {
    /// How long after its time a record of a side is kept.
    fn kept_for(self, input: InputIndex) -> i64 {
        if input == 0 { self.upper.max(0) } else { self.lower.saturating_neg().max(0) }
    }
}

/// Those records of a list that another may meet.
fn lasting<T>(list: &[(EpochMillis, T)], watermark: EpochMillis, kept_for: i64) -> &[(EpochMillis, T)] {
    if kept_for == 0 { list } else { &list[count_over(list, watermark, kept_for)..] }
}

/// How many records of a list the watermark is past.
fn count_over<T>(list: &[(EpochMillis, T)], watermark: EpochMillis, kept_for: i64) -> usize {
    list.partition_point(|(time, _)| time.saturating_add(kept_for) <= watermark)
}

/// Puts a record into its list.
fn keep<T>(list: &mut Timed<T>, time: EpochMillis, record: T) {
    let at = list.partition_point(|(other, _)| *other <= time);
    list.insert(at, (time, record));
}

/// Drops the records of a list that are over.
fn drop_until<T>(list: &mut Timed<T>, watermark: EpochMillis, kept_for: i64) {
    list.drain(..count_over(list, watermark, kept_for));
    if list.is_empty() {
        // Its memory goes with it.
        *list = Vec::new();
    }
}

impl<A, B, U, F> Operator for IntervalJoinOperator<A, B, U, F>
where
    A: Record,
    B: Record,
    U: Record,
    F: Fn(&A, &B, &JoinTimes, &mut Collector<'_, U>) + Send + Sync + 'static,
{
    fn open(&mut self, cx: &mut OperatorContext<'_>) -> OperatorResult {
        self.late_dropped = Some(cx.runtime().metrics.counter(NUM_LATE_RECORDS_DROPPED));
        self.max_parallelism = cx.runtime().max_parallelism;
        self.backend.open(cx.runtime())?;
        self.left.state = Some(self.backend.register(LEFT, || ListColumn::new(codec()))?);
        self.right.state = Some(self.backend.register(RIGHT, || ListColumn::new(codec()))?);
        Ok(self.alarms.open(&mut self.backend)?)
    }

    fn process(&mut self, input: InputIndex, batch: StreamBatch, cx: &mut OperatorContext<'_>) -> OperatorResult {
        match input {
            0 => self.left_batch(&batch, cx),
            _ => self.right_batch(&batch, cx),
        }
    }

    fn watermark(&mut self, watermark: EpochMillis, cx: &mut OperatorContext<'_>) -> OperatorResult {
        self.drop_over(watermark)?;
        cx.emit_watermark(watermark);
        Ok(())
    }

    fn snapshot(&mut self, _checkpoint: CheckpointId) -> OperatorResult<OperatorSnapshot> {
        let mut snapshot = OperatorSnapshot::default();
        self.alarms.save(&mut snapshot)?;
        self.backend.save(TABLE, self.max_parallelism, &mut snapshot)?;
        Ok(snapshot)
    }

    fn restore(&mut self, mut state: RestoredState, _cx: &mut OperatorContext<'_>) -> OperatorResult {
        let Some(lists) = self.lists() else { return refuse_state(&state) };
        let alarms = &mut self.alarms;
        self.backend.restore_seen(&mut state, TABLE, &mut |table, slots| {
            alarms.restored(table, slots, |table, slot| lists.first_over(table, slot, 0))
        })?;
        alarms.restore(&mut state)?;
        refuse_state(&state)
    }
}

fn event_times(batch: &StreamBatch) -> OperatorResult<&[EpochMillis]> {
    match batch.timestamps() {
        Some(times) if times.iter().all(|time| *time != MIN_WATERMARK) => Ok(times),
        _ => Err(OperatorError::data(
            "Record has no timestamp, but an interval join is one of event time; call \
             `assign_timestamps_and_watermarks` on both streams before it",
        )),
    }
}
