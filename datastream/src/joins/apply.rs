//! What is computed of the records of two streams that are in one window.

use crate::keyed::{Holds, Trigger, TriggeredStream, WindowedStream};
use crate::record::Record;
use crate::stream::{Collector, DataStream, Parallel};

use super::tagged::Tagged;
use super::window::{CoGroupedWindows, JoinedWindows};

/// Windows of records of two streams that a function can be given.
#[diagnostic::on_unimplemented(
    message = "nothing says when these windows fire",
    note = "a window without end has to be told: `.window(GlobalWindows::create()).trigger(CountTrigger::of(100))`"
)]
pub trait WindowsOfBoth<A: Record, B: Record, K: Record> {
    /// Gives the records of each window to a function; of each pair, one is there.
    #[doc(hidden)]
    fn rows<U: Record>(self, function: impl Fn(&[Tagged<A, B>], &mut Collector<'_, U>) + Parallel) -> DataStream<U>;
}

impl<A: Record, B: Record, K: Record> WindowsOfBoth<A, B, K> for WindowedStream<Tagged<A, B>, K> {
    fn rows<U: Record>(self, function: impl Fn(&[Tagged<A, B>], &mut Collector<'_, U>) + Parallel) -> DataStream<U> {
        self.process(move |_key, _window, rows, out| function(rows, out))
    }
}

impl<A, B, K, R, V> WindowsOfBoth<A, B, K> for TriggeredStream<Tagged<A, B>, K, R, V>
where
    A: Record,
    B: Record,
    K: Record,
    R: Trigger<Tagged<A, B>>,
    V: Holds<Tagged<A, B>>,
{
    fn rows<U: Record>(self, function: impl Fn(&[Tagged<A, B>], &mut Collector<'_, U>) + Parallel) -> DataStream<U> {
        self.process(move |_key, _window, rows, out| function(rows, out))
    }
}

impl<A: Record, B: Record, K: Record, W> JoinedWindows<A, B, K, W> {
    /// A result of every pair, which carries the window's last millisecond as event time.
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
    ///     .apply(|order, payment| format!("{} for {}", order.1, payment.1));
    /// let sold = harness.collect(sold);
    /// harness.push(&ordered, [((1, "book"), 0), ((2, "pen"), 0)])?;
    /// harness.push(&paid, [((1, 9), 59_999), ((2, 2), 60_000)])?;
    /// harness.end()?;
    /// assert_eq!(sold.take_records(), ["book for 9"]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn apply<U: Record>(self, function: impl Fn(&A, &B) -> U + Parallel) -> DataStream<U>
    where
        W: WindowsOfBoth<A, B, K>,
    {
        self.apply_with(move |left, right, out| out.collect(function(left, right)))
    }

    /// Any number of results of every pair.
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
    /// let (orders, ordered) = harness.source::<(i64, i64)>();
    /// let (payments, paid) = harness.source::<(i64, i64)>();
    /// let paid_in_full = orders
    ///     .join(payments)
    ///     .where_key(field::<0, _>())
    ///     .equal_to(field::<0, _>())
    ///     .window(TumblingEventTimeWindows::of(Duration::from_secs(60)))
    ///     .apply_with(|order, payment, out| {
    ///         if order.1 <= payment.1 {
    ///             out.collect(order.0);
    ///         }
    ///     });
    /// let paid_in_full = harness.collect::<i64>(paid_in_full);
    /// harness.push(&ordered, [((1, 9), 0), ((2, 5), 0)])?;
    /// harness.push(&paid, [((1, 9), 10), ((2, 2), 10)])?;
    /// harness.end()?;
    /// assert_eq!(paid_in_full.take_records(), [1]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn apply_with<U: Record>(self, function: impl Fn(&A, &B, &mut Collector<'_, U>) + Parallel) -> DataStream<U>
    where
        W: WindowsOfBoth<A, B, K>,
    {
        CoGroupedWindows(self).apply(move |left, right, out| {
            for one in left {
                right.iter().for_each(|other| function(one, other, out));
            }
        })
    }
}

impl<A: Record, B: Record, K: Record, W> CoGroupedWindows<A, B, K, W> {
    /// Any number of results of the records of both sides, one of which may have none. They are in the order of arrival.
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
    /// let unpaid = orders
    ///     .co_group(payments)
    ///     .where_key(field::<0, _>())
    ///     .equal_to(field::<0, _>())
    ///     .window(TumblingEventTimeWindows::of(Duration::from_secs(60)))
    ///     .apply(|orders, payments, out| {
    ///         if payments.is_empty() {
    ///             orders.iter().for_each(|order| out.collect(order.1.as_str()));
    ///         }
    ///     });
    /// let unpaid = harness.collect::<String>(unpaid);
    /// harness.push(&ordered, [((1, "book"), 0), ((2, "pen"), 0)])?;
    /// harness.push(&paid, [((1, 9), 10)])?;
    /// harness.end()?;
    /// assert_eq!(unpaid.take_records(), ["pen"]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn apply<U: Record>(self, function: impl Fn(&[&A], &[&B], &mut Collector<'_, U>) + Parallel) -> DataStream<U>
    where
        W: WindowsOfBoth<A, B, K>,
    {
        self.0.windows.rows(move |rows, out| {
            let left: Vec<&A> = rows.iter().filter_map(|(left, _)| left.as_ref()).collect();
            let right: Vec<&B> = rows.iter().filter_map(|(_, right)| right.as_ref()).collect();
            function(&left, &right, out);
        })
    }
}
