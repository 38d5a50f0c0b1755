//! The operator: order of time, lateness, clocks, keys, checkpoints.

use std::sync::Arc;
use std::time::Duration;

use pelton_runtime_core::element::{CheckpointId, StreamElement};
use pelton_runtime_core::graph::program::OperatorCode;
use pelton_runtime_core::operator::OperatorFactory;

use super::super::{Match, Pattern};
use crate::keyed::tests::{open_in, stamped};
use crate::record::{Record, RecordReader, field};
use crate::stream::OutputTag;
use crate::testing::Harness;

type Event = (String, String);

fn event(key: &str, letter: &str) -> Event {
    (key.to_owned(), letter.to_owned())
}

fn is(letter: &'static str) -> impl Fn(&Event) -> bool + Send + Sync + 'static {
    move |event| event.1.starts_with(letter)
}

fn text(found: &Match<'_, Event>) -> String {
    let letters: Vec<&str> = found.events().map(|(_, event)| event.1.as_str()).collect();
    format!("{}: {}", found.events().next().map_or("", |(_, event)| &event.0), letters.join(" "))
}

fn a_then_b() -> Pattern<Event> {
    Pattern::begin("a").where_event(is("a")).followed_by("b").where_event(is("b"))
}

#[test]
fn events_are_matched_in_the_order_of_time_when_the_watermark_has_come_to_them() {
    let mut harness = Harness::new();
    let (events, input) = harness.source::<Event>();
    let found = harness.collect(events.key_by(field::<0, _>()).pattern(a_then_b()).select(text));
    let batch = [(event("x", "b1"), 5), (event("x", "a1"), 3), (event("y", "a2"), 4), (event("x", "b2"), 9)];
    harness.push(&input, batch).unwrap();
    assert_eq!(found.take(), []);
    harness.watermark(&input, 5).unwrap();
    assert_eq!(found.take(), [("x: a1 b1".to_owned(), Some(5))]);
    harness.push(&input, [(event("y", "b3"), 6)]).unwrap();
    harness.watermark(&input, 9).unwrap();
    assert_eq!(found.take(), [("y: a2 b3".to_owned(), Some(6))]);
}

#[test]
fn events_that_come_after_the_watermark_are_late() {
    let mut harness = Harness::new();
    let (events, input) = harness.source::<Event>();
    let late = OutputTag::new("late");
    let found = events.key_by(field::<0, _>()).pattern(a_then_b()).side_output_late_data(&late).select(text);
    let late = harness.collect(found.get_side_output(&late));
    let found = harness.collect(found);
    harness.watermark(&input, 5).unwrap();
    harness.push(&input, [(event("x", "a1"), 5), (event("x", "a2"), 6), (event("x", "b1"), 7)]).unwrap();
    harness.end().unwrap();
    assert_eq!(late.take(), [(event("x", "a1"), Some(5))]);
    assert_eq!(found.take(), [("x: a2 b1".to_owned(), Some(7))]);
}

#[test]
fn partial_matches_whose_time_is_over_go_to_their_side_output_though_no_event_comes() {
    let mut harness = Harness::new();
    let (events, input) = harness.source::<Event>();
    let tag = OutputTag::new("timed out");
    let pattern = a_then_b().within(Duration::from_millis(10));
    let found = events.key_by(field::<0, _>()).pattern(pattern);
    let found = found.select_with_timeout(&tag, |partial, at| format!("{} until {at}", text(partial)), text);
    let timed_out = harness.collect(found.get_side_output(&tag));
    let found = harness.collect(found);
    harness.push(&input, [(event("x", "a1"), 1), (event("y", "a2"), 2)]).unwrap();
    harness.watermark(&input, 10).unwrap();
    assert_eq!(timed_out.take(), []);
    harness.restart().unwrap();
    harness.watermark(&input, 11).unwrap();
    assert_eq!(timed_out.take(), [("x: a1 until 11".to_owned(), Some(11))]);
    harness.push(&input, [(event("y", "b"), 12)]).unwrap();
    harness.end().unwrap();
    assert_eq!(timed_out.take(), [("y: a2 until 12".to_owned(), Some(12))]);
    assert_eq!(found.take(), []);
}

#[test]
fn in_processing_time_events_are_matched_as_they_come_and_time_is_that_of_the_wall_clock() {
    let mut harness = Harness::new();
    let (events, input) = harness.source::<Event>();
    let tag = OutputTag::new("timed out");
    let pattern = a_then_b().within(Duration::from_millis(10));
    let found = events.key_by(field::<0, _>()).pattern(pattern).in_processing_time();
    let found = found.select_with_timeout(&tag, |partial, at| format!("{} until {at}", text(partial)), text);
    let timed_out = harness.collect(found.get_side_output(&tag));
    let found = harness.collect(found);
    harness.advance_processing_time(100).unwrap();
    harness.push_untimed(&input, [event("x", "a1"), event("x", "b1"), event("y", "a2")]).unwrap();
    assert_eq!(found.take(), [("x: a1 b1".to_owned(), None)]);
    harness.restart().unwrap();
    harness.advance_processing_time(109).unwrap();
    assert_eq!(timed_out.take(), []);
    harness.advance_processing_time(110).unwrap();
    assert_eq!(timed_out.take(), [("y: a2 until 110".to_owned(), None)]);
}

#[test]
fn a_stream_without_keys_is_matched_whole() {
    let mut harness = Harness::new();
    let (events, input) = harness.source::<Event>();
    let found = harness.collect(events.pattern(a_then_b()).select(text));
    harness.push(&input, [(event("x", "a1"), 1), (event("y", "b1"), 2)]).unwrap();
    harness.end().unwrap();
    assert_eq!(found.take(), [("x: a1 b1".to_owned(), Some(2))]);
}

#[test]
fn an_event_without_time_is_refused_where_event_time_counts() {
    let mut harness = Harness::new();
    let (events, input) = harness.source::<Event>();
    let _found = harness.collect(events.pattern(a_then_b()).select(text));
    let error = harness.push_untimed(&input, [event("x", "a1")]).unwrap_err();
    assert!(error.to_string().contains("`in_processing_time`"), "{error}");
}

/// Steps of a random job: an event (its key, letter and time), a watermark, or a restart.
#[derive(Debug, Clone)]
enum Step {
    Event(usize, usize, i64),
    Watermark(i64),
    Restart,
}

/// What matches and what times out, sorted, with the restarts or without. With a cache of so many bytes state is in a store
/// at first, and changes between there and the heap with every restart.
fn run(factory: &Arc<dyn OperatorFactory>, steps: &[Step], restarts: bool, cache: Option<usize>) -> Vec<(String, i64)> {
    let (mut harness, mut in_store) = (open_in(factory, cache), true);
    let (mut all, mut watermark) = (Vec::new(), 0);
    let last = Step::Watermark(1_000);
    for step in steps.iter().chain([&last]) {
        match step {
            Step::Event(key, letter, ahead) => {
                let letter = format!("{}{ahead}", ["a", "b", "c"][*letter]);
                harness.process(stamped(&[(event(["x", "y"][*key], &letter), watermark + ahead)])).unwrap();
            }
            Step::Watermark(ahead) => {
                watermark += ahead;
                harness.watermark(watermark).unwrap();
            }
            Step::Restart if restarts => {
                let snapshot = harness.checkpoint(CheckpointId(1)).unwrap();
                in_store = !in_store;
                harness = open_in(factory, cache.filter(|_| in_store));
                harness.restore(&[snapshot]).unwrap();
                // What came before the failure is not late after it, but nothing else is different.
                harness.watermark(watermark).unwrap();
            }
            Step::Restart => {}
        }
        for (port, element) in harness.take_output() {
            let StreamElement::Batch(batch) = element else { continue };
            let reader = RecordReader::<String>::open(batch.records()).unwrap();
            let times = batch.timestamps().unwrap();
            let found = reader.iter().zip(times.iter());
            all.extend(found.map(|(text, time)| (format!("{port} {text}"), *time)));
        }
    }
    all.sort();
    all
}

/// The only operator that is built with `pattern`.
fn factory(pattern: Pattern<Event>) -> Arc<dyn OperatorFactory> {
    let env = crate::testing::mini_cluster(1);
    let stream = env.from_elements([event("x", "a")]).key_by(field::<0, _>());
    let tag = OutputTag::new("timed out");
    let found = stream.pattern(pattern).select_with_timeout(&tag, |partial, _| text(partial), text);
    let found = found.uid("pattern");
    drop(found.get_side_output(&tag).discard());
    drop(found.discard());
    let program = env.program("job").unwrap();
    let operators = program.graph.vertices.iter().flat_map(|vertex| &vertex.operators);
    let id = operators.into_iter().find(|operator| operator.uid.is_some()).unwrap().id;
    match &program.code[&id] {
        OperatorCode::Operator(factory) => factory.clone(),
        OperatorCode::Source(_) => unreachable!("a pattern is no source"),
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 300, ..Default::default() })]

    #[test]
    fn restarts_lose_and_double_nothing_wherever_state_is(cache in crate::keyed::tests::caches(), steps in {
        use proptest::prelude::*;
        prop::collection::vec(prop_oneof![
            6 => (0..2usize, 0..3usize, 1..15i64).prop_map(|(key, letter, ahead)| Step::Event(key, letter, ahead)),
            2 => (1..8i64).prop_map(Step::Watermark),
            1 => Just(Step::Restart),
        ], 0..30)
    }) {
        let pattern = Pattern::begin("a")
            .where_event(is("a"))
            .followed_by_any("b")
            .where_event(is("b"))
            .one_or_more()
            .followed_by("c")
            .where_event(is("c"))
            .within(Duration::from_millis(20))
            .after_match(super::super::AfterMatchSkipStrategy::skip_to_first("b"));
        let factory = factory(pattern);
        let expected = run(&factory, &steps, false, None);
        proptest::prop_assert_eq!(&run(&factory, &steps, true, None), &expected);
        proptest::prop_assert_eq!(&run(&factory, &steps, false, Some(cache)), &expected);
        proptest::prop_assert_eq!(&run(&factory, &steps, true, Some(cache)), &expected);
    }
}

