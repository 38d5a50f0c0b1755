//! A run of `map`, `filter` and `flat_map` closures as one operator.
//!
//! ```text
//!  columns ─► first closure ─► chunk of rows ─► next closure ─► … ─► last closure ─► columns
//!      one loop per closure and chunk; both ends of every loop are compiled for the closure's types
//! ```
//!
//! A chunk holds a few hundred rows, small enough for the cache, and its rows are overwritten rather than
//! reallocated. Dynamic dispatch happens once per chunk and closure, never per row. With a single closure there is no
//! chunk: its loop reads columns and writes columns. A run of filters writes no columns at all: it selects from the
//! batch it was given.
//!
//! [`Fused`] is the description, shared by all subtasks; its [`Blueprint`]s make the [`Stage`]s of one instance.
//! Every row carries its origin, the number of the row of the input batch that it comes from; event times follow it.

mod chunk;
mod filter;
mod flat_map;
mod input;
mod map;
mod operator;

use std::sync::Arc;

use arrow::array::RecordBatch;
use pelton_runtime_core::operator::{Operator, OperatorFactory, OperatorResult, OperatorRuntime};

use crate::record::Record;

use self::filter::{FilterChunks, FilterColumns};
use self::flat_map::FlatMap;
use self::input::{ColumnsInput, StageInput};
use self::map::Map;
use self::operator::{FusedOperator, Shape};

use super::Collector;

pub(super) use chunk::Chunk;
pub(crate) use chunk::Target;

/// Rows of a chunk that is read from columns.
const CHUNK_ROWS: usize = 256;

/// Whether a batch has more to give.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum More {
    Yes,
    No,
}

/// One closure of a run, with everything before it: an instance, which belongs to one subtask.
pub(crate) trait Stage<T: Record>: Send {
    /// Begins with a batch.
    fn open(&mut self, batch: &RecordBatch) -> OperatorResult;

    /// Gives the results of the next chunk of the batch to `target`.
    fn step(&mut self, target: &mut Target<'_, T>) -> OperatorResult<More>;
}

/// Makes the instances of a stage.
trait Blueprint<T: Record>: Send + Sync {
    fn stage(&self) -> Box<dyn Stage<T>>;
}

impl<T: Record, F: Fn() -> Box<dyn Stage<T>> + Send + Sync> Blueprint<T> for F {
    fn stage(&self) -> Box<dyn Stage<T>> {
        self()
    }
}

/// A run of closures that makes records of type `T`.
pub(super) struct Fused<T: Record> {
    names: Vec<&'static str>,
    shape: Shape,
    /// None before the first closure: records come straight from the columns.
    last: Option<Arc<dyn Blueprint<T>>>,
}

impl<T: Record> Fused<T> {
    /// No closure yet.
    pub(super) fn start() -> Self {
        Self { names: Vec::new(), shape: Shape::Selection, last: None }
    }

    /// The closures' names, joined as those of chained operators.
    pub(super) fn name(&self) -> String {
        self.names.join(" -> ")
    }

    /// One result per record.
    pub(super) fn map<U, F>(self, f: F) -> Fused<U>
    where
        U: Record,
        F: Fn(&T) -> OperatorResult<U> + Send + Sync + 'static,
    {
        let f = Arc::new(f);
        let shape = match (self.shape, &self.last) {
            (Shape::Selection, None) | (Shape::OneToOne, _) => Shape::OneToOne,
            _ => Shape::Any,
        };
        self.then("Map", shape, move |before| match before {
            None => Box::new(Map::new(ColumnsInput::new(), f.clone())),
            Some(stage) => Box::new(Map::new(StageInput::new(stage), f.clone())),
        })
    }

    /// The records for which `f` holds.
    pub(super) fn filter<F>(self, f: F) -> Self
    where
        F: Fn(&T) -> OperatorResult<bool> + Send + Sync + 'static,
    {
        let f = Arc::new(f);
        let shape = if self.shape == Shape::Selection { Shape::Selection } else { Shape::Any };
        self.then("Filter", shape, move |before| match before {
            None => Box::new(FilterColumns::new(f.clone())),
            Some(stage) => Box::new(FilterChunks::new(stage, f.clone())),
        })
    }

    /// Any number of results per record.
    pub(super) fn flat_map<U, F>(self, f: F) -> Fused<U>
    where
        U: Record,
        F: Fn(&T, &mut Collector<'_, U>) -> OperatorResult + Send + Sync + 'static,
    {
        let f = Arc::new(f);
        self.then("Flat Map", Shape::Any, move |before| match before {
            None => Box::new(FlatMap::new(ColumnsInput::new(), f.clone())),
            Some(stage) => Box::new(FlatMap::new(StageInput::new(stage), f.clone())),
        })
    }

    /// The operator's factory.
    ///
    /// # Panics
    ///
    /// Before the first closure, when there is nothing to run.
    pub(super) fn factory(&self) -> Arc<dyn OperatorFactory> {
        let last = self.last.clone().expect("a stream fuses from its first closure on");
        let shape = self.shape;
        Arc::new(move |_: &OperatorRuntime| -> OperatorResult<Box<dyn Operator>> {
            Ok(Box::new(FusedOperator::new(last.stage(), shape)))
        })
    }

    fn then<U: Record>(
        mut self,
        name: &'static str,
        shape: Shape,
        stage: impl Fn(Option<Box<dyn Stage<T>>>) -> Box<dyn Stage<U>> + Send + Sync + 'static,
    ) -> Fused<U> {
        self.names.push(name);
        let before = self.last;
        let blueprint = move || stage(before.as_ref().map(|before| before.stage()));
        Fused { names: self.names, shape, last: Some(Arc::new(blueprint)) }
    }
}
