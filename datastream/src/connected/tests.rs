//! Functions of two streams.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use pelton_runtime_core::checkpoint::snapshot::OperatorSnapshot;
use pelton_runtime_core::element::CheckpointId;
use pelton_runtime_core::operator::harness::OperatorHarness;
use pelton_runtime_core::operator::{OperatorFactory, OperatorRuntime};
use pelton_runtime_core::state::cold::{ColdStores, MemoryColdStores};

use super::*;
use crate::environment::StreamExecutionEnvironment;
use crate::keyed::tests::{Trip, factory_of, stamped, taken, trip};
use crate::keyed::{
    BroadcastContext, FunctionResult, KeyedBroadcastContext, KeyedContext, OpenContext, ProcessContext,
    TumblingEventTimeWindows, ValueState,
};
use crate::operator_state::BroadcastState;
use crate::record::field;
use crate::stream::OutputTag;
use crate::testing::Harness;

type Words = DataStream<(String, i64)>;

/// What the graph holds for `name` when trips meet words.
fn factory(build: impl FnOnce(DataStream<Trip>, Words), name: &str) -> Arc<dyn OperatorFactory> {
    let with_words = |trips: DataStream<Trip>| {
        let words = trips.execution_environment().from_collection([(String::new(), 0i64)]);
        build(trips, words);
    };
    factory_of(with_words, name)
}

fn word(word: &str, number: i64) -> (String, i64) {
    (word.to_owned(), number)
}

fn out<U: Record>(harness: &mut OperatorHarness) -> Vec<U> {
    taken::<U>(harness, 0).into_iter().map(|(out, _)| out).collect()
}

#[test]
fn each_stream_has_its_own_function() {
    let map = factory(
        |trips, words| drop(trips.connect(words).map(|trip| trip.driver.clone(), |(word, n)| format!("{word}{n}"))),
        "Co-Map",
    );
    let mut harness = OperatorHarness::open(map.as_ref()).unwrap();
    harness.process_on(1, stamped(&[(word("a", 1), 5)])).unwrap();
    harness.process_on(0, stamped(&[(trip("ann", 0, 0), 7)])).unwrap();
    assert_eq!(taken::<String>(&mut harness, 0), [("a1".to_owned(), 5), ("ann".to_owned(), 7)]);

    let flat_map = factory(
        |trips, words| {
            let twice = |trip: &Trip, out: &mut Collector<'_, i64>| {
                out.collect(trip.fare);
                out.collect(trip.fare);
            };
            drop(trips.connect(words).flat_map(twice, |_, _| {}));
        },
        "Co-Flat Map",
    );
    let mut harness = OperatorHarness::open(flat_map.as_ref()).unwrap();
    harness.process_on(1, stamped(&[(word("a", 1), 5)])).unwrap();
    harness.process_on(0, stamped(&[(trip("ann", 0, 3), 7)])).unwrap();
    assert_eq!(out::<i64>(&mut harness), [3, 3]);
}

/// Adds a driver's bonus, and tells of it when its time is over.
#[derive(Clone)]
struct Bonus {
    bonus: ValueState<i64>,
}

impl KeyedCoProcessFunction for Bonus {
    type Key = String;
    type In1 = Trip;
    type In2 = (String, i64);
    type Out = String;

    fn open(&mut self, ctx: &mut OpenContext<'_>) -> FunctionResult {
        ctx.register(&mut self.bonus)
    }

    fn process_element1(
        &mut self,
        trip: &Trip,
        ctx: &mut KeyedContext<'_, String>,
        out: &mut Collector<'_, String>,
    ) -> FunctionResult {
        let bonus = self.bonus.value(ctx)?.copied().unwrap_or(0);
        out.collect(format!("{} {}", ctx.current_key(), trip.fare + bonus).as_str());
        Ok(())
    }

    fn process_element2(
        &mut self,
        bonus: &(String, i64),
        ctx: &mut KeyedContext<'_, String>,
        _out: &mut Collector<'_, String>,
    ) -> FunctionResult {
        let end = ctx.timestamp().unwrap_or(0) + 10;
        ctx.timer_service().register_event_time_timer(end);
        Ok(self.bonus.update(ctx, bonus.1)?)
    }

    fn on_timer(
        &mut self,
        timestamp: i64,
        ctx: &mut KeyedContext<'_, String>,
        out: &mut Collector<'_, String>,
    ) -> FunctionResult {
        self.bonus.clear(ctx)?;
        out.collect(format!("{} over at {timestamp}", ctx.current_key()).as_str());
        Ok(())
    }
}

