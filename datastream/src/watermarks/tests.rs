//! What watermark strategies promise.

use std::time::Duration;

use chrono::{DateTime, Utc};
use pelton_runtime_core::element::{StreamBatch, StreamElement};
use pelton_runtime_core::operator::harness::OperatorHarness;
use pelton_runtime_core::operator::{Operator, OperatorResult, OperatorRuntime};
use pelton_runtime_core::time::MAX_WATERMARK;

use crate::record::{Record, RecordBuilder, Timestamp, field};

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
        Ok(Box::new(strategy.operator(Interval::of(interval))))
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
    let mut idleness = super::Idleness::new(100);
    assert_eq!(idleness.active(0), Some(100));
    assert_eq!(idleness.alarm(1_000), Some(super::idleness::Alarm::Again(1_100)));
    assert_eq!(idleness.alarm(1_100), Some(super::idleness::Alarm::Again(1_101)));
    assert_eq!(idleness.alarm(1_101), Some(super::idleness::Alarm::Idle));
}

#[test]
fn a_record_that_waited_while_the_task_was_held_up_keeps_the_stream_active() {
    let mut idleness = super::Idleness::new(100);
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
