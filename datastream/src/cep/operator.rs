//! The operator that finds matches.

use std::sync::Arc;

use arrow::array::UInt32Array;
use pelton_runtime_core::checkpoint::snapshot::{OperatorSnapshot, RestoredState};
use pelton_runtime_core::element::{CheckpointId, StreamBatch};
use pelton_runtime_core::metrics::{Counter, NUM_LATE_RECORDS_DROPPED};
use pelton_runtime_core::operator::{
    InputIndex, Operator, OperatorContext, OperatorError, OperatorResult, OutputPort, refuse_state,
};
use pelton_runtime_core::state::{Alarms, KeyBatch, KeyedStateBackend, Namespace, NamespaceTable, Rows, Slot, StateId};
use pelton_runtime_core::time::{EpochMillis, MIN_WATERMARK};
use pelton_runtime_core::window::{KeyColumns, TimeDomain};

use crate::keyed::operators::output_rows::OutputRows;
use crate::keyed::{FunctionResult, failed};
use crate::record::{Record, RecordReader};
use crate::stream::{SideOutputWriter, only_inserts};

use super::automaton::{Automaton, Found, Scratch};
use super::function::{MatchContext, PatternProcessFunction};
use super::matching::Matching;
use super::state::Matchings;

/// Name of the table in a checkpoint, and of the state in it.
const TABLE: &str = "pattern";
const STATE: &str = "matches";

/// How many keys ring at once.
const RING_KEYS: usize = 1024;

/// Shows events to the partial matches of their keys, in the order of time.
///
/// State: per key the events that wait for the watermark, and partial matches. Keys without either are forgotten.
/// A key is due when its first event that waits is, or when the time of a partial match is over.
pub(super) struct PatternOperator<F: PatternProcessFunction> {
    key: KeyColumns,
    domain: TimeDomain,
    late_output: Option<OutputPort>,
    backend: KeyedStateBackend,
    state: Option<StateId<Matchings<F::In>>>,
    max_parallelism: u32,
    alarms: Alarms,
    keys: KeyBatch,
    slots: Vec<Slot>,
    late: Vec<u32>,
    late_dropped: Option<Counter>,
    matcher: Matcher<F>,
}

/// The automaton and what sees its matches.
struct Matcher<F: PatternProcessFunction> {
    automaton: Arc<Automaton<F::In>>,
    domain: TimeDomain,
    function: F,
    scratch: Scratch,
    output: OutputRows<F::Out>,
    side_outputs: SideOutputWriter,
}

impl<F: PatternProcessFunction> Matcher<F> {
    /// Shows an event to the matches of its key, of which those whose time is over end before.
    fn see(
        &mut self,
        matching: &mut Matching<F::In>,
        event: &F::In,
        time: EpochMillis,
        cx: &mut OperatorContext<'_>,
    ) -> OperatorResult {
        self.advance(matching, time, cx)?;
        let Self { automaton, domain, function, scratch, output, side_outputs } = self;
        let now = cx.processing_time();
        let found = shown(*domain, function, output, side_outputs, now);
        automaton.see(matching, event, time, now, scratch, found).map_err(failed)?;
        output.emit_if_full(cx)
    }

    fn advance(
        &mut self,
        matching: &mut Matching<F::In>,
        time: EpochMillis,
        cx: &mut OperatorContext<'_>,
    ) -> OperatorResult {
        let Self { automaton, domain, function, scratch, output, side_outputs } = self;
        let found = shown(*domain, function, output, side_outputs, cx.processing_time());
        automaton.advance(matching, time, scratch, found).map_err(failed)?;
        output.emit_if_full(cx)
    }

    /// What waits and is due, in its order, and then what has no time left.
    fn catch_up(
        &mut self,
        matching: &mut Matching<F::In>,
        to: EpochMillis,
        cx: &mut OperatorContext<'_>,
    ) -> OperatorResult {
        let due = matching.waiting.partition_point(|(time, _)| *time <= to);
        for _ in 0..due {
            let Some((time, event)) = matching.waiting.pop_front() else { break };
            self.see(matching, &event, time, cx)?;
        }
        self.advance(matching, to, cx)
    }

    /// When the key must be looked at again.
    fn next_due(&self, matching: &Matching<F::In>) -> Option<EpochMillis> {
        let waiting = matching.waiting.front().map(|(time, _)| *time);
        waiting.into_iter().chain(self.automaton.next_end(matching)).min()
    }
}