fn bonuses() -> Arc<dyn OperatorFactory> {
    let function = Bonus { bonus: ValueState::new("bonus") };
    factory(
        |trips, words| {
            let words = words.key_by(|word: &(String, i64)| word.0.clone());
            drop(trips.key_by(Trip::driver).connect(words).process(function));
        },
        "Co-Keyed-Process",
    )
}

/// What the operator that appends keys makes of words.
fn keyed_words(rows: &[((String, i64), i64)]) -> pelton_runtime_core::element::StreamBatch {
    let append = factory(
        |trips, words| {
            drop(trips.connect(words).key_by(Trip::driver, |word: &(String, i64)| word.0.clone()).map(|_| 0, |_| 0))
        },
        "Key",
    );
    let mut append = OperatorHarness::open(append.as_ref()).unwrap();
    append.process(stamped(rows)).unwrap();
    append.take_batches(0).remove(0)
}

#[test]
fn both_streams_of_a_key_share_its_state_and_timers_also_after_a_restart() {
    let factory = bonuses();
    let mut harness = OperatorHarness::open(factory.as_ref()).unwrap();
    harness.process_on(1, keyed_words(&[(word("ann", 5), 100)])).unwrap();
    let trips = stamped(&[(trip("ann", 0, 1), 101), (trip("bob", 0, 2), 102)]);
    harness.process_on(0, trips.clone()).unwrap();
    assert_eq!(out::<String>(&mut harness), ["ann 6", "bob 2"]);

    let snapshots = [harness.checkpoint(CheckpointId(1)).unwrap()];
    let mut harness = OperatorHarness::open(factory.as_ref()).unwrap();
    harness.restore(&snapshots).unwrap();
    harness.process_on(0, trips).unwrap();
    harness.watermark(110).unwrap();
    assert_eq!(out::<String>(&mut harness), ["ann 6", "bob 2", "ann over at 110"]);
}

type Pair = ((i64, i64), i64);
type Flat = (i64, i64, i64);

/// Adds up the last field of the records of a key, of both sides.
#[derive(Clone)]
struct Both<A, B> {
    sum: ValueState<i64>,
    sides: PhantomData<fn(A, B)>,
}

impl<A, B> Both<A, B> {
    fn new() -> Self {
        Self { sum: ValueState::new("sum"), sides: PhantomData }
    }

    fn add(
        &self,
        amount: i64,
        ctx: &mut KeyedContext<'_, (i64, i64)>,
        out: &mut Collector<'_, String>,
    ) -> FunctionResult {
        let sum = self.sum.value(ctx)?.copied().unwrap_or_default() + amount;
        self.sum.update(ctx, sum)?;
        let (a, b) = ctx.current_key();
        out.collect(format!("{a} {b}: {sum}"));
        Ok(())
    }
}

trait Amount {
    fn amount(&self) -> i64;
}

impl Amount for Pair {
    fn amount(&self) -> i64 {
        self.1
    }
}

impl Amount for Flat {
    fn amount(&self) -> i64 {
        self.2
    }
}

impl<A: Record + Amount, B: Record + Amount> KeyedCoProcessFunction for Both<A, B> {
    type Key = (i64, i64);
    type In1 = A;
    type In2 = B;
    type Out = String;

    fn open(&mut self, ctx: &mut OpenContext<'_>) -> FunctionResult {
        ctx.register(&mut self.sum)
    }

    fn process_element1(
        &mut self,
        value: &A,
        ctx: &mut KeyedContext<'_, (i64, i64)>,
        out: &mut Collector<'_, String>,
    ) -> FunctionResult {
        self.add(value.amount(), ctx, out)
    }

    fn process_element2(
        &mut self,
        value: &B,
        ctx: &mut KeyedContext<'_, (i64, i64)>,
        out: &mut Collector<'_, String>,
    ) -> FunctionResult {
        self.add(value.amount(), ctx, out)
    }
}

