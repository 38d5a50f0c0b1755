//! Joins against what two loops find.

mod lateness;
mod triggers;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use pelton_runtime_core::element::{CheckpointId, StreamBatch};
use pelton_runtime_core::operator::OperatorFactory;
use pelton_runtime_core::operator::harness::{OperatorHarness, ParallelHarness};
use pelton_runtime_core::state::cold::{ColdStores, MemoryColdStores};
use pelton_runtime_core::time::{EpochMillis, MAX_WATERMARK};
use pelton_runtime_core::window::KeyColumns;
use proptest::prelude::*;

use crate::keyed::tests::{Trip, caches, factory_of, stamped, taken, trip};
use crate::keyed::{SlidingEventTimeWindows, TumblingEventTimeWindows, WindowAssigner};
use crate::record::{Record, field};
use crate::stream::{Collector, DataStream, OutputTag};

/// Cases of the differential tests. Each takes microseconds.
const CASES: u32 = 10_000;

type Tip = (String, i64);

fn tip(driver: &str, amount: i64) -> Tip {
    (driver.to_owned(), amount)
}

fn factory(build: impl FnOnce(DataStream<Trip>, DataStream<Tip>), name: &str) -> Arc<dyn OperatorFactory> {
    let with_tips = |trips: DataStream<Trip>| {
        let tips = trips.execution_environment().from_collection([tip("", 0)]);
        build(trips, tips);
    };
    factory_of(with_tips, name)
}

/// A fare and a tip of one driver.
type Pair = (i64, i64);

fn interval_join(lower: i64, upper: i64) -> Arc<dyn OperatorFactory> {
    factory(
        move |trips, tips| {
            let tips = tips.key_by(field::<0, _>());
            let joined = trips.key_by(Trip::driver).interval_join(tips).between(lower, upper);
            drop(joined.process(|trip, tip, times, out: &mut Collector<'_, (i64, i64, i64)>| {
                out.collect((trip.fare, tip.1, times.timestamp()));
            }));
        },
        "Interval Join",
    )
}

#[derive(Debug, Clone)]
enum Event {
    Trip(u8, EpochMillis),
    Tip(u8, EpochMillis),
    Watermark(EpochMillis),
    Restart,
}

fn events(restarts: u32) -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        6 => (0u8..3, 0i64..40).prop_map(|(key, at)| Event::Trip(key, at)),
        6 => (0u8..3, 0i64..40).prop_map(|(key, at)| Event::Tip(key, at)),
        2 => (0i64..45).prop_map(Event::Watermark),
        restarts => Just(Event::Restart),
    ];
    prop::collection::vec(event, 0..16)
}

/// Every pair within the bounds, of records that were not late; one that has met the watermark meets nothing that comes
/// later.
fn pairs_within(events: &[Event], lower: i64, upper: i64) -> Vec<(i64, i64, i64)> {
    let (mut watermark, mut left, mut right) = (i64::MIN, Vec::new(), Vec::new());
    let mut pairs = Vec::new();
    for (number, event) in (0i64..).zip(events) {
        match event {
            Event::Watermark(to) if *to <= watermark => {}
            // After a restart the watermark comes anew, and is met by what had come behind it.
            Event::Watermark(_) | Event::Restart => {
                if let Event::Watermark(to) = event {
                    watermark = *to;
                }
                left.retain(|(_, at, _): &(u8, i64, i64)| at + upper.max(0) > watermark);
                right.retain(|(_, at, _): &(u8, i64, i64)| at + (-lower).max(0) > watermark);
            }
            Event::Trip(key, at) if *at >= watermark => {
                let met = right.iter().filter(|(other, tip, _)| other == key && (lower..=upper).contains(&(tip - at)));
                pairs.extend(met.map(|(_, tip, tip_number)| (number, *tip_number, *at.max(tip))));
                left.push((*key, *at, number));
            }
            Event::Tip(key, at) if *at >= watermark => {
                let met = left.iter().filter(|(other, trip, _)| other == key && (lower..=upper).contains(&(at - trip)));
                pairs.extend(met.map(|(_, trip, trip_number)| (*trip_number, number, *at.max(trip))));
                right.push((*key, *at, number));
            }
            _ => {}
        }
    }
    pairs.sort_unstable();
    pairs
}

