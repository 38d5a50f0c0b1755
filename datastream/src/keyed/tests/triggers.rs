//! When windows with triggers fire, and what is left in them by evictors.

use std::time::Duration;

use pelton_runtime_core::element::CheckpointId;
use pelton_runtime_core::time::MAX_WATERMARK;
use proptest::prelude::*;

use super::*;
use crate::keyed::{
    ContinuousEventTimeTrigger, ContinuousProcessingTimeTrigger, CountEvictor, CountTrigger, DeltaEvictor,
    DeltaTrigger, DynamicSessionWindows, EventTimeSessionWindows, EventTimeTrigger, GlobalWindows, KeyedStream,
    PurgingTrigger, SlidingEventTimeWindows, TimeEvictor, TumblingEventTimeWindows, TumblingProcessingTimeWindows,
    WindowAssigner, WindowedStream,
};
use crate::stream::{Collector, DataStream, OutputTag};

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// What a window function says: the key, the window's bounds and all fares.
type Said = (String, i64, i64, Vec<i64>);

macro_rules! say {
    ($windows:expr) => {
        $windows.process(|key, window, rows, out: &mut Collector<'_, Said>| {
            let fares: Vec<i64> = rows.iter().map(|row| row.fare).collect();
            out.collect((key.as_str(), window.start, window.end, fares));
        })
    };
}

fn harness(build: impl FnOnce(KeyedStream<Trip, String>) -> DataStream<Said>) -> OperatorHarness {
    harness_of(|trips| drop(build(trips.key_by(Trip::driver))), "Window")
}

fn fares(harness: &mut OperatorHarness) -> Vec<Vec<i64>> {
    taken::<Said>(harness, 0).into_iter().map(|(said, _)| said.3).collect()
}

fn give(harness: &mut OperatorHarness, rows: &[(&str, i64, i64)]) {
    let rows: Vec<_> = rows.iter().map(|(driver, fare, at)| (trip(driver, 0, *fare), *at)).collect();
    harness.process(stamped(&rows)).unwrap();
}

#[test]
fn windows_of_counts_are_full_and_begin_anew() {
    let mut harness = harness(|trips| say!(trips.count_window(2)));
    give(&mut harness, &[("a", 1, 0), ("b", 2, 0), ("a", 3, 0), ("a", 4, 0), ("a", 5, 0), ("b", 6, 0), ("b", 7, 0)]);
    assert_eq!(fares(&mut harness), [vec![1, 3], vec![4, 5], vec![2, 6]]);
    harness.watermark(MAX_WATERMARK).unwrap();
    assert_eq!(fares(&mut harness), Vec::<Vec<i64>>::new(), "a window that is not full does not fire");
}

#[test]
fn sliding_windows_of_counts_show_the_last_elements() {
    let mut harness = harness(|trips| say!(trips.sliding_count_window(3, 2)));
    give(&mut harness, &[("a", 1, 0), ("a", 2, 0), ("a", 3, 0), ("a", 4, 0), ("a", 5, 0), ("a", 6, 0)]);
    assert_eq!(fares(&mut harness), [vec![1, 2], vec![2, 3, 4], vec![4, 5, 6]]);
}

#[test]
fn counts_are_forgotten_with_their_windows() {
    let mut harness = harness(|trips| say!(trips.count_window(1)));
    for round in 0..100 {
        give(&mut harness, &[(&round.to_string(), 1, 0)]);
    }
    assert_eq!(fares(&mut harness).len(), 100);
    assert!(harness.checkpoint(CheckpointId(1)).unwrap().is_empty());
}

#[test]
fn a_delta_trigger_fires_when_elements_are_far_from_the_one_it_fired_at() {
    let mut harness = harness(|trips| {
        let delta = |old: &Trip, new: &Trip| (new.fare - old.fare) as f64;
        let windows = trips.window(GlobalWindows::create()).trigger(DeltaTrigger::of(10.0, delta));
        say!(windows.evictor(TimeEvictor::of(millis(10))))
    });
    give(&mut harness, &[("a", 0, 0), ("a", 10, 5), ("a", 11, 12), ("a", 20, 13), ("a", 22, 14)]);
    assert_eq!(fares(&mut harness), [vec![10, 11], vec![10, 11, 20, 22]]);
}

