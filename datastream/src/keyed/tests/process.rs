//! Process functions: state, timers, side outputs.

use pelton_runtime_core::operator::OperatorContext;
use pelton_runtime_core::time::MAX_WATERMARK;

use super::*;
use crate::keyed::operators::functions::One;
use crate::keyed::operators::keyed::KeyedOperator;
use crate::keyed::{
    AggregateFunction, AggregatingState, FunctionResult, KeyedContext, KeyedProcessFunction, ListState, MapState,
    OpenContext, ProcessContext, ProcessFunction, ReducingState, TimeDomain, ValueState,
};
use crate::stream::{Collector, DataStream, OutputTag};

/// Sums a driver's fares until a timer 10 ms after the first of them.
#[derive(Clone)]
struct SumForAWhile {
    sum: ValueState<i64>,
}

impl SumForAWhile {
    fn new() -> Self {
        Self { sum: ValueState::new("sum") }
    }
}

impl KeyedProcessFunction for SumForAWhile {
    type Key = String;
    type In = Trip;
    type Out = (String, i64);

    fn open(&mut self, ctx: &mut OpenContext<'_>) -> FunctionResult {
        ctx.register(&mut self.sum)
    }

    fn process_element(
        &mut self,
        value: &Trip,
        ctx: &mut KeyedContext<'_, String>,
        _out: &mut Collector<'_, (String, i64)>,
    ) -> FunctionResult {
        if self.sum.value(ctx)?.is_none() {
            let end = ctx.timestamp().ok_or("the trip has no time")? + 10;
            ctx.timer_service().register_event_time_timer(end);
            ctx.timer_service().register_event_time_timer(end);
        }
        self.sum.modify(ctx, |sum| *sum = Some(sum.unwrap_or(0) + value.fare))?;
        Ok(())
    }

    fn on_timer(
        &mut self,
        _timestamp: i64,
        ctx: &mut KeyedContext<'_, String>,
        out: &mut Collector<'_, (String, i64)>,
    ) -> FunctionResult {
        assert_eq!(ctx.time_domain(), Some(TimeDomain::EventTime));
        let sum = self.sum.value(ctx)?.copied().ok_or("a timer without a sum")?;
        out.collect((ctx.current_key(), sum));
        self.sum.clear(ctx)?;
        Ok(())
    }
}

#[test]
fn timers_fire_once_in_the_order_of_time_with_their_keys_state() {
    let mut harness = harness_of(|trips| drop(trips.key_by(Trip::driver).process(SumForAWhile::new())), "KeyedProcess");
    harness.process(stamped(&[(trip("bob", 0, 1), 7), (trip("ann", 0, 2), 5), (trip("bob", 0, 10), 9)])).unwrap();
    harness.watermark(14).unwrap();
    assert_eq!(taken::<(String, i64)>(&mut harness, 0), []);
    harness.watermark(100).unwrap();
    assert_eq!(taken::<(String, i64)>(&mut harness, 0), [(("ann".to_owned(), 2), 15), (("bob".to_owned(), 11), 17)]);
    harness.watermark(MAX_WATERMARK).unwrap();
    assert_eq!(taken::<(String, i64)>(&mut harness, 0), []);
}

#[test]
fn endless_new_keys_with_ending_state_leave_nothing_behind() {
    let layout = crate::keyed::key_selector::KeyLayout {
        columns: pelton_runtime_core::window::KeyColumns::new(["driver"]),
        shape: crate::keyed::key_selector::KeyShape::Whole,
    };
    let sides = crate::stream::SideOutputs::default();
    let mut operator = KeyedOperator::new(One::new(SumForAWhile::new()), vec![layout], sides.writer());
    let runtime = OperatorHarness::runtime();
    let (mut outputs, mut wake_at) = (Vec::new(), None);
    operator.open(&mut OperatorContext::new(&runtime, 0, MIN_WATERMARK, &mut outputs, &mut wake_at)).unwrap();
    for round in 0..100i64 {
        let rows: Vec<(Trip, i64)> = (0..50).map(|n| (trip(&format!("{round}-{n}"), 0, n), round * 100)).collect();
        let mut cx = OperatorContext::new(&runtime, 0, round * 100 - 1, &mut outputs, &mut wake_at);
        operator.process(0, stamped(&rows), &mut cx).unwrap();
        assert_eq!(operator.key_counts().0, 50);
        let mut cx = OperatorContext::new(&runtime, 0, round * 100 + 50, &mut outputs, &mut wake_at);
        operator.watermark(round * 100 + 50, &mut cx).unwrap();
    }
    assert_eq!(operator.key_counts(), (0, 50), "no key is left, and the slots of one round serve all rounds");
}

