//! A list per subtask.

use std::marker::PhantomData;

use arrow::array::RecordBatch;
use pelton_runtime_core::checkpoint::snapshot::Redistribution;
use pelton_runtime_core::state::{ColumnError, StateError};

use crate::keyed::{State, States};
use crate::record::{Record, VALUE_COLUMN};
use crate::state_codec::{codec, column_of, rows_of};

use super::store::Contents;
use super::{Handle, OperatorStateAccess, OperatorStateAccessMut};

/// A list per subtask, whose elements are given out anew after a restart.
///
/// ```
/// # use pelton::testing::Harness;
/// # fn main() -> Result<(), pelton::testing::TestError> {
/// # let mut harness = Harness::new();
/// use pelton::keyed::{FunctionResult, OpenContext, ProcessContext, ProcessFunction};
/// use pelton::operator_state::{OperatorListState, StateContext};
/// use pelton::stream::Collector;
///
/// /// Passes texts by threes. Those that wait are kept in a field, and in the state when a checkpoint is taken.
/// #[derive(Clone)]
/// struct Threes {
///     waiting: Vec<String>,
///     saved: OperatorListState<String>,
/// }
///
/// impl ProcessFunction for Threes {
///     type In = String;
///     type Out = String;
///
///     fn open(&mut self, ctx: &mut OpenContext<'_>) -> FunctionResult {
///         ctx.register(&mut self.saved)
///     }
///
///     fn process_element(
///         &mut self,
///         text: &String,
///         _ctx: &mut ProcessContext<'_>,
///         out: &mut Collector<'_, String>,
///     ) -> FunctionResult {
///         self.waiting.push(text.clone());
///         if self.waiting.len() == 3 {
///             out.collect(self.waiting.drain(..).collect::<Vec<_>>().join(" "));
///         }
///         Ok(())
///     }
///
///     fn snapshot_state(&mut self, ctx: &mut StateContext<'_>) -> FunctionResult {
///         Ok(self.saved.update(ctx, self.waiting.clone())?)
///     }
///
///     fn restore_state(&mut self, ctx: &mut StateContext<'_>) -> FunctionResult {
///         self.waiting = self.saved.get(ctx)?.to_vec();
///         Ok(())
///     }
/// }
///
/// let (texts, input) = harness.source::<String>();
/// let threes = texts.process(Threes { waiting: Vec::new(), saved: OperatorListState::split("waiting") });
/// let threes = harness.collect(threes);
/// harness.push_untimed(&input, ["to", "be"])?;
/// harness.restart()?;
/// harness.push_untimed(&input, ["or"])?;
/// assert_eq!(threes.take_records(), ["to be or"]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct OperatorListState<V: Record> {
    handle: Handle,
    redistribution: Redistribution,
    values: PhantomData<fn() -> V>,
}

impl<V: Record> OperatorListState<V> {
    /// The state of this name, of which every element goes to one subtask after a restart.
    pub fn split(name: &str) -> Self {
        Self { handle: Handle::new(name), redistribution: Redistribution::Split, values: PhantomData }
    }

    /// The state of this name, of which every subtask gets the elements of all after a restart.
    pub fn union(name: &str) -> Self {
        Self { handle: Handle::new(name), redistribution: Redistribution::Union, values: PhantomData }
    }

    /// The subtask's list.
    ///
    /// # Errors
    ///
    /// When the state is not registered.
    pub fn get<'c>(&self, ctx: &'c impl OperatorStateAccess) -> Result<&'c [V], StateError> {
        Ok(&self.handle.contents::<List<V>>(ctx)?.0)
    }

    /// Appends to the subtask's list.
    ///
    /// # Errors
    ///
    /// When the state is not registered.
    pub fn add(&self, ctx: &mut impl OperatorStateAccessMut, value: V) -> Result<(), StateError> {
        self.modify(ctx, |list| list.push(value))
    }

    /// Replaces the subtask's list.
    ///
    /// # Errors
    ///
    /// When the state is not registered.
    pub fn update(&self, ctx: &mut impl OperatorStateAccessMut, values: Vec<V>) -> Result<(), StateError> {
        self.modify(ctx, |list| *list = values)
    }

    /// Gives the subtask's list to `change`; answers what `change` does.
    ///
    /// # Errors
    ///
    /// When the state is not registered.
    pub fn modify<R>(
        &self,
        ctx: &mut impl OperatorStateAccessMut,
        change: impl FnOnce(&mut Vec<V>) -> R,
    ) -> Result<R, StateError> {
        let place = self.handle.place()?;
        Ok(change(&mut ctx.operator_states_mut().contents_mut::<List<V>>(place).0))
    }

    /// Empties the subtask's list.
    ///
    /// # Errors
    ///
    /// When the state is not registered.
    pub fn clear(&self, ctx: &mut impl OperatorStateAccessMut) -> Result<(), StateError> {
        self.update(ctx, Vec::new())
    }
}

impl<V: Record> State for OperatorListState<V> {
    fn register(&mut self, states: &mut States<'_>) -> Result<(), StateError> {
        let contents = Box::new(List::<V>(Vec::new()));
        self.handle.place = Some(states.operator.register(&self.handle.name, self.redistribution, contents)?);
        Ok(())
    }
}

struct List<V>(Vec<V>);

impl<V: Record> Contents for List<V> {
    fn rows(&self) -> Result<RecordBatch, ColumnError> {
        let values: Vec<Option<&V>> = self.0.iter().map(Some).collect();
        rows_of([(VALUE_COLUMN, codec::<V>().encode(&values)?)])
    }

    fn restore(&mut self, rows: &RecordBatch) -> Result<(), ColumnError> {
        let values = codec::<V>().decode(column_of(rows, VALUE_COLUMN)?)?;
        for value in values {
            self.0.push(value.ok_or(ColumnError::Corrupt { what: "a list has an element without a value" })?);
        }
        Ok(())
    }
}
