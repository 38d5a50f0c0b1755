//! One call's accumulators, by slot.

use std::any::Any;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int64Array, StructArray};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Field, Fields, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, Time32MillisecondType, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType,
};
use pelton_runtime_core::operator::{OperatorError, OperatorResult};
use pelton_runtime_core::state::{ColumnError, Rows, Slot};

use super::count::Count;
use super::extreme::{ByteExtreme, Extreme, Greatest, Least};
use super::ordered::OrderedValues;
use super::sum::{Average, Sum};
use super::{Call, Changes, Function};

/// Accumulators of one call, by slot. A slot that no row has joined holds what no rows add up to.
pub(super) trait Accumulator: Send + Any {
    /// Makes room for slots below `slots`.
    fn grow(&mut self, slots: usize);

    /// Rows join their slots, or leave them.
    fn add(&mut self, values: Option<&ArrayRef>, rows: &Counted<'_>) -> OperatorResult;

    /// Adds slots of `from`, which is of the same kind, to slots here: pairs of target and source.
    fn merge(&mut self, from: &dyn Accumulator, pairs: &[(Slot, Slot)]);

    /// Adds one slot to another, and clears it.
    fn merge_within(&mut self, target: Slot, source: Slot);

    /// The results of slots.
    fn results(&self, of: &[Slot]) -> OperatorResult<ArrayRef>;

    /// What slots hold, in Arrow's form.
    fn stored(&self, of: &[Slot]) -> Result<ArrayRef, ColumnError>;

    /// Takes back what slots held.
    fn restore(&mut self, slots: &[Slot], stored: &ArrayRef) -> Result<(), ColumnError>;

    /// Lets slots hold nothing.
    fn clear(&mut self, slots: &[Slot]);

    /// Bytes that each slot takes.
    fn slot_bytes(&self) -> usize;

    /// Adds what slots hold beside that.
    fn add_heap_bytes(&self, _slots: &[Slot], _bytes: &mut [usize]) {}
}

/// Rows and their slots, of which some count, and of which some leave.
#[derive(Clone, Copy)]
pub(super) struct Counted<'a> {
    pub(super) rows: Rows<'a>,
    pub(super) slots: &'a [Slot],
    pub(super) valid: Option<&'a BooleanBuffer>,
    pub(super) signs: Option<&'a [i64]>,
}

impl Counted<'_> {
    /// Calls `action` with every row that counts, its slot and its sign.
    #[inline(always)]
    pub(super) fn each(&self, mut action: impl FnMut(usize, usize, i64)) {
        match (self.valid, self.signs) {
            (None, None) => self.rows.zip(self.slots, |row, slot| action(row, slot as usize, 1)),
            (Some(valid), None) => self.rows.zip(self.slots, |row, slot| {
                if valid.value(row) {
                    action(row, slot as usize, 1);
                }
            }),
            (None, Some(signs)) => self.rows.zip(self.slots, |row, slot| action(row, slot as usize, signs[row])),
            (Some(valid), Some(signs)) => self.rows.zip(self.slots, |row, slot| {
                if valid.value(row) {
                    action(row, slot as usize, signs[row]);
                }
            }),
        }
    }
}

