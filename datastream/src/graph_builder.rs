//! Collects what a program describes and turns it into a [`Program`]: chains operators, names vertices, gives ids.
//!
//! ```text
//!  StreamNode ─► StreamNode ─► …   one per operator, as the program says it
//!        └──── chaining ────┘
//!          JobVertex ──► JobVertex  one per task
//! ```
//!
//! Owns no types of rows: a node's code is an erased factory. Two builds of the same program give the same graph, ids
//! and fingerprint included, because nothing here depends on time, addresses or hash order.
//!
//! An operator's id is the digest of its `uid`. Without one it is the digest of its place: its inputs' ids, its name
//! and how many equal siblings came before it. So a change in one branch of a program leaves the ids of the others.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use pelton_runtime_core::graph::program::{OperatorCode, PartitionFunction, Program};
use pelton_runtime_core::graph::slot_resources::SlotResources;
use pelton_runtime_core::graph::{
    ChainedInput, DEFAULT_SLOT_SHARING_GROUP, InvalidGraph, JobEdge, JobGraph, JobVertex, OperatorNode, OperatorRole,
    Partitioner,
};
use pelton_runtime_core::id::{JobVertexId, OperatorId};
use pelton_runtime_core::key_group::default_max_parallelism;
use pelton_runtime_core::operator::{InputIndex, OutputPort};
use pelton_runtime_core::results::ServedResults;
use pelton_runtime_core::state::cold::ColdBackend;
use sha2::{Digest, Sha256};

/// Index of a node in its graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(usize);

/// Whether an operator may share a task with its input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ChainingStrategy {
    /// Yes, and its outputs with it.
    #[default]
    Always,
    /// It begins a chain: its outputs may share its task.
    Head,
    /// It is alone in its task.
    Never,
}

/// Where a node's input comes from.
#[derive(Debug, Clone)]
pub struct NodeInput {
    /// The writing node.
    pub node: NodeId,
    /// Which of its outputs.
    pub port: OutputPort,
    /// Which input of the reader; several edges of one input are a union.
    pub input: InputIndex,
    /// Who gets which record; absent: forward where the parallelism allows it, otherwise rebalance.
    pub partitioner: Option<Partitioner>,
}

/// One operator, as the program describes it.
#[derive(Debug, Clone)]
pub struct StreamNode {
    /// What people call it; sources and sinks carry `Source: ` and `Sink: `.
    pub name: String,
    /// The user's own name for its state.
    pub uid: Option<String>,
    /// Its place in the data flow.
    pub role: OperatorRole,
    /// Absent: the environment's.
    pub parallelism: Option<u32>,
    /// Absent: the environment's, or derived from the parallelism.
    pub max_parallelism: Option<u32>,
    /// Absent: that of its inputs when they agree, otherwise `default`.
    pub slot_sharing_group: Option<String>,
    /// What that group asks of its slots, if it was said here.
    pub slot_resources: Option<SlotResources>,
    /// Whether it may share a task with its input.
    pub chaining: ChainingStrategy,
    /// Empty for sources.
    pub inputs: Vec<NodeInput>,
    /// What it does.
    pub code: OperatorCode,
    /// What it holds for the program, if it is a sink that does.
    pub results: Option<ServedResults>,
    /// The source whose records it gives times and watermarks: for people both are one, so they share a task where they can.
    pub source: Option<NodeId>,
}

impl StreamNode {
    /// A node with this name, role, inputs and code, and nothing else set.
    pub fn new(name: impl Into<String>, role: OperatorRole, inputs: Vec<NodeInput>, code: OperatorCode) -> Self {
        Self {
            name: name.into(),
            uid: None,
            role,
            parallelism: None,
            max_parallelism: None,
            slot_sharing_group: None,
            slot_resources: None,
            chaining: ChainingStrategy::Always,
            inputs,
            code,
            results: None,
            source: None,
        }
    }
}