#[test]
fn keys_of_a_column_of_columns_and_of_a_closure_meet() {
    let mut harness = Harness::new();
    let (pairs, pair) = harness.source::<Pair>();
    let (flat, input) = harness.source::<Flat>();
    let whole = || pairs.clone().key_by(field::<0, _>());
    let computed = || pairs.clone().key_by(|pair: &Pair| pair.0);
    let columns = || flat.clone().key_by((field::<0, _>(), field::<1, _>()));
    let sums = [
        harness.collect(whole().connect(columns()).process(Both::new())),
        harness.collect(columns().connect(whole()).process(Both::new())),
        harness.collect(computed().connect(columns()).process(Both::new())),
        harness.collect(whole().connect(computed()).process(Both::new())),
    ];
    let joined = |pair: &Pair, flat: &Flat| (pair.1, flat.2);
    let windows = || TumblingEventTimeWindows::of(Duration::from_millis(10));
    let by_window = pairs.clone().join(flat.clone()).where_key(field::<0, _>());
    let by_window = by_window.equal_to((field::<0, _>(), field::<1, _>())).window(windows()).apply(joined);
    let by_window = harness.collect(by_window);
    let by_time = whole().interval_join(columns()).between(-5, 5).process(move |pair, flat, _, out| {
        out.collect(joined(pair, flat));
    });
    let by_time = harness.collect::<(i64, i64)>(by_time);
    harness.push(&pair, [(((1, 2), 10), 0), (((2, 1), 20), 0)]).unwrap();
    harness.push(&input, [((1, 2, 100), 1), ((2, 2, 200), 1)]).unwrap();
    harness.end().unwrap();
    let found = sums.map(|sums| {
        let mut sums = sums.take_records();
        sums.sort();
        sums
    });
    let of_key = |a: i64, b: i64, sum: i64| format!("{a} {b}: {sum}");
    let both = [of_key(1, 2, 10), of_key(1, 2, 110), of_key(2, 1, 20), of_key(2, 2, 200)];
    let twice = [of_key(1, 2, 10), of_key(1, 2, 20), of_key(2, 1, 20), of_key(2, 1, 40)];
    assert_eq!(found, [both.to_vec(), both.to_vec(), both.to_vec(), twice.to_vec()]);
    assert_eq!(by_window.take_records(), [(10, 100)]);
    assert_eq!(by_time.take_records(), [(10, 100)]);
}

#[test]
#[should_panic(expected = "connects streams of two environments")]
fn streams_of_two_jobs_are_refused() {
    let numbers = || StreamExecutionEnvironment::with_configuration(Default::default()).from_collection([1i64]);
    drop(numbers().connect(numbers()).map(|_| 0, |_| 0));
}

/// Passes trips to cities that a rule allows, up to the fare that it says; the others go to a side.
#[derive(Clone)]
struct Allowed {
    limits: BroadcastState<i32, i64>,
    refused: OutputTag<Trip>,
}

impl Allowed {
    fn new() -> Self {
        Self { limits: BroadcastState::new("limits"), refused: OutputTag::new("refused") }
    }
}

impl BroadcastProcessFunction for Allowed {
    type In = Trip;
    type Broadcast = (String, i64);
    type Out = i64;

    fn open(&mut self, ctx: &mut OpenContext<'_>) -> FunctionResult {
        ctx.register(&mut self.limits)
    }

    fn process_element(
        &mut self,
        trip: &Trip,
        ctx: &mut ProcessContext<'_>,
        out: &mut Collector<'_, i64>,
    ) -> FunctionResult {
        match self.limits.get(ctx, &trip.city)? {
            Some(limit) if trip.fare <= *limit => out.collect(trip.fare),
            _ => ctx.output(&self.refused, trip),
        }
        Ok(())
    }

    fn process_broadcast_element(
        &mut self,
        rule: &(String, i64),
        ctx: &mut BroadcastContext<'_, '_>,
        out: &mut Collector<'_, i64>,
    ) -> FunctionResult {
        self.limits.put(ctx, rule.0.parse()?, rule.1)?;
        out.collect(self.limits.entries(ctx)?.len() as i64);
        Ok(())
    }
}

#[test]
fn rules_apply_to_what_comes_after_them_and_survive_at_any_parallelism() {
    let function = Allowed::new();
    let refused = function.refused.clone();
    let factory = factory(
        |trips, words| drop(trips.connect_broadcast(words).process(function).get_side_output(&refused)),
        "Co-Process-Broadcast",
    );
    let mut harness = OperatorHarness::open(factory.as_ref()).unwrap();
    let trips = stamped(&[(trip("ann", 1, 5), 0), (trip("bob", 2, 5), 0)]);
    harness.process_on(0, trips.clone()).unwrap();
    assert_eq!(taken::<Trip>(&mut harness, 1).len(), 2);
    harness.process_on(1, stamped(&[(word("1", 5), 0), (word("2", 4), 0)])).unwrap();
    harness.process_on(0, trips.clone()).unwrap();
    assert_eq!(out::<i64>(&mut harness), [1, 2, 5]);

    let snapshots: Vec<OperatorSnapshot> = (0..2).map(|_| harness.checkpoint(CheckpointId(1)).unwrap()).collect();
    for (subtask, parallelism) in [(0, 1), (2, 3)] {
        let mut runtime = OperatorHarness::runtime();
        (runtime.subtask, runtime.parallelism) = (subtask, parallelism);
        let mut harness = OperatorHarness::open_in(factory.as_ref(), runtime).unwrap();
        harness.restore(&snapshots).unwrap();
        harness.process_on(0, trips.clone()).unwrap();
        assert_eq!(out::<i64>(&mut harness), [5]);
    }
}

