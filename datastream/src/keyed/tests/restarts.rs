//! Keyed operators that leave with a checkpoint and return at another parallelism: what they answer in the end is what
//! they would have answered without. And what is refused.

use std::fmt::Debug;
use std::time::Duration;

use pelton_runtime_core::failure::error_chain;
use pelton_runtime_core::operator::harness::ParallelHarness;
use pelton_runtime_core::state::cold::MemoryColdStores;
use pelton_runtime_core::time::MAX_WATERMARK;
use pelton_runtime_core::window::KeyColumns;
use proptest::prelude::*;

use super::*;
use crate::keyed::{
    AggregatingState, EventTimeSessionWindows, FunctionResult, KeyedContext, KeyedProcessFunction, ListState, MapState,
    OpenContext, ReducingState, SlidingEventTimeWindows, State, StateTtlConfig, TimeDomain, TumblingEventTimeWindows,
    ValueState, WindowAssigner,
};
use crate::stream::{Collector, DataStream};

#[derive(Debug, Clone)]
enum Event {
    Rows(Vec<(Trip, EpochMillis)>),
    Watermark(EpochMillis),
    WallClock(EpochMillis),
    Restart(u32),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let row =
        ("[a-h]", 0i32..5, 1i64..50, 0i64..200).prop_map(|(driver, city, fare, at)| (Trip { driver, city, fare }, at));
    let event = prop_oneof![
        4 => prop::collection::vec(row, 1..12).prop_map(Event::Rows),
        2 => (0i64..250).prop_map(Event::Watermark),
        1 => (0i64..250).prop_map(Event::WallClock),
        2 => (1u32..5).prop_map(Event::Restart),
    ];
    prop::collection::vec(event, 1..20).prop_map(|mut events| {
        let (mut watermark, mut clock) = (0, 0);
        for event in &mut events {
            let (time, latest) = match event {
                Event::Watermark(time) => (time, &mut watermark),
                Event::WallClock(time) => (time, &mut clock),
                _ => continue,
            };
            *time = (*latest).max(*time);
            *latest = *time;
        }
        events.extend([Event::WallClock(10_000), Event::Watermark(MAX_WATERMARK - 1)]);
        events
    })
}

/// All results with their times, as text and sorted; with or without the restarts. Every other restart takes the state
/// from the heap to a store without a cache, or back.
fn run<U: Record + Debug>(factory: &Arc<dyn OperatorFactory>, events: &[Event], restarts: bool) -> Vec<String> {
    let mut harness = by_driver(factory.clone());
    let mut in_store = false;
    let mut results = Vec::new();
    for event in events {
        match event {
            Event::Rows(rows) => harness.process(&stamped(rows)).unwrap(),
            Event::Watermark(watermark) => harness.watermark(*watermark).unwrap(),
            Event::WallClock(now) => harness.advance_processing_time(*now).unwrap(),
            Event::Restart(_) if !restarts => {}
            Event::Restart(parallelism) => {
                let snapshots = harness.checkpoint().unwrap();
                in_store = !in_store;
                harness.set_cold_stores(in_store.then(|| Arc::new(MemoryColdStores::new(0)) as _));
                harness.restart(&snapshots, *parallelism).unwrap();
            }
        }
        for instance in harness.instances() {
            results.extend(taken::<U>(instance, 0).iter().map(|result| format!("{result:?}")));
        }
    }
    results.sort();
    results
}

fn by_driver(factory: Arc<dyn OperatorFactory>) -> ParallelHarness {
    ParallelHarness::open(factory, KeyColumns::new(["driver"]), 1).unwrap()
}

/// Keeps something in every kind of state until a timer comes, on either clock.
#[derive(Clone)]
struct Everything {
    last: ValueState<Option<i64>>,
    fares: ListState<Trip>,
    cities: MapState<i32, (i64, Option<String>)>,
    greatest: ReducingState<i64>,
    mean: AggregatingState<MeanFare>,
    lately: Lately,
}

/// States that expire.
#[derive(Clone)]
struct Lately {
    last: ValueState<i64>,
    fares: ListState<i64>,
    cities: MapState<i32, i64>,
}

impl Everything {
    fn new() -> Self {
        Self {
            last: ValueState::new("last"),
            fares: ListState::new("fares"),
            cities: MapState::new("cities"),
            greatest: ReducingState::new("greatest", |a: &i64, b: &i64| *a.max(b)),
            mean: AggregatingState::new("mean", MeanFare),
            lately: Lately {
                last: ValueState::new("lately-last").with_ttl(ttl()),
                fares: ListState::new("lately-fares").with_ttl(ttl()),
                cities: MapState::new("lately-cities").with_ttl(ttl()),
            },
        }
    }