/// Gives what is found to the function.
fn shown<'s, F: PatternProcessFunction>(
    domain: TimeDomain,
    function: &'s mut F,
    output: &'s mut OutputRows<F::Out>,
    side_outputs: &'s mut SideOutputWriter,
    processing_time: EpochMillis,
) -> impl FnMut(Found<'_, F::In>) -> FunctionResult + use<'s, F> {
    move |found| match found {
        Found::Match(found, time) => {
            let mut ctx = MatchContext { time, domain, processing_time, side_outputs };
            output.write(ctx.timestamp(), |out| function.process_match(&found, &mut ctx, out))
        }
        Found::TimedOut(partial, time) => {
            let mut ctx = MatchContext { time, domain, processing_time, side_outputs };
            function.process_timed_out_match(&partial, &mut ctx)
        }
    }
}

impl<F: PatternProcessFunction> PatternOperator<F> {
    pub(super) fn new(
        key: KeyColumns,
        domain: TimeDomain,
        late_output: Option<OutputPort>,
        automaton: Arc<Automaton<F::In>>,
        function: F,
        side_outputs: SideOutputWriter,
    ) -> Self {
        let (scratch, output) = (Scratch::default(), OutputRows::new());
        Self {
            key,
            domain,
            late_output,
            backend: KeyedStateBackend::new(),
            state: None,
            max_parallelism: 1,
            alarms: Alarms::new(domain),
            keys: KeyBatch::default(),
            slots: Vec::new(),
            late: Vec::new(),
            late_dropped: None,
            matcher: Matcher { automaton, domain, function, scratch, output, side_outputs },
        }
    }

    fn by_event_time(&mut self, batch: &StreamBatch, cx: &mut OperatorContext<'_>) -> OperatorResult {
        let (Some(state), Some(table)) = (self.state, self.backend.existing_mut(Namespace::Void)) else {
            return Ok(());
        };
        let times = event_times(batch)?;
        let reader = RecordReader::<F::In>::open(batch.records())?;
        let (watermark, matchings) = (cx.current_watermark(), table.column_mut(state));
        for (row, (slot, time)) in self.slots.iter().zip(times).enumerate() {
            if *time <= watermark {
                self.late.push(row as u32);
                continue;
            }
            matchings.entry(*slot).wait(*time, reader.read(row));
        }
        Ok(())
    }

    fn by_processing_time(&mut self, batch: &StreamBatch, cx: &mut OperatorContext<'_>) -> OperatorResult {
        let (Some(state), Some(table)) = (self.state, self.backend.existing_mut(Namespace::Void)) else {
            return Ok(());
        };
        let reader = RecordReader::<F::In>::open(batch.records())?;
        let (now, matchings) = (cx.processing_time(), table.column_mut(state));
        let mut event = F::In::scratch();
        for (row, slot) in self.slots.iter().enumerate() {
            reader.read_into(row, &mut event);
            self.matcher.see(matchings.entry(*slot), &event, now, cx)?;
        }
        Ok(())
    }

    /// Looks at the keys that are due, about in the order of time.
    fn catch_up(&mut self, to: EpochMillis, cx: &mut OperatorContext<'_>) -> OperatorResult {
        let Some(state) = self.state else { return Ok(()) };
        while let Some(mut due) = self.alarms.due(to, RING_KEYS, &mut self.backend)? {
            let Some(table) = self.backend.existing_mut(Namespace::Void) else { break };
            while let Some((_, row)) = self.alarms.pop(to, &due, table) {
                let slot = due.slots[row];
                let matching = table.column_mut(state).entry(slot);
                self.matcher.catch_up(matching, to, cx)?;
                let next = self.matcher.next_due(matching);
                self.alarms.arm(table, slot, next);
            }
            table.free_empty(&mut due.slots);
            self.settle()?;
        }
        self.emit(cx)
    }

    /// The matching of the batch's keys has changed: they are armed anew, or forgotten.
    fn changed(&mut self) -> OperatorResult {
        let (Some(state), Some(table)) = (self.state, self.backend.existing_mut(Namespace::Void)) else {
            return Ok(());
        };
        self.slots.sort_unstable();
        self.slots.dedup();
        let matcher = &self.matcher;
        let due = |table: &NamespaceTable, slot: Slot| matcher.next_due(table.column(state).get(slot));
        self.alarms.changed(table, &self.slots, due)?;
        table.free_empty(&mut self.slots);
        self.settle()
    }

    /// Keeps what is on the heap within its bounds, when no slot is in use.
    fn settle(&mut self) -> OperatorResult {
        self.alarms.settle()?;
        Ok(self.backend.make_room()?)
    }

    fn emit(&mut self, cx: &mut OperatorContext<'_>) -> OperatorResult {
        self.matcher.output.emit(cx)?;
        self.matcher.side_outputs.flush(cx)?;
        self.arm(cx);
        Ok(())
    }

    fn arm(&self, cx: &mut OperatorContext<'_>) {
        let next = self.alarms.next().filter(|_| self.domain == TimeDomain::ProcessingTime);
        if let Some(at) = next {
            cx.wake_at(at);
        }
    }

    fn pass_late(&mut self, batch: &StreamBatch, cx: &mut OperatorContext<'_>) -> OperatorResult {
        if self.late.is_empty() {
            return Ok(());
        }
        match (self.late_output, &self.late_dropped) {
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

impl<F: PatternProcessFunction> Operator for PatternOperator<F> {
    fn open(&mut self, cx: &mut OperatorContext<'_>) -> OperatorResult {
        self.late_dropped = Some(cx.runtime().metrics.counter(NUM_LATE_RECORDS_DROPPED));
        self.max_parallelism = cx.runtime().max_parallelism;
        self.backend.open(cx.runtime())?;
        let automaton = self.matcher.automaton.clone();
        self.state = Some(self.backend.register(STATE, move || Matchings::new(automaton.clone()))?);
        Ok(self.alarms.open(&mut self.backend)?)
    }

    fn process(&mut self, _input: InputIndex, batch: StreamBatch, cx: &mut OperatorContext<'_>) -> OperatorResult {
        only_inserts(&batch)?;
        self.keys.read(&self.key.of(&batch)?, batch.num_rows())?;
        let table = self.backend.table(Namespace::Void, self.keys.types());
        table.slots(&self.keys, Rows::All(batch.num_rows()), &mut self.slots)?;
        match self.domain {
            TimeDomain::EventTime => self.by_event_time(&batch, cx)?,
            TimeDomain::ProcessingTime => self.by_processing_time(&batch, cx)?,
        }
        self.changed()?;
        self.pass_late(&batch, cx)?;
        self.emit(cx)
    }

    fn watermark(&mut self, watermark: EpochMillis, cx: &mut OperatorContext<'_>) -> OperatorResult {
        if self.domain == TimeDomain::EventTime {
            self.catch_up(watermark, cx)?;
        }
        cx.emit_watermark(watermark);
        Ok(())
    }

    fn processing_time(&mut self, now: EpochMillis, cx: &mut OperatorContext<'_>) -> OperatorResult {
        match self.domain {
            TimeDomain::EventTime => Ok(()),
            TimeDomain::ProcessingTime => self.catch_up(now, cx),
        }
    }

    fn snapshot(&mut self, _checkpoint: CheckpointId) -> OperatorResult<OperatorSnapshot> {
        let mut snapshot = OperatorSnapshot::default();
        self.alarms.save(&mut snapshot)?;
        self.backend.save(TABLE, self.max_parallelism, &mut snapshot)?;
        Ok(snapshot)
    }

    fn restore(&mut self, mut saved: RestoredState, cx: &mut OperatorContext<'_>) -> OperatorResult {
        let Some(state) = self.state else { return refuse_state(&saved) };
        let (alarms, matcher) = (&mut self.alarms, &self.matcher);
        self.backend.restore_seen(&mut saved, TABLE, &mut |table, slots| {
            alarms.restored(table, slots, |table, slot| matcher.next_due(table.column(state).get(slot)))
        })?;
        alarms.restore(&mut saved)?;
        refuse_state(&saved)?;
        self.arm(cx);
        Ok(())
    }
}

fn event_times(batch: &StreamBatch) -> OperatorResult<&[EpochMillis]> {
    match batch.timestamps() {
        Some(times) if times.iter().all(|time| *time != MIN_WATERMARK) => Ok(times),
        _ => Err(OperatorError::data(
            "Record has no timestamp, but the pattern is one of event time; call `assign_timestamps_and_watermarks` \
             before it, or `in_processing_time` on the pattern's stream",
        )),
    }
}
