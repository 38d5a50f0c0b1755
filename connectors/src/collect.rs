//! Holds a stream's batches until the program that reads them fetches them, wherever it is.
//!
//! Of one subtask, so that rows have an order. What was not fetched is state: after a restart it is there again. The sink ends
//! when all was fetched.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, UInt64Array};
use arrow::compute::concat_batches;
use arrow::datatypes::UInt64Type;
use pelton_runtime_core::checkpoint::snapshot::{OperatorSnapshot, OperatorTable, Redistribution, RestoredState};
use pelton_runtime_core::config::{CheckpointingMode, Configuration, options};
use pelton_runtime_core::element::{CheckpointId, StreamBatch};
use pelton_runtime_core::operator::{
    Finish, InputIndex, Operator, OperatorContext, OperatorError, OperatorFactory, OperatorResult, OperatorRuntime,
    refuse_state,
};
use pelton_runtime_core::results::{Guarantee, HeldResults, ServedResults, Serving};

/// The tables in snapshots.
const POSITION: &str = "position";
const ROWS: &str = "rows";

/// Serves what it is given.
#[derive(Debug, Clone)]
pub struct CollectSink {
    results: ServedResults,
}

impl CollectSink {
    /// A sink of these results, in every process that builds the program.
    pub fn new(results: ServedResults) -> Self {
        Self { results }
    }
}

impl OperatorFactory for CollectSink {
    fn create(&self, runtime: &OperatorRuntime) -> OperatorResult<Box<dyn Operator>> {
        if runtime.parallelism != 1 {
            return Err(OperatorError::data(format!(
                "`{}` has {} subtasks, expected 1: results have one order",
                runtime.operator_name, runtime.parallelism
            )));
        }
        let configuration = Configuration::from_map((*runtime.configuration).clone())
            .map_err(|errors| OperatorError::external("cannot read the job's configuration", errors))?;
        let guarantee = match configuration.get(&options::checkpointing::MODE) {
            _ if !runtime.checkpointing => Guarantee::None,
            CheckpointingMode::ExactlyOnce => Guarantee::ExactlyOnce,
            CheckpointingMode::AtLeastOnce => Guarantee::AtLeastOnce,
        };
        let (results, runtime) = (self.results.clone(), runtime.clone());
        Ok(Box::new(Collect { results, runtime, guarantee, serving: None, ends: BTreeMap::new() }))
    }
}

struct Collect {
    results: ServedResults,
    runtime: OperatorRuntime,
    guarantee: Guarantee,
    /// None before anything happened: whether there is state to restore is not known earlier.
    serving: Option<Serving>,
    /// How far checkpoints go that have not completed.
    ends: BTreeMap<CheckpointId, u64>,
}

impl Collect {
    fn serving(&mut self) -> &Serving {
        self.serving.get_or_insert_with(|| begin(&self.results, &self.runtime, self.guarantee, None))
    }
}

/// Begins this attempt.
fn begin(
    results: &ServedResults,
    runtime: &OperatorRuntime,
    guarantee: Guarantee,
    held: Option<HeldResults>,
) -> Serving {
    results.begin(runtime.env.random_u64().max(1), guarantee, held, runtime.waker.clone())
}

impl Operator for Collect {
    fn process(&mut self, _input: InputIndex, batch: StreamBatch, _cx: &mut OperatorContext<'_>) -> OperatorResult {
        self.serving().push(batch.records());
        Ok(())
    }

    fn finish(&mut self, _cx: &mut OperatorContext<'_>) -> OperatorResult<Finish> {
        Ok(if self.serving().is_fetched() { Finish::Done } else { Finish::Pending })
    }

    fn stop(&mut self, cx: &mut OperatorContext<'_>) -> OperatorResult<Finish> {
        self.finish(cx)
    }

    fn snapshot(&mut self, checkpoint: CheckpointId) -> OperatorResult<OperatorSnapshot> {
        let held = self.serving().held();
        self.ends.insert(checkpoint, held.end);
        let table =
            |name: &str, rows| OperatorTable { name: name.to_owned(), redistribution: Redistribution::Union, rows };
        let number = |number: u64| Arc::new(UInt64Array::from(vec![number])) as ArrayRef;
        let position = RecordBatch::try_from_iter([("first", number(held.first)), ("end", number(held.end))])?;
        let mut operator = vec![table(POSITION, position)];
        if let Some(first) = held.rows.first() {
            operator.push(table(ROWS, concat_batches(first.schema_ref(), &held.rows)?));
        }
        Ok(OperatorSnapshot { operator, ..OperatorSnapshot::default() })
    }

    fn restore(&mut self, mut state: RestoredState, _cx: &mut OperatorContext<'_>) -> OperatorResult {
        let position = state.take_operator(POSITION);
        let rows = state.take_operator(ROWS);
        refuse_state(&state)?;
        let number = |name: &str| -> OperatorResult<u64> {
            let column = position.first().and_then(|batch| batch.column_by_name(name));
            let numbers = column.and_then(|column| column.as_primitive_opt::<UInt64Type>());
            let number = numbers.and_then(|numbers| numbers.values().first());
            number.copied().ok_or_else(|| OperatorError::misfit(format!("results in the checkpoint have no `{name}`")))
        };
        let held = HeldResults { first: number("first")?, end: number("end")?, rows };
        let rows: u64 = held.rows.iter().map(|batch| batch.num_rows() as u64).sum();
        if held.end.checked_sub(held.first) != Some(rows) {
            let (first, end) = (held.first, held.end);
            return Err(OperatorError::misfit(format!("results {first} to {end} in the checkpoint are {rows} rows")));
        }
        self.serving = Some(begin(&self.results, &self.runtime, self.guarantee, Some(held)));
        Ok(())
    }

