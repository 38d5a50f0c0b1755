//! Jobs that tests run on real clusters: well-behaved ones, and every way a user's program can misbehave.

use std::time::Duration;

use clap::{Parser, Subcommand};
use pelton::StreamExecutionEnvironment;
use pelton::keyed::{
    EventTimeSessionWindows, EventTimeTrigger, FunctionResult, KeyedContext, KeyedProcessFunction, OpenContext,
    TumblingEventTimeWindows, ValueState,
};
use pelton::record::{Record, field};
use pelton::sinks::{FileSink, RollingPolicy};
use pelton::sources::{DataGeneratorSource, FileSource, OnBadRow};
use pelton::stream::{Collector, DataStream};
use pelton::watermarks::WatermarkStrategy;
use pelton_tests::meetings;

#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    job: Job,
}

#[derive(Subcommand)]
enum Job {
    /// Writes the numbers from 1 to COUNT through a shuffle into files
    Numbers { count: i64, output: String },
    /// Counts rows for ever, some each second, into files
    Steady { rows_per_second: f64, output: String },
    /// Counts COUNT rows of some keys, some rows each second, one after the other and by windows of 100 rows, into files
    Counts { count: u64, keys: u64, rows_per_second: f64, output: String },
    /// Puts COUNT rows of 10 keys, some rows each second, into sessions, into windows with a trigger, and into pairs that are
    /// near each other, and writes these into files
    Meetings { count: u64, rows_per_second: f64, output: String },
    /// Counts COUNT rows of 10 keys, some rows each second, into files; its state is of the form old, new, other or rekeyed,
    /// or consists of one state or two
    Evolving { form: String, count: u64, rows_per_second: f64, output: String },
    /// Reads `id,delay` rows from a CSV file with a header, with fail, skip or null for bad rows, and writes them
    Csv { policy: String, input: String, output: String },
    /// The same for lines of JSON objects
    Json { policy: String, input: String, output: String },
    /// Writes the lines of the files that appear in a folder into files, for ever
    Watch { input: String, output: String },
    /// Writes the numbers in the lines of files, which it takes its time to read, into files that are not finished by
    /// checkpoints, and how many there are of each last digit when event time ends
    Lines {
        micros_per_row: u64,
        /// Fast while this file exists
        fast_while: String,
        input: String,
        output: String,
    },
    /// Prints the first numbers of the job, in the program that reads them: all of COUNT, some each second, or so many as
    /// `--first` says. Returns an error at the row with a number that `--fails-at` says, until there is a file of this name,
    /// which it makes
    Collected {
        count: u64,
        rows_per_second: f64,
        #[arg(long)]
        first: Option<usize>,
        #[arg(long)]
        fails_at: Option<u64>,
        #[arg(long, default_value = "failed")]
        mark: String,
    },
    /// Runs for ever and does nothing
    Forever,
    /// Calls abort() at the row with this number
    Abort { at: i64 },
    /// Reads from address zero at the row with this number
    Segfault { at: i64 },
    /// Panics at the row with this number
    Panic { at: i64 },
    /// Returns an error at the row with this number
    Error { at: i64 },
    /// Writes the numbers from 1 to 1000 into files, and returns an error at the row with this number until there are so
    /// many files in a folder, of which it makes one each time
    Flaky { at: i64, times: usize, marks: String, output: String },
    /// Writes COUNT numbered rows, some each second, into files without exchanging any between subtasks, and returns an
    /// error once at each of these rows, of which it makes a file in a folder
    FlakyApart { count: u64, rows_per_second: f64, marks: String, output: String, at: Vec<u64> },
    /// Calls exit(3) at the row with this number
    Exit { at: i64 },
    /// Allocates without end from the row with this number on
    Leak { at: i64 },
    /// Never returns from user code at the row with this number
    Spin { at: i64 },
    /// Starts a process at the row with this number and never returns from user code
    Offspring { at: i64 },
    /// Overflows the stack at the row with this number
    Overflow { at: i64 },
    /// A fast source in front of a sink that takes its time for every row
    SlowSink {
        micros_per_row: u64,
        /// Fast again while this file exists
        fast_while: String,
    },
    /// Writes the numbers from 1 to COUNT into files behind an operator that takes its time for every row
    SlowFiles {
        count: i64,
        micros_per_row: u64,
        /// Fast while this file exists
        fast_while: String,
        output: String,
    },
    /// Counts the numbers of each of KEYS keys, for which it takes its time, and writes each count into files
    SlowCounts {
        count: i64,
        keys: i64,
        micros_per_row: u64,
        /// Fast while this file exists
        fast_while: String,
        output: String,
    },
    /// Writes the event times of two sources into files, ROWS of each, a thousand each second: one is a hundred times as fast in
    /// event time and may be ten seconds ahead
    Aligned { rows: u64, output: String },
    /// Counts numbers by their last digits into files: those of a source that soon ends, and more of one that makes some
    /// each second
    TwoSources { first: u64, second: u64, rows_per_second: f64, output: String },
    /// Never reaches `execute`
    NeverPlans,
    /// Prints while it is planned
    PrintsWhilePlanned,
    /// Panics while it is planned
    PanicsWhilePlanned,
    /// Builds another graph in every process
    Fickle,
    /// Ends without `execute`
    NoExecute,
}

