//! How many rows per CPU second each operator takes, alone on one thread.
//!
//! Rows are made beforehand, and what comes out is dropped, so what is measured is the operator, with reading rows from
//! columns and writing them. A watermark follows every batch of 8192 rows.

mod functions;

use std::time::Duration;

use anyhow::{Context, Result};
use pelton::async_io::AsyncOptions;
use pelton::cep::Pattern;
use pelton::keyed::{
    AggregatingState, ContinuousEventTimeTrigger, CountEvictor, CountTrigger, DeltaEvictor, DeltaTrigger,
    EventTimeSessionWindows, EventTimeTrigger, KeyedStream, ListState, MapState, PurgingTrigger, ReducingState,
    SlidingEventTimeWindows, StateTtlConfig, TimeEvictor, TumblingEventTimeWindows, TumblingProcessingTimeWindows,
    ValueState,
};
use pelton::operator_state::BroadcastState;
use pelton::record::{Record, RecordBuilder};
use pelton::stream::{Collector, DataStream, OutputTag};
use pelton::testing::{Harness, TestSource};
use pelton::watermarks::WatermarkStrategy;
use pelton_benches::rows::mix;
use pelton_runtime_core::element::StreamBatch;
use pelton_runtime_core::operator::TARGET_BATCH_ROWS;

use crate::Options;
use crate::machine::thread_cpu_time;
use crate::measure::median;
use crate::report::{Section, verdict};

use self::functions::{
    Change, Count, CountValues, Delay, Latest, Limits, Mean, MeanSoFar, Pass, Rules, Scale, Total, WithEnd,
};

/// Rows per CPU second that every operator is to take.
const TARGET: f64 = 1e6;

/// Keys of the rows.
const KEYS: u64 = 10_000;

/// Rows per millisecond of event time.
const ROWS_PER_MS: u64 = 100;

/// Three numbers and a text: a hundred bytes.
#[derive(Debug, Clone, Record)]
struct Row {
    key: i64,
    value: i64,
    time: i64,
    text: String,
}

const TEXT: &str = "the quick brown fox jumps over the lazy dog and runs off into the old forest";

type Keyed = KeyedStream<Row, i64>;

/// An operator, and why it may be slower than the target.
struct Case {
    name: &'static str,
    run: fn(&[StreamBatch]) -> Result<Duration>,
    remark: &'static str,
}

fn case(name: &'static str, run: fn(&[StreamBatch]) -> Result<Duration>) -> Case {
    Case { name, run, remark: "" }
}

impl Case {
    fn because(self, remark: &'static str) -> Self {
        Self { remark, ..self }
    }
}

/// Runs the benchmark.
pub fn run(options: &Options) -> Result<Section> {
    let rows = options.size(2_000_000, 400_000);
    let batches = batches(rows / TARGET_BATCH_ROWS as u64)?;
    let rows = batches.iter().map(StreamBatch::num_rows).sum::<usize>() as f64;
    let mut table = String::new();
    for Case { name, run, remark } in cases() {
        let mut rates = Vec::new();
        for _ in 0..options.runs() {
            let cost = run(&batches).with_context(|| format!("`{name}` failed"))?;
            rates.push(rows / cost.as_secs_f64());
        }
        let rate = median(rates);
        let remark = if rate >= TARGET { "" } else { remark };
        let line = format!("| {name} | {:.2} | {} | {remark} |\n", rate / 1e6, verdict(rate >= TARGET));
        print!("{line}");
        table += &line;
    }
    let body = format!(
        "Million rows per CPU second of one thread, medians of {} runs over {:.1} million rows of 100 bytes (three `i64`, a text \
         of 76 bytes), {KEYS} keys, {ROWS_PER_MS} rows per millisecond of event time, a watermark after every \
         {TARGET_BATCH_ROWS} rows. Each operator runs alone between rows that are there and a sink that drops them; \
         reading records from columns and writing them is part of it. Operators of two inputs get half of the rows on \
         each.\n\n| operator | M rows per CPU second | target 1 | why it is below |\n|---|---|---|---|\n{table}",
        options.runs(),
        rows / 1e6,
    );
    Ok(Section { title: "Operators", body })
}