    fn told(&self, ctx: &mut KeyedContext<'_, String>) -> FunctionResult<String> {
        let fares: Vec<i64> = self.fares.get(ctx)?.iter().map(|trip| trip.fare).collect();
        let mut cities: Vec<_> = self.cities.entries(ctx)?.map(|(city, value)| (*city, value.clone())).collect();
        cities.sort();
        let (last, greatest, mean) = (self.last.value(ctx)?, self.greatest.get(ctx)?, self.mean.get(ctx)?);
        let lately = self.lately.told(ctx)?;
        Ok(format!("{} {last:?} {fares:?} {cities:?} {greatest:?} {mean:?} {lately}", ctx.current_key()))
    }
}

fn ttl() -> StateTtlConfig {
    StateTtlConfig::new(Duration::from_millis(60))
}

impl Lately {
    fn told(&self, ctx: &KeyedContext<'_, String>) -> FunctionResult<String> {
        let mut cities: Vec<_> = self.cities.entries(ctx)?.map(|(city, value)| (*city, *value)).collect();
        cities.sort_unstable();
        Ok(format!("{:?} {:?} {cities:?}", self.last.value(ctx)?, self.fares.get(ctx)?))
    }
}

impl KeyedProcessFunction for Everything {
    type Key = String;
    type In = Trip;
    type Out = String;

    fn open(&mut self, ctx: &mut OpenContext<'_>) -> FunctionResult {
        ctx.register(&mut self.last)?;
        ctx.register(&mut self.fares)?;
        ctx.register(&mut self.cities)?;
        ctx.register(&mut self.greatest)?;
        ctx.register(&mut self.mean)?;
        ctx.register(&mut self.lately.last)?;
        ctx.register(&mut self.lately.fares)?;
        ctx.register(&mut self.lately.cities)
    }

    fn process_element(
        &mut self,
        value: &Trip,
        ctx: &mut KeyedContext<'_, String>,
        out: &mut Collector<'_, String>,
    ) -> FunctionResult {
        self.last.update(ctx, (value.fare % 3 > 0).then_some(value.fare))?;
        self.fares.add(ctx, value.clone())?;
        let named = (value.fare % 2 > 0).then(|| value.driver.clone());
        self.cities.put(ctx, value.city, (value.fare, named))?;
        self.greatest.add(ctx, value.fare)?;
        self.mean.add(ctx, value)?;
        self.lately.last.update(ctx, value.fare)?;
        self.lately.fares.add(ctx, value.fare)?;
        self.lately.cities.put(ctx, value.city, value.fare)?;
        let at = ctx.timestamp().unwrap_or(0);
        let mut timers = ctx.timer_service();
        match value.fare % 5 {
            0 => timers.register_event_time_timer(at + 10),
            1 => timers.delete_event_time_timer(at + 10),
            2 => timers.register_processing_time_timer(at),
            _ => {}
        }
        let told = self.told(ctx)?;
        out.collect(told.as_str());
        Ok(())
    }

    fn on_timer(
        &mut self,
        timestamp: i64,
        ctx: &mut KeyedContext<'_, String>,
        out: &mut Collector<'_, String>,
    ) -> FunctionResult {
        let told = self.told(ctx)?;
        out.collect(format!("{:?} {timestamp} {told}", ctx.time_domain()).as_str());
        if ctx.time_domain() == Some(TimeDomain::ProcessingTime) {
            self.cities.clear(ctx)?;
            return self.fares.clear(ctx).map_err(Into::into);
        }
        self.last.clear(ctx)?;
        self.greatest.clear(ctx)?;
        self.mean.clear(ctx)?;
        Ok(())
    }
}

fn processing<F: KeyedProcessFunction<Key = String, In = Trip>>(function: F) -> Arc<dyn OperatorFactory> {
    factory_of(|trips| drop(trips.key_by(Trip::driver).process(function)), "KeyedProcess")
}

