//! `COUNT`

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array};
use arrow::datatypes::Int64Type;
use pelton_runtime_core::operator::OperatorResult;
use pelton_runtime_core::state::{ColumnError, Slot};

use super::accumulator::{Accumulator, Counted, OTHER_ACCUMULATORS, same_kind};

/// How many rows count.
#[derive(Default)]
pub(super) struct Count {
    counts: Vec<i64>,
}

impl Accumulator for Count {
    fn grow(&mut self, slots: usize) {
        if slots > self.counts.len() {
            self.counts.resize(slots, 0);
        }
    }

    fn add(&mut self, _values: Option<&ArrayRef>, rows: &Counted<'_>) -> OperatorResult {
        rows.each(|_, slot, sign| self.counts[slot] += sign);
        Ok(())
    }

    fn merge(&mut self, from: &dyn Accumulator, pairs: &[(Slot, Slot)]) {
        let from: &Self = same_kind(from);
        for (target, source) in pairs {
            self.counts[*target as usize] += from.counts[*source as usize];
        }
    }

    fn merge_within(&mut self, target: Slot, source: Slot) {
        self.counts[target as usize] += std::mem::take(&mut self.counts[source as usize]);
    }

    fn results(&self, of: &[Slot]) -> OperatorResult<ArrayRef> {
        Ok(Arc::new(Int64Array::from_iter_values(of.iter().map(|slot| self.counts[*slot as usize]))))
    }

    fn stored(&self, of: &[Slot]) -> Result<ArrayRef, ColumnError> {
        Ok(Arc::new(Int64Array::from_iter_values(of.iter().map(|slot| self.counts[*slot as usize]))))
    }

    fn restore(&mut self, slots: &[Slot], stored: &ArrayRef) -> Result<(), ColumnError> {
        let stored = stored.as_primitive_opt::<Int64Type>().ok_or(OTHER_ACCUMULATORS)?;
        slots.iter().zip(stored.values()).for_each(|(slot, count)| self.counts[*slot as usize] = *count);
        Ok(())
    }

    fn clear(&mut self, slots: &[Slot]) {
        slots.iter().for_each(|slot| self.counts[*slot as usize] = 0);
    }

    fn slot_bytes(&self) -> usize {
        size_of::<i64>()
    }
}
