//! Triggers and evictors of windows of two streams.

use super::*;
use crate::keyed::{CountEvictor, CountTrigger, GlobalWindows, PurgingTrigger, TimeEvictor};
use crate::testing::Harness;

fn fares(trips: &[&Trip]) -> Vec<i64> {
    trips.iter().map(|trip| trip.fare).collect()
}

fn amounts(tips: &[&Tip]) -> Vec<i64> {
    tips.iter().map(|tip| tip.1).collect()
}

#[test]
fn a_trigger_counts_the_records_of_both_sides_also_after_a_restart() {
    let mut harness = Harness::new();
    let (trips, trip_input) = harness.source::<Trip>();
    let (tips, tip_input) = harness.source::<Tip>();
    let grouped = trips.co_group(tips).where_key(Trip::driver).equal_to(field::<0, _>());
    let grouped = grouped.window(GlobalWindows::create()).trigger(PurgingTrigger::of(CountTrigger::of(3)));
    let grouped = grouped.apply(|trips, tips, out| out.collect((fares(trips), amounts(tips))));
    let grouped = harness.collect::<(Vec<i64>, Vec<i64>)>(grouped);
    harness.push_untimed(&trip_input, [trip("ann", 0, 1), trip("bob", 0, 7)]).unwrap();
    harness.push_untimed(&tip_input, [tip("ann", 2)]).unwrap();
    assert_eq!(grouped.take_records(), []);
    harness.restart().unwrap();
    harness.push_untimed(&tip_input, [tip("ann", 3), tip("ann", 4)]).unwrap();
    assert_eq!(grouped.take_records(), [(vec![1], vec![2, 3])]);
    harness.push_untimed(&trip_input, [trip("ann", 0, 5), trip("ann", 0, 6)]).unwrap();
    assert_eq!(grouped.take_records(), [(vec![5, 6], vec![4])]);
}

#[test]
fn an_evictor_takes_old_records_of_both_sides_from_what_is_joined() {
    let mut harness = Harness::new();
    let (trips, trip_input) = harness.source::<Trip>();
    let (tips, tip_input) = harness.source::<Tip>();
    let windows = || TumblingEventTimeWindows::of(Duration::from_millis(100));
    let joined = trips.clone().join(tips.clone()).where_key(Trip::driver).equal_to(field::<0, _>()).window(windows());
    let recent = joined.evictor(TimeEvictor::of(Duration::from_millis(10))).apply(|trip, tip| (trip.fare, tip.1));
    let recent = harness.collect(recent);
    let grouped = trips.co_group(tips).where_key(Trip::driver).equal_to(field::<0, _>()).window(windows());
    let last = grouped.trigger(CountTrigger::of(4)).evictor(CountEvictor::of(2));
    let last = last.apply(|trips, tips, out| out.collect((fares(trips), amounts(tips))));
    let last = harness.collect::<(Vec<i64>, Vec<i64>)>(last);
    harness.push(&trip_input, [(trip("ann", 0, 1), 10), (trip("ann", 0, 2), 45)]).unwrap();
    harness.push(&tip_input, [(tip("ann", 3), 39), (tip("ann", 4), 49)]).unwrap();
    assert_eq!(last.take_records(), [(vec![], vec![3, 4])]);
    harness.end().unwrap();
    assert_eq!(recent.take_records(), [(2, 4)]);
}

#[test]
#[should_panic(expected = "cannot be the trigger of session windows")]
fn sessions_of_two_streams_refuse_a_trigger_that_cannot_merge() {
    let mut harness = Harness::new();
    let (trips, _) = harness.source::<Trip>();
    let (tips, _) = harness.source::<Tip>();
    let grouped = trips.co_group(tips).where_key(Trip::driver).equal_to(field::<0, _>());
    let grouped = grouped.window(crate::keyed::EventTimeSessionWindows::with_gap(Duration::from_millis(10)));
    let differs = |_: &(Option<Trip>, Option<Tip>), _: &(Option<Trip>, Option<Tip>)| 1.0;
    drop(grouped.trigger(crate::keyed::DeltaTrigger::of(1.0, differs)).apply(|_, _, out| out.collect(1i64)));
}
