//! The jobs that are measured, on Pelton's typed API. Run by hand they run embedded; `client run` puts them on a cluster.

use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use clap::{Parser, Subcommand};
use pelton::keyed::{
    FunctionResult, KeyedContext, KeyedProcessFunction, OpenContext, TumblingEventTimeWindows, ValueState,
};
use pelton::record::{Timestamp, field};
use pelton::sinks::FileSink;
use pelton::sources::{DataGeneratorSource, in_splits};
use pelton::stream::Collector;
use pelton::watermarks::WatermarkStrategy;
use pelton::{Record, StreamExecutionEnvironment};
use pelton_benches::histogram::{LatencySink, monotonic_ns};
use pelton_benches::log::Log;
use pelton_benches::mark::MarkSink;
use pelton_benches::rows::{WINDOW_MS, mix, row, skewed_rank};
use pelton_benches::tally::TallySink;
use pelton_benches::window::WindowSink;

#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    job: Job,
}

#[derive(Subcommand)]
enum Job {
    /// Answers every word of a text with its count so far, in files or, without any, as a tally
    WordCount {
        input: String,
        #[arg(long)]
        output: Option<String>,
    },
    /// Sums values by key in tumbling windows
    WindowSum { rows: u64, keys: u64 },
    /// Counts records by key and measures how old they are at the sink
    Latency { rows_per_second: f64, seconds: u64, warm_up_seconds: i64, keys: u64, output: PathBuf },
    /// Keeps a count and a payload for every key, and tells how far it is
    Recovery { rows_per_second: f64, since_ns: i64, keys: u64, payload_bytes: usize, stop: PathBuf, output: PathBuf },
    /// Makes state for every key, then updates some keys more often than others, and measures how old updates are at the sink
    Updates {
        keys: u64,
        payload_bytes: usize,
        window: PathBuf,
        output: PathBuf,
        /// Updates per second, beside the making of keys [default: as fast as it goes, after all keys are made]
        #[arg(long)]
        rows_per_second: Option<f64>,
    },
    /// A thousand records a second through a shuffle, without end
    Idle,
}

/// What is summed.
#[derive(Clone, Record)]
struct Reading {
    key: i64,
    value: i64,
    time: Timestamp,
}

fn main() -> anyhow::Result<()> {
    let env = StreamExecutionEnvironment::get_execution_environment();
    match Arguments::parse().job {
        Job::WordCount { input, output } => {
            let words = env.read_text_file(input).flat_map(|line, out| split_words(line, out));
            let counts = words.key_by(field::<0, _>()).sum(field::<1, _>());
            match output {
                Some(folder) => counts.sink_to(FileSink::text(folder)),
                None => counts.sink_to(TallySink("f1")),
            };
        }
        Job::WindowSum { rows, keys } => {
            let readings = DataGeneratorSource::new(move |index| {
                let row = row(index, keys);
                Reading { key: row.key, value: row.value, time: Timestamp::from_millis(row.time_ms) }
            });
            let times = WatermarkStrategy::for_monotonous_timestamps().with_timestamp_column(Reading::time);
            let windows = env
                .data_generator(readings.count(rows))
                .assign_timestamps_and_watermarks(times)
                .key_by(Reading::key)
                .window(TumblingEventTimeWindows::of(Duration::from_millis(WINDOW_MS.unsigned_abs())));
            windows.sum(Reading::value).sink_to(TallySink("value"));
        }
        Job::Latency { rows_per_second, seconds, warm_up_seconds, keys, output } => {
            let count = (rows_per_second * seconds as f64) as u64;
            let records =
                DataGeneratorSource::<(i64, i64)>::new(move |index| ((mix(index) % keys) as i64, monotonic_ns()));
            let counted = env
                .data_generator(records.count(count).rows_per_second(rows_per_second))
                .key_by(field::<0, _>())
                .process(Counting { count: ValueState::new("count") });
            counted.sink_to(LatencySink { column: "f1", warm_up_ns: warm_up_seconds * 1_000_000_000, output });
        }
        Job::Recovery { rows_per_second, since_ns, keys, payload_bytes, stop, output } => {
            let log = in_splits(Log { keys, rows_per_second, since_ns });
            let limit = Limit::new(stop);
            let kept = env
                .from_source(log, WatermarkStrategy::no_watermarks(), "Log")
                .set_parallelism(1)
                .filter(move |record: &(i64, i64)| limit.allows(record.1))
                .set_parallelism(1)
                .key_by(field::<0, _>())
                .process(Keeping {
                    count: ValueState::new("count"),
                    payload: ValueState::new("payload"),
                    payload_bytes,
                });
            kept.sink_to(MarkSink { column: "f1", output }).set_parallelism(1);
        }
        Job::Updates { keys, payload_bytes, window, output, rows_per_second } => {
            let update = move |index: u64| (skewed_rank(mix(index), keys) as i64, monotonic_ns());
            let made = move |index: u64| if index < keys { (index as i64, -1) } else { update(index) };
            let no_times = WatermarkStrategy::no_watermarks;
            let source = |source| env.from_source(source, no_times(), "Keys").set_parallelism(1);
            let records = match rows_per_second {
                None => source(DataGeneratorSource::<(i64, i64)>::new(made)),
                Some(rate) => {
                    let updates = DataGeneratorSource::<(i64, i64)>::new(update).rows_per_second(rate);
                    let updates = env.from_source(updates, no_times(), "Updates").set_parallelism(1);
                    source(DataGeneratorSource::new(made).count(keys)).union([updates])
                }
            };
            let kept =
                records.key_by(field::<0, _>()).process(Updating { kept: ValueState::new("kept"), payload_bytes });
            kept.sink_to(WindowSink { column: "f1", window, output });
        }
        Job::Idle => {
            let records = DataGeneratorSource::<(i64, i64)>::new(|index| ((index % 100) as i64, index as i64));
            let keyed = env.data_generator(records.rows_per_second(1000.0)).key_by(field::<0, _>());
            keyed.sum(field::<1, _>()).discard();
        }
    }
    env.execute("")?;
    Ok(())
}

