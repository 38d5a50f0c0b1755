//! Keeps the records of both sides in the order of time, and lets each meet those of the other side within the bounds.
//!
//! A left record at `t` meets right ones from `t + lower` to `t + upper`, so it is kept until the watermark has come to
//! `t + upper`, or to `t` where the right ones come first; the right side is the same with the bounds turned round.
//! Records before the watermark are late: what they could meet may be gone.
//!
//! Invariants: the list of a key is in the order of time; `due` has one entry for every list that is not empty, with the
//! time at which its first record is dropped.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::UInt32Array;
use pelton_runtime_core::checkpoint::snapshot::{OperatorSnapshot, RestoredState};
use pelton_runtime_core::element::{CheckpointId, StreamBatch};
use pelton_runtime_core::metrics::{Counter, NUM_LATE_RECORDS_DROPPED};
use pelton_runtime_core::operator::{
    InputIndex, Operator, OperatorContext, OperatorError, OperatorResult, OutputPort, refuse_state,
};
use pelton_runtime_core::state::{
    KeyBatch, KeyedStateBackend, ListColumn, Namespace, NamespaceTable, Rows, Slot, StateId,
};
use pelton_runtime_core::time::{EpochMillis, MIN_WATERMARK};
use pelton_runtime_core::window::KeyColumns;

use crate::keyed::operators::output_rows::OutputRows;
use crate::record::{Record, RecordReader};
use crate::state_codec::codec;
use crate::stream::{Collector, only_inserts};

use super::interval::JoinTimes;

/// Name of the table in a checkpoint.
const TABLE: &str = "interval-join";

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
    /// When the first record of a list is dropped, the list's side and key.
    due: BTreeSet<(EpochMillis, InputIndex, Slot)>,
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
            due: BTreeSet::new(),
            keys: KeyBatch::default(),
            slots: Vec::new(),
            late: Vec::new(),
            late_dropped: None,
            output: OutputRows::new(),
        }
    }

    /// How long after its time a record of a side is kept.
    fn kept_for(&self, input: InputIndex) -> i64 {
        kept_for(self.bounds, input)
    }

    fn left_batch(&mut self, batch: &StreamBatch, cx: &mut OperatorContext<'_>) -> OperatorResult {
        let (Some(left), Some(right)) = (self.left.state, self.right.state) else { return Ok(()) };
        let reader = RecordReader::<A>::open(batch.records())?;
        let Bounds { lower, upper } = self.bounds;
        let function = self.function.clone();
        self.each(0, batch, cx, |row, time, slot, table, due, output, cx| {
            let others = table.column(right).get(slot);
            let from = others.partition_point(|(other, _)| *other < time.saturating_add(lower));
            let record = reader.read(row);
            for (other, met) in others[from..].iter().take_while(|(other, _)| *other <= time.saturating_add(upper)) {
                let times = JoinTimes { left: time, right: *other };
                output.write(Some(times.timestamp()), |out| function(&record, met, &times, out));
                output.emit_if_full(cx)?;
            }
            keep(table.column_mut(left).entry(slot), time, record, due);
            Ok(())
        })
    }

    fn right_batch(&mut self, batch: &StreamBatch, cx: &mut OperatorContext<'_>) -> OperatorResult {
        let (Some(left), Some(right)) = (self.left.state, self.right.state) else { return Ok(()) };
        let reader = RecordReader::<B>::open(batch.records())?;
        let Bounds { lower, upper } = self.bounds;
        let function = self.function.clone();
        self.each(1, batch, cx, |row, time, slot, table, due, output, cx| {
            let others = table.column(left).get(slot);
            let from = others.partition_point(|(other, _)| *other < time.saturating_sub(upper));
            let record = reader.read(row);
            for (other, met) in others[from..].iter().take_while(|(other, _)| *other <= time.saturating_sub(lower)) {
                let times = JoinTimes { left: *other, right: time };
                output.write(Some(times.timestamp()), |out| function(met, &record, &times, out));
                output.emit_if_full(cx)?;
            }
            keep(table.column_mut(right).entry(slot), time, record, due);
            Ok(())
        })
    }

    /// Calls `see` with every row of a batch that is not late: the row, its time, its key's slot, the table and the
    /// due times of its own list.
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
            &mut Due<'_>,
            &mut OutputRows<U>,
            &mut OperatorContext<'_>,
        ) -> OperatorResult,
    ) -> OperatorResult {
        only_inserts(batch)?;
        let times = event_times(batch)?;
        let (key, late_output) = match input {
            0 => (&self.left.key, self.left.late_output),
            _ => (&self.right.key, self.right.late_output),
        };
        self.keys.read(&key.of(batch)?, batch.num_rows())?;
        let kept_for = self.kept_for(input);
        let table = self.backend.table(Namespace::Void, self.keys.types());
        table.slots(&self.keys, Rows::All(batch.num_rows()), &mut self.slots)?;
        let watermark = cx.current_watermark();
        for (row, time) in times.iter().enumerate() {
            if *time < watermark {
                self.late.push(row as u32);
                continue;
            }
            let slot = self.slots[row];
            let mut due = Due { all: &mut self.due, input, slot, kept_for };
            see(row, *time, slot, table, &mut due, &mut self.output, cx)?;
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
        Ok(())
    }

    /// Drops what nothing can meet any more.
    fn drop_due(&mut self, watermark: EpochMillis) {
        let (Some(left), Some(right)) = (self.left.state, self.right.state) else { return };
        let Some(table) = self.backend.existing_mut(Namespace::Void) else { return };
        let mut emptied = Vec::new();
        while let Some(&(at, input, slot)) = self.due.first().filter(|(at, ..)| *at <= watermark) {
            self.due.remove(&(at, input, slot));
            let kept_for = kept_for(self.bounds, input);
            let next = match input {
                0 => drop_until(table.column_mut(left).entry(slot), watermark, kept_for),
                _ => drop_until(table.column_mut(right).entry(slot), watermark, kept_for),
            };
            match next {
                Some(time) => drop(self.due.insert((time.saturating_add(kept_for), input, slot))),
                None => emptied.push(slot),
            }
        }
        table.free_empty(&mut emptied);
    }
}