/// Rows are a millisecond of event time apart.
const WINDOW_ROWS: u64 = 100;

#[derive(Debug, Clone, Record)]
struct Tick {
    key: i64,
    time: i64,
    count: i64,
}

#[derive(Debug, Clone, Record)]
struct OldTotal {
    key: i64,
    total: i32,
}

/// The fields of the old one in another order, one of them wider, and an optional one more.
#[derive(Debug, Clone, Record)]
struct NewTotal {
    note: Option<String>,
    total: i64,
    key: i64,
}

#[derive(Debug, Clone, Record)]
struct OtherTotal {
    key: i64,
    total: String,
}

/// Longer than any test.
const OFFSPRING_SECONDS: &str = "3600";

/// A slow sink rests after so many rows, because the operating system cannot wait for microseconds.
const ROWS_PER_PAUSE: i64 = 64;

fn main() -> anyhow::Result<()> {
    let env = StreamExecutionEnvironment::get_execution_environment();
    match Arguments::parse().job {
        Job::Numbers { count, output } => {
            let numbers = env.from_sequence(1, count).rebalance().map(|n: &i64| *n);
            numbers.sink_to(FileSink::text(output));
        }
        Job::Steady { rows_per_second, output } => {
            let rows = DataGeneratorSource::new(|index: u64| index).rows_per_second(rows_per_second);
            env.data_generator(rows).sink_to(FileSink::text(output));
        }
        Job::Counts { count, keys, rows_per_second, output } => {
            let ticks = DataGeneratorSource::new(move |index: u64| Tick {
                key: (index % keys).cast_signed(),
                time: index.cast_signed(),
                count: 1,
            });
            let ticks = env
                .data_generator(ticks.count(count).rows_per_second(rows_per_second))
                .assign_timestamps_and_watermarks(
                    WatermarkStrategy::for_monotonous_timestamps().with_timestamp_column(Tick::time),
                )
                .key_by(Tick::key);
            let running = ticks.clone().sum(Tick::count).map(|tick: &Tick| format!("{} {}", tick.key, tick.count));
            running.sink_to(FileSink::text(format!("{output}/running")));
            let windows = ticks.window(TumblingEventTimeWindows::of(Duration::from_millis(WINDOW_ROWS)));
            let windows = windows.sum(Tick::count).map(|tick: &Tick| {
                let start = tick.time - tick.time % WINDOW_ROWS.cast_signed();
                format!("{} {start} {}", tick.key, tick.count)
            });
            windows.sink_to(FileSink::text(format!("{output}/windows")));
        }
        Job::TwoSources { first, second, rows_per_second, output } => {
            let source = |name, numbers: DataGeneratorSource<i64>| {
                env.from_source(numbers, WatermarkStrategy::no_watermarks(), name).uid(name)
            };
            let soon = source("soon", DataGeneratorSource::new(|index: u64| index.cast_signed()).count(first));
            let later = DataGeneratorSource::new(move |index: u64| (first + index).cast_signed()).count(second);
            let later = source("later", later.rows_per_second(rows_per_second));
            let digits = soon.union([later]).map(|number: &i64| (*number % 10, 1_i64)).key_by(field::<0, _>());
            let lines =
                digits.sum(field::<1, _>()).uid("counts").map(|row: &(i64, i64)| format!("{} {}", row.0, row.1));
            lines.sink_to(FileSink::text(output)).uid("files");
        }
        Job::Meetings { count, rows_per_second, output } => meetings(&env, count, rows_per_second, &output),
        Job::Evolving { form, count, rows_per_second, output } => {
            let rows = DataGeneratorSource::new(|index: u64| (index % 10).cast_signed());
            let keys = env.data_generator(rows.count(count).rows_per_second(rows_per_second)).uid("keys");
            let lines = match form.as_str() {
                "old" => {
                    let totals = keys.map(|key: &i64| OldTotal { key: *key, total: 1 }).key_by(OldTotal::key);
                    let totals = totals.reduce(|a, b| OldTotal { key: a.key, total: a.total + b.total }).uid("totals");
                    totals.map(|row: &OldTotal| format!("{} {}", row.key, row.total))
                }
                "new" => {
                    let new = |key: &i64| NewTotal { note: Some("new".to_owned()), total: 1, key: *key };
                    let totals = keys.map(new).key_by(NewTotal::key);
                    let plus = |a: &NewTotal, b: &NewTotal| NewTotal { total: a.total + b.total, ..b.clone() };
                    totals.reduce(plus).uid("totals").map(|row: &NewTotal| format!("{} {}", row.key, row.total))
                }
                "rekeyed" => {
                    let totals = keys.map(|key: &i64| OldTotal { key: *key, total: 1 });
                    let totals = totals.key_by(|row: &OldTotal| row.key.to_string());
                    let totals = totals.reduce(|a, b| OldTotal { key: a.key, total: a.total + b.total }).uid("totals");
                    totals.map(|row: &OldTotal| format!("{} {}", row.key, row.total))
                }
                "other" => {
                    let other = |key: &i64| OtherTotal { key: *key, total: "I".to_owned() };
                    let totals = keys.map(other).key_by(OtherTotal::key);
                    let plus = |a: &OtherTotal, b: &OtherTotal| OtherTotal {
                        key: a.key,
                        total: format!("{}{}", a.total, b.total),
                    };
                    totals.reduce(plus).uid("totals").map(|row: &OtherTotal| format!("{} {}", row.key, row.total))
                }
                "two" => keys.key_by(|key: &i64| *key).process(Totals::new(true)).uid("totals"),
                "one" => keys.key_by(|key: &i64| *key).process(Totals::new(false)).uid("totals"),
                other => anyhow::bail!("`{other}` is no form"),
            };
            lines.sink_to(FileSink::text(output)).uid("files");
        }
        Job::Csv { policy, input, output } => {
            let policy = on_bad_row(&policy)?;
            let rows = FileSource::<Delay>::csv(input, |csv| csv.with_header().on_bad_row(policy));
            write_delays(&env, rows, output);
        }
        Job::Json { policy, input, output } => {
            let policy = on_bad_row(&policy)?;
            write_delays(&env, FileSource::<Delay>::json(input, |json| json.on_bad_row(policy)), output);
        }
        Job::Watch { input, output } => {
            let lines = FileSource::text(input).monitor_continuously(Duration::from_millis(50));
            let lines = env.from_source(lines, WatermarkStrategy::no_watermarks(), "Lines").uid("lines");
            lines.rebalance().sink_to(FileSink::text(output));
        }
        Job::Lines { micros_per_row, fast_while, input, output } => {
            let lines =
                env.from_source(FileSource::text(input), WatermarkStrategy::no_watermarks(), "Lines").uid("lines");
            let ticks = lines.try_map(move |line: &String| {
                let number: i64 = line.parse()?;
                slowly(number, micros_per_row, &fast_while);
                anyhow::Ok(Tick { key: number % 10, time: number, count: 1 })
            });
            // Files are read in any order.
            let out_of_order = WatermarkStrategy::for_bounded_out_of_orderness(Duration::from_secs(3600));
            let ticks =
                ticks.uid("ticks").assign_timestamps_and_watermarks(out_of_order.with_timestamp_column(Tick::time));
            let kept_open = FileSink::text(format!("{output}/lines"))
                .rolling(RollingPolicy::default().roll_on_checkpoint(false).max_part_bytes(4096));
            ticks.clone().map(|tick: &Tick| tick.time).sink_to(kept_open).uid("kept open");
            let windows = ticks.key_by(Tick::key).window(TumblingEventTimeWindows::of(Duration::from_secs(3600)));
            let counts = windows.sum(Tick::count).map(|tick: &Tick| format!("{} {}", tick.key, tick.count));
            counts.sink_to(FileSink::text(format!("{output}/counts"))).uid("counts");
        }
        Job::Forever => {
            steady(&env).rebalance().discard();
        }
        Job::Abort { at } => misbehave(&env, at, || std::process::abort()),
        Job::Segfault { at } => misbehave(&env, at, || {
            // SAFETY: none; the crash is the purpose.
            let byte = unsafe { std::ptr::read_volatile(std::ptr::without_provenance::<u8>(8)) };
            assert_ne!(byte, 77, "a page at address zero");
        }),
        Job::Panic { at } => misbehave(&env, at, || panic!("the moon is in the wrong phase")),
        Job::Error { at } => {
            let rows = steady(&env)
                .rebalance()
                .try_map(move |n: &i64| if *n == at { Err("the moon is in the wrong phase") } else { Ok(*n) });
            rows.name("Misbehave").discard();
        }
        Job::Flaky { at, times, marks, output } => {
            let numbers = env.from_sequence(1, 1000).rebalance().try_map(move |n: &i64| {
                let fails =
                    *n == at && (0..times).any(|mark| std::fs::File::create_new(format!("{marks}/{mark}")).is_ok());
                if fails { Err("not yet") } else { Ok(*n) }
            });
            numbers.name("Flaky").sink_to(FileSink::text(output));
        }
        Job::FlakyApart { count, rows_per_second, marks, output, at } => {
            let rows = DataGeneratorSource::new(|index: u64| index).count(count).rows_per_second(rows_per_second);
            let rows = env.data_generator(rows).try_map(move |row: &u64| {
                let fails = at.contains(row) && std::fs::File::create_new(format!("{marks}/{row}")).is_ok();
                if fails { Err("not yet") } else { Ok(*row) }
            });
            rows.name("Flaky").sink_to(FileSink::text(output));
        }
        Job::Exit { at } => misbehave(&env, at, || {
            eprintln!("leaving now");
            std::process::exit(3)
        }),
        Job::Leak { at } => misbehave(&env, at, || {
            let mut hoard = Vec::new();
            loop {
                hoard.push(vec![1u8; 1 << 20]);
            }
        }),
        Job::Spin { at } => misbehave(&env, at, || spin()),
        Job::Offspring { at } => misbehave(&env, at, || {
            let child = std::process::Command::new("sleep").arg(OFFSPRING_SECONDS).spawn();
            assert!(child.is_ok(), "{child:?}");
            spin()
        }),
        Job::Overflow { at } => misbehave(&env, at, || {
            assert!(deeper(1) > 0, "deep");
        }),
        Job::SlowSink { micros_per_row, fast_while } => {
            slow_rows(&env, i64::MAX, micros_per_row, fast_while).discard();
        }
        Job::SlowFiles { count, micros_per_row, fast_while, output } => {
            let rows = slow_rows(&env, count, micros_per_row, fast_while);
            rows.sink_to(FileSink::text(output)).set_parallelism(1).slot_sharing_group("slow");
        }
        Job::SlowCounts { count, keys, micros_per_row, fast_while, output } => {
            let source = env.from_sequence(1, count).set_parallelism(1).name("Flood").slot_sharing_group("flood");
            let counts = Totals { slow: Some((micros_per_row, fast_while)), ..Totals::new(false) };
            let counts = source.key_by(move |n: &i64| *n % keys).process(counts).slot_sharing_group("slow");
            counts.sink_to(FileSink::text(output)).slot_sharing_group("slow");
        }
        Job::Aligned { rows, output } => {
            for (name, step_ms) in [("slow", 1), ("fast", 100)] {
                let times = DataGeneratorSource::new(move |index: u64| index.cast_signed() * step_ms);
                let strategy = WatermarkStrategy::for_monotonous_timestamps()
                    .with_timestamp_assigner(|time: &i64| *time)
                    .with_watermark_alignment("both", Duration::from_secs(10), Duration::from_millis(50));
                let source = env.from_source(times.count(rows).rows_per_second(1000.0), strategy, name);
                let source = source.set_parallelism(1).slot_sharing_group(name);
                let lines = source.rebalance().map(|time: &i64| time.to_string()).name(format!("{name} times"));
                lines
                    .slot_sharing_group(name)
                    .sink_to(FileSink::text(format!("{output}/{name}")))
                    .slot_sharing_group(name);
            }
        }
        Job::NeverPlans => pause(Duration::from_secs(3600)),
        Job::PrintsWhilePlanned => {
            println!("hello from main");
            steady(&env).discard();
        }
        Job::PanicsWhilePlanned => panic!("no plan today"),
        Job::Fickle => {
            let name = format!("Numbers of process {}", std::process::id());
            steady(&env).name(name).discard();
        }
        Job::Collected { count, rows_per_second, first, fails_at, mark } => {
            return collected(&env, count, rows_per_second, first, fails_at, mark);
        }
        Job::NoExecute => return Ok(()),
    }
    env.execute("")?;
    Ok(())
}