/// As in the example `word_count`.
fn split_words(line: &str, out: &mut Collector<'_, (String, i64)>) {
    let lower = if line.is_ascii() { lower_ascii(line) } else { Cow::Owned(line.to_lowercase()) };
    let words = lower.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
    for word in words.filter(|word| !word.is_empty()) {
        out.collect((word, 1));
    }
}

fn lower_ascii(line: &str) -> Cow<'_, str> {
    if line.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(line.to_ascii_lowercase())
    } else {
        Cow::Borrowed(line)
    }
}

/// Lets numbers pass that are below the one in a file, once there is such a file. It is looked at now and then.
struct Limit {
    file: PathBuf,
    below: AtomicI64,
}

impl Limit {
    const LOOK_EVERY: i64 = 1024;

    fn new(file: PathBuf) -> Self {
        Self { file, below: AtomicI64::new(i64::MAX) }
    }

    fn allows(&self, number: i64) -> bool {
        if number % Self::LOOK_EVERY == 0
            && let Some(below) = std::fs::read_to_string(&self.file).ok().and_then(|text| text.parse().ok())
        {
            self.below.store(below, Ordering::Relaxed);
        }
        number < self.below.load(Ordering::Relaxed)
    }
}

/// Counts the records of a key beside a payload, and passes them on.
#[derive(Clone)]
struct Keeping {
    count: ValueState<i64>,
    payload: ValueState<String>,
    payload_bytes: usize,
}

impl KeyedProcessFunction for Keeping {
    type Key = i64;
    type In = (i64, i64);
    type Out = (i64, i64);

    fn open(&mut self, ctx: &mut OpenContext<'_>) -> FunctionResult {
        ctx.register(&mut self.count)?;
        ctx.register(&mut self.payload)
    }

    fn process_element(
        &mut self,
        value: &(i64, i64),
        ctx: &mut KeyedContext<'_, i64>,
        out: &mut Collector<'_, (i64, i64)>,
    ) -> FunctionResult {
        let mut is_first = false;
        self.count.modify(ctx, |count| {
            is_first = count.is_none();
            *count.get_or_insert(0) += 1;
        })?;
        if is_first {
            let bytes = self.payload_bytes;
            let mut text = String::with_capacity(bytes);
            write_random_text(&mut text, value.0.unsigned_abs(), bytes);
            self.payload.modify(ctx, |payload| *payload = Some(text))?;
        }
        out.collect(value);
        Ok(())
    }
}

/// What is kept for a key.
#[derive(Clone, Record)]
struct Kept {
    count: i64,
    payload: String,
}

/// Counts the records of a key, gives it a new payload with each, and passes them on.
#[derive(Clone)]
struct Updating {
    kept: ValueState<Kept>,
    payload_bytes: usize,
}

impl KeyedProcessFunction for Updating {
    type Key = i64;
    type In = (i64, i64);
    type Out = (i64, i64);

    fn open(&mut self, ctx: &mut OpenContext<'_>) -> FunctionResult {
        ctx.register(&mut self.kept)
    }

    fn process_element(
        &mut self,
        value: &(i64, i64),
        ctx: &mut KeyedContext<'_, i64>,
        out: &mut Collector<'_, (i64, i64)>,
    ) -> FunctionResult {
        let bytes = self.payload_bytes;
        self.kept.modify(ctx, |kept| {
            let kept = kept.get_or_insert_with(|| Kept { count: 0, payload: String::with_capacity(bytes) });
            kept.count += 1;
            write_random_text(&mut kept.payload, value.0.unsigned_abs() ^ kept.count.unsigned_abs() << 40, bytes);
        })?;
        out.collect(value);
        Ok(())
    }
}

/// Letters and digits that look random, and are the same for the same seed.
fn write_random_text(text: &mut String, seed: u64, bytes: usize) {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    text.clear();
    let (mut seed, mut bits) = (seed, 0);
    for index in 0..bytes {
        if index % 10 == 0 {
            seed = mix(seed);
            bits = seed;
        }
        text.push(char::from(LETTERS[(bits & 63) as usize]));
        bits >>= 6;
    }
}

/// Counts the records of a key and passes them on.
#[derive(Clone)]
struct Counting {
    count: ValueState<i64>,
}

impl KeyedProcessFunction for Counting {
    type Key = i64;
    type In = (i64, i64);
    type Out = (i64, i64);

    fn open(&mut self, ctx: &mut OpenContext<'_>) -> FunctionResult {
        ctx.register(&mut self.count)
    }

    fn process_element(
        &mut self,
        value: &(i64, i64),
        ctx: &mut KeyedContext<'_, i64>,
        out: &mut Collector<'_, (i64, i64)>,
    ) -> FunctionResult {
        self.count.modify(ctx, |count| *count.get_or_insert(0) += 1)?;
        out.collect(value);
        Ok(())
    }
}
