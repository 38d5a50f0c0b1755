//! A stream beside one that every subtask sees.

use std::sync::Arc;

use pelton_runtime_core::graph::Partitioner;
use pelton_runtime_core::operator::{Operator, OperatorResult, OperatorRuntime};

use crate::keyed::KeyedStream;
use crate::keyed::operators::functions::WithBroadcast;
use crate::keyed::operators::keyed::KeyedOperator;
use crate::keyed::operators::unkeyed::UnkeyedOperator;
use crate::record::Record;
use crate::stream::{DataStream, SideOutputs};

use super::{BroadcastProcessFunction, KeyedBroadcastProcessFunction};

/// A stream, and one whose records every subtask sees. See the [module](super).
#[must_use = "streams that no function sees together are not connected"]
pub struct BroadcastConnectedStream<A: Record, B: Record> {
    stream: DataStream<A>,
    rules: DataStream<B>,
}

impl<A: Record> DataStream<A> {
    /// This stream, and one whose records every subtask of the function sees.
    ///
    /// ```
    /// # use pelton::testing::Harness;
    /// # fn main() -> Result<(), pelton::testing::TestError> {
    /// # let mut harness = Harness::new();
    /// use pelton::connected::BroadcastProcessFunction;
    /// use pelton::keyed::{BroadcastContext, FunctionResult, OpenContext, ProcessContext};
    /// use pelton::operator_state::BroadcastState;
    /// use pelton::stream::Collector;
    ///
    /// /// Translates words that a dictionary has.
    /// #[derive(Clone)]
    /// struct Translate {
    ///     dictionary: BroadcastState<String, String>,
    /// }
    ///
    /// impl BroadcastProcessFunction for Translate {
    ///     type In = String;
    ///     type Broadcast = (String, String);
    ///     type Out = String;
    ///
    ///     fn open(&mut self, ctx: &mut OpenContext<'_>) -> FunctionResult {
    ///         ctx.register(&mut self.dictionary)
    ///     }
    ///
    ///     fn process_element(
    ///         &mut self,
    ///         word: &String,
    ///         ctx: &mut ProcessContext<'_>,
    ///         out: &mut Collector<'_, String>,
    ///     ) -> FunctionResult {
    ///         let translated = self.dictionary.get(ctx, word)?;
    ///         out.collect(translated.unwrap_or(word));
    ///         Ok(())
    ///     }
    ///
    ///     fn process_broadcast_element(
    ///         &mut self,
    ///         entry: &(String, String),
    ///         ctx: &mut BroadcastContext<'_, '_>,
    ///         _out: &mut Collector<'_, String>,
    ///     ) -> FunctionResult {
    ///         Ok(self.dictionary.put(ctx, entry.0.clone(), entry.1.clone())?)
    ///     }
    /// }
    ///
    /// let (words, word) = harness.source::<String>();
    /// let (entries, entry) = harness.source::<(String, String)>();
    /// let translate = Translate { dictionary: BroadcastState::new("dictionary") };
    /// let translated = harness.collect(words.connect_broadcast(entries).process(translate));
    /// harness.push_untimed(&entry, [("Fluss", "stream")])?;
    /// harness.push_untimed(&word, ["Fluss", "Pelton"])?;
    /// assert_eq!(translated.take_records(), ["stream", "Pelton"]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn connect_broadcast<B: Record>(self, rules: DataStream<B>) -> BroadcastConnectedStream<A, B> {
        BroadcastConnectedStream { stream: self, rules: rules.partitioned(Partitioner::Broadcast) }
    }
}

