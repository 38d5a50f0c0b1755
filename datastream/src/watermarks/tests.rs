//! What watermark strategies promise.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use chrono::{DateTime, Utc};
use pelton_runtime_core::element::{StreamBatch, StreamElement};
use pelton_runtime_core::graph::program::Program;
use pelton_runtime_core::operator::harness::OperatorHarness;
use pelton_runtime_core::operator::{Operator, OperatorResult, OperatorRuntime, SplitsToPause};
use pelton_runtime_core::time::MAX_WATERMARK;

use crate::record::{Record, RecordBuilder, Timestamp, field};
use crate::sources::DataGeneratorSource;
use crate::stream::DataStream;

use super::idleness::Idleness;
use super::pace::Interval;
use super::{WatermarkGenerator, WatermarkStrategy};

type Event = (String, Timestamp);

fn events(times: &[i64]) -> StreamBatch {
    batch(times.iter().map(|time| ("e".to_owned(), Timestamp::from_millis(*time))))
}

fn batch<T: Record>(rows: impl IntoIterator<Item = T>) -> StreamBatch {
    let mut builder = RecordBuilder::<T>::new();
    builder.extend(rows);
    StreamBatch::new(builder.finish().unwrap())
}

fn open<T: Record>(strategy: WatermarkStrategy<T>) -> OperatorHarness {
    open_with(strategy, None)
}

fn open_with<T: Record>(strategy: WatermarkStrategy<T>, interval: Option<Duration>) -> OperatorHarness {
    let factory = move |_: &OperatorRuntime| -> OperatorResult<Box<dyn Operator>> {
        Ok(Box::new(strategy.operator(Interval::of(interval), false)))
    };
    OperatorHarness::open(&factory).unwrap()
}

/// `[times]`, `W watermark` and `idle`, as they were emitted.
fn emitted(harness: &mut OperatorHarness) -> Vec<String> {
    let show = |(_, element)| match element {
        StreamElement::Batch(batch) => format!("{:?}", batch.timestamps().map_or(&[][..], |times| &times[..])),
        StreamElement::Watermark(watermark) => format!("W {watermark}"),
        StreamElement::Idle => "idle".to_owned(),
        other => format!("{other:?}"),
    };
    harness.take_output().into_iter().map(show).collect()
}

fn five_ms() -> WatermarkStrategy<Event> {
    WatermarkStrategy::for_bounded_out_of_orderness(Duration::from_millis(5)).with_timestamp_column(field::<1, Event>())
}

#[test]
fn the_watermark_follows_the_latest_time_at_a_distance_and_never_goes_back() {
    let mut harness = open(five_ms());
    harness.process(events(&[10, 30, 20])).unwrap();
    harness.process(events(&[5])).unwrap();
    harness.process(events(&[31])).unwrap();
    assert_eq!(emitted(&mut harness), ["[10, 30, 20]", "W 24", "[5]", "[31]", "W 25"]);
}

#[test]
fn an_interval_spaces_watermarks_out_and_loses_none() {
    let mut harness = open_with(five_ms(), Some(Duration::from_millis(200)));
    harness.process(events(&[10])).unwrap();
    harness.process(events(&[20])).unwrap();
    harness.process(events(&[30])).unwrap();
    assert_eq!(emitted(&mut harness), ["[10]", "W 4", "[20]", "[30]"]);
    let start = harness.next_wake_up().unwrap() - 200;
    harness.advance_processing_time(start + 199).unwrap();
    assert_eq!(emitted(&mut harness), [""; 0]);
    harness.advance_processing_time(start + 200).unwrap();
    assert_eq!(emitted(&mut harness), ["W 24"]);
    harness.process(events(&[40])).unwrap();
    harness.watermark(MAX_WATERMARK).unwrap();
    assert_eq!(emitted(&mut harness), ["[40]", &format!("W {MAX_WATERMARK}")]);
}

#[test]
fn an_interval_of_zero_leaves_the_end_of_time_alone() {
    let mut harness = open_with(five_ms(), Some(Duration::ZERO));
    harness.process(events(&[10])).unwrap();
    harness.watermark(MAX_WATERMARK).unwrap();
    assert_eq!(emitted(&mut harness), ["[10]", &format!("W {MAX_WATERMARK}")]);
}

#[test]
fn monotonous_times_leave_only_the_last_millisecond_open() {
    let strategy =
        WatermarkStrategy::for_monotonous_timestamps().with_timestamp_assigner(|event: &Event| event.1.millis());
    let mut harness = open(strategy);
    harness.process(events(&[10, 30])).unwrap();
    assert_eq!(emitted(&mut harness), ["[10, 30]", "W 29"]);
}

