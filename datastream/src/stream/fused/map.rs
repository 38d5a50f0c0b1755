//! One result per row.

use std::marker::PhantomData;
use std::sync::Arc;

use arrow::array::RecordBatch;
use pelton_runtime_core::operator::OperatorResult;

use crate::record::Record;

use super::chunk::Target;
use super::input::Input;
use super::{More, Stage};

/// Calls the closure for every row.
pub(super) struct Map<I, F, T, U> {
    input: I,
    f: Arc<F>,
    types: PhantomData<fn(&T) -> U>,
}

impl<I, F, T, U> Map<I, F, T, U> {
    pub(super) fn new(input: I, f: Arc<F>) -> Self {
        Self { input, f, types: PhantomData }
    }
}

impl<I, F, T, U> Stage<U> for Map<I, F, T, U>
where
    I: Input<T>,
    F: Fn(&T) -> OperatorResult<U> + Send + Sync,
    T: Record,
    U: Record,
{
    fn open(&mut self, batch: &RecordBatch) -> OperatorResult {
        self.input.open(batch)
    }

    fn step(&mut self, target: &mut Target<'_, U>) -> OperatorResult<More> {
        let f = &*self.f;
        match target {
            Target::Chunk(chunk) => self.input.visit(|row, origin| {
                chunk.push(f(row)?, origin);
                Ok(())
            }),
            Target::Columns(columns) => self.input.visit(|row, origin| {
                columns.push(&f(row)?, origin);
                Ok(())
            }),
            Target::Origins(origins) => self.input.visit(|row, origin| {
                f(row)?;
                origins.push(origin);
                Ok(())
            }),
        }
    }
}
