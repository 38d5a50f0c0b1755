//! Functions with states of windows and keys, against two maps.

use std::collections::BTreeMap;
use std::time::Duration;

use pelton_runtime_core::element::CheckpointId;
use pelton_runtime_core::failure::error_chain;
use proptest::prelude::*;

use super::*;
use crate::keyed::{
    CountTrigger, EventTimeSessionWindows, FunctionResult, GlobalWindows, StatefulWindowContext,
    StatefulWindowFunction, TumblingEventTimeWindows,
};
use crate::stream::{Collector, DataStream};

/// The key, the window's start, how often the window has fired, how often those of the key have, and what was shown.
type Told = (String, i64, i64, i64, Vec<i64>);

/// Counts firings.
#[derive(Clone)]
struct Firings;

impl StatefulWindowFunction for Firings {
    type Key = String;
    type In = Trip;
    type Out = Told;
    type WindowState = i64;
    type GlobalState = (i64, String);

    fn process(
        &mut self,
        ctx: &mut StatefulWindowContext<'_, Self>,
        trips: &[Trip],
        out: &mut Collector<'_, Told>,
    ) -> FunctionResult {
        let of_window = ctx.window_state().get_or_insert(0);
        *of_window += 1;
        let of_window = *of_window;
        let key = ctx.key().clone();
        let of_key = ctx.global_state().get_or_insert_with(|| (0, key.clone()));
        of_key.0 += 1;
        if of_key.1 != key {
            return Err(format!("`{key}` has the state of `{}`", of_key.1).into());
        }
        let of_key = of_key.0;
        let fares: Vec<i64> = trips.iter().map(|trip| trip.fare).collect();
        out.collect((key, ctx.window().start, of_window, of_key, fares));
        Ok(())
    }
}

#[derive(Debug, Clone)]
enum Event {
    Trip(u8, EpochMillis),
    Watermark(EpochMillis),
    Restart,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        8 => (0u8..4, 0i64..60).prop_map(|(key, at)| Event::Trip(key, at)),
        2 => (0i64..70).prop_map(Event::Watermark),
        1 => Just(Event::Restart),
    ];
    prop::collection::vec(event, 1..60)
}

/// Windows of 10 ms that fire at every second element, or one without end.
fn factory(by_time: bool) -> Arc<dyn OperatorFactory> {
    let build = |trips: DataStream<Trip>| {
        let trips = trips.key_by(Trip::driver);
        drop(match by_time {
            true => {
                let windows = trips.window(TumblingEventTimeWindows::of(Duration::from_millis(10)));
                windows.trigger(CountTrigger::of(2)).process_stateful(Firings)
            }
            false => trips.window(GlobalWindows::create()).trigger(CountTrigger::of(2)).process_stateful(Firings),
        });
    };
    factory_of(build, "Window")
}

fn expected(events: &[Event], by_time: bool) -> Vec<Told> {
    let mut windows = BTreeMap::<(u8, i64), (Vec<i64>, i64)>::new();
    let (mut of_keys, mut told, mut watermark) = (BTreeMap::<u8, i64>::new(), Vec::new(), i64::MIN);
    for (number, event) in (0i64..).zip(events) {
        match event {
            Event::Trip(key, at) => {
                let start = if by_time { at.div_euclid(10) * 10 } else { i64::MIN };
                if by_time && start + 9 <= watermark {
                    continue;
                }
                let (trips, fired) = windows.entry((*key, start)).or_default();
                trips.push(number);
                if trips.len() % 2 == 0 {
                    *fired += 1;
                    let of_key = of_keys.entry(*key).or_default();
                    *of_key += 1;
                    told.push((key.to_string(), start, *fired, *of_key, trips.clone()));
                }
            }
            Event::Watermark(to) => {
                watermark = watermark.max(*to);
                windows.retain(|(_, start), _| !by_time || start + 9 > watermark);
            }
            // Watermarks begin anew.
            Event::Restart => watermark = i64::MIN,
        }
    }
    told
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_window_function_remembers_each_window_until_its_end_and_each_key_for_ever(
        events in events(), by_time: bool, cache in prop::option::of(caches()),
    ) {
        let factory = factory(by_time);
        let mut harness = open_in(&factory, cache);
        let (mut told, mut watermark) = (Vec::new(), i64::MIN);
        for (number, event) in (0i64..).zip(&events) {
            match event {
                Event::Trip(key, at) => {
                    harness.process(stamped(&[(trip(&key.to_string(), 0, number), *at)])).unwrap();
                }
                Event::Watermark(to) => {
                    watermark = watermark.max(*to);
                    harness.watermark(watermark).unwrap();
                }
                Event::Restart => {
                    let snapshot = harness.checkpoint(CheckpointId(1)).unwrap();
                    harness = open_in(&factory, cache);
                    harness.restore(&[snapshot]).unwrap();
                    watermark = i64::MIN;
                }
            }
            told.extend(taken::<Told>(&mut harness, 0).into_iter().map(|(told, _)| told));
        }
        prop_assert_eq!(told, expected(&events, by_time));
    }
}

#[test]
fn state_of_windows_is_refused_where_the_function_has_none() {
    let mut harness = open_in(&factory(true), None);
    harness.process(stamped(&[(trip("ann", 0, 1), 1), (trip("ann", 0, 2), 2)])).unwrap();
    let snapshot = harness.checkpoint(CheckpointId(1)).unwrap();
    let without = |trips: DataStream<Trip>| {
        let windows = trips.key_by(Trip::driver).window(TumblingEventTimeWindows::of(Duration::from_millis(10)));
        drop(windows.trigger(CountTrigger::of(2)).process(|_, _, trips, out| out.collect(trips.len() as i64)));
    };
    let mut harness = open_in(&factory_of(without, "Window"), None);
    let error = error_chain(&harness.restore(&[snapshot]).unwrap_err());
    assert!(error.contains("keys") || error.contains("a function remembers"), "{error}");
}

#[test]
#[should_panic(expected = "cannot see session windows, which merge")]
fn a_function_with_state_of_windows_that_merge_is_refused() {
    drop(factory_of(
        |trips| {
            let windows = EventTimeSessionWindows::with_gap(Duration::from_millis(10));
            drop(trips.key_by(Trip::driver).window(windows).process_stateful(Firings));
        },
        "Window",
    ));
}
