//! Checkpoints of real tasks, stepped by hand: sources that count, and a task that adds up what they bring.

mod stopping;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::Int64Type;
use parking_lot::Mutex;

use super::chain::ChainedOperator;
use super::outputs::EdgeOutput;
use super::*;
use crate::checkpoint::snapshot::{OperatorTable, Redistribution};
use crate::element::StreamBatch;
use crate::exchange::input_queue::ChannelWriter;
use crate::graph::{ChainedInput, JobVertex, OperatorNode, OperatorRole, Partitioner};
use crate::id::JobVertexId;
use crate::operator::harness::OperatorHarness;
use crate::operator::{InputIndex, Operator, OperatorContext, OperatorResult, OperatorRuntime};

/// What a task told its listener.
#[derive(Default)]
struct Told(Mutex<Vec<String>>, Mutex<Vec<Vec<(OperatorId, OperatorSnapshot)>>>);

impl CheckpointListener for Told {
    fn snapshot(&self, snapshot: TaskSnapshot) {
        let states: Vec<_> = snapshot.operators.iter().map(|(_, state)| number_in(state)).collect();
        self.0.lock().push(format!("{}: {states:?}", snapshot.checkpoint.0));
        self.1.lock().push(snapshot.operators);
    }

    fn declined(&self, checkpoint: CheckpointId, reason: DeclineReason) {
        self.0.lock().push(format!("{} declined: {reason}", checkpoint.0));
    }

    fn finished(&self, operators: Vec<(OperatorId, OperatorSnapshot)>) {
        let states: Vec<_> = operators.iter().map(|(_, state)| number_in(state)).collect();
        self.0.lock().push(format!("final: {states:?}"));
    }

    fn waits_for_checkpoint(&self) {
        self.0.lock().push("waits".to_owned());
    }
}

impl Told {
    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock())
    }

    /// The last snapshot as state to restore, at the same parallelism.
    fn last(&self) -> Vec<(OperatorId, RestoredState)> {
        let snapshots = self.1.lock();
        let (runtime, last) = (OperatorHarness::runtime(), snapshots.last().expect("a snapshot"));
        let assign =
            |state: &OperatorSnapshot| RestoredState::assign(std::slice::from_ref(state), runtime.key_groups(), 0, 1);
        last.iter().map(|(operator, state)| (*operator, assign(state))).collect()
    }
}

fn batch(values: impl IntoIterator<Item = i64>) -> RecordBatch {
    let column: ArrayRef = Arc::new(Int64Array::from_iter_values(values));
    RecordBatch::try_from_iter([("n", column)]).expect("one column")
}

fn numbers_in(batch: &RecordBatch) -> Vec<i64> {
    batch.column(0).as_primitive::<Int64Type>().values().to_vec()
}

fn number(value: i64) -> OperatorSnapshot {
    let table = OperatorTable { name: "number".into(), redistribution: Redistribution::Union, rows: batch([value]) };
    OperatorSnapshot { keyed: Vec::new(), operator: vec![table], ..OperatorSnapshot::default() }
}

fn number_in(state: &OperatorSnapshot) -> i64 {
    numbers_in(&state.operator[0].rows)[0]
}

fn restored_number(state: &RestoredState) -> i64 {
    numbers_in(&state.operator["number"][0])[0]
}

/// Brings the numbers 1, 2, … up to `last`, one at a time; its state is the last one brought.
struct Counting {
    at: i64,
    last: i64,
    opened: bool,
}

impl SourceReader for Counting {
    fn open(&mut self, _: &OperatorRuntime) -> OperatorResult {
        self.opened = true;
        Ok(())
    }

    fn snapshot(&mut self, _: CheckpointId) -> OperatorResult<OperatorSnapshot> {
        Ok(number(self.at))
    }

    fn restore(&mut self, state: RestoredState) -> OperatorResult {
        assert!(!self.opened, "positions come before the opening");
        self.at = restored_number(&state);
        Ok(())
    }