#[test]
fn without_watermarks_records_still_get_their_times() {
    let mut harness = open(WatermarkStrategy::no_watermarks().with_timestamp_column(field::<1, Event>()));
    harness.process(events(&[10])).unwrap();
    assert_eq!(emitted(&mut harness), ["[10]"]);
}

#[test]
fn upstream_watermarks_and_idleness_end_here_but_the_end_of_time_passes() {
    let mut harness = open(five_ms());
    harness.watermark(1_000).unwrap();
    harness.process(events(&[10])).unwrap();
    harness.watermark(MAX_WATERMARK).unwrap();
    assert_eq!(emitted(&mut harness), ["[10]".to_owned(), "W 4".to_owned(), format!("W {MAX_WATERMARK}")]);
}

#[test]
fn a_column_in_microseconds_is_rounded_down() {
    type At = (i64, DateTime<Utc>);
    let mut harness = open(WatermarkStrategy::for_monotonous_timestamps().with_timestamp_column(field::<1, At>()));
    let at = |micros| (0, DateTime::<Utc>::from_timestamp_micros(micros).unwrap());
    harness.process(batch([at(-1), at(1_999)])).unwrap();
    assert_eq!(emitted(&mut harness), ["[-1, 1]", "W 0"]);
}

#[test]
fn a_null_time_fails_with_column_and_row() {
    type Maybe = (i64, Option<Timestamp>);
    let mut harness = open(WatermarkStrategy::for_monotonous_timestamps().with_timestamp_column(field::<1, Maybe>()));
    harness.process(batch([(1, Some(Timestamp::from_millis(3)))])).unwrap();
    let error = harness.process(batch([(1, Some(Timestamp::from_millis(3))), (2, None)])).unwrap_err().to_string();
    assert!(error.starts_with("column `f1`, from which event times are taken, is NULL in row 1"), "{error}");
}

#[test]
fn records_without_times_fail_with_what_to_do() {
    let mut harness = open(WatermarkStrategy::<Event>::for_monotonous_timestamps());
    let error = harness.process(events(&[1])).unwrap_err().to_string();
    assert!(error.contains("give the watermark strategy a timestamp"), "{error}");
}

#[test]
fn a_stream_without_records_is_idle_after_the_timeout_even_when_none_ever_came() {
    let mut harness = open(five_ms().with_idleness(Duration::from_millis(100)));
    harness.advance_processing_time(100).unwrap();
    assert_eq!(emitted(&mut harness), [""; 0], "records that wait have their turn first");
    harness.advance_processing_time(101).unwrap();
    assert_eq!(emitted(&mut harness), ["idle"]);
    assert_eq!(harness.next_wake_up(), None, "an idle stream needs no alarm");
    harness.advance_processing_time(500).unwrap();
    harness.process(events(&[10])).unwrap();
    harness.advance_processing_time(550).unwrap();
    harness.process(events(&[20])).unwrap();
    assert_eq!(emitted(&mut harness), ["[10]", "W 4", "[20]", "W 14"]);
    harness.advance_processing_time(650).unwrap();
    assert_eq!(emitted(&mut harness), [""; 0]);
    harness.advance_processing_time(651).unwrap();
    assert_eq!(emitted(&mut harness), ["idle"]);
}

#[test]
fn a_task_that_could_not_run_is_not_idle() {
    let mut idleness = Idleness::new(100);
    assert_eq!(idleness.active(0), Some(100));
    assert_eq!(idleness.alarm(1_000), Some(super::idleness::Alarm::Again(1_100)));
    assert_eq!(idleness.alarm(1_100), Some(super::idleness::Alarm::Again(1_101)));
    assert_eq!(idleness.alarm(1_101), Some(super::idleness::Alarm::Idle));
}

#[test]
fn a_record_that_waited_while_the_task_was_held_up_keeps_the_stream_active() {
    let mut idleness = Idleness::new(100);
    assert_eq!(idleness.active(0), Some(100));
    assert_eq!(idleness.alarm(120), Some(super::idleness::Alarm::Again(121)));
    assert_eq!(idleness.active(120), None);
    assert_eq!(idleness.alarm(121), Some(super::idleness::Alarm::Again(220)));
}