/// What holds for nodes that say nothing themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GraphDefaults {
    /// Parallelism.
    pub parallelism: u32,
    /// Maximum parallelism; absent: derived from each node's parallelism.
    pub max_parallelism: Option<u32>,
    /// Whether operators share tasks at all.
    pub chaining: bool,
    /// Whether operators of different maximum parallelism share tasks; the task then has its head's.
    pub chain_different_max_parallelism: bool,
}

/// The operators of a program, in the order they were described.
#[derive(Debug, Default)]
pub struct StreamGraph {
    nodes: Vec<StreamNode>,
    partitioners: Vec<PartitionFunction>,
}

impl StreamGraph {
    /// Adds a node. Its inputs are nodes of this graph, so a graph has no cycles.
    pub fn add(&mut self, node: StreamNode) -> NodeId {
        self.nodes.push(node);
        NodeId(self.nodes.len() - 1)
    }

    /// Adds the function of a custom partitioner.
    pub fn add_partitioner(&mut self, function: PartitionFunction) -> Partitioner {
        self.partitioners.push(function);
        Partitioner::Custom { function: self.partitioners.len() as u32 - 1 }
    }

    /// The node, to be changed: its name, uid, parallelism and so on may be set after it was added.
    pub fn node_mut(&mut self, id: NodeId) -> &mut StreamNode {
        &mut self.nodes[id.0]
    }

    /// The node.
    pub fn node(&self, id: NodeId) -> &StreamNode {
        &self.nodes[id.0]
    }

    /// Whether nothing was added yet.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// The program: a valid graph and the code of its operators.
    ///
    /// # Errors
    ///
    /// When the graph cannot be run, for instance because two operators have one uid.
    pub fn build(
        &self,
        name: &str,
        defaults: &GraphDefaults,
        configuration: BTreeMap<String, String>,
    ) -> Result<Program, InvalidGraph> {
        let resolved = self.resolve(defaults);
        let ids = self.operator_ids();
        let mut vertices: Vec<JobVertex> = Vec::new();
        // Where every node ended up: its vertex and its index among the vertex's operators.
        let mut places: Vec<(usize, usize)> = Vec::new();
        let mut edges = Vec::new();
        for (index, node) in self.nodes.iter().enumerate() {
            let operator = |input| OperatorNode {
                id: ids[index],
                uid: node.uid.clone(),
                name: node.name.clone(),
                role: node.role,
                input,
                stock: None,
            };
            if let Some(input) = self.chained_input(index, &resolved, defaults) {
                let (vertex, position) = places[input.node.0];
                let operators = &mut vertices[vertex].operators;
                operators.push(operator(Some(ChainedInput { operator: position, port: input.port })));
                places.push((vertex, operators.len() - 1));
                continue;
            }
            for input in &node.inputs {
                let (source, source_operator) = places[input.node.0];
                edges.push(JobEdge {
                    source,
                    source_operator,
                    source_port: input.port,
                    target: vertices.len(),
                    target_input: input.input,
                    partitioner: partitioner(input, &resolved[input.node.0], &resolved[index]),
                });
            }
            places.push((vertices.len(), 0));
            vertices.push(JobVertex {
                id: JobVertexId::of_head(ids[index]),
                name: String::new(),
                parallelism: resolved[index].parallelism,
                max_parallelism: resolved[index].max_parallelism,
                slot_sharing_group: resolved[index].slot_sharing_group.clone(),
                operators: vec![operator(None)],
            });
        }
        for vertex in &mut vertices {
            vertex.name = chain_name(vertex, 0);
        }
        let graph = JobGraph { name: name.to_owned(), vertices, edges, configuration };
        graph.validate()?;
        let slot_resources = self.slot_resources()?;
        let results = ids.iter().zip(&self.nodes).filter_map(|(id, node)| Some((*id, node.results.clone()?))).collect();
        let code = ids.into_iter().zip(self.nodes.iter().map(|node| node.code.clone())).collect::<HashMap<_, _>>();
        let partitioners = self.partitioners.clone();
        Ok(Program { graph, code, partitioners, cold_backend: cold_backend(), slot_resources, results })
    }

