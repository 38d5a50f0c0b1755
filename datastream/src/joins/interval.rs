//! The interval join, as programs describe it.

use std::sync::Arc;

use pelton_runtime_core::operator::{Operator, OperatorResult, OperatorRuntime};
use pelton_runtime_core::time::EpochMillis;

use crate::keyed::{KeyedStream, with_keys_alike};
use crate::record::Record;
use crate::stream::{Collector, DataStream, OutputTag, Parallel, SideOutputs};

use super::interval_operator::{Bounds, IntervalJoinOperator, Side};

/// Two keyed streams to be joined by distance in time.
#[must_use = "streams without bounds are not joined"]
#[derive(Debug)]
pub struct IntervalJoin<A: Record, B: Record, K: Record> {
    left: KeyedStream<A, K>,
    right: KeyedStream<B, K>,
}

impl<A: Record, K: Record> KeyedStream<A, K> {
    /// Joins this stream with another of the same keys: every pair of records whose event times are within
    /// [bounds](IntervalJoin::between) of each other.
    ///
    /// ```
    /// # use pelton::testing::Harness;
    /// # fn main() -> Result<(), pelton::testing::TestError> {
    /// # let mut harness = Harness::new();
    /// use pelton::record::field;
    ///
    /// let (orders, ordered) = harness.source::<(i64, String)>();
    /// let (payments, paid) = harness.source::<(i64, i64)>();
    /// // Payments up to a minute after their order.
    /// let sold = orders
    ///     .key_by(field::<0, _>())
    ///     .interval_join(payments.key_by(field::<0, _>()))
    ///     .between(0, 60_000)
    ///     .process(|order, payment, _times, out| out.collect((order.1.as_str(), payment.1)));
    /// let sold = harness.collect::<(String, i64)>(sold);
    /// harness.push(&ordered, [((1, "book"), 0), ((2, "pen"), 0)])?;
    /// harness.push(&paid, [((1, 9), 60_000), ((2, 2), 60_001)])?;
    /// assert_eq!(sold.take_records(), [("book".to_owned(), 9)]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn interval_join<B: Record>(self, other: KeyedStream<B, K>) -> IntervalJoin<A, B, K> {
        let (left, right) = with_keys_alike(self, other);
        IntervalJoin { left, right }
    }
}

impl<A: Record, B: Record, K: Record> IntervalJoin<A, B, K> {
    /// Pairs whose right record is at least `lower` and at most `upper` milliseconds after the left one; negative numbers
    /// are before it.
    ///
    /// ```
    /// # use pelton::testing::Harness;
    /// # fn main() -> Result<(), pelton::testing::TestError> {
    /// # let mut harness = Harness::new();
    /// use pelton::record::field;
    ///
    /// let (orders, ordered) = harness.source::<(i64, String)>();
    /// let (payments, paid) = harness.source::<(i64, i64)>();
    /// // Payments from a second before their order to a minute after it.
    /// let sold = orders
    ///     .key_by(field::<0, _>())
    ///     .interval_join(payments.key_by(field::<0, _>()))
    ///     .between(-1_000, 60_000)
    ///     .process(|order, payment, times, out| out.collect((order.1.as_str(), payment.1, times.right - times.left)));
    /// let sold = harness.collect::<(String, i64, i64)>(sold);
    /// harness.push(&ordered, [((1, "book"), 5_000), ((2, "pen"), 5_000), ((3, "ink"), 5_000)])?;
    /// harness.push(&paid, [((1, 9), 4_000), ((2, 2), 3_999), ((3, 5), 65_000)])?;
    /// assert_eq!(sold.take_records(), [("book".to_owned(), 9, -1_000), ("ink".to_owned(), 5, 60_000)]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// When the lower bound is above the upper one.
    #[track_caller]
    pub fn between(self, lower: i64, upper: i64) -> IntervalJoined<A, B, K> {
        assert!(lower <= upper, "the lower bound of an interval join ({lower} ms) is above the upper one ({upper} ms)");
        let bounds = Bounds { lower, upper };
        IntervalJoined { streams: self, bounds, left_late: None, right_late: None }
    }
}