/// Rows come in bursts, in which those of a key are as many milliseconds apart as there are keys.
fn meetings(env: &StreamExecutionEnvironment, count: u64, rows_per_second: f64, output: &str) {
    let ticks = DataGeneratorSource::new(|index: u64| Tick {
        key: (index % meetings::KEYS).cast_signed(),
        time: meetings::time_of(index),
        count: 1,
    });
    let ticks = env
        .data_generator(ticks.count(count).rows_per_second(rows_per_second))
        .uid("ticks")
        .assign_timestamps_and_watermarks(
            WatermarkStrategy::for_monotonous_timestamps().with_timestamp_column(Tick::time),
        )
        .key_by(Tick::key);
    let gap = Duration::from_millis(meetings::GAP_MS.unsigned_abs());
    let sessions = ticks.clone().window(EventTimeSessionWindows::with_gap(gap));
    let sessions = sessions.process(|key: &i64, window, rows: &[Tick], out: &mut Collector<'_, String>| {
        out.collect(format!("{key} {} {}", window.start, rows.len()).as_str());
    });
    sessions.uid("sessions").sink_to(FileSink::text(format!("{output}/sessions"))).uid("session files");
    let windows = ticks.clone().window(TumblingEventTimeWindows::of(gap)).trigger(EventTimeTrigger);
    let windows = windows.process(|key: &i64, window, rows: &[Tick], out: &mut Collector<'_, String>| {
        out.collect(format!("{key} {} {}", window.start, rows.len()).as_str());
    });
    windows.uid("windows").sink_to(FileSink::text(format!("{output}/windows"))).uid("window files");
    let pairs = ticks.clone().interval_join(ticks).between(0, meetings::KEYS.cast_signed());
    let pairs = pairs.process(|a, b, _times, out: &mut Collector<'_, String>| {
        out.collect(format!("{} {}", a.time, b.time).as_str());
    });
    pairs.uid("pairs").sink_to(FileSink::text(format!("{output}/pairs"))).uid("pair files");
}