#[test]
fn a_generator_of_ones_own_sees_every_record() {
    struct Marked(Option<i64>);
    impl WatermarkGenerator<Event> for Marked {
        fn on_event(&mut self, record: &Event, timestamp: i64) {
            if record.0 == "mark" {
                self.0 = Some(timestamp);
            }
        }
        fn current_watermark(&mut self) -> Option<i64> {
            self.0
        }
    }
    let strategy = WatermarkStrategy::for_generator(|| Marked(None)).with_timestamp_column(field::<1, Event>());
    let mut harness = open(strategy);
    harness.process(events(&[10])).unwrap();
    harness.process(batch([("mark".to_owned(), Timestamp::from_millis(20))])).unwrap();
    harness.process(events(&[30])).unwrap();
    assert_eq!(emitted(&mut harness), ["[10]", "[20]", "W 20", "[30]"]);
}

fn of_split(split: u32, times: &[i64]) -> StreamBatch {
    events(times).of_split(split)
}

#[test]
fn of_splits_that_are_read_side_by_side_the_last_one_counts() {
    let mut harness = open(five_ms());
    harness.process(of_split(1, &[100])).unwrap();
    assert_eq!(emitted(&mut harness), ["[100]", "W 94"]);
    // One that comes later does not turn time back, and holds it up.
    harness.process(of_split(2, &[50])).unwrap();
    harness.process(of_split(1, &[200])).unwrap();
    assert_eq!(emitted(&mut harness), ["[50]", "[200]"]);
    harness.process(of_split(2, &[150])).unwrap();
    assert_eq!(emitted(&mut harness), ["[150]", "W 144"]);
    harness.split_ended(2).unwrap();
    assert_eq!(emitted(&mut harness), ["W 194"], "what was read to its end holds nobody up");
    harness.split_ended(1).unwrap();
    harness.process(of_split(3, &[190])).unwrap();
    harness.process(of_split(3, &[300])).unwrap();
    assert_eq!(emitted(&mut harness), ["[190]", "[300]", "W 294"]);
}

#[test]
fn a_split_without_records_holds_its_subtask_up_until_it_is_idle() {
    let mut harness = open(five_ms().with_idleness(Duration::from_millis(100)));
    harness.process(of_split(1, &[100])).unwrap();
    harness.process(of_split(2, &[10])).unwrap();
    emitted(&mut harness);
    harness.advance_processing_time(60).unwrap();
    harness.process(of_split(1, &[200])).unwrap();
    assert_eq!(emitted(&mut harness), ["[200]"]);
    harness.advance_processing_time(100).unwrap();
    harness.advance_processing_time(101).unwrap();
    assert_eq!(emitted(&mut harness), ["W 194"], "the other has had records");
    harness.advance_processing_time(160).unwrap();
    harness.advance_processing_time(161).unwrap();
    assert_eq!(emitted(&mut harness), ["idle"]);
    harness.process(of_split(2, &[190])).unwrap();
    harness.process(of_split(1, &[300])).unwrap();
    assert_eq!(emitted(&mut harness), ["[190]", "[300]"], "it is back");
}

fn pause(splits: &[u32]) -> Option<SplitsToPause> {
    Some(SplitsToPause { splits: splits.to_vec(), tolerates_sources_that_cannot: false })
}

#[test]
fn a_split_counts_from_when_its_reader_has_it() {
    let mut harness = open(five_ms());
    harness.split_added(1).unwrap();
    harness.split_added(2).unwrap();
    harness.process(of_split(1, &[500])).unwrap();
    assert_eq!(emitted(&mut harness), ["[500]"], "records of the other are still to come");
    harness.process(of_split(2, &[100])).unwrap();
    assert_eq!(emitted(&mut harness), ["[100]", "W 94"]);
}

#[test]
fn records_of_which_the_split_is_not_known_make_all_splits_one() {
    let mut harness = open(five_ms());
    harness.split_added(1).unwrap();
    harness.split_added(2).unwrap();
    harness.process(of_split(1, &[100])).unwrap();
    harness.process(events(&[200])).unwrap();
    assert_eq!(emitted(&mut harness), ["[100]", "[200]", "W 194"]);
    harness.process(of_split(1, &[300])).unwrap();
    harness.split_added(3).unwrap();
    harness.split_ended(1).unwrap();
    harness.process(events(&[400])).unwrap();
    assert_eq!(emitted(&mut harness), ["[300]", "W 294", "[400]", "W 394"]);
}