fn batches(count: u64) -> Result<Vec<StreamBatch>> {
    let mut builder = RecordBuilder::<Row>::new();
    let batch = |number: u64| {
        let mut times = Vec::with_capacity(TARGET_BATCH_ROWS);
        for index in number * TARGET_BATCH_ROWS as u64..(number + 1) * TARGET_BATCH_ROWS as u64 {
            let random = mix(index);
            let time = (index / ROWS_PER_MS) as i64;
            let key = (random % KEYS) as i64;
            builder.append(&Row { key, value: (random >> 32) as i64 & 1023, time, text: TEXT.to_owned() });
            times.push(time);
        }
        Ok(StreamBatch::new(builder.finish()?).with_timestamps(Some(times.into())))
    };
    (0..count).map(batch).collect()
}

/// What a stream of rows costs on its way through an operator.
fn one<U: Record>(batches: &[StreamBatch], build: impl FnOnce(DataStream<Row>) -> DataStream<U>) -> Result<Duration> {
    let mut harness = Harness::new();
    let (rows, input) = harness.source::<Row>();
    drop(build(rows).discard());
    timed(&mut harness, batches, &[&input])
}

fn keyed<U: Record>(batches: &[StreamBatch], build: impl FnOnce(Keyed) -> DataStream<U>) -> Result<Duration> {
    one(batches, |rows| build(rows.key_by(Row::key)))
}

fn two<U: Record>(
    batches: &[StreamBatch],
    build: impl FnOnce(DataStream<Row>, DataStream<Row>) -> DataStream<U>,
) -> Result<Duration> {
    let mut harness = Harness::new();
    let (left, left_input) = harness.source::<Row>();
    let (right, right_input) = harness.source::<Row>();
    drop(build(left, right).discard());
    timed(&mut harness, batches, &[&left_input, &right_input])
}

fn timed(harness: &mut Harness, batches: &[StreamBatch], inputs: &[&TestSource<Row>]) -> Result<Duration> {
    let start = thread_cpu_time()?;
    for (number, batch) in batches.iter().enumerate() {
        harness.push_batch(inputs[number % inputs.len()], batch.clone())?;
        if let Some(watermark) = batch.timestamps().and_then(|times| times.last()) {
            for input in inputs {
                harness.watermark(input, *watermark)?;
            }
        }
    }
    Ok(thread_cpu_time()? - start)
}

fn window() -> Duration {
    Duration::from_millis(1000)
}

fn cases() -> Vec<Case> {
    let mut cases = stateless();
    cases.extend(exchanges());
    cases.extend(per_key());
    cases.extend(windows());
    cases.extend(triggers_and_evictors());
    cases.extend(two_streams());
    cases.extend(patterns());
    cases
}

fn stateless() -> Vec<Case> {
    vec![
        case("`map` to another record", |rows| one(rows, |rows| rows.map(|row| (row.key, row.value + 1)))),
        case("`map` to the same record", |rows| {
            one(rows, |rows| rows.map(|row| Row { value: row.value + 1, ..row.clone() }))
        }),
        case("`filter`, half pass", |rows| one(rows, |rows| rows.filter(|row| row.value % 2 == 0))),
        case("`flat_map`, two results", |rows| {
            one(rows, |rows| {
                rows.flat_map(|row: &Row, out: &mut Collector<'_, (i64, i64)>| {
                    out.collect((row.key, row.value));
                    out.collect((row.key, -row.value));
                })
            })
        }),
        case("`process`", |rows| one(rows, |rows| rows.process(Pass))),
        case("`process` with a side output", |rows| one(rows, side_output)),
        case("`assign_timestamps_and_watermarks`, from a column", |rows| {
            one(rows, |rows| {
                rows.assign_timestamps_and_watermarks(
                    WatermarkStrategy::for_monotonous_timestamps().with_timestamp_column(Row::time),
                )
            })
        }),
        case("`assign_timestamps_and_watermarks`, by a closure", |rows| {
            one(rows, |rows| {
                let times = WatermarkStrategy::for_bounded_out_of_orderness(Duration::from_millis(5));
                rows.assign_timestamps_and_watermarks(times.with_timestamp_assigner(|row: &Row| row.time))
            })
        }),
        case("`key_by` a closure, and `sum`", |rows| {
            one(rows, |rows| rows.key_by(|row: &Row| row.key / 2).sum(Row::value))
        }),
        case("`async_map`, answers at once, in order", |rows| one(rows, |rows| ask(rows, AsyncOptions::ordered)))
            .because(ASKED),
        case("`async_map`, answers at once, as they come", |rows| one(rows, |rows| ask(rows, AsyncOptions::unordered)))
            .because(ASKED),
    ]
}

