//! Answers that come when the test says so.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::time::Duration;

use hashbrown::HashMap;
use parking_lot::Mutex;
use pelton_runtime_core::checkpoint::snapshot::OperatorSnapshot;
use pelton_runtime_core::element::{CheckpointId, StreamElement};
use pelton_runtime_core::env::Env;
use pelton_runtime_core::operator::harness::OperatorHarness;
use pelton_runtime_core::operator::{Finish, OperatorResult, TaskWaker};
use tokio::sync::oneshot;

use super::*;
use crate::environment::StreamExecutionEnvironment;
use crate::keyed::tests::{Trip, factory_of, stamped, trip};
use crate::record::RecordReader;

type Answer = FunctionResult<i64>;

/// The requests that wait, by the fare they ask about.
#[derive(Clone, Default)]
struct World(Arc<Mutex<HashMap<i64, oneshot::Sender<Answer>>>>);

impl World {
    fn asked(&self) -> Vec<i64> {
        let mut asked: Vec<i64> = self.0.lock().keys().copied().collect();
        asked.sort_unstable();
        asked
    }

    fn ask(&self, fare: i64) -> oneshot::Receiver<Answer> {
        let (sender, answer) = oneshot::channel();
        self.0.lock().insert(fare, sender);
        answer
    }
}

/// An operator whose requests wait in a world.
struct Asking {
    harness: OperatorHarness,
    world: World,
    woken: Receiver<()>,
    runtime: tokio::runtime::Runtime,
}

const LONG: Duration = Duration::from_secs(100);

impl Asking {
    fn open(options: AsyncOptions<i64>) -> Self {
        let world = World::default();
        let asked = world.clone();
        let factory = factory_of(
            |trips| {
                drop(trips.async_map(options, move |trip: Trip| {
                    let answer = asked.ask(trip.fare);
                    async move { answer.await? }
                }));
            },
            "async wait operator",
        );
        // A runtime of one thread that runs only when it is told to: nothing is asked behind the test's back.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (waker, woken) = sync_channel(100);
        let mut place = OperatorHarness::runtime();
        place.env = Env::on(runtime.handle().clone());
        place.waker = TaskWaker::new(move || {
            let _ = waker.try_send(());
        });
        let harness = OperatorHarness::open_in(factory.as_ref(), place).unwrap();
        Self { harness, world, woken, runtime }
    }

    /// Lets requests be made and answers arrive, as far as they can.
    fn run(&self) {
        self.runtime.block_on(async {
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
        });
    }

    fn give(&mut self, fares: &[i64]) {
        let rows: Vec<_> = fares.iter().map(|fare| (trip("ann", 0, *fare), *fare)).collect();
        self.harness.process(stamped(&rows)).unwrap();
        self.run();
    }

    fn answer(&mut self, fare: i64, answer: Answer) -> OperatorResult {
        self.world.0.lock().remove(&fare).expect("it was asked").send(answer).unwrap();
        self.run();
        self.woken.recv_timeout(Duration::from_secs(10)).expect("the task is woken");
        assert!(self.harness.has_results());
        self.harness.take_results()?;
        self.run();
        Ok(())
    }

    /// Answers by ten times the fare.
    fn answer_all(&mut self, fares: &[i64]) {
        fares.iter().for_each(|fare| self.answer(*fare, Ok(fare * 10)).unwrap());
    }

    /// What left: rows with their times, and watermarks.
    fn left(&mut self) -> Vec<String> {
        let mut left = Vec::new();
        for (_, element) in self.harness.take_output() {
            match element {
                StreamElement::Batch(batch) => {
                    let reader = RecordReader::<i64>::open(batch.records()).unwrap();
                    let times = batch.timestamps().unwrap();
                    left.extend(reader.iter().zip(times.iter()).map(|(row, time)| format!("{row}@{time}")));
                }
                StreamElement::Watermark(watermark) => left.push(format!("watermark {watermark}")),
                other => left.push(format!("{other:?}")),
            }
        }
        left
    }
}

#[test]
fn ordered_answers_wait_for_those_before_them() {
    let mut asking = Asking::open(AsyncOptions::ordered(LONG));
    asking.give(&[1, 2, 3]);
    asking.answer_all(&[2, 3]);
    assert_eq!(asking.left(), Vec::<String>::new());
    asking.answer_all(&[1]);
    assert_eq!(asking.left(), ["10@1", "20@2", "30@3"]);
}

#[test]
fn unordered_answers_leave_as_they_come_but_pass_no_watermark() {
    let mut asking = Asking::open(AsyncOptions::unordered(LONG));
    asking.give(&[1, 2]);
    asking.harness.watermark(2).unwrap();
    asking.give(&[3, 4]);
    asking.harness.watermark(4).unwrap();
    asking.answer_all(&[4, 2]);
    assert_eq!(asking.left(), ["20@2"]);
    asking.answer_all(&[1]);
    assert_eq!(asking.left(), ["10@1", "watermark 2", "40@4"]);
    asking.answer_all(&[3]);
    assert_eq!(asking.left(), ["30@3", "watermark 4"]);
}

