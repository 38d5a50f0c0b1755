//! `SUM` and `AVG`

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, Int64Array, PrimitiveArray};
use arrow::compute::cast;
use arrow::datatypes::{ArrowNativeTypeOp, DataType, Decimal128Type, Float64Type, Int64Type};
use pelton_runtime_core::operator::OperatorResult;
use pelton_runtime_core::state::{ColumnError, Slot};

use super::accumulator::{Accumulator, Counted, OTHER_ACCUMULATORS, same_kind, with_counts};

/// One more than the largest number of 38 digits.
const DECIMAL_LIMIT: i128 = 10_i128.pow(38);

/// Sums that wrap around, with the number of values in them; of none it is NULL.
pub(super) struct Sum<T: ArrowPrimitiveType> {
    result: DataType,
    sums: Vec<T::Native>,
    counts: Vec<i64>,
}

impl<T: ArrowPrimitiveType> Sum<T>
where
    T::Native: ArrowNativeTypeOp,
{
    pub(super) fn new(result: &DataType) -> Self {
        Self { result: result.clone(), sums: Vec::new(), counts: Vec::new() }
    }

    fn values(&self, of: &[Slot]) -> PrimitiveArray<T> {
        let sum = |slot: &Slot| {
            let slot = *slot as usize;
            (self.counts[slot] != 0).then(|| self.sums[slot])
        };
        of.iter().map(sum).collect()
    }
}

impl<T: ArrowPrimitiveType> Accumulator for Sum<T>
where
    T::Native: ArrowNativeTypeOp,
{
    fn grow(&mut self, slots: usize) {
        if slots > self.sums.len() {
            self.sums.resize(slots, T::Native::ZERO);
            self.counts.resize(slots, 0);
        }
    }

    fn add(&mut self, values: Option<&ArrayRef>, rows: &Counted<'_>) -> OperatorResult {
        let Some(values) = values else { return Ok(()) };
        let values = values.as_primitive::<T>().values();
        rows.each(|row, slot, sign| {
            let sum = self.sums[slot];
            self.sums[slot] = if sign > 0 { sum.add_wrapping(values[row]) } else { sum.sub_wrapping(values[row]) };
            self.counts[slot] += sign;
        });
        Ok(())
    }

    fn merge(&mut self, from: &dyn Accumulator, pairs: &[(Slot, Slot)]) {
        let from: &Self = same_kind(from);
        for (target, source) in pairs {
            let (target, source) = (*target as usize, *source as usize);
            self.sums[target] = self.sums[target].add_wrapping(from.sums[source]);
            self.counts[target] += from.counts[source];
        }
    }

    fn merge_within(&mut self, target: Slot, source: Slot) {
        let (target, source) = (target as usize, source as usize);
        self.sums[target] = self.sums[target].add_wrapping(std::mem::replace(&mut self.sums[source], T::Native::ZERO));
        self.counts[target] += std::mem::take(&mut self.counts[source]);
    }

    fn results(&self, of: &[Slot]) -> OperatorResult<ArrayRef> {
        let sums = self.values(of);
        if let Some(sums) = (&sums as &dyn Array).as_primitive_opt::<Decimal128Type>() {
            // What has more digits than there are is NULL, as in Flink.
            let fits = |sum: Option<i128>| sum.filter(|sum| sum.unsigned_abs() < DECIMAL_LIMIT.unsigned_abs());
            let sums: PrimitiveArray<Decimal128Type> = sums.iter().map(fits).collect();
            return Ok(Arc::new(sums.with_data_type(self.result.clone())));
        }
        Ok(Arc::new(sums.with_data_type(self.result.clone())))
    }

    fn stored(&self, of: &[Slot]) -> Result<ArrayRef, ColumnError> {
        let sums = of.iter().map(|slot| self.sums[*slot as usize]);
        let sums = PrimitiveArray::<T>::from_iter_values(sums).with_data_type(self.result.clone());
        let counts = Int64Array::from_iter_values(of.iter().map(|slot| self.counts[*slot as usize]));
        with_counts(Arc::new(sums), counts)
    }

    fn restore(&mut self, slots: &[Slot], stored: &ArrayRef) -> Result<(), ColumnError> {
        let column = |name| stored.as_struct_opt().and_then(|parts| parts.column_by_name(name));
        let sums = column("value").and_then(|column| column.as_primitive_opt::<T>());
        let counts = column("count").and_then(|column| column.as_primitive_opt::<Int64Type>());
        let (Some(sums), Some(counts)) = (sums, counts) else { return Err(OTHER_ACCUMULATORS) };
        for (row, slot) in slots.iter().enumerate() {
            self.sums[*slot as usize] = sums.value(row);
            self.counts[*slot as usize] = counts.value(row);
        }
        Ok(())
    }

    fn clear(&mut self, slots: &[Slot]) {
        for slot in slots {
            self.sums[*slot as usize] = T::Native::ZERO;
            self.counts[*slot as usize] = 0;
        }
    }

    fn slot_bytes(&self) -> usize {
        size_of::<T::Native>() + size_of::<i64>()
    }
}