#[test]
fn a_pattern_that_lost_the_place_of_a_partial_match_is_refused() {
    use pelton_runtime_core::element::{CheckpointId, StreamBatch};
    use pelton_runtime_core::graph::program::OperatorCode;
    use pelton_runtime_core::operator::harness::OperatorHarness;

    let harness_of = |pattern: Pattern<Event>| {
        let env = crate::testing::mini_cluster(1);
        let stream = env.from_elements([event("x", "a")]).key_by(field::<0, _>());
        drop(stream.pattern(pattern).in_processing_time().select(text).uid("pattern").discard());
        let program = env.program("job").unwrap();
        let operators = program.graph.vertices.iter().flat_map(|vertex| &vertex.operators);
        let id = operators.into_iter().find(|operator| operator.uid.is_some()).unwrap().id;
        match &program.code[&id] {
            OperatorCode::Operator(factory) => OperatorHarness::open(factory.as_ref()).unwrap(),
            OperatorCode::Source(_) => unreachable!("a pattern is no source"),
        }
    };
    let mut before = harness_of(a_then_b());
    let mut rows = crate::record::RecordBuilder::<Event>::new();
    rows.append(&event("x", "a"));
    before.process(StreamBatch::new(rows.finish().unwrap())).unwrap();
    let snapshot = before.checkpoint(CheckpointId(1)).unwrap();
    let other = Pattern::begin("a").where_event(is("a")).followed_by("z").where_event(is("b"));
    let error = harness_of(other).restore(std::slice::from_ref(&snapshot)).unwrap_err();
    let error = pelton_runtime_core::failure::error_chain(&error);
    assert!(error.contains("a partial match is in `b`, which the pattern does not have any more"), "{error}");
    harness_of(a_then_b().not_next("x").where_event(is("x"))).restore(&[snapshot]).unwrap();
}

#[test]
fn events_are_records_of_any_kind() {
    #[derive(Debug, Clone, Record)]
    struct Reading {
        sensor: i64,
        value: Option<f64>,
    }
    let mut harness = Harness::new();
    let (readings, input) = harness.source::<Reading>();
    let pattern = Pattern::begin("missing").where_event(|reading: &Reading| reading.value.is_none()).times(2);
    let pattern = pattern.consecutive();
    let found = readings.key_by(Reading::sensor).pattern(pattern).flat_select(|found, out| {
        for reading in found.get("missing") {
            out.collect(reading.sensor);
        }
    });
    let found = harness.collect(found);
    let reading = |sensor, value| Reading { sensor, value };
    let batch = [(reading(1, None), 1), (reading(2, None), 2), (reading(2, Some(0.5)), 3), (reading(1, None), 4)];
    harness.push(&input, batch).unwrap();
    harness.restart().unwrap();
    harness.end().unwrap();
    assert_eq!(found.take(), [(1, Some(4)), (1, Some(4))]);
}
