//! What comes before what: windows, triggers, results and timers of one watermark or one time.

use super::*;
use crate::keyed::{ProcessContext, ProcessFunction, TimeDomain, TimeWindow, Trigger, TriggerContext, TriggerResult};

#[test]
fn windows_under_one_watermark_fire_by_their_end() {
    // Two keys, so that more than one group is due at each end; results are in the order of their coming.
    let mut harness = Harness::new();
    let (events, input) = harness.source::<Event>();
    let windows = SlidingEventTimeWindows::of(millis(20), millis(10));
    let plain = events.clone().key_by(field::<0, _>()).window(windows).process(ends);
    let triggered = events.key_by(field::<0, _>()).window(windows).evictor(crate::keyed::CountEvictor::of(9));
    let (plain, triggered) = (harness.collect(plain), harness.collect(triggered.process(ends)));
    harness.push(&input, [("b", 25), ("a", 31), ("a", 3), ("b", 12)].map(|(key, at)| (event(key, at), at))).unwrap();
    harness.watermark(&input, 100).unwrap();
    for ends in [plain.take_records(), triggered.take_records()] {
        assert_eq!(ends, [10, 20, 20, 30, 40, 40, 50], "each window of each key");
    }
}

fn ends(_: &String, window: &TimeWindow, _: &[Event], out: &mut Collector<'_, i64>) {
    out.collect(window.end);
}

/// Fires at the end of the allowed lateness of 5 ms, which is when windows are dropped.
#[derive(Clone)]
struct AtTheVeryEnd;

impl Trigger<Event> for AtTheVeryEnd {
    type State = bool;

    fn on_element(
        &self,
        _element: &Event,
        _timestamp: i64,
        window: &TimeWindow,
        _state: &mut Option<bool>,
        ctx: &mut TriggerContext<'_>,
    ) -> TriggerResult {
        ctx.register_event_time_timer(window.max_timestamp() + 5);
        TriggerResult::Continue
    }

    fn on_event_time(
        &self,
        _time: i64,
        _window: &TimeWindow,
        _state: &mut Option<bool>,
        _ctx: &mut TriggerContext<'_>,
    ) -> TriggerResult {
        TriggerResult::Fire
    }
}

#[test]
fn a_triggers_timer_fires_before_its_window_is_dropped_at_the_same_millisecond() {
    let mut harness = Harness::new();
    let (events, input) = harness.source::<Event>();
    let windows = events.key_by(field::<0, _>()).window(TumblingEventTimeWindows::of(millis(10)));
    let fired = harness.collect(windows.allowed_lateness(millis(5)).trigger(AtTheVeryEnd).process(ends));
    harness.push(&input, [(event("a", 3), 3)]).unwrap();
    harness.watermark(&input, 13).unwrap();
    assert!(fired.take_records().is_empty());
    harness.watermark(&input, 14).unwrap();
    assert_eq!(fired.take_records(), [10]);
}

/// Says how far event time has come when it sees an event.
#[derive(Clone)]
struct Clock;

impl ProcessFunction for Clock {
    type In = i64;
    type Out = (i64, i64);

    fn process_element(
        &mut self,
        end: &i64,
        ctx: &mut ProcessContext<'_>,
        out: &mut Collector<'_, (i64, i64)>,
    ) -> FunctionResult {
        out.collect((*end, ctx.current_watermark()));
        Ok(())
    }
}

#[test]
fn results_come_before_the_watermark_that_made_them() {
    let mut harness = Harness::new();
    let (events, input) = harness.source::<Event>();
    let ended = events.key_by(field::<0, _>()).window(TumblingEventTimeWindows::of(millis(10))).process(ends);
    let seen = harness.collect(ended.clone().process(Clock));
    // So windows of results are of the time of the windows before them.
    let again = ended.key_by(|_: &i64| 0i32).window(TumblingEventTimeWindows::of(millis(10))).reduce(|a, b| a + b);
    let again = harness.collect(again);
    harness.push(&input, [(event("a", 3), 3), (event("b", 14), 14)]).unwrap();
    harness.watermark(&input, 5).unwrap();
    harness.watermark(&input, 30).unwrap();
    assert_eq!(seen.take_records(), [(10, 5), (20, 5)]);
    assert_eq!(again.take(), [(10, Some(9)), (20, Some(19))]);
}

/// Registers timers of both clocks at the number of an event. What timers at 5 and 7 do is in the events' key.
#[derive(Clone)]
struct Timers;

impl KeyedProcessFunction for Timers {
    type Key = String;
    type In = Event;
    type Out = String;