    fn poll(&mut self, _: EpochMillis) -> OperatorResult<SourcePoll> {
        assert!(self.opened, "an ended source is not polled");
        if self.at == self.last {
            return Ok(SourcePoll::End);
        }
        self.at += 1;
        Ok(SourcePoll::Batch(StreamBatch::new(batch([self.at]))))
    }
}

/// Reads 1 to 100 at once.
struct AtOnce {
    read: bool,
}

impl SourceReader for AtOnce {
    fn snapshot(&mut self, _: CheckpointId) -> OperatorResult<OperatorSnapshot> {
        Ok(number(i64::from(self.read)))
    }

    fn poll(&mut self, _: EpochMillis) -> OperatorResult<SourcePoll> {
        if std::mem::replace(&mut self.read, true) {
            return Ok(SourcePoll::End);
        }
        Ok(SourcePoll::Batch(StreamBatch::new(batch(1..=100)).of_split(3)))
    }
}

/// What a test may do to an adder from outside.
#[derive(Default)]
struct Knobs {
    /// The state is finished elsewhere, and not yet.
    late: AtomicBool,
    /// It finishes only after a checkpoint was completed.
    waits: AtomicBool,
    /// Something is under way elsewhere.
    unsettled: AtomicBool,
    /// It wants no more input.
    ahead: AtomicBool,
    /// The last checkpoint that it was told to be a savepoint.
    saved: AtomicU64,
}

/// Adds up; its state is the sum. Passes everything on, what came since the last barrier at the barrier only.
struct Adder {
    sum: i64,
    held: Vec<StreamBatch>,
    opened: bool,
    at_snapshot: i64,
    knobs: Arc<Knobs>,
}

impl Operator for Adder {
    fn open(&mut self, _: &mut OperatorContext<'_>) -> OperatorResult {
        self.opened = true;
        Ok(())
    }

    fn process(&mut self, _: InputIndex, batch: StreamBatch, _: &mut OperatorContext<'_>) -> OperatorResult {
        self.sum += numbers_in(batch.records()).iter().sum::<i64>();
        self.held.push(batch);
        Ok(())
    }

    fn prepare_checkpoint(&mut self, cx: &mut OperatorContext<'_>) -> OperatorResult {
        self.held.drain(..).for_each(|batch| cx.emit(batch));
        Ok(())
    }

    fn saving(&mut self, checkpoint: CheckpointId) {
        self.knobs.saved.store(checkpoint.0, Ordering::Relaxed);
    }

    fn snapshot(&mut self, _: CheckpointId) -> OperatorResult<OperatorSnapshot> {
        self.at_snapshot = self.sum;
        Ok(OperatorSnapshot::default())
    }

    fn poll_snapshot(&mut self, _: CheckpointId) -> OperatorResult<Poll<OperatorSnapshot>> {
        match self.knobs.late.load(Ordering::Relaxed) {
            true => Ok(Poll::Pending),
            false => Ok(Poll::Ready(number(self.at_snapshot))),
        }
    }

    fn restore(&mut self, state: RestoredState, _: &mut OperatorContext<'_>) -> OperatorResult {
        assert!(self.opened, "state comes after the opening");
        self.sum = restored_number(&state);
        Ok(())
    }

    fn finish(&mut self, cx: &mut OperatorContext<'_>) -> OperatorResult<Finish> {
        self.prepare_checkpoint(cx)?;
        Ok(if self.knobs.waits.load(Ordering::Relaxed) { Finish::Pending } else { Finish::Done })
    }

    fn lets_read(&self) -> bool {
        !self.knobs.ahead.load(Ordering::Relaxed)
    }

    fn is_settled(&self) -> bool {
        !self.knobs.unsettled.load(Ordering::Relaxed)
    }

    fn checkpoint_completed(&mut self, _: CheckpointId, _: &mut OperatorContext<'_>) -> OperatorResult {
        self.knobs.waits.store(false, Ordering::Relaxed);
        Ok(())
    }
}

struct Driven {
    task: StreamTask,
    told: Arc<Told>,
    knobs: Arc<Knobs>,
}

