//! What keyed streams promise, operator by operator and without a cluster.

mod metrics;
mod process;
mod restarts;
mod rolling;
mod stateful_windows;
mod triggers;
mod ttl;
mod window_functions;
mod windows;

use std::sync::Arc;

use pelton_runtime_core::element::StreamBatch;
use pelton_runtime_core::operator::harness::OperatorHarness;
use pelton_runtime_core::operator::{Operator, OperatorFactory, OperatorResult, OperatorRuntime};
use pelton_runtime_core::state::cold::MemoryColdStores;
use pelton_runtime_core::time::{EpochMillis, MIN_WATERMARK};
use proptest::prelude::*;

use crate::keyed::AggregateFunction;
use crate::record::{Record, RecordBuilder, RecordReader};

#[derive(Debug, Clone, PartialEq, Record)]
pub(crate) struct Trip {
    pub(crate) driver: String,
    pub(crate) city: i32,
    pub(crate) fare: i64,
}

pub(crate) fn trip(driver: &str, city: i32, fare: i64) -> Trip {
    Trip { driver: driver.to_owned(), city, fare }
}

/// The mean of fares.
#[derive(Clone)]
struct MeanFare;

impl AggregateFunction for MeanFare {
    type In = Trip;
    type Accumulator = (i64, i64);
    type Out = f64;

    fn create_accumulator(&self) -> (i64, i64) {
        (0, 0)
    }
    fn add(&self, value: &Trip, accumulator: &mut (i64, i64)) {
        accumulator.0 += value.fare;
        accumulator.1 += 1;
    }
    fn get_result(&self, accumulator: &(i64, i64)) -> f64 {
        accumulator.0 as f64 / accumulator.1 as f64
    }
    fn merge(&self, into: &mut (i64, i64), other: &(i64, i64)) {
        into.0 += other.0;
        into.1 += other.1;
    }
}

/// A batch of records with event times.
pub(crate) fn stamped<T: Record>(rows: &[(T, EpochMillis)]) -> StreamBatch {
    let mut builder = RecordBuilder::<T>::new();
    rows.iter().for_each(|(record, _)| builder.append(record));
    let times: Vec<EpochMillis> = rows.iter().map(|(_, time)| *time).collect();
    StreamBatch::new(builder.finish().unwrap()).with_timestamps(Some(times.into()))
}

/// The records of a port with their event times; `MIN_WATERMARK` for none.
pub(crate) fn taken<U: Record>(harness: &mut OperatorHarness, port: u32) -> Vec<(U, EpochMillis)> {
    let mut all = Vec::new();
    for batch in harness.take_batches(port) {
        let reader = RecordReader::<U>::open(batch.records()).unwrap();
        let time = |row: usize| batch.timestamps().map_or(MIN_WATERMARK, |times| times[row]);
        all.extend(reader.iter().enumerate().map(|(row, record)| (record, time(row))));
    }
    all
}

/// The only instance of an operator, with state in a store below a cache of so many bytes, or on the heap.
pub(crate) fn open_in(factory: &Arc<dyn OperatorFactory>, cache: Option<usize>) -> OperatorHarness {
    let cold_stores = cache.map(|bytes| Arc::new(MemoryColdStores::new(bytes)) as _);
    OperatorHarness::open_in(factory.as_ref(), OperatorRuntime { cold_stores, ..OperatorHarness::runtime() }).unwrap()
}

/// Caches that hold nothing, some keys, or all.
pub(crate) fn caches() -> impl Strategy<Value = usize> {
    prop_oneof![Just(0), 100usize..2_000, Just(1 << 20)]
}

/// The only instance of what a program's graph holds for `name`.
pub(crate) fn harness_of(build: impl FnOnce(crate::stream::DataStream<Trip>), name: &str) -> OperatorHarness {
    OperatorHarness::open(factory_of(build, name).as_ref()).unwrap()
}

/// What a program's graph holds for `name`.
pub(crate) fn factory_of(build: impl FnOnce(crate::stream::DataStream<Trip>), name: &str) -> Arc<dyn OperatorFactory> {
    factories_of(build, name).swap_remove(0)
}

/// All that a program's graph holds for `name`, in the order in which it was described.
pub(crate) fn factories_of(
    build: impl FnOnce(crate::stream::DataStream<Trip>),
    name: &str,
) -> Vec<Arc<dyn OperatorFactory>> {
    use pelton_runtime_core::graph::program::OperatorCode;

    let env = crate::environment::StreamExecutionEnvironment::with_configuration(Default::default());
    let no_source = OperatorCode::Operator(Arc::new(|_: &OperatorRuntime| -> OperatorResult<Box<dyn Operator>> {
        unreachable!("the tests run single operators")
    }));
    build(crate::stream::DataStream::from_source(&env, "trips", no_source));
    let program = env.program("test").unwrap();
    let nodes = program.graph.vertices.iter().flat_map(|vertex| &vertex.operators);
    let factories: Vec<_> = nodes
        .filter(|node| node.name == name)
        .map(|node| match &program.code[&node.id] {
            OperatorCode::Operator(factory) => factory.clone(),
            _ => panic!("`{name}` is no operator"),
        })
        .collect();
    assert!(!factories.is_empty(), "the operator is in the graph");
    factories
}
