//! The automaton beside the reference, on random patterns and events.

use std::time::Duration;

use proptest::prelude::*;

use super::super::AfterMatchSkipStrategy;
use super::super::automaton::{Automaton, Found, Scratch};
use super::super::matching::Matching;
use super::super::pattern::Pattern;
use super::reference::{Follows, Gap, Part, Path, Reference, Skip};

type Event = (usize, char);

const NAMES: [&str; 4] = ["first", "second", "third", "fourth"];

fn parts() -> impl Strategy<Value = Vec<Part>> {
    let letters = prop::sample::select(vec!["a", "b", "c", "ab", "bc", "abc"]);
    let gap = || prop_oneof![2 => Just(Gap::Unfitting), 1 => Just(Gap::Nothing), 1 => Just(Gap::Anything)];
    let follows = prop_oneof![
        6 => gap().prop_map(Follows::By),
        1 => Just(Follows::NotNext),
        1 => Just(Follows::NotBefore),
    ];
    let times = prop_oneof![
        3 => Just(None),
        1 => (1..4u32).prop_map(|times| Some((times, Some(times)))),
        1 => (1..3u32, 0..3u32).prop_map(|(from, more)| Some((from, Some(from + more)))),
        2 => (1..3u32).prop_map(|from| Some((from, None))),
    ];
    let until = prop::option::weighted(0.3, prop::sample::select(vec!["a", "b", "c"]));
    let part = (letters, follows, times, gap(), any::<bool>(), prop::bool::weighted(0.3), until);
    let part = part.prop_map(|(letters, follows, times, between, optional, greedy, until)| Part {
        letters,
        follows,
        times,
        between: if times.is_some() { between } else { Gap::Unfitting },
        optional,
        greedy: greedy && times.is_some() && between != Gap::Anything,
        until: until.filter(|_| matches!(times, Some((_, None)))),
    });
    prop::collection::vec(part, 1..=4).prop_map(well_formed)
}

/// The same parts without what patterns refuse, and without what Flink's own automaton does otherwise than its
/// documentation says: negations before what comes a range of times or is optional and greedy.
fn well_formed(mut parts: Vec<Part>) -> Vec<Part> {
    for index in 1..parts.len() {
        let last = index + 1 == parts.len();
        if parts[index - 1].follows == Follows::NotBefore
            && (parts[index].follows == Follows::NotNext || (last && parts[index].follows == Follows::NotBefore))
        {
            parts[index].follows = Follows::By(Gap::Unfitting);
        }
    }
    for index in 0..parts.len() {
        let negation_before =
            parts[..index].iter().rev().take_while(|part| part.optional || part.follows == Follows::NotBefore);
        let negation_before = negation_before.into_iter().any(|part| part.follows == Follows::NotBefore);
        let negated_next = parts.get(index + 1).is_some_and(|next| !matches!(next.follows, Follows::By(_)));
        let greedy_before = index > 0 && parts[index - 1].greedy;
        let part = &mut parts[index];
        if index == 0 {
            part.follows = Follows::By(Gap::Nothing);
        }
        if !matches!(part.follows, Follows::By(_)) {
            *part = Part {
                times: None,
                optional: false,
                greedy: false,
                until: None,
                between: Gap::Unfitting,
                ..part.clone()
            };
        }
        if negated_next || greedy_before {
            part.optional = false;
        }
        if negation_before {
            part.greedy = false;
            // What follows would be settled by it in one of its states and not in the other.
            part.optional = false;
            if matches!(part.times, Some((from, Some(to))) if from != to) {
                part.times = None;
                part.between = Gap::Unfitting;
            }
        }
    }
    parts
}

fn skips() -> impl Strategy<Value = Skip> {
    prop_oneof![
        3 => Just(Skip::No),
        1 => Just(Skip::ToNext),
        1 => Just(Skip::PastLast),
        1 => (0..4usize).prop_map(Skip::ToFirst),
        1 => (0..4usize).prop_map(Skip::ToLast),
    ]
}

