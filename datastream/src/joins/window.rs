//! Joins and co-groups of windows: the streams, their keys and their windows. What is computed is said in
//! [`apply`](super::apply).

use std::marker::PhantomData;

use crate::keyed::key_selector::KeySelector;
use crate::keyed::{KeyedStream, WindowedStream, Windows};
use crate::record::Record;
use crate::stream::DataStream;

use super::tagged::{Tagged, united};

/// Two streams to be joined. See the [module](super).
#[must_use = "streams without keys and windows are not joined"]
#[derive(Debug)]
pub struct JoinedStreams<A: Record, B: Record> {
    left: DataStream<A>,
    right: DataStream<B>,
}

/// Two streams to be joined, the first of which has its key.
#[must_use = "streams without keys and windows are not joined"]
#[derive(Debug)]
pub struct WhereJoined<A: Record, B: Record, K: Record> {
    left: KeyedStream<A, K>,
    right: DataStream<B>,
}

/// Two streams to be grouped together. See the [module](super).
#[must_use = "streams without keys and windows are not grouped"]
#[derive(Debug)]
pub struct CoGroupedStreams<A: Record, B: Record>(JoinedStreams<A, B>);

/// Two streams to be grouped together, the first of which has its key.
#[must_use = "streams without keys and windows are not grouped"]
#[derive(Debug)]
pub struct WhereCoGrouped<A: Record, B: Record, K: Record>(WhereJoined<A, B, K>);

impl<A: Record> DataStream<A> {
    /// Joins this stream with another: every pair of records of equal keys in one window.
    ///
    /// ```
    /// # use pelton::testing::Harness;
    /// # fn main() -> Result<(), pelton::testing::TestError> {
    /// # let mut harness = Harness::new();
    /// use std::time::Duration;
    ///
    /// use pelton::keyed::TumblingEventTimeWindows;
    /// use pelton::record::field;
    ///
    /// let (orders, ordered) = harness.source::<(i64, String)>();
    /// let (payments, paid) = harness.source::<(i64, i64)>();
    /// let sold = orders
    ///     .join(payments)
    ///     .where_key(field::<0, _>())
    ///     .equal_to(field::<0, _>())
    ///     .window(TumblingEventTimeWindows::of(Duration::from_secs(60)))
    ///     .apply(|order, payment| (order.1.clone(), payment.1));
    /// let sold = harness.collect(sold);
    /// harness.push(&ordered, [((1, "book"), 0), ((2, "pen"), 0)])?;
    /// harness.push(&paid, [((1, 9), 59_999), ((2, 2), 60_000)])?;
    /// harness.end()?;
    /// assert_eq!(sold.take_records(), [("book".to_owned(), 9)]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn join<B: Record>(self, other: DataStream<B>) -> JoinedStreams<A, B> {
        JoinedStreams { left: self, right: other }
    }

    /// Groups the records of this stream and another: those of equal keys in one window, of both sides.
    ///
    /// ```
    /// # use pelton::testing::Harness;
    /// # fn main() -> Result<(), pelton::testing::TestError> {
    /// # let mut harness = Harness::new();
    /// use std::time::Duration;
    ///
    /// use pelton::keyed::TumblingEventTimeWindows;
    /// use pelton::record::field;
    ///
    /// let (orders, ordered) = harness.source::<(i64, String)>();
    /// let (payments, paid) = harness.source::<(i64, i64)>();
    /// let counts = orders
    ///     .co_group(payments)
    ///     .where_key(field::<0, _>())
    ///     .equal_to(field::<0, _>())
    ///     .window(TumblingEventTimeWindows::of(Duration::from_secs(60)))
    ///     .apply(|orders, payments, out| out.collect((orders.len() as i64, payments.len() as i64)));
    /// let counts = harness.collect::<(i64, i64)>(counts);
    /// harness.push(&ordered, [((1, "book"), 0), ((2, "pen"), 0)])?;
    /// harness.push(&paid, [((1, 9), 59_999), ((2, 2), 60_000)])?;
    /// harness.end()?;
    /// let mut counts = counts.take_records();
    /// counts.sort();
    /// assert_eq!(counts, [(0, 1), (1, 0), (1, 1)]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn co_group<B: Record>(self, other: DataStream<B>) -> CoGroupedStreams<A, B> {
        CoGroupedStreams(JoinedStreams { left: self, right: other })
    }
}