    /// What groups ask of their slots.
    fn slot_resources(&self) -> Result<BTreeMap<String, SlotResources>, InvalidGraph> {
        let mut known = BTreeMap::new();
        for node in &self.nodes {
            if let (Some(group), Some(resources)) = (&node.slot_sharing_group, node.slot_resources)
                && known.insert(group.clone(), resources).is_some_and(|before| before != resources)
            {
                return Err(InvalidGraph::GroupResources { group: group.clone() });
            }
        }
        Ok(known)
    }

    /// What every node gets, from itself, its inputs and the defaults.
    fn resolve(&self, defaults: &GraphDefaults) -> Vec<Resolved> {
        let mut resolved: Vec<Resolved> = Vec::with_capacity(self.nodes.len());
        for (index, node) in self.nodes.iter().enumerate() {
            let parallelism = node.parallelism.unwrap_or(defaults.parallelism);
            let max_parallelism = node
                .max_parallelism
                .or(defaults.max_parallelism)
                .unwrap_or_else(|| default_max_parallelism(parallelism));
            let own_group = node.slot_sharing_group.clone();
            let group = own_group.or_else(|| self.reader_of(index)?.slot_sharing_group.clone());
            let slot_sharing_group = group.unwrap_or_else(|| {
                let mut groups = node.inputs.iter().map(|input| &resolved[input.node.0].slot_sharing_group);
                match groups.next() {
                    Some(first) if groups.all(|group| group == first) => first.clone(),
                    _ => DEFAULT_SLOT_SHARING_GROUP.to_owned(),
                }
            });
            resolved.push(Resolved { parallelism, max_parallelism, slot_sharing_group });
        }
        resolved
    }

    /// The source that reads the splits of a node which enumerates them.
    fn reader_of(&self, enumerator: usize) -> Option<&StreamNode> {
        let reads = |node: &&StreamNode| {
            node.role == OperatorRole::Source && node.inputs.iter().any(|input| input.node.0 == enumerator)
        };
        self.nodes.iter().skip(enumerator + 1).find(reads)
    }

    /// The uid of a node that is a part of somebody's source: of who enumerates its splits, or gives its records times.
    fn uid_of_source(&self, index: usize) -> Option<String> {
        if let Some(source) = self.nodes[index].source {
            return self.nodes[source.0].uid.as_ref().map(|uid| format!("{uid} (watermarks)"));
        }
        self.reader_of(index)?.uid.as_ref().map(|uid| format!("{uid} (enumerator)"))
    }

    fn operator_ids(&self) -> Vec<OperatorId> {
        let mut ids: Vec<OperatorId> = Vec::with_capacity(self.nodes.len());
        let mut siblings: BTreeMap<[u8; 16], u32> = BTreeMap::new();
        for (index, node) in self.nodes.iter().enumerate() {
            let id = match node.uid.clone().or_else(|| self.uid_of_source(index)) {
                Some(uid) => digest(|hasher| {
                    hasher.update(b"uid");
                    hasher.update(uid);
                }),
                None => {
                    let place = digest(|hasher| {
                        hasher.update(b"place");
                        hasher.update((node.name.len() as u64).to_le_bytes());
                        hasher.update(&node.name);
                        for input in &node.inputs {
                            hasher.update(ids[input.node.0].as_bytes());
                            hasher.update(input.port.to_le_bytes());
                            hasher.update(input.input.to_le_bytes());
                        }
                    });
                    let ordinal = siblings.entry(place).or_default();
                    *ordinal += 1;
                    digest(|hasher| {
                        hasher.update(place);
                        hasher.update(ordinal.to_le_bytes());
                    })
                }
            };
            ids.push(OperatorId::from_bytes(id));
        }
        ids
    }

    /// The input that a node is chained to, if it may be.
    fn chained_input(&self, index: usize, resolved: &[Resolved], defaults: &GraphDefaults) -> Option<&NodeInput> {
        let node = &self.nodes[index];
        let [input] = node.inputs.as_slice() else { return None };
        let upstream = &self.nodes[input.node.0];
        let may_chain = defaults.chaining
            && node.chaining == ChainingStrategy::Always
            && upstream.chaining != ChainingStrategy::Never;
        let chained = (may_chain || node.source == Some(input.node))
            && matches!(input.partitioner, None | Some(Partitioner::Forward))
            && resolved[index].chains_to(&resolved[input.node.0], defaults);
        chained.then_some(input)
    }
}