impl<A: Record, B: Record> BroadcastConnectedStream<A, B> {
    /// Gives every record of both streams to a function. Side outputs of the function are had from the result by
    /// [`get_side_output`](DataStream::get_side_output).
    ///
    /// ```
    /// # use pelton::testing::Harness;
    /// # fn main() -> Result<(), pelton::testing::TestError> {
    /// # let mut harness = Harness::new();
    /// use pelton::connected::BroadcastProcessFunction;
    /// use pelton::keyed::{BroadcastContext, FunctionResult, OpenContext, ProcessContext};
    /// use pelton::operator_state::BroadcastState;
    /// use pelton::stream::Collector;
    ///
    /// /// Passes what is not below the limit in force.
    /// #[derive(Clone)]
    /// struct Limit {
    ///     limits: BroadcastState<String, i64>,
    /// }
    ///
    /// impl BroadcastProcessFunction for Limit {
    ///     type In = i64;
    ///     type Broadcast = i64;
    ///     type Out = i64;
    ///
    ///     fn open(&mut self, ctx: &mut OpenContext<'_>) -> FunctionResult {
    ///         ctx.register(&mut self.limits)
    ///     }
    ///
    ///     fn process_element(
    ///         &mut self,
    ///         value: &i64,
    ///         ctx: &mut ProcessContext<'_>,
    ///         out: &mut Collector<'_, i64>,
    ///     ) -> FunctionResult {
    ///         if self.limits.get(ctx, &"least".to_owned())?.is_none_or(|least| value >= least) {
    ///             out.collect(*value);
    ///         }
    ///         Ok(())
    ///     }
    ///
    ///     fn process_broadcast_element(
    ///         &mut self,
    ///         limit: &i64,
    ///         ctx: &mut BroadcastContext<'_, '_>,
    ///         _out: &mut Collector<'_, i64>,
    ///     ) -> FunctionResult {
    ///         Ok(self.limits.put(ctx, "least".to_owned(), *limit)?)
    ///     }
    /// }
    ///
    /// let (numbers, number) = harness.source::<i64>();
    /// let (limits, limit) = harness.source::<i64>();
    /// let passed = numbers.connect_broadcast(limits).process(Limit { limits: BroadcastState::new("limits") });
    /// let passed = harness.collect(passed);
    /// harness.push_untimed(&number, [1, 9])?;
    /// harness.push_untimed(&limit, [5])?;
    /// harness.push_untimed(&number, [1, 9])?;
    /// assert_eq!(passed.take_records(), [1, 9, 9]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn process<F: BroadcastProcessFunction<In = A, Broadcast = B>>(self, function: F) -> DataStream<F::Out> {
        let side_outputs = SideOutputs::default();
        let sides = side_outputs.clone();
        let factory = move |_: &OperatorRuntime| -> OperatorResult<Box<dyn Operator>> {
            Ok(Box::new(UnkeyedOperator::new(WithBroadcast::new(function.clone()), sides.writer())))
        };
        let name = "Co-Process-Broadcast";
        self.stream.transform_with(self.rules, name, Arc::new(factory)).with_side_outputs(side_outputs)
    }
}

impl<A: Record, B: Record> std::fmt::Debug for BroadcastConnectedStream<A, B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("BroadcastConnectedStream").field(&self.stream).field(&self.rules).finish()
    }
}

/// A keyed stream, and one whose records every subtask sees. See the [module](super).
#[must_use = "streams that no function sees together are not connected"]
pub struct KeyedBroadcastConnectedStream<A: Record, B: Record, K: Record> {
    keyed: KeyedStream<A, K>,
    rules: DataStream<B>,
}

impl<A: Record, K: Record> KeyedStream<A, K> {
    /// This stream, and one whose records every subtask of the function sees.
    ///
    /// ```
    /// # use pelton::testing::Harness;
    /// # fn main() -> Result<(), pelton::testing::TestError> {
    /// # let mut harness = Harness::new();
    /// use pelton::connected::KeyedBroadcastProcessFunction;
    /// use pelton::keyed::{FunctionResult, KeyedBroadcastContext, KeyedContext, OpenContext};
    /// use pelton::operator_state::BroadcastState;
    /// use pelton::record::field;
    /// use pelton::stream::Collector;
    ///
    /// /// Names the region of each shop.
    /// #[derive(Clone)]
    /// struct Regions {
    ///     regions: BroadcastState<String, String>,
    /// }
    ///
    /// impl KeyedBroadcastProcessFunction for Regions {
    ///     type Key = String;
    ///     type In = (String, i64);
    ///     type Broadcast = (String, String);
    ///     type Out = (String, i64);
    ///
    ///     fn open(&mut self, ctx: &mut OpenContext<'_>) -> FunctionResult {
    ///         ctx.register(&mut self.regions)
    ///     }
    ///
    ///     fn process_element(
    ///         &mut self,
    ///         sale: &(String, i64),
    ///         ctx: &mut KeyedContext<'_, String>,
    ///         out: &mut Collector<'_, (String, i64)>,
    ///     ) -> FunctionResult {
    ///         if let Some(region) = self.regions.get(ctx, &sale.0)? {
    ///             out.collect((region.as_str(), sale.1));
    ///         }
    ///         Ok(())
    ///     }
    ///
    ///     fn process_broadcast_element(
    ///         &mut self,
    ///         shop: &(String, String),
    ///         ctx: &mut KeyedBroadcastContext<'_, String>,
    ///         _out: &mut Collector<'_, (String, i64)>,
    ///     ) -> FunctionResult {
    ///         Ok(self.regions.put(ctx, shop.0.clone(), shop.1.clone())?)
    ///     }
    /// }
    ///
    /// let (sales, sale) = harness.source::<(String, i64)>();
    /// let (shops, shop) = harness.source::<(String, String)>();
    /// let regions = Regions { regions: BroadcastState::new("regions") };
    /// let sales = harness.collect(sales.key_by(field::<0, _>()).connect_broadcast(shops).process(regions));
    /// harness.push_untimed(&shop, [("corner", "north")])?;
    /// harness.push_untimed(&sale, [("corner", 7), ("harbour", 9)])?;
    /// assert_eq!(sales.take_records(), [("north".to_owned(), 7)]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn connect_broadcast<B: Record>(self, rules: DataStream<B>) -> KeyedBroadcastConnectedStream<A, B, K> {
        KeyedBroadcastConnectedStream { keyed: self, rules: rules.partitioned(Partitioner::Broadcast) }
    }
}

