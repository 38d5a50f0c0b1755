use super::*;
use crate::graph::DEFAULT_SLOT_SHARING_GROUP;
use crate::id::{JobVertexId, OperatorId};
use std::collections::BTreeMap;

fn operator(byte: u8, name: &str, role: OperatorRole, chained_to: Option<usize>) -> OperatorNode {
    OperatorNode {
        id: OperatorId::from_bytes([byte; 16]),
        uid: None,
        name: name.to_owned(),
        role,
        input: chained_to.map(|operator| ChainedInput { operator, port: 0 }),
        stock: None,
    }
}

fn vertex(name: &str, operators: Vec<OperatorNode>) -> JobVertex {
    JobVertex {
        id: JobVertexId::of_head(operators[0].id),
        name: name.to_owned(),
        parallelism: 2,
        max_parallelism: 128,
        slot_sharing_group: DEFAULT_SLOT_SHARING_GROUP.to_owned(),
        operators,
    }
}

/// The job whose plan a real Flink has shown.
fn windowed_sum() -> JobGraph {
    let source = vertex(
        "Source: gen -> to-kv",
        vec![
            operator(1, "Source: gen", OperatorRole::Source, None),
            operator(2, "to-kv", OperatorRole::Transform, Some(0)),
        ],
    );
    let window = vertex(
        "window-sum -> discard: Writer",
        vec![
            operator(3, "window-sum", OperatorRole::Transform, None),
            operator(4, "discard: Writer", OperatorRole::Sink, Some(0)),
        ],
    );
    JobGraph {
        name: "stream-running".to_owned(),
        vertices: vec![source, window],
        edges: vec![JobEdge {
            source: 0,
            source_operator: 1,
            source_port: 0,
            target: 1,
            target_input: 0,
            partitioner: Partitioner::Hash { key_columns: vec!["k".to_owned()] },
        }],
        configuration: BTreeMap::new(),
    }
}

#[test]
fn a_plan_has_one_node_per_vertex_with_its_inputs() {
    let source = "01".repeat(16);
    let window = "03".repeat(16);
    let job = "00".repeat(16);
    assert_eq!(
        plan_json(&windowed_sum(), JobId::from_bytes([0; 16])),
        json!({
            "jid": job,
            "name": "stream-running",
            "type": "STREAMING",
            "nodes": [
                {
                    "id": source,
                    "parallelism": 2,
                    "operator": "",
                    "operator_strategy": "",
                    "description": "Source: gen<br/>+- to-kv<br/>",
                    "optimizer_properties": {},
                },
                {
                    "id": window,
                    "parallelism": 2,
                    "operator": "",
                    "operator_strategy": "",
                    "description": "window-sum<br/>+- discard: Writer<br/>",
                    "optimizer_properties": {},
                    "inputs": [
                        { "num": 0, "id": source, "ship_strategy": "HASH", "exchange": "pipelined_bounded" },
                    ],
                },
            ],
        })
    );
}

#[test]
fn a_stream_plan_has_one_node_per_operator() {
    let forward = |id| json!([{ "id": id, "ship_strategy": "FORWARD", "side": "second" }]);
    let hash = |id| json!([{ "id": id, "ship_strategy": "HASH", "side": "second" }]);
    assert_eq!(
        stream_plan_json(&windowed_sum()),
        json!({ "nodes": [
            { "id": 1, "type": "Source: gen", "pact": "Data Source", "contents": "Source: gen", "parallelism": 2 },
            { "id": 2, "type": "to-kv", "pact": "Operator", "contents": "to-kv", "parallelism": 2,
              "predecessors": forward(1) },
            { "id": 3, "type": "window-sum", "pact": "Operator", "contents": "window-sum", "parallelism": 2,
              "predecessors": hash(2) },
            { "id": 4, "type": "discard: Writer", "pact": "Operator", "contents": "discard: Writer",
              "parallelism": 2, "predecessors": forward(3) },
        ]})
    );
}

#[test]
fn a_branching_chain_is_drawn_as_a_tree() {
    let chain = vertex(
        "branches",
        vec![
            operator(1, "Source: a", OperatorRole::Source, None),
            operator(2, "b", OperatorRole::Transform, Some(0)),
            operator(3, "c", OperatorRole::Transform, Some(1)),
            operator(4, "d", OperatorRole::Sink, Some(1)),
            operator(5, "e", OperatorRole::Sink, Some(2)),
        ],
    );
    assert_eq!(description::of(&chain), "Source: a<br/>+- b<br/>   :- c<br/>   :  +- e<br/>   +- d<br/>");
}

#[test]
fn a_name_cannot_smuggle_html_into_the_dashboard() {
    let chain = vertex("x", vec![operator(1, "<script>\"&\"</script>", OperatorRole::Source, None)]);
    assert_eq!(description::of(&chain), "&lt;script&gt;&quot;&amp;&quot;&lt;/script&gt;<br/>");
}
