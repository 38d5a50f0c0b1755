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

use crate::keyed::KeyedStream;
use crate::keyed::key_selector::{KeyLayout, KeySelector};
use crate::keyed::operators::functions::Two;
use crate::keyed::operators::keyed::KeyedOperator;
use crate::keyed::operators::unkeyed::UnkeyedOperator;
use crate::record::Record;
use crate::stream::{Collector, DataStream, SideOutputs};

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
    /// ```no_run
    /// # use pelton::stream::DataStream;
    /// # fn readable(numbers: DataStream<i64>, words: DataStream<String>) -> DataStream<String> {
    /// numbers.connect(words).map(|number| number.to_string(), |word| word.to_uppercase())
    /// # }
    /// ```
    pub fn connect<B: Record>(self, other: DataStream<B>) -> ConnectedStreams<A, B> {
        ConnectedStreams { first: self, second: other }
    }
}

impl<A: Record, B: Record> ConnectedStreams<A, B> {
    /// A result of every record: of the first stream by the first function, of the second by the second.
    pub fn map<U: Record>(
        self,
        first: impl Fn(&A) -> U + Send + Sync + 'static,
        second: impl Fn(&B) -> U + Send + Sync + 'static,
    ) -> DataStream<U> {
        self.unkeyed("Co-Map", Maps::new(first, second))
    }

    /// Any number of results of every record: of the first stream by the first function, of the second by the second.
    pub fn flat_map<U: Record>(
        self,
        first: impl Fn(&A, &mut Collector<'_, U>) + Send + Sync + 'static,
        second: impl Fn(&B, &mut Collector<'_, U>) + Send + Sync + 'static,
    ) -> DataStream<U> {
        self.unkeyed("Co-Flat Map", FlatMaps::new(first, second))
    }

    /// Gives every record of both streams to a function. Side outputs of the function are had from the result by
    /// [`get_side_output`](DataStream::get_side_output).
    pub fn process<F: CoProcessFunction<In1 = A, In2 = B>>(self, function: F) -> DataStream<F::Out> {
        self.unkeyed("Co-Process", function)
    }

    /// Partitions both streams, so that records of equal keys meet in one subtask.
    ///
    /// # Panics
    ///
    /// When the keys have a type that cannot be one, or lie in columns in different ways.
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
    /// # Panics
    ///
    /// When the keys of one are a whole struct in one column, and those of the other are spread over several.
    #[track_caller]
    pub fn connect<B: Record>(self, other: KeyedStream<B, K>) -> KeyedConnectedStreams<A, B, K> {
        refuse_other_layout(&self.key, &other.key);
        KeyedConnectedStreams { first: self, second: other }
    }
}

/// Equal keys must be hashed alike, so they must lie in columns of the same types.
#[track_caller]
pub(crate) fn refuse_other_layout(first: &KeyLayout, second: &KeyLayout) {
    assert!(
        first.shape == second.shape && first.columns.names().len() == second.columns.names().len(),
        "the key of one stream is in the columns {:?} and that of the other in {:?}, so equal keys would not meet: key \
         both by columns of the same types, or both by closures",
        first.columns.names(),
        second.columns.names(),
    );
}

impl<A: Record, B: Record, K: Record> KeyedConnectedStreams<A, B, K> {
    /// Gives every record of both streams to a function with state and timers of the record's key.
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
    pub fn map<U: Record>(
        self,
        first: impl Fn(&A) -> U + Send + Sync + 'static,
        second: impl Fn(&B) -> U + Send + Sync + 'static,
    ) -> DataStream<U> {
        self.first.stream.connect(self.second.stream).map(first, second)
    }

    /// Any number of results of every record: of the first stream by the first function, of the second by the second.
    pub fn flat_map<U: Record>(
        self,
        first: impl Fn(&A, &mut Collector<'_, U>) + Send + Sync + 'static,
        second: impl Fn(&B, &mut Collector<'_, U>) + Send + Sync + 'static,
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
