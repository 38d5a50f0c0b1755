//! What functions of windows see and do beside their contents.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use super::*;
use crate::accumulators::LongCounter;
use crate::keyed::{
    CountEvictor, CountTrigger, FunctionResult, KeyedStream, OpenContext, ProcessWindowFunction,
    TumblingEventTimeWindows, ValueState, WindowContext, WindowedStream,
};
use crate::operator_state::OperatorListState;
use crate::stream::{Collector, DataStream, OutputTag};
use crate::testing::{Harness, TestSink, TestSource, mini_cluster};

/// How many functions of the tests are open, by the test's own counter.
#[derive(Debug, Clone, Copy)]
struct Open(&'static AtomicI64);

/// Says the key, the end, the fares and the clocks; fails at a negative fare; tells of free trips beside.
#[derive(Clone)]
struct Told {
    free: OutputTag<String>,
    open: Open,
}

type Said = (String, i64, Vec<i64>, (i64, i64));

impl ProcessWindowFunction for Told {
    type Key = String;
    type In = Trip;
    type Out = Said;

    fn open(&mut self, ctx: &mut OpenContext<'_>) -> FunctionResult {
        self.open.0.fetch_add(1, Ordering::SeqCst);
        ctx.runtime().metrics.gauge("open").set(1.0);
        Ok(())
    }

    fn process(
        &mut self,
        ctx: &mut WindowContext<'_, String>,
        trips: &[Trip],
        out: &mut Collector<'_, Said>,
    ) -> FunctionResult {
        if let Some(trip) = trips.iter().find(|trip| trip.fare < 0) {
            return Err(format!("a fare of {} in {:?}", trip.fare, ctx.window()).into());
        }
        for _ in trips.iter().filter(|trip| trip.fare == 0) {
            ctx.output(&self.free, ctx.key().as_str());
        }
        let fares: Vec<i64> = trips.iter().map(|trip| trip.fare).collect();
        let clocks = (ctx.current_watermark(), ctx.current_processing_time());
        out.collect((ctx.key().as_str(), ctx.window().end, fares, clocks));
        Ok(())
    }

    fn close(&mut self) {
        self.open.0.fetch_sub(1, Ordering::SeqCst);
    }
}

struct Run {
    harness: Harness,
    input: TestSource<Trip>,
    said: TestSink<Said>,
    free: TestSink<String>,
}

fn run(open: &'static AtomicI64, build: impl FnOnce(WindowedStream<Trip, String>, Told) -> DataStream<Said>) -> Run {
    let mut harness = Harness::new();
    let (trips, input) = harness.source::<Trip>();
    let free = OutputTag::new("free");
    let windows = trips.key_by(Trip::driver).window(TumblingEventTimeWindows::of(Duration::from_millis(10)));
    let told = build(windows, Told { free: free.clone(), open: Open(open) });
    let free = harness.collect(told.get_side_output(&free));
    let said = harness.collect(told);
    Run { harness, input, said, free }
}

#[test]
fn a_window_function_sees_the_clocks_and_its_side_outputs_have_the_windows_time() {
    static OPEN: AtomicI64 = AtomicI64::new(0);
    for triggered in [false, true] {
        let mut run = run(&OPEN, |windows, told| match triggered {
            false => windows.process_with(told),
            true => windows.evictor(CountEvictor::of(2)).process_with(told),
        });
        run.harness.advance_processing_time(77).unwrap();
        let trips = [("a", 5, 1), ("a", 0, 2), ("a", 7, 9), ("b", 1, 12)];
        run.harness.push(&run.input, trips.map(|(driver, fare, at)| (trip(driver, 0, fare), at))).unwrap();
        run.harness.watermark(&run.input, 11).unwrap();
        let fares = if triggered { vec![0, 7] } else { vec![5, 0, 7] };
        let ((key, end, seen, (watermark, now)), time) = run.said.take().remove(0);
        assert_eq!((key.as_str(), end, seen, time), ("a", 10, fares, Some(9)));
        assert_eq!((watermark, now), (11, 77));
        assert_eq!(run.free.take(), [("a".to_owned(), Some(9))]);
        assert_eq!(OPEN.load(Ordering::SeqCst), 1);
        drop(run);
        assert_eq!(OPEN.load(Ordering::SeqCst), 0, "it is closed");
    }
}

#[test]
fn an_error_of_a_window_function_is_the_jobs_and_the_function_is_closed() {
    static OPEN: AtomicI64 = AtomicI64::new(0);
    for triggered in [false, true] {
        let mut run = run(&OPEN, |windows, told| match triggered {
            false => windows.process_with(told),
            true => windows.trigger(CountTrigger::of(1)).process_with(told),
        });
        let pushed = run.harness.push(&run.input, [(trip("a", 0, -3), 2)]);
        let failed = pushed.and_then(|()| run.harness.end()).expect_err("the function fails");
        let mut causes = vec![failed.to_string()];
        let mut source = std::error::Error::source(&failed);
        while let Some(cause) = source {
            causes.push(cause.to_string());
            source = cause.source();
        }
        assert!(causes.iter().any(|cause| cause.contains("a fare of -3")), "{causes:?}");
        drop(run);
        assert_eq!(OPEN.load(Ordering::SeqCst), 0);
    }
}

/// Passes what it sees with the window's end, and counts windows.
#[derive(Clone)]
struct Ends<T> {
    windows: LongCounter,
    seen: std::marker::PhantomData<fn() -> T>,
}

impl<T> Ends<T> {
    fn new() -> Self {
        Self { windows: LongCounter::default(), seen: std::marker::PhantomData }
    }
}

impl<T: Record> ProcessWindowFunction for Ends<T> {
    type Key = String;
    type In = T;
    type Out = (i64, T);

    fn open(&mut self, ctx: &mut OpenContext<'_>) -> FunctionResult {
        self.windows = ctx.accumulator("windows")?;
        Ok(())
    }

    fn process(
        &mut self,
        ctx: &mut WindowContext<'_, String>,
        elements: &[T],
        out: &mut Collector<'_, (i64, T)>,
    ) -> FunctionResult {
        self.windows.add(1);
        let [element] = elements else { return Err(format!("{} elements", elements.len()).into()) };
        out.collect((ctx.window().end, element));
        Ok(())
    }
}

#[test]
fn a_window_function_behind_a_reduction_or_an_aggregation_sees_one_element() {
    let mut harness = Harness::new();
    let (trips, input) = harness.source::<Trip>();
    let windows = |trips: &DataStream<Trip>| {
        trips.clone().key_by(Trip::driver).window(TumblingEventTimeWindows::of(Duration::from_millis(10)))
    };
    let more = |a: &Trip, b: &Trip| trip(&a.driver, a.city, a.fare + b.fare);
    let reduced = harness.collect(windows(&trips).reduce_process(more, Ends::new()));
    let mean = harness.collect(windows(&trips).aggregate_process(MeanFare, Ends::<f64>::new()));
    let evicted = windows(&trips).evictor(CountEvictor::of(1));
    let evicted = harness.collect(evicted.reduce_process(more, Ends::new()));
    let evicted_mean = windows(&trips).evictor(CountEvictor::of(1));
    let evicted_mean = harness.collect(evicted_mean.aggregate_process(MeanFare, Ends::<f64>::new()));
    harness.push(&input, [(trip("a", 0, 3), 2), (trip("a", 0, 4), 3)]).unwrap();
    harness.end().unwrap();
    assert_eq!(reduced.take_records(), [(10, trip("a", 0, 7))]);
    assert_eq!(mean.take_records(), [(10, 3.5)]);
    assert_eq!(evicted.take_records(), [(10, trip("a", 0, 4))]);
    assert_eq!(evicted_mean.take_records(), [(10, 4.0)]);
}

#[test]
fn accumulators_of_window_functions_are_in_the_jobs_result() {
    let env = mini_cluster(2);
    let numbers = env.from_sequence(1, 100).map(|number: &i64| (format!("key {}", number % 10), *number));
    let windows = numbers.key_by(crate::record::field::<0, _>()).count_window(10);
    windows.reduce_process(|a, b| (a.0.clone(), a.1 + b.1), Ends::<(String, i64)>::new()).discard();
    let result = env.execute("windows").unwrap();
    assert_eq!(result.accumulator_result("windows").and_then(|windows| windows.as_long()), Some(10));
}

/// Registers what it must not.
#[derive(Clone)]
struct Remembers {
    of_key: Option<ValueState<i64>>,
    of_subtask: Option<OperatorListState<i64>>,
}

impl ProcessWindowFunction for Remembers {
    type Key = String;
    type In = Trip;
    type Out = i64;

    fn open(&mut self, ctx: &mut OpenContext<'_>) -> FunctionResult {
        self.of_key.iter_mut().try_for_each(|state| ctx.register(state))?;
        self.of_subtask.iter_mut().try_for_each(|state| ctx.register(state))
    }

    fn process(
        &mut self,
        _ctx: &mut WindowContext<'_, String>,
        _trips: &[Trip],
        _out: &mut Collector<'_, i64>,
    ) -> FunctionResult {
        Ok(())
    }
}

#[test]
fn state_of_a_window_function_is_refused_by_its_name() {
    let refused = |function: Remembers| {
        let windowed = |trips: KeyedStream<Trip, String>| {
            trips.window(TumblingEventTimeWindows::of(Duration::from_millis(10))).process_with(function)
        };
        let factory = factory_of(|trips| drop(windowed(trips.key_by(Trip::driver))), "Window");
        OperatorHarness::open(factory.as_ref()).err().expect("it is refused").to_string()
    };
    let of_key = refused(Remembers { of_key: Some(ValueState::new("visits")), of_subtask: None });
    assert!(of_key.contains("registers `visits`") && of_key.contains("KeyedProcessFunction"), "{of_key}");
    let of_subtask = refused(Remembers { of_key: None, of_subtask: Some(OperatorListState::split("rows")) });
    assert!(of_subtask.contains("registers `rows`"), "{of_subtask}");
}