#[test]
fn a_reader_without_splits_or_without_a_watermark_holds_nobody_up_and_none_goes_back() {
    let mut harness = open(aligned());
    let groups = harness.place().watermark_groups.clone();
    let told = || groups.report().map(|report| report["group"]);
    assert_eq!(told(), Some(MAX_WATERMARK), "it has no watermark yet");
    harness.split_added(1).unwrap();
    assert_eq!(told(), None);
    harness.process(of_split(1, &[105])).unwrap();
    assert_eq!(told(), Some(99));
    harness.split_added(2).unwrap();
    harness.process(of_split(2, &[50])).unwrap();
    assert_eq!(told(), None, "what it has emitted it does not take back");
    harness.split_ended(1).unwrap();
    harness.split_ended(2).unwrap();
    assert_eq!(told(), Some(MAX_WATERMARK), "it has nothing to read");
    harness.split_added(3).unwrap();
    harness.process(of_split(3, &[205])).unwrap();
    assert_eq!(told(), Some(199));
}

fn aligned() -> WatermarkStrategy<Event> {
    let (drift, interval) = (Duration::from_millis(20), Duration::from_millis(10));
    five_ms().with_watermark_alignment("group", drift, interval)
}

#[test]
fn a_stream_that_is_further_ahead_than_the_drift_waits_for_the_others_of_its_group() {
    let mut harness = open(aligned());
    let groups = harness.place().watermark_groups.clone();
    let told = || groups.report().map(|report| report["group"]);
    assert!(harness.lets_read());
    harness.process(events(&[105])).unwrap();
    assert_eq!((told(), harness.lets_read()), (Some(99), true), "nothing is known of the others");
    groups.align("group", 78);
    assert!(!harness.lets_read());
    groups.align("group", 79);
    assert!(harness.lets_read());
    groups.align("group", 0);
    assert!(!harness.lets_read());
    // At its end it waits for nobody, and nobody for it.
    harness.watermark(MAX_WATERMARK).unwrap();
    assert!(harness.lets_read() && groups.report().is_some_and(|report| report.is_empty()));
}

#[test]
fn of_splits_that_are_read_side_by_side_those_wait_that_are_ahead() {
    let mut harness = open(aligned());
    let groups = harness.place().watermark_groups.clone();
    (1..=2).for_each(|split| harness.split_added(split).unwrap());
    harness.process(of_split(1, &[1_000])).unwrap();
    harness.process(of_split(2, &[105])).unwrap();
    assert_eq!(harness.splits_to_pause(), None);
    groups.align("group", 90);
    assert_eq!((harness.lets_read(), harness.splits_to_pause()), (true, pause(&[1])));
    assert_eq!(harness.splits_to_pause(), None, "it was said");
    groups.align("group", 60);
    assert_eq!((harness.lets_read(), harness.splits_to_pause()), (false, pause(&[1, 2])));
    groups.align("group", 980);
    assert_eq!((harness.lets_read(), harness.splits_to_pause()), (true, pause(&[])));
}

#[test]
fn a_split_that_waits_is_not_idle_and_an_idle_stream_holds_nobody_up() {
    let mut harness = open(aligned().with_idleness(Duration::from_millis(100)));
    let groups = harness.place().watermark_groups.clone();
    let told = || groups.report().map(|report| report["group"]);
    (1..=2).for_each(|split| harness.split_added(split).unwrap());
    harness.process(of_split(1, &[1_000])).unwrap();
    harness.process(of_split(2, &[105])).unwrap();
    groups.align("group", 90);
    assert_eq!((told(), harness.splits_to_pause()), (Some(99), pause(&[1])));
    harness.advance_processing_time(100).unwrap();
    harness.advance_processing_time(101).unwrap();
    assert_eq!(told(), Some(994), "only the one that could have had records is idle");
    groups.align("group", 994);
    assert_eq!(harness.splits_to_pause(), pause(&[]));
    harness.advance_processing_time(210).unwrap();
    harness.advance_processing_time(320).unwrap();
    harness.advance_processing_time(321).unwrap();
    assert_eq!(told(), Some(MAX_WATERMARK));
}

