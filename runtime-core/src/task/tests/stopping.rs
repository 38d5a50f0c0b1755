//! Tasks that stop after a savepoint.

use super::*;
use crate::element::{AfterSavepoint, Savepoint, SavepointFormat};

impl Driven {
    fn save(&mut self, checkpoint: u64, then: AfterSavepoint) {
        let savepoint = Savepoint { directory: "/savepoint".to_owned(), format: SavepointFormat::Canonical, then };
        let barrier = CheckpointBarrier { savepoint: Some(Arc::new(savepoint)), ..barrier(checkpoint) };
        self.task.command(CheckpointCommand::Trigger(barrier), NOW).expect("taken");
    }
}

#[test]
fn a_source_that_stops_says_nothing_until_it_knows_what_became_of_its_savepoint() {
    let gate = queue(1);
    let mut source = driven(Ok(100), 0, Some(gate.writer(0))).open();
    source.steps(3);
    source.save(1, AfterSavepoint::Stop);
    source.until_idle();
    assert_eq!(source.told.take(), ["1: [3]"]);
    assert_eq!(drain(&gate), ["[1, 2, 3]", "barrier 1"]);
    source.aborted(1);
    source.steps(2);
    source.until_flushed();
    assert_eq!(drain(&gate), ["[4, 5]"], "it goes on");
    source.save(2, AfterSavepoint::Stop);
    source.until_idle();
    assert_eq!(drain(&gate), ["barrier 2"]);
    source.completed(2);
    source.until_idle();
    assert_eq!(drain(&gate), ["end"], "event time does not end");
    assert_eq!(source.told.take(), ["2: [5]"], "and there is no last state");
}

#[test]
fn a_source_that_is_drained_ends_event_time_before_its_savepoint() {
    let gate = queue(1);
    let mut source = driven(Ok(100), 0, Some(gate.writer(0))).open();
    source.steps(2);
    source.save(1, AfterSavepoint::Drain);
    source.until_idle();
    assert_eq!(drain(&gate), ["[1, 2]", "watermark", "barrier 1"]);
    source.completed(1);
    source.until_idle();
    assert_eq!(drain(&gate), ["end"]);
}

#[test]
fn who_reads_from_tasks_that_stop_stands_still_too_and_leaves_after_them() {
    let gate = queue(1);
    let mut source = driven(Ok(100), 0, Some(gate.writer(0))).open();
    let mut sum = driven(Err(gate), 1, None).open();
    source.steps(3);
    source.save(1, AfterSavepoint::Stop);
    source.until_idle();
    sum.until_idle();
    assert_eq!(sum.told.take(), ["1: [6]"]);
    sum.completed(1);
    assert!(matches!(sum.until_idle(), Step::Idle { .. }), "its input has not ended");
    source.completed(1);
    source.until_idle();
    assert_eq!(sum.until_idle(), Step::Finished);
    assert!(sum.told.take().is_empty(), "somebody goes on from the savepoint");
}

/// Reads what its enumerator sends: each row is a split, and a record. Its state is how many it has.
#[derive(Default)]
struct Forwarding {
    splits: std::collections::VecDeque<StreamBatch>,
    read: i64,
    no_more: bool,
}

impl SourceReader for Forwarding {
    fn add_splits(&mut self, splits: &StreamBatch) -> OperatorResult {
        self.splits.push_back(splits.clone());
        Ok(())
    }

    fn no_more_splits(&mut self) {
        self.no_more = true;
    }

    fn snapshot(&mut self, _: CheckpointId) -> OperatorResult<OperatorSnapshot> {
        Ok(number(self.read))
    }

    fn poll(&mut self, _: EpochMillis) -> OperatorResult<SourcePoll> {
        Ok(match self.splits.pop_front() {
            Some(split) => {
                self.read += 1;
                SourcePoll::Batch(split)
            }
            None if self.no_more => SourcePoll::End,
            None => SourcePoll::Pending(None),
        })
    }
}

/// An enumerator that counts, and a reader behind it.
fn with_enumerator(output: &InputQueue) -> (Driven, Driven) {
    let queue = queue(1);
    let enumerator = driven(Ok(100), 0, Some(queue.writer(0))).open();
    let input = TaskInput::Splits { reader: Box::new(Forwarding::default()), queue };
    (enumerator, assembled(input, 1, 0, Some(output.writer(0))).open())
}

#[test]
fn a_reader_of_splits_stops_with_its_enumerator() {
    let gate = queue(1);
    let (mut enumerator, mut reader) = with_enumerator(&gate);
    enumerator.steps(3);
    enumerator.save(1, AfterSavepoint::Stop);
    enumerator.until_idle();
    reader.until_idle();
    assert_eq!((enumerator.told.take(), reader.told.take()), (vec!["1: [3]".to_owned()], vec!["1: [0]".to_owned()]));
    assert_eq!(drain(&gate), ["barrier 1"], "the splits are in the savepoint");
    reader.completed(1);
    assert!(matches!(reader.until_idle(), Step::Idle { .. }), "its enumerator has not left");
    enumerator.completed(1);
    enumerator.until_idle();
    reader.until_idle();
    assert_eq!(drain(&gate), ["end"], "event time does not end");
}