fn assigners() -> impl Strategy<Value = WindowAssigner> {
    let millis = Duration::from_millis;
    prop_oneof![
        (1u64..40).prop_map(move |size| TumblingEventTimeWindows::of(millis(size))),
        (1u64..4, 1u64..20)
            .prop_map(move |(panes, slide)| SlidingEventTimeWindows::of(millis(panes * slide), millis(slide))),
        (1u64..30).prop_map(move |gap| EventTimeSessionWindows::with_gap(millis(gap))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn state_and_timers_of_functions_survive_restarts(events in events()) {
        let factory = processing(Everything::new());
        prop_assert_eq!(run::<String>(&factory, &events, true), run::<String>(&factory, &events, false));
    }

    #[test]
    fn rolling_results_survive_restarts(events in events()) {
        let by = |name, build: fn(DataStream<Trip>)| factory_of(build, name);
        for factory in [
            by("Keyed Reduce", |trips| drop(trips.key_by(Trip::driver).reduce(|a, b| trip(&b.driver, a.city, a.fare + b.fare)))),
            by("Keyed Aggregation", |trips| drop(trips.key_by(Trip::driver).sum(Trip::fare))),
            by("Keyed Aggregation", |trips| drop(trips.key_by(Trip::driver).max_by(Trip::fare))),
        ] {
            prop_assert_eq!(run::<Trip>(&factory, &events, true), run::<Trip>(&factory, &events, false));
        }
    }

    #[test]
    fn windows_of_functions_survive_restarts(
        assigner in prop::option::weighted(0.8, assigners()), lateness in prop_oneof![Just(0u64), 0u64..60], events in events(),
    ) {
        let windowed = |trips: DataStream<Trip>| match assigner {
            Some(assigner) => trips.key_by(Trip::driver).window(assigner),
            None => trips.key_by(Trip::driver).window(EventTimeSessionWindows::with_dynamic_gap(
                |trip: &Trip| Duration::from_millis(trip.fare.unsigned_abs() + 1),
            )),
        };
        let windowed = |trips| windowed(trips).allowed_lateness(Duration::from_millis(lateness));
        let reduce = factory_of(
            |trips| drop(windowed(trips).reduce(|a, b| trip(&b.driver, a.city, a.fare + b.fare))), "Window",
        );
        prop_assert_eq!(run::<Trip>(&reduce, &events, true), run::<Trip>(&reduce, &events, false));
        let aggregate = factory_of(|trips| drop(windowed(trips).aggregate(MeanFare)), "Window");
        prop_assert_eq!(run::<f64>(&aggregate, &events, true), run::<f64>(&aggregate, &events, false));
        let all = factory_of(
            |trips| drop(windowed(trips).process(|key, window, rows, out: &mut Collector<'_, String>| {
                let fares: Vec<i64> = rows.iter().map(|row| row.fare).collect();
                out.collect(format!("{key} {window} {fares:?}").as_str());
            })),
            "Window",
        );
        prop_assert_eq!(run::<String>(&all, &events, true), run::<String>(&all, &events, false));
    }
}

#[test]
fn timers_of_processing_time_wake_the_task_after_a_restart() {
    let mut harness = by_driver(processing(Everything::new()));
    harness.process(&stamped(&[(trip("ann", 1, 7), 50), (trip("ann", 1, 12), 30)])).unwrap();
    let snapshots = harness.checkpoint().unwrap();
    harness.restart(&snapshots, 1).unwrap();
    assert_eq!(harness.instances()[0].next_wake_up(), Some(30));
}

/// Keeps one value.
#[derive(Clone)]
struct Keeps<S>(S);

impl<S: State + Keep + Clone + Send + Sync + 'static> KeyedProcessFunction for Keeps<S> {
    type Key = String;
    type In = Trip;
    type Out = String;

    fn open(&mut self, ctx: &mut OpenContext<'_>) -> FunctionResult {
        ctx.register(&mut self.0)
    }

    fn process_element(
        &mut self,
        value: &Trip,
        ctx: &mut KeyedContext<'_, String>,
        out: &mut Collector<'_, String>,
    ) -> FunctionResult {
        let before = self.0.keep(value, ctx)?;
        out.collect(before.as_str());
        Ok(())
    }
}