/// Uses every kind of state and answers with what they hold.
#[derive(Clone)]
struct AllKinds {
    list: ListState<i64>,
    cities: MapState<i32, i64>,
    greatest: ReducingState<i64>,
    count: AggregatingState<Count>,
}

#[derive(Clone)]
struct Count;

impl AggregateFunction for Count {
    type In = Trip;
    type Accumulator = i64;
    type Out = i64;

    fn create_accumulator(&self) -> i64 {
        0
    }
    fn add(&self, _value: &Trip, accumulator: &mut i64) {
        *accumulator += 1;
    }
    fn get_result(&self, accumulator: &i64) -> i64 {
        *accumulator
    }
    fn merge(&self, into: &mut i64, other: &i64) {
        *into += other;
    }
}

impl KeyedProcessFunction for AllKinds {
    type Key = String;
    type In = Trip;
    type Out = (String, Vec<i64>, Vec<i32>, i64, i64);

    fn open(&mut self, ctx: &mut OpenContext<'_>) -> FunctionResult {
        ctx.register(&mut self.list)?;
        ctx.register(&mut self.cities)?;
        ctx.register(&mut self.greatest)?;
        ctx.register(&mut self.count)
    }

    fn process_element(
        &mut self,
        value: &Trip,
        ctx: &mut KeyedContext<'_, String>,
        out: &mut Collector<'_, Self::Out>,
    ) -> FunctionResult {
        self.list.add(ctx, value.fare)?;
        self.cities.put(ctx, value.city, value.fare)?;
        self.greatest.add(ctx, value.fare)?;
        self.count.add(ctx, value)?;
        let mut cities: Vec<i32> = self.cities.entries(ctx)?.map(|(city, _)| *city).collect();
        cities.sort_unstable();
        let greatest = self.greatest.get(ctx)?.copied().unwrap_or_default();
        let count = self.count.get(ctx)?.unwrap_or_default();
        out.collect((ctx.current_key(), self.list.get(ctx)?.to_vec(), cities, greatest, count));
        Ok(())
    }
}

#[test]
fn every_kind_of_state_is_kept_per_key() {
    let function = AllKinds {
        list: ListState::new("list"),
        cities: MapState::new("cities"),
        greatest: ReducingState::new("greatest", |a: &i64, b: &i64| *a.max(b)),
        count: AggregatingState::new("count", Count),
    };
    let mut harness = harness_of(|trips| drop(trips.key_by(Trip::driver).process(function)), "KeyedProcess");
    harness.process(stamped(&[(trip("ann", 2, 5), 0), (trip("bob", 9, 9), 0)])).unwrap();
    harness.process(stamped(&[(trip("ann", 1, 3), 0)])).unwrap();
    let last = taken::<<AllKinds as KeyedProcessFunction>::Out>(&mut harness, 0).pop().unwrap().0;
    assert_eq!(last, ("ann".to_owned(), vec![5, 3], vec![1, 2], 5, 2));
}

/// Registers nothing, or twice the same.
#[derive(Clone)]
struct Careless {
    states: Vec<ValueState<i64>>,
    register: bool,
}

impl KeyedProcessFunction for Careless {
    type Key = String;
    type In = Trip;
    type Out = i64;

    fn open(&mut self, ctx: &mut OpenContext<'_>) -> FunctionResult {
        match self.register {
            true => self.states.iter_mut().try_for_each(|state| ctx.register(state)),
            false => Ok(()),
        }
    }

    fn process_element(
        &mut self,
        value: &Trip,
        ctx: &mut KeyedContext<'_, String>,
        _out: &mut Collector<'_, i64>,
    ) -> FunctionResult {
        Ok(self.states[0].update(ctx, value.fare)?)
    }
}

