//! The JobGraph: what a job is, between the program that describes it and the cluster that runs it.
//!
//! ```text
//!  JobGraph ── vertices ──► JobVertex ── operators ──► OperatorNode (a tree: the head and what is chained to it)
//!           └─ edges ─────► JobEdge   ── partitioner
//! ```
//!
//! A graph is plain data: no closures, no addresses. The functions behind its operators live in the process that
//! built it (see [`program`]), which is why a worker builds the same graph again and compares [`JobGraph::fingerprint`].
//!
//! Invariants, checked by [`JobGraph::validate`] wherever a graph enters a process: vertices are in topological order,
//! every index points into the graph, parallelism is at least 1 and at most the maximum parallelism.

pub mod plan;
pub mod planned;
pub mod program;
pub mod slot_resources;

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};

use crate::id::{JobVertexId, OperatorId};
use crate::key_group::MAX_PARALLELISM_LIMIT;
use crate::operator::{InputIndex, OutputPort};

/// The slot sharing group of vertices that name none.
pub const DEFAULT_SLOT_SHARING_GROUP: &str = "default";

/// A job, as plain data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobGraph {
    /// What people call it.
    pub name: String,
    /// In topological order.
    pub vertices: Vec<JobVertex>,
    /// In the order of their targets' inputs.
    pub edges: Vec<JobEdge>,
    /// The configuration that travels with the job.
    pub configuration: BTreeMap<String, String>,
}

/// Operators that run in one task, as a tree below its head.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobVertex {
    /// The head operator's id.
    pub id: JobVertexId,
    /// The names of the operators, joined as Flink joins them: `Source: A -> B -> (C, D)`.
    pub name: String,
    /// Number of subtasks.
    pub parallelism: u32,
    /// Number of key groups.
    pub max_parallelism: u32,
    /// Subtasks of vertices of one group may share a slot.
    pub slot_sharing_group: String,
    /// In topological order, the head first.
    pub operators: Vec<OperatorNode>,
}

/// One operator of a vertex.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperatorNode {
    /// Stable over changes of the program when `uid` is set, otherwise derived from its place.
    pub id: OperatorId,
    /// The user's own name for its state.
    pub uid: Option<String>,
    /// What people call it.
    pub name: String,
    /// Its place in the data flow.
    pub role: OperatorRole,
    /// Where its input comes from inside the vertex; none for the head.
    pub input: Option<ChainedInput>,
    /// How to build it without the user's program.
    pub stock: Option<StockOperator>,
}

/// An operator's place in the data flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OperatorRole {
    /// Makes records.
    Source,
    /// Has inputs and outputs.
    Transform,
    /// Has no outputs.
    Sink,
}

/// The output of another operator of the same vertex.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChainedInput {
    /// Index into [`JobVertex::operators`], less than the reader's own.
    pub operator: usize,
    /// Which of its outputs.
    pub port: OutputPort,
}

/// An operator that needs no user program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StockOperator {
    /// Which one.
    pub kind: String,
    /// Its settings, as that kind encodes them.
    pub payload: Vec<u8>,
}

/// Records that go from one vertex to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobEdge {
    /// Index of the vertex that writes.
    pub source: usize,
    /// Index of the writing operator in its vertex.
    pub source_operator: usize,
    /// Which of its outputs.
    pub source_port: OutputPort,
    /// Index of the vertex that reads, more than `source`.
    pub target: usize,
    /// Which input of its head.
    pub target_input: InputIndex,
    /// Which subtask gets which record.
    pub partitioner: Partitioner,
}

/// Which subtask of the reader gets which record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Partitioner {
    /// Subtask i writes to subtask i; needs equal parallelism.
    Forward,
    /// All readers in turn.
    Rebalance,
    /// In turn among the readers that belong to this writer.
    Rescale,
    /// A random reader each time.
    Shuffle,
    /// Every reader gets everything.
    Broadcast,
    /// The first reader gets everything.
    Global,
    /// By a function of the program.
    Custom {
        /// Its place among the program's partitioners ([`program::Program::partitioners`]).
        function: u32,
    },
    /// By the key group of these columns.
    Hash {
        /// The key columns' names, in order.
        key_columns: Vec<String>,
    },
}

