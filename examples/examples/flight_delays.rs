//! The hourly mean departure delay per carrier and origin, of all flights out of New York in 2013.
//!
//! Event time is the hour for which a departure was scheduled. A result comes when the watermark passes its hour, with
//! how many flights were scheduled, how many of them were cancelled, and the mean delay of the others in minutes, which
//! is null when none departed: `(2013-01-01T10:00:00,UA,EWR,2,0,-1.0)`.
//!
//! - **Missing values.** A cancelled flight has no departure: its delay is `NA` in the file. It counts as scheduled and
//!   as cancelled, and not as a delay of 0.
//! - **Late records.** The file has each day's flights in the order in which they left, and the cancelled ones at the
//!   day's end, so scheduled hours are up to 22 hours out of order. `--max-out-of-orderness` says how far watermarks
//!   stay behind. Flights that come later still are in no result: `--late-output` has them, and their number is
//!   printed to standard error when the input ends.
//!
//! ```sh
//! cargo run --example flight_delays
//! ```

use std::time::Duration;

use clap::{Parser, ValueEnum};
use pelton::StreamExecutionEnvironment;
use pelton::keyed::{
    AggregateFunction, FunctionResult, KeyedContext, KeyedProcessFunction, OpenContext, TumblingEventTimeWindows,
    ValueState,
};
use pelton::record::{Record, Timestamp};
use pelton::sinks::FileSink;
use pelton::sources::{FileSource, OnBadRow};
use pelton::stream::{Collector, DataStream, OutputTag};
use pelton::watermarks::WatermarkStrategy;
use pelton_examples::Output;

/// The hourly mean departure delay per carrier and origin
#[derive(Debug, Parser)]
struct Arguments {
    /// Reads flights from CSV files with the header of nycflights13, compressed or not [default: the flights of 2013
    /// that come with this program, in `data` beside it, or in `examples/data` of the current folder]
    #[arg(long, value_name = "FILE")]
    input: Option<String>,
    #[command(flatten)]
    output: Output,
    /// Writes flights that came too late to be counted as CSV files to this directory
    #[arg(long, value_name = "DIRECTORY")]
    late_output: Option<String>,
    /// By how much scheduled hours may be out of order
    #[arg(long, value_name = "HOURS", default_value_t = 24)]
    max_out_of_orderness: u64,
    /// What happens to rows that are not as the header says
    #[arg(long, value_name = "POLICY", value_enum, default_value_t = BadRows::Fail)]
    on_bad_row: BadRows,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum BadRows {
    /// The job fails and says which row
    Fail,
    /// The row is left out
    Skip,
    /// A delay that is no number counts as missing; other such rows are left out
    Null,
}

/// What is read of a flight.
#[derive(Debug, Clone, Record)]
struct Flight {
    /// The hour for which the departure was scheduled.
    time_hour: Timestamp,
    carrier: String,
    origin: String,
    /// In minutes; negative when the flight left early, missing when it did not leave.
    dep_delay: Option<i32>,
}

/// What is told of an hour.
#[derive(Debug, Clone, Record)]
struct HourlyDelay {
    hour: Timestamp,
    carrier: String,
    origin: String,
    scheduled: i64,
    cancelled: i64,
    mean_delay_minutes: Option<f64>,
}

const HOUR: Duration = Duration::from_secs(60 * 60);

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let env = StreamExecutionEnvironment::get_execution_environment();
    let input = match arguments.input {
        Some(input) => input,
        None => bundled_flights(&env)?,
    };
    let late = OutputTag::<Flight>::new("late");

    let on_bad_row = match arguments.on_bad_row {
        BadRows::Fail => OnBadRow::Fail,
        BadRows::Skip => OnBadRow::Skip,
        BadRows::Null => OnBadRow::Null,
    };
    let flights =
        FileSource::csv(input, |csv| csv.with_header().single_line_records().null_literal("NA").on_bad_row(on_bad_row));
    let order = WatermarkStrategy::for_bounded_out_of_orderness(HOUR * hours(arguments.max_out_of_orderness)?)
        .with_timestamp_column(Flight::time_hour);

    let delays = env
        .from_source(flights, order, "flights")
        .key_by((Flight::carrier, Flight::origin))
        .window(TumblingEventTimeWindows::of(HOUR))
        .side_output_late_data(&late)
        .aggregate_with(Delays, |(carrier, origin), window, sums, out| {
            out.collect(HourlyDelay {
                hour: Timestamp::from_millis(window.start),
                carrier: carrier.clone(),
                origin: origin.clone(),
                scheduled: sums.scheduled,
                cancelled: sums.cancelled,
                mean_delay_minutes: sums.mean_delay_minutes(),
            });
        })
        .name("hourly-delays");