/// The accumulators of a call.
///
/// # Errors
///
/// When the function has no meaning for its argument's type.
pub(super) fn accumulator(call: &Call, changes: Changes) -> OperatorResult<Box<dyn Accumulator>> {
    let input = &call.input;
    let refused = || OperatorError::data(format!("{:?} of values of type {input} has no meaning", call.function));
    macro_rules! of_number {
        ($kind:ident, $($argument:expr),*) => {
            match input {
                DataType::Int8 => Box::new($kind::<Int8Type>::new($($argument),*)) as Box<dyn Accumulator>,
                DataType::Int16 => Box::new($kind::<Int16Type>::new($($argument),*)),
                DataType::Int32 => Box::new($kind::<Int32Type>::new($($argument),*)),
                DataType::Int64 => Box::new($kind::<Int64Type>::new($($argument),*)),
                DataType::Float32 => Box::new($kind::<Float32Type>::new($($argument),*)),
                DataType::Float64 => Box::new($kind::<Float64Type>::new($($argument),*)),
                DataType::Decimal128(..) => Box::new($kind::<Decimal128Type>::new($($argument),*)),
                _ => return Err(refused()),
            }
        };
    }
    macro_rules! extreme {
        ($order:ty) => {
            match input {
                DataType::Int8 => Box::new(Extreme::<Int8Type, $order>::new(input)) as Box<dyn Accumulator>,
                DataType::Int16 => Box::new(Extreme::<Int16Type, $order>::new(input)),
                DataType::Int32 => Box::new(Extreme::<Int32Type, $order>::new(input)),
                DataType::Int64 => Box::new(Extreme::<Int64Type, $order>::new(input)),
                DataType::Float32 => Box::new(Extreme::<Float32Type, $order>::new(input)),
                DataType::Float64 => Box::new(Extreme::<Float64Type, $order>::new(input)),
                DataType::Decimal128(..) => Box::new(Extreme::<Decimal128Type, $order>::new(input)),
                DataType::Date32 => Box::new(Extreme::<Date32Type, $order>::new(input)),
                DataType::Time32(TimeUnit::Millisecond) => {
                    Box::new(Extreme::<Time32MillisecondType, $order>::new(input))
                }
                DataType::Timestamp(TimeUnit::Second, _) => {
                    Box::new(Extreme::<TimestampSecondType, $order>::new(input))
                }
                DataType::Timestamp(TimeUnit::Millisecond, _) => {
                    Box::new(Extreme::<TimestampMillisecondType, $order>::new(input))
                }
                DataType::Timestamp(TimeUnit::Microsecond, _) => {
                    Box::new(Extreme::<TimestampMicrosecondType, $order>::new(input))
                }
                DataType::Timestamp(TimeUnit::Nanosecond, _) => {
                    Box::new(Extreme::<TimestampNanosecondType, $order>::new(input))
                }
                DataType::Utf8 | DataType::Binary => Box::new(ByteExtreme::<$order>::new(input)),
                _ => return Err(refused()),
            }
        };
    }
    Ok(match (call.function, changes) {
        (Function::Count, _) => Box::new(Count::default()),
        (Function::Sum, _) => of_number!(Sum, &call.result),
        (Function::Average, _) => match input {
            DataType::Int64 => Box::new(Average::<Int64Type>::new(input, &call.result)),
            DataType::Float64 => Box::new(Average::<Float64Type>::new(input, &call.result)),
            DataType::Decimal128(..) => Box::new(Average::<Decimal128Type>::new(input, &call.result)),
            _ => return Err(refused()),
        },
        (Function::Min, Changes::Inserts) => extreme!(Least),
        (Function::Max, Changes::Inserts) => extreme!(Greatest),
        (Function::Min, Changes::Retractions) => Box::new(OrderedValues::least(input)?),
        (Function::Max, Changes::Retractions) => Box::new(OrderedValues::greatest(input)?),
    })
}

/// What is said of state that another call has left.
pub(super) const OTHER_ACCUMULATORS: ColumnError = ColumnError::Corrupt { what: "accumulators of another function" };

/// The same kind of accumulators.
pub(super) fn same_kind<A: Accumulator>(other: &dyn Accumulator) -> &A {
    let other: &dyn Any = other;
    other.downcast_ref().expect("the tables of one operator have accumulators of one kind")
}

/// One slot to be read and one to be written of the same column.
pub(super) fn two<T>(values: &mut [T], target: Slot, source: Slot) -> Option<(&mut T, &mut T)> {
    let [target, source] = values.get_disjoint_mut([target as usize, source as usize]).ok()?;
    Some((target, source))
}

/// Two columns as one: a value and how many rows it is of.
pub(super) fn with_counts(values: ArrayRef, counts: Int64Array) -> Result<ArrayRef, ColumnError> {
    let fields =
        vec![Field::new("value", values.data_type().clone(), true), Field::new("count", DataType::Int64, false)];
    Ok(Arc::new(StructArray::try_new(Fields::from(fields), vec![values, Arc::new(counts)], None)?))
}
