//! Sessions whose trigger purges them: what they hold is gone, and where they began is not.

use super::*;
use crate::keyed::Trigger;

fn sessions<R: Trigger<Trip>>(gap: u64, lateness: u64, trigger: R) -> Arc<dyn OperatorFactory> {
    let build = |trips: DataStream<Trip>| {
        let windows = trips.key_by(Trip::driver).window(EventTimeSessionWindows::with_gap(millis(gap)));
        drop(say!(windows.allowed_lateness(millis(lateness)).trigger(trigger)));
    };
    factory_of(build, "Window")
}

/// The bounds and fares of what has fired.
fn bounds(harness: &mut OperatorHarness) -> Vec<(i64, i64, Vec<i64>)> {
    taken::<Said>(harness, 0).into_iter().map(|((_, start, end, fares), _)| (start, end, fares)).collect()
}

#[test]
fn a_session_that_was_purged_goes_on_with_the_next_element_that_touches_it() {
    let factory = sessions(10, 0, PurgingTrigger::of(CountTrigger::of(1)));
    let mut harness = OperatorHarness::open(factory.as_ref()).unwrap();
    give(&mut harness, &[("a", 1, 0), ("a", 2, 5), ("a", 3, 16)]);
    assert_eq!(bounds(&mut harness), [(0, 10, vec![1]), (0, 15, vec![2]), (16, 26, vec![3])]);
    // Also over a restart.
    let snapshots = [harness.checkpoint(CheckpointId(1)).unwrap()];
    let mut harness = OperatorHarness::open(factory.as_ref()).unwrap();
    harness.restore(&snapshots).unwrap();
    give(&mut harness, &[("a", 4, 15)]);
    assert_eq!(bounds(&mut harness), [(0, 26, vec![4])]);
    harness.watermark(25).unwrap();
    assert!(harness.checkpoint(CheckpointId(2)).unwrap().is_empty(), "it is forgotten at its end");
}

#[test]
fn a_late_element_belongs_to_the_session_that_has_fired_and_was_purged() {
    let factory = sessions(10, 20, PurgingTrigger::of(EventTimeTrigger));
    let mut harness = OperatorHarness::open(factory.as_ref()).unwrap();
    give(&mut harness, &[("a", 1, 0)]);
    harness.watermark(9).unwrap();
    assert_eq!(bounds(&mut harness), [(0, 10, vec![1])]);
    give(&mut harness, &[("a", 2, 5)]);
    harness.watermark(14).unwrap();
    assert_eq!(bounds(&mut harness), [(0, 15, vec![2])]);
    harness.watermark(34).unwrap();
    assert!(harness.checkpoint(CheckpointId(1)).unwrap().is_empty());
}

/// An open session of one key.
#[derive(Debug, Clone)]
struct Session {
    start: i64,
    end: i64,
    fares: Vec<i64>,
    count: i64,
    /// Whether it is to fire at its end.
    waits: bool,
}

/// Fires a session that holds something.
fn fire(key: u8, session: &mut Session, purges: bool, said: &mut Vec<(Said, EpochMillis)>) {
    if session.fares.is_empty() {
        return;
    }
    let mut fares = session.fares.clone();
    fares.sort_unstable();
    said.push(((key.to_string(), session.start, session.end, fares), session.end - 1));
    if purges {
        session.fares.clear();
    }
}

/// `count`: that of a trigger of counts; otherwise sessions fire at their end.
fn expected((gap, lateness): (i64, i64), (count, purges): (Option<i64>, bool), events: &[Event]) -> Vec<(Said, i64)> {
    let (mut open, mut watermark, mut said) = (Vec::<(u8, Session)>::new(), MIN_WATERMARK, Vec::new());
    for event in events.iter().chain([&Event::Watermark(MAX_WATERMARK)]) {
        match event {
            Event::Rows(rows) => {
                for (key, fare, at) in rows {
                    let touches = |(other, session): &(u8, Session)| {
                        other == key && session.start <= at + gap && *at <= session.end
                    };
                    let (touched, others): (Vec<_>, Vec<_>) = open.into_iter().partition(touches);
                    open = others;
                    let own = Session { start: *at, end: at + gap, fares: Vec::new(), count: 0, waits: false };
                    let mut session = touched.into_iter().fold(own, |into, (_, other)| Session {
                        start: into.start.min(other.start),
                        end: into.end.max(other.end),
                        fares: [into.fares, other.fares].concat(),
                        count: into.count + other.count,
                        waits: false,
                    });
                    let last = session.end - 1;
                    if last + lateness <= watermark {
                        continue;
                    }
                    session.fares.push(*fare);
                    session.count += 1;
                    let fires = match count {
                        Some(count) => session.count >= count,
                        None => last <= watermark,
                    };
                    session.waits = count.is_none() && !fires;
                    if fires {
                        session.count = 0;
                        fire(*key, &mut session, purges, &mut said);
                    }
                    open.push((*key, session));
                }
            }
            Event::Watermark(to) if *to > watermark => {
                watermark = *to;
                for (key, session) in &mut open {
                    if session.waits && session.end - 1 <= watermark {
                        session.waits = false;
                        fire(*key, session, purges, &mut said);
                    }
                }
                open.retain(|(_, session)| (session.end - 1).saturating_add(lateness) > watermark);
            }
            Event::Watermark(_) | Event::Restart => {}
        }
    }
    said.sort();
    said
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn sessions_with_triggers_fire_when_their_definition_says(
        gap in 1i64..30, lateness in prop_oneof![Just(0i64), 0i64..60], count in prop::option::of(1i64..4), purges: bool,
        events in events(),
    ) {
        let (sizes, late) = (gap.unsigned_abs(), lateness.unsigned_abs());
        let factory = match (count, purges) {
            (Some(count), true) => sessions(sizes, late, PurgingTrigger::of(CountTrigger::of(count))),
            (Some(count), false) => sessions(sizes, late, CountTrigger::of(count)),
            (None, true) => sessions(sizes, late, PurgingTrigger::of(EventTimeTrigger)),
            (None, false) => sessions(sizes, late, EventTimeTrigger),
        };
        let expected = expected((gap, lateness), (count, purges), &events);
        prop_assert_eq!(said(&factory, &events, false), expected);
    }
}
