//! Triggers and evictors that users write.

use super::*;
use crate::keyed::{Evictor, EvictorContext, TimeWindow, Trigger, TriggerContext, TriggerResult};

/// Fires when a window has taken in fares of a hundred, purges it when a fare is taken back, and purges and fires at a
/// fare of zero. What has not come to a hundred fires 50 ms of the wall clock after the first fare.
#[derive(Clone)]
struct Taken;

impl Trigger<Trip> for Taken {
    type State = i64;

    fn on_element(
        &self,
        trip: &Trip,
        _timestamp: i64,
        _window: &TimeWindow,
        sum: &mut Option<i64>,
        ctx: &mut TriggerContext<'_>,
    ) -> TriggerResult {
        if trip.fare < 0 {
            *sum = None;
            return TriggerResult::Purge;
        }
        if trip.fare == 0 {
            *sum = None;
            return TriggerResult::FireAndPurge;
        }
        if sum.is_none() {
            ctx.register_processing_time_timer(ctx.current_processing_time() + 50);
        }
        let taken = sum.unwrap_or(0) + trip.fare;
        *sum = Some(taken % 100);
        if taken >= 100 { TriggerResult::Fire } else { TriggerResult::Continue }
    }

    fn on_processing_time(
        &self,
        _time: i64,
        _window: &TimeWindow,
        sum: &mut Option<i64>,
        _ctx: &mut TriggerContext<'_>,
    ) -> TriggerResult {
        if sum.take().is_some() { TriggerResult::FireAndPurge } else { TriggerResult::Continue }
    }
}

fn taken_of(factory: &Arc<dyn OperatorFactory>) -> OperatorHarness {
    OperatorHarness::open(factory.as_ref()).unwrap()
}

fn taken_in_global_windows() -> Arc<dyn OperatorFactory> {
    let build = |trips: DataStream<Trip>| {
        drop(say!(trips.key_by(Trip::driver).window(GlobalWindows::create()).trigger(Taken)));
    };
    factory_of(build, "Window")
}

#[test]
fn a_trigger_of_the_users_own_fires_and_purges_when_it_says_so() {
    let mut harness = taken_of(&taken_in_global_windows());
    give(&mut harness, &[("a", 60, 0), ("a", 50, 0), ("b", 70, 0), ("a", -1, 0), ("a", 99, 0), ("a", 0, 0)]);
    assert_eq!(fares(&mut harness), [vec![60, 50], vec![99, 0]], "what was taken back is in no result");
    give(&mut harness, &[("b", 30, 0)]);
    assert_eq!(fares(&mut harness), [[70, 30]]);
}

#[test]
fn what_a_trigger_of_the_users_own_remembers_and_waits_for_is_in_checkpoints() {
    let factory = taken_in_global_windows();
    let mut harness = taken_of(&factory);
    harness.advance_processing_time(10).unwrap();
    give(&mut harness, &[("a", 60, 0), ("b", 1, 0)]);
    let snapshots = [harness.checkpoint(CheckpointId(1)).unwrap()];
    let mut harness = taken_of(&factory);
    harness.restore(&snapshots).unwrap();
    harness.advance_processing_time(20).unwrap();
    give(&mut harness, &[("a", 40, 0)]);
    assert_eq!(fares(&mut harness), [[60, 40]]);
    harness.advance_processing_time(61).unwrap();
    let mut left = fares(&mut harness);
    left.sort();
    assert_eq!(left, [vec![1], vec![60, 40]], "each 50 ms after the first fare");
    assert!(harness.checkpoint(CheckpointId(2)).unwrap().is_empty());
}

/// Shows fares above the mean of all, and keeps the last three.
#[derive(Clone)]
struct AboveTheMean;

impl Evictor<Trip> for AboveTheMean {
    fn evict_before(&self, trips: &mut Vec<(EpochMillis, Trip)>, _window: &TimeWindow, _ctx: &EvictorContext) {
        let sum: i64 = trips.iter().map(|(_, trip)| trip.fare).sum();
        let count = trips.len() as i64;
        trips.retain(|(_, trip)| trip.fare * count > sum);
    }

    fn evict_after(&self, trips: &mut Vec<(EpochMillis, Trip)>, window: &TimeWindow, ctx: &EvictorContext) {
        // The end of the window is not behind it, or it would not be shown again.
        if ctx.current_watermark() < window.max_timestamp() {
            let behind = trips.len().saturating_sub(3);
            trips.drain(..behind);
        } else {
            trips.clear();
        }
    }
}

#[test]
fn an_evictor_of_the_users_own_takes_out_what_it_likes_before_and_after() {
    let mut harness = harness(|trips| {
        let windows = trips.window(TumblingEventTimeWindows::of(millis(100)));
        say!(windows.trigger(ContinuousEventTimeTrigger::of(millis(50))).evictor(AboveTheMean))
    });
    give(&mut harness, &[("a", 1, 0), ("a", 6, 1), ("a", 7, 2), ("a", 8, 3), ("a", 9, 4)]);
    harness.watermark(50).unwrap();
    // The mean is 6.2; of 7, 8 and 9 all are kept.
    assert_eq!(fares(&mut harness), [[7, 8, 9]]);
    give(&mut harness, &[("a", 20, 60)]);
    harness.watermark(99).unwrap();
    assert_eq!(fares(&mut harness), [[20]]);
    assert!(harness.checkpoint(CheckpointId(1)).unwrap().is_empty());
}
