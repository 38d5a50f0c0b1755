//! Records between windows: they are in none, and are late only by their own time.

use pelton_runtime_core::metrics::NUM_LATE_RECORDS_DROPPED;

use super::*;
use crate::keyed::SlidingProcessingTimeWindows;

/// Windows, the late output at port 1.
fn late_factory(
    assigner: WindowAssigner,
    lateness: u64,
    say: impl FnOnce(WindowedStream<Trip, String>) -> DataStream<Said>,
) -> Arc<dyn OperatorFactory> {
    let tag = OutputTag::<Trip>::new("late");
    let build = |trips: DataStream<Trip>| {
        let windows = trips.key_by(Trip::driver).window(assigner).allowed_lateness(millis(lateness));
        drop(say(windows.side_output_late_data(&tag)).get_side_output(&tag));
    };
    factory_of(build, "Window")
}

/// What comes late, in the order of arrival.
fn late(factory: &Arc<dyn OperatorFactory>, events: &[Event]) -> Vec<(Trip, EpochMillis)> {
    let mut harness = OperatorHarness::open(factory.as_ref()).unwrap();
    let (mut all, mut watermark) = (Vec::new(), MIN_WATERMARK);
    for event in events {
        match event {
            Event::Rows(rows) => {
                let rows: Vec<_> = rows.iter().map(|(key, fare, at)| (trip(&key.to_string(), 0, *fare), *at)).collect();
                harness.process(stamped(&rows)).unwrap();
                all.extend(taken::<Trip>(&mut harness, 1));
            }
            Event::Watermark(to) if *to > watermark => {
                watermark = *to;
                harness.watermark(watermark).unwrap();
            }
            Event::Watermark(_) | Event::Restart => {}
        }
    }
    all
}

#[test]
fn a_record_between_windows_is_late_only_when_the_watermark_and_the_lateness_are_past_it() {
    let assigner = SlidingEventTimeWindows::of(millis(5), millis(10));
    let factory = late_factory(assigner, 2, |windows| say!(windows.trigger(EventTimeTrigger)));
    let mut harness = OperatorHarness::open(factory.as_ref()).unwrap();
    give(&mut harness, &[("a", 1, 7)]);
    harness.watermark(8).unwrap();
    give(&mut harness, &[("a", 2, 7)]);
    assert_eq!(taken::<Trip>(&mut harness, 1), []);
    harness.watermark(9).unwrap();
    give(&mut harness, &[("a", 3, 7), ("a", 4, 8)]);
    assert_eq!(taken::<Trip>(&mut harness, 1), [(trip("a", 0, 3), 7)]);
    harness.watermark(MAX_WATERMARK).unwrap();
    assert_eq!(fares(&mut harness), Vec::<Vec<i64>>::new(), "it was in no window");
    assert!(harness.checkpoint(CheckpointId(1)).unwrap().is_empty());
}

#[test]
fn no_record_is_late_by_the_wall_clock() {
    let assigner = SlidingProcessingTimeWindows::of(millis(5), millis(10));
    let factory = factory_of(
        |trips| drop(say!(trips.key_by(Trip::driver).window(assigner).evictor(CountEvictor::of(9)))),
        "Window",
    );
    let mut harness = OperatorHarness::open(factory.as_ref()).unwrap();
    harness.advance_processing_time(7).unwrap();
    give(&mut harness, &[("a", 1, 0)]);
    harness.advance_processing_time(12).unwrap();
    give(&mut harness, &[("a", 2, 0)]);
    harness.advance_processing_time(100).unwrap();
    assert_eq!(fares(&mut harness), [[2]]);
    assert_eq!(harness.metrics().counter(NUM_LATE_RECORDS_DROPPED).get(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    /// Plain windows and windows with a trigger judge apart from each other.
    #[test]
    fn what_is_late_does_not_depend_on_the_trigger(
        size in 1u64..30, slide in 1u64..30, lateness in prop_oneof![Just(0u64), 0u64..40], events in events(),
    ) {
        let assigner = SlidingEventTimeWindows::of(millis(size), millis(slide));
        let plain = late_factory(assigner, lateness, |windows| say!(windows));
        let triggered = late_factory(assigner, lateness, |windows| say!(windows.trigger(CountTrigger::of(2))));
        prop_assert_eq!(late(&triggered, &events), late(&plain, &events));
    }
}