#[test]
fn states_that_are_not_registered_or_registered_twice_are_errors_that_name_them() {
    let layout = || crate::keyed::key_selector::KeyLayout {
        columns: pelton_runtime_core::window::KeyColumns::new(["driver"]),
        shape: crate::keyed::key_selector::KeyShape::Whole,
    };
    let factory = |states: Vec<ValueState<i64>>, register| {
        move |_: &OperatorRuntime| -> OperatorResult<Box<dyn Operator>> {
            let function = Careless { states: states.clone(), register };
            let sides = crate::stream::SideOutputs::default().writer();
            Ok(Box::new(KeyedOperator::new(One::new(function), vec![layout()], sides)))
        }
    };
    let twice = OperatorHarness::open(&factory(vec![ValueState::new("a"), ValueState::new("a")], true));
    let error = pelton_runtime_core::failure::error_chain(&twice.err().unwrap());
    assert!(error.contains("state `a` is registered twice"), "{error}");
    let mut never = OperatorHarness::open(&factory(vec![ValueState::new("b")], false)).unwrap();
    let error = never.process(stamped(&[(trip("ann", 0, 0), 0)])).unwrap_err();
    let error = pelton_runtime_core::failure::error_chain(&error);
    assert!(error.contains("state `b` is used but was not registered in `open`"), "{error}");
}

/// Asks for a wall-clock timer per record, deletes those of even fares, and goes on from timer to timer.
#[derive(Clone)]
struct Alarm;

impl KeyedProcessFunction for Alarm {
    type Key = String;
    type In = Trip;
    type Out = i64;

    fn process_element(
        &mut self,
        value: &Trip,
        ctx: &mut KeyedContext<'_, String>,
        _out: &mut Collector<'_, i64>,
    ) -> FunctionResult {
        let mut timers = ctx.timer_service();
        let at = timers.current_processing_time() + value.fare;
        timers.register_processing_time_timer(at);
        if value.fare % 2 == 0 {
            timers.delete_processing_time_timer(at);
        }
        Ok(())
    }

    fn on_timer(
        &mut self,
        timestamp: i64,
        ctx: &mut KeyedContext<'_, String>,
        out: &mut Collector<'_, i64>,
    ) -> FunctionResult {
        out.collect(timestamp);
        if timestamp == 105 {
            ctx.timer_service().register_processing_time_timer(106);
        }
        Ok(())
    }
}

#[test]
fn timers_of_processing_time_wake_the_task_and_may_be_deleted() {
    let mut harness = harness_of(|trips| drop(trips.key_by(Trip::driver).process(Alarm)), "KeyedProcess");
    harness.advance_processing_time(100).unwrap();
    harness.process(stamped(&[(trip("a", 0, 5), 0), (trip("b", 0, 8), 0), (trip("c", 0, 11), 0)])).unwrap();
    assert_eq!(harness.next_wake_up(), Some(105));
    harness.advance_processing_time(110).unwrap();
    assert_eq!(taken::<i64>(&mut harness, 0), [(105, MIN_WATERMARK), (106, MIN_WATERMARK)]);
    assert_eq!(harness.next_wake_up(), Some(111));
}

/// Splits by fare.
#[derive(Clone)]
struct Split {
    cheap: OutputTag<String>,
}

impl ProcessFunction for Split {
    type In = Trip;
    type Out = i64;

    fn process_element(
        &mut self,
        value: &Trip,
        ctx: &mut ProcessContext<'_>,
        out: &mut Collector<'_, i64>,
    ) -> FunctionResult {
        match value.fare {
            fare if fare < 0 => return Err(format!("a fare of {fare}").into()),
            fare if fare < 10 => ctx.output(&self.cheap, value.driver.as_str()),
            fare => out.collect(fare),
        }
        Ok(())
    }
}

#[test]
fn a_process_function_has_side_outputs_and_may_fail_the_job() {
    let cheap = OutputTag::<String>::new("cheap");
    let function = Split { cheap: cheap.clone() };
    let build = |trips: DataStream<Trip>| drop(trips.process(function).get_side_output(&cheap));
    let mut harness = harness_of(build, "Process");
    let rows = stamped(&[(trip("ann", 0, 5), 1), (trip("bob", 0, 50), 2), (trip("cid", 0, 6), 3)]);
    harness.process(rows.clone()).unwrap();
    assert_eq!(taken::<i64>(&mut harness, 0), [(50, 2)]);
    harness.process(rows).unwrap();
    assert_eq!(taken::<String>(&mut harness, 1), [("ann".to_owned(), 1), ("cid".to_owned(), 3)]);
    let error = harness.process(stamped(&[(trip("ann", 0, -1), 1)])).unwrap_err();
    assert_eq!(error.to_string(), "a fare of -1");
}