fn operator_id(index: usize) -> OperatorId {
    OperatorId::from_bytes([index as u8 + 1; 16])
}

/// A task of a source that counts to `count` and `adders` behind it, or of adders behind a queue.
fn driven(input: Result<i64, InputQueue>, adders: usize, output: Option<ChannelWriter>) -> Driven {
    let (input, sources) = match input {
        Ok(count) => (TaskInput::Source(Box::new(Counting { at: 0, last: count, opened: false })), 1),
        Err(queue) => (TaskInput::Gate { channels: vec![GateChannel::plain(0); queue.channels()], queue }, 0),
    };
    assembled(input, sources, adders, output)
}

fn assembled(input: TaskInput, sources: usize, adders: usize, output: Option<ChannelWriter>) -> Driven {
    let knobs = Arc::new(Knobs::default());
    let operators = sources + adders;
    let vertex = JobVertex {
        id: JobVertexId::of_head(operator_id(0)),
        name: "task".into(),
        parallelism: 1,
        max_parallelism: 128,
        slot_sharing_group: "default".into(),
        operators: (0..operators)
            .map(|index| OperatorNode {
                id: operator_id(index),
                uid: None,
                name: format!("operator {index}"),
                role: OperatorRole::Transform,
                input: index.checked_sub(1).map(|operator| ChainedInput { operator, port: 0 }),
                stock: None,
            })
            .collect(),
    };
    let chained = (0..operators)
        .map(|index| {
            let adder = Adder { sum: 0, held: Vec::new(), opened: false, at_snapshot: 0, knobs: Arc::clone(&knobs) };
            ChainedOperator {
                operator: (index >= sources).then_some(Box::new(adder) as _),
                runtime: OperatorRuntime {
                    operator_id: operator_id(index),
                    operator_name: format!("operator {index}").into(),
                    ..OperatorHarness::runtime()
                },
            }
        })
        .collect();
    let metrics = TaskMetricGroup::default();
    let edges = output.map(|writer| EdgeOutput {
        operator: operators - 1,
        port: 0,
        function: None,
        partitioner: Partitioner::Forward,
        writers: vec![Box::new(writer)],
        max_parallelism: 128,
        seed: 0,
    });
    let outputs = Outputs::new(edges.into_iter().collect(), None, metrics.clone());
    let told = Arc::new(Told::default());
    let task = StreamTask::new(input, Chain::new(&vertex, chained), outputs, metrics, TaskWaker::noop())
        .with_checkpoints(Arc::clone(&told) as _);
    Driven { task, told, knobs }
}

const NOW: Now = Now { wall: 0, moment: Moment(0) };

fn barrier(checkpoint: u64) -> CheckpointBarrier {
    CheckpointBarrier {
        checkpoint: CheckpointId(checkpoint),
        triggered_at: 0,
        mode: BarrierMode::Aligned,
        savepoint: None,
        base: None,
    }
}

impl Driven {
    fn open(mut self) -> Self {
        self.task.open(NOW).expect("opened");
        self
    }

    fn steps(&mut self, count: usize) -> Step {
        (0..count).map(|_| self.task.step(NOW).expect("stepped")).last().expect("at least one")
    }

    fn until_idle(&mut self) -> Step {
        loop {
            match self.task.step(NOW).expect("stepped") {
                Step::Ran => {}
                step => return step,
            }
        }
    }

    fn trigger(&mut self, checkpoint: u64) {
        self.task.command(CheckpointCommand::Trigger(barrier(checkpoint)), NOW).expect("taken");
    }

    fn completed(&mut self, checkpoint: u64) {
        self.task.command(CheckpointCommand::Completed(CheckpointId(checkpoint)), NOW).expect("taken");
    }

    fn aborted(&mut self, checkpoint: u64) {
        self.task.command(CheckpointCommand::Aborted(CheckpointId(checkpoint)), NOW).expect("taken");
    }
}

fn queue(channels: usize) -> InputQueue {
    InputQueue::new(channels, 1 << 20, TaskWaker::noop())
}