#[derive(Debug)]
struct Resolved {
    parallelism: u32,
    max_parallelism: u32,
    slot_sharing_group: String,
}

impl Resolved {
    fn chains_to(&self, upstream: &Self, defaults: &GraphDefaults) -> bool {
        self.parallelism == upstream.parallelism
            && self.slot_sharing_group == upstream.slot_sharing_group
            && (self.max_parallelism == upstream.max_parallelism || defaults.chain_different_max_parallelism)
    }
}

fn partitioner(input: &NodeInput, from: &Resolved, to: &Resolved) -> Partitioner {
    input.partitioner.clone().unwrap_or(if from.parallelism == to.parallelism {
        Partitioner::Forward
    } else {
        Partitioner::Rebalance
    })
}

/// `A -> B` for one chained operator, `A -> (B, C)` for several.
fn chain_name(vertex: &JobVertex, operator: usize) -> String {
    let chained: Vec<String> = vertex
        .operators
        .iter()
        .enumerate()
        .filter(|(_, node)| node.input.is_some_and(|input| input.operator == operator))
        .map(|(child, _)| chain_name(vertex, child))
        .collect();
    let name = &vertex.operators[operator].name;
    match chained.as_slice() {
        [] => name.clone(),
        [only] => format!("{name} -> {only}"),
        several => format!("{name} -> ({})", several.join(", ")),
    }
}

fn digest(write: impl FnOnce(&mut Sha256)) -> [u8; 16] {
    let mut hasher = Sha256::new();
    write(&mut hasher);
    let mut id = [0; 16];
    id.copy_from_slice(&hasher.finalize()[..16]);
    id
}