    fn checkpoint_completed(&mut self, checkpoint: CheckpointId, _cx: &mut OperatorContext<'_>) -> OperatorResult {
        if let Some(end) = self.ends.range(..=checkpoint).next_back().map(|(_, end)| *end) {
            self.serving().commit(end);
        }
        self.ends.retain(|later, _| *later > checkpoint);
        Ok(())
    }

    fn is_ready(&self) -> bool {
        self.serving.as_ref().is_none_or(Serving::has_room)
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::Int32Array;
    use futures::FutureExt;
    use pelton_runtime_core::results::CollectedResults;

    use super::*;
    use crate::testing::{Alarm, DEADLINE, call, place};

    fn batch(rows: i32) -> StreamBatch {
        let numbers: ArrayRef = Arc::new(Int32Array::from_iter_values(0..rows));
        StreamBatch::new(RecordBatch::try_from_iter([("n", numbers)]).expect("one column"))
    }

    fn runtime(alarm: &Alarm, checkpointing: bool) -> OperatorRuntime {
        OperatorRuntime { waker: alarm.waker(), checkpointing, ..place(0, 1) }
    }

    fn rows_read(results: &ServedResults, reader: &mut CollectedResults) -> usize {
        while let Some(answer) = results.fetch(reader.request()).now_or_never() {
            reader.take(answer).expect("in order");
        }
        std::iter::from_fn(|| reader.next_rows()).map(|rows| rows.num_rows()).sum()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn the_sink_ends_when_everything_was_fetched() {
        let (alarm, results) = (Alarm::default(), ServedResults::default());
        let runtime = runtime(&alarm, false);
        let mut sink = CollectSink::new(results.clone()).create(&runtime).expect("valid");
        call(&runtime, 0, |cx| sink.process(0, batch(3), cx)).0.expect("taken");
        assert_eq!(call(&runtime, 0, |cx| sink.finish(cx)).0.expect("asked"), Finish::Pending);
        assert_eq!(rows_read(&results, &mut CollectedResults::default()), 3);
        assert!(alarm.wait(DEADLINE));
        assert_eq!(call(&runtime, 0, |cx| sink.finish(cx)).0.expect("asked"), Finish::Done);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_sink_without_a_reader_drops_what_comes_and_ends() {
        let (alarm, results) = (Alarm::default(), ServedResults::default());
        let runtime = runtime(&alarm, false);
        let mut sink = CollectSink::new(results.clone()).create(&runtime).expect("valid");
        results.close();
        for _ in 0..100 {
            call(&runtime, 0, |cx| sink.process(0, batch(100_000), cx)).0.expect("taken");
            assert!(sink.is_ready());
        }
        assert_eq!(call(&runtime, 0, |cx| sink.finish(cx)).0.expect("asked"), Finish::Done);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_slow_reader_holds_the_sink_and_wakes_it() {
        let (alarm, results) = (Alarm::default(), ServedResults::default());
        let runtime = runtime(&alarm, false);
        let mut sink = CollectSink::new(results.clone()).create(&runtime).expect("valid");
        while sink.is_ready() {
            call(&runtime, 0, |cx| sink.process(0, batch(100_000), cx)).0.expect("taken");
        }
        assert!(rows_read(&results, &mut CollectedResults::default()) > 0);
        assert!(alarm.wait(DEADLINE));
        assert!(sink.is_ready());
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_was_not_fetched_is_in_the_checkpoint_and_shown_when_it_has_completed() {
        let (alarm, results) = (Alarm::default(), ServedResults::default());
        let runtime = runtime(&alarm, true);
        let factory = CollectSink::new(results.clone());
        let mut sink = factory.create(&runtime).expect("valid");
        let mut reader = CollectedResults::default();
        call(&runtime, 0, |cx| sink.process(0, batch(3), cx)).0.expect("taken");
        assert_eq!(rows_read(&results, &mut reader), 0);
        call(&runtime, 0, |cx| sink.process(0, batch(4), cx)).0.expect("taken");
        let snapshot = sink.snapshot(CheckpointId(1)).expect("state");
        call(&runtime, 0, |cx| sink.process(0, batch(5), cx)).0.expect("taken");
        call(&runtime, 0, |cx| sink.checkpoint_completed(CheckpointId(1), cx)).0.expect("told");
        assert_eq!(rows_read(&results, &mut reader), 7);
        // A restart from there brings what follows again, once.
        let mut sink = factory.create(&runtime).expect("valid");
        let state = RestoredState::assign(&[snapshot], runtime.key_groups(), 0, 1);
        call(&runtime, 0, |cx| sink.restore(state, cx)).0.expect("its own");
        call(&runtime, 0, |cx| sink.process(0, batch(6), cx)).0.expect("taken");
        assert_eq!(rows_read(&results, &mut reader), 0);
        reader.finish();
        assert_eq!(rows_read(&results, &mut reader), 6);
    }
}
