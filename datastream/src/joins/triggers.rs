//! When windows of two streams fire, and with which records.

use std::time::Duration;

use crate::keyed::{AllElements, AssignersTrigger, Evicted, Evictor, GlobalWindowedStream, Trigger, TriggeredStream};
use crate::record::Record;

use super::tagged::Tagged;
use super::window::{CoGroupedWindows, JoinedWindows};

/// Windows of two streams to be joined that fire when a trigger `R` says so; `V` says with which records.
pub type TriggeredJoin<A, B, K, R, V> = JoinedWindows<A, B, K, TriggeredStream<Tagged<A, B>, K, R, V>>;

/// Windows of two streams to be grouped together that fire when a trigger `R` says so; `V` says with which records.
pub type TriggeredCoGroup<A, B, K, R, V> = CoGroupedWindows<A, B, K, TriggeredStream<Tagged<A, B>, K, R, V>>;

impl<A: Record, B: Record, K: Record> JoinedWindows<A, B, K> {
    /// How long after its end a window of event time takes late records; each makes it fire again, with all pairs.
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
    ///     .allowed_lateness(Duration::from_secs(5))
    ///     .apply(|order, payment| (order.1.clone(), payment.1));
    /// let sold = harness.collect(sold);
    /// harness.push(&ordered, [((1, "book"), 0)])?;
    /// harness.watermark(&ordered, 60_000)?;
    /// harness.watermark(&paid, 60_000)?;
    /// harness.push(&paid, [((1, 9), 10)])?;
    /// assert_eq!(sold.take_records(), [("book".to_owned(), 9)]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn allowed_lateness(self, lateness: Duration) -> Self {
        Self::new(self.windows.allowed_lateness(lateness))
    }

    /// Fires the windows when `trigger` says so, which is asked about the records of both sides: of each, one is there.
    ///
    /// ```
    /// # use pelton::testing::Harness;
    /// # fn main() -> Result<(), pelton::testing::TestError> {
    /// # let mut harness = Harness::new();
    /// use std::time::Duration;
    ///
    /// use pelton::keyed::{CountTrigger, PurgingTrigger, TumblingEventTimeWindows};
    /// use pelton::record::field;
    ///
    /// let (orders, ordered) = harness.source::<(i64, String)>();
    /// let (payments, paid) = harness.source::<(i64, i64)>();
    /// let sold = orders
    ///     .join(payments)
    ///     .where_key(field::<0, _>())
    ///     .equal_to(field::<0, _>())
    ///     .window(TumblingEventTimeWindows::of(Duration::from_secs(60)))
    ///     // As soon as there are two records, of whichever side.
    ///     .trigger(PurgingTrigger::of(CountTrigger::of(2)))
    ///     .apply(|order, payment| (order.1.clone(), payment.1));
    /// let sold = harness.collect(sold);
    /// harness.push(&ordered, [((1, "book"), 0)])?;
    /// harness.push(&paid, [((1, 9), 10)])?;
    /// assert_eq!(sold.take_records(), [("book".to_owned(), 9)]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// When windows merge and the trigger cannot.
    #[track_caller]
    pub fn trigger<R: Trigger<Tagged<A, B>>>(self, trigger: R) -> TriggeredJoin<A, B, K, R, AllElements> {
        JoinedWindows::new(self.windows.trigger(trigger))
    }

    /// Takes records of either side out of windows when they fire.
    ///
    /// ```
    /// # use pelton::testing::Harness;
    /// # fn main() -> Result<(), pelton::testing::TestError> {
    /// # let mut harness = Harness::new();
    /// use std::time::Duration;
    ///
    /// use pelton::keyed::{CountEvictor, TumblingEventTimeWindows};
    /// use pelton::record::field;
    ///
    /// let (orders, ordered) = harness.source::<(i64, String)>();
    /// let (payments, paid) = harness.source::<(i64, i64)>();
    /// let sold = orders
    ///     .join(payments)
    ///     .where_key(field::<0, _>())
    ///     .equal_to(field::<0, _>())
    ///     .window(TumblingEventTimeWindows::of(Duration::from_secs(60)))
    ///     // The last two records, of whichever side.
    ///     .evictor(CountEvictor::of(2))
    ///     .apply(|order, payment| (order.1.clone(), payment.1));
    /// let sold = harness.collect(sold);
    /// harness.push(&ordered, [((1, "pen"), 0), ((1, "book"), 1)])?;
    /// harness.push(&paid, [((1, 9), 2)])?;
    /// harness.end()?;
    /// assert_eq!(sold.take_records(), [("book".to_owned(), 9)]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn evictor<V: Evictor<Tagged<A, B>>>(self, evictor: V) -> TriggeredJoin<A, B, K, AssignersTrigger, Evicted<V>> {
        JoinedWindows::new(self.windows.evictor(evictor))
    }
}