impl<A: Record, B: Record> JoinedStreams<A, B> {
    /// The key of the first stream.
    ///
    /// ```
    /// # use pelton::testing::Harness;
    /// # fn main() -> Result<(), pelton::testing::TestError> {
    /// # let mut harness = Harness::new();
    /// use std::time::Duration;
    ///
    /// use pelton::keyed::TumblingEventTimeWindows;
    /// use pelton::record::field;
    ///
    /// let (orders, ordered) = harness.source::<(i64, String)>();
    /// let (payments, paid) = harness.source::<(i64, i64)>();
    /// // Where keys are not columns, closures make them.
    /// let sold = orders
    ///     .join(payments)
    ///     .where_key(|order: &(i64, String)| order.0 % 100)
    ///     .equal_to(|payment: &(i64, i64)| payment.0)
    ///     .window(TumblingEventTimeWindows::of(Duration::from_secs(60)))
    ///     .apply(|order, payment| (order.1.clone(), payment.1));
    /// let sold = harness.collect(sold);
    /// harness.push(&ordered, [((301, "book"), 0)])?;
    /// harness.push(&paid, [((1, 9), 0)])?;
    /// harness.end()?;
    /// assert_eq!(sold.take_records(), [("book".to_owned(), 9)]);
    /// # Ok(())
    /// # }
    /// ```
    #[track_caller]
    pub fn where_key<Form, S: KeySelector<A, Form>>(self, key: S) -> WhereJoined<A, B, S::Key> {
        WhereJoined { left: self.left.key_by(key), right: self.right }
    }
}

impl<A: Record, B: Record, K: Record> WhereJoined<A, B, K> {
    /// The key of the second stream.
    ///
    /// ```
    /// # use pelton::testing::Harness;
    /// # fn main() -> Result<(), pelton::testing::TestError> {
    /// # let mut harness = Harness::new();
    /// use std::time::Duration;
    ///
    /// use pelton::keyed::TumblingEventTimeWindows;
    /// use pelton::record::field;
    ///
    /// let (orders, ordered) = harness.source::<(i64, String)>();
    /// let (payments, paid) = harness.source::<(i64, i64)>();
    /// // Where keys are not columns, closures make them.
    /// let sold = orders
    ///     .join(payments)
    ///     .where_key(|order: &(i64, String)| order.0 % 100)
    ///     .equal_to(|payment: &(i64, i64)| payment.0)
    ///     .window(TumblingEventTimeWindows::of(Duration::from_secs(60)))
    ///     .apply(|order, payment| (order.1.clone(), payment.1));
    /// let sold = harness.collect(sold);
    /// harness.push(&ordered, [((301, "book"), 0)])?;
    /// harness.push(&paid, [((1, 9), 0)])?;
    /// harness.end()?;
    /// assert_eq!(sold.take_records(), [("book".to_owned(), 9)]);
    /// # Ok(())
    /// # }
    /// ```
    #[track_caller]
    pub fn equal_to<Form, S: KeySelector<B, Form, Key = K>>(self, key: S) -> JoinedByKey<A, B, K> {
        JoinedByKey { both: united(self.left, self.right.key_by(key)) }
    }
}