impl Partitioner {
    /// The name that plans show, as in Flink.
    pub const fn ship_strategy(&self) -> &'static str {
        match self {
            Self::Forward => "FORWARD",
            Self::Rebalance => "REBALANCE",
            Self::Rescale => "RESCALE",
            Self::Shuffle => "SHUFFLE",
            Self::Broadcast => "BROADCAST",
            Self::Global => "GLOBAL",
            Self::Custom { .. } => "CUSTOM",
            Self::Hash { .. } => "HASH",
        }
    }

    /// Whether barriers may overtake records on such an edge: what is in flight on it must be of use to readers of any
    /// number. Forward edges promise that a record's reader is the one beside its writer, and broadcasts that all
    /// readers have seen the same, and nobody but the writer's function knows the readers of its records; on these barriers
    /// always wait for the records before them.
    pub const fn lets_barriers_overtake(&self) -> bool {
        !matches!(self, Self::Forward | Self::Broadcast | Self::Custom { .. })
    }

    /// The readers that a writer is connected with.
    pub fn targets(&self, writer: u32, writers: u32, readers: u32) -> std::ops::Range<u32> {
        match self {
            Self::Forward => writer..writer + 1,
            Self::Rescale if writers <= readers => {
                // Reader r belongs to writer r * writers / readers.
                let first = |w: u32| (u64::from(w) * u64::from(readers)).div_ceil(u64::from(writers)) as u32;
                first(writer)..first(writer + 1)
            }
            Self::Rescale => {
                let reader = (u64::from(writer) * u64::from(readers) / u64::from(writers)) as u32;
                reader..reader + 1
            }
            _ => 0..readers,
        }
    }
}

/// Why a graph cannot be run.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidGraph {
    /// There is nothing to run.
    #[error("the job has no operators: add at least one source and one sink before `execute`")]
    Empty,
    /// Two operators have the same id.
    #[error("two operators have the id {id} (`{first}` and `{second}`): give each its own uid")]
    DuplicateOperatorId {
        /// The id.
        id: OperatorId,
        /// One of them.
        first: String,
        /// The other.
        second: String,
    },
    /// The parallelism is out of range.
    #[error(
        "`{vertex}` has parallelism {parallelism}, expected 1 to {max} (its maximum parallelism, which `pipeline.max-parallelism` or `set_max_parallelism` raises)"
    )]
    Parallelism {
        /// The vertex's name.
        vertex: String,
        /// What was found.
        parallelism: u32,
        /// Its maximum parallelism.
        max: u32,
    },
    /// The maximum parallelism is out of range.
    #[error("`{vertex}` has maximum parallelism {max}, expected 1 to {MAX_PARALLELISM_LIMIT}")]
    MaxParallelism {
        /// The vertex's name.
        vertex: String,
        /// What was found.
        max: u32,
    },
    /// A forward edge between different parallelisms.
    #[error(
        "forward from `{source_vertex}` (parallelism {source_parallelism}) to `{target_vertex}` (parallelism \
         {target_parallelism}) needs equal parallelism: use rebalance or rescale"
    )]
    ForwardParallelism {
        /// The writing vertex's name.
        source_vertex: String,
        /// Its parallelism.
        source_parallelism: u32,
        /// The reading vertex's name.
        target_vertex: String,
        /// Its parallelism.
        target_parallelism: u32,
    },
    /// Two operators ask differently of the slots of one group.
    #[error(
        "the slot sharing group `{group}` is given two different sets of resources: make one `SlotSharingGroup` and clone it"
    )]
    GroupResources {
        /// The group.
        group: String,
    },
    /// An index points nowhere, or backwards; only a damaged or hostile graph has that.
    #[error("the job graph is malformed: {what}")]
    Malformed {
        /// What is wrong.
        what: String,
    },
}

impl JobGraph {
    /// Checks every invariant of a graph.
    ///
    /// # Errors
    ///
    /// The first thing that is wrong.
    pub fn validate(&self) -> Result<(), InvalidGraph> {
        if self.vertices.is_empty() {
            return Err(InvalidGraph::Empty);
        }
        let mut operators: BTreeMap<OperatorId, &str> = BTreeMap::new();
        for vertex in &self.vertices {
            vertex.validate()?;
            for operator in &vertex.operators {
                if let Some(first) = operators.insert(operator.id, &operator.name) {
                    return Err(InvalidGraph::DuplicateOperatorId {
                        id: operator.id,
                        first: first.to_owned(),
                        second: operator.name.clone(),
                    });
                }
            }
        }
        let mut inputs = BTreeSet::new();
        for edge in &self.edges {
            self.validate_edge(edge)?;
            inputs.insert((edge.target, edge.target_input));
        }
        for (index, vertex) in self.vertices.iter().enumerate() {
            let is_source = vertex.operators[0].role == OperatorRole::Source;
            let has_inputs = inputs.iter().any(|&(target, _)| target == index);
            // A source's inputs are its splits.
            if !is_source && !has_inputs {
                return Err(malformed(format!("`{}` is no source and has no inputs", vertex.name)));
            }
        }
        Ok(())
    }