fn pattern(parts: &[Part], within: Option<i64>, skip: Skip) -> Pattern<Event> {
    let mut pattern: Option<Pattern<Event>> = None;
    for (name, part) in NAMES.iter().zip(parts) {
        let letters = part.letters;
        let next = match (pattern, part.follows) {
            (None, _) => Pattern::begin(name),
            (Some(pattern), Follows::By(Gap::Nothing)) => pattern.next(name),
            (Some(pattern), Follows::By(Gap::Unfitting)) => pattern.followed_by(name),
            (Some(pattern), Follows::By(Gap::Anything)) => pattern.followed_by_any(name),
            (Some(pattern), Follows::NotNext) => pattern.not_next(name),
            (Some(pattern), Follows::NotBefore) => pattern.not_followed_by(name),
        };
        let mut next = next.where_event(move |event: &Event| letters.contains(event.1));
        next = match part.times {
            None => next,
            Some((from, Some(to))) if from == to => next.times(from),
            Some((from, Some(to))) => next.times_between(from, to),
            Some((1, None)) => next.one_or_more(),
            Some((from, None)) => next.times_or_more(from),
        };
        if let Some(until) = part.until {
            next = next.until(move |event: &Event| until.contains(event.1));
        }
        next = match part.between {
            Gap::Unfitting => next,
            Gap::Nothing => next.consecutive(),
            Gap::Anything => next.allow_combinations(),
        };
        if part.optional {
            next = next.optional();
        }
        if part.greedy {
            next = next.greedy();
        }
        pattern = Some(next);
    }
    let pattern = pattern.unwrap();
    let pattern = match within {
        Some(within) => pattern.within(Duration::from_millis(within as u64)),
        None => pattern,
    };
    pattern.after_match(match skip {
        Skip::No => AfterMatchSkipStrategy::no_skip(),
        Skip::ToNext => AfterMatchSkipStrategy::skip_to_next(),
        Skip::PastLast => AfterMatchSkipStrategy::skip_past_last_event(),
        Skip::ToFirst(part) => AfterMatchSkipStrategy::skip_to_first(NAMES[part]),
        Skip::ToLast(part) => AfterMatchSkipStrategy::skip_to_last(NAMES[part]),
    })
}

fn run(pattern: &Pattern<Event>, events: &[(i64, char)], end: i64) -> (Vec<Path>, Vec<Path>) {
    let automaton = Automaton::compile(pattern).unwrap();
    let (mut matching, mut scratch) = (Matching::default(), Scratch::default());
    let (mut matches, mut timed_out) = (Vec::new(), Vec::new());
    let mut see = |found: Found<'_, Event>| {
        let (found, list) = match found {
            Found::Match(found, _) => (found, &mut matches),
            Found::TimedOut(found, _) => (found, &mut timed_out),
        };
        let part = |name: &str| NAMES.iter().position(|known| *known == name).unwrap();
        list.push(found.events().map(|(name, event)| (part(name), event.0)).collect::<Path>());
        Ok(())
    };
    for (index, (time, event)) in events.iter().enumerate() {
        automaton.advance(&mut matching, *time, &mut scratch, &mut see).unwrap();
        automaton.see(&mut matching, &(index, *event), *time, *time, &mut scratch, &mut see).unwrap();
    }
    automaton.advance(&mut matching, end, &mut scratch, &mut see).unwrap();
    (matches, timed_out)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, ..ProptestConfig::default() })]

    #[test]
    fn every_pattern_finds_what_its_definition_says(
        parts in parts(),
        events in prop::collection::vec((0..3i64, prop::sample::select(vec!['a', 'b', 'c'])), 0..10),
        within in prop::option::of(1..12i64),
        skip in skips(),
    ) {
        let skip = match skip {
            Skip::ToFirst(part) | Skip::ToLast(part)
                if part >= parts.len() || !matches!(parts[part].follows, Follows::By(_)) => Skip::No,
            other => other,
        };
        let ends_in_negation = parts.last().is_some_and(|part| part.follows == Follows::NotBefore);
        let within = if ends_in_negation { within.or(Some(5)) } else { within };
        let mut time = 0;
        let events: Vec<(i64, char)> = events.into_iter().map(|(step, event)| {
            time += step;
            (time, event)
        }).collect();
        let end = time + 4;
        let (matches, mut timed_out) = run(&pattern(&parts, within, skip), &events, end);
        let (expected, mut expected_out) = Reference { parts: &parts, within, skip }.run(&events, end);
        prop_assert_eq!(matches, expected);
        timed_out.sort();
        expected_out.sort();
        prop_assert_eq!(timed_out, expected_out);
    }
}