#[test]
fn evictors_work_before_or_after_the_function() {
    let run = |build: fn(KeyedStream<Trip, String>) -> DataStream<Said>| {
        let mut harness = harness(build);
        give(&mut harness, &[("a", 1, 0), ("a", 2, 0), ("a", 3, 0), ("a", 4, 0)]);
        fares(&mut harness)
    };
    let before = run(|trips| {
        let windows = trips.window(GlobalWindows).trigger(CountTrigger::of(2));
        say!(windows.evictor(CountEvictor::of(1)))
    });
    assert_eq!(before, [[2], [4]]);
    let after = run(|trips| {
        let windows = trips.window(GlobalWindows).trigger(CountTrigger::of(2));
        say!(windows.evictor(CountEvictor::of(1).after()))
    });
    assert_eq!(after, [vec![1, 2], vec![2, 3, 4]]);
    let near = run(|trips| {
        let windows = trips.window(GlobalWindows).trigger(CountTrigger::of(4));
        say!(windows.evictor(DeltaEvictor::of(2.0, |a: &Trip, last: &Trip| (last.fare - a.fare) as f64)))
    });
    assert_eq!(near, [[3, 4]]);
}

#[test]
fn a_continuous_trigger_fires_on_the_way_and_at_the_end() {
    let mut harness = harness(|trips| {
        let windows = trips.window(TumblingEventTimeWindows::of(millis(100)));
        say!(windows.trigger(ContinuousEventTimeTrigger::of(millis(30))))
    });
    give(&mut harness, &[("a", 1, 5)]);
    harness.watermark(29).unwrap();
    assert_eq!(fares(&mut harness), Vec::<Vec<i64>>::new());
    harness.watermark(60).unwrap();
    assert_eq!(fares(&mut harness), [[1], [1]]);
    give(&mut harness, &[("a", 2, 61)]);
    harness.watermark(MAX_WATERMARK).unwrap();
    assert_eq!(fares(&mut harness), [[1, 2], [1, 2]], "at 90 and at the end");
}

#[test]
fn a_continuous_trigger_of_the_wall_clock_fires_while_a_window_is_open() {
    let mut harness = harness(|trips| {
        let windows = trips.window(TumblingProcessingTimeWindows::of(millis(100)));
        say!(windows.trigger(ContinuousProcessingTimeTrigger::of(millis(40))))
    });
    harness.advance_processing_time(5).unwrap();
    give(&mut harness, &[("a", 1, 0)]);
    harness.advance_processing_time(40).unwrap();
    assert_eq!(fares(&mut harness), Vec::<Vec<i64>>::new(), "the millisecond is not over");
    assert_eq!(harness.next_wake_up(), Some(41));
    harness.advance_processing_time(85).unwrap();
    assert_eq!(fares(&mut harness), [[1], [1]]);
    harness.advance_processing_time(200).unwrap();
    assert_eq!(fares(&mut harness), [[1]]);
    assert!(harness.checkpoint(CheckpointId(1)).unwrap().is_empty());
}

#[test]
fn a_window_of_the_wall_clock_fires_once_when_its_last_millisecond_is_over() {
    let mut harness = harness(|trips| {
        let windows = trips.window(TumblingProcessingTimeWindows::of(millis(10)));
        say!(windows.evictor(CountEvictor::of(9)))
    });
    harness.advance_processing_time(9).unwrap();
    give(&mut harness, &[("a", 1, 0)]);
    harness.advance_processing_time(9).unwrap();
    give(&mut harness, &[("a", 2, 0)]);
    harness.advance_processing_time(10).unwrap();
    assert_eq!(fares(&mut harness), [[1, 2]]);
}

