//! The JobGraph on the wire.

use pelton_proto as proto;

use super::{BadMessage, id, required};
use crate::graph::{
    ChainedInput, InvalidGraph, JobEdge, JobGraph, JobVertex, OperatorNode, OperatorRole, Partitioner, StockOperator,
};

impl JobGraph {
    /// The graph as the wire carries it, with its fingerprint.
    pub fn to_wire(&self) -> proto::JobGraph {
        proto::JobGraph { fingerprint: self.fingerprint(), ..self.to_wire_without_fingerprint() }
    }

    pub(crate) fn to_wire_without_fingerprint(&self) -> proto::JobGraph {
        proto::JobGraph {
            name: self.name.clone(),
            vertices: self.vertices.iter().map(vertex_to_wire).collect(),
            edges: self.edges.iter().map(edge_to_wire).collect(),
            configuration: self.configuration.clone(),
            fingerprint: String::new(),
        }
    }

    /// The graph of a message, valid and with the fingerprint that the message claims.
    ///
    /// # Errors
    ///
    /// When the message is incomplete, the graph cannot be run, or its fingerprint is another.
    pub fn from_wire(message: proto::JobGraph) -> Result<Self, BadMessage> {
        let claimed = message.fingerprint;
        let graph = Self {
            name: message.name,
            vertices: message.vertices.into_iter().map(vertex_from_wire).collect::<Result<_, _>>()?,
            edges: message.edges.into_iter().map(edge_from_wire).collect::<Result<_, _>>()?,
            configuration: message.configuration,
        };
        graph.validate()?;
        let actual = graph.fingerprint();
        if actual != claimed {
            let what = format!("its fingerprint is {actual}, the message says `{claimed}`");
            return Err(InvalidGraph::Malformed { what }.into());
        }
        Ok(graph)
    }
}

fn vertex_to_wire(vertex: &JobVertex) -> proto::JobVertex {
    proto::JobVertex {
        id: vertex.id.to_wire(),
        name: vertex.name.clone(),
        parallelism: vertex.parallelism,
        max_parallelism: vertex.max_parallelism,
        slot_sharing_group: vertex.slot_sharing_group.clone(),
        operators: vertex.operators.iter().map(operator_to_wire).collect(),
    }
}

fn vertex_from_wire(vertex: proto::JobVertex) -> Result<JobVertex, BadMessage> {
    Ok(JobVertex {
        id: id(&vertex.id, "vertex.id")?,
        name: vertex.name,
        parallelism: vertex.parallelism,
        max_parallelism: vertex.max_parallelism,
        slot_sharing_group: vertex.slot_sharing_group,
        operators: vertex.operators.into_iter().map(operator_from_wire).collect::<Result<_, _>>()?,
    })
}

fn operator_to_wire(operator: &OperatorNode) -> proto::OperatorNode {
    let role = match operator.role {
        OperatorRole::Source => proto::OperatorRole::Source,
        OperatorRole::Transform => proto::OperatorRole::Transform,
        OperatorRole::Sink => proto::OperatorRole::Sink,
    };
    proto::OperatorNode {
        id: operator.id.to_wire(),
        uid: operator.uid.clone(),
        name: operator.name.clone(),
        role: role.into(),
        input: operator.input.map(|input| proto::ChainedInput {
            // A vertex has far fewer operators than that; a graph that has more fails validation on arrival.
            operator: u32::try_from(input.operator).unwrap_or(u32::MAX),
            port: input.port,
        }),
        stock: operator
            .stock
            .as_ref()
            .map(|stock| proto::StockOperator { kind: stock.kind.clone(), payload: stock.payload.clone() }),
    }
}

fn operator_from_wire(operator: proto::OperatorNode) -> Result<OperatorNode, BadMessage> {
    let role = match operator.role() {
        proto::OperatorRole::Source => OperatorRole::Source,
        proto::OperatorRole::Transform => OperatorRole::Transform,
        proto::OperatorRole::Sink => OperatorRole::Sink,
        proto::OperatorRole::Unspecified => {
            return Err(BadMessage::Unknown { field: "operator.role", value: operator.role.to_string() });
        }
    };
    Ok(OperatorNode {
        id: id(&operator.id, "operator.id")?,
        uid: operator.uid,
        name: operator.name,
        role,
        input: operator.input.map(|input| ChainedInput { operator: input.operator as usize, port: input.port }),
        stock: operator.stock.map(|stock| StockOperator { kind: stock.kind, payload: stock.payload }),
    })
}

fn edge_to_wire(edge: &JobEdge) -> proto::JobEdge {
    use proto::partitioner::Kind;
    let kind = match &edge.partitioner {
        Partitioner::Forward => Kind::Forward(proto::Unit {}),
        Partitioner::Rebalance => Kind::Rebalance(proto::Unit {}),
        Partitioner::Rescale => Kind::Rescale(proto::Unit {}),
        Partitioner::Shuffle => Kind::Shuffle(proto::Unit {}),
        Partitioner::Broadcast => Kind::Broadcast(proto::Unit {}),
        Partitioner::Global => Kind::Global(proto::Unit {}),
        Partitioner::Custom { function } => Kind::Custom(*function),
        Partitioner::Hash { key_columns } => Kind::Hash(proto::HashPartitioner { key_columns: key_columns.clone() }),
    };
    let index = |index: usize| u32::try_from(index).unwrap_or(u32::MAX);
    proto::JobEdge {
        source_vertex: index(edge.source),
        source_operator: index(edge.source_operator),
        source_port: edge.source_port,
        target_vertex: index(edge.target),
        target_input: edge.target_input,
        partitioner: Some(proto::Partitioner { kind: Some(kind) }),
    }
}

fn edge_from_wire(edge: proto::JobEdge) -> Result<JobEdge, BadMessage> {
    use proto::partitioner::Kind;
    let partitioner = required(edge.partitioner, "edge.partitioner")?;
    let partitioner = match required(partitioner.kind, "edge.partitioner.kind")? {
        Kind::Forward(_) => Partitioner::Forward,
        Kind::Rebalance(_) => Partitioner::Rebalance,
        Kind::Rescale(_) => Partitioner::Rescale,
        Kind::Shuffle(_) => Partitioner::Shuffle,
        Kind::Broadcast(_) => Partitioner::Broadcast,
        Kind::Global(_) => Partitioner::Global,
        Kind::Custom(function) => Partitioner::Custom { function },
        Kind::Hash(hash) => Partitioner::Hash { key_columns: hash.key_columns },
    };
    Ok(JobEdge {
        source: edge.source_vertex as usize,
        source_operator: edge.source_operator as usize,
        source_port: edge.source_port,
        target: edge.target_vertex as usize,
        target_input: edge.target_input,
        partitioner,
    })
}
