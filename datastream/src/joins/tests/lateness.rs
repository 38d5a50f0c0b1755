//! Joins and co-groups of windows whose records come behind the watermark, and those of sessions, by their definition:
//! every record is put into each of its windows, and a window that has fired fires again for it.

use super::*;
use crate::keyed::EventTimeSessionWindows;

/// How windows are cut.
#[derive(Debug, Clone, Copy)]
enum Cut {
    Slides { size: i64, slide: i64 },
    Sessions { gap: i64 },
}

impl Cut {
    fn assigner(self) -> WindowAssigner {
        let millis = |millis: i64| Duration::from_millis(millis.unsigned_abs());
        match self {
            Self::Slides { size, slide } => SlidingEventTimeWindows::of(millis(size), millis(slide)),
            Self::Sessions { gap } => EventTimeSessionWindows::with_gap(millis(gap)),
        }
    }
}

/// The numbers of trips and of tips.
type Group = (Vec<i64>, Vec<i64>);

/// An open window of a key.
#[derive(Debug, Default)]
struct Window {
    start: i64,
    end: i64,
    group: Group,
    has_fired: bool,
}

impl Window {
    fn last_millisecond(&self) -> i64 {
        self.end - 1
    }
}

#[derive(Debug, Default)]
struct Definition {
    open: BTreeMap<u8, Vec<Window>>,
    fired: Vec<(Group, EpochMillis)>,
}

impl Definition {
    fn fire(fired: &mut Vec<(Group, EpochMillis)>, window: &mut Window) {
        window.has_fired = true;
        fired.push((window.group.clone(), window.last_millisecond()));
    }

    /// The windows of a record, opened when they are not there; sessions that it touches are one afterwards.
    fn windows(&mut self, key: u8, at: i64, cut: Cut) -> Vec<(i64, i64)> {
        let open = self.open.entry(key).or_default();
        match cut {
            Cut::Slides { size, slide } => {
                let last = at.div_euclid(slide) * slide;
                let starts = (0..).map(|back| last - back * slide).take_while(|start| start + size > at);
                let bounds: Vec<_> = starts.map(|start| (start, start + size)).collect();
                for (start, end) in &bounds {
                    if !open.iter().any(|window| window.start == *start) {
                        open.push(Window { start: *start, end: *end, ..Window::default() });
                    }
                }
                bounds
            }
            Cut::Sessions { gap } => {
                let touches = |window: &Window| window.start <= at + gap && at <= window.end;
                let (touched, others): (Vec<_>, Vec<_>) = std::mem::take(open).into_iter().partition(touches);
                let mut whole = Window { start: at, end: at + gap, ..Window::default() };
                for part in touched {
                    whole.start = whole.start.min(part.start);
                    whole.end = whole.end.max(part.end);
                    whole.group.0.extend(part.group.0);
                    whole.group.1.extend(part.group.1);
                }
                whole.group.0.sort_unstable();
                whole.group.1.sort_unstable();
                let bounds = (whole.start, whole.end);
                *open = others;
                open.push(whole);
                vec![bounds]
            }
        }
    }

    fn drop_late(&mut self, watermark: i64, lateness: i64) {
        for open in self.open.values_mut() {
            open.retain(|window| window.last_millisecond().saturating_add(lateness) > watermark);
        }
    }
}

/// The groups that fire, each as often as it does, with their windows' last milliseconds.
fn defined(events: &[Event], cut: Cut, lateness: i64) -> Vec<(Group, EpochMillis)> {
    let (mut definition, mut watermark) = (Definition::default(), i64::MIN);
    for (number, event) in (0i64..).zip(events).chain([(0, &Event::Watermark(MAX_WATERMARK))]) {
        match event {
            Event::Trip(key, at) | Event::Tip(key, at) => {
                let bounds = definition.windows(*key, *at, cut);
                definition.drop_late(watermark, lateness);
                for window in definition.open.entry(*key).or_default() {
                    if !bounds.contains(&(window.start, window.end)) {
                        continue;
                    }
                    let side = if matches!(event, Event::Trip(..)) { &mut window.group.0 } else { &mut window.group.1 };
                    side.push(number);
                    side.sort_unstable();
                    if window.last_millisecond() <= watermark {
                        Definition::fire(&mut definition.fired, window);
                    }
                }
            }
            Event::Watermark(to) if *to > watermark => {
                watermark = *to;
                for window in definition.open.values_mut().flatten() {
                    if !window.has_fired && window.last_millisecond() <= watermark {
                        Definition::fire(&mut definition.fired, window);
                    }
                }
                definition.drop_late(watermark, lateness);
            }
            Event::Watermark(_) | Event::Restart => {}
        }
    }
    definition.fired.sort_unstable();
    definition.fired
}

