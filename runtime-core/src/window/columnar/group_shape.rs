//! What the accumulators and carried rows of a group are in a checkpoint: one struct.
//!
//! ```text
//!  { first(city), first(rider), … , sum(fare), … }
//! ```
//!
//! Fields are found by name. What the program declares decides the types that come back, as far as
//! [`adapt`](crate::state::adapt) bridges the difference; where one Rust type may be read from several Arrow types,
//! they stay what they were.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StructArray, new_null_array};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema};

use super::accumulator::{ColumnAccumulator, stored_accumulator};
use super::{AggregateCall, ColumnFunction, OutputColumn};
use crate::state::ColumnError;
use crate::state::adapt::{Incompatible, Mismatch, adapt};

/// The fields of the struct and what the program declares of them.
#[derive(Debug)]
pub(super) struct GroupShape {
    carried: Vec<Part>,
    calls: Vec<Part>,
    functions: Arc<[AggregateCall]>,
}

#[derive(Debug)]
struct Part {
    name: String,
    /// The column in the result, if its type is that of what is kept.
    declared: Option<FieldRef>,
}

impl GroupShape {
    pub(super) fn new(
        carried: &[String],
        functions: &Arc<[AggregateCall]>,
        output: &[OutputColumn],
        schema: &Schema,
    ) -> Self {
        let declared = |wanted: OutputColumn| {
            let position = output.iter().position(|column| *column == wanted)?;
            Some(schema.fields()[position].clone())
        };
        let carried = carried.iter().enumerate().map(|(index, column)| Part {
            name: format!("first({column})"),
            declared: declared(OutputColumn::Carried(index)),
        });
        let calls = functions.iter().enumerate().map(|(index, call)| Part {
            name: format!("{}({})", call.function, call.column),
            declared: match call.function {
                ColumnFunction::Count | ColumnFunction::Average => None,
                _ => declared(OutputColumn::Aggregate(index)),
            },
        });
        Self { carried: carried.collect(), calls: calls.collect(), functions: functions.clone() }
    }

    /// Whether no column is carried.
    pub(super) fn carries_nothing(&self) -> bool {
        self.carried.is_empty()
    }

    /// How many accumulators a group has.
    pub(super) fn accumulator_count(&self) -> usize {
        self.calls.len()
    }

    /// The struct of these columns.
    pub(super) fn stored(
        &self,
        carried: Vec<ArrayRef>,
        calls: Vec<ArrayRef>,
        rows: usize,
    ) -> Result<ArrayRef, ColumnError> {
        let names = self.carried.iter().chain(&self.calls).map(|part| &part.name);
        let columns: Vec<ArrayRef> = carried.into_iter().chain(calls).collect();
        let fields = names.zip(&columns).map(|(name, column)| Field::new(name, column.data_type().clone(), true));
        let fields: Fields = fields.collect();
        Ok(Arc::new(StructArray::try_new_with_length(fields, columns, None, rows)?))
    }

    /// The carried columns and those of the accumulators.
    pub(super) fn restored(&self, stored: &ArrayRef) -> Result<(Vec<ArrayRef>, Vec<ArrayRef>), ColumnError> {
        let stored = stored.as_struct_opt().ok_or(ColumnError::Corrupt { what: "there are no accumulators in it" })?;
        let parts = || self.carried.iter().chain(&self.calls);
        if let Some(gone) = stored.fields().iter().find(|field| parts().all(|part| part.name != *field.name())) {
            return Err(refused(gone.name(), Mismatch::Removed).into());
        }
        let columns = |parts: &[Part]| parts.iter().map(|part| part.column(stored)).collect::<Result<_, _>>();
        let (carried, calls) = (columns(&self.carried)?, columns(&self.calls)?);
        Ok((carried, calls))
    }

    /// Accumulators for no groups, of the kind that was stored in these columns.
    pub(super) fn accumulators(&self, stored: &[ArrayRef]) -> Result<Vec<Box<dyn ColumnAccumulator>>, ColumnError> {
        let functions = self.functions.iter().zip(stored);
        functions.map(|(call, column)| stored_accumulator(call, column.data_type())).collect()
    }
}

impl Part {
    fn column(&self, stored: &StructArray) -> Result<ArrayRef, Incompatible> {
        let declared = self.declared.as_deref();
        match (stored.column_by_name(&self.name), declared) {
            (Some(column), None) => Ok(column.clone()),
            (Some(column), Some(field)) => match adapt(column, field.data_type()) {
                Err(_) if is_same_to_records(column.data_type(), field.data_type()) => Ok(column.clone()),
                Err(Incompatible { field, mismatch }) => {
                    let name = if field.is_empty() { self.name.clone() } else { format!("{}.{field}", self.name) };
                    Err(refused(&name, mismatch))
                }
                adapted => adapted,
            },
            (None, Some(field)) if field.is_nullable() && self.name.starts_with("first(") => {
                Ok(new_null_array(field.data_type(), stored.len()))
            }
            (None, _) => Err(refused(&self.name, Mismatch::Added)),
        }
    }
}

fn refused(field: &str, mismatch: Mismatch) -> Incompatible {
    Incompatible { field: field.to_owned(), mismatch }
}

/// Whether one Rust type may be read from both.
fn is_same_to_records(one: &DataType, other: &DataType) -> bool {
    let text = |data_type: &DataType| match data_type {
        DataType::Dictionary(_, values) => values.is_string(),
        other => other.is_string(),
    };
    let timestamps = matches!((one, other), (DataType::Timestamp(a, _), DataType::Timestamp(b, _)) if a == b);
    timestamps || (text(one) && text(other)) || (one.is_binary() && other.is_binary())
}
