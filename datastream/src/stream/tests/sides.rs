//! What goes to side outputs, and with which times.

use std::collections::BTreeMap;

use pelton_runtime_core::config::Configuration;
use pelton_runtime_core::element::StreamBatch;
use pelton_runtime_core::graph::program::OperatorCode;
use pelton_runtime_core::operator::harness::OperatorHarness;

use crate::environment::StreamExecutionEnvironment;
use crate::record::{RecordBuilder, RecordReader};
use crate::stream::OutputTag;

#[test]
fn records_for_a_tag_go_to_its_port_and_those_for_an_unread_tag_are_dropped() {
    let env = StreamExecutionEnvironment::with_configuration(Configuration::from_map(BTreeMap::new()).unwrap());
    let (odd, unread) = (OutputTag::<String>::new("odd"), OutputTag::<i64>::new("unread"));
    let tags = (odd.clone(), unread.clone());
    let stream = env.from_elements([0i64]).flat_map_with_side::<i64>(move |n, out, side| {
        out.collect(n * 10);
        if n % 2 == 1 {
            side.output(&tags.0, format!("{n}"));
        }
        side.output(&tags.1, *n);
    });
    stream.get_side_output(&odd).discard();
    stream.uid("under test").discard();

    let program = env.program("job").unwrap();
    let operators = program.graph.vertices.iter().flat_map(|vertex| &vertex.operators);
    let id = operators.into_iter().find(|operator| operator.uid.is_some()).unwrap().id;
    let OperatorCode::Operator(factory) = &program.code[&id] else { panic!("no source") };
    let mut harness = OperatorHarness::open(&**factory).unwrap();
    let mut input = RecordBuilder::<i64>::new();
    input.extend([1i64, 2, 3]);
    let input = StreamBatch::new(input.finish().unwrap()).with_timestamps(Some(vec![100, 200, 300].into()));
    harness.process(input).unwrap();
    let mut output = harness.take_output().into_iter().map(|(port, element)| match element {
        pelton_runtime_core::element::StreamElement::Batch(batch) => (port, batch),
        other => panic!("{other:?}"),
    });
    let (port, main) = output.next().unwrap();
    assert_eq!((port, RecordReader::<i64>::open(main.records()).unwrap().iter().collect()), (0, vec![10, 20, 30]));
    assert_eq!(&main.timestamps().unwrap()[..], [100, 200, 300]);
    let (port, side) = output.next().unwrap();
    let texts: Vec<String> = RecordReader::open(side.records()).unwrap().iter().collect();
    assert_eq!((port, texts), (1, vec!["1".to_owned(), "3".to_owned()]));
    assert_eq!(&side.timestamps().unwrap()[..], [100, 300]);
    assert!(output.next().is_none());
}