/// The same by the operator, with as many restarts as there are, each at another parallelism. With a cache of so many bytes
/// state is in a store at first, and changes between there and the heap with every restart.
fn joined(events: &[Event], lower: i64, upper: i64, cache: Option<usize>) -> Vec<(i64, i64, i64)> {
    let stores = |in_store: bool| {
        cache.filter(|_| in_store).map(|bytes| Arc::new(MemoryColdStores::new(bytes)) as Arc<dyn ColdStores>)
    };
    let keys = [KeyColumns::new(["driver"]), KeyColumns::new(["f0"])];
    let mut harness = ParallelHarness::open(interval_join(lower, upper), keys[0].clone(), 0).unwrap();
    let (mut parallelism, mut in_store) = (1, true);
    harness.set_cold_stores(stores(in_store));
    harness.restart(&[], parallelism).unwrap();
    let (mut watermark, mut pairs) = (i64::MIN, Vec::new());
    for (number, event) in (0i64..).zip(events) {
        match event {
            Event::Watermark(to) if *to > watermark => {
                watermark = *to;
                harness.watermark(watermark).unwrap();
            }
            Event::Watermark(_) => {}
            Event::Trip(key, at) => {
                let batch = stamped(&[(trip(&key.to_string(), 0, number), *at)]);
                harness.process_on(0, &keys[0], &batch).unwrap();
            }
            Event::Tip(key, at) => {
                harness.process_on(1, &keys[1], &stamped(&[(tip(&key.to_string(), number), *at)])).unwrap();
            }
            Event::Restart => {
                let snapshots = harness.checkpoint().unwrap();
                (parallelism, in_store) = (parallelism % 3 + 1, !in_store);
                harness.set_cold_stores(stores(in_store));
                harness.restart(&snapshots, parallelism).unwrap();
                // A task's watermark comes anew; here it comes at once.
                harness.watermark(watermark).unwrap();
            }
        }
        for instance in harness.instances() {
            pairs.extend(taken::<(i64, i64, i64)>(instance, 0));
        }
    }
    assert!(pairs.iter().all(|((_, _, time), stamp)| time == stamp));
    let mut pairs: Vec<_> = pairs.into_iter().map(|(pair, _)| pair).collect();
    pairs.sort_unstable();
    pairs
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(CASES))]

    #[test]
    fn an_interval_join_finds_every_pair_within_the_bounds(
        events in events(0), lower in -9i64..9, width in 0i64..12, cache in caches(),
    ) {
        let expected = pairs_within(&events, lower, lower + width);
        prop_assert_eq!(&joined(&events, lower, lower + width, None), &expected);
        prop_assert_eq!(&joined(&events, lower, lower + width, Some(cache)), &expected);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn an_interval_join_survives_restarts(
        events in events(3), lower in -9i64..9, width in 0i64..12, cache in prop::option::weighted(0.8, caches()),
    ) {
        prop_assert_eq!(joined(&events, lower, lower + width, cache), pairs_within(&events, lower, lower + width));
    }
}

#[test]
fn an_interval_join_forgets_what_nothing_can_meet() {
    let factory = interval_join(-2, 5);
    let mut harness = OperatorHarness::open(factory.as_ref()).unwrap();
    for round in 0..100 {
        let at = round * 10;
        harness.process_on(0, stamped(&[(trip(&round.to_string(), 0, 1), at)])).unwrap();
        harness.process_on(1, stamped(&[(tip(&round.to_string(), 1), at)])).unwrap();
        harness.watermark(at + 5).unwrap();
        assert!(harness.checkpoint(CheckpointId(1)).unwrap().is_empty());
    }
    assert_eq!(harness.take_batches(0).iter().map(StreamBatch::num_rows).sum::<usize>(), 100);
}

