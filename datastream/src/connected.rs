//! Two streams of different types in one operator.
//!
//! ```text
//!  a.connect(b) ── map · flat_map · process(CoProcessFunction)
//!       └─ key_by(…, …) ── process(KeyedCoProcessFunction)          both sides of a key meet, with its state and timers
//!
//!  a.connect_broadcast(rules) ── process(BroadcastProcessFunction)  every subtask sees every rule
//!  keyed.connect_broadcast(rules) ── process(KeyedBroadcastProcessFunction)
//! ```
//!
//! Elements of the two inputs come in no particular order between them. The operator's watermark is the lesser of both.
//! Rules that every subtask sees are kept in [`BroadcastState`](crate::operator_state::BroadcastState), which only
//! `process_broadcast_element` can change; so all subtasks hold the same, and one that is added after a restart gets
//! what the others have.

mod broadcast;
mod closures;
mod functions;

use std::marker::PhantomData;
use std::sync::Arc;

use pelton_runtime_core::operator::{Operator, OperatorResult, OperatorRuntime};

use crate::keyed::key_selector::KeySelector;
use crate::keyed::operators::functions::Two;
use crate::keyed::operators::keyed::KeyedOperator;
use crate::keyed::operators::unkeyed::UnkeyedOperator;
use crate::keyed::{KeyedStream, with_keys_alike};
use crate::record::Record;
use crate::stream::{Collector, DataStream, Parallel, SideOutputs};

use self::closures::{FlatMaps, Maps};

pub use broadcast::{BroadcastConnectedStream, KeyedBroadcastConnectedStream};
pub use functions::{
    BroadcastProcessFunction, CoProcessFunction, KeyedBroadcastProcessFunction, KeyedCoProcessFunction,
};

/// Two streams that one function sees. See the [module](self).
#[must_use = "streams that no function sees together are not connected"]
pub struct ConnectedStreams<A: Record, B: Record> {
    first: DataStream<A>,
    second: DataStream<B>,
}

impl<A: Record> DataStream<A> {
    /// This stream and another one, for functions that see both.
    ///
    /// ```
    /// # use pelton::testing::Harness;
    /// # fn main() -> Result<(), pelton::testing::TestError> {
    /// # let mut harness = Harness::new();
    /// let (numbers, number) = harness.source::<i64>();
    /// let (words, word) = harness.source::<String>();
    /// let all = harness.collect(numbers.connect(words).map(|n| n.to_string(), |word| word.clone()));
    /// harness.push_untimed(&number, [7])?;
    /// harness.push_untimed(&word, ["seven"])?;
    /// assert_eq!(all.take_records(), ["7", "seven"]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn connect<B: Record>(self, other: DataStream<B>) -> ConnectedStreams<A, B> {
        ConnectedStreams { first: self, second: other }
    }
}

