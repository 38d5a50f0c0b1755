//! `DataStream<T>`: a stream of records of one Rust type, and what can be done with it.
//!
//! ```text
//!  DataStream<A> ── map ── filter ── flat_map ──► DataStream<B> ── rebalance ──► …
//!                └──────── one operator ───────┘
//! ```
//!
//! A stream is a description: every method adds to the graph of its [`StreamExecutionEnvironment`], and nothing runs
//! before [`execute`](StreamExecutionEnvironment::execute). Methods consume the stream; `clone` it to branch.
//!
//! Runs of `map`, `filter` and `flat_map` become **one operator**: rows are read from the columns once, pass through the
//! closures and are appended to the output's columns once (see [`fused`]). A run ends where it must be a
//! thing of its own: at a branch (`clone`), a partitioner, a union, another kind of operator, a sink, and at every
//! method that configures the operator made so far, such as [`name`](DataStream::name).
//!
//! Invariants: a row keeps its event time through closures, and all results of one row inherit it; streams of this
//! API hold inserts only, and an operator that meets another kind of row fails with a sentence that says so.

mod closures;
mod collector;
mod configure;
pub(crate) mod fused;
mod parallel;
mod partition;
mod record_error;
mod side_flat_map;
mod side_output;
mod slot_sharing_group;

use std::cell::RefCell;
use std::sync::Arc;

use pelton_runtime_core::graph::program::OperatorCode;
use pelton_runtime_core::graph::{OperatorRole, Partitioner};
use pelton_runtime_core::operator::{InputIndex, MAIN_OUTPUT, OperatorFactory, OutputPort};
use pelton_runtime_core::source::splits::{EnumeratorFactory, SplitReaderFactory, SplitSource};

use crate::environment::StreamExecutionEnvironment;
use crate::graph_builder::{ChainingStrategy, NodeId, NodeInput, StreamNode};
use crate::record::Record;

use self::fused::Fused;

pub use collector::Collector;
pub use configure::DataStreamSink;
pub use parallel::Parallel;
pub(crate) use record_error::only_inserts;
pub use side_flat_map::SideCollector;
pub use side_output::OutputTag;
pub(crate) use side_output::{SideOutputWriter, SideOutputs};
pub use slot_sharing_group::{SlotSharingGroup, SlotSharingGroupBuilder};

/// A stream of records of type `T`. See the [module](self).
#[must_use = "closures that no sink or other operator reads are not part of the job"]
pub struct DataStream<T: Record> {
    env: StreamExecutionEnvironment,
    /// Changes only from `Fusing` to `Outputs`, when the run of closures becomes an operator.
    place: RefCell<Place<T>>,
    side_outputs: Option<SideOutputs>,
}

/// Where a stream comes from.
enum Place<T: Record> {
    /// Outputs of operators that are in the graph; several are a union.
    Outputs(Vec<NodeInput>),
    /// A run of closures over such outputs, not in the graph yet.
    Fusing { inputs: Vec<NodeInput>, fused: Fused<T> },
}

impl<T: Record> DataStream<T> {
    /// The stream that comes from an output of an operator.
    pub(crate) fn from_node(env: StreamExecutionEnvironment, node: NodeId, port: OutputPort) -> Self {
        Self::from_outputs(env, vec![NodeInput { node, port, input: 0, partitioner: None }])
    }

    /// A source, as a new operator of the graph.
    pub(crate) fn from_source(env: &StreamExecutionEnvironment, name: &str, code: OperatorCode) -> Self {
        let node = env.add_node(StreamNode::new(name, OperatorRole::Source, Vec::new(), code));
        Self::from_node(env.clone(), node, MAIN_OUTPUT)
    }

    /// A source whose splits come from an enumerator, which is an operator of its own with one instance.
    pub(crate) fn from_split_source(
        env: &StreamExecutionEnvironment,
        name: &str,
        source: Arc<dyn SplitSource>,
    ) -> Self {
        let code = OperatorCode::Source(Arc::new(EnumeratorFactory(Arc::clone(&source))));
        let mut enumerator = StreamNode::new(format!("{name} (enumerator)"), OperatorRole::Source, Vec::new(), code);
        enumerator.parallelism = Some(1);
        enumerator.chaining = ChainingStrategy::Never;
        let enumerator = env.add_node(enumerator);
        // Every reader sees all splits and takes its own.
        let partitioner = Some(Partitioner::Broadcast);
        let splits = NodeInput { node: enumerator, port: MAIN_OUTPUT, input: 0, partitioner };
        let code = OperatorCode::Source(Arc::new(SplitReaderFactory(source)));
        let node = env.add_node(StreamNode::new(name, OperatorRole::Source, vec![splits], code));
        Self::from_node(env.clone(), node, MAIN_OUTPUT)
    }

    /// This stream with the side outputs of the operator it comes from.
    pub(crate) fn with_side_outputs(self, side_outputs: SideOutputs) -> Self {
        Self { side_outputs: Some(side_outputs), ..self }
    }