    report_late(delays.get_side_output(&late), arguments.late_output);
    arguments.output.write(delays);

    env.execute("FlightDelays")?;
    Ok(())
}

/// Adds up the flights of an hour.
#[derive(Debug, Clone)]
struct Delays;

#[derive(Debug, Clone, Default, Record)]
struct DelaySums {
    scheduled: i64,
    cancelled: i64,
    delay_minutes: i64,
}

impl DelaySums {
    fn mean_delay_minutes(&self) -> Option<f64> {
        let departed = self.scheduled - self.cancelled;
        (departed > 0).then(|| self.delay_minutes as f64 / departed as f64)
    }
}

impl AggregateFunction for Delays {
    type In = Flight;
    type Accumulator = DelaySums;
    type Out = DelaySums;

    fn create_accumulator(&self) -> DelaySums {
        DelaySums::default()
    }

    fn add(&self, flight: &Flight, sums: &mut DelaySums) {
        sums.scheduled += 1;
        match flight.dep_delay {
            Some(minutes) => sums.delay_minutes += i64::from(minutes),
            None => sums.cancelled += 1,
        }
    }

    fn get_result(&self, sums: &DelaySums) -> DelaySums {
        sums.clone()
    }

    fn merge(&self, into: &mut DelaySums, other: &DelaySums) {
        into.scheduled += other.scheduled;
        into.cancelled += other.cancelled;
        into.delay_minutes += other.delay_minutes;
    }
}

/// Late flights are in no result, so that somebody has to be told of them.
fn report_late(late: DataStream<Flight>, directory: Option<String>) {
    if let Some(directory) = directory {
        late.clone().sink_to(FileSink::csv(directory)).name("late-flights");
    }
    late.key_by(Flight::carrier)
        .process(CountToTheEnd { count: ValueState::new("count") })
        .name("count-late-flights")
        .print_to_err();
}

/// Counts the records of each key until the input ends.
#[derive(Clone)]
struct CountToTheEnd {
    count: ValueState<i64>,
}

/// The watermark of an input that has ended.
const END_OF_TIME: i64 = i64::MAX;

impl KeyedProcessFunction for CountToTheEnd {
    type Key = String;
    type In = Flight;
    type Out = String;

    fn open(&mut self, ctx: &mut OpenContext<'_>) -> FunctionResult {
        ctx.register(&mut self.count)
    }

    fn process_element(
        &mut self,
        _flight: &Flight,
        ctx: &mut KeyedContext<'_, String>,
        _out: &mut Collector<'_, String>,
    ) -> FunctionResult {
        let count = self.count.value(ctx)?.copied().unwrap_or(0);
        self.count.update(ctx, count + 1)?;
        ctx.timer_service().register_event_time_timer(END_OF_TIME);
        Ok(())
    }

    fn on_timer(
        &mut self,
        _timestamp: i64,
        ctx: &mut KeyedContext<'_, String>,
        out: &mut Collector<'_, String>,
    ) -> FunctionResult {
        let count = self.count.value(ctx)?.copied().unwrap_or(0);
        out.collect(format!("{count} flights of {} came too late and are in no result", ctx.current_key()));
        Ok(())
    }
}

fn hours(count: u64) -> anyhow::Result<u32> {
    u32::try_from(count).map_err(|_| anyhow::anyhow!("{count} hours are more than records can be out of order"))
}

/// The file that comes with the program: in a distribution beside the executable, in the checkout in `examples/data`.
///
/// The process that describes the job looks for it. Workers run a copy of the program in a folder of their own and have
/// to read the same file, so they are told what was found.
fn bundled_flights(env: &StreamExecutionEnvironment) -> anyhow::Result<String> {
    const PARAMETER: &str = "flights";
    if let Some(found) = env.job_parameters().remove(PARAMETER) {
        return Ok(found);
    }
    let executable = std::env::current_exe()?;
    let current = std::env::current_dir()?;
    let beside = executable.parent().map(|folder| folder.join("data"));
    let data = beside.into_iter().chain([current.join("examples/data"), current.join("data")]);
    let found = data.map(|folder| folder.join("flights.csv.gz")).find(|file| file.exists());
    let Some(found) = found.and_then(|file| file.into_os_string().into_string().ok()) else {
        anyhow::bail!(
            "there is no data/flights.csv.gz beside this program, and no examples/data/flights.csv.gz in the current \
             folder: name a file of flights with --input"
        );
    };
    env.set_job_parameter(PARAMETER, &found)?;
    Ok(found)
}