fn collected(
    env: &StreamExecutionEnvironment,
    count: u64,
    rows_per_second: f64,
    first: Option<usize>,
    fails_at: Option<u64>,
    mark: String,
) -> anyhow::Result<()> {
    let rows = DataGeneratorSource::new(|index: u64| index.cast_signed());
    let rows = env.data_generator(rows.count(count).rows_per_second(rows_per_second)).try_map(move |n: &i64| {
        if fails_at == Some(n.cast_unsigned()) && std::fs::File::create_new(&mark).is_ok() {
            return Err(std::io::Error::other("as the test wants it"));
        }
        Ok(*n)
    });
    let results = rows.execute_and_collect("collected")?;
    for result in results.take(first.unwrap_or(usize::MAX)) {
        println!("{}", result?);
    }
    println!("the program has gone on to its end");
    Ok(())
}

/// Counts the rows of a key; keeps the count alone, or the one before beside it.
#[derive(Clone)]
struct Totals {
    total: ValueState<i64>,
    before: Option<ValueState<i64>>,
    /// Microseconds for each row, unless there is this file.
    slow: Option<(u64, String)>,
}

impl Totals {
    fn new(keeps_both: bool) -> Self {
        let before = keeps_both.then(|| ValueState::new("before"));
        Self { total: ValueState::new("total"), before, slow: None }
    }
}