/// On one thread there is one reader, so what is measured is what choosing it costs.
fn exchanges() -> Vec<Case> {
    vec![
        case("`forward`, and `map`", |rows| one(rows, |rows| rows.forward().map(|row| row.value))),
        case("`rebalance`, and `map`", |rows| one(rows, |rows| rows.rebalance().map(|row| row.value))),
        case("`rescale`, and `map`", |rows| one(rows, |rows| rows.rescale().map(|row| row.value))),
        case("`shuffle`, and `map`", |rows| one(rows, |rows| rows.shuffle().map(|row| row.value))),
        case("`broadcast`, and `map`", |rows| one(rows, |rows| rows.broadcast().map(|row| row.value))),
        case("`global`, and `map`", |rows| one(rows, |rows| rows.global().map(|row| row.value))),
        case("`partition_custom`, and `map`", |rows| {
            one(rows, |rows| {
                let by_key = |row: &Row, readers: u32| (row.key.unsigned_abs() % u64::from(readers)) as u32;
                rows.partition_custom(by_key).map(|row| row.value)
            })
        }),
        case("`union`, and `map`", |rows| two(rows, |left, right| left.union([right]).map(|row| row.value))),
    ]
}

fn per_key() -> Vec<Case> {
    vec![
        case("`sum`", |rows| keyed(rows, |rows| rows.sum(Row::value))),
        case("`min`", |rows| keyed(rows, |rows| rows.min(Row::value))),
        case("`max`", |rows| keyed(rows, |rows| rows.max(Row::value))),
        case("`min_by`", |rows| keyed(rows, |rows| rows.min_by(Row::value))),
        case("`max_by`", |rows| keyed(rows, |rows| rows.max_by(Row::value))),
        case("`reduce`", |rows| keyed(rows, |rows| rows.reduce(|a, b| Row { value: a.value + b.value, ..b.clone() }))),
        case("`KeyedProcessFunction`, `ValueState`", |rows| {
            keyed(rows, |rows| rows.process(Count { count: ValueState::new("count") }))
        }),
        case("`KeyedProcessFunction`, `ValueState` with a time to live", |rows| {
            let count = ValueState::new("count").with_ttl(StateTtlConfig::new(Duration::from_secs(60)));
            keyed(rows, |rows| rows.process(Count { count }))
        }),
        case("`KeyedProcessFunction`, `MapState`", |rows| {
            keyed(rows, |rows| rows.process(CountValues { counts: MapState::new("counts") }))
        }),
        case("`KeyedProcessFunction`, `ReducingState`", |rows| {
            keyed(rows, |rows| rows.process(Total { total: ReducingState::new("total", |a: &i64, b: &i64| a + b) }))
        }),
        case("`KeyedProcessFunction`, `AggregatingState`", |rows| {
            keyed(rows, |rows| rows.process(MeanSoFar { mean: AggregatingState::new("mean", Mean) }))
        }),
        case("`KeyedProcessFunction`, `ListState` and an event-time timer per row", |rows| {
            keyed(rows, |rows| rows.process(Delay { waiting: ListState::new("waiting") }))
        })
        .because("every row keeps a value in a list of its own and sets a timer, each of which is called alone"),
    ]
}