/// When the first records of lists are dropped, as seen by one list.
struct Due<'a> {
    all: &'a mut BTreeSet<(EpochMillis, InputIndex, Slot)>,
    input: InputIndex,
    slot: Slot,
    kept_for: i64,
}

fn kept_for(bounds: Bounds, input: InputIndex) -> i64 {
    if input == 0 { bounds.upper.max(0) } else { bounds.lower.saturating_neg().max(0) }
}

/// Puts a record into its list.
fn keep<T>(list: &mut Timed<T>, time: EpochMillis, record: T, due: &mut Due<'_>) {
    let before = list.first().map(|(first, _)| *first);
    let at = list.partition_point(|(other, _)| *other <= time);
    list.insert(at, (time, record));
    if at == 0 {
        let entry = |first: EpochMillis| (first.saturating_add(due.kept_for), due.input, due.slot);
        if let Some(before) = before {
            due.all.remove(&entry(before));
        }
        due.all.insert(entry(time));
    }
}

/// Drops the records of a list that are due; answers with the time of the first that is left.
fn drop_until<T>(list: &mut Timed<T>, watermark: EpochMillis, kept_for: i64) -> Option<EpochMillis> {
    let over = list.partition_point(|(time, _)| time.saturating_add(kept_for) <= watermark);
    list.drain(..over);
    if list.is_empty() {
        // Its memory goes with it.
        *list = Vec::new();
    }
    list.first().map(|(time, _)| *time)
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
        self.left.state = Some(self.backend.register(LEFT, || ListColumn::new(codec()))?);
        self.right.state = Some(self.backend.register(RIGHT, || ListColumn::new(codec()))?);
        Ok(())
    }

    fn process(&mut self, input: InputIndex, batch: StreamBatch, cx: &mut OperatorContext<'_>) -> OperatorResult {
        match input {
            0 => self.left_batch(&batch, cx),
            _ => self.right_batch(&batch, cx),
        }
    }

    fn watermark(&mut self, watermark: EpochMillis, cx: &mut OperatorContext<'_>) -> OperatorResult {
        self.drop_due(watermark);
        cx.emit_watermark(watermark);
        Ok(())
    }

    fn snapshot(&mut self, _checkpoint: CheckpointId) -> OperatorResult<OperatorSnapshot> {
        let table = self.backend.snapshot(TABLE, self.max_parallelism)?;
        Ok(OperatorSnapshot { keyed: table.into_iter().collect(), ..OperatorSnapshot::default() })
    }

    fn restore(&mut self, mut state: RestoredState, _cx: &mut OperatorContext<'_>) -> OperatorResult {
        self.backend.restore(&state.take_keyed(TABLE))?;
        refuse_state(&state)?;
        let (Some(left), Some(right)) = (self.left.state, self.right.state) else { return Ok(()) };
        let (left_kept, right_kept) = (self.kept_for(0), self.kept_for(1));
        let Some(table) = self.backend.existing(Namespace::Void) else { return Ok(()) };
        for slot in table.index().by_key_group(self.max_parallelism).0 {
            let left = table.column(left).get(slot).first().map(|(time, _)| (time.saturating_add(left_kept), 0, slot));
            let right =
                table.column(right).get(slot).first().map(|(time, _)| (time.saturating_add(right_kept), 1, slot));
            self.due.extend(left.into_iter().chain(right));
        }
        Ok(())
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