impl<A: Record, B: Record> CoGroupedStreams<A, B> {
    /// The key of the first stream.
    ///
    /// ```
    /// # use pelton::testing::Harness;
    /// # fn main() -> Result<(), pelton::testing::TestError> {
    /// # let mut harness = Harness::new();
    /// use std::time::Duration;
    ///
    /// use pelton::keyed::TumblingEventTimeWindows;
    /// use pelton::record::field;
    ///
    /// let (orders, ordered) = harness.source::<(i64, String)>();
    /// let (payments, paid) = harness.source::<(i64, i64)>();
    /// let counts = orders
    ///     .co_group(payments)
    ///     .where_key(|order: &(i64, String)| order.0 % 100)
    ///     .equal_to(|payment: &(i64, i64)| payment.0)
    ///     .window(TumblingEventTimeWindows::of(Duration::from_secs(60)))
    ///     .apply(|orders, payments, out| out.collect((orders.len() as i64, payments.len() as i64)));
    /// let counts = harness.collect::<(i64, i64)>(counts);
    /// harness.push(&ordered, [((301, "book"), 0)])?;
    /// harness.push(&paid, [((1, 9), 0)])?;
    /// harness.end()?;
    /// assert_eq!(counts.take_records(), [(1, 1)]);
    /// # Ok(())
    /// # }
    /// ```
    #[track_caller]
    pub fn where_key<Form, S: KeySelector<A, Form>>(self, key: S) -> WhereCoGrouped<A, B, S::Key> {
        WhereCoGrouped(self.0.where_key(key))
    }
}

impl<A: Record, B: Record, K: Record> WhereCoGrouped<A, B, K> {
    /// The key of the second stream.
    ///
    /// ```
    /// # use pelton::testing::Harness;
    /// # fn main() -> Result<(), pelton::testing::TestError> {
    /// # let mut harness = Harness::new();
    /// use std::time::Duration;
    ///
    /// use pelton::keyed::TumblingEventTimeWindows;
    /// use pelton::record::field;
    ///
    /// let (orders, ordered) = harness.source::<(i64, String)>();
    /// let (payments, paid) = harness.source::<(i64, i64)>();
    /// let counts = orders
    ///     .co_group(payments)
    ///     .where_key(|order: &(i64, String)| order.0 % 100)
    ///     .equal_to(|payment: &(i64, i64)| payment.0)
    ///     .window(TumblingEventTimeWindows::of(Duration::from_secs(60)))
    ///     .apply(|orders, payments, out| out.collect((orders.len() as i64, payments.len() as i64)));
    /// let counts = harness.collect::<(i64, i64)>(counts);
    /// harness.push(&ordered, [((301, "book"), 0)])?;
    /// harness.push(&paid, [((1, 9), 0)])?;
    /// harness.end()?;
    /// assert_eq!(counts.take_records(), [(1, 1)]);
    /// # Ok(())
    /// # }
    /// ```
    #[track_caller]
    pub fn equal_to<Form, S: KeySelector<B, Form, Key = K>>(self, key: S) -> CoGroupedByKey<A, B, K> {
        CoGroupedByKey(self.0.equal_to(key))
    }
}

/// Two streams to be joined by a key.
#[must_use = "streams without windows are not joined"]
#[derive(Debug)]
pub struct JoinedByKey<A: Record, B: Record, K: Record> {
    both: KeyedStream<Tagged<A, B>, K>,
}

/// Two streams to be grouped together by a key.
#[must_use = "streams without windows are not grouped"]
#[derive(Debug)]
pub struct CoGroupedByKey<A: Record, B: Record, K: Record>(JoinedByKey<A, B, K>);

