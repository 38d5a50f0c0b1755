//! What Flink's documentation promises of time, windows, timers and joins, each promise a test.

use std::time::Duration;

use super::{Harness, TestSink, TestSource};
use crate::keyed::{
    EventTimeSessionWindows, FunctionResult, KeyedContext, KeyedProcessFunction, OpenContext, SlidingEventTimeWindows,
    TumblingEventTimeWindows, WindowedStream, Windows as Cut,
};
use crate::record::field;
use crate::stream::{Collector, DataStream, OutputTag};

/// A key and a number.
type Event = (String, i64);

fn event(key: &str, number: i64) -> Event {
    (key.to_owned(), number)
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// The start, end and numbers of every window of a key.
type Window = (i64, i64, Vec<i64>);

struct Windows {
    harness: Harness,
    input: TestSource<Event>,
    found: TestSink<Window>,
    late: TestSink<Event>,
}

impl Windows {
    fn new<W>(windows: W, lateness: Duration) -> Self
    where
        W: Cut<Event, Windowed<String> = WindowedStream<Event, String>>,
    {
        let mut harness = Harness::new();
        let (events, input) = harness.source::<Event>();
        let tag = OutputTag::new("late");
        let windows = events.key_by(field::<0, _>()).window(windows).allowed_lateness(lateness);
        let windows = windows.side_output_late_data(&tag).process(
            |_: &String, window, events: &[Event], out: &mut Collector<'_, Window>| {
                let mut numbers: Vec<i64> = events.iter().map(|event| event.1).collect();
                numbers.sort_unstable();
                out.collect((window.start, window.end, numbers));
            },
        );
        let late = harness.collect(windows.get_side_output(&tag));
        let found = harness.collect(windows);
        Self { harness, input, found, late }
    }

    /// Gives events that are their times.
    fn give(&mut self, times: &[i64]) {
        let events = times.iter().map(|time| (event("k", *time), *time));
        self.harness.push(&self.input, events).unwrap();
    }

    /// What fires when the watermark comes to a time.
    fn fired(&mut self, watermark: i64) -> Vec<Window> {
        self.harness.watermark(&self.input, watermark).unwrap();
        self.taken()
    }

    fn taken(&mut self) -> Vec<Window> {
        let mut found: Vec<Window> = self.found.take().into_iter().map(|(window, _)| window).collect();
        found.sort();
        found
    }

    fn late(&mut self) -> Vec<i64> {
        self.late.take().into_iter().map(|(event, _)| event.1).collect()
    }
}

#[test]
fn a_windows_start_belongs_to_it_and_its_end_to_the_next_one() {
    let mut windows = Windows::new(TumblingEventTimeWindows::of(millis(10)), Duration::ZERO);
    windows.give(&[0, 9, 10]);
    assert_eq!(windows.fired(i64::MAX), [(0, 10, vec![0, 9]), (10, 20, vec![10])]);
}

#[test]
fn a_window_fires_when_the_watermark_is_at_its_last_millisecond_and_not_before() {
    let mut windows = Windows::new(TumblingEventTimeWindows::of(millis(10)), Duration::ZERO);
    windows.give(&[3]);
    assert_eq!(windows.fired(8), []);
    assert_eq!(windows.fired(9), [(0, 10, vec![3])]);
    assert_eq!(windows.fired(i64::MAX), [], "it fires once");
}

#[test]
fn windows_are_aligned_to_the_epoch_on_both_sides_of_it() {
    let mut windows = Windows::new(TumblingEventTimeWindows::of(millis(10)), Duration::ZERO);
    windows.give(&[-1, -10, -11, 0]);
    assert_eq!(windows.fired(i64::MAX), [(-20, -10, vec![-11]), (-10, 0, vec![-10, -1]), (0, 10, vec![0])]);
}

#[test]
fn an_element_is_in_every_sliding_window_that_covers_it() {
    let mut windows = Windows::new(SlidingEventTimeWindows::of(millis(10), millis(5)), Duration::ZERO);
    windows.give(&[4, 5]);
    assert_eq!(windows.fired(i64::MAX), [(-5, 5, vec![4]), (0, 10, vec![4, 5]), (5, 15, vec![5])]);
}

