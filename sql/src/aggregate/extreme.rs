//! `MIN` and `MAX` of rows that only join.

use std::marker::PhantomData;
use std::sync::Arc;

use arrow::array::{ArrayRef, ArrowPrimitiveType, AsArray, BinaryArray, PrimitiveArray};
use arrow::compute::cast;
use arrow::datatypes::{ArrowNativeTypeOp, DataType};
use pelton_runtime_core::operator::OperatorResult;
use pelton_runtime_core::state::{ColumnError, Slot};

use super::accumulator::{Accumulator, Counted, OTHER_ACCUMULATORS, same_kind, two};

/// Which of two values stays.
pub(super) trait Order: Send + 'static {
    fn number_wins<N: ArrowNativeTypeOp>(challenger: N, holder: N) -> bool;
    fn bytes_win(challenger: &[u8], holder: &[u8]) -> bool;
}

pub(super) struct Least;
pub(super) struct Greatest;

impl Order for Least {
    #[inline(always)]
    fn number_wins<N: ArrowNativeTypeOp>(challenger: N, holder: N) -> bool {
        challenger.is_lt(holder)
    }
    #[inline(always)]
    fn bytes_win(challenger: &[u8], holder: &[u8]) -> bool {
        challenger < holder
    }
}

impl Order for Greatest {
    #[inline(always)]
    fn number_wins<N: ArrowNativeTypeOp>(challenger: N, holder: N) -> bool {
        challenger.is_gt(holder)
    }
    #[inline(always)]
    fn bytes_win(challenger: &[u8], holder: &[u8]) -> bool {
        challenger > holder
    }
}

/// The least or greatest number or time.
pub(super) struct Extreme<T: ArrowPrimitiveType, O> {
    data_type: DataType,
    values: Vec<Option<T::Native>>,
    order: PhantomData<fn() -> O>,
}

impl<T: ArrowPrimitiveType, O: Order> Extreme<T, O>
where
    T::Native: ArrowNativeTypeOp,
{
    pub(super) fn new(data_type: &DataType) -> Self {
        Self { data_type: data_type.clone(), values: Vec::new(), order: PhantomData }
    }

    #[inline(always)]
    fn challenge(holder: &mut Option<T::Native>, challenger: T::Native) {
        match holder {
            Some(holder) if !O::number_wins(challenger, *holder) => {}
            holder => *holder = Some(challenger),
        }
    }

    fn values(&self, of: &[Slot]) -> ArrayRef {
        let values: PrimitiveArray<T> = of.iter().map(|slot| self.values[*slot as usize]).collect();
        Arc::new(values.with_data_type(self.data_type.clone()))
    }
}

impl<T: ArrowPrimitiveType, O: Order> Accumulator for Extreme<T, O>
where
    T::Native: ArrowNativeTypeOp,
{
    fn grow(&mut self, slots: usize) {
        if slots > self.values.len() {
            self.values.resize(slots, None);
        }
    }

    fn add(&mut self, values: Option<&ArrayRef>, rows: &Counted<'_>) -> OperatorResult {
        let Some(values) = values else { return Ok(()) };
        let values = values.as_primitive::<T>().values();
        rows.each(|row, slot, _| Self::challenge(&mut self.values[slot], values[row]));
        Ok(())
    }

    fn merge(&mut self, from: &dyn Accumulator, pairs: &[(Slot, Slot)]) {
        let from: &Self = same_kind(from);
        for (target, source) in pairs {
            if let Some(value) = from.values[*source as usize] {
                Self::challenge(&mut self.values[*target as usize], value);
            }
        }
    }

    fn merge_within(&mut self, target: Slot, source: Slot) {
        if let Some(value) = self.values[source as usize].take() {
            Self::challenge(&mut self.values[target as usize], value);
        }
    }

    fn results(&self, of: &[Slot]) -> OperatorResult<ArrayRef> {
        Ok(self.values(of))
    }

    fn stored(&self, of: &[Slot]) -> Result<ArrayRef, ColumnError> {
        Ok(self.values(of))
    }

    fn restore(&mut self, slots: &[Slot], stored: &ArrayRef) -> Result<(), ColumnError> {
        let stored = stored.as_primitive_opt::<T>().ok_or(OTHER_ACCUMULATORS)?;
        slots.iter().zip(stored).for_each(|(slot, value)| self.values[*slot as usize] = value);
        Ok(())
    }

    fn clear(&mut self, slots: &[Slot]) {
        slots.iter().for_each(|slot| self.values[*slot as usize] = None);
    }

    fn slot_bytes(&self) -> usize {
        size_of::<Option<T::Native>>()
    }
}