impl KeyedProcessFunction for Totals {
    type Key = i64;
    type In = i64;
    type Out = String;

    fn open(&mut self, ctx: &mut OpenContext<'_>) -> FunctionResult {
        ctx.register(&mut self.total)?;
        self.before.as_mut().map_or(Ok(()), |before| ctx.register(before))
    }

    fn process_element(
        &mut self,
        n: &i64,
        ctx: &mut KeyedContext<'_, i64>,
        out: &mut Collector<'_, String>,
    ) -> FunctionResult {
        if let Some((micros_per_row, fast_while)) = &self.slow {
            slowly(*n, *micros_per_row, fast_while);
        }
        let before = self.total.value(ctx)?.copied().unwrap_or(0);
        self.total.update(ctx, before + 1)?;
        if let Some(state) = &self.before {
            state.update(ctx, before)?;
        }
        out.collect(format!("{} {}", ctx.current_key(), before + 1).as_str());
        Ok(())
    }
}

#[derive(Clone, Record)]
struct Delay {
    id: i32,
    delay: Option<i32>,
}

fn on_bad_row(policy: &str) -> anyhow::Result<OnBadRow> {
    match policy {
        "fail" => Ok(OnBadRow::Fail),
        "skip" => Ok(OnBadRow::Skip),
        "null" => Ok(OnBadRow::Null),
        other => anyhow::bail!("`{other}` is no policy"),
    }
}

