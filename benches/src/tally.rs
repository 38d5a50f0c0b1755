//! What a job's results come to: how many there are, and their sum.

use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use pelton::record::Record;
use pelton::sinks::Sink;
use pelton_runtime_core::element::StreamBatch;
use pelton_runtime_core::operator::{
    Finish, InputIndex, Operator, OperatorContext, OperatorFactory, OperatorResult, OperatorRuntime,
};

/// The number of results and the sum of one of their columns.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many there are.
    pub rows: u64,
    /// Their sum, wrapping around.
    pub sum: i64,
}

impl Tally {
    /// Adds one result.
    #[inline]
    pub fn add(&mut self, value: i64) {
        self.rows += 1;
        self.sum = self.sum.wrapping_add(value);
    }
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} results with sum {}", self.rows, self.sum)
    }
}

/// Takes a stream's records and prints the tally of a column of type `i64` when the stream ends.
#[derive(Debug)]
pub struct TallySink(pub &'static str);

impl<T: Record> Sink<T> for TallySink {
    fn into_factory(self) -> Arc<dyn OperatorFactory> {
        Arc::new(move |_: &OperatorRuntime| -> OperatorResult<Box<dyn Operator>> {
            Ok(Box::new(Tallying { column: self.0, tally: Tally::default() }))
        })
    }
}

struct Tallying {
    column: &'static str,
    tally: Tally,
}

impl Operator for Tallying {
    fn process(&mut self, _: InputIndex, batch: StreamBatch, _: &mut OperatorContext<'_>) -> OperatorResult {
        let column =
            batch.records().column_by_name(self.column).and_then(|column| column.as_primitive_opt::<Int64Type>());
        let values = column.expect("the benchmark sums a column that it has").values();
        self.tally.rows += values.len() as u64;
        self.tally.sum = values.iter().fold(self.tally.sum, |sum, value| sum.wrapping_add(*value));
        Ok(())
    }

    fn finish(&mut self, _: &mut OperatorContext<'_>) -> OperatorResult<Finish> {
        println!("{}", self.tally);
        Ok(Finish::Done)
    }
}