    fn validate_edge(&self, edge: &JobEdge) -> Result<(), InvalidGraph> {
        let source = self.vertices.get(edge.source).ok_or_else(|| malformed("an edge comes from nowhere"))?;
        let target = self.vertices.get(edge.target).ok_or_else(|| malformed("an edge leads nowhere"))?;
        if edge.source >= edge.target {
            return Err(malformed(format!("the edge from `{}` to `{}` goes backwards", source.name, target.name)));
        }
        if edge.source_operator >= source.operators.len() {
            return Err(malformed(format!("an edge comes from an operator that `{}` does not have", source.name)));
        }
        if edge.partitioner == Partitioner::Forward && source.parallelism != target.parallelism {
            return Err(InvalidGraph::ForwardParallelism {
                source_vertex: source.name.clone(),
                source_parallelism: source.parallelism,
                target_vertex: target.name.clone(),
                target_parallelism: target.parallelism,
            });
        }
        Ok(())
    }

    /// SHA-256 over everything a worker must agree on: operators, their chaining, parallelism and edges, in hex.
    ///
    /// Names of the job and its configuration are not part of it.
    pub fn fingerprint(&self) -> String {
        let structure = Self { name: String::new(), configuration: BTreeMap::new(), ..self.clone() };
        let bytes = prost::Message::encode_to_vec(&structure.to_wire_without_fingerprint());
        hex(&Sha256::digest(bytes))
    }

    /// Indices of the edges into `vertex`, in the order of its inputs.
    pub fn edges_into(&self, vertex: usize) -> impl Iterator<Item = (usize, &JobEdge)> {
        self.edges.iter().enumerate().filter(move |(_, edge)| edge.target == vertex)
    }

    /// Indices of the edges out of `vertex`.
    pub fn edges_out_of(&self, vertex: usize) -> impl Iterator<Item = (usize, &JobEdge)> {
        self.edges.iter().enumerate().filter(move |(_, edge)| edge.source == vertex)
    }

    /// The slots the job needs: per slot sharing group the largest parallelism in it.
    pub fn slots_needed(&self) -> BTreeMap<String, u32> {
        let mut needed = BTreeMap::new();
        for vertex in &self.vertices {
            let slots: &mut u32 = needed.entry(vertex.slot_sharing_group.clone()).or_default();
            *slots = (*slots).max(vertex.parallelism);
        }
        needed
    }
}

impl JobVertex {
    fn validate(&self) -> Result<(), InvalidGraph> {
        let Some(head) = self.operators.first() else {
            return Err(malformed(format!("`{}` has no operators", self.name)));
        };
        if head.input.is_some() {
            return Err(malformed(format!("the head of `{}` is chained to something", self.name)));
        }
        if self.max_parallelism == 0 || self.max_parallelism > MAX_PARALLELISM_LIMIT {
            return Err(InvalidGraph::MaxParallelism { vertex: self.name.clone(), max: self.max_parallelism });
        }
        if self.parallelism == 0 || self.parallelism > self.max_parallelism {
            return Err(InvalidGraph::Parallelism {
                vertex: self.name.clone(),
                parallelism: self.parallelism,
                max: self.max_parallelism,
            });
        }
        for (index, operator) in self.operators.iter().enumerate().skip(1) {
            match operator.input {
                Some(input) if input.operator < index && operator.role != OperatorRole::Source => {}
                _ => return Err(malformed(format!("`{}` is not chained to an earlier operator", operator.name))),
            }
        }
        Ok(())
    }

    /// The operators whose input is `operator`'s output `port`, by index.
    pub fn chained_to(&self, operator: usize, port: OutputPort) -> impl Iterator<Item = usize> {
        self.operators
            .iter()
            .enumerate()
            .filter(move |(_, node)| node.input == Some(ChainedInput { operator, port }))
            .map(|(index, _)| index)
    }
}

fn malformed(what: impl Into<String>) -> InvalidGraph {
    InvalidGraph::Malformed { what: what.into() }
}

/// Bytes as lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rescale_reader_belongs_to_exactly_one_writer_when_readers_are_more() {
        for (writers, readers) in [(1, 4), (2, 4), (2, 5), (3, 7), (4, 4)] {
            let mut seen: Vec<u32> =
                (0..writers).flat_map(|writer| Partitioner::Rescale.targets(writer, writers, readers)).collect();
            seen.sort_unstable();
            assert_eq!(seen, (0..readers).collect::<Vec<_>>(), "{writers} writers, {readers} readers");
        }
    }

    #[test]
    fn every_rescale_writer_has_one_reader_when_writers_are_more() {
        for writer in 0..5 {
            assert_eq!(Partitioner::Rescale.targets(writer, 5, 2).len(), 1);
        }
    }
}