/// Two keyed streams joined by distance in time.
#[must_use = "streams without a function are not joined"]
#[derive(Debug)]
pub struct IntervalJoined<A: Record, B: Record, K: Record> {
    streams: IntervalJoin<A, B, K>,
    bounds: Bounds,
    left_late: Option<OutputTag<A>>,
    right_late: Option<OutputTag<B>>,
}

/// The event times of a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JoinTimes {
    /// That of the left record.
    pub left: EpochMillis,
    /// That of the right record.
    pub right: EpochMillis,
}

impl JoinTimes {
    /// The event time of the pair's results: the later of both.
    pub fn timestamp(&self) -> EpochMillis {
        self.left.max(self.right)
    }
}

impl<A: Record, B: Record, K: Record> IntervalJoined<A, B, K> {
    /// The bounds themselves are outside.
    ///
    /// ```
    /// # use pelton::testing::Harness;
    /// # fn main() -> Result<(), pelton::testing::TestError> {
    /// # let mut harness = Harness::new();
    /// use pelton::record::field;
    ///
    /// let (orders, ordered) = harness.source::<(i64, String)>();
    /// let (payments, paid) = harness.source::<(i64, i64)>();
    /// let both = orders.key_by(field::<0, _>()).interval_join(payments.key_by(field::<0, _>()));
    /// let sold = both
    ///     .between(0, 60_000)
    ///     .lower_bound_exclusive()
    ///     .process(|order, payment, _times, out| out.collect((order.1.as_str(), payment.1)));
    /// let sold = harness.collect::<(String, i64)>(sold);
    /// harness.push(&ordered, [((1, "book"), 0), ((2, "pen"), 0)])?;
    /// harness.push(&paid, [((1, 9), 0), ((2, 2), 1)])?;
    /// assert_eq!(sold.take_records(), [("pen".to_owned(), 2)]);
    /// # Ok(())
    /// # }
    /// ```
    #[track_caller]
    pub fn lower_bound_exclusive(self) -> Self {
        let bounds = Bounds { lower: self.bounds.lower.saturating_add(1), ..self.bounds };
        assert!(bounds.lower <= bounds.upper, "no time is between the bounds of an interval join");
        Self { bounds, ..self }
    }

    /// The bounds themselves are outside.
    ///
    /// ```
    /// # use pelton::testing::Harness;
    /// # fn main() -> Result<(), pelton::testing::TestError> {
    /// # let mut harness = Harness::new();
    /// use pelton::record::field;
    ///
    /// let (orders, ordered) = harness.source::<(i64, String)>();
    /// let (payments, paid) = harness.source::<(i64, i64)>();
    /// let both = orders.key_by(field::<0, _>()).interval_join(payments.key_by(field::<0, _>()));
    /// let sold = both
    ///     .between(0, 60_000)
    ///     .upper_bound_exclusive()
    ///     .process(|order, payment, _times, out| out.collect((order.1.as_str(), payment.1)));
    /// let sold = harness.collect::<(String, i64)>(sold);
    /// harness.push(&ordered, [((1, "book"), 0), ((2, "pen"), 0)])?;
    /// harness.push(&paid, [((1, 9), 59_999), ((2, 2), 60_000)])?;
    /// assert_eq!(sold.take_records(), [("book".to_owned(), 9)]);
    /// # Ok(())
    /// # }
    /// ```
    #[track_caller]
    pub fn upper_bound_exclusive(self) -> Self {
        let bounds = Bounds { upper: self.bounds.upper.saturating_sub(1), ..self.bounds };
        assert!(bounds.lower <= bounds.upper, "no time is between the bounds of an interval join");
        Self { bounds, ..self }
    }