impl<A: Record, B: Record> ConnectedStreams<A, B> {
    /// A result of every record: of the first stream by the first function, of the second by the second.
    ///
    /// ```
    /// # use pelton::testing::Harness;
    /// # fn main() -> Result<(), pelton::testing::TestError> {
    /// # let mut harness = Harness::new();
    /// let (numbers, number) = harness.source::<i64>();
    /// let (words, word) = harness.source::<String>();
    /// let lengths = harness.collect(numbers.connect(words).map(|n| *n, |word| word.len() as i64));
    /// harness.push_untimed(&number, [7])?;
    /// harness.push_untimed(&word, ["seven"])?;
    /// assert_eq!(lengths.take_records(), [7, 5]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn map<U: Record>(
        self,
        first: impl Fn(&A) -> U + Parallel,
        second: impl Fn(&B) -> U + Parallel,
    ) -> DataStream<U> {
        self.unkeyed("Co-Map", Maps::new(first, second))
    }

    /// Any number of results of every record: of the first stream by the first function, of the second by the second.
    ///
    /// ```
    /// # use pelton::testing::Harness;
    /// # fn main() -> Result<(), pelton::testing::TestError> {
    /// # let mut harness = Harness::new();
    /// let (numbers, number) = harness.source::<i64>();
    /// let (words, word) = harness.source::<String>();
    /// let letters = numbers.connect(words).flat_map::<String>(
    ///     |n, out| out.collect(n.to_string()),
    ///     |word, out| word.chars().for_each(|letter| out.collect(letter.to_string())),
    /// );
    /// let letters = harness.collect(letters);
    /// harness.push_untimed(&number, [7])?;
    /// harness.push_untimed(&word, ["seven"])?;
    /// assert_eq!(letters.take_records(), ["7", "s", "e", "v", "e", "n"]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn flat_map<U: Record>(
        self,
        first: impl Fn(&A, &mut Collector<'_, U>) + Parallel,
        second: impl Fn(&B, &mut Collector<'_, U>) + Parallel,
    ) -> DataStream<U> {
        self.unkeyed("Co-Flat Map", FlatMaps::new(first, second))
    }

    /// Gives every record of both streams to a function. Side outputs of the function are had from the result by
    /// [`get_side_output`](DataStream::get_side_output).
    ///
    /// ```
    /// # use pelton::testing::Harness;
    /// # fn main() -> Result<(), pelton::testing::TestError> {
    /// # let mut harness = Harness::new();
    /// use pelton::connected::CoProcessFunction;
    /// use pelton::keyed::{FunctionResult, ProcessContext};
    /// use pelton::stream::Collector;
    ///
    /// /// Multiplies by the factor that came last.
    /// #[derive(Clone)]
    /// struct Scale {
    ///     factor: i64,
    /// }
    ///
    /// impl CoProcessFunction for Scale {
    ///     type In1 = i64;
    ///     type In2 = i64;
    ///     type Out = i64;
    ///
    ///     fn process_element1(
    ///         &mut self,
    ///         value: &i64,
    ///         _ctx: &mut ProcessContext<'_>,
    ///         out: &mut Collector<'_, i64>,
    ///     ) -> FunctionResult {
    ///         out.collect(value * self.factor);
    ///         Ok(())
    ///     }
    ///
    ///     fn process_element2(
    ///         &mut self,
    ///         factor: &i64,
    ///         _ctx: &mut ProcessContext<'_>,
    ///         _out: &mut Collector<'_, i64>,
    ///     ) -> FunctionResult {
    ///         self.factor = *factor;
    ///         Ok(())
    ///     }
    /// }
    ///
    /// let (numbers, number) = harness.source::<i64>();
    /// let (factors, factor) = harness.source::<i64>();
    /// let scaled = harness.collect(numbers.connect(factors).process(Scale { factor: 1 }));
    /// harness.push_untimed(&number, [7])?;
    /// harness.push_untimed(&factor, [10])?;
    /// harness.push_untimed(&number, [7])?;
    /// assert_eq!(scaled.take_records(), [7, 70]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn process<F: CoProcessFunction<In1 = A, In2 = B>>(self, function: F) -> DataStream<F::Out> {
        self.unkeyed("Co-Process", function)
    }

    /// Partitions both streams, so that records of equal keys meet in one subtask.
    ///
    /// ```
    /// # use pelton::testing::Harness;
    /// # fn main() -> Result<(), pelton::testing::TestError> {
    /// # let mut harness = Harness::new();
    /// use pelton::record::field;
    ///
    /// let (prices, price) = harness.source::<(String, i64)>();
    /// let (names, name) = harness.source::<(String, String)>();
    /// let both = prices.connect(names).key_by(field::<0, _>(), field::<0, _>());
    /// let both = harness.collect(both.map(|price| price.0.clone(), |name| name.1.clone()));
    /// harness.push_untimed(&price, [("a", 3)])?;
    /// harness.push_untimed(&name, [("a", "apple")])?;
    /// assert_eq!(both.take_records(), ["a", "apple"]);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// When the keys have a type that cannot be one.
    #[track_caller]
    pub fn key_by<FormA, FormB, SA, SB>(self, first: SA, second: SB) -> KeyedConnectedStreams<A, B, SA::Key>
    where
        SA: KeySelector<A, FormA>,
        SB: KeySelector<B, FormB, Key = SA::Key>,
    {
        self.first.key_by(first).connect(self.second.key_by(second))
    }

    fn unkeyed<F: CoProcessFunction<In1 = A, In2 = B>>(self, name: &str, function: F) -> DataStream<F::Out> {
        let side_outputs = SideOutputs::default();
        let sides = side_outputs.clone();
        let factory = move |_: &OperatorRuntime| -> OperatorResult<Box<dyn Operator>> {
            Ok(Box::new(UnkeyedOperator::new(Two::new(function.clone()), sides.writer())))
        };
        self.first.transform_with(self.second, name, Arc::new(factory)).with_side_outputs(side_outputs)
    }
}