impl<A: Record, B: Record, K: Record> JoinedWindows<A, B, K, GlobalWindowedStream<Tagged<A, B>, K>> {
    /// Fires the windows when `trigger` says so, which is asked about the records of both sides: of each, one is there.
    ///
    /// ```
    /// # use pelton::testing::Harness;
    /// # fn main() -> Result<(), pelton::testing::TestError> {
    /// # let mut harness = Harness::new();
    /// use pelton::keyed::{CountTrigger, GlobalWindows};
    /// use pelton::record::field;
    ///
    /// let (orders, ordered) = harness.source::<(i64, String)>();
    /// let (payments, paid) = harness.source::<(i64, i64)>();
    /// let sold = orders
    ///     .join(payments)
    ///     .where_key(field::<0, _>())
    ///     .equal_to(field::<0, _>())
    ///     .window(GlobalWindows::create())
    ///     .trigger(CountTrigger::of(2))
    ///     .apply(|order, payment| (order.1.clone(), payment.1));
    /// let sold = harness.collect(sold);
    /// harness.push_untimed(&ordered, [(1, "book")])?;
    /// harness.push_untimed(&paid, [(1, 9)])?;
    /// assert_eq!(sold.take_records(), [("book".to_owned(), 9)]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn trigger<R: Trigger<Tagged<A, B>>>(self, trigger: R) -> TriggeredJoin<A, B, K, R, AllElements> {
        JoinedWindows::new(self.windows.trigger(trigger))
    }
}

impl<A: Record, B: Record, K: Record, R: Trigger<Tagged<A, B>>> TriggeredJoin<A, B, K, R, AllElements> {
    /// Takes records of either side out of windows when they fire.
    ///
    /// ```
    /// # use pelton::testing::Harness;
    /// # fn main() -> Result<(), pelton::testing::TestError> {
    /// # let mut harness = Harness::new();
    /// use pelton::keyed::{CountEvictor, CountTrigger, GlobalWindows};
    /// use pelton::record::field;
    ///
    /// let (orders, ordered) = harness.source::<(i64, String)>();
    /// let (payments, paid) = harness.source::<(i64, i64)>();
    /// let sold = orders
    ///     .join(payments)
    ///     .where_key(field::<0, _>())
    ///     .equal_to(field::<0, _>())
    ///     .window(GlobalWindows::create())
    ///     .trigger(CountTrigger::of(3))
    ///     // The last two records, of whichever side.
    ///     .evictor(CountEvictor::of(2))
    ///     .apply(|order, payment| (order.1.clone(), payment.1));
    /// let sold = harness.collect(sold);
    /// harness.push(&ordered, [((1, "pen"), 0), ((1, "book"), 1)])?;
    /// harness.push(&paid, [((1, 9), 2)])?;
    /// assert_eq!(sold.take_records(), [("book".to_owned(), 9)]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn evictor<V: Evictor<Tagged<A, B>>>(self, evictor: V) -> TriggeredJoin<A, B, K, R, Evicted<V>> {
        JoinedWindows::new(self.windows.evictor(evictor))
    }
}

impl<A: Record, B: Record, K: Record> CoGroupedWindows<A, B, K> {
    /// How long after its end a window of event time takes late records; each makes it fire again.
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
    ///     .allowed_lateness(Duration::from_secs(5))
    ///     .apply(|orders, payments, out| out.collect((orders.len() as i64, payments.len() as i64)));
    /// let counts = harness.collect::<(i64, i64)>(counts);
    /// harness.push(&ordered, [((1, "book"), 0)])?;
    /// harness.watermark(&ordered, 60_000)?;
    /// harness.watermark(&paid, 60_000)?;
    /// harness.push(&paid, [((1, 9), 10)])?;
    /// assert_eq!(counts.take_records(), [(1, 0), (1, 1)]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn allowed_lateness(self, lateness: Duration) -> Self {
        Self(self.0.allowed_lateness(lateness))
    }

    /// Fires the windows when `trigger` says so, which is asked about the records of both sides: of each, one is there.
    ///
    /// ```
    /// # use pelton::testing::Harness;
    /// # fn main() -> Result<(), pelton::testing::TestError> {
    /// # let mut harness = Harness::new();
    /// use std::time::Duration;
    ///
    /// use pelton::keyed::{CountTrigger, TumblingEventTimeWindows};
    /// use pelton::record::field;
    ///
    /// let (orders, ordered) = harness.source::<(i64, String)>();
    /// let (payments, paid) = harness.source::<(i64, i64)>();
    /// let counts = orders
    ///     .co_group(payments)
    ///     .where_key(field::<0, _>())
    ///     .equal_to(field::<0, _>())
    ///     .window(TumblingEventTimeWindows::of(Duration::from_secs(60)))
    ///     // At every second record, of whichever side.
    ///     .trigger(CountTrigger::of(2))
    ///     .apply(|orders, payments, out| out.collect((orders.len() as i64, payments.len() as i64)));
    /// let counts = harness.collect::<(i64, i64)>(counts);
    /// harness.push(&ordered, [((1, "book"), 0)])?;
    /// harness.push(&paid, [((1, 9), 10), ((1, 8), 11), ((1, 7), 12)])?;
    /// assert_eq!(counts.take_records(), [(1, 1), (1, 3)]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// When windows merge and the trigger cannot.
    #[track_caller]
    pub fn trigger<R: Trigger<Tagged<A, B>>>(self, trigger: R) -> TriggeredCoGroup<A, B, K, R, AllElements> {
        CoGroupedWindows(JoinedWindows::new(self.0.windows.trigger(trigger)))
    }

    /// Takes records of either side out of windows when they fire.
    ///
    /// ```
    /// # use pelton::testing::Harness;
    /// # fn main() -> Result<(), pelton::testing::TestError> {
    /// # let mut harness = Harness::new();
    /// use std::time::Duration;
    ///
    /// use pelton::keyed::{CountEvictor, TumblingEventTimeWindows};
    /// use pelton::record::field;
    ///
    /// let (orders, ordered) = harness.source::<(i64, String)>();
    /// let (payments, paid) = harness.source::<(i64, i64)>();
    /// let counts = orders
    ///     .co_group(payments)
    ///     .where_key(field::<0, _>())
    ///     .equal_to(field::<0, _>())
    ///     .window(TumblingEventTimeWindows::of(Duration::from_secs(60)))
    ///     // The last two records, of whichever side.
    ///     .evictor(CountEvictor::of(2))
    ///     .apply(|orders, payments, out| out.collect((orders.len() as i64, payments.len() as i64)));
    /// let counts = harness.collect::<(i64, i64)>(counts);
    /// harness.push(&ordered, [((1, "pen"), 0), ((1, "book"), 1)])?;
    /// harness.push(&paid, [((1, 9), 2)])?;
    /// harness.end()?;
    /// assert_eq!(counts.take_records(), [(1, 1)]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn evictor<V: Evictor<Tagged<A, B>>>(
        self,
        evictor: V,
    ) -> TriggeredCoGroup<A, B, K, AssignersTrigger, Evicted<V>> {
        CoGroupedWindows(JoinedWindows::new(self.0.windows.evictor(evictor)))
    }
}

