//! When triggers fire, by their definitions: every row is put into each of its windows, and the trigger is asked.

use std::collections::BTreeMap;

use super::*;
use crate::keyed::{ProcessingTimeTrigger, SlidingProcessingTimeWindows};

/// Triggers of event time that the reference knows.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Count(i64),
    EventTime,
    ContinuousEventTime(i64),
    Delta(i64),
}

/// A window of one key.
#[derive(Default)]
struct Window {
    fares: Vec<i64>,
    count: i64,
    /// When it is to fire; none before a row has asked for it.
    fires_at: Option<Vec<i64>>,
    /// The fare that it fired at last, or the first one.
    last: Option<i64>,
}

/// The open windows of all keys, by key and start, and what they have said.
struct Windows {
    size: i64,
    slide: i64,
    purges: bool,
    open: BTreeMap<(u8, i64), Window>,
    said: Vec<(Said, EpochMillis)>,
}

impl Windows {
    fn new(size: i64, slide: i64, purges: bool) -> Self {
        Self { size, slide, purges, open: BTreeMap::new(), said: Vec::new() }
    }

    fn starts(&self, at: i64) -> impl Iterator<Item = i64> + use<> {
        let (size, slide) = (self.size, self.slide);
        let starts = (0..).map(move |back| at.div_euclid(slide) * slide - back * slide);
        starts.take_while(move |start| start + size > at)
    }

    fn last_millisecond(&self, start: i64) -> i64 {
        start + self.size - 1
    }

    fn fire(&mut self, key: u8, start: i64) {
        let Some(window) = self.open.get_mut(&(key, start)).filter(|window| !window.fares.is_empty()) else { return };
        let mut fares = window.fares.clone();
        fares.sort_unstable();
        if self.purges {
            window.fares.clear();
        }
        self.said.push(((key.to_string(), start, start + self.size, fares), self.last_millisecond(start)));
    }

    /// Fires windows as often as they are to by `time`, and drops those that are over `lateness` after their end.
    fn advance(&mut self, time: i64, lateness: i64) {
        for (key, start) in self.open.keys().copied().collect::<Vec<_>>() {
            let window = self.open.get_mut(&(key, start)).unwrap();
            let due = window.fires_at.iter().flatten().filter(|at| **at <= time).count();
            window.fires_at.iter_mut().for_each(|fires_at| fires_at.retain(|at| *at > time));
            (0..due).for_each(|_| self.fire(key, start));
        }
        let size = self.size;
        self.open.retain(|(_, start), _| (start + size - 1).saturating_add(lateness) > time);
    }

    fn said(mut self) -> Vec<(Said, EpochMillis)> {
        self.said.sort();
        self.said
    }
}

/// The multiples of `interval` after `time` and before `last`, and `last`.
fn again_and_again(time: i64, interval: i64, last: i64) -> Vec<i64> {
    let multiples = (1..).map(|count| time.div_euclid(interval) * interval + count * interval);
    multiples.take_while(|at| *at < last).chain([last]).collect()
}

fn expected(
    (size, slide): (i64, i64),
    lateness: i64,
    (kind, purges): (Kind, bool),
    events: &[Event],
) -> Vec<(Said, EpochMillis)> {
    let (mut windows, mut watermark) = (Windows::new(size, slide, purges), MIN_WATERMARK);
    for event in events.iter().chain([&Event::Watermark(MAX_WATERMARK)]) {
        match event {
            Event::Rows(rows) => {
                for (key, fare, at) in rows {
                    for start in windows.starts(*at) {
                        let last_millisecond = windows.last_millisecond(start);
                        if last_millisecond + lateness <= watermark {
                            continue;
                        }
                        let window = windows.open.entry((*key, start)).or_default();
                        window.fares.push(*fare);
                        let fires = match kind {
                            Kind::Count(count) => {
                                window.count += 1;
                                window.count % count == 0
                            }
                            Kind::Delta(threshold) => {
                                let differs = window.last.is_some_and(|last| fare - last > threshold);
                                if differs || window.last.is_none() {
                                    window.last = Some(*fare);
                                }
                                differs
                            }
                            Kind::EventTime | Kind::ContinuousEventTime(_) if last_millisecond <= watermark => true,
                            Kind::EventTime => {
                                window.fires_at.get_or_insert_with(|| vec![last_millisecond]);
                                false
                            }
                            Kind::ContinuousEventTime(interval) => {
                                window.fires_at.get_or_insert_with(|| again_and_again(*at, interval, last_millisecond));
                                false
                            }
                        };
                        if fires {
                            windows.fire(*key, start);
                        }
                    }
                }
            }
            // A watermark never goes back; that of a restart comes anew.
            Event::Watermark(to) if *to <= watermark => {}
            Event::Watermark(to) => {
                watermark = *to;
                windows.advance(watermark, lateness);
            }
            Event::Restart => windows.advance(watermark, lateness),
        }
    }
    windows.said()
}

/// Windows side by side, some that overlap, and some with gaps between them.
fn sizes_and_slides() -> impl Strategy<Value = (i64, i64)> {
    prop_oneof![(1i64..4, 1i64..20).prop_map(|(panes, slide)| (panes * slide, slide)), (1i64..40, 1i64..40),]
}

/// What happens by the wall clock: rows of keys and fares come, or milliseconds pass.
#[derive(Debug, Clone)]
enum Tick {
    Rows(Vec<(u8, i64)>),
    Pass(i64),
}

