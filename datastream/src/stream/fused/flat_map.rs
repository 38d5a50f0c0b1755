//! Any number of results per row.

use std::marker::PhantomData;
use std::sync::Arc;

use arrow::array::RecordBatch;
use pelton_runtime_core::operator::OperatorResult;

use crate::record::{Record, RecordBuilder};
use crate::stream::Collector;

use super::chunk::{Chunk, Target};
use super::input::Input;
use super::{More, Stage};

/// Calls the closure for every row with a place for its results.
pub(super) struct FlatMap<I, F, T, U> {
    input: I,
    f: Arc<F>,
    types: PhantomData<fn(&T) -> U>,
}

impl<I, F, T, U> FlatMap<I, F, T, U> {
    pub(super) fn new(input: I, f: Arc<F>) -> Self {
        Self { input, f, types: PhantomData }
    }
}

impl<I, F, T, U> Stage<U> for FlatMap<I, F, T, U>
where
    I: Input<T>,
    F: Fn(&T, &mut Collector<'_, U>) -> OperatorResult + Send + Sync,
    T: Record,
    U: Record,
{
    fn open(&mut self, batch: &RecordBatch) -> OperatorResult {
        self.input.open(batch)
    }

    fn step(&mut self, target: &mut Target<'_, U>) -> OperatorResult<More> {
        let f = &*self.f;
        match target {
            Target::Chunk(chunk) => self.input.visit(|row, origin| f(row, &mut Collector::chunk(chunk, origin))),
            Target::Columns(columns) => self.input.visit(|row, origin| {
                let builder: &mut RecordBuilder<U> = &mut columns.builder;
                f(row, &mut Collector::columns(builder))?;
                columns.came_from(origin);
                Ok(())
            }),
            Target::Origins(origins) => {
                let mut chunk = Chunk::new();
                let more = self.input.visit(|row, origin| f(row, &mut Collector::chunk(&mut chunk, origin)))?;
                origins.extend(chunk.iter().map(|(_, origin)| origin));
                Ok(more)
            }
        }
    }
}
