//! Settings of the operator that a stream comes from.

use crate::environment::StreamExecutionEnvironment;
use crate::graph_builder::{ChainingStrategy, NodeId, StreamNode};
use crate::record::Record;

use super::DataStream;

/// Methods that set something of one operator of the graph.
macro_rules! operator_settings {
    () => {
        /// What people call the operator.
        ///
        /// ```
        /// let env = pelton::testing::mini_cluster(1);
        /// env.from_sequence(1, 3).map(|n| n * n).name("squares").print().name("to the screen");
        /// let program = env.program("example").expect("a job");
        /// let names: Vec<_> = program.graph.vertices.iter().flat_map(|vertex| &vertex.operators).map(|node| &node.name).collect();
        /// assert_eq!(names, ["Source: Sequence Source", "squares", "Sink: to the screen"]);
        /// ```
        #[track_caller]
        pub fn name(self, name: impl Into<String>) -> Self {
            let name = name.into();
            self.configure("name", |node| node.rename(name))
        }

        /// The operator's own id, which finds its state again after the program was changed. No other operator of the
        /// job may have it.
        ///
        /// ```
        /// # fn main() -> Result<(), pelton::ExecuteError> {
        /// # let env = pelton::testing::mini_cluster(1);
        /// let sums = env.from_sequence(1, 4).key_by(|n: &i64| n % 2).reduce(|a, b| a + b).uid("sums");
        /// assert_eq!(sums.execute_and_collect("example")?.count(), 4);
        /// # Ok(())
        /// # }
        /// ```
        #[track_caller]
        pub fn uid(self, uid: impl Into<String>) -> Self {
            let uid = uid.into();
            self.configure("uid", |node| node.uid = Some(uid))
        }

        /// The number of subtasks.
        ///
        /// ```
        /// let env = pelton::testing::mini_cluster(4);
        /// env.from_sequence(1, 3).map(|n| n * n).print().set_parallelism(1);
        /// let program = env.program("example").expect("a job");
        /// let parallelism: Vec<u32> = program.graph.vertices.iter().map(|vertex| vertex.parallelism).collect();
        /// assert_eq!(parallelism, [4, 1]);
        /// ```
        #[track_caller]
        pub fn set_parallelism(self, parallelism: u32) -> Self {
            self.configure("set_parallelism", |node| node.parallelism = Some(parallelism))
        }

        /// The number of key groups, and so the highest parallelism the operator can ever have.
        ///
        /// ```
        /// let env = pelton::testing::mini_cluster(1);
        /// env.from_sequence(1, 3).key_by(|n: &i64| n % 2).reduce(|a, b| a + b).set_max_parallelism(720).print();
        /// let program = env.program("example").expect("a job");
        /// assert!(program.graph.vertices.iter().any(|vertex| vertex.max_parallelism == 720));
        /// ```
        #[track_caller]
        pub fn set_max_parallelism(self, max_parallelism: u32) -> Self {
            self.configure("set_max_parallelism", |node| node.max_parallelism = Some(max_parallelism))
        }

        /// Subtasks of operators of one group may share a slot. Operators that follow inherit the group, which is a name or a
        /// [`SlotSharingGroup`](crate::stream::SlotSharingGroup) that says what its slots must have.
        ///
        /// ```
        /// # fn main() -> Result<(), pelton::ExecuteError> {
        /// # let env = pelton::testing::mini_cluster(1);
        /// // Reading and computing have slots of their own.
        /// let squares = env.from_sequence(1, 3).map(|n| n * n).slot_sharing_group("computing");
        /// assert_eq!(squares.execute_and_collect("example")?.collect::<Result<Vec<_>, _>>()?, [1, 4, 9]);
        /// # Ok(())
        /// # }
        /// ```
        #[track_caller]
        pub fn slot_sharing_group(self, group: impl Into<crate::stream::SlotSharingGroup>) -> Self {
            let (name, resources) = group.into().into_parts();
            self.configure("slot_sharing_group", |node| {
                (node.slot_sharing_group, node.slot_resources) = (Some(name), resources);
            })
        }

        /// Gives the operator a task of its own.
        ///
        /// ```
        /// let env = pelton::testing::mini_cluster(1);
        /// env.from_sequence(1, 3).map(|n| n * n).disable_chaining().print();
        /// assert_eq!(env.program("example").expect("a job").graph.vertices.len(), 3);
        /// ```
        #[track_caller]
        pub fn disable_chaining(self) -> Self {
            self.configure("disable_chaining", |node| node.chaining = ChainingStrategy::Never)
        }

        /// Begins a new task with this operator, which those that follow may share.
        ///
        /// ```
        /// let env = pelton::testing::mini_cluster(1);
        /// env.from_sequence(1, 3).map(|n| n * n).start_new_chain().print();
        /// assert_eq!(env.program("example").expect("a job").graph.vertices.len(), 2);
        /// ```
        #[track_caller]
        pub fn start_new_chain(self) -> Self {
            self.configure("start_new_chain", |node| node.chaining = ChainingStrategy::Head)
        }
    };
}

impl StreamNode {
    /// Gives the node a name and keeps what says that it is a source or a sink.
    pub(crate) fn rename(&mut self, name: String) {
        let prefix = ["Source: ", "Sink: "].into_iter().find(|prefix| self.name.starts_with(prefix));
        self.name = match prefix {
            Some(prefix) if !name.starts_with(prefix) => format!("{prefix}{name}"),
            _ => name,
        };
    }
}

/// Settings of the operator that this stream comes from. They end a run of fused closures: what is configured is the
/// whole run so far.
///
/// # Panics
///
/// All of them panic on a stream that comes from no single operator, a union or the result of a partitioner such as
/// [`rebalance`](DataStream::rebalance): the program would configure something else than it says.
impl<T: Record> DataStream<T> {
    operator_settings!();

    #[track_caller]
    fn configure(self, method: &str, change: impl FnOnce(&mut StreamNode)) -> Self {
        match self.outputs().as_slice() {
            [output] if output.partitioner.is_none() => self.configure_node(output.node, change),
            [_] => panic!("`{method}` configures an operator, but a partitioner is none: call it before partitioning"),
            _ => panic!("`{method}` configures an operator, but a union is none: call it on what is united"),
        }
        self
    }

    /// A source and its watermarks are two operators and one thing, which has the source's name and uid; where and how often
    /// it runs holds for both.
    fn configure_node(&self, node: NodeId, change: impl FnOnce(&mut StreamNode)) {
        let Some(source) = self.env.with_node(node, |node| node.source) else {
            return self.env.with_node(node, change);
        };
        let source = self.env.with_node(source, |source| {
            change(source);
            source.clone()
        });
        self.env.with_node(node, |stamps| {
            stamps.parallelism = source.parallelism;
            stamps.max_parallelism = source.max_parallelism;
            stamps.slot_sharing_group = source.slot_sharing_group;
            stamps.slot_resources = source.slot_resources;
            stamps.chaining = source.chaining;
        });
    }
}

/// The end of a stream: a sink in the graph.
#[derive(Debug)]
pub struct DataStreamSink {
    env: StreamExecutionEnvironment,
    node: NodeId,
}

impl DataStreamSink {
    pub(crate) fn new((env, node): (StreamExecutionEnvironment, NodeId)) -> Self {
        Self { env, node }
    }

    #[track_caller]
    fn configure(self, _method: &str, change: impl FnOnce(&mut StreamNode)) -> Self {
        self.env.with_node(self.node, change);
        self
    }
}

/// Settings of the sink.
impl DataStreamSink {
    operator_settings!();
}