fn ticks() -> impl Strategy<Value = Vec<Tick>> {
    let rows = prop::collection::vec((0u8..3, 1i64..50), 1..4).prop_map(Tick::Rows);
    let tick = prop_oneof![rows, (0i64..30).prop_map(Tick::Pass)];
    prop::collection::vec(tick, 0..12).prop_map(|mut ticks| {
        ticks.push(Tick::Pass(1_000));
        ticks
    })
}

/// `interval`: that of a continuous trigger; otherwise windows fire at their end.
fn expected_by_the_wall_clock(
    (size, slide): (i64, i64),
    (interval, purges): (Option<i64>, bool),
    ticks: &[Tick],
) -> Vec<(Said, EpochMillis)> {
    let (mut windows, mut now) = (Windows::new(size, slide, purges), 0);
    for tick in ticks {
        match tick {
            Tick::Rows(rows) => {
                for (key, fare) in rows {
                    for start in windows.starts(now) {
                        let last_millisecond = windows.last_millisecond(start);
                        let window = windows.open.entry((*key, start)).or_default();
                        window.fares.push(*fare);
                        window.fires_at.get_or_insert_with(|| match interval {
                            Some(interval) => again_and_again(now, interval, last_millisecond),
                            None => vec![last_millisecond],
                        });
                    }
                }
            }
            Tick::Pass(millis) => {
                now += millis;
                // The millisecond that it is now is not over.
                windows.advance(now - 1, 0);
            }
        }
    }
    windows.said()
}

fn said_by_the_wall_clock(
    factory: &Arc<dyn OperatorFactory>,
    ticks: &[Tick],
    cache: Option<usize>,
) -> Vec<(Said, EpochMillis)> {
    let mut harness = open_in(factory, cache);
    let (mut all, mut now) = (Vec::new(), 0);
    harness.advance_processing_time(now).unwrap();
    for tick in ticks {
        match tick {
            Tick::Rows(rows) => {
                let rows: Vec<_> = rows.iter().map(|(key, fare)| (trip(&key.to_string(), 0, *fare), 0)).collect();
                harness.process(stamped(&rows)).unwrap();
            }
            Tick::Pass(millis) => {
                now += millis;
                harness.advance_processing_time(now).unwrap();
            }
        }
        all.extend(taken::<Said>(&mut harness, 0));
    }
    all.iter_mut().for_each(|(said, _)| said.3.sort_unstable());
    all.sort();
    all
}

macro_rules! with_trigger {
    ($windows:expr, $trigger:expr, $purges:expr) => {
        if $purges { say!($windows.trigger(PurgingTrigger::of($trigger))) } else { say!($windows.trigger($trigger)) }
    };
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn triggers_fire_when_their_definition_says(
        (size, slide) in sizes_and_slides(), lateness in prop_oneof![Just(0i64), 0i64..60], events in events(),
        kind in prop_oneof![
            (1i64..4).prop_map(Kind::Count),
            Just(Kind::EventTime),
            (1i64..30).prop_map(Kind::ContinuousEventTime),
            (0i64..30).prop_map(Kind::Delta),
        ],
        purges: bool, cache in caches(),
    ) {
        let late = millis(lateness.unsigned_abs());
        let slides = SlidingEventTimeWindows::of(millis(size.unsigned_abs()), millis(slide.unsigned_abs()));
        let build = |trips: DataStream<Trip>| {
            let windows = trips.key_by(Trip::driver).window(slides).allowed_lateness(late);
            match kind {
                Kind::Count(count) => with_trigger!(windows, CountTrigger::of(count), purges),
                Kind::EventTime => with_trigger!(windows, EventTimeTrigger, purges),
                Kind::ContinuousEventTime(interval) => {
                    let trigger = ContinuousEventTimeTrigger::of(millis(interval.unsigned_abs()));
                    with_trigger!(windows, trigger, purges)
                }
                Kind::Delta(threshold) => {
                    let delta = |old: &Trip, new: &Trip| (new.fare - old.fare) as f64;
                    with_trigger!(windows, DeltaTrigger::of(threshold as f64, delta), purges)
                }
            }
        };
        let factory = factory_of(|trips| drop(build(trips)), "Window");
        let expected = expected((size, slide), lateness, (kind, purges), &events);
        prop_assert_eq!(&said(&factory, &events, false), &expected);
        prop_assert_eq!(&said_in(&factory, &events, false, Some(cache)), &expected);
    }

    #[test]
    fn triggers_of_the_wall_clock_fire_when_their_definition_says(
        (size, slide) in sizes_and_slides(), interval in prop::option::weighted(0.8, 1i64..30), purges: bool,
        ticks in ticks(), cache in caches(),
    ) {
        let slides = SlidingProcessingTimeWindows::of(millis(size.unsigned_abs()), millis(slide.unsigned_abs()));
        let build = |trips: DataStream<Trip>| {
            let windows = trips.key_by(Trip::driver).window(slides);
            match interval {
                Some(interval) => {
                    let trigger = ContinuousProcessingTimeTrigger::of(millis(interval.unsigned_abs()));
                    with_trigger!(windows, trigger, purges)
                }
                None => with_trigger!(windows, ProcessingTimeTrigger, purges),
            }
        };
        let factory = factory_of(|trips| drop(build(trips)), "Window");
        let expected = expected_by_the_wall_clock((size, slide), (interval, purges), &ticks);
        prop_assert_eq!(&said_by_the_wall_clock(&factory, &ticks, None), &expected);
        prop_assert_eq!(&said_by_the_wall_clock(&factory, &ticks, Some(cache)), &expected);
    }
}