#[test]
fn sessions_end_where_more_than_the_gap_is_silent_and_one_element_joins_two() {
    let mut windows = Windows::new(EventTimeSessionWindows::with_gap(millis(5)), Duration::ZERO);
    windows.give(&[0, 5, 11]);
    assert_eq!(windows.fired(15), [(0, 10, vec![0, 5]), (11, 16, vec![11])]);
    windows.give(&[20, 30, 25]);
    assert_eq!(windows.fired(i64::MAX), [(20, 35, vec![20, 25, 30])]);
}

#[test]
fn a_session_with_a_dynamic_gap_ends_where_the_gap_of_each_of_its_elements_is_over() {
    // Even numbers are waited for longer.
    let gap = |event: &Event| millis(if event.1 % 2 == 0 { 10 } else { 2 });
    let mut windows = Windows::new(EventTimeSessionWindows::with_dynamic_gap(gap), Duration::ZERO);
    windows.give(&[0, 3, 11, 13, 20]);
    assert_eq!(windows.fired(9), [(0, 10, vec![0, 3])], "3 does not shorten what 0 said");
    assert_eq!(windows.fired(i64::MAX), [(11, 15, vec![11, 13]), (20, 30, vec![20])]);
}

#[test]
fn a_late_element_fires_its_window_again_until_the_allowed_lateness_is_over() {
    let mut windows = Windows::new(TumblingEventTimeWindows::of(millis(10)), millis(5));
    windows.give(&[1]);
    assert_eq!(windows.fired(9), [(0, 10, vec![1])]);
    windows.give(&[2]);
    assert_eq!(windows.taken(), [(0, 10, vec![1, 2])]);
    assert_eq!(windows.fired(13), []);
    windows.give(&[3]);
    assert_eq!(windows.taken(), [(0, 10, vec![1, 2, 3])]);
    assert_eq!((windows.fired(14), windows.late()), (vec![], vec![]));
    windows.give(&[4]);
    assert_eq!((windows.taken(), windows.late()), (vec![], vec![4]));
}

#[test]
fn an_element_behind_the_watermark_is_not_late_while_its_window_is_open() {
    let mut windows = Windows::new(TumblingEventTimeWindows::of(millis(10)), Duration::ZERO);
    assert_eq!(windows.fired(8), []);
    windows.give(&[2]);
    assert_eq!((windows.fired(9), windows.late()), (vec![(0, 10, vec![2])], vec![]));
}

/// Registers a timer for each number and says which fire.
#[derive(Clone)]
struct Alarm;

impl KeyedProcessFunction for Alarm {
    type Key = String;
    type In = Event;
    type Out = Event;

    fn open(&mut self, _ctx: &mut OpenContext<'_>) -> FunctionResult {
        Ok(())
    }

    fn process_element(
        &mut self,
        event: &Event,
        ctx: &mut KeyedContext<'_, String>,
        _out: &mut Collector<'_, Event>,
    ) -> FunctionResult {
        ctx.timer_service().register_event_time_timer(event.1);
        Ok(())
    }

    fn on_timer(
        &mut self,
        at: i64,
        ctx: &mut KeyedContext<'_, String>,
        out: &mut Collector<'_, Event>,
    ) -> FunctionResult {
        // A timer that is registered by one, for a time that has come, fires as well.
        if at == 7 {
            ctx.timer_service().register_event_time_timer(8);
        }
        out.collect((ctx.current_key(), at));
        Ok(())
    }
}

fn alarms() -> (Harness, TestSource<Event>, TestSink<Event>) {
    let mut harness = Harness::new();
    let (events, input) = harness.source::<Event>();
    let alarms = harness.collect(events.key_by(field::<0, _>()).process(Alarm));
    (harness, input, alarms)
}

fn numbers(alarms: &TestSink<Event>) -> Vec<i64> {
    alarms.take().into_iter().map(|(event, _)| event.1).collect()
}

#[test]
fn timers_of_one_time_fire_once_for_each_key() {
    let (mut harness, input, alarms) = alarms();
    harness.push(&input, ["a", "b", "a", "c"].map(|key| (event(key, 5), 0))).unwrap();
    harness.watermark(&input, 5).unwrap();
    let mut keys: Vec<String> = alarms.take().into_iter().map(|(event, _)| event.0).collect();
    keys.sort();
    assert_eq!(keys, ["a", "b", "c"]);
}

