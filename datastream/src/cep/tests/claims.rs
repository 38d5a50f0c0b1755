//! What each word of a pattern means.

use std::time::Duration;

use super::super::AfterMatchSkipStrategy as Skip;
use super::super::ConditionContext;
use super::{Event, Found, Pattern, found, is, timed};

fn begin(letter: char) -> Pattern<Event> {
    Pattern::begin(name(letter)).where_event(is(letter))
}

fn name(letter: char) -> &'static str {
    match letter {
        'a' => "a",
        'b' => "b",
        'c' => "c",
        'd' => "d",
        _ => "e",
    }
}

fn next(pattern: Pattern<Event>, letter: char) -> Pattern<Event> {
    pattern.next(name(letter)).where_event(is(letter))
}

fn then(pattern: Pattern<Event>, letter: char) -> Pattern<Event> {
    pattern.followed_by(name(letter)).where_event(is(letter))
}

fn any(pattern: Pattern<Event>, letter: char) -> Pattern<Event> {
    pattern.followed_by_any(name(letter)).where_event(is(letter))
}

#[track_caller]
fn check(pattern: Pattern<Event>, events: &'static str, expected: &[&str]) {
    let mut found = found(&pattern, events);
    let mut expected: Vec<String> = expected.iter().map(|&expected| expected.to_owned()).collect();
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
}

#[test]
fn strict_contiguity_bears_nothing_in_between() {
    check(next(begin('a'), 'b'), "a c b1 b2", &[]);
    check(next(begin('a'), 'b'), "a1 a2 b", &["a2 b"]);
}

#[test]
fn relaxed_contiguity_passes_over_what_does_not_fit() {
    check(then(begin('a'), 'b'), "a c b1 b2", &["a b1"]);
}

#[test]
fn non_deterministic_contiguity_matches_every_event_that_fits() {
    check(any(begin('a'), 'b'), "a c b1 b2", &["a b1", "a b2"]);
}

#[test]
fn one_or_more_is_relaxed_between_its_events() {
    let pattern = then(then(begin('a'), 'b').one_or_more(), 'c');
    check(pattern, "a b1 d b2 b3 c", &["a b1 c", "a b1 b2 c", "a b1 b2 b3 c"]);
}

#[test]
fn consecutive_events_bear_nothing_in_between() {
    let pattern = then(then(begin('a'), 'b').one_or_more().consecutive(), 'c');
    check(pattern, "a b1 d b2 b3 c", &["a b1 c"]);
}

#[test]
fn combinations_leave_out_events_that_fit() {
    let pattern = then(then(begin('a'), 'b').one_or_more().allow_combinations(), 'c');
    let expected = ["a b1 c", "a b1 b2 c", "a b1 b3 c", "a b1 b2 b3 c"];
    check(pattern, "a b1 d b2 b3 c", &expected);
}

#[test]
fn times_is_an_exact_number_and_times_between_a_range() {
    check(begin('a').times(2), "a1 a2 a3", &["a1 a2", "a2 a3"]);
    let pattern = next(begin('a').times_between(1, 2), 'b');
    check(pattern, "a1 a2 a3 b", &["a3 b", "a2 a3 b"]);
    let pattern = then(begin('c'), 'a').times_between(0, 1);
    check(pattern, "c a", &["c", "c a"]);
    check(begin('a').times_or_more(2), "a1 a2 a3", &["a1 a2", "a1 a2 a3", "a2 a3"]);
}

#[test]
fn what_is_optional_may_be_missing() {
    let pattern = then(then(begin('c'), 'a').optional(), 'd');
    check(pattern.clone(), "c d", &["c d"]);
    check(pattern, "c a d", &["c d", "c a d"]);
}

#[test]
fn greedy_takes_as_many_as_there_are() {
    let zero_or_more = |pattern| then(pattern, 'a').one_or_more().optional();
    let pattern = then(zero_or_more(begin('c')).greedy(), 'd');
    check(pattern.clone(), "c a1 a2 a3 d", &["c a1 a2 a3 d"]);
    check(pattern.clone(), "c b a1 b a2 b a3 d", &["c a1 a2 a3 d"]);
    check(pattern.clone(), "c a1 a2 b d", &["c a1 a2 d"]);
    check(pattern, "c b d", &["c d"]);
    let reluctant = then(zero_or_more(begin('c')), 'd');
    check(reluctant, "c a1 a2 d", &["c d", "c a1 d", "c a1 a2 d"]);
}

#[test]
fn greedy_before_what_is_optional_still_takes_all() {
    let pattern = then(then(then(begin('c'), 'a').one_or_more().optional().greedy(), 'd'), 'e');
    check(pattern, "c a1 a2 d e", &["c a1 a2 d e"]);
}

#[test]
fn greedy_yields_to_an_event_that_ends_its_loop() {
    let late_a = |event: &Event| *event == "a4";
    let pattern = then(then(begin('c'), 'a').one_or_more().optional().greedy().until(late_a), 'd');
    check(pattern, "c a1 a2 a3 a4 d", &["c a1 a2 a3 d"]);
}

