//! A graph as Flink's JSON shows it: the job's plan for REST and the dashboard, the program's for `client info`.
//!
//! Both are pictures for people and their tools. Nothing reads a graph back from them.

mod description;

use serde_json::{Value, json};

use super::{ChainedInput, JobEdge, JobGraph, JobVertex, OperatorNode, OperatorRole, Partitioner};
use crate::id::JobId;

/// The job graph, one node per vertex: what `/jobs/:jobid/plan` holds under `plan`.
pub fn plan_json(graph: &JobGraph, job: JobId) -> Value {
    let nodes: Vec<Value> = (0..graph.vertices.len()).map(|vertex| vertex_node(graph, vertex)).collect();
    json!({
        "jid": job.to_string(),
        "name": graph.name,
        "type": "STREAMING",
        "nodes": nodes,
    })
}

fn vertex_node(graph: &JobGraph, index: usize) -> Value {
    let vertex = &graph.vertices[index];
    let mut node = json!({
        "id": vertex.id.to_string(),
        "parallelism": vertex.parallelism,
        "operator": "",
        "operator_strategy": "",
        "description": description::of(vertex),
        "optimizer_properties": {},
    });
    let inputs: Vec<Value> = graph
        .edges_into(index)
        .enumerate()
        .map(|(number, (_, edge))| {
            json!({
                "num": number,
                "id": graph.vertices[edge.source].id.to_string(),
                "ship_strategy": edge.partitioner.ship_strategy(),
                "exchange": "pipelined_bounded",
            })
        })
        .collect();
    if !inputs.is_empty() {
        node["inputs"] = Value::Array(inputs);
    }
    node
}

/// The program's operators before they are chained, one node each: what `client info` prints.
///
/// Operators are numbered from 1 in the graph's order.
pub fn stream_plan_json(graph: &JobGraph) -> Value {
    let first_numbers = first_numbers(graph);
    let mut nodes = Vec::new();
    for (vertex_index, vertex) in graph.vertices.iter().enumerate() {
        for (operator_index, operator) in vertex.operators.iter().enumerate() {
            let predecessors = match operator.input {
                Some(ChainedInput { operator, .. }) => {
                    vec![predecessor(first_numbers[vertex_index] + operator, Partitioner::Forward.ship_strategy())]
                }
                None => graph
                    .edges_into(vertex_index)
                    .map(|(_, edge)| predecessor(writer(&first_numbers, edge), edge.partitioner.ship_strategy()))
                    .collect(),
            };
            let number = first_numbers[vertex_index] + operator_index;
            nodes.push(operator_node(vertex, operator, number, predecessors));
        }
    }
    json!({ "nodes": nodes })
}

fn operator_node(vertex: &JobVertex, operator: &OperatorNode, number: usize, predecessors: Vec<Value>) -> Value {
    // A sink's writer is an operator like others there, as in Flink, whose "Data Sink" are sinks of before 2.0.
    let pact = match operator.role {
        OperatorRole::Source => "Data Source",
        OperatorRole::Transform | OperatorRole::Sink => "Operator",
    };
    let mut node = json!({
        "id": number,
        "type": operator.name,
        "pact": pact,
        "contents": operator.name,
        "parallelism": vertex.parallelism,
    });
    if !predecessors.is_empty() {
        node["predecessors"] = Value::Array(predecessors);
    }
    node
}

fn predecessor(number: usize, ship_strategy: &str) -> Value {
    json!({ "id": number, "ship_strategy": ship_strategy, "side": "second" })
}

fn writer(first_numbers: &[usize], edge: &JobEdge) -> usize {
    first_numbers[edge.source] + edge.source_operator
}

/// The number of each vertex's head.
fn first_numbers(graph: &JobGraph) -> Vec<usize> {
    let mut next = 1;
    graph
        .vertices
        .iter()
        .map(|vertex| {
            let first = next;
            next += vertex.operators.len();
            first
        })
        .collect()
}

#[cfg(test)]
mod tests;
