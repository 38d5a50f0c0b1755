//! Mistakes in patterns, and what is said of them.

use std::time::Duration;

use super::super::AfterMatchSkipStrategy as Skip;
use super::{Event, Pattern, is};

#[track_caller]
fn check(pattern: Pattern<Event>, part: &str) {
    let problem = pattern.check().unwrap_err().to_string();
    assert!(problem.contains(part), "{problem}");
}

fn a() -> Pattern<Event> {
    Pattern::begin("a").where_event(is('a'))
}

#[test]
fn mistakes_are_told_in_words() {
    check(a().next("a"), "two parts of the pattern are called `a`");
    check(a().not_next("b").optional(), "`b` says what must not come, so `optional`");
    check(a().not_followed_by("b").one_or_more().next("c"), "`b` says what must not come, so `one_or_more`");
    check(a().optional().not_next("b").next("c"), "`a` is optional and stands before `b`");
    check(a().not_followed_by("b"), "ends with `not_followed_by` `b`");
    check(a().not_followed_by("b").not_next("c").next("d"), "`b` must not come before what follows, and");
    let twice = a().not_followed_by("b").not_followed_by("c").within(Duration::from_secs(1));
    check(twice, "what follows is `c`, which must not come either");
    check(a().times(2).one_or_more(), "`one_or_more` says it again");
    check(a().times(0), "0 to 0 times");
    check(a().times_between(3, 2), "3 to 2 times");
    check(
        a().times(4_000).next("b").times_or_more(1_001),
        "`a` comes up to 4000 times; the parts of a pattern come 5000",
    );
    check(a().times(u32::MAX).next("b").times(u32::MAX), "times in all at most");
    check(a().consecutive(), "`consecutive` is about what comes several times");
    check(a().greedy(), "`greedy` is about what comes several times");
    check(a().times(2).until(is('b')), "`until` ends what comes any number of times");
    check(a().one_or_more().until(is('b')).until(is('c')), "`until` is called twice");
    check(a().one_or_more().consecutive().allow_combinations(), "`allow_combinations` is called twice for `a`, or");
    check(a().one_or_more().greedy().allow_combinations(), "`a` may leave out events that fit");
    check(a().one_or_more().greedy().next("b").optional(), "`b` cannot be optional, as `a` before it is greedy");
    check(a().after_match(Skip::skip_to_last("x")), "goes on at `x`");
    check(a().within(Duration::ZERO), "less than a millisecond");
}

#[test]
fn as_many_times_as_there_is_room_for_are_compiled() {
    let pattern = a().followed_by_any("b").where_event(is('b')).times(4_999).allow_combinations().optional();
    assert!(super::Automaton::compile(&pattern).is_ok());
}

#[test]
#[should_panic(expected = "ends with `not_followed_by` `b`")]
fn a_program_with_a_malformed_pattern_is_refused_when_it_is_planned() {
    let mut harness = crate::testing::Harness::new();
    let (words, _) = harness.source::<String>();
    drop(words.pattern(Pattern::begin("a").not_followed_by("b")));
}