#[test]
fn a_purging_trigger_shows_late_elements_alone() {
    let tag = OutputTag::<Trip>::new("late");
    let mut harness = harness_of(
        |trips| {
            let windows = trips.key_by(Trip::driver).window(TumblingEventTimeWindows::of(millis(10)));
            let windows = windows.allowed_lateness(millis(10)).side_output_late_data(&tag);
            drop(say!(windows.trigger(PurgingTrigger::of(EventTimeTrigger))).get_side_output(&tag));
        },
        "Window",
    );
    give(&mut harness, &[("a", 1, 5)]);
    harness.watermark(10).unwrap();
    give(&mut harness, &[("a", 2, 6)]);
    assert_eq!(fares(&mut harness), [[1], [2]]);
    harness.watermark(19).unwrap();
    give(&mut harness, &[("a", 3, 7)]);
    assert_eq!(taken::<Trip>(&mut harness, 1), [(trip("a", 0, 3), 7)]);
    assert!(harness.checkpoint(CheckpointId(1)).unwrap().is_empty());
}

#[test]
#[should_panic(expected = "cannot be the trigger of session windows")]
fn a_trigger_that_cannot_merge_is_refused_for_sessions() {
    let delta = |old: &Trip, new: &Trip| (new.fare - old.fare) as f64;
    harness(|trips| {
        let windows = trips.window(EventTimeSessionWindows::with_gap(millis(10)));
        say!(windows.trigger(DeltaTrigger::of(1.0, delta)))
    });
}

#[derive(Debug, Clone)]
enum Event {
    Rows(Vec<(u8, i64, i64)>),
    Watermark(i64),
    Restart,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        4 => prop::collection::vec((0u8..3, 1i64..50, 0i64..100), 1..5).prop_map(Event::Rows),
        2 => (0i64..120).prop_map(Event::Watermark),
        1 => Just(Event::Restart),
    ];
    prop::collection::vec(event, 0..10)
}

/// All that is said, sorted; `restarts` tells whether there are any.
fn said(factory: &Arc<dyn OperatorFactory>, events: &[Event], restarts: bool) -> Vec<(Said, EpochMillis)> {
    said_in(factory, events, restarts, None)
}

/// With a cache of so many bytes state is in a store at first, and changes between there and the heap with every restart.
fn said_in(
    factory: &Arc<dyn OperatorFactory>,
    events: &[Event],
    restarts: bool,
    cache: Option<usize>,
) -> Vec<(Said, EpochMillis)> {
    let mut in_store = true;
    let mut harness = open_in(factory, cache);
    let (mut all, mut watermark) = (Vec::new(), MIN_WATERMARK);
    for event in events.iter().chain([&Event::Watermark(MAX_WATERMARK)]) {
        match event {
            Event::Rows(rows) => {
                let rows: Vec<_> = rows.iter().map(|(key, fare, at)| (trip(&key.to_string(), 0, *fare), *at)).collect();
                harness.process(stamped(&rows)).unwrap();
            }
            Event::Watermark(to) if *to > watermark => {
                watermark = *to;
                harness.watermark(watermark).unwrap();
            }
            Event::Restart => {
                if restarts {
                    let snapshots = [harness.checkpoint(CheckpointId(1)).unwrap()];
                    all.extend(taken::<Said>(&mut harness, 0));
                    in_store = !in_store;
                    harness = open_in(factory, cache.filter(|_| in_store));
                    harness.restore(&snapshots).unwrap();
                }
                // It comes anew after a restart, and fires what was asked for behind it.
                harness.watermark(watermark).unwrap();
            }
            Event::Watermark(_) => {}
        }
        all.extend(taken::<Said>(&mut harness, 0));
    }
    // Sessions merge in no particular order.
    all.iter_mut().for_each(|(said, _)| said.3.sort_unstable());
    all.sort();
    all
}

fn assigners() -> impl Strategy<Value = WindowAssigner> {
    prop_oneof![
        (1u64..40).prop_map(|size| TumblingEventTimeWindows::of(millis(size))),
        (1u64..4, 1u64..20)
            .prop_map(|(panes, slide)| SlidingEventTimeWindows::of(millis(panes * slide), millis(slide))),
        (1u64..30).prop_map(|gap| EventTimeSessionWindows::with_gap(millis(gap))),
    ]
}