#[test]
fn bounds_may_be_outside_and_late_records_have_outputs() {
    let (late_trips, late_tips) = (OutputTag::<Trip>::new("trips"), OutputTag::<Tip>::new("tips"));
    let tags = (late_trips.clone(), late_tips.clone());
    let factory = factory(
        move |trips, tips| {
            let joined = trips.key_by(Trip::driver).interval_join(tips.key_by(field::<0, _>())).between(0, 2);
            let joined = joined.lower_bound_exclusive().upper_bound_exclusive();
            let joined = joined.side_output_left_late_data(&tags.0).side_output_right_late_data(&tags.1);
            let pairs = joined.process(|_, tip, _, out: &mut Collector<'_, i64>| out.collect(tip.1));
            drop((pairs.get_side_output(&late_trips), pairs.get_side_output(&late_tips)));
        },
        "Interval Join",
    );
    let mut harness = OperatorHarness::open(factory.as_ref()).unwrap();
    harness.process_on(0, stamped(&[(trip("ann", 0, 1), 10)])).unwrap();
    harness.process_on(1, stamped(&[(tip("ann", 0), 10), (tip("ann", 1), 11), (tip("ann", 2), 12)])).unwrap();
    assert_eq!(taken::<i64>(&mut harness, 0), [(1, 11)]);
    harness.watermark(20).unwrap();
    harness.process_on(0, stamped(&[(trip("ann", 0, 7), 19)])).unwrap();
    assert_eq!(taken::<Trip>(&mut harness, 1), [(trip("ann", 0, 7), 19)]);
    harness.process_on(1, stamped(&[(tip("ann", 8), 19), (tip("ann", 9), 20)])).unwrap();
    assert_eq!(taken::<Tip>(&mut harness, 2), [(tip("ann", 8), 19)]);
}

/// Trips and tips through what tags them, and then through the window.
struct Windows {
    tags: [Arc<dyn OperatorFactory>; 2],
    window: Arc<dyn OperatorFactory>,
}

impl Windows {
    fn new<U: Record>(build: impl Fn(DataStream<Trip>, DataStream<Tip>) -> DataStream<U>) -> Self {
        let tag = |index: usize| {
            let build = |trips: DataStream<Trip>| {
                let tips = trips.execution_environment().from_collection([tip("", 0)]);
                drop(build(trips, tips));
            };
            crate::keyed::tests::factories_of(build, "Tag").swap_remove(index)
        };
        Self { tags: [tag(0), tag(1)], window: factory(|trips, tips| drop(build(trips, tips)), "Window") }
    }

    fn tagged(&self, side: usize, batch: StreamBatch) -> StreamBatch {
        let mut tag = OperatorHarness::open(self.tags[side].as_ref()).unwrap();
        tag.process(batch).unwrap();
        tag.take_batches(0).remove(0)
    }

    fn run<U: Record>(&self, events: &[Event]) -> Vec<(U, EpochMillis)> {
        let mut harness = OperatorHarness::open(self.window.as_ref()).unwrap();
        for (number, event) in (0i64..).zip(events) {
            let batch = match event {
                Event::Trip(key, at) => self.tagged(0, stamped(&[(trip(&key.to_string(), 0, number), *at)])),
                Event::Tip(key, at) => self.tagged(1, stamped(&[(tip(&key.to_string(), number), *at)])),
                _ => continue,
            };
            harness.process(batch).unwrap();
        }
        harness.watermark(MAX_WATERMARK).unwrap();
        taken(&mut harness, 0)
    }
}

/// The numbers of trips and tips by key and window.
type Groups = BTreeMap<(u8, i64), (Vec<i64>, Vec<i64>)>;

fn groups(events: &[Event], size: i64, slide: i64) -> Groups {
    let mut groups = Groups::new();
    for (number, event) in (0i64..).zip(events) {
        let (Event::Trip(key, at) | Event::Tip(key, at)) = event else { continue };
        let last = at.div_euclid(slide) * slide;
        for start in (0..).map(|back| last - back * slide).take_while(|start| start + size > *at) {
            let group = groups.entry((*key, start)).or_default();
            if matches!(event, Event::Trip(..)) { group.0.push(number) } else { group.1.push(number) }
        }
    }
    groups
}

fn assigner(size: i64, slide: i64) -> WindowAssigner {
    let millis = |millis: i64| Duration::from_millis(millis.unsigned_abs());
    if size == slide {
        return TumblingEventTimeWindows::of(millis(size));
    }
    SlidingEventTimeWindows::of(millis(size), millis(slide))
}

/// Sizes and slides of windows, each made once for all cases.
fn shapes<U: Record>(
    build: impl Fn(DataStream<Trip>, DataStream<Tip>, WindowAssigner) -> DataStream<U>,
) -> Vec<(i64, i64, Windows)> {
    let shapes = [(10, 10), (7, 7), (10, 5), (9, 4)];
    shapes
        .map(|(size, slide)| (size, slide, Windows::new(|trips, tips| build(trips, tips, assigner(size, slide)))))
        .into()
}

#[test]
fn a_window_join_finds_every_pair_of_a_key_in_a_window() {
    let shapes = shapes(|trips, tips, assigner| {
        let joined = trips.join(tips).where_key(Trip::driver).equal_to(field::<0, _>()).window(assigner);
        joined.apply(|trip, tip| (trip.fare, tip.1))
    });
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(CASES));
    let cases = (events(0), 0..shapes.len());
    let checked = runner.run(&cases, |(events, shape)| {
        let (size, slide, windows) = &shapes[shape];
        let mut found = windows.run::<Pair>(&events);
        found.sort_unstable();
        let mut expected: Vec<(Pair, i64)> = groups(&events, *size, *slide)
            .into_iter()
            .flat_map(|((_, start), (trips, tips))| {
                let pairs =
                    trips.into_iter().flat_map(move |trip| tips.clone().into_iter().map(move |tip| (trip, tip)));
                pairs.map(move |pair| (pair, start + size - 1))
            })
            .collect();
        expected.sort_unstable();
        prop_assert_eq!(found, expected);
        Ok(())
    });
    checked.unwrap();
}

