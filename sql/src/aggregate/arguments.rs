//! What calls read of a batch.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::compute::prep_null_mask_filter;
use pelton_runtime_core::element::{RowKind, StreamBatch};
use pelton_runtime_core::operator::{OperatorError, OperatorResult};

use super::Call;

/// The columns that calls read of a batch, and whether its rows join or leave.
#[derive(Debug, Clone, Default)]
pub(crate) struct Arguments {
    pub(super) of_calls: Vec<Argument>,
    /// 1 for rows that join, -1 for rows that leave; none: all join.
    pub(super) signs: Option<Vec<i64>>,
}

/// What one call reads.
#[derive(Debug, Clone)]
pub(super) struct Argument {
    /// Its values; none for `COUNT(*)`.
    pub(super) values: Option<ArrayRef>,
    /// The rows that count; none: all.
    pub(super) valid: Option<BooleanBuffer>,
}

impl Arguments {
    /// What `calls` read of a batch.
    pub(crate) fn read(calls: &[Call], batch: &StreamBatch) -> OperatorResult<Self> {
        let columns = batch.records().columns();
        let column = |index: usize| {
            columns.get(index).ok_or_else(|| OperatorError::data("an aggregation lacks a column that it reads"))
        };
        let mut of_calls = Vec::with_capacity(calls.len());
        for call in calls {
            let values = call.argument.map(column).transpose()?.cloned();
            let nulls = values.as_ref().and_then(|values| values.logical_nulls());
            let not_null = nulls.filter(|nulls| nulls.null_count() > 0).map(NullBuffer::into_inner);
            let passes = match call.filter {
                Some(filter) => {
                    let mask = column(filter)?.as_boolean_opt();
                    let mask = mask.ok_or_else(|| OperatorError::data("a FILTER is neither true nor false"))?;
                    Some(match mask.null_count() {
                        0 => mask.values().clone(),
                        _ => prep_null_mask_filter(mask).values().clone(),
                    })
                }
                None => None,
            };
            let valid = match (not_null, passes) {
                (Some(one), Some(other)) => Some(&one & &other),
                (one, other) => one.or(other),
            };
            of_calls.push(Argument { values, valid });
        }
        Ok(Self { of_calls, signs: signs(batch) })
    }
}

/// For every row 1 when it joins, -1 when it leaves; none when all join.
pub(crate) fn signs(batch: &StreamBatch) -> Option<Vec<i64>> {
    let kinds = batch.kinds()?;
    let leaves = |kind: &u8| *kind == RowKind::UpdateBefore as u8 || *kind == RowKind::Delete as u8;
    let signs = || kinds.iter().map(|kind| if leaves(kind) { -1 } else { 1 });
    kinds.iter().any(leaves).then(|| signs().collect())
}
