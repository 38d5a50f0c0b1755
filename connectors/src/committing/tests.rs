//! The operator of a two-phase sink, driven by hand, with an outside world that refuses and processes that die.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::Int64Type;
use parking_lot::Mutex;
use pelton_runtime_core::checkpoint::snapshot::{OperatorSnapshot, RestoredState};
use pelton_runtime_core::element::CheckpointId;
use pelton_runtime_core::operator::{Finish, OperatorContext};
use std::task::Poll;

use super::*;
use crate::testing::{Alarm, DEADLINE, call, place};

/// An outside world that remembers transactions by their names.
#[derive(Clone, Default)]
struct Ledger(Arc<Mutex<Books>>);

#[derive(Default)]
struct Books {
    committed: BTreeMap<i64, i64>,
    commits: usize,
    /// So many commits are refused.
    refuses: usize,
    discarded: Vec<i64>,
}

/// One transaction per checkpoint: the sum of what was written.
type Transaction = (i64, i64);

struct LedgerWriter {
    ledger: Ledger,
    open: Option<Transaction>,
}

impl SinkWriter<Transaction> for LedgerWriter {
    fn write(&mut self, batch: &StreamBatch, _now: EpochMillis) -> OperatorResult {
        for value in batch.records().column(0).as_primitive::<Int64Type>().values() {
            // Named by its first value, so that a restarted writer gives the same name to the same content.
            self.open.get_or_insert((*value, 0)).1 += value;
        }
        Ok(())
    }

    fn prepare_commit(&mut self, _: CommitPoint) -> OperatorResult<Vec<Transaction>> {
        Ok(self.open.take().into_iter().collect())
    }

    fn discard(&mut self, transaction: &Transaction) {
        self.ledger.0.lock().discarded.push(transaction.0);
    }
}

struct LedgerCommitter(Ledger);

impl Committer<Transaction> for LedgerCommitter {
    fn commit(&mut self, (name, sum): &Transaction) -> Result<(), CommitError> {
        let mut books = self.0.0.lock();
        books.commits += 1;
        if books.refuses > 0 {
            books.refuses -= 1;
            return Err(CommitError::retry("cannot reach the ledger", "it is lunchtime"));
        }
        assert_eq!(*books.committed.entry(*name).or_insert(*sum), *sum, "a transaction has one content");
        Ok(())
    }
}

impl CommittingSink for Ledger {
    type Committable = Transaction;

    fn writer(&self, _: &OperatorRuntime) -> OperatorResult<Box<dyn SinkWriter<Transaction>>> {
        Ok(Box::new(LedgerWriter { ledger: self.clone(), open: None }))
    }

    fn committer(&self, _: &OperatorRuntime) -> OperatorResult<Box<dyn Committer<Transaction>>> {
        Ok(Box::new(LedgerCommitter(self.clone())))
    }

    fn encode(&self, transactions: &[Transaction]) -> OperatorResult<RecordBatch> {
        let column = |of: fn(&Transaction) -> i64| -> ArrayRef {
            Arc::new(Int64Array::from_iter_values(transactions.iter().map(of)))
        };
        let columns = [("name", column(|transaction| transaction.0)), ("sum", column(|transaction| transaction.1))];
        Ok(RecordBatch::try_from_iter(columns)?)
    }

    fn decode(&self, rows: &RecordBatch) -> OperatorResult<Vec<Transaction>> {
        let column = |index: usize| rows.column(index).as_primitive::<Int64Type>().values().to_vec();
        Ok(column(0).into_iter().zip(column(1)).collect())
    }
}

/// A sink's operator in a job with checkpoints.
struct Driven {
    operator: Option<Box<dyn Operator>>,
    runtime: OperatorRuntime,
    alarm: Alarm,
    now: EpochMillis,
    /// When it wants to be told the time.
    wake_at: Option<EpochMillis>,
}

impl Driven {
    fn start(ledger: &Ledger, checkpointing: bool, restored: Option<&[OperatorSnapshot]>) -> Self {
        let alarm = Alarm::default();
        let runtime = OperatorRuntime { waker: alarm.waker(), checkpointing, ..place(0, 1) };
        let operator = Some(Committing::new(ledger.clone()).create(&runtime).expect("valid"));
        let mut driven = Self { operator, runtime, alarm, now: 0, wake_at: None };
        driven.call(|operator, cx| operator.open(cx)).expect("opened");
        if let Some(snapshots) = restored {
            let state = RestoredState::assign(snapshots, driven.runtime.key_groups(), 0, 1);
            driven.call(|operator, cx| operator.restore(state, cx)).expect("restored");
        }
        driven
    }

