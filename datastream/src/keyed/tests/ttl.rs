//! State that expires: what functions see of it, and that it is freed.

use std::time::Duration;

use pelton_runtime_core::operator::OperatorContext;

use super::*;
use crate::keyed::operators::functions::One;
use crate::keyed::operators::keyed::KeyedOperator;
use crate::keyed::{
    AggregatingState, FunctionResult, KeyedContext, KeyedProcessFunction, ListState, MapState, OpenContext,
    ReducingState, StateTtlConfig, StateVisibility, UpdateType, ValueState,
};
use crate::stream::Collector;

/// Writes what a trip of a positive fare brings into every kind of state, and tells what is seen at any other.
#[derive(Clone)]
struct Kinds {
    value: ValueState<i64>,
    list: ListState<i64>,
    map: MapState<i32, i64>,
    sum: ReducingState<i64>,
    mean: AggregatingState<MeanFare>,
}

impl Kinds {
    fn new(ttl: StateTtlConfig) -> Self {
        Self {
            value: ValueState::new("value").with_ttl(ttl),
            list: ListState::new("list").with_ttl(ttl),
            map: MapState::new("map").with_ttl(ttl),
            sum: ReducingState::new("sum", |a: &i64, b: &i64| a + b).with_ttl(ttl),
            mean: AggregatingState::new("mean", MeanFare).with_ttl(ttl),
        }
    }
}

impl KeyedProcessFunction for Kinds {
    type Key = String;
    type In = Trip;
    type Out = String;

    fn open(&mut self, ctx: &mut OpenContext<'_>) -> FunctionResult {
        ctx.register(&mut self.value)?;
        ctx.register(&mut self.list)?;
        ctx.register(&mut self.map)?;
        ctx.register(&mut self.sum)?;
        ctx.register(&mut self.mean)
    }

    fn process_element(
        &mut self,
        trip: &Trip,
        ctx: &mut KeyedContext<'_, String>,
        out: &mut Collector<'_, String>,
    ) -> FunctionResult {
        if trip.fare > 0 {
            self.value.update(ctx, trip.fare)?;
            self.list.add(ctx, trip.fare)?;
            self.map.put(ctx, trip.city, trip.fare)?;
            self.sum.add(ctx, trip.fare)?;
            self.mean.add(ctx, trip)?;
            return Ok(());
        }
        let (value, list, sum) = (self.value.value(ctx)?, self.list.get(ctx)?, self.sum.get(ctx)?);
        let (mut map, mean) = (self.map.entries(ctx)?.map(|(city, _)| *city).collect::<Vec<_>>(), self.mean.get(ctx)?);
        map.sort_unstable();
        assert_eq!(self.map.is_empty(ctx)?, map.is_empty());
        out.collect(format!("{value:?} {list:?} {map:?} {sum:?} {mean:?}").as_str());
        Ok(())
    }
}

/// What is seen at each of these times of what was written before; fares of 0 look.
fn seen(ttl: StateTtlConfig, trips: &[(i64, i32, i64)]) -> Vec<String> {
    let mut harness = harness_of(|trips| drop(trips.key_by(Trip::driver).process(Kinds::new(ttl))), "KeyedProcess");
    for (at, city, fare) in trips {
        harness.set_processing_time(*at);
        harness.process(stamped(&[(trip("ann", *city, *fare), 0)])).unwrap();
    }
    taken::<String>(&mut harness, 0).into_iter().map(|(seen, _)| seen).collect()
}

fn ttl(millis: u64) -> StateTtlConfig {
    StateTtlConfig::new(Duration::from_millis(millis))
}

const NOTHING: &str = "None [] [] None None";

#[test]
fn state_is_gone_its_time_to_live_after_it_was_written() {
    assert_eq!(
        seen(ttl(10), &[(100, 1, 5), (105, 2, 7), (109, 0, 0), (110, 0, 0), (114, 0, 0), (115, 0, 0)]),
        [
            "Some(7) [5, 7] [1, 2] Some(12) Some(6.0)",
            "Some(7) [7] [2] Some(12) Some(6.0)",
            "Some(7) [7] [2] Some(12) Some(6.0)",
            NOTHING
        ]
    );
}

#[test]
fn reading_prolongs_the_life_of_state_only_where_it_is_told_to() {
    let looks = [(100, 1, 5), (109, 0, 0), (118, 0, 0), (128, 0, 0)];
    let there = "Some(5) [5] [1] Some(5) Some(5.0)";
    assert_eq!(seen(ttl(10), &looks), [there, NOTHING, NOTHING]);
    assert_eq!(seen(ttl(10).update_type(UpdateType::OnReadAndWrite), &looks), [there, there, NOTHING]);
}

#[test]
fn expired_state_is_seen_until_it_is_dropped_where_that_is_allowed() {
    let visible = ttl(10).state_visibility(StateVisibility::ReturnExpiredIfNotCleanedUp);
    assert_eq!(seen(visible, &[(100, 1, 5), (110, 0, 0), (110, 0, 0)]), ["Some(5) [5] [1] Some(5) Some(5.0)", NOTHING]);
}

#[test]
fn state_of_keys_that_never_come_again_is_freed_while_others_come() {
    let layout = crate::keyed::key_selector::KeyLayout {
        columns: pelton_runtime_core::window::KeyColumns::new(["driver"]),
        shape: crate::keyed::key_selector::KeyShape::Whole,
    };
    let sides = crate::stream::SideOutputs::default();
    let mut operator = KeyedOperator::new(One::new(Kinds::new(ttl(10))), vec![layout], sides.writer());
    let runtime = OperatorHarness::runtime();
    let (mut outputs, mut wake_at) = (Vec::new(), None);
    operator.open(&mut OperatorContext::new(&runtime, 0, MIN_WATERMARK, &mut outputs, &mut wake_at)).unwrap();
    for round in 0..1000 {
        let rows: Vec<(Trip, i64)> = (0..20).map(|n| (trip(&format!("{round}-{n}"), 0, 1), 0)).collect();
        let mut cx = OperatorContext::new(&runtime, round, MIN_WATERMARK, &mut outputs, &mut wake_at);
        operator.process(0, stamped(&rows), &mut cx).unwrap();
    }
    let (keys, slots) = operator.key_counts();
    assert!((200..=400).contains(&keys) && slots <= 400, "{keys} keys in {slots} slots");
    let mut cx = OperatorContext::new(&runtime, 1005, MIN_WATERMARK, &mut outputs, &mut wake_at);
    operator.prepare_checkpoint(&mut cx).unwrap();
    assert_eq!(operator.key_counts().0, 80, "what has expired is not written");
}