#[test]
fn a_reader_of_splits_is_drained_with_its_enumerator() {
    let gate = queue(1);
    let (mut enumerator, mut reader) = with_enumerator(&gate);
    enumerator.steps(2);
    enumerator.until_flushed();
    reader.until_idle();
    drain(&gate);
    enumerator.save(1, AfterSavepoint::Drain);
    enumerator.until_idle();
    reader.until_idle();
    assert_eq!(drain(&gate), ["watermark", "barrier 1"]);
    reader.completed(1);
    assert!(matches!(reader.until_idle(), Step::Idle { .. }), "its enumerator has not left");
    enumerator.completed(1);
    // A checkpoint of what is left reaches the reader through its enumerator.
    enumerator.trigger(2);
    enumerator.until_idle();
    reader.until_idle();
    assert_eq!(drain(&gate), ["barrier 2", "end"]);
}

#[test]
fn a_task_goes_on_after_a_savepoint_that_does_not_stop_the_job() {
    let gate = queue(1);
    let mut source = driven(Ok(4), 0, Some(gate.writer(0))).open();
    source.steps(2);
    source.save(1, AfterSavepoint::GoOn);
    source.until_idle();
    assert_eq!(drain(&gate), ["[1, 2]", "barrier 1", "[3, 4]", "watermark", "end"]);
}

#[test]
fn a_task_whose_input_has_ended_stands_still_behind_its_savepoint_too() {
    let ending = |gate: &InputQueue| {
        let mut source = driven(Ok(2), 1, Some(gate.writer(0))).open();
        source.knobs.waits.store(true, Ordering::Relaxed);
        source.until_idle();
        source.save(1, AfterSavepoint::Stop);
        source.until_idle();
        assert_eq!(source.told.take(), ["waits", "1: [2, 3]"]);
        assert_eq!(drain(gate), ["watermark", "[1, 2]", "barrier 1"]);
        source
    };
    let gate = queue(1);
    let mut source = ending(&gate);
    source.completed(1);
    assert_eq!(source.until_idle(), Step::Finished);
    assert!(source.told.take().is_empty(), "somebody goes on from the savepoint");
    assert_eq!(drain(&gate), ["end"]);

    let mut source = ending(&gate);
    source.aborted(1);
    source.knobs.waits.store(false, Ordering::Relaxed);
    assert_eq!(source.until_idle(), Step::Finished);
    assert_eq!(source.told.take(), ["final: [2, 3]"], "it goes on finishing");
}

#[test]
fn the_savepoint_of_a_drain_waits_for_what_is_under_way_elsewhere() {
    let gate = queue(1);
    let mut source = driven(Ok(100), 1, Some(gate.writer(0))).open();
    source.steps(2);
    source.knobs.unsettled.store(true, Ordering::Relaxed);
    source.save(1, AfterSavepoint::Drain);
    assert!(matches!(source.until_idle(), Step::Idle { waits_for: WaitsFor::Sink, .. }));
    assert_eq!((source.told.take(), drain(&gate)), (vec![], vec!["watermark".to_owned()]));
    source.knobs.unsettled.store(false, Ordering::Relaxed);
    source.until_idle();
    assert_eq!(source.told.take(), ["1: [2, 3]"], "nothing more was read");
    assert_eq!(drain(&gate), ["[1, 2]", "barrier 1"]);
    source.completed(1);
    assert_eq!(source.until_idle(), Step::Finished);
    assert_eq!(drain(&gate), ["end"]);
    // A savepoint after which somebody goes on has it as state.
    let mut source = driven(Ok(100), 1, Some(gate.writer(0))).open();
    source.knobs.unsettled.store(true, Ordering::Relaxed);
    source.steps(2);
    source.save(1, AfterSavepoint::Stop);
    source.until_idle();
    assert_eq!(source.told.take(), ["1: [2, 3]"]);
}

#[test]
fn operators_are_told_of_savepoints_whatever_follows_and_of_nothing_else() {
    for then in [AfterSavepoint::GoOn, AfterSavepoint::Cancel, AfterSavepoint::Stop, AfterSavepoint::Drain] {
        let gate = queue(1);
        let mut source = driven(Ok(100), 1, Some(gate.writer(0))).open();
        source.trigger(1);
        source.until_flushed();
        assert_eq!(source.knobs.saved.load(Ordering::Relaxed), 0, "{then:?}");
        source.save(2, then);
        source.until_flushed();
        assert_eq!(source.knobs.saved.load(Ordering::Relaxed), 2, "{then:?}");
    }
}
