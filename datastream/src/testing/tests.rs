//! The harness against what a cluster would do.

use std::time::Duration;

use super::*;
use crate::async_io::AsyncOptions;
use crate::keyed::{
    FunctionResult, KeyedContext, KeyedProcessFunction, OpenContext, TumblingEventTimeWindows, ValueState,
};
use crate::stream::{Collector, OutputTag};

/// Counts, and tells the count 10 ms of the wall clock after the first.
#[derive(Clone)]
struct Count {
    count: ValueState<i64>,
    odd: OutputTag<i64>,
}

impl KeyedProcessFunction for Count {
    type Key = i64;
    type In = i64;
    type Out = (i64, i64);

    fn open(&mut self, ctx: &mut OpenContext<'_>) -> FunctionResult {
        ctx.register(&mut self.count)
    }

    fn process_element(
        &mut self,
        number: &i64,
        ctx: &mut KeyedContext<'_, i64>,
        _out: &mut Collector<'_, (i64, i64)>,
    ) -> FunctionResult {
        if *number < 0 {
            return Err("negative".into());
        }
        if number % 2 == 1 {
            ctx.output(&self.odd, *number);
        }
        if self.count.value(ctx)?.is_none() {
            let at = ctx.timer_service().current_processing_time() + 10;
            ctx.timer_service().register_processing_time_timer(at);
        }
        Ok(self.count.modify(ctx, |count| *count = Some(count.unwrap_or(0) + 1))?)
    }

    fn on_timer(
        &mut self,
        _at: i64,
        ctx: &mut KeyedContext<'_, i64>,
        out: &mut Collector<'_, (i64, i64)>,
    ) -> FunctionResult {
        out.collect((ctx.current_key(), self.count.value(ctx)?.copied().unwrap_or(0)));
        Ok(self.count.clear(ctx)?)
    }
}

#[test]
fn state_timers_and_side_outputs_survive_a_restart_in_the_harness() {
    let mut harness = Harness::new();
    let (numbers, input) = harness.source::<i64>();
    let odd = OutputTag::new("odd");
    let function = Count { count: ValueState::new("count"), odd: odd.clone() };
    let counts = numbers.map(|n| n + 1).key_by(|n: &i64| n % 3).process(function);
    let (odds, counts) = (harness.collect(counts.get_side_output(&odd)), harness.collect(counts));
    harness.push_untimed(&input, [0i64, 1, 2, 3]).unwrap();
    assert_eq!(odds.take_records(), [1, 3]);
    harness.advance_processing_time(9).unwrap();
    assert_eq!(counts.take(), []);
    harness.restart().unwrap();
    harness.push_untimed(&input, [0i64]).unwrap();
    harness.advance_processing_time(10).unwrap();
    let mut found = counts.take_records();
    found.sort_unstable();
    assert_eq!(found, [(0, 1), (1, 3), (2, 1)]);
    let error = harness.push_untimed(&input, [-2i64]).unwrap_err();
    assert_eq!(error.to_string(), "operator `KeyedProcess` failed: negative");
}

#[test]
fn two_sources_hold_back_what_reads_both() {
    let mut harness = Harness::new();
    let (left, left_input) = harness.source::<i64>();
    let (right, right_input) = harness.source::<i64>();
    let window = TumblingEventTimeWindows::of(Duration::from_millis(10));
    let by = |n: &i64| n % 10;
    let pairs = left.join(right).where_key(by).equal_to(by).window(window).apply(|a, b| (*a, *b));
    let pairs = harness.collect(pairs);
    harness.push(&left_input, [(1i64, 1), (2, 2)]).unwrap();
    harness.push(&right_input, [(11i64, 1), (21, 3), (32, 11)]).unwrap();
    harness.watermark(&left_input, 100).unwrap();
    assert_eq!(pairs.take(), []);
    harness.watermark(&right_input, 9).unwrap();
    assert_eq!(pairs.take(), [((1, 11), Some(9)), ((1, 21), Some(9))]);
    harness.end().unwrap();
    assert_eq!(pairs.take(), []);
}

#[test]
fn windows_of_a_whole_stream_see_every_record() {
    let mut harness = Harness::new();
    let (numbers, input) = harness.source::<i64>();
    let sums = numbers.clone().window_all(TumblingEventTimeWindows::of(Duration::from_millis(10))).reduce(|a, b| a + b);
    let (sums, threes) = (harness.collect(sums), harness.collect(numbers.count_window_all(3).reduce(|a, b| a + b)));
    harness.push(&input, [(1i64, 1), (2, 5), (3, 12), (4, 13)]).unwrap();
    harness.end().unwrap();
    assert_eq!(sums.take(), [(3, Some(9)), (7, Some(19))]);
    assert_eq!(threes.take_records(), [6]);
}

#[test]
fn asynchronous_functions_are_asked_and_answer_before_the_harness_goes_on() {
    for options in [AsyncOptions::ordered, AsyncOptions::unordered] {
        let mut harness = Harness::new();
        let (numbers, input) = harness.source::<i64>();
        let squares = numbers.async_map(options(Duration::from_secs(60)).capacity(2), |number: i64| async move {
            for _ in 0..number {
                tokio::task::yield_now().await;
            }
            Ok(number * number)
        });
        let squares = harness.collect(squares.map(|square| square + 1));
        harness.push(&input, [(5, 1), (0, 2), (3, 3)]).unwrap();
        let mut found = squares.take();
        found.sort();
        assert_eq!(found, [(1, Some(2)), (10, Some(3)), (26, Some(1))]);
        harness.restart().unwrap();
        harness.push_untimed(&input, [2]).unwrap();
        harness.end().unwrap();
        assert_eq!(squares.take(), [(5, None)]);
    }
}

#[test]
fn an_answer_that_never_comes_fails_the_test_with_the_operators_name() {
    let mut harness = Harness::new();
    let (numbers, input) = harness.source::<i64>();
    let options = AsyncOptions::<i64>::ordered(Duration::from_millis(1));
    drop(harness.collect(numbers.async_map(options, |_: i64| std::future::pending())));
    let error = harness.push_untimed(&input, [1]).unwrap_err().to_string();
    assert!(error.contains("`async wait operator` failed"), "{error}");
    assert!(error.contains("did not come in time"), "{error}");
}
