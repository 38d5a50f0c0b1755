//! What streams become in the graph.

use std::collections::BTreeMap;
use std::sync::Arc;

use pelton_runtime_core::config::Configuration;
use pelton_runtime_core::graph::program::OperatorCode;
use pelton_runtime_core::graph::{JobGraph, Partitioner};
use pelton_runtime_core::operator::{OperatorError, OperatorResult, OperatorRuntime};
use pelton_runtime_core::source::{Boundedness, SourceFactory, SourceReader};

use crate::environment::StreamExecutionEnvironment;
use crate::stream::{DataStream, OutputTag, SideOutputs};

struct NoSource;

impl SourceFactory for NoSource {
    fn boundedness(&self) -> Boundedness {
        Boundedness::Bounded
    }

    fn create(&self, _: &OperatorRuntime) -> OperatorResult<Box<dyn SourceReader>> {
        Err(OperatorError::data("only its place in the graph matters"))
    }
}

fn environment() -> StreamExecutionEnvironment {
    StreamExecutionEnvironment::with_configuration(Configuration::from_map(BTreeMap::new()).unwrap())
}

fn numbers(env: &StreamExecutionEnvironment) -> DataStream<i64> {
    DataStream::from_source(env, "Source: Numbers", OperatorCode::Source(Arc::new(NoSource)))
}

/// Ends a stream with an operator that is not fused.
fn end(stream: DataStream<i64>) {
    let code = |_: &OperatorRuntime| Err(OperatorError::data("only its place in the graph matters"));
    stream.add_sink("End", Arc::new(code));
}

fn graph(env: &StreamExecutionEnvironment) -> JobGraph {
    env.program("job").unwrap().graph
}

fn vertices(env: &StreamExecutionEnvironment) -> Vec<String> {
    graph(env).vertices.into_iter().map(|vertex| vertex.name).collect()
}

fn operators(env: &StreamExecutionEnvironment) -> Vec<String> {
    graph(env).vertices.into_iter().flat_map(|vertex| vertex.operators).map(|operator| operator.name).collect()
}

#[test]
fn a_run_of_closures_is_one_operator() {
    let env = environment();
    end(numbers(&env).map(|n| n + 1).filter(|n| *n > 1).flat_map(|n, out| out.collect(*n)));
    assert_eq!(operators(&env), ["Source: Numbers", "Map -> Filter -> Flat Map", "Sink: End"]);
    assert_eq!(vertices(&env), ["Source: Numbers -> Map -> Filter -> Flat Map -> Sink: End"]);
}

#[test]
fn a_branch_runs_what_is_before_it_once() {
    let env = environment();
    let mapped = numbers(&env).map(|n| n + 1);
    end(mapped.clone().filter(|n| *n > 1));
    end(mapped.map(|n| n + 2));
    assert_eq!(operators(&env), ["Source: Numbers", "Map", "Filter", "Sink: End", "Map", "Sink: End"]);
}

#[test]
fn settings_end_a_run_and_belong_to_it() {
    let env = environment();
    end(numbers(&env).map(|n| n + 1).filter(|n| *n > 1).name("Mine").uid("mine").map(|n| n + 1));
    assert_eq!(operators(&env), ["Source: Numbers", "Mine", "Map", "Sink: End"]);
    let graph = graph(&env);
    let uids: Vec<_> = graph.vertices[0].operators.iter().map(|operator| operator.uid.as_deref()).collect();
    assert_eq!(uids, [None, Some("mine"), None, None]);
}

#[test]
fn a_partitioner_ends_a_run_and_a_task() {
    let env = environment();
    end(numbers(&env).map(|n| n + 1).rebalance().map(|n| n + 2));
    assert_eq!(vertices(&env), ["Source: Numbers -> Map", "Map -> Sink: End"]);
    assert_eq!(graph(&env).edges[0].partitioner, Partitioner::Rebalance);
}

#[test]
fn a_union_reads_all_its_streams_on_one_input() {
    let env = environment();
    let (a, b) = (numbers(&env), numbers(&env).map(|n| -n));
    end(a.union([b.rescale()]).map(|n| n + 1));
    assert_eq!(vertices(&env), ["Source: Numbers", "Source: Numbers -> Map", "Map -> Sink: End"]);
    let edges: Vec<_> =
        graph(&env).edges.into_iter().map(|edge| (edge.source, edge.target_input, edge.partitioner)).collect();
    assert_eq!(edges, [(0, 0, Partitioner::Forward), (1, 0, Partitioner::Rescale)]);
}

#[test]
fn side_outputs_have_ports_in_the_order_they_are_asked_for() {
    let env = environment();
    let side = SideOutputs::default();
    let stream = numbers(&env).with_side_outputs(side);
    let (late, odd) = (OutputTag::<i64>::new("late"), OutputTag::<String>::new("odd"));
    end(stream.get_side_output(&odd).map(|text| text.len() as i64));
    end(stream.get_side_output(&late));
    end(stream.get_side_output(&late));
    end(stream);
    let ports: Vec<_> = graph(&env).vertices[0].operators.iter().map(|node| node.input.map(|from| from.port)).collect();
    assert_eq!(ports, [None, Some(1), Some(0), Some(2), Some(2), Some(0)]);
}

#[test]
#[should_panic(expected = "`name` configures an operator, but a union is none")]
fn a_union_has_no_name() {
    let env = environment();
    let _ = numbers(&env).union([numbers(&env)]).name("both");
}