fn windows() -> Vec<Case> {
    vec![
        case("tumbling windows, `sum`", |rows| {
            keyed(rows, |rows| rows.window(TumblingEventTimeWindows::of(window())).sum(Row::value))
        }),
        case("sliding windows of four panes, `sum`", |rows| {
            keyed(rows, |rows| rows.window(SlidingEventTimeWindows::of(window(), window() / 4)).sum(Row::value))
        }),
        case("session windows, `sum`", |rows| {
            let gap = Duration::from_millis(50);
            keyed(rows, |rows| rows.window(EventTimeSessionWindows::with_gap(gap)).sum(Row::value))
        }),
        case("session windows of dynamic gaps, `sum`", |rows| {
            let gap = |row: &Row| Duration::from_millis(40 + row.value.unsigned_abs() % 20);
            keyed(rows, |rows| rows.window(EventTimeSessionWindows::with_dynamic_gap(gap)).sum(Row::value))
        })
        .because("every row is read as a record to ask for its gap, beside what sessions cost"),
        case("tumbling windows, `reduce`", |rows| {
            keyed(rows, |rows| {
                let windows = rows.window(TumblingEventTimeWindows::of(window()));
                windows.reduce(|a, b| Row { value: a.value + b.value, ..b.clone() })
            })
        }),
        case("tumbling windows, `aggregate`", |rows| {
            keyed(rows, |rows| rows.window(TumblingEventTimeWindows::of(window())).aggregate(Mean))
        }),
        case("tumbling windows, `process` of all rows", |rows| {
            keyed(rows, |rows| {
                let windows = rows.window(TumblingEventTimeWindows::of(window()));
                windows.process(|key, _, rows, out| out.collect((*key, rows.len() as i64)))
            })
        }),
        case("tumbling windows, `reduce_with`", |rows| {
            keyed(rows, |rows| {
                let windows = rows.window(TumblingEventTimeWindows::of(window()));
                windows.reduce_with(
                    |a, b| Row { value: a.value + b.value, ..b.clone() },
                    |key, window, row, out| out.collect((*key, window.end, row.value)),
                )
            })
        }),
        case("tumbling windows, `aggregate_with`", |rows| {
            keyed(rows, |rows| {
                let windows = rows.window(TumblingEventTimeWindows::of(window()));
                windows.aggregate_with(Mean, |key, window, mean, out| out.collect((*key, window.end, *mean)))
            })
        }),
        case("tumbling windows, `aggregate_process`", |rows| {
            keyed(rows, |rows| rows.window(TumblingEventTimeWindows::of(window())).aggregate_process(Mean, WithEnd))
        }),
        case("tumbling windows, `aggregate_stateful`", |rows| {
            keyed(rows, |rows| rows.window(TumblingEventTimeWindows::of(window())).aggregate_stateful(Mean, Change))
        })
        .because(ASKS),
        case("tumbling windows, `min`", |rows| {
            keyed(rows, |rows| rows.window(TumblingEventTimeWindows::of(window())).min(Row::value))
        }),
        case("tumbling windows, `max`", |rows| {
            keyed(rows, |rows| rows.window(TumblingEventTimeWindows::of(window())).max(Row::value))
        }),
        case("tumbling windows, `min_by`", |rows| {
            keyed(rows, |rows| rows.window(TumblingEventTimeWindows::of(window())).min_by(Row::value))
        }),
        case("tumbling windows, `max_by`", |rows| {
            keyed(rows, |rows| rows.window(TumblingEventTimeWindows::of(window())).max_by(Row::value))
        }),
        case("tumbling windows of the wall clock, which stands still, `sum`", |rows| {
            keyed(rows, |rows| rows.window(TumblingProcessingTimeWindows::of(window())).sum(Row::value))
        }),
        case("tumbling windows with allowed lateness, one row in a hundred late, `aggregate`", |rows| {
            keyed(&late(rows), |rows| {
                rows.window(TumblingEventTimeWindows::of(window())).allowed_lateness(window() * 2).aggregate(Mean)
            })
        })
        .because("a late row fires its window again, alone"),
        case("tumbling windows, one row in a hundred too late, to a side output, `sum`", |rows| {
            keyed(&late(rows), |rows| {
                let tag = OutputTag::<Row>::new("late");
                let windows = rows.window(TumblingEventTimeWindows::of(window())).side_output_late_data(&tag);
                let sums = windows.sum(Row::value);
                sums.get_side_output(&tag).union([sums])
            })
        }),
        case("count windows of ten, `reduce`", |rows| {
            keyed(rows, |rows| rows.count_window(10).reduce(|a, b| Row { value: a.value + b.value, ..b.clone() }))
        }),
        case("sliding count windows of ten at every fifth, `aggregate`", |rows| {
            keyed(rows, |rows| rows.sliding_count_window(10, 5).aggregate(Mean))
        })
        .because(EVICTED),
        case("`count_window_all` of ten, `reduce`", |rows| {
            one(rows, |rows| rows.count_window_all(10).reduce(|a, b| Row { value: a.value + b.value, ..b.clone() }))
        }),
        case("`window_all`, `reduce`", |rows| {
            one(rows, |rows| {
                let windows = rows.window_all(TumblingEventTimeWindows::of(window()));
                windows.reduce(|a, b| Row { value: a.value + b.value, ..b.clone() })
            })
        }),
    ]
}

/// Why windows with triggers are slow, and windows with evictors.
const ASKS: &str = "a trigger decides after each row, so windows are computed row by row";
const EVICTED: &str = "an evictor chooses among all rows of a window, so each is kept as a record of its own";