fn write_delays(env: &StreamExecutionEnvironment, source: FileSource<Delay>, output: String) {
    let rows = env.from_source(source, WatermarkStrategy::no_watermarks(), "Delays");
    let lines = rows.map(|row: &Delay| {
        let delay = row.delay.map_or_else(|| "null".to_owned(), |delay| delay.to_string());
        format!("{},{delay}", row.id)
    });
    lines.sink_to(FileSink::text(output));
}

/// The numbers from 1 to `count` from a fast source, through an operator that takes its time for each, while there is no
/// such file. In slots of their own, so that on TaskManagers with one slot each the rows cross the network.
fn slow_rows(env: &StreamExecutionEnvironment, count: i64, micros_per_row: u64, fast_while: String) -> DataStream<i64> {
    let source = env.from_sequence(1, count).set_parallelism(1).name("Flood").slot_sharing_group("flood");
    let rows = source.rebalance().filter(move |n: &i64| {
        slowly(*n, micros_per_row, &fast_while);
        true
    });
    rows.set_parallelism(1).name("Slow").slot_sharing_group("slow")
}

/// Takes its time for a row, unless there is such a file.
fn slowly(n: i64, micros_per_row: u64, fast_while: &str) {
    if n % ROWS_PER_PAUSE == 0 && !std::path::Path::new(fast_while).exists() {
        pause(Duration::from_micros(micros_per_row * ROWS_PER_PAUSE.unsigned_abs()));
    }
}

/// A thousand rows a second, numbered.
fn steady(env: &StreamExecutionEnvironment) -> DataStream<i64> {
    env.data_generator(
        DataGeneratorSource::new(|index: u64| i64::try_from(index).unwrap_or(i64::MAX)).rows_per_second(1000.0),
    )
}

fn misbehave(env: &StreamExecutionEnvironment, at: i64, how: impl Fn() + Send + Sync + 'static) {
    let rows = steady(env).rebalance().map(move |n: &i64| {
        if *n == at {
            how();
        }
        *n
    });
    rows.name("Misbehave").discard();
}

fn spin() -> ! {
    loop {
        std::hint::spin_loop();
    }
}

#[allow(clippy::disallowed_methods, reason = "a slow user function is what is tested")]
fn pause(time: Duration) {
    std::thread::sleep(time);
}

#[allow(unconditional_recursion, reason = "the overflow is the purpose")]
fn deeper(depth: u64) -> u64 {
    let local = std::hint::black_box([depth; 128]);
    deeper(depth + 1) + local[0]
}