impl<A: Record, B: Record, K: Record> JoinedByKey<A, B, K> {
    /// The windows in which pairs are found: by time, sessions, or [one without end](crate::keyed::GlobalWindows), which
    /// needs a trigger. The gap of dynamic sessions is asked of records of either side, of which one
    /// is there.
    ///
    /// ```
    /// # use pelton::testing::Harness;
    /// # fn main() -> Result<(), pelton::testing::TestError> {
    /// # let mut harness = Harness::new();
    /// use std::time::Duration;
    ///
    /// use pelton::keyed::EventTimeSessionWindows;
    /// use pelton::record::field;
    ///
    /// type Order = (i64, String);
    /// type Payment = (i64, i64);
    ///
    /// // A payment is waited for longer than an order.
    /// let gap = |either: &(Option<Order>, Option<Payment>)| {
    ///     Duration::from_millis(if either.0.is_some() { 100 } else { 10 })
    /// };
    /// let (orders, ordered) = harness.source::<Order>();
    /// let (payments, paid) = harness.source::<Payment>();
    /// let sold = orders
    ///     .join(payments)
    ///     .where_key(field::<0, _>())
    ///     .equal_to(field::<0, _>())
    ///     .window(EventTimeSessionWindows::with_dynamic_gap(gap))
    ///     .apply(|order, payment| (order.1.clone(), payment.1));
    /// let sold = harness.collect(sold);
    /// harness.push(&ordered, [((1, "book"), 0), ((2, "pen"), 0)])?;
    /// harness.push(&paid, [((1, 9), 90), ((2, 2), 101)])?;
    /// harness.end()?;
    /// assert_eq!(sold.take_records(), [("book".to_owned(), 9)]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn window<W: Windows<Tagged<A, B>>>(self, windows: W) -> JoinedWindows<A, B, K, W::Windowed<K>> {
        JoinedWindows::new(self.both.window(windows))
    }
}

impl<A: Record, B: Record, K: Record> CoGroupedByKey<A, B, K> {
    /// The windows in which records are grouped: by time, sessions, or [one without end](crate::keyed::GlobalWindows),
    /// which needs a trigger.
    ///
    /// ```
    /// # use pelton::testing::Harness;
    /// # fn main() -> Result<(), pelton::testing::TestError> {
    /// # let mut harness = Harness::new();
    /// use std::time::Duration;
    ///
    /// use pelton::keyed::TumblingEventTimeWindows;
    /// use pelton::record::field;
    ///
    /// let (orders, ordered) = harness.source::<(i64, String)>();
    /// let (payments, paid) = harness.source::<(i64, i64)>();
    /// let counts = orders
    ///     .co_group(payments)
    ///     .where_key(field::<0, _>())
    ///     .equal_to(field::<0, _>())
    ///     .window(TumblingEventTimeWindows::of(Duration::from_secs(60)))
    ///     .apply(|orders, payments, out| out.collect((orders.len() as i64, payments.len() as i64)));
    /// let counts = harness.collect::<(i64, i64)>(counts);
    /// harness.push(&ordered, [((1, "book"), 0)])?;
    /// harness.push(&paid, [((1, 9), 59_999), ((1, 2), 60_000)])?;
    /// harness.end()?;
    /// assert_eq!(counts.take_records(), [(1, 1), (0, 1)]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn window<W: Windows<Tagged<A, B>>>(self, windows: W) -> CoGroupedWindows<A, B, K, W::Windowed<K>> {
        CoGroupedWindows(self.0.window(windows))
    }
}

/// Two streams to be joined by key and window: `W` is how their records, each of one side, are cut.
#[must_use = "streams without a function are not joined"]
#[derive(Debug)]
pub struct JoinedWindows<A: Record, B: Record, K: Record, W = WindowedStream<Tagged<A, B>, K>> {
    pub(super) windows: W,
    sides: PhantomData<fn(A, B) -> K>,
}

impl<A: Record, B: Record, K: Record, W> JoinedWindows<A, B, K, W> {
    pub(super) fn new(windows: W) -> Self {
        Self { windows, sides: PhantomData }
    }
}

/// Two streams to be grouped together by key and window: `W` is how their records, each of one side, are cut.
#[must_use = "streams without a function are not grouped"]
#[derive(Debug)]
pub struct CoGroupedWindows<A: Record, B: Record, K: Record, W = WindowedStream<Tagged<A, B>, K>>(
    pub(super) JoinedWindows<A, B, K, W>,
);