#[test]
fn no_more_requests_are_made_at_once_than_there_is_capacity_for() {
    for options in [AsyncOptions::ordered(LONG), AsyncOptions::unordered(LONG)] {
        let mut asking = Asking::open(options.capacity(2));
        assert!(asking.harness.is_ready());
        asking.give(&[1, 2, 3, 4]);
        assert_eq!(asking.world.asked(), [1, 2]);
        assert!(!asking.harness.is_ready(), "records wait, so there is no room for others");
        asking.answer_all(&[1]);
        assert_eq!(asking.world.asked(), [2, 3]);
        asking.answer_all(&[2]);
        assert!(asking.harness.is_ready());
        asking.answer_all(&[3, 4]);
        assert_eq!(asking.left().len(), 4);
    }
}

#[test]
fn an_operator_ends_when_the_last_answer_has_left() {
    let mut asking = Asking::open(AsyncOptions::ordered(LONG));
    asking.give(&[1]);
    assert_eq!(asking.harness.finish().unwrap(), Finish::Pending);
    asking.answer_all(&[1]);
    assert_eq!(asking.harness.finish().unwrap(), Finish::Done);
    assert_eq!(asking.left(), ["10@1"]);
}

#[test]
fn records_without_an_answer_are_asked_about_again_after_a_restart() {
    let mut asking = Asking::open(AsyncOptions::unordered(LONG).capacity(2));
    asking.give(&[1, 2, 3]);
    asking.answer_all(&[2]);
    let snapshots: [OperatorSnapshot; 1] = [asking.harness.checkpoint(CheckpointId(1)).unwrap()];
    let mut asking = Asking::open(AsyncOptions::ordered(LONG));
    asking.harness.restore(&snapshots).unwrap();
    asking.run();
    assert_eq!(asking.world.asked(), [1, 3]);
    asking.answer_all(&[3, 1]);
    assert_eq!(asking.left(), ["10@1", "30@3"]);
}

#[test]
fn an_error_fails_the_job_unless_it_is_retried() {
    let mut asking = Asking::open(AsyncOptions::ordered(LONG));
    asking.give(&[1]);
    assert_eq!(asking.answer(1, Err("gone".into())).unwrap_err().to_string(), "gone");

    let retry = AsyncRetry::fixed_delay(3, Duration::ZERO);
    let mut asking = Asking::open(AsyncOptions::ordered(LONG).retry(retry));
    asking.give(&[1]);
    for _ in 0..2 {
        asking.world.0.lock().remove(&1).expect("it was asked").send(Err("busy".into())).unwrap();
        while asking.world.asked().is_empty() {
            asking.run();
        }
    }
    asking.answer_all(&[1]);
    assert_eq!(asking.left(), ["10@1"]);
}

#[test]
fn a_panic_of_the_function_is_an_error() {
    let env = StreamExecutionEnvironment::with_configuration(Default::default());
    let options = AsyncOptions::unordered(LONG);
    let numbers = env.from_sequence(1, 3).async_map(options, |n: i64| async move {
        assert!(n < 3, "no more than two");
        Ok(n)
    });
    let error = numbers.execute_and_collect("panics").unwrap().collect::<Result<Vec<_>, _>>().unwrap_err();
    assert!(error.to_string().contains("an asynchronous function panicked: no more than two"), "{error}");
}

/// Never answers; -1 stands for that.
#[derive(Clone)]
struct Silent;

impl AsyncFunction for Silent {
    type In = i64;
    type Out = i64;

    async fn invoke(&self, _input: i64) -> FunctionResult<Vec<i64>> {
        std::future::pending().await
    }

    fn timeout(&self, input: i64) -> FunctionResult<Vec<i64>> {
        if input == 7 { Err("7 must be answered".into()) } else { Ok(vec![-1]) }
    }
}

#[test]
fn what_does_not_come_in_time_is_replaced_or_fails_the_job() {
    let run = |to| {
        let env = StreamExecutionEnvironment::with_configuration(Default::default());
        let silent = env.from_sequence(1, to).async_wait(Silent, AsyncOptions::unordered(Duration::from_millis(20)));
        silent.execute_and_collect("silent").unwrap().collect::<Result<Vec<_>, _>>()
    };
    assert_eq!(run(3).unwrap(), [-1, -1, -1]);
    assert!(run(7).unwrap_err().to_string().contains("7 must be answered"));
}

#[test]
fn every_record_of_a_job_is_answered_in_order() {
    let env = StreamExecutionEnvironment::with_configuration(Default::default());
    env.set_parallelism(1);
    let options = AsyncOptions::ordered(LONG).capacity(16);
    let doubled = env.from_sequence(1, 20_000).async_map(options, |n: i64| async move {
        if n % 3 == 0 {
            tokio::task::yield_now().await;
        }
        Ok(n * 2)
    });
    let found = doubled.execute_and_collect("async").unwrap().collect::<Result<Vec<_>, _>>().unwrap();
    assert_eq!(found, (1..=20_000).map(|n| n * 2).collect::<Vec<_>>());
}

#[test]
fn two_operators_that_wait_for_room_do_not_wait_for_each_other() {
    let env = StreamExecutionEnvironment::with_configuration(Default::default());
    env.set_parallelism(1);
    let options = || AsyncOptions::unordered(LONG).capacity(2);
    let add = |n: i64| async move {
        tokio::task::yield_now().await;
        Ok(n + 1)
    };
    let sums = env.from_sequence(1, 5_000).async_map(options(), add).async_map(options(), add);
    let mut found = sums.execute_and_collect("async").unwrap().collect::<Result<Vec<_>, _>>().unwrap();
    found.sort_unstable();
    assert_eq!(found, (3..=5_002).collect::<Vec<_>>());
}