#[test]
fn timers_fire_in_the_order_of_time_those_that_timers_register_among_them() {
    let (mut harness, input, alarms) = alarms();
    harness.push(&input, [9, 7, 20].map(|at| (event("a", at), 0))).unwrap();
    harness.watermark(&input, 9).unwrap();
    assert_eq!(numbers(&alarms), [7, 8, 9]);
    harness.end().unwrap();
    assert_eq!(numbers(&alarms), [20]);
}

#[test]
fn a_timer_for_a_time_that_is_over_fires_at_the_next_watermark() {
    let (mut harness, input, alarms) = alarms();
    harness.watermark(&input, 100).unwrap();
    harness.push(&input, [(event("a", 50), 0)]).unwrap();
    assert!(numbers(&alarms).is_empty());
    harness.watermark(&input, 101).unwrap();
    assert_eq!(numbers(&alarms), [50]);
}

fn two_streams(
    build: impl FnOnce(DataStream<Event>, DataStream<Event>) -> DataStream<(i64, i64)>,
) -> (Harness, [TestSource<Event>; 2], TestSink<(i64, i64)>) {
    let mut harness = Harness::new();
    let (left, left_input) = harness.source::<Event>();
    let (right, right_input) = harness.source::<Event>();
    let found = harness.collect(build(left, right));
    (harness, [left_input, right_input], found)
}

fn pairs(found: &TestSink<(i64, i64)>) -> Vec<(i64, i64)> {
    let mut pairs: Vec<(i64, i64)> = found.take().into_iter().map(|(pair, _)| pair).collect();
    pairs.sort_unstable();
    pairs
}

#[test]
fn a_union_is_as_far_as_the_input_that_is_furthest_behind() {
    let mut harness = Harness::new();
    let (left, left_input) = harness.source::<Event>();
    let (right, right_input) = harness.source::<Event>();
    let alarms = harness.collect(left.union([right]).key_by(field::<0, _>()).process(Alarm));
    harness.push(&left_input, [(event("a", 5), 0)]).unwrap();
    harness.watermark(&left_input, 10).unwrap();
    assert!(numbers(&alarms).is_empty());
    harness.watermark(&right_input, 4).unwrap();
    assert!(numbers(&alarms).is_empty());
    harness.watermark(&right_input, 5).unwrap();
    assert_eq!(numbers(&alarms), [5]);
}

fn united() -> (Harness, [TestSource<Event>; 2], TestSink<Event>) {
    let mut harness = Harness::new();
    let (left, left_input) = harness.source::<Event>();
    let (right, right_input) = harness.source::<Event>();
    let alarms = harness.collect(left.union([right]).key_by(field::<0, _>()).process(Alarm));
    (harness, [left_input, right_input], alarms)
}

#[test]
fn a_union_does_not_wait_for_an_idle_input() {
    let (mut harness, [left, right], alarms) = united();
    harness.push(&left, [(event("a", 5), 0)]).unwrap();
    harness.watermark(&left, 10).unwrap();
    assert!(numbers(&alarms).is_empty());
    harness.idle(&right).unwrap();
    assert_eq!(numbers(&alarms), [5]);
}

#[test]
fn a_union_waits_for_an_input_that_was_idle_and_has_caught_up() {
    let (mut harness, [left, right], alarms) = united();
    harness.idle(&right).unwrap();
    harness.push(&left, [5, 15].map(|at| (event("a", at), 0))).unwrap();
    harness.watermark(&left, 10).unwrap();
    assert_eq!(numbers(&alarms), [5]);
    harness.watermark(&right, 12).unwrap();
    harness.watermark(&left, 20).unwrap();
    assert!(numbers(&alarms).is_empty(), "the other input is at 12 only");
    harness.watermark(&right, 15).unwrap();
    assert_eq!(numbers(&alarms), [15]);
}

#[test]
fn an_input_that_was_idle_and_is_behind_does_not_hold_event_time_back_until_it_has_caught_up() {
    let (mut harness, [left, right], alarms) = united();
    harness.idle(&right).unwrap();
    harness.push(&left, [5, 15].map(|at| (event("a", at), 0))).unwrap();
    harness.watermark(&left, 10).unwrap();
    harness.watermark(&right, 3).unwrap();
    harness.watermark(&left, 20).unwrap();
    assert_eq!(numbers(&alarms), [5, 15]);
}