impl<A: Record, B: Record, K: Record> KeyedBroadcastConnectedStream<A, B, K> {
    /// Gives every record of both streams to a function; those of the keyed stream with state and timers of their key.
    ///
    /// ```
    /// # use pelton::testing::Harness;
    /// # fn main() -> Result<(), pelton::testing::TestError> {
    /// # let mut harness = Harness::new();
    /// use pelton::connected::KeyedBroadcastProcessFunction;
    /// use pelton::keyed::{FunctionResult, KeyedBroadcastContext, KeyedContext, OpenContext, ValueState};
    /// use pelton::operator_state::BroadcastState;
    /// use pelton::record::field;
    /// use pelton::stream::Collector;
    ///
    /// /// Reports keys whose sum has come to the limit in force.
    /// #[derive(Clone)]
    /// struct Budget {
    ///     limits: BroadcastState<String, i64>,
    ///     spent: ValueState<i64>,
    /// }
    ///
    /// impl KeyedBroadcastProcessFunction for Budget {
    ///     type Key = String;
    ///     type In = (String, i64);
    ///     type Broadcast = i64;
    ///     type Out = String;
    ///
    ///     fn open(&mut self, ctx: &mut OpenContext<'_>) -> FunctionResult {
    ///         ctx.register(&mut self.limits)?;
    ///         ctx.register(&mut self.spent)
    ///     }
    ///
    ///     fn process_element(
    ///         &mut self,
    ///         cost: &(String, i64),
    ///         ctx: &mut KeyedContext<'_, String>,
    ///         out: &mut Collector<'_, String>,
    ///     ) -> FunctionResult {
    ///         let spent = self.spent.value(ctx)?.copied().unwrap_or_default() + cost.1;
    ///         if self.limits.get(ctx, &"most".to_owned())?.is_some_and(|most| spent >= *most) {
    ///             out.collect(&cost.0);
    ///         }
    ///         Ok(self.spent.update(ctx, spent)?)
    ///     }
    ///
    ///     fn process_broadcast_element(
    ///         &mut self,
    ///         limit: &i64,
    ///         ctx: &mut KeyedBroadcastContext<'_, String>,
    ///         _out: &mut Collector<'_, String>,
    ///     ) -> FunctionResult {
    ///         Ok(self.limits.put(ctx, "most".to_owned(), *limit)?)
    ///     }
    /// }
    ///
    /// let (costs, cost) = harness.source::<(String, i64)>();
    /// let (limits, limit) = harness.source::<i64>();
    /// let budget = Budget { limits: BroadcastState::new("limits"), spent: ValueState::new("spent") };
    /// let exceeded = costs.key_by(field::<0, _>()).connect_broadcast(limits).process(budget);
    /// let exceeded = harness.collect(exceeded);
    /// harness.push_untimed(&limit, [10])?;
    /// harness.push_untimed(&cost, [("ann", 6), ("bob", 6), ("ann", 4)])?;
    /// assert_eq!(exceeded.take_records(), ["ann"]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn process<F: KeyedBroadcastProcessFunction<In = A, Broadcast = B, Key = K>>(
        self,
        function: F,
    ) -> DataStream<F::Out> {
        let side_outputs = SideOutputs::default();
        let (sides, key) = (side_outputs.clone(), self.keyed.key.clone());
        let factory = move |_: &OperatorRuntime| -> OperatorResult<Box<dyn Operator>> {
            let function = WithBroadcast::new(function.clone());
            Ok(Box::new(KeyedOperator::new(function, vec![key.clone()], sides.writer())))
        };
        let name = "Co-Process-Broadcast-Keyed";
        self.keyed.stream.transform_with(self.rules, name, Arc::new(factory)).with_side_outputs(side_outputs)
    }
}

impl<A: Record, B: Record, K: Record> std::fmt::Debug for KeyedBroadcastConnectedStream<A, B, K> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("KeyedBroadcastConnectedStream").field(&self.keyed).field(&self.rules).finish()
    }
}
