//! Windows of counts, and what evictors leave, by their definition: every element of a key in a list.

use std::collections::BTreeMap;

use super::*;

/// What takes elements out.
#[derive(Debug, Clone, Copy)]
enum Evicts {
    Nothing,
    ButLast(usize),
    OlderThan(i64),
    FartherThan(i64),
}

impl Evicts {
    fn apply(self, elements: &mut Vec<(i64, i64)>) {
        match (self, elements.last().copied()) {
            (Self::ButLast(count), _) => {
                let behind = elements.len().saturating_sub(count);
                elements.drain(..behind);
            }
            (Self::OlderThan(size), Some(_)) => {
                let youngest = elements.iter().map(|(at, _)| *at).max().unwrap();
                elements.retain(|(at, _)| youngest - at < size);
            }
            (Self::FartherThan(threshold), Some((_, last))) => elements.retain(|(_, fare)| last - fare < threshold),
            _ => {}
        }
    }
}

fn evicts() -> impl Strategy<Value = Evicts> {
    prop_oneof![
        Just(Evicts::Nothing),
        (0usize..6).prop_map(Evicts::ButLast),
        (1i64..60).prop_map(Evicts::OlderThan),
        (1i64..30).prop_map(Evicts::FartherThan),
    ]
}

/// Windows that fire at every `count`th element of a key, with what is left in them.
fn expected(count: i64, purges: bool, (evicts, after): (Evicts, bool), events: &[Event]) -> Vec<(Said, EpochMillis)> {
    let (mut keys, mut said) = (BTreeMap::<u8, (i64, Vec<(i64, i64)>)>::new(), Vec::new());
    for event in events {
        let Event::Rows(rows) = event else { continue };
        for (key, fare, at) in rows {
            let (counted, elements) = keys.entry(*key).or_default();
            elements.push((*at, *fare));
            *counted += 1;
            if *counted % count != 0 {
                continue;
            }
            if !after {
                evicts.apply(elements);
            }
            let mut fares: Vec<i64> = elements.iter().map(|(_, fare)| *fare).collect();
            fares.sort_unstable();
            said.push(((key.to_string(), i64::MIN, i64::MAX, fares), i64::MAX - 1));
            if after {
                evicts.apply(elements);
            }
            if purges {
                elements.clear();
            }
        }
    }
    said.sort();
    said
}

macro_rules! evicted {
    ($windows:expr, $evicts:expr, $after:expr) => {{
        let windows = $windows;
        let delta = |fare: &Trip, last: &Trip| (last.fare - fare.fare) as f64;
        match ($evicts, $after) {
            (Evicts::Nothing, _) => say!(windows),
            (Evicts::ButLast(count), false) => say!(windows.evictor(CountEvictor::of(count))),
            (Evicts::ButLast(count), true) => say!(windows.evictor(CountEvictor::of(count).after())),
            (Evicts::OlderThan(size), false) => {
                say!(windows.evictor(TimeEvictor::of(millis(size.unsigned_abs()))))
            }
            (Evicts::OlderThan(size), true) => {
                say!(windows.evictor(TimeEvictor::of(millis(size.unsigned_abs())).after()))
            }
            (Evicts::FartherThan(far), false) => say!(windows.evictor(DeltaEvictor::of(far as f64, delta))),
            (Evicts::FartherThan(far), true) => say!(windows.evictor(DeltaEvictor::of(far as f64, delta).after())),
        }
    }};
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn evictors_leave_what_their_definition_says(
        count in 1i64..5, purges: bool, evicts in evicts(), after: bool, events in events(), cache in prop::option::of(caches()),
    ) {
        let factory = factory_of(
            |trips| {
                let windows = trips.key_by(Trip::driver).window(GlobalWindows::create());
                drop(match purges {
                    true => evicted!(windows.trigger(PurgingTrigger::of(CountTrigger::of(count))), evicts, after),
                    false => evicted!(windows.trigger(CountTrigger::of(count)), evicts, after),
                });
            },
            "Window",
        );
        let expected = expected(count, purges, (evicts, after), &events);
        prop_assert_eq!(said_in(&factory, &events, false, cache), expected);
    }

    #[test]
    fn count_windows_have_so_many_elements_each_and_sliding_ones_the_last(
        size in 1u32..6, slide in prop::option::of(1u32..5), events in events(), restarts: bool,
        cache in prop::option::of(caches()),
    ) {
        let factory = factory_of(
            |trips| {
                let trips = trips.key_by(Trip::driver);
                drop(match slide {
                    Some(slide) => say!(trips.sliding_count_window(size, slide)),
                    None => say!(trips.count_window(size)),
                });
            },
            "Window",
        );
        let expected = match slide {
            Some(slide) => expected(slide.into(), false, (Evicts::ButLast(size as usize), false), &events),
            None => expected(size.into(), true, (Evicts::Nothing, false), &events),
        };
        prop_assert_eq!(said_in(&factory, &events, restarts, cache), expected);
    }
}