#[test]
fn until_ends_a_loop_for_good() {
    let pattern = begin('a').one_or_more().until(is('b'));
    check(pattern, "a1 a2 b a3", &["a1", "a1 a2", "a2", "a3"]);
    let pattern = then(begin('a').one_or_more().until(is('b')), 'c');
    check(pattern, "a1 b a2 c", &["a1 c", "a2 c"]);
}

#[test]
fn what_must_not_come_next_ends_a_match_only_right_away() {
    let pattern = || then(begin('a').not_next("not").where_event(is('b')), 'c');
    check(pattern(), "a b c", &[]);
    check(pattern(), "a d b c", &["a c"]);
    check(begin('a').not_next("not").where_event(is('b')), "a1 a2 b a3", &["a1"]);
}

#[test]
fn what_must_not_follow_ends_a_match_anywhere_in_between() {
    let pattern = then(begin('a').not_followed_by("not").where_event(is('b')), 'c');
    check(pattern.clone(), "a d b c", &[]);
    check(pattern, "a d c b", &["a c"]);
}

#[test]
fn what_must_not_follow_is_settled_when_something_optional_comes() {
    let pattern = any(any(begin('a').not_followed_by("not").where_event(is('b')), 'c').optional(), 'd');
    check(pattern.clone(), "a c b d", &["a c d"]);
    check(pattern, "a b d", &[]);
}

#[test]
fn nothing_follows_when_the_time_is_over() {
    let pattern = begin('a').not_followed_by("not").where_event(is('b')).within(Duration::from_millis(10));
    let events = [(1, "a1"), (5, "a2"), (12, "b"), (13, "a3")];
    assert_eq!(timed(&pattern, events, 22).0, ["a1"]);
    assert_eq!(timed(&pattern, events, 23).0, ["a1", "a3"]);
}

#[test]
fn a_match_takes_less_than_its_time() {
    let pattern = then(begin('a'), 'b').within(Duration::from_millis(10));
    assert_eq!(timed(&pattern, [(1, "a1"), (10, "b1")], 0), (vec!["a1 b1".to_owned()], vec![]));
    assert_eq!(timed(&pattern, [(1, "a1"), (11, "b1")], 0), (vec![], vec!["a1 at 11".to_owned()]));
    assert_eq!(timed(&pattern, [(1, "a1"), (2, "a2")], 11), (vec![], vec!["a1 at 11".to_owned()]));
}

#[test]
fn iterative_conditions_see_what_was_taken() {
    let number = |event: &Event| event[1..].parse::<i32>().unwrap();
    let pattern = begin('a').next("more").one_or_more().consecutive();
    let pattern = pattern.where_iterative(move |event, ctx| {
        let before = ctx.events_for_pattern("more").last().copied();
        let before = before.or(ctx.events_for_pattern("a").first().copied());
        before.is_some_and(|before| number(event) > number(before))
    });
    check(pattern, "a3 a4 b7 b6", &["a3 a4", "a3 a4 b7", "a4 b7"]);
    let either =
        Pattern::begin("x").where_event(is('a')).or_event(is('b')).where_event(|event: &Event| event.len() > 1);
    check(either, "a a1 b1 c1", &["a1", "b1"]);
}

fn two_of_each(skip: Skip) -> Pattern<Event> {
    // Every event is a `c`, so it fits both parts.
    let pattern = Pattern::begin("first").where_event(is('c')).times(2).next("end").where_event(is('c')).times(2);
    pattern.after_match(skip)
}

#[test]
fn without_skipping_matches_overlap() {
    check(begin('a').times(3), "a1 a2 a3 a4 a5", &["a1 a2 a3", "a2 a3 a4", "a3 a4 a5"]);
}

#[test]
fn past_the_last_event_matches_do_not_overlap() {
    let pattern = begin('a').times(3).after_match(Skip::skip_past_last_event());
    check(pattern, "a1 a2 a3 a4 a5 a6", &["a1 a2 a3", "a4 a5 a6"]);
}

#[test]
fn skipping_to_the_next_event_shows_one_match_of_each_beginning() {
    let pattern = || any(begin('a'), 'b').after_match(Skip::skip_to_next());
    check(pattern(), "a1 b1 a2 b2", &["a1 b1", "a2 b2"]);
    let pattern = next(begin('a'), 'b').one_or_more().after_match(Skip::skip_to_next());
    check(pattern, "a1 b1 b2 b3", &["a1 b1"]);
}

#[test]
fn skipping_to_the_first_or_last_of_a_part_goes_on_with_it() {
    check(two_of_each(Skip::skip_to_first("end")), "c1 c2 c3 c4 c5 c6", &["c1 c2 c3 c4", "c3 c4 c5 c6"]);
    check(two_of_each(Skip::skip_to_last("end")), "c1 c2 c3 c4 c5 c6 c7", &["c1 c2 c3 c4", "c4 c5 c6 c7"]);
}