/// A number that has a mean.
pub(super) trait Mean: ArrowPrimitiveType {
    /// The sum divided by the count, which is not 0, as a number that has `more` digits after the point than the sum.
    fn mean(sum: Self::Native, count: i64, more: u32) -> Option<Self::Native>;
}

impl Mean for Int64Type {
    fn mean(sum: i64, count: i64, _more: u32) -> Option<i64> {
        Some(sum.wrapping_div(count))
    }
}

impl Mean for Float64Type {
    fn mean(sum: f64, count: i64, _more: u32) -> Option<f64> {
        Some(sum / count as f64)
    }
}

impl Mean for Decimal128Type {
    /// Rounded half up; nothing when the sum has too many digits.
    fn mean(sum: i128, count: i64, more: u32) -> Option<i128> {
        let scaled = sum.checked_mul(10_i128.checked_pow(more)?)?;
        let count = i128::from(count);
        let (quotient, rest) = (scaled / count, scaled % count);
        let up = match rest.abs() * 2 >= count.abs() {
            true if (rest < 0) == (count < 0) => 1,
            true => -1,
            false => 0,
        };
        Some(quotient + up)
    }
}

/// The mean: a sum and a count, divided at the end.
pub(super) struct Average<T: ArrowPrimitiveType> {
    sum: Sum<T>,
    /// How many digits more than the sum the result has.
    more: u32,
    result: DataType,
}

impl<T: Mean> Average<T>
where
    T::Native: ArrowNativeTypeOp,
{
    pub(super) fn new(input: &DataType, result: &DataType) -> Self {
        let more = match (input, result) {
            (DataType::Decimal128(_, from), DataType::Decimal128(_, to)) => {
                u32::from((to - from).max(0).unsigned_abs())
            }
            _ => 0,
        };
        let sum = match input {
            DataType::Decimal128(_, scale) => DataType::Decimal128(38, *scale),
            other => other.clone(),
        };
        Self { sum: Sum::new(&sum), more, result: result.clone() }
    }
}

impl<T: Mean> Accumulator for Average<T>
where
    T::Native: ArrowNativeTypeOp,
{
    fn grow(&mut self, slots: usize) {
        self.sum.grow(slots);
    }

    fn add(&mut self, values: Option<&ArrayRef>, rows: &Counted<'_>) -> OperatorResult {
        self.sum.add(values, rows)
    }

    fn merge(&mut self, from: &dyn Accumulator, pairs: &[(Slot, Slot)]) {
        self.sum.merge(&same_kind::<Self>(from).sum, pairs);
    }

    fn merge_within(&mut self, target: Slot, source: Slot) {
        self.sum.merge_within(target, source);
    }

    fn results(&self, of: &[Slot]) -> OperatorResult<ArrayRef> {
        let mean = |slot: &Slot| {
            let slot = *slot as usize;
            let (sum, count) = (self.sum.sums[slot], self.sum.counts[slot]);
            if count == 0 { None } else { T::mean(sum, count, self.more) }
        };
        let means: PrimitiveArray<T> = of.iter().map(mean).collect();
        match self.result {
            DataType::Decimal128(..) => Ok(Arc::new(means.with_data_type(self.result.clone()))),
            _ => Ok(cast(&means, &self.result)?),
        }
    }

    fn stored(&self, of: &[Slot]) -> Result<ArrayRef, ColumnError> {
        self.sum.stored(of)
    }

    fn restore(&mut self, slots: &[Slot], stored: &ArrayRef) -> Result<(), ColumnError> {
        self.sum.restore(slots, stored)
    }

    fn clear(&mut self, slots: &[Slot]) {
        self.sum.clear(slots);
    }

    fn slot_bytes(&self) -> usize {
        self.sum.slot_bytes()
    }
}