    fn process_element(
        &mut self,
        event: &Event,
        ctx: &mut KeyedContext<'_, String>,
        _out: &mut Collector<'_, String>,
    ) -> FunctionResult {
        let mut timers = ctx.timer_service();
        timers.register_event_time_timer(event.1);
        if event.0.contains("both") {
            timers.register_processing_time_timer(event.1);
        }
        Ok(())
    }

    fn on_timer(
        &mut self,
        at: i64,
        ctx: &mut KeyedContext<'_, String>,
        out: &mut Collector<'_, String>,
    ) -> FunctionResult {
        let key = ctx.current_key();
        let domain = ctx.time_domain();
        let clock = if domain == Some(TimeDomain::EventTime) { "event" } else { "wall" };
        let mut timers = ctx.timer_service();
        if key.contains("deletes") {
            timers.delete_event_time_timer(if at == 5 { 7 } else { 5 });
        }
        if key == "both, the wall wins" && clock == "wall" {
            timers.delete_event_time_timer(at);
        }
        if key == "again" && timers.current_processing_time() < 1 {
            timers.register_processing_time_timer(at);
        }
        out.collect(format!("{key}: {clock} {at}"));
        Ok(())
    }
}

fn timers() -> (Harness, TestSource<Event>, TestSink<String>) {
    let mut harness = Harness::new();
    let (events, input) = harness.source::<Event>();
    let fired = harness.collect(events.key_by(field::<0, _>()).process(Timers));
    (harness, input, fired)
}

#[test]
fn timers_of_both_clocks_at_one_time_are_two_and_each_fires_by_its_own() {
    let (mut harness, input, fired) = timers();
    harness.push(&input, [(event("both", 5), 0)]).unwrap();
    harness.watermark(&input, 5).unwrap();
    assert_eq!(fired.take_records(), ["both: event 5"]);
    harness.advance_processing_time(5).unwrap();
    assert_eq!(fired.take_records(), ["both: wall 5"]);
    harness.watermark(&input, 10).unwrap();
    harness.advance_processing_time(10).unwrap();
    assert!(fired.take_records().is_empty(), "each fires once");
}

#[test]
fn a_timer_deletes_that_of_the_same_time_of_the_other_clock() {
    let (mut harness, input, fired) = timers();
    harness.push(&input, [(event("both, the wall wins", 5), 0)]).unwrap();
    harness.advance_processing_time(5).unwrap();
    harness.watermark(&input, 10).unwrap();
    assert_eq!(fired.take_records(), ["both, the wall wins: wall 5"]);
}

#[test]
fn a_timer_that_another_deletes_does_not_fire_though_both_are_due() {
    let (mut harness, input, fired) = timers();
    harness.push(&input, [("deletes", 7), ("deletes", 5), ("keeps", 7)].map(|(key, at)| (event(key, at), 0))).unwrap();
    harness.watermark(&input, 10).unwrap();
    assert_eq!(fired.take_records(), ["deletes: event 5", "keeps: event 7"], "one of another key does");
}

#[test]
fn a_timer_that_another_registers_for_the_same_time_of_the_other_clock_fires_by_that() {
    let (mut harness, input, fired) = timers();
    harness.push(&input, [(event("again", 5), 0)]).unwrap();
    harness.watermark(&input, 10).unwrap();
    assert_eq!(fired.take_records(), ["again: event 5"]);
    harness.advance_processing_time(4).unwrap();
    assert!(fired.take_records().is_empty());
    harness.advance_processing_time(5).unwrap();
    assert_eq!(fired.take_records(), ["again: wall 5"]);
}

/// Registers its own time again when it fires for the first time.
#[derive(Clone)]
struct Twice {
    fired: crate::keyed::ValueState<i64>,
}

impl KeyedProcessFunction for Twice {
    type Key = String;
    type In = Event;
    type Out = Event;

    fn open(&mut self, ctx: &mut OpenContext<'_>) -> FunctionResult {
        ctx.register(&mut self.fired)
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
        let before = self.fired.value(ctx)?.copied().unwrap_or(0);
        self.fired.update(ctx, before + 1)?;
        if before == 0 {
            ctx.timer_service().register_event_time_timer(at);
        }
        out.collect((ctx.current_key(), before + 1));
        Ok(())
    }
}

#[test]
fn a_timer_that_registers_its_own_time_again_fires_again_under_the_same_watermark() {
    let mut harness = Harness::new();
    let (events, input) = harness.source::<Event>();
    let twice = Twice { fired: crate::keyed::ValueState::new("fired") };
    let fired = harness.collect(events.key_by(field::<0, _>()).process(twice));
    harness.push(&input, [(event("a", 5), 0)]).unwrap();
    harness.watermark(&input, 5).unwrap();
    assert_eq!(fired.take_records(), [event("a", 1), event("a", 2)]);
}