    fn call<T>(&mut self, act: impl FnOnce(&mut dyn Operator, &mut OperatorContext<'_>) -> T) -> T {
        let operator = self.operator.as_mut().expect("not crashed").as_mut();
        let (answer, wake_at) = call(&self.runtime, self.now, |cx| act(operator, cx));
        self.wake_at = wake_at.or(self.wake_at);
        answer
    }

    fn write(&mut self, value: i64) {
        let column: ArrayRef = Arc::new(Int64Array::from_iter_values([value]));
        let batch = StreamBatch::new(RecordBatch::try_from_iter([("value", column)]).expect("one column"));
        self.call(|operator, cx| operator.process(0, batch, cx)).expect("written");
    }

    fn barrier(&mut self, checkpoint: u64) {
        self.call(|operator, _| operator.snapshot(CheckpointId(checkpoint))).expect("told");
    }

    fn listed(&mut self, checkpoint: u64) -> OperatorSnapshot {
        loop {
            match self.call(|operator, _| operator.poll_snapshot(CheckpointId(checkpoint))).expect("a snapshot") {
                Poll::Ready(snapshot) => return snapshot,
                Poll::Pending => assert!(self.alarm.wait(DEADLINE), "nothing is listed"),
            }
        }
    }

    fn completed(&mut self, checkpoint: u64) {
        self.call(|operator, cx| operator.checkpoint_completed(CheckpointId(checkpoint), cx)).expect("told");
    }

    /// Lets time pass as the task does, until the world is so or the sink fails.
    fn until(&mut self, world: impl Fn() -> bool) -> OperatorResult {
        let env = self.runtime.env.clone();
        let start = env.moment();
        while !world() {
            assert!(env.moment().since(start) < DEADLINE, "the world does not change");
            if let Some(wake_at) = self.wake_at.take() {
                self.now = wake_at;
                self.call(|operator, cx| operator.processing_time(wake_at, cx))?;
            }
            std::thread::yield_now();
        }
        Ok(())
    }

    /// Stops as `kill -9` does.
    fn crash(mut self) {
        std::mem::forget(self.operator.take());
    }
}

fn names(ledger: &Ledger) -> Vec<i64> {
    ledger.0.lock().committed.keys().copied().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_of_several_checkpoints_under_way_gets_its_own_list_in_any_order() {
    let ledger = Ledger::default();
    let mut sink = Driven::start(&ledger, true, None);
    for checkpoint in 1..4 {
        sink.write(checkpoint);
        sink.barrier(checkpoint.unsigned_abs());
    }
    let rows = |snapshot: OperatorSnapshot| snapshot.operator[0].rows.num_rows();
    assert_eq!(rows(sink.listed(3)), 3);
    assert_eq!(rows(sink.listed(1)), 1);
    assert_eq!(rows(sink.listed(2)), 2);
    sink.completed(2);
    sink.until(|| names(&ledger) == [1, 2]).expect("committed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_is_refused_for_a_while_is_made_and_is_counted() {
    let ledger = Ledger::default();
    ledger.0.lock().refuses = 3;
    let mut sink = Driven::start(&ledger, true, None);
    sink.write(5);
    sink.barrier(1);
    sink.listed(1);
    sink.completed(1);
    sink.until(|| names(&ledger) == [5]).expect("committed");
    assert!(sink.now >= 700, "it waits longer each time: {}", sink.now);
    let metrics = sink.runtime.metrics.clone();
    sink.until(|| metrics.named()[SUCCESSFUL_COMMITTABLES] == 1).expect("counted");
    assert_eq!((metrics.named()[RETRIED_COMMITTABLES], metrics.named()[FAILED_COMMITTABLES]), (3, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_is_always_refused_fails_the_job_and_is_made_after_a_restart() {
    let ledger = Ledger::default();
    ledger.0.lock().refuses = 11;
    let mut sink = Driven::start(&ledger, true, None);
    sink.write(5);
    sink.barrier(1);
    let listed = [sink.listed(1)];
    sink.completed(1);
    let error = sink.until(|| false).expect_err("refused 11 times");
    assert_eq!(error.to_string(), "cannot reach the ledger: given up after 11 tries");
    let mut again = Driven::start(&ledger, true, Some(&listed));
    again.until(|| names(&ledger) == [5]).expect("committed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_whose_input_has_ended_waits_for_its_last_commit() {
    let ledger = Ledger::default();
    let mut sink = Driven::start(&ledger, true, None);
    sink.write(1);
    let finish = |sink: &mut Driven| sink.call(|operator, cx| operator.finish(cx)).expect("finished");
    assert_eq!(finish(&mut sink), Finish::Pending);
    sink.barrier(1);
    let listed = [sink.listed(1)];
    assert_eq!(finish(&mut sink), Finish::Pending);
    assert!(names(&ledger).is_empty());
    ledger.0.lock().refuses = 1;
    sink.completed(1);
    while finish(&mut sink) == Finish::Pending {
        sink.until(|| names(&ledger) == [1]).expect("committed");
    }
    assert_eq!(sink.listed(u64::MAX).operator[0].rows.num_rows(), 0, "the final state lists nothing");
    // Whoever restores the checkpoint all the same commits again, and nothing changes.
    let commits = ledger.0.lock().commits;
    let mut again = Driven::start(&ledger, true, Some(&listed));
    again.until(|| ledger.0.lock().commits > commits).expect("committed");
    assert_eq!(names(&ledger), [1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_checkpoint_lists_is_discarded_by_a_cancellation_and_lost_by_a_crash() {
    let ledger = Ledger::default();
    let mut sink = Driven::start(&ledger, true, None);
    sink.write(1);
    sink.barrier(1);
    sink.listed(1);
    sink.write(2);
    drop(sink.operator.take());
    let mut crashed = Driven::start(&ledger, true, None);
    crashed.write(3);
    crashed.barrier(1);
    crashed.listed(1);
    crashed.crash();
    assert!(names(&ledger).is_empty());
    // The first was listed, the second never prepared.
    assert!(ledger.0.lock().discarded.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_checkpoints_the_end_of_the_input_commits() {
    let ledger = Ledger::default();
    let mut sink = Driven::start(&ledger, false, None);
    sink.write(1);
    sink.write(2);
    while sink.call(|operator, cx| operator.finish(cx)).expect("finished") == Finish::Pending {
        assert!(sink.alarm.wait(DEADLINE));
    }
    assert_eq!(ledger.0.lock().committed, BTreeMap::from([(1, 3)]));
}

fn stop(sink: &mut Driven) -> Finish {
    sink.call(|operator, cx| operator.stop(cx)).expect("stopped")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_that_stops_commits_what_its_savepoint_lists_however_often_that_is_refused() {
    let ledger = Ledger::default();
    ledger.0.lock().refuses = 2;
    let mut sink = Driven::start(&ledger, true, None);
    sink.write(1);
    sink.barrier(1);
    sink.listed(1);
    sink.completed(1);
    while stop(&mut sink) == Finish::Pending {
        // As the task does, which fires the timers of nobody else.
        if let Some(wake_at) = sink.wake_at.take() {
            sink.now = wake_at;
            sink.call(|operator, cx| operator.processing_time(wake_at, cx)).expect("told");
        }
        std::thread::yield_now();
    }
    assert_eq!(names(&ledger), [1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_checkpoints_a_savepoint_commits_what_precedes_it() {
    let ledger = Ledger::default();
    let mut sink = Driven::start(&ledger, false, None);
    sink.write(1);
    sink.barrier(1);
    let listed = [sink.listed(1)];
    sink.completed(1);
    while stop(&mut sink) == Finish::Pending {
        assert!(sink.alarm.wait(DEADLINE));
    }
    assert_eq!(names(&ledger), [1]);
    let mut again = Driven::start(&ledger, false, Some(&listed));
    again.write(2);
    while again.call(|operator, cx| operator.finish(cx)).expect("finished") == Finish::Pending {
        assert!(again.alarm.wait(DEADLINE));
    }
    assert_eq!(names(&ledger), [1, 2]);
}