#[test]
fn a_match_waits_for_earlier_beginnings() {
    let pattern = then(begin('a').times_between(1, 2).consecutive().greedy(), 'b');
    let pattern = pattern.after_match(Skip::skip_past_last_event());
    check(pattern, "a1 a2 b", &["a1 a2 b"]);
}

#[test]
fn a_match_that_waited_is_shown_when_the_earlier_beginning_has_no_time_left() {
    // `a1` waits for `b1`, which never comes.
    let same = |event: &Event, ctx: &ConditionContext<'_, Event>| {
        ctx.events_for_pattern("a").last().is_some_and(|first| first[1..] == event[1..])
    };
    let pattern = begin('a').followed_by("b").where_event(is('b')).where_iterative(same);
    let pattern = pattern.within(Duration::from_millis(10)).after_match(Skip::skip_to_next());
    let automaton = super::Automaton::compile(&pattern).unwrap();
    let (mut matching, mut scratch) = (super::Matching::default(), super::Scratch::default());
    let mut shown = Vec::new();
    let mut see = |found: Found<'_, Event>| {
        match found {
            Found::Match(found, at) => shown.push((found.events().map(|(_, event)| *event).collect::<String>(), at)),
            Found::TimedOut(partial, at) => shown.push((format!("{} timed out", partial.first("a")), at)),
        }
        Ok(())
    };
    for (time, event) in [(1, "a1"), (5, "a2"), (7, "b2")] {
        automaton.see(&mut matching, &event, time, time, &mut scratch, &mut see).unwrap();
    }
    automaton.advance(&mut matching, 10, &mut scratch, &mut see).unwrap();
    automaton.advance(&mut matching, 12, &mut scratch, &mut see).unwrap();
    assert_eq!(shown, [("a1 timed out".to_owned(), 11), ("a2b2".to_owned(), 11)]);
}

#[test]
fn a_match_without_end_has_no_time_left_when_time_ends() {
    let pattern = then(begin('a'), 'b').within(Duration::MAX);
    let (_, timed_out) = super::timed(&pattern, [(5, "a")], i64::MAX);
    assert_eq!(timed_out, [format!("a at {}", i64::MAX)]);
    let pattern = then(begin('a'), 'b').within(Duration::from_millis(1));
    let (_, timed_out) = super::timed(&pattern, [(i64::MAX, "a")], i64::MAX);
    assert_eq!(timed_out, [format!("a at {}", i64::MAX)]);
}

#[test]
fn the_memory_of_a_hot_key_stays_with_it() {
    let pattern = then(begin('a'), 'b');
    let automaton = super::Automaton::compile(&pattern).unwrap();
    let (mut hot, mut cold, mut scratch) =
        (super::Matching::default(), super::Matching::default(), super::Scratch::default());
    let nothing = |_: Found<'_, Event>| Ok(());
    automaton.see(&mut cold, &"a", 0, 0, &mut scratch, nothing).unwrap();
    for time in 1..5_000 {
        automaton.see(&mut hot, &"a", time, time, &mut scratch, nothing).unwrap();
        automaton.see(&mut cold, &"x", time, time, &mut scratch, nothing).unwrap();
    }
    assert!(cold.runs.capacity() < 100, "{}", cold.runs.capacity());
}

#[test]
fn a_part_to_skip_to_that_took_nothing_skips_nothing_or_fails() {
    let pattern = |skip| {
        let pattern = begin('a').followed_by("b").where_event(is('b')).optional();
        then(pattern, 'c').after_match(skip)
    };
    check(pattern(Skip::skip_to_first("b")), "a c", &["a c"]);
    let strict = pattern(Skip::skip_to_first("b").throw_exception_on_miss());
    let automaton = super::Automaton::compile(&strict).unwrap();
    let (mut matching, mut scratch) = (super::Matching::default(), super::Scratch::default());
    automaton.see(&mut matching, &"a", 1, 1, &mut scratch, |_: Found<'_, Event>| Ok(())).unwrap();
    let error = automaton.see(&mut matching, &"c", 2, 2, &mut scratch, |_: Found<'_, Event>| Ok(())).unwrap_err();
    assert_eq!(error.to_string(), "cannot skip to `b`, which took no event in the match that was found");
}

#[test]
fn what_no_match_needs_any_more_is_dropped() {
    let pattern = then(begin('a'), 'b').within(Duration::from_millis(100));
    let automaton = super::Automaton::compile(&pattern).unwrap();
    let (mut matching, mut scratch) = (super::Matching::default(), super::Scratch::default());
    for time in 0..10_000 {
        automaton.advance(&mut matching, time, &mut scratch, |_: Found<'_, Event>| Ok(())).unwrap();
        automaton.see(&mut matching, &"a", time, time, &mut scratch, |_: Found<'_, Event>| Ok(())).unwrap();
        assert!(matching.nodes.len() <= 210 && matching.events.len() <= 210, "{}", matching.nodes.len());
    }
    automaton.see(&mut matching, &"b", 10_000, 10_000, &mut scratch, |_: Found<'_, Event>| Ok(())).unwrap();
    assert!(matching.is_empty() && matching.nodes.is_empty() && matching.events.is_empty());
}