/// The least or greatest text or bytes, by the order of their bytes.
pub(super) struct ByteExtreme<O> {
    data_type: DataType,
    values: Vec<Option<Box<[u8]>>>,
    order: PhantomData<fn() -> O>,
}

impl<O: Order> ByteExtreme<O> {
    pub(super) fn new(data_type: &DataType) -> Self {
        Self { data_type: data_type.clone(), values: Vec::new(), order: PhantomData }
    }

    fn challenge(holder: &mut Option<Box<[u8]>>, challenger: &[u8]) {
        match holder {
            Some(holder) if !O::bytes_win(challenger, holder) => {}
            holder => *holder = Some(challenger.into()),
        }
    }

    fn bytes(&self, of: &[Slot]) -> BinaryArray {
        of.iter().map(|slot| self.values[*slot as usize].as_deref()).collect()
    }
}

impl<O: Order> Accumulator for ByteExtreme<O> {
    fn grow(&mut self, slots: usize) {
        if slots > self.values.len() {
            self.values.resize(slots, None);
        }
    }

    fn add(&mut self, values: Option<&ArrayRef>, rows: &Counted<'_>) -> OperatorResult {
        let Some(values) = values else { return Ok(()) };
        let slots = &mut self.values;
        match values.as_string_opt::<i32>() {
            Some(texts) => rows.each(|row, slot, _| Self::challenge(&mut slots[slot], texts.value(row).as_bytes())),
            None => {
                let bytes = values.as_binary::<i32>();
                rows.each(|row, slot, _| Self::challenge(&mut slots[slot], bytes.value(row)));
            }
        }
        Ok(())
    }

    fn merge(&mut self, from: &dyn Accumulator, pairs: &[(Slot, Slot)]) {
        let from: &Self = same_kind(from);
        for (target, source) in pairs {
            if let Some(value) = &from.values[*source as usize] {
                Self::challenge(&mut self.values[*target as usize], value);
            }
        }
    }

    fn merge_within(&mut self, target: Slot, source: Slot) {
        if let Some((target, source)) = two(&mut self.values, target, source)
            && let Some(value) = source.take()
        {
            Self::challenge(target, &value);
        }
    }

    fn results(&self, of: &[Slot]) -> OperatorResult<ArrayRef> {
        // These bytes were text when that is what they become.
        Ok(cast(&self.bytes(of), &self.data_type)?)
    }

    fn stored(&self, of: &[Slot]) -> Result<ArrayRef, ColumnError> {
        Ok(Arc::new(self.bytes(of)))
    }

    fn restore(&mut self, slots: &[Slot], stored: &ArrayRef) -> Result<(), ColumnError> {
        let stored = stored.as_binary_opt::<i32>().ok_or(OTHER_ACCUMULATORS)?;
        slots.iter().zip(stored).for_each(|(slot, value)| self.values[*slot as usize] = value.map(Into::into));
        Ok(())
    }

    fn clear(&mut self, slots: &[Slot]) {
        slots.iter().for_each(|slot| self.values[*slot as usize] = None);
    }

    fn slot_bytes(&self) -> usize {
        size_of::<Option<Box<[u8]>>>()
    }

    fn add_heap_bytes(&self, slots: &[Slot], bytes: &mut [usize]) {
        for (slot, bytes) in slots.iter().zip(bytes) {
            *bytes += self.values[*slot as usize].as_ref().map_or(0, |value| value.len());
        }
    }
}