/// Tells what there was before and keeps something of a trip.
trait Keep {
    fn keep(&self, trip: &Trip, ctx: &mut KeyedContext<'_, String>) -> FunctionResult<String>;
}

impl<V: Record + Debug + From<i32>> Keep for ValueState<V> {
    fn keep(&self, trip: &Trip, ctx: &mut KeyedContext<'_, String>) -> FunctionResult<String> {
        let before = format!("{:?}", self.value(ctx)?);
        self.update(ctx, V::from(trip.city))?;
        Ok(before)
    }
}

macro_rules! version {
    ($name:ident { $($field:ident: $type:ty = $value:expr),* }) => {
        #[derive(Debug, Clone, Record)]
        struct $name { $($field: $type),* }

        impl From<i32> for $name {
            fn from(city: i32) -> Self {
                let with: fn(i32) -> Self = |_city| Self { $($field: $value(_city)),* };
                with(city)
            }
        }
    };
}

version!(Written { city: i32 = i32::from, fare: i64 = i64::from });
version!(Grown { tip: Option<f64> = |_| None, fare: i64 = i64::from, city: i64 = i64::from });
version!(Narrowed { city: i16 = |city| city as i16, fare: i64 = i64::from });
version!(Demanding { city: i32 = i32::from, fare: i64 = i64::from, tip: f64 = f64::from });
version!(Shrunk { city: i32 = i32::from });

/// What a function that keeps `V` under `name` tells of the state of one that kept [`Written`] as `trip`.
fn upgraded<V: Record + Debug + From<i32>>(name: &str) -> Result<Vec<String>, String> {
    let mut harness = by_driver(processing(Keeps(ValueState::<Written>::new("trip"))));
    harness.process(&stamped(&[(trip("ann", 7, 1), 0)])).unwrap();
    let snapshots = harness.checkpoint().unwrap();
    let mut harness = by_driver(processing(Keeps(ValueState::<V>::new(name))));
    harness.restart(&snapshots, 2).map_err(|error| error_chain(&error))?;
    harness.process(&stamped(&[(trip("ann", 8, 1), 0), (trip("bob", 9, 1), 0)])).unwrap();
    let mut told: Vec<String> = harness
        .instances()
        .iter_mut()
        .flat_map(|instance| taken::<String>(instance, 0))
        .map(|(told, _)| told)
        .collect();
    told.sort();
    Ok(told)
}

#[test]
fn compatible_changes_of_a_states_type_just_work() {
    assert_eq!(upgraded::<Written>("trip").unwrap(), ["None", "Some(Written { city: 7, fare: 7 })"]);
    assert_eq!(upgraded::<Grown>("trip").unwrap(), ["None", "Some(Grown { tip: None, fare: 7, city: 7 })"]);
}

#[test]
fn other_changes_are_refused_in_a_sentence_that_names_state_and_field() {
    let refused = |result: Result<Vec<String>, String>, sentence: &str| {
        let error = result.unwrap_err();
        assert!(error.contains(sentence), "{error}");
    };
    refused(
        upgraded::<Narrowed>("trip"),
        "state `trip` cannot be restored: its field `city` has type Int32 in the checkpoint, but the program needs Int16",
    );
    refused(
        upgraded::<Demanding>("trip"),
        "state `trip` cannot be restored: its field `tip` is missing in the checkpoint, and only an optional field can be \
         added",
    );
    refused(
        upgraded::<Shrunk>("trip"),
        "state `trip` cannot be restored: its field `fare` is in the checkpoint, but the program has it no more",
    );
    refused(upgraded::<i32>("trip"), "state `trip` cannot be restored: it has type Struct");
    refused(upgraded::<Written>("trips"), "the checkpoint has state `trip`, which the operator registers no more");
}

#[test]
fn keys_of_another_type_are_refused() {
    let mut harness = by_driver(processing(Keeps(ValueState::<i64>::new("trip"))));
    harness.process(&stamped(&[(trip("ann", 7, 1), 0)])).unwrap();
    let snapshots = harness.checkpoint().unwrap();
    let rolling = factory_of(|trips| drop(trips.key_by(Trip::city).sum(Trip::fare)), "Keyed Aggregation");
    let mut other = ParallelHarness::open(rolling, KeyColumns::new(["city"]), 1).unwrap();
    let error = error_chain(&other.restart(&snapshots, 1).unwrap_err());
    assert!(error.contains("the checkpoint has state `keyed-state` for this operator"), "{error}");

    let by_name = factory_of(|trips| drop(trips.key_by(Trip::driver).max_by(Trip::fare)), "Keyed Aggregation");
    let by_city = factory_of(|trips| drop(trips.key_by(Trip::city).max_by(Trip::fare)), "Keyed Aggregation");
    let mut harness = by_driver(by_name);
    harness.process(&stamped(&[(trip("ann", 7, 1), 0)])).unwrap();
    let snapshots = harness.checkpoint().unwrap();
    let mut other = ParallelHarness::open(by_city, KeyColumns::new(["city"]), 1).unwrap();
    let refused = other.restart(&snapshots, 1).and_then(|()| other.process(&stamped(&[(trip("ann", 7, 1), 0)])));
    let error = error_chain(&refused.unwrap_err());
    assert!(error.contains("keys of types [Int32] do not fit state that is keyed by [Utf8]"), "{error}");
}