/// Sessions that every trip keeps open for its fare modulo `modulus`, and one.
fn dynamic_sessions(modulus: i64) -> DynamicSessionWindows<Trip> {
    EventTimeSessionWindows::with_dynamic_gap(move |trip: &Trip| millis(1 + (trip.fare % modulus).unsigned_abs()))
}

fn with_and_without_trigger(
    windowed: impl Fn(DataStream<Trip>) -> WindowedStream<Trip, String>,
    events: &[Event],
    cache: usize,
) -> Result<(), TestCaseError> {
    let plain = factory_of(|trips| drop(say!(windowed(trips))), "Window");
    let expected = said(&plain, events, false);
    prop_assert_eq!(&said_in(&plain, events, false, Some(cache)), &expected);
    let triggered = factory_of(|trips| drop(say!(windowed(trips).trigger(EventTimeTrigger))), "Window");
    prop_assert_eq!(&said(&triggered, events, false), &expected);
    prop_assert_eq!(&said_in(&triggered, events, false, Some(cache)), &expected);
    let evicting = factory_of(|trips| drop(say!(windowed(trips).evictor(CountEvictor::of(usize::MAX)))), "Window");
    prop_assert_eq!(&said(&evicting, events, true), &expected);
    prop_assert_eq!(&said_in(&evicting, events, true, Some(cache)), &expected);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// Two implementations of the same: windows that know only their end, and a trigger that says so.
    #[test]
    fn windows_with_the_trigger_that_they_have_anyway_are_the_same(
        assigner in assigners(), lateness in prop_oneof![Just(0u64), 0u64..60], events in events(), cache in caches(),
    ) {
        let windowed = |trips: DataStream<Trip>| {
            trips.key_by(Trip::driver).window(assigner).allowed_lateness(millis(lateness))
        };
        with_and_without_trigger(windowed, &events, cache)?;
    }

    #[test]
    fn sessions_of_dynamic_gaps_with_the_trigger_that_they_have_anyway_are_the_same(
        modulus in 1i64..40, lateness in prop_oneof![Just(0u64), 0u64..60], events in events(), cache in caches(),
    ) {
        let windowed = |trips: DataStream<Trip>| {
            trips.key_by(Trip::driver).window(dynamic_sessions(modulus)).allowed_lateness(millis(lateness))
        };
        with_and_without_trigger(windowed, &events, cache)?;
    }

    #[test]
    fn triggers_remember_over_restarts(
        events in events(), assigner in assigners(), cache in prop::option::weighted(0.8, caches()),
    ) {
        let counted = |trips: DataStream<Trip>| trips.key_by(Trip::driver).window(assigner).trigger(CountTrigger::of(3));
        let count = factory_of(|trips| drop(say!(counted(trips))), "Window");
        prop_assert_eq!(said_in(&count, &events, true, cache), said(&count, &events, false));
        let continuous = factory_of(
            |trips| {
                let windows = trips.key_by(Trip::driver).window(assigner);
                drop(say!(windows.trigger(ContinuousEventTimeTrigger::of(millis(7)))));
            },
            "Window",
        );
        prop_assert_eq!(said_in(&continuous, &events, true, cache), said(&continuous, &events, false));
        let delta = factory_of(
            |trips| {
                let delta = |old: &Trip, new: &Trip| (new.fare - old.fare) as f64;
                let windows = trips.key_by(Trip::driver).window(GlobalWindows).trigger(DeltaTrigger::of(5.0, delta));
                drop(say!(windows.evictor(CountEvictor::of(4))));
            },
            "Window",
        );
        prop_assert_eq!(said_in(&delta, &events, true, cache), said(&delta, &events, false));
    }
}

// Below the macro that they use.
mod counts;
mod gaps;
mod own;
mod reference;
mod sessions;