/// The store that the program was built with.
fn cold_backend() -> Option<Arc<dyn ColdBackend>> {
    #[cfg(feature = "rocksdb")]
    return Some(Arc::new(pelton_state_rocksdb::RocksDb));
    #[cfg(not(feature = "rocksdb"))]
    None
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use pelton_runtime_core::operator::{OperatorError, OperatorFactory, OperatorRuntime};

    use super::*;

    const DEFAULTS: GraphDefaults =
        GraphDefaults { parallelism: 2, max_parallelism: None, chaining: true, chain_different_max_parallelism: true };

    fn code() -> OperatorCode {
        fn refuse(_: &OperatorRuntime) -> Result<Box<dyn pelton_runtime_core::operator::Operator>, OperatorError> {
            Err(OperatorError::data("never created"))
        }
        OperatorCode::Operator(Arc::new(refuse) as Arc<dyn OperatorFactory>)
    }

    fn from(node: NodeId) -> NodeInput {
        NodeInput { node, port: 0, input: 0, partitioner: None }
    }

    fn node(graph: &mut StreamGraph, name: &str, inputs: Vec<NodeInput>) -> NodeId {
        let role = match (inputs.is_empty(), name.starts_with("Sink")) {
            (true, _) => OperatorRole::Source,
            (_, true) => OperatorRole::Sink,
            _ => OperatorRole::Transform,
        };
        graph.add(StreamNode::new(name, role, inputs, code()))
    }

    fn vertex_names(graph: &StreamGraph, defaults: &GraphDefaults) -> Vec<String> {
        let program = graph.build("job", defaults, BTreeMap::new()).unwrap();
        program.graph.vertices.into_iter().map(|vertex| vertex.name).collect()
    }

    #[test]
    fn operators_chain_into_a_tree_until_records_are_partitioned() {
        let mut graph = StreamGraph::default();
        let source = node(&mut graph, "Source: Numbers", vec![]);
        let map = node(&mut graph, "Map", vec![from(source)]);
        node(&mut graph, "Filter", vec![from(map)]);
        let hash = Partitioner::Hash { key_columns: vec!["k".into()] };
        let keyed = NodeInput { partitioner: Some(hash), ..from(map) };
        let sum = node(&mut graph, "Sum", vec![keyed]);
        node(&mut graph, "Sink: Print", vec![from(sum)]);
        node(&mut graph, "Sink: Files", vec![from(source)]);
        assert_eq!(
            vertex_names(&graph, &DEFAULTS),
            ["Source: Numbers -> (Map -> Filter, Sink: Files)", "Sum -> Sink: Print"]
        );
        let alone = GraphDefaults { chaining: false, ..DEFAULTS };
        assert_eq!(vertex_names(&graph, &alone).len(), 6);
    }

    #[test]
    fn a_different_parallelism_ends_a_chain_and_rebalances() {
        let mut graph = StreamGraph::default();
        let source = node(&mut graph, "Source: Numbers", vec![]);
        let sink = node(&mut graph, "Sink: Print", vec![from(source)]);
        graph.node_mut(sink).parallelism = Some(1);
        let program = graph.build("job", &DEFAULTS, BTreeMap::new()).unwrap();
        assert_eq!(program.graph.edges[0].partitioner, Partitioner::Rebalance);
    }

    #[test]
    fn ids_of_one_branch_survive_changes_in_another() {
        let ids = |with_branch: bool| {
            let mut graph = StreamGraph::default();
            let source = node(&mut graph, "Source: Numbers", vec![]);
            if with_branch {
                node(&mut graph, "Filter", vec![from(source)]);
            }
            let map = node(&mut graph, "Map", vec![from(source)]);
            node(&mut graph, "Map", vec![from(source)]);
            (graph.operator_ids()[map.0], graph.operator_ids())
        };
        assert_eq!(ids(false).0, ids(true).0);
        let mut all = ids(true).1;
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 4, "equal siblings have ids of their own");
    }

    #[test]
    fn who_enumerates_splits_follows_their_reader() {
        let ids = |uid: &str, more: bool| {
            let mut graph = StreamGraph::default();
            if more {
                node(&mut graph, "Source: Others", vec![]);
            }
            let enumerator = node(&mut graph, "Source: Files (enumerator)", vec![]);
            let splits = NodeInput { partitioner: Some(Partitioner::Broadcast), ..from(enumerator) };
            let code = code();
            let reader = graph.add(StreamNode::new("Source: Files", OperatorRole::Source, vec![splits], code));
            graph.node_mut(reader).uid = Some(uid.to_owned());
            graph.node_mut(reader).slot_sharing_group = Some("files".to_owned());
            graph.node_mut(enumerator).parallelism = Some(1);
            let program = graph.build("job", &DEFAULTS, BTreeMap::new()).unwrap();
            let vertices = &program.graph.vertices[usize::from(more)..];
            assert_eq!(vertices.iter().map(|vertex| vertex.parallelism).collect::<Vec<_>>(), [1, 2]);
            assert!(vertices.iter().all(|vertex| vertex.slot_sharing_group == "files"));
            graph.operator_ids()[enumerator.0]
        };
        assert_eq!(ids("a", false), ids("a", true), "its state is found by the uid of its reader");
        assert_ne!(ids("a", false), ids("b", false));
    }

    #[test]
    fn two_operators_with_one_uid_are_refused_by_name() {
        let mut graph = StreamGraph::default();
        let source = node(&mut graph, "Source: Numbers", vec![]);
        for name in ["Map", "Filter"] {
            let id = node(&mut graph, name, vec![from(source)]);
            graph.node_mut(id).uid = Some("same".to_owned());
        }
        let error = graph.build("job", &DEFAULTS, BTreeMap::new()).unwrap_err().to_string();
        assert!(error.contains("`Map` and `Filter`") && error.contains("uid"), "{error}");
    }

    #[test]
    fn the_same_program_has_the_same_fingerprint() {
        let fingerprint = || {
            let mut graph = StreamGraph::default();
            let source = node(&mut graph, "Source: Numbers", vec![]);
            node(&mut graph, "Sink: Print", vec![from(source)]);
            graph.build("job", &DEFAULTS, BTreeMap::new()).unwrap().graph.fingerprint()
        };
        assert_eq!(fingerprint(), fingerprint());
    }
}