/// What waits in a queue, in words.
fn drain(queue: &InputQueue) -> Vec<String> {
    let word = |element| match element {
        StreamElement::Batch(batch) => format!("{:?}", numbers_in(batch.records())),
        StreamElement::Barrier(barrier) => format!("barrier {}", barrier.checkpoint.0),
        StreamElement::EndOfInput => "end".to_owned(),
        StreamElement::Watermark(_) => "watermark".to_owned(),
        other => format!("{other:?}"),
    };
    std::iter::from_fn(|| queue.poll()).map(|(_, element)| word(element)).collect()
}

#[test]
fn a_snapshot_holds_what_precedes_the_barrier_with_skewed_channels() {
    let gate = queue(2);
    let (mut fast, mut slow) =
        (driven(Ok(100), 0, Some(gate.writer(0))).open(), driven(Ok(100), 0, Some(gate.writer(1))).open());
    let mut sum = driven(Err(gate), 1, None).open();
    fast.steps(3);
    fast.trigger(1);
    fast.steps(4);
    slow.steps(2);
    slow.until_flushed();
    fast.until_flushed();
    sum.until_idle();
    assert!(sum.told.take().is_empty(), "one barrier is missing");
    assert_eq!(fast.told.take(), ["1: [3]"]);
    slow.trigger(1);
    assert_eq!(slow.told.take(), ["1: [2]"]);
    slow.steps(1);
    slow.until_flushed();
    sum.until_idle();
    assert_eq!(sum.told.take(), [format!("1: [{}]", (1 + 2 + 3) + (1 + 2))]);
    fast.until_idle();
    slow.until_idle();
    sum.until_idle();
    assert_eq!(sum.told.take(), ["final: [10100]"]);
}

impl Driven {
    /// As if the task had run out of input: what is pending leaves.
    fn until_flushed(&mut self) {
        self.task.outputs.flush();
    }
}

#[test]
fn channels_that_ended_count_as_aligned() {
    let gate = queue(2);
    let (mut short, mut long) =
        (driven(Ok(2), 0, Some(gate.writer(0))).open(), driven(Ok(9), 0, Some(gate.writer(1))).open());
    let mut sum = driven(Err(gate), 1, None).open();
    assert_eq!(short.until_idle(), Step::Finished);
    assert_eq!(short.told.take(), ["final: [2]"]);
    long.steps(4);
    long.trigger(7);
    long.until_idle();
    sum.until_idle();
    assert_eq!(sum.told.take(), ["7: [13]", "final: [48]"]);
}

#[test]
fn what_is_released_by_the_preparation_leaves_before_the_barrier_and_what_follows_after_it() {
    let after = queue(1);
    let mut task = driven(Ok(9), 2, Some(after.writer(0))).open();
    task.steps(2);
    assert!(drain(&after).is_empty(), "the operators hold all back");
    task.trigger(1);
    task.steps(1);
    task.trigger(2);
    assert_eq!(drain(&after), ["[1, 2]", "barrier 1", "[3]", "barrier 2"]);
    assert_eq!(task.told.take(), ["1: [2, 3, 3]", "2: [3, 6, 6]"]);
}

#[test]
fn a_task_goes_on_from_where_a_snapshot_was_taken() {
    let after = queue(1);
    let mut task = driven(Ok(5), 1, Some(after.writer(0))).open();
    task.steps(3);
    task.trigger(1);
    task.steps(1);
    assert_eq!(drain(&after), ["[1, 2, 3]", "barrier 1"]);

    let after = queue(1);
    let mut second = driven(Ok(5), 1, Some(after.writer(0)));
    second.task.restore(task.told.last()).expect("its own state");
    let mut second = second.open();
    assert_eq!(second.until_idle(), Step::Finished);
    assert_eq!(drain(&after), ["watermark", "[4, 5]", "end"]);
    assert_eq!(second.told.take(), ["final: [5, 15]"]);

    let mut stranger = driven(Ok(5), 1, None);
    let error = stranger.task.restore(vec![(operator_id(7), RestoredState::default())]).expect_err("not its own");
    assert!(error.source.to_string().contains("which it does not have"), "{}", error.source);
}