#[test]
fn a_co_group_sees_both_sides_of_a_key_in_a_window_in_the_order_of_arrival() {
    let shapes = shapes(|trips, tips, assigner| {
        let grouped = trips.co_group(tips).where_key(Trip::driver).equal_to(field::<0, _>()).window(assigner);
        grouped.apply(|trips, tips, out: &mut Collector<'_, (Vec<i64>, Vec<i64>)>| {
            let trips: Vec<i64> = trips.iter().map(|trip| trip.fare).collect();
            let tips: Vec<i64> = tips.iter().map(|tip| tip.1).collect();
            out.collect((trips, tips));
        })
    });
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(CASES));
    let checked = runner.run(&(events(0), 0..shapes.len()), |(events, shape)| {
        let (size, slide, windows) = &shapes[shape];
        let mut found = windows.run::<(Vec<i64>, Vec<i64>)>(&events);
        found.sort_unstable();
        let expected = groups(&events, *size, *slide).into_iter();
        let mut expected: Vec<_> = expected.map(|((_, start), group)| (group, start + size - 1)).collect();
        expected.sort_unstable();
        prop_assert_eq!(found, expected);
        Ok(())
    });
    checked.unwrap();
}

#[test]
fn joins_run_in_a_cluster() {
    use crate::watermarks::WatermarkStrategy;
    let env = crate::StreamExecutionEnvironment::with_configuration(Default::default());
    env.set_parallelism(2);
    let times = || WatermarkStrategy::for_monotonous_timestamps().with_timestamp_assigner(|n: &i64| *n);
    let numbers = || env.from_sequence(0, 999).assign_timestamps_and_watermarks(times());
    let window = TumblingEventTimeWindows::of(Duration::from_millis(100));
    let by = |n: &i64| n % 10;
    let joined = numbers().join(numbers()).where_key(by).equal_to(by).window(window).apply(|a, b| a * 1000 + b);
    let found = joined.execute_and_collect("join").unwrap().collect::<Result<Vec<i64>, _>>().unwrap();
    assert_eq!(found.len(), 1000 * 10);
}
