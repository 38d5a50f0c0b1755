//! The top speed of each car over the last seconds, every so many metres, as Flink's example of this name.
//!
//! Whenever a car has gone more than 50 m since its last result, the fastest of its events of the last 10 s is the next
//! one: `(car,km/h,metres,time)`. Without `--input`, two simulated cars drive for ever.
//!
//! Each car has one window without end. A trigger fires it when the distance has grown enough; an evictor leaves the
//! events of the last seconds in it.
//!
//! ```sh
//! cargo run --example top_speed_windowing
//! cargo run --example top_speed_windowing -- --input examples/data/cars.txt
//! ```

use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use pelton::StreamExecutionEnvironment;
use pelton::keyed::{
    DeltaTrigger, FunctionResult, GlobalWindows, KeyedContext, KeyedProcessFunction, OpenContext, TimeEvictor,
    ValueState,
};
use pelton::record::Record;
use pelton::sources::DataGeneratorSource;
use pelton::stream::{Collector, DataStream};
use pelton::watermarks::WatermarkStrategy;
use pelton_examples::Output;

/// The top speed of each car over the last 10 s, every 50 m
#[derive(Debug, Parser)]
struct Arguments {
    /// Reads events from text files with lines such as (0,55,15.27,1700000000000): car, speed in km/h, distance in
    /// metres, time in milliseconds [default: two simulated cars, for ever]
    #[arg(long, value_name = "FILE")]
    input: Option<String>,
    #[command(flatten)]
    output: Output,
}

/// Where a car is and how fast.
#[derive(Debug, Clone, PartialEq, Record)]
struct CarEvent {
    car: i32,
    speed: i32,
    distance: f64,
    time: i64,
}

const CARS: u64 = 2;
const EVENTS_PER_SECOND: f64 = 10.0;
const TRIGGER_METRES: f64 = 50.0;
const EVICTION: Duration = Duration::from_secs(10);

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let env = StreamExecutionEnvironment::get_execution_environment();

    let cars = match arguments.input {
        Some(input) => env.read_text_file(input).try_map(|line| parse(line)).name("parse-input"),
        None => simulated(&env),
    };
    let top_speeds = cars
        .assign_timestamps_and_watermarks(
            WatermarkStrategy::for_monotonous_timestamps().with_timestamp_column(CarEvent::time),
        )
        .key_by(CarEvent::car)
        .window(GlobalWindows::create())
        .trigger(DeltaTrigger::of(TRIGGER_METRES, |old: &CarEvent, new: &CarEvent| new.distance - old.distance))
        .evictor(TimeEvictor::of(EVICTION))
        .max_by(CarEvent::speed)
        .name("top-speed");
    arguments.output.write(top_speeds);

    env.execute("CarTopSpeedWindowingExample")?;
    Ok(())
}

/// Cars that drive by chance: each event is 5 km/h faster or slower than the one before.
fn simulated(env: &StreamExecutionEnvironment) -> DataStream<CarEvent> {
    let ticks = DataGeneratorSource::<(i32, bool)>::new(|index| ((index % CARS) as i32, coin(index)))
        .rows_per_second(EVENTS_PER_SECOND);
    env.from_source(ticks, WatermarkStrategy::no_watermarks(), "in-memory-source")
        .key_by(pelton::record::field::<0, _>())
        .process(Drive { car: ValueState::new("car") })
        .name("drive")
}

/// Chance that is the same in every run.
fn coin(index: u64) -> bool {
    // SplitMix64.
    let mut bits = index.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (bits ^ (bits >> 31)) & 1 == 1
}

/// Keeps speed and distance of each car.
#[derive(Clone)]
struct Drive {
    car: ValueState<(i32, f64)>,
}

impl KeyedProcessFunction for Drive {
    type Key = i32;
    type In = (i32, bool);
    type Out = CarEvent;

    fn open(&mut self, ctx: &mut OpenContext<'_>) -> FunctionResult {
        ctx.register(&mut self.car)
    }

    fn process_element(
        &mut self,
        &(car, accelerates): &(i32, bool),
        ctx: &mut KeyedContext<'_, i32>,
        out: &mut Collector<'_, CarEvent>,
    ) -> FunctionResult {
        let (speed, distance) = self.car.value(ctx)?.copied().unwrap_or((50, 0.0));
        let speed = if accelerates { (speed + 5).min(100) } else { (speed - 5).max(0) };
        let distance = distance + f64::from(speed) / 3.6;
        self.car.update(ctx, (speed, distance))?;
        let time = ctx.timer_service().current_processing_time();
        out.collect(CarEvent { car, speed, distance, time });
        Ok(())
    }
}

/// Reads `(car,speed,distance,time)`.
fn parse(line: &str) -> anyhow::Result<CarEvent> {
    let event = || {
        let mut fields = line.trim().strip_prefix('(')?.strip_suffix(')')?.split(',');
        let event = CarEvent {
            car: fields.next()?.parse().ok()?,
            speed: fields.next()?.parse().ok()?,
            distance: fields.next()?.parse().ok()?,
            time: fields.next()?.parse().ok()?,
        };
        fields.next().is_none().then_some(event)
    };
    event().with_context(|| format!("`{line}` is no event of a car, expected (car,speed,distance,time)"))
}