#[test]
fn a_source_that_is_ahead_waits_for_another_of_its_group() {
    static AHEAD: AtomicI64 = AtomicI64::new(0);
    let strategy = || {
        let (drift, interval) = (Duration::from_millis(100), Duration::from_millis(2));
        let times = WatermarkStrategy::for_monotonous_timestamps().with_timestamp_assigner(|n: &i64| *n);
        times.with_watermark_alignment("numbers", drift, interval)
    };
    let env = crate::testing::mini_cluster(1);
    let numbers = |count| DataGeneratorSource::new(|index| index as i64).count(count);
    let fast = env.from_source(numbers(3_000_000).rows_per_second(1_000_000.0), strategy(), "fast").map(|n| {
        AHEAD.fetch_max(*n, Ordering::Relaxed);
        0
    });
    let slow = env.from_source(numbers(400).rows_per_second(400.0), strategy(), "slow");
    let slow = slow.map(|_| AHEAD.load(Ordering::Relaxed));
    let ahead = fast.filter(|_| false).union([slow]).execute_and_collect("aligned").unwrap();
    let ahead: Vec<i64> = ahead.collect::<Result<_, _>>().unwrap();
    assert_eq!((ahead.len(), AHEAD.load(Ordering::Relaxed)), (400, 2_999_999), "when the other has ended, it goes on");
    // It runs until the other has a watermark; then half a second is half a million rows.
    assert!(ahead[399] - ahead[200] < 100_000, "{} {}", ahead[200], ahead[399]);
}

/// The program of a source with watermarks and a sink, as `configure` makes the source.
fn program_of(
    env: &crate::StreamExecutionEnvironment,
    configure: impl FnOnce(DataStream<i64>) -> DataStream<i64>,
) -> Program {
    let times = WatermarkStrategy::for_monotonous_timestamps().with_timestamp_assigner(|number: &i64| *number);
    let numbers = crate::sources::DataGeneratorSource::new(|index: u64| index.cast_signed()).count(10);
    configure(env.from_source(numbers, times, "numbers")).print();
    env.program("example").expect("a job")
}

#[test]
fn what_is_set_of_a_source_with_watermarks_is_set_of_both() {
    let program =
        program_of(&crate::testing::mini_cluster(4), |numbers| numbers.set_parallelism(1).set_max_parallelism(64));
    let first = &program.graph.vertices[0];
    assert_eq!((first.parallelism, first.max_parallelism, first.operators.len()), (1, 64, 2));
    assert_eq!(program.graph.vertices[1].parallelism, 4);
}

#[test]
fn watermarks_are_made_where_a_source_of_one_reader_is_read() {
    let env = crate::testing::mini_cluster(4);
    let times = WatermarkStrategy::for_monotonous_timestamps().with_timestamp_assigner(|_: &String| 7);
    env.from_source(crate::sources::SocketSource::new("localhost", 7), times, "lines").print();
    let program = env.program("example").expect("a job");
    let first = &program.graph.vertices[0];
    assert_eq!((first.parallelism, first.operators.len()), (1, 2));
}

#[test]
fn uid_and_name_of_a_source_with_watermarks_are_the_sources() {
    let operators = |uid: &str| {
        let program = program_of(&crate::testing::mini_cluster(1), |numbers| numbers.uid(uid).name("figures"));
        program.graph.vertices[0].operators.clone()
    };
    let (a, b) = (operators("a"), operators("b"));
    let described: Vec<_> = a.iter().map(|operator| (operator.name.as_str(), operator.uid.as_deref())).collect();
    let sink = ("Sink: Print to Std. Out", None);
    assert_eq!(described, [("Source: figures", Some("a")), ("Timestamps/Watermarks", None), sink]);
    assert!(a[0].id != b[0].id && a[1].id != b[1].id, "state of both is found by the uid");

    let unnamed = program_of(&crate::testing::mini_cluster(1), |numbers| numbers);
    let renamed = |uid: &str| {
        let env = crate::testing::mini_cluster(1);
        env.from_sequence(1, 3).print();
        program_of(&env, |numbers| numbers.uid(uid)).graph.vertices[1].operators.clone()
    };
    assert_ne!(unnamed.graph.vertices[0].operators[1].id, a[1].id);
    let (moved, before) = (renamed("a"), &a);
    assert_eq!((moved[0].id, moved[1].id), (before[0].id, before[1].id), "wherever it is in the program");
}

#[test]
fn a_source_and_its_watermarks_share_a_task_whatever_is_chained_otherwise() {
    let tasks = |program: &Program| -> Vec<usize> {
        program.graph.vertices.iter().map(|vertex| vertex.operators.len()).collect()
    };
    let alone = program_of(&crate::testing::mini_cluster(1), DataStream::disable_chaining);
    assert_eq!(tasks(&alone), [2, 1]);
    let env = crate::testing::mini_cluster(1);
    env.configure("pipeline.operator-chaining.enabled", "false").unwrap();
    assert_eq!(tasks(&program_of(&env, |numbers| numbers.start_new_chain())), [2, 1]);
}