fn triggers_and_evictors() -> Vec<Case> {
    vec![
        case("tumbling windows with `CountTrigger`, `aggregate`", |rows| {
            keyed(rows, |rows| {
                let windows = rows.window(TumblingEventTimeWindows::of(window()));
                windows.trigger(PurgingTrigger::of(CountTrigger::of(10))).aggregate(Mean)
            })
        })
        .because(ASKS),
        case("tumbling windows with `ContinuousEventTimeTrigger`, `aggregate`", |rows| {
            keyed(rows, |rows| {
                let windows = rows.window(TumblingEventTimeWindows::of(window()));
                windows.trigger(ContinuousEventTimeTrigger::of(window() / 4)).aggregate(Mean)
            })
        })
        .because(ASKS),
        case("tumbling windows with `DeltaTrigger`, `aggregate`", |rows| {
            keyed(rows, |rows| {
                let windows = rows.window(TumblingEventTimeWindows::of(window()));
                let delta = |old: &Row, new: &Row| (new.value - old.value) as f64;
                windows.trigger(PurgingTrigger::of(DeltaTrigger::of(512.0, delta))).aggregate(Mean)
            })
        })
        .because("a trigger decides after each row, and this one keeps the row that it fired at"),
        case("tumbling windows with `EventTimeTrigger`, `aggregate`", |rows| {
            keyed(rows, |rows| {
                rows.window(TumblingEventTimeWindows::of(window())).trigger(EventTimeTrigger).aggregate(Mean)
            })
        })
        .because(ASKS),
        case("tumbling windows with `CountEvictor`, `aggregate`", |rows| {
            keyed(rows, |rows| {
                rows.window(TumblingEventTimeWindows::of(window())).evictor(CountEvictor::of(3)).aggregate(Mean)
            })
        })
        .because(EVICTED),
        case("tumbling windows with `TimeEvictor`, `aggregate`", |rows| {
            keyed(rows, |rows| {
                let windows = rows.window(TumblingEventTimeWindows::of(window()));
                windows.evictor(TimeEvictor::of(window() / 2)).aggregate(Mean)
            })
        })
        .because(EVICTED),
        case("tumbling windows with `DeltaEvictor`, `aggregate`", |rows| {
            keyed(rows, |rows| {
                let windows = rows.window(TumblingEventTimeWindows::of(window()));
                let delta = |row: &Row, last: &Row| (last.value - row.value) as f64;
                windows.evictor(DeltaEvictor::of(512.0, delta)).aggregate(Mean)
            })
        })
        .because(EVICTED),
    ]
}

fn two_streams() -> Vec<Case> {
    vec![
        case("`connect`, `map`", |rows| {
            two(rows, |left, right| left.connect(right).map(|row| row.value, |row| -row.value))
        }),
        case("`KeyedCoProcessFunction`, `ValueState`", |rows| {
            two(rows, |left, right| {
                left.key_by(Row::key)
                    .connect(right.key_by(Row::key))
                    .process(Latest { latest: ValueState::new("latest") })
            })
        }),
        case("`CoProcessFunction`", |rows| two(rows, |left, right| left.connect(right).process(Scale { factor: 1 }))),
        case("`BroadcastProcessFunction`, a rule for each row", |rows| {
            two(rows, |left, right| {
                let rules = right.filter(|row| row.value == 0);
                left.connect_broadcast(rules).process(Rules { rules: BroadcastState::new("rules") })
            })
        }),
        case("`KeyedBroadcastProcessFunction`, `ValueState` and a rule for each row", |rows| {
            two(rows, |left, right| {
                let rules = right.filter(|row| row.value == 0);
                let limits = Limits { limits: BroadcastState::new("limits"), spent: ValueState::new("spent") };
                left.key_by(Row::key).connect_broadcast(rules).process(limits)
            })
        }),
        case("window join, about one pair per row", |rows| {
            two(rows, |left, right| {
                let joined = left.join(right).where_key(Row::key).equal_to(Row::key);
                let windows = TumblingEventTimeWindows::of(Duration::from_millis(200));
                joined.window(windows).apply(|left, right| (left.key, left.value + right.value))
            })
        })
        .because("rows of both sides are kept as records until their window ends"),
        case("co-group", |rows| {
            two(rows, |left, right| {
                let grouped = left.co_group(right).where_key(Row::key).equal_to(Row::key);
                let windows = TumblingEventTimeWindows::of(window());
                grouped.window(windows).apply(|left: &[&Row], right: &[&Row], out: &mut Collector<'_, i64>| {
                    out.collect((left.len() * right.len()) as i64);
                })
            })
        })
        .because("rows of both sides are kept as records until their window ends"),
        case("window join with `EventTimeTrigger`, about one pair per row", |rows| {
            two(rows, |left, right| {
                let joined = left.join(right).where_key(Row::key).equal_to(Row::key);
                let windows = joined.window(TumblingEventTimeWindows::of(Duration::from_millis(200)));
                windows.trigger(EventTimeTrigger).apply(|left, right| (left.key, left.value + right.value))
            })
        })
        .because(ASKS),
        case("co-group with `CountEvictor`", |rows| {
            two(rows, |left, right| {
                let grouped = left.co_group(right).where_key(Row::key).equal_to(Row::key);
                let windows = grouped.window(TumblingEventTimeWindows::of(window())).evictor(CountEvictor::of(3));
                windows.apply(|left: &[&Row], right: &[&Row], out: &mut Collector<'_, i64>| {
                    out.collect((left.len() * right.len()) as i64);
                })
            })
        })
        .because(EVICTED),
        case("interval join, about one pair per row", |rows| {
            two(rows, |left, right| {
                let joined = left.key_by(Row::key).interval_join(right.key_by(Row::key)).between(-100, 100);
                joined.process(|left, right, _, out| out.collect((left.key, left.value + right.value)))
            })
        })
        .because("rows of both sides are kept as records, in the order of time, until none can meet them"),
    ]
}