    /// Where left records go that come after the watermark. Without it they are counted in `numLateRecordsDropped`.
    ///
    /// ```
    /// # use pelton::testing::Harness;
    /// # fn main() -> Result<(), pelton::testing::TestError> {
    /// # let mut harness = Harness::new();
    /// use pelton::record::field;
    /// use pelton::stream::OutputTag;
    ///
    /// let (orders, ordered) = harness.source::<(i64, String)>();
    /// let (payments, paid) = harness.source::<(i64, i64)>();
    /// let late = OutputTag::new("late orders");
    /// let sold = orders
    ///     .key_by(field::<0, _>())
    ///     .interval_join(payments.key_by(field::<0, _>()))
    ///     .between(0, 60_000)
    ///     .side_output_left_late_data(&late)
    ///     .process(|order, payment, _times, out| out.collect((order.1.as_str(), payment.1)));
    /// let late = harness.collect(sold.get_side_output(&late));
    /// harness.collect::<(String, i64)>(sold);
    /// harness.watermark(&ordered, 100)?;
    /// harness.watermark(&paid, 100)?;
    /// harness.push(&ordered, [((1, "book"), 99), ((2, "pen"), 100)])?;
    /// assert_eq!(late.take_records(), [(1, "book".to_owned())]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn side_output_left_late_data(self, tag: &OutputTag<A>) -> Self {
        Self { left_late: Some(tag.clone()), ..self }
    }

    /// Where right records go that come after the watermark. Without it they are counted in `numLateRecordsDropped`.
    ///
    /// ```
    /// # use pelton::testing::Harness;
    /// # fn main() -> Result<(), pelton::testing::TestError> {
    /// # let mut harness = Harness::new();
    /// use pelton::record::field;
    /// use pelton::stream::OutputTag;
    ///
    /// let (orders, ordered) = harness.source::<(i64, String)>();
    /// let (payments, paid) = harness.source::<(i64, i64)>();
    /// let late = OutputTag::new("late payments");
    /// let sold = orders
    ///     .key_by(field::<0, _>())
    ///     .interval_join(payments.key_by(field::<0, _>()))
    ///     .between(0, 60_000)
    ///     .side_output_right_late_data(&late)
    ///     .process(|order, payment, _times, out| out.collect((order.1.as_str(), payment.1)));
    /// let late = harness.collect(sold.get_side_output(&late));
    /// harness.collect::<(String, i64)>(sold);
    /// harness.watermark(&ordered, 100)?;
    /// harness.watermark(&paid, 100)?;
    /// harness.push(&paid, [((1, 9), 99), ((2, 2), 100)])?;
    /// assert_eq!(late.take_records(), [(1, 9)]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn side_output_right_late_data(self, tag: &OutputTag<B>) -> Self {
        Self { right_late: Some(tag.clone()), ..self }
    }

    /// Any number of results of every pair. They carry the later of both event times.
    ///
    /// ```
    /// # use pelton::testing::Harness;
    /// # fn main() -> Result<(), pelton::testing::TestError> {
    /// # let mut harness = Harness::new();
    /// use pelton::record::field;
    ///
    /// let (orders, ordered) = harness.source::<(i64, String)>();
    /// let (payments, paid) = harness.source::<(i64, i64)>();
    /// let sold = orders
    ///     .key_by(field::<0, _>())
    ///     .interval_join(payments.key_by(field::<0, _>()))
    ///     .between(0, 60_000)
    ///     .process(|order, payment, times, out| out.collect((order.1.as_str(), payment.1, times.right - times.left)));
    /// let sold = harness.collect::<(String, i64, i64)>(sold);
    /// harness.push(&ordered, [((1, "book"), 0)])?;
    /// harness.push(&paid, [((1, 9), 7)])?;
    /// assert_eq!(sold.take(), [(("book".to_owned(), 9, 7), Some(7))]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn process<U: Record>(
        self,
        function: impl Fn(&A, &B, &JoinTimes, &mut Collector<'_, U>) + Parallel,
    ) -> DataStream<U> {
        let side_outputs = SideOutputs::default();
        let (sides, bounds, function) = (side_outputs.clone(), self.bounds, Arc::new(function));
        let (left, right) = (self.streams.left, self.streams.right);
        let (left_key, right_key) = (left.key.columns.clone(), right.key.columns.clone());
        let (left_late, right_late) = (self.left_late, self.right_late);
        let factory = move |_: &OperatorRuntime| -> OperatorResult<Box<dyn Operator>> {
            let port = |id: Option<&str>| id.and_then(|id| sides.port_of(id));
            let left = Side::<A>::new(left_key.clone(), port(left_late.as_ref().map(OutputTag::id)));
            let right = Side::<B>::new(right_key.clone(), port(right_late.as_ref().map(OutputTag::id)));
            Ok(Box::new(IntervalJoinOperator::new(bounds, left, right, function.clone())))
        };
        left.stream.transform_with(right.stream, "Interval Join", Arc::new(factory)).with_side_outputs(side_outputs)
    }
}