impl<A: Record, B: Record> std::fmt::Debug for ConnectedStreams<A, B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("ConnectedStreams").field(&self.first).field(&self.second).finish()
    }
}

/// Two streams that are partitioned by the same keys. See the [module](self).
#[must_use = "streams that no function sees together are not connected"]
pub struct KeyedConnectedStreams<A: Record, B: Record, K: Record> {
    first: KeyedStream<A, K>,
    second: KeyedStream<B, K>,
}

impl<A: Record, K: Record> KeyedStream<A, K> {
    /// This stream and another one of the same keys, for functions that see both.
    ///
    /// ```
    /// # use pelton::testing::Harness;
    /// # fn main() -> Result<(), pelton::testing::TestError> {
    /// # let mut harness = Harness::new();
    /// use pelton::record::field;
    ///
    /// let (prices, price) = harness.source::<(String, i64)>();
    /// let (costs, cost) = harness.source::<(String, i64)>();
    /// let both = prices.key_by(field::<0, _>()).connect(costs.key_by(field::<0, _>()));
    /// let amounts = harness.collect(both.map(|price| price.1, |cost| -cost.1));
    /// harness.push_untimed(&price, [("a", 3)])?;
    /// harness.push_untimed(&cost, [("a", 2)])?;
    /// assert_eq!(amounts.take_records(), [3, -2]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn connect<B: Record>(self, other: KeyedStream<B, K>) -> KeyedConnectedStreams<A, B, K> {
        let (first, second) = with_keys_alike(self, other);
        KeyedConnectedStreams { first, second }
    }
}

