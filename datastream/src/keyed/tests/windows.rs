//! Windowed results of functions; what windows are is tested where they live.

use std::time::Duration;

use pelton_runtime_core::time::MAX_WATERMARK;

use super::*;
use crate::keyed::{EventTimeSessionWindows, SlidingEventTimeWindows, TumblingEventTimeWindows, WindowedStream};
use crate::stream::{Collector, DataStream, OutputTag};

fn tumbling(trips: DataStream<Trip>) -> WindowedStream<Trip, String> {
    trips.key_by(Trip::driver).window(TumblingEventTimeWindows::of(Duration::from_millis(10)))
}

fn rows() -> StreamBatch {
    stamped(&[(trip("ann", 1, 5), 0), (trip("bob", 2, 7), 3), (trip("ann", 3, 1), 9), (trip("ann", 4, 100), 12)])
}

fn run<U: Record>(mut harness: OperatorHarness) -> Vec<(U, EpochMillis)> {
    harness.process(rows()).unwrap();
    harness.watermark(MAX_WATERMARK).unwrap();
    taken(&mut harness, 0)
}

#[test]
fn a_windowed_sum_carries_the_windows_last_millisecond() {
    let harness = harness_of(|trips| drop(tumbling(trips).sum(Trip::fare)), "Window");
    assert_eq!(run::<Trip>(harness), [(trip("ann", 1, 6), 9), (trip("bob", 2, 7), 9), (trip("ann", 4, 100), 19)]);
}

#[test]
fn a_windowed_reduction_is_in_the_order_of_arrival() {
    let last = |trips| drop(tumbling(trips).reduce(|_, new| new.clone()));
    assert_eq!(
        run::<Trip>(harness_of(last, "Window")),
        [(trip("ann", 3, 1), 9), (trip("bob", 2, 7), 9), (trip("ann", 4, 100), 19)]
    );
}

#[test]
fn an_aggregation_answers_alone_or_with_key_and_window() {
    let alone = |trips| drop(tumbling(trips).aggregate(MeanFare));
    assert_eq!(run::<f64>(harness_of(alone, "Window")), [(3.0, 9), (7.0, 9), (100.0, 19)]);
    let with = |trips| {
        drop(tumbling(trips).aggregate_with(
            MeanFare,
            |key, window, mean, out: &mut Collector<'_, (String, i64, f64)>| {
                out.collect((key.as_str(), window.start, *mean));
            },
        ));
    };
    assert_eq!(
        run::<(String, i64, f64)>(harness_of(with, "Window")),
        [(("ann".to_owned(), 0, 3.0), 9), (("bob".to_owned(), 0, 7.0), 9), (("ann".to_owned(), 10, 100.0), 19)]
    );
}

#[test]
fn a_window_function_sees_key_window_and_all_records() {
    let build = |trips| {
        drop(tumbling(trips).process(|key, window, rows, out: &mut Collector<'_, (String, i64, i64)>| {
            for row in rows {
                out.collect((key.as_str(), window.end, row.fare));
            }
        }));
    };
    let ann = |end, fare| ("ann".to_owned(), end, fare);
    assert_eq!(
        run::<(String, i64, i64)>(harness_of(build, "Window")),
        [(ann(10, 5), 9), (ann(10, 1), 9), (("bob".to_owned(), 10, 7), 9), (ann(20, 100), 19)]
    );
}

#[test]
fn sessions_and_slides_of_functions_see_the_records_of_each_window() {
    let session = |trips: DataStream<Trip>| {
        let windows = EventTimeSessionWindows::with_gap(Duration::from_millis(4));
        drop(trips.key_by(Trip::driver).window(windows).aggregate(MeanFare));
    };
    assert_eq!(run::<f64>(harness_of(session, "Window")), [(5.0, 3), (7.0, 6), (50.5, 15)]);
    let slide = |trips: DataStream<Trip>| {
        let windows = SlidingEventTimeWindows::of(Duration::from_millis(10), Duration::from_millis(5));
        drop(trips.key_by(Trip::city).window(windows).aggregate(MeanFare));
    };
    assert_eq!(
        run::<f64>(harness_of(slide, "Window")),
        [(5.0, 4), (7.0, 4), (5.0, 9), (7.0, 9), (1.0, 9), (1.0, 14), (100.0, 14), (100.0, 19)]
    );
}

#[test]
fn late_records_go_to_the_side_output_that_is_read() {
    let tag = OutputTag::<Trip>::new("late");
    let build = |trips| {
        let sums =
            tumbling(trips).allowed_lateness(Duration::from_millis(5)).side_output_late_data(&tag).sum(Trip::fare);
        drop(sums.get_side_output(&tag));
    };
    let mut harness = harness_of(build, "Window");
    harness.watermark(14).unwrap();
    harness.process(rows()).unwrap();
    assert_eq!(
        taken::<Trip>(&mut harness, 1),
        [(trip("ann", 1, 5), 0), (trip("bob", 2, 7), 3), (trip("ann", 3, 1), 9)]
    );
}
