//! Sums events of one key that lie close together in time, as Flink's example of this name.
//!
//! A session of a key ends when the key is silent for 3 ms. The result has the key, the time of the session's first
//! event and the sum: `(b,1,3)`. Which event is the first is told by their order, so one subtask reads them all and the
//! windows get them as they were.
//!
//! ```sh
//! cargo run --example session_windowing
//! ```

use std::time::Duration;

use clap::Parser;
use pelton::StreamExecutionEnvironment;
use pelton::keyed::EventTimeSessionWindows;
use pelton::record::Record;
use pelton::sources::FileSource;
use pelton::stream::DataStream;
use pelton::watermarks::WatermarkStrategy;
use pelton_examples::Output;

/// Sums events of one key that lie close together in time
#[derive(Debug, Parser)]
struct Arguments {
    /// Reads events from CSV files `key,timestamp,count` without a header, in the order of time; timestamps in
    /// milliseconds [default: seven events of three keys]
    #[arg(long, value_name = "FILE")]
    input: Option<String>,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Clone, Record)]
struct Event {
    key: String,
    timestamp: i64,
    count: i32,
}

const GAP: Duration = Duration::from_millis(3);

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let env = StreamExecutionEnvironment::get_execution_environment();

    let sums = events(&env, arguments.input)
        .assign_timestamps_and_watermarks(
            WatermarkStrategy::for_monotonous_timestamps().with_timestamp_column(Event::timestamp),
        )
        .set_parallelism(1)
        .key_by(Event::key)
        .window(EventTimeSessionWindows::with_gap(GAP))
        .sum(Event::count);
    arguments.output.write(sums);

    env.execute("SessionWindowing")?;
    Ok(())
}

fn events(env: &StreamExecutionEnvironment, input: Option<String>) -> DataStream<Event> {
    if let Some(input) = input {
        let source = FileSource::csv(input, |csv| csv);
        return env.from_source(source, WatermarkStrategy::no_watermarks(), "events").set_parallelism(1);
    }
    let events = [("a", 1), ("b", 1), ("b", 3), ("b", 5), ("c", 6), ("a", 10), ("c", 11)];
    env.from_collection(events.map(|(key, timestamp)| Event { key: key.to_owned(), timestamp, count: 1 }))
}