#[test]
fn state_that_is_finished_elsewhere_delays_the_snapshot_and_not_the_task() {
    let mut task = driven(Ok(9), 1, None).open();
    task.knobs.late.store(true, Ordering::Relaxed);
    task.steps(1);
    task.trigger(1);
    task.steps(2);
    task.trigger(2);
    task.aborted(1);
    task.steps(2);
    assert!(task.told.take().is_empty());
    task.knobs.late.store(false, Ordering::Relaxed);
    task.steps(1);
    assert_eq!(task.told.take(), ["2: [3, 6]"], "an aborted one is not finished");
}

#[test]
fn a_task_whose_sink_waits_for_a_checkpoint_takes_one_and_finishes_after_it() {
    let after = queue(1);
    let mut task = driven(Ok(2), 1, Some(after.writer(0))).open();
    task.knobs.waits.store(true, Ordering::Relaxed);
    assert_eq!(task.until_idle(), Step::Idle { waits_for: WaitsFor::Sink, until: Wakeup::OnEvent });
    task.until_idle();
    assert_eq!(task.told.take(), ["waits"]);
    task.trigger(3);
    assert_eq!(task.told.take(), ["3: [2, 3]"]);
    task.until_idle();
    task.completed(3);
    assert_eq!(task.until_idle(), Step::Finished);
    assert_eq!(drain(&after), ["watermark", "[1, 2]", "barrier 3", "end"]);
    task.trigger(4);
    assert_eq!(task.told.take(), ["final: [2, 3]", "4 declined: the task is not running"]);
}

#[test]
fn a_task_behind_finished_ones_takes_a_trigger_at_the_end_of_its_input() {
    let gate = queue(1);
    let mut source = driven(Ok(4), 0, Some(gate.writer(0))).open();
    let mut sum = driven(Err(gate), 1, None).open();
    sum.knobs.waits.store(true, Ordering::Relaxed);
    assert_eq!(source.until_idle(), Step::Finished);
    sum.trigger(1);
    assert!(sum.told.take().is_empty(), "what the finished task wrote is before the checkpoint");
    sum.until_idle();
    assert_eq!(sum.told.take(), ["1: [10]", "waits"]);
    sum.trigger(2);
    sum.completed(2);
    sum.until_idle();
    assert_eq!(sum.told.take(), ["2: [10]", "final: [10]"]);
}

#[test]
fn a_checkpoint_that_a_newer_one_overtakes_or_that_is_aborted_is_declined() {
    let gate = queue(2);
    let (a, b) = (gate.writer(0), gate.writer(1));
    let mut sum = driven(Err(gate), 1, None).open();
    a.push(StreamElement::Barrier(barrier(1)));
    a.push(StreamElement::Batch(StreamBatch::new(batch([1]))));
    b.push(StreamElement::Barrier(barrier(2)));
    b.push(StreamElement::Batch(StreamBatch::new(batch([10]))));
    sum.until_idle();
    assert_eq!(sum.told.take(), ["1 declined: checkpoint 2 has overtaken it"]);
    sum.aborted(2);
    a.push(StreamElement::Barrier(barrier(2)));
    a.push(StreamElement::Barrier(barrier(3)));
    b.push(StreamElement::Barrier(barrier(3)));
    sum.until_idle();
    assert_eq!(sum.told.take(), ["3: [11]"]);
    sum.trigger(3);
    assert_eq!(sum.told.take(), ["3 declined: checkpoint 3 has overtaken it"]);
}

#[test]
fn a_source_that_had_ended_is_not_opened_again() {
    let after = queue(1);
    let mut task = driven(Ok(5), 1, Some(after.writer(0)));
    task.task.restore_ended_source();
    let mut task = task.open();
    task.trigger(1);
    let declined = "1 declined: the task has ended its outputs and is about to finish";
    assert_eq!(task.told.take(), [declined], "a snapshot would say that it has not finished");
    assert_eq!(task.until_idle(), Step::Finished);
    assert_eq!(drain(&after), ["watermark", "end"]);
}