/// Counts trips of each driver; a rule tells all counts and begins anew.
#[derive(Clone)]
struct Counts {
    count: ValueState<i64>,
    rounds: BroadcastState<String, i64>,
}

impl KeyedBroadcastProcessFunction for Counts {
    type Key = String;
    type In = Trip;
    type Broadcast = (String, i64);
    type Out = String;

    fn open(&mut self, ctx: &mut OpenContext<'_>) -> FunctionResult {
        ctx.register(&mut self.count)?;
        ctx.register(&mut self.rounds)
    }

    fn process_element(
        &mut self,
        _trip: &Trip,
        ctx: &mut KeyedContext<'_, String>,
        _out: &mut Collector<'_, String>,
    ) -> FunctionResult {
        let by = self.rounds.get(ctx, &"step".to_owned())?.copied().unwrap_or(1);
        Ok(self.count.modify(ctx, |count| *count = Some(count.unwrap_or(0) + by))?)
    }

    fn process_broadcast_element(
        &mut self,
        rule: &(String, i64),
        ctx: &mut KeyedBroadcastContext<'_, String>,
        out: &mut Collector<'_, String>,
    ) -> FunctionResult {
        self.rounds.put(ctx, rule.0.clone(), rule.1)?;
        let (count, mut told) = (self.count.clone(), Vec::new());
        ctx.apply_to_keyed_state(|key, ctx| {
            told.push(format!("{key} {}", count.value(ctx)?.copied().unwrap_or(0)));
            Ok(count.clear(ctx)?)
        })?;
        told.sort();
        told.iter().for_each(|told| out.collect(told.as_str()));
        Ok(())
    }
}

#[test]
fn a_rule_sees_the_state_of_all_keys() {
    let function = Counts { count: ValueState::new("count"), rounds: BroadcastState::new("rounds") };
    let factory = factory(
        |trips, words| drop(trips.key_by(Trip::driver).connect_broadcast(words).process(function)),
        "Co-Process-Broadcast-Keyed",
    );
    let open = |cold_stores: Option<Arc<dyn ColdStores>>| {
        let runtime = OperatorRuntime { cold_stores, ..OperatorHarness::runtime() };
        OperatorHarness::open_in(factory.as_ref(), runtime).unwrap()
    };
    // On the heap, in a store, and in a store above which some keys are on the heap.
    for cache_bytes in [None, Some(0), Some(1 << 20)] {
        let stores = || cache_bytes.map(|bytes| Arc::new(MemoryColdStores::new(bytes)) as _);
        let mut harness = open(stores());
        let trips = stamped(&[(trip("ann", 0, 0), 0), (trip("bob", 0, 0), 0), (trip("ann", 0, 0), 0)]);
        harness.process_on(0, trips.clone()).unwrap();
        let rule = stamped(&[(word("step", 10), 0)]);
        harness.process_on(1, rule.clone()).unwrap();
        assert_eq!(out::<String>(&mut harness), ["ann 2", "bob 1"]);
        harness.process_on(1, rule.clone()).unwrap();
        assert_eq!(out::<String>(&mut harness), [""; 0]);

        let snapshots = [harness.checkpoint(CheckpointId(1)).unwrap().collect().unwrap()];
        let mut harness = open(stores());
        harness.restore(&snapshots).unwrap();
        harness.process_on(0, trips).unwrap();
        harness.process_on(1, rule).unwrap();
        assert_eq!(out::<String>(&mut harness), ["ann 20", "bob 10"]);
    }
}

#[test]
fn connected_streams_run_in_a_cluster() {
    let env = StreamExecutionEnvironment::with_configuration(Default::default());
    env.set_parallelism(2);
    let words = env.from_sequence(1, 100).map(|n| format!("w{}", n % 10));
    let joined = env
        .from_sequence(1, 100)
        .connect(words)
        .key_by(|n: &i64| n % 10, |word: &String| word[1..].parse::<i64>().unwrap_or(0))
        .map(|n| *n, |word| -(word.len() as i64));
    let found = joined.execute_and_collect("connected").unwrap().collect::<Result<Vec<i64>, _>>().unwrap();
    assert_eq!((found.len(), found.iter().sum::<i64>()), (200, 5050 - 200));
}
