//! What keyed streams promise, operator by operator and without a cluster.

mod process;
mod restarts;
mod rolling;
mod windows;

use std::sync::Arc;

use pelton_runtime_core::element::StreamBatch;
use pelton_runtime_core::operator::harness::OperatorHarness;
use pelton_runtime_core::operator::{Operator, OperatorFactory, OperatorResult, OperatorRuntime};
use pelton_runtime_core::time::{EpochMillis, MIN_WATERMARK};

use crate::record::{Record, RecordBuilder, RecordReader};

#[derive(Debug, Clone, PartialEq, Record)]
struct Trip {
    driver: String,
    city: i32,
    fare: i64,
}

fn trip(driver: &str, city: i32, fare: i64) -> Trip {
    Trip { driver: driver.to_owned(), city, fare }
}

/// A batch of records with event times.
fn stamped<T: Record>(rows: &[(T, EpochMillis)]) -> StreamBatch {
    let mut builder = RecordBuilder::<T>::new();
    rows.iter().for_each(|(record, _)| builder.append(record));
    let times: Vec<EpochMillis> = rows.iter().map(|(_, time)| *time).collect();
    StreamBatch::new(builder.finish().unwrap()).with_timestamps(Some(times.into()))
}

/// The records of a port with their event times; `MIN_WATERMARK` for none.
fn taken<U: Record>(harness: &mut OperatorHarness, port: u32) -> Vec<(U, EpochMillis)> {
    let mut all = Vec::new();
    for batch in harness.take_batches(port) {
        let reader = RecordReader::<U>::open(batch.records()).unwrap();
        let time = |row: usize| batch.timestamps().map_or(MIN_WATERMARK, |times| times[row]);
        all.extend(reader.iter().enumerate().map(|(row, record)| (record, time(row))));
    }
    all
}

/// The only instance of what a program's graph holds for `name`.
fn harness_of(build: impl FnOnce(crate::stream::DataStream<Trip>), name: &str) -> OperatorHarness {
    OperatorHarness::open(factory_of(build, name).as_ref()).unwrap()
}

/// The operators of a program's only vertices, by name: what the graph holds for `name`.
fn factory_of(build: impl FnOnce(crate::stream::DataStream<Trip>), name: &str) -> Arc<dyn OperatorFactory> {
    use pelton_runtime_core::graph::program::OperatorCode;

    let env = crate::environment::StreamExecutionEnvironment::with_configuration(Default::default());
    let no_source = OperatorCode::Operator(Arc::new(|_: &OperatorRuntime| -> OperatorResult<Box<dyn Operator>> {
        unreachable!("the tests run single operators")
    }));
    build(crate::stream::DataStream::from_source(&env, "trips", no_source));
    let program = env.program("test").unwrap();
    let nodes = program.graph.vertices.iter().flat_map(|vertex| &vertex.operators);
    let id = nodes.filter(|node| node.name == name).map(|node| node.id).next().expect("the operator is in the graph");
    match &program.code[&id] {
        OperatorCode::Operator(factory) => factory.clone(),
        _ => panic!("`{name}` is no operator"),
    }
}