#[test]
fn a_task_without_checkpoints_refuses_a_barrier() {
    let gate = queue(1);
    gate.writer(0).push(StreamElement::Barrier(barrier(1)));
    let mut sum = driven(Err(gate), 1, None).open();
    sum.task.listener = None;
    let error = sum.task.step(NOW).expect_err("nobody listens");
    assert_eq!(
        error.source.to_string(),
        "a barrier of checkpoint 1 arrived, but this task was deployed without checkpoints"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_driven_task_answers_every_trigger_that_it_accepted() {
    use super::driver::{NotTold, TaskControl, TaskEnd, drive};
    let env = crate::env::Env::production();
    let gate = queue(1);
    gate.writer(0).push(StreamElement::EndOfInput);
    let control = TaskControl::default();
    let Driven { task, told, knobs } = driven(Err(gate), 1, None);
    knobs.waits.store(true, Ordering::Relaxed);
    let trigger = |id| CheckpointCommand::Trigger(barrier(id));
    control.send(trigger(1)).expect("it will run");
    let (ends, end) = std::sync::mpsc::sync_channel(1);
    let (world, driven_by) = (env.clone(), control.clone());
    env.spawn_thread("task", move || {
        ends.send(drive(&world, &driven_by, task, || {})).expect("the test waits");
    })
    .expect("a thread");
    let deadline = env.moment().after(Duration::from_secs(30));
    while !told.0.lock().iter().any(|said| said.starts_with("1:")) {
        assert!(env.moment() < deadline, "the trigger is not taken");
        std::thread::yield_now();
    }
    control.send(CheckpointCommand::Completed(CheckpointId(1))).expect("it runs");
    assert!(matches!(end.recv_timeout(Duration::from_secs(30)), Ok(TaskEnd::Finished)));
    assert_eq!(control.send(trigger(2)), Err(NotTold::Ended));

    let control = TaskControl::default();
    let Driven { task, told, .. } = driven(Err(queue(1)), 1, None);
    control.cancel();
    control.send(trigger(3)).expect("not ended yet");
    assert!(matches!(drive(&env, &control, task, || {}), TaskEnd::Canceled));
    assert_eq!(told.take(), ["3 declined: the task is not running"]);
}

#[test]
fn a_task_that_may_not_read_on_finishes_its_batch_and_passes_barriers() {
    let gate = queue(1);
    let source = TaskInput::Source(Box::new(AtOnce { read: false }));
    let mut task = assembled(source, 1, 1, Some(gate.writer(0))).open();
    task.steps(1);
    task.knobs.ahead.store(true, Ordering::Relaxed);
    task.trigger(1);
    assert!(task.told.take().is_empty(), "in the middle of a batch");
    assert!(matches!(task.until_idle(), Step::Idle { waits_for: WaitsFor::Input, .. }));
    assert_eq!(task.told.take(), ["1: [1, 5050]"]);
    task.trigger(2);
    assert_eq!(task.told.take(), ["2: [1, 5050]"]);
    task.knobs.ahead.store(false, Ordering::Relaxed);
    assert_eq!(task.until_idle(), Step::Finished);
}

#[test]
fn the_number_of_a_split_does_not_leave_its_task() {
    let gate = queue(1);
    let source = TaskInput::Source(Box::new(AtOnce { read: false }));
    let mut task = assembled(source, 1, 1, Some(gate.writer(0))).open();
    assert_eq!(task.until_idle(), Step::Finished);
    let split = |element| if let StreamElement::Batch(batch) = element { Some(batch.split()) } else { None };
    let splits: Vec<_> = std::iter::from_fn(|| gate.poll()).filter_map(|(_, element)| split(element)).collect();
    assert!(!splits.is_empty() && splits.iter().all(Option::is_none), "{splits:?}");
}