impl Windows {
    /// What comes out while watermarks come between the records.
    fn with_watermarks<U: Record>(&self, events: &[Event]) -> Vec<(U, EpochMillis)> {
        let mut harness = OperatorHarness::open(self.window.as_ref()).unwrap();
        let mut watermark = i64::MIN;
        for (number, event) in (0i64..).zip(events).chain([(0, &Event::Watermark(MAX_WATERMARK))]) {
            match event {
                Event::Trip(key, at) => {
                    let batch = self.tagged(0, stamped(&[(trip(&key.to_string(), 0, number), *at)]));
                    harness.process(batch).unwrap();
                }
                Event::Tip(key, at) => {
                    let batch = self.tagged(1, stamped(&[(tip(&key.to_string(), number), *at)]));
                    harness.process(batch).unwrap();
                }
                Event::Watermark(to) if *to > watermark => {
                    watermark = *to;
                    harness.watermark(watermark).unwrap();
                }
                Event::Watermark(_) | Event::Restart => {}
            }
        }
        taken(&mut harness, 0)
    }
}

const CUTS: [Cut; 5] = [
    Cut::Slides { size: 10, slide: 10 },
    Cut::Slides { size: 10, slide: 5 },
    Cut::Slides { size: 9, slide: 4 },
    Cut::Slides { size: 4, slide: 9 },
    Cut::Sessions { gap: 6 },
];

const LATENESSES: [i64; 3] = [0, 3, 15];

/// Every cut with every lateness, each made once for all cases.
fn shapes<U: Record>(
    build: impl Fn(DataStream<Trip>, DataStream<Tip>, WindowAssigner, Duration) -> DataStream<U>,
) -> Vec<(Cut, i64, Windows)> {
    let all = CUTS.into_iter().flat_map(|cut| LATENESSES.map(|lateness| (cut, lateness)));
    let shape = |(cut, lateness): (Cut, i64)| {
        let allowed = Duration::from_millis(lateness.unsigned_abs());
        (cut, lateness, Windows::new(|trips, tips| build(trips, tips, cut.assigner(), allowed)))
    };
    all.map(shape).collect()
}

#[test]
fn a_co_group_of_late_records_fires_again_with_both_sides_and_sessions_grow_by_both() {
    let shapes = shapes(|trips, tips, assigner, lateness| {
        let grouped = trips.co_group(tips).where_key(Trip::driver).equal_to(field::<0, _>()).window(assigner);
        grouped.allowed_lateness(lateness).apply(|trips, tips, out: &mut Collector<'_, (Vec<i64>, Vec<i64>)>| {
            let mut trips: Vec<i64> = trips.iter().map(|trip| trip.fare).collect();
            let mut tips: Vec<i64> = tips.iter().map(|tip| tip.1).collect();
            trips.sort_unstable();
            tips.sort_unstable();
            out.collect((trips, tips));
        })
    });
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(CASES));
    let checked = runner.run(&(events(0), 0..shapes.len()), |(events, shape)| {
        let (cut, lateness, windows) = &shapes[shape];
        let mut found = windows.with_watermarks::<Group>(&events);
        found.sort_unstable();
        prop_assert_eq!(found, defined(&events, *cut, *lateness), "{:?} {}", cut, lateness);
        Ok(())
    });
    checked.unwrap();
}

#[test]
fn a_join_of_late_records_gives_all_pairs_of_the_window_again_and_sessions_join_across_their_whole_length() {
    let shapes = shapes(|trips, tips, assigner, lateness| {
        let joined = trips.join(tips).where_key(Trip::driver).equal_to(field::<0, _>()).window(assigner);
        joined.allowed_lateness(lateness).apply(|trip, tip| (trip.fare, tip.1))
    });
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(CASES));
    let checked = runner.run(&(events(0), 0..shapes.len()), |(events, shape)| {
        let (cut, lateness, windows) = &shapes[shape];
        let mut found = windows.with_watermarks::<Pair>(&events);
        found.sort_unstable();
        let mut expected = Vec::new();
        for ((trips, tips), time) in defined(&events, *cut, *lateness) {
            expected.extend(trips.iter().flat_map(|trip| tips.iter().map(move |tip| ((*trip, *tip), time))));
        }
        expected.sort_unstable();
        prop_assert_eq!(found, expected, "{:?} {}", cut, lateness);
        Ok(())
    });
    checked.unwrap();
}