#[test]
fn when_the_last_input_goes_idle_event_time_comes_to_the_input_that_was_furthest() {
    let (mut harness, [left, right], alarms) = united();
    harness.push(&left, [5, 10, 11].map(|at| (event("a", at), 0))).unwrap();
    harness.watermark(&left, 10).unwrap();
    harness.watermark(&right, 4).unwrap();
    harness.idle(&left).unwrap();
    assert!(numbers(&alarms).is_empty(), "the other input is at 4");
    harness.idle(&right).unwrap();
    assert_eq!(numbers(&alarms), [5, 10]);
}

#[test]
fn event_time_goes_on_from_where_it_was_when_an_input_is_idle_no_more() {
    let (mut harness, [left, right], alarms) = united();
    harness.push(&left, [(event("a", 5), 0)]).unwrap();
    harness.watermark(&left, 4).unwrap();
    harness.idle(&left).unwrap();
    harness.idle(&right).unwrap();
    assert!(numbers(&alarms).is_empty(), "no input has come to 5");
    harness.watermark(&left, 5).unwrap();
    assert_eq!(numbers(&alarms), [5], "the other is idle still");
}

#[test]
fn a_join_does_not_wait_for_an_idle_side() {
    let (mut harness, [left, right], found) = two_streams(|left, right| {
        let grouped = left.co_group(right).where_key(field::<0, _>()).equal_to(field::<0, _>());
        grouped.window(TumblingEventTimeWindows::of(millis(10))).apply(
            |left: &[&Event], right: &[&Event], out: &mut Collector<'_, (i64, i64)>| {
                out.collect((left.len() as i64, right.len() as i64));
            },
        )
    });
    harness.push(&left, [(event("a", 1), 1)]).unwrap();
    harness.watermark(&left, 9).unwrap();
    assert!(pairs(&found).is_empty());
    harness.idle(&right).unwrap();
    assert_eq!(pairs(&found), [(1, 0)]);
}

#[test]
fn the_bounds_of_an_interval_join_are_inside() {
    let (mut harness, [left, right], found) = two_streams(|left, right| {
        let joined = left.key_by(field::<0, _>()).interval_join(right.key_by(field::<0, _>())).between(-2, 3);
        joined.process(|left, right, _, out| out.collect((left.1, right.1)))
    });
    harness.push(&left, [(event("k", 10), 10)]).unwrap();
    harness.push(&right, [7, 8, 10, 13, 14].map(|at| (event("k", at), at))).unwrap();
    harness.push(&right, [(event("other", 10), 10)]).unwrap();
    assert_eq!(pairs(&found), [(10, 8), (10, 10), (10, 13)]);
}

#[test]
fn a_window_join_pairs_elements_of_one_window_and_no_others() {
    let (mut harness, [left, right], found) = two_streams(|left, right| {
        let joined = left.join(right).where_key(field::<0, _>()).equal_to(field::<0, _>());
        joined.window(TumblingEventTimeWindows::of(millis(10))).apply(|left, right| (left.1, right.1))
    });
    harness.push(&left, [0, 9].map(|at| (event("k", at), at))).unwrap();
    harness.push(&right, [1, 10].map(|at| (event("k", at), at))).unwrap();
    harness.end().unwrap();
    assert_eq!(pairs(&found), [(0, 1), (9, 1)], "9 and 10 are a millisecond apart and in two windows");
}

#[test]
fn a_co_group_sees_keys_that_one_side_lacks_and_a_join_does_not() {
    let grouped = |left: DataStream<Event>, right: DataStream<Event>| {
        let grouped = left.co_group(right).where_key(field::<0, _>()).equal_to(field::<0, _>());
        grouped.window(TumblingEventTimeWindows::of(millis(10))).apply(
            |left: &[&Event], right: &[&Event], out: &mut Collector<'_, (i64, i64)>| {
                out.collect((left.len() as i64, right.len() as i64));
            },
        )
    };
    let (mut harness, [left, right], found) = two_streams(grouped);
    harness.push(&left, [(event("a", 1), 1), (event("b", 2), 2)]).unwrap();
    harness.push(&right, [(event("b", 3), 3), (event("b", 4), 4)]).unwrap();
    harness.end().unwrap();
    assert_eq!(pairs(&found), [(1, 0), (1, 2)]);
}

mod order;