    /// The environment this stream belongs to.
    pub fn execution_environment(&self) -> &StreamExecutionEnvironment {
        &self.env
    }

    /// Puts pending closures into the graph and answers with what an operator that reads this stream as its input
    /// `input` needs; several for a union.
    pub(crate) fn into_inputs(self, input: InputIndex) -> (StreamExecutionEnvironment, Vec<NodeInput>) {
        let inputs = self.outputs().into_iter().map(|output| NodeInput { input, ..output }).collect();
        (self.env, inputs)
    }

    /// This stream through one more operator, which is not fused with its neighbours.
    pub(crate) fn transform<U: Record>(
        self,
        name: impl Into<String>,
        factory: Arc<dyn OperatorFactory>,
    ) -> DataStream<U> {
        let (env, inputs) = self.into_inputs(0);
        let code = OperatorCode::Operator(factory);
        let node = env.add_node(StreamNode::new(name, OperatorRole::Transform, inputs, code));
        DataStream::from_node(env, node, MAIN_OUTPUT)
    }

    /// This stream as the first input and another one as the second, through an operator.
    ///
    /// # Panics
    ///
    /// When the other stream is of another environment.
    #[track_caller]
    pub(crate) fn transform_with<V: Record, U: Record>(
        self,
        other: DataStream<V>,
        name: &str,
        factory: Arc<dyn OperatorFactory>,
    ) -> DataStream<U> {
        assert!(self.env.is_same(&other.env), "`{name}` connects streams of two environments, which are two jobs");
        let (env, mut inputs) = self.into_inputs(0);
        inputs.extend(other.into_inputs(1).1);
        let code = OperatorCode::Operator(factory);
        let node = env.add_node(StreamNode::new(name, OperatorRole::Transform, inputs, code));
        DataStream::from_node(env, node, MAIN_OUTPUT)
    }

    /// This stream through a sink; the name gets Flink's prefix.
    pub(crate) fn add_sink(
        self,
        name: &str,
        factory: Arc<dyn OperatorFactory>,
    ) -> (StreamExecutionEnvironment, NodeId) {
        let (env, inputs) = self.into_inputs(0);
        let code = OperatorCode::Operator(factory);
        let node = env.add_node(StreamNode::new(format!("Sink: {name}"), OperatorRole::Sink, inputs, code));
        (env, node)
    }

    fn from_outputs(env: StreamExecutionEnvironment, outputs: Vec<NodeInput>) -> Self {
        Self { env, place: RefCell::new(Place::Outputs(outputs)), side_outputs: None }
    }

    /// The same records, given to readers in another way.
    pub(crate) fn partitioned(self, partitioner: Partitioner) -> Self {
        let outputs = self.outputs().into_iter();
        let outputs = outputs.map(|output| NodeInput { partitioner: Some(partitioner.clone()), ..output }).collect();
        Self::from_outputs(self.env, outputs)
    }

    /// The same records, given to the next operator as if nothing had been said about that.
    pub(crate) fn unpartitioned(self) -> Self {
        let outputs = self.outputs().into_iter().map(|output| NodeInput { partitioner: None, ..output }).collect();
        Self::from_outputs(self.env, outputs)
    }

    /// Extends the pending run of closures, or begins one.
    fn fuse<U: Record>(self, extend: impl FnOnce(Fused<T>) -> Fused<U>) -> DataStream<U> {
        let (inputs, fused) = match self.place.into_inner() {
            Place::Outputs(outputs) => (outputs, Fused::start()),
            Place::Fusing { inputs, fused } => (inputs, fused),
        };
        let place = RefCell::new(Place::Fusing { inputs, fused: extend(fused) });
        DataStream { env: self.env, place, side_outputs: None }
    }

    /// The operator that the stream comes from; the first of several.
    pub(crate) fn node(&self) -> NodeId {
        self.outputs()[0].node
    }

    /// The outputs that make up this stream, after pending closures have become an operator.
    fn outputs(&self) -> Vec<NodeInput> {
        let mut place = self.place.borrow_mut();
        match &mut *place {
            Place::Outputs(outputs) => outputs.clone(),
            Place::Fusing { inputs, fused } => {
                let code = OperatorCode::Operator(fused.factory());
                let node = StreamNode::new(fused.name(), OperatorRole::Transform, std::mem::take(inputs), code);
                let node = self.env.add_node(node);
                let outputs = vec![NodeInput { node, port: MAIN_OUTPUT, input: 0, partitioner: None }];
                *place = Place::Outputs(outputs.clone());
                outputs
            }
        }
    }
}

/// A second reader of the same stream. A run of closures ends here, so that it runs once for all readers.
impl<T: Record> Clone for DataStream<T> {
    fn clone(&self) -> Self {
        let place = RefCell::new(Place::Outputs(self.outputs()));
        Self { env: self.env.clone(), place, side_outputs: self.side_outputs.clone() }
    }
}

impl<T: Record> std::fmt::Debug for DataStream<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DataStream<{}>", std::any::type_name::<T>())
    }
}

#[cfg(test)]
mod tests;