impl<A: Record, B: Record, K: Record> CoGroupedWindows<A, B, K, GlobalWindowedStream<Tagged<A, B>, K>> {
    /// Fires the windows when `trigger` says so, which is asked about the records of both sides: of each, one is there.
    ///
    /// ```
    /// # use pelton::testing::Harness;
    /// # fn main() -> Result<(), pelton::testing::TestError> {
    /// # let mut harness = Harness::new();
    /// use pelton::keyed::{CountTrigger, GlobalWindows};
    /// use pelton::record::field;
    ///
    /// let (orders, ordered) = harness.source::<(i64, String)>();
    /// let (payments, paid) = harness.source::<(i64, i64)>();
    /// let counts = orders
    ///     .co_group(payments)
    ///     .where_key(field::<0, _>())
    ///     .equal_to(field::<0, _>())
    ///     .window(GlobalWindows::create())
    ///     .trigger(CountTrigger::of(2))
    ///     .apply(|orders, payments, out| out.collect((orders.len() as i64, payments.len() as i64)));
    /// let counts = harness.collect::<(i64, i64)>(counts);
    /// harness.push_untimed(&ordered, [(1, "book")])?;
    /// harness.push_untimed(&paid, [(1, 9)])?;
    /// assert_eq!(counts.take_records(), [(1, 1)]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn trigger<R: Trigger<Tagged<A, B>>>(self, trigger: R) -> TriggeredCoGroup<A, B, K, R, AllElements> {
        CoGroupedWindows(JoinedWindows::new(self.0.windows.trigger(trigger)))
    }
}

impl<A: Record, B: Record, K: Record, R: Trigger<Tagged<A, B>>> TriggeredCoGroup<A, B, K, R, AllElements> {
    /// Takes records of either side out of windows when they fire.
    ///
    /// ```
    /// # use pelton::testing::Harness;
    /// # fn main() -> Result<(), pelton::testing::TestError> {
    /// # let mut harness = Harness::new();
    /// use pelton::keyed::{CountEvictor, CountTrigger, GlobalWindows};
    /// use pelton::record::field;
    ///
    /// let (orders, ordered) = harness.source::<(i64, String)>();
    /// let (payments, paid) = harness.source::<(i64, i64)>();
    /// let counts = orders
    ///     .co_group(payments)
    ///     .where_key(field::<0, _>())
    ///     .equal_to(field::<0, _>())
    ///     .window(GlobalWindows::create())
    ///     .trigger(CountTrigger::of(3))
    ///     // The last two records, of whichever side.
    ///     .evictor(CountEvictor::of(2))
    ///     .apply(|orders, payments, out| out.collect((orders.len() as i64, payments.len() as i64)));
    /// let counts = harness.collect::<(i64, i64)>(counts);
    /// harness.push(&ordered, [((1, "pen"), 0), ((1, "book"), 1)])?;
    /// harness.push(&paid, [((1, 9), 2)])?;
    /// assert_eq!(counts.take_records(), [(1, 1)]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn evictor<V: Evictor<Tagged<A, B>>>(self, evictor: V) -> TriggeredCoGroup<A, B, K, R, Evicted<V>> {
        CoGroupedWindows(JoinedWindows::new(self.0.windows.evictor(evictor)))
    }
}