impl<A: Record, B: Record, K: Record> KeyedConnectedStreams<A, B, K> {
    /// Gives every record of both streams to a function with state and timers of the record's key.
    ///
    /// ```
    /// # use pelton::testing::Harness;
    /// # fn main() -> Result<(), pelton::testing::TestError> {
    /// # let mut harness = Harness::new();
    /// use pelton::connected::KeyedCoProcessFunction;
    /// use pelton::keyed::{FunctionResult, KeyedContext, OpenContext, ValueState};
    /// use pelton::record::field;
    /// use pelton::stream::Collector;
    ///
    /// /// Says what an order cost when its price comes.
    /// #[derive(Clone)]
    /// struct Price {
    ///     ordered: ValueState<i64>,
    /// }
    ///
    /// impl KeyedCoProcessFunction for Price {
    ///     type Key = String;
    ///     type In1 = (String, i64);
    ///     type In2 = (String, i64);
    ///     type Out = i64;
    ///
    ///     fn open(&mut self, ctx: &mut OpenContext<'_>) -> FunctionResult {
    ///         ctx.register(&mut self.ordered)
    ///     }
    ///
    ///     fn process_element1(
    ///         &mut self,
    ///         order: &(String, i64),
    ///         ctx: &mut KeyedContext<'_, String>,
    ///         _out: &mut Collector<'_, i64>,
    ///     ) -> FunctionResult {
    ///         Ok(self.ordered.update(ctx, order.1)?)
    ///     }
    ///
    ///     fn process_element2(
    ///         &mut self,
    ///         price: &(String, i64),
    ///         ctx: &mut KeyedContext<'_, String>,
    ///         out: &mut Collector<'_, i64>,
    ///     ) -> FunctionResult {
    ///         if let Some(ordered) = self.ordered.value(ctx)? {
    ///             out.collect(ordered * price.1);
    ///         }
    ///         Ok(())
    ///     }
    /// }
    ///
    /// let (orders, order) = harness.source::<(String, i64)>();
    /// let (prices, price) = harness.source::<(String, i64)>();
    /// let both = orders.connect(prices).key_by(field::<0, _>(), field::<0, _>());
    /// let costs = harness.collect(both.process(Price { ordered: ValueState::new("ordered") }));
    /// harness.push_untimed(&order, [("pen", 3)])?;
    /// harness.push_untimed(&price, [("pen", 2), ("ink", 9)])?;
    /// assert_eq!(costs.take_records(), [6]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn process<F: KeyedCoProcessFunction<In1 = A, In2 = B, Key = K>>(self, function: F) -> DataStream<F::Out> {
        let side_outputs = SideOutputs::default();
        let (sides, keys) = (side_outputs.clone(), vec![self.first.key.clone(), self.second.key.clone()]);
        let factory = move |_: &OperatorRuntime| -> OperatorResult<Box<dyn Operator>> {
            Ok(Box::new(KeyedOperator::new(Two::new(function.clone()), keys.clone(), sides.writer())))
        };
        let (first, second) = (self.first.stream, self.second.stream);
        first.transform_with(second, "Co-Keyed-Process", Arc::new(factory)).with_side_outputs(side_outputs)
    }

    /// A result of every record: of the first stream by the first function, of the second by the second.
    ///
    /// ```
    /// # use pelton::testing::Harness;
    /// # fn main() -> Result<(), pelton::testing::TestError> {
    /// # let mut harness = Harness::new();
    /// use pelton::record::field;
    ///
    /// let (prices, price) = harness.source::<(String, i64)>();
    /// let (costs, cost) = harness.source::<(String, i64)>();
    /// let both = prices.key_by(field::<0, _>()).connect(costs.key_by(field::<0, _>()));
    /// let amounts = harness.collect(both.map(|price| price.1, |cost| -cost.1));
    /// harness.push_untimed(&price, [("a", 3)])?;
    /// harness.push_untimed(&cost, [("a", 2)])?;
    /// assert_eq!(amounts.take_records(), [3, -2]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn map<U: Record>(
        self,
        first: impl Fn(&A) -> U + Parallel,
        second: impl Fn(&B) -> U + Parallel,
    ) -> DataStream<U> {
        self.first.stream.connect(self.second.stream).map(first, second)
    }

    /// Any number of results of every record: of the first stream by the first function, of the second by the second.
    ///
    /// ```
    /// # use pelton::testing::Harness;
    /// # fn main() -> Result<(), pelton::testing::TestError> {
    /// # let mut harness = Harness::new();
    /// use pelton::record::field;
    ///
    /// let (prices, price) = harness.source::<(String, i64)>();
    /// let (costs, cost) = harness.source::<(String, i64)>();
    /// let both = prices.key_by(field::<0, _>()).connect(costs.key_by(field::<0, _>()));
    /// let amounts = both.flat_map::<i64>(|price, out| out.collect(price.1), |cost, out| out.collect(-cost.1));
    /// let amounts = harness.collect(amounts);
    /// harness.push_untimed(&price, [("a", 3)])?;
    /// harness.push_untimed(&cost, [("a", 2)])?;
    /// assert_eq!(amounts.take_records(), [3, -2]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn flat_map<U: Record>(
        self,
        first: impl Fn(&A, &mut Collector<'_, U>) + Parallel,
        second: impl Fn(&B, &mut Collector<'_, U>) + Parallel,
    ) -> DataStream<U> {
        self.first.stream.connect(self.second.stream).flat_map(first, second)
    }
}

impl<A: Record, B: Record, K: Record> std::fmt::Debug for KeyedConnectedStreams<A, B, K> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("KeyedConnectedStreams").field(&self.first).field(&self.second).finish()
    }
}

/// Marks types that a function names and does not hold.
type Named<T> = PhantomData<fn() -> T>;

#[cfg(test)]
mod tests;
