//! Rolling results.

use super::*;
use crate::record::field;

#[test]
fn a_rolling_sum_answers_every_record_with_the_keys_sum_so_far() {
    let mut harness = harness_of(|trips| drop(trips.key_by(Trip::driver).sum(Trip::fare)), "Keyed Aggregation");
    harness.process(stamped(&[(trip("ann", 1, 5), 10), (trip("bob", 2, 7), 11), (trip("ann", 3, 1), 12)])).unwrap();
    harness.process(stamped(&[(trip("cid", 4, 9), 13), (trip("ann", 5, 100), 14)])).unwrap();
    assert_eq!(
        taken::<Trip>(&mut harness, 0),
        [
            (trip("ann", 1, 5), 10),
            (trip("bob", 2, 7), 11),
            (trip("ann", 1, 6), 12),
            (trip("cid", 4, 9), 13),
            (trip("ann", 1, 106), 14),
        ]
    );
}

#[test]
fn min_changes_a_column_and_min_by_answers_with_a_record() {
    let rows = [(trip("ann", 1, 5), 0), (trip("ann", 2, 3), 1), (trip("ann", 3, 3), 2), (trip("ann", 4, 8), 3)];
    let answers = |mut harness: OperatorHarness| {
        harness.process(stamped(&rows)).unwrap();
        taken::<Trip>(&mut harness, 0).into_iter().map(|(trip, _)| (trip.city, trip.fare)).collect::<Vec<_>>()
    };
    let min = harness_of(|trips| drop(trips.key_by(Trip::driver).min(Trip::fare)), "Keyed Aggregation");
    assert_eq!(answers(min), [(1, 5), (1, 3), (1, 3), (1, 3)]);
    let min_by = harness_of(|trips| drop(trips.key_by(Trip::driver).min_by(Trip::fare)), "Keyed Aggregation");
    assert_eq!(answers(min_by), [(1, 5), (2, 3), (2, 3), (2, 3)]);
    let max_by = harness_of(|trips| drop(trips.key_by(Trip::driver).max_by(Trip::fare)), "Keyed Aggregation");
    assert_eq!(answers(max_by), [(1, 5), (1, 5), (1, 5), (4, 8)]);
}

#[test]
fn a_reduction_is_per_key_of_several_columns() {
    let build = |trips: crate::stream::DataStream<Trip>| {
        drop(trips.key_by((Trip::driver, Trip::city)).reduce(|a, b| trip(&a.driver, a.city, a.fare + b.fare)));
    };
    let mut harness = harness_of(build, "Keyed Reduce");
    harness.process(stamped(&[(trip("ann", 1, 5), 0), (trip("ann", 2, 7), 1), (trip("ann", 1, 1), 2)])).unwrap();
    let fares: Vec<i64> = taken::<Trip>(&mut harness, 0).into_iter().map(|(trip, _)| trip.fare).collect();
    assert_eq!(fares, [5, 7, 6]);
}

#[test]
fn the_keys_of_a_closure_are_appended_and_the_record_stays_what_it_is() {
    let build = |trips: crate::stream::DataStream<Trip>| {
        drop(trips.key_by(|trip: &Trip| (trip.city % 2, trip.driver.len() as i64)).sum(Trip::fare));
    };
    let mut keyed = harness_of(build, "Key");
    keyed.process(stamped(&[(trip("ann", 1, 5), 0), (trip("bob", 3, 7), 1), (trip("ann", 2, 1), 2)])).unwrap();
    let batches = keyed.take_batches(0);
    let schema = batches[0].records().schema();
    let names: Vec<_> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    assert_eq!(names, ["driver", "city", "fare", "__key0", "__key1"]);
    let mut sum = harness_of(build, "Keyed Aggregation");
    sum.process(batches[0].clone()).unwrap();
    let fares: Vec<i64> = taken::<Trip>(&mut sum, 0).into_iter().map(|(trip, _)| trip.fare).collect();
    assert_eq!(fares, [5, 12, 1]);
}

#[test]
fn streams_of_tuples_are_keyed_and_summed_by_their_fields() {
    let build = |trips: crate::stream::DataStream<Trip>| {
        let pairs = trips.map(|trip| (trip.driver.clone(), trip.fare));
        drop(pairs.key_by(field::<0, _>()).sum(field::<1, _>()));
    };
    let mut harness = harness_of(build, "Keyed Aggregation");
    let pair = |name: &str, count: i64| (name.to_owned(), count);
    harness.process(stamped(&[(pair("a", 1), 0), (pair("b", 1), 1), (pair("a", 1), 2)])).unwrap();
    assert_eq!(taken::<(String, i64)>(&mut harness, 0), [(pair("a", 1), 0), (pair("b", 1), 1), (pair("a", 2), 2)]);
}

#[test]
#[should_panic(expected = "the sum of column `driver` cannot be computed, as it has type Utf8")]
fn the_sum_of_text_is_refused_when_the_program_is_built() {
    harness_of(|trips| drop(trips.key_by(Trip::driver).sum(Trip::driver)), "Keyed Aggregation");
}

#[test]
#[should_panic(expected = "cannot be keys")]
fn lists_are_refused_as_keys_when_the_program_is_built() {
    harness_of(|trips| drop(trips.key_by(|trip: &Trip| vec![trip.fare]).sum(Trip::fare)), "Keyed Aggregation");
}
