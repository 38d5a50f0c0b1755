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
    pub fn connect_broadcast<B: Record>(self, rules: DataStream<B>) -> BroadcastConnectedStream<A, B> {
        BroadcastConnectedStream { stream: self, rules: rules.partitioned(Partitioner::Broadcast) }
    }
}

impl<A: Record, B: Record> BroadcastConnectedStream<A, B> {
    /// Gives every record of both streams to a function. Side outputs of the function are had from the result by
    /// [`get_side_output`](DataStream::get_side_output).
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
    pub fn connect_broadcast<B: Record>(self, rules: DataStream<B>) -> KeyedBroadcastConnectedStream<A, B, K> {
        KeyedBroadcastConnectedStream { keyed: self, rules: rules.partitioned(Partitioner::Broadcast) }
    }
}

impl<A: Record, B: Record, K: Record> KeyedBroadcastConnectedStream<A, B, K> {
    /// Gives every record of both streams to a function; those of the keyed stream with state and timers of their key.
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