fn patterns() -> Vec<Case> {
    fn rare() -> Pattern<Row> {
        let pattern = Pattern::begin("low").where_event(|row: &Row| row.value < 10).followed_by("high");
        pattern.where_event(|row| row.value > 1000).within(Duration::from_millis(1000))
    }
    fn frequent() -> Pattern<Row> {
        let pattern = Pattern::begin("low").where_event(|row: &Row| row.value < 512).times(3);
        pattern.next("high").where_event(|row| row.value >= 512).within(Duration::from_millis(1000))
    }
    vec![
        case("pattern in event time, one row in a hundred begins a match", |rows| {
            keyed(rows, |rows| rows.pattern(rare()).select(|found| found.first("high").value))
        })
        .because("every row waits for the watermark as a record of its own, in the order of time of its key"),
        case("pattern in event time, every second row begins a match", |rows| {
            keyed(rows, |rows| rows.pattern(frequent()).select(|found| found.first("high").value))
        })
        .because("every row waits for the watermark as a record of its own, and half of them are kept by matches"),
        case("pattern in processing time, one row in a hundred begins a match", |rows| {
            keyed(rows, |rows| rows.pattern(rare()).in_processing_time().select(|found| found.first("high").value))
        }),
        case("pattern in event time with timeouts, one row in a hundred begins a match", |rows| {
            keyed(rows, |rows| {
                let given_up = OutputTag::<i64>::new("given up");
                let found = rows.pattern(rare()).select_with_timeout(
                    &given_up,
                    |partial, _| partial.first("low").value,
                    |found| found.first("high").value,
                );
                found.get_side_output(&given_up).union([found])
            })
        })
        .because("every row waits for the watermark as a record of its own, in the order of time of its key"),
    ]
}

/// Why asynchronous functions are slow.
const ASKED: &str =
    "every row is a request: a task of the runtime with a time limit, whose answer comes back through a queue";

/// Requests are counted in: they run on the same thread.
fn ask(rows: DataStream<Row>, options: fn(Duration) -> AsyncOptions<i64>) -> DataStream<i64> {
    rows.async_map(options(Duration::from_secs(60)).capacity(1_000), |row: Row| async move { Ok(row.value) })
}

fn side_output(rows: DataStream<Row>) -> DataStream<i64> {
    let odd = OutputTag::<i64>::new("odd");
    let tag = odd.clone();
    let even = rows.flat_map_with_side::<i64>(move |row, out, side| match row.value % 2 {
        0 => out.collect(row.value),
        _ => side.output(&tag, row.value),
    });
    even.get_side_output(&odd).union([even])
}

/// The same rows, of which one in a hundred comes a window and a half after its time.
fn late(batches: &[StreamBatch]) -> Vec<StreamBatch> {
    let behind_ms = window().as_millis() as i64 * 3 / 2;
    let late = |batch: &StreamBatch| {
        let times = batch.timestamps().into_iter().flatten().enumerate();
        let times: Vec<i64> = times.map(|(row, time)| if row % 100 == 50 { time - behind_ms } else { *time }).collect();
        batch.clone().with_timestamps(Some(times.into()))
    };
    batches.iter().map(late).collect()
}
