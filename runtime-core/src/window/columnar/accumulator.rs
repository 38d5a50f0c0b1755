//! The accumulators of one function of one column, by group.

use std::any::Any;
use std::marker::PhantomData;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, Float64Array, Int64Array, PrimitiveArray, StructArray, UInt64Array,
    downcast_primitive,
};
use arrow::buffer::NullBuffer;
use arrow::compute;
use arrow::datatypes::{ArrowNativeTypeOp, DataType, Field, Fields, Float64Type, Int64Type, UInt64Type};

use super::{AggregateCall, ColumnFunction};
use crate::operator::{OperatorError, OperatorResult};
use crate::state::{ColumnError, NO_SLOT, Rows, Slot};

/// One function's accumulators, by group.
pub(super) trait ColumnAccumulator: Send + Any {
    /// Adds rows to groups, of which there are `group_count` afterwards.
    ///
    /// # Errors
    ///
    /// When Arrow cannot read the column.
    fn accumulate(&mut self, column: &ArrayRef, rows: Rows<'_>, of_rows: &[Slot], group_count: usize)
    -> OperatorResult;
    /// Adds every row to its group, one after another; answers with the group's result after each.
    ///
    /// # Errors
    ///
    /// When Arrow cannot read the column.
    fn roll(&mut self, column: &ArrayRef, of_rows: &[Slot], group_count: usize) -> OperatorResult<ArrayRef> {
        let mut results = Vec::with_capacity(of_rows.len());
        for (row, group) in of_rows.iter().enumerate() {
            self.accumulate(column, Rows::Picked(&[row as u32]), &[*group], group_count)?;
            results.push(self.results(&[*group]));
        }
        let results: Vec<&dyn Array> = results.iter().map(AsRef::as_ref).collect();
        Ok(compute::concat(&results)?)
    }
    /// Adds the groups of `from` to those that `targets` names at their places.
    fn merge(&mut self, from: &dyn ColumnAccumulator, targets: &[Slot], group_count: usize);
    /// Adds one group of `from` to one here, which may be the next new one.
    fn merge_one(&mut self, target: Slot, from: &dyn ColumnAccumulator, source: Slot);
    /// Adds one group to another.
    fn merge_within(&mut self, target: Slot, source: Slot);
    /// The groups' results.
    fn results(&self, of: &[Slot]) -> ArrayRef;
    /// Accumulators of the same kind for no groups.
    fn empty(&self) -> Box<dyn ColumnAccumulator>;
    /// Whether columns of this type can be accumulated.
    fn accepts(&self, data_type: &DataType) -> bool;
    /// The groups' accumulators as a column.
    fn stored(&self, of: &[Slot]) -> Result<ArrayRef, ColumnError> {
        Ok(self.results(of))
    }
    /// Sets groups that are new or cleared; `stored` has their accumulators.
    ///
    /// # Errors
    ///
    /// When it has not.
    fn restore(&mut self, groups: &[Slot], stored: &ArrayRef) -> Result<(), ColumnError>;
    /// Makes groups what they are before their first row. From then on there may be groups without rows.
    fn clear(&mut self, groups: &[Slot]);
}

const OTHER_ACCUMULATORS: ColumnError = ColumnError::Corrupt { what: "its accumulators are of another kind" };

/// Accumulators of `call` that were stored in a column of type `stored`.
///
/// # Errors
///
/// When the function has no meaning for that type.
pub(super) fn stored_accumulator(
    call: &AggregateCall,
    stored: &DataType,
) -> Result<Box<dyn ColumnAccumulator>, ColumnError> {
    match call.function {
        ColumnFunction::Count => Ok(Box::new(Count::default())),
        ColumnFunction::Average => Ok(Box::new(Average::default())),
        _ => accumulator(call, stored).map_err(|_| OTHER_ACCUMULATORS),
    }
}

/// How many groups there are at least when these are among them.
fn count_with(groups: &[Slot]) -> usize {
    groups.iter().max().map_or(0, |last| *last as usize + 1)
}

/// Whether one can be merged into the other.
pub(super) fn of_one_kind(one: &dyn ColumnAccumulator, other: &dyn ColumnAccumulator) -> bool {
    let (one, other): (&dyn Any, &dyn Any) = (one, other);
    one.type_id() == other.type_id()
}

/// Accumulators of `call` for a column of type `data_type`.
///
/// # Errors
///
/// When the function has no meaning for that type.
pub(super) fn accumulator(call: &AggregateCall, data_type: &DataType) -> OperatorResult<Box<dyn ColumnAccumulator>> {
    let refused = || {
        OperatorError::data(format!(
            "the {} of column `{}` cannot be computed, as it has type {data_type}",
            call.function, call.column
        ))
    };
    if call.function == ColumnFunction::Count {
        return Ok(Box::new(Count::default()));
    }
    let adds = matches!(call.function, ColumnFunction::Sum | ColumnFunction::Average);
    if adds && !data_type.is_numeric() {
        return Err(refused());
    }
    macro_rules! fold {
        ($type:ty) => {
            match call.function {
                ColumnFunction::Sum => Box::new(Fold::<$type, Add>::new(data_type)) as Box<dyn ColumnAccumulator>,
                ColumnFunction::Min => Box::new(Fold::<$type, Least>::new(data_type)),
                ColumnFunction::Max => Box::new(Fold::<$type, Greatest>::new(data_type)),
                ColumnFunction::Count => Box::new(Count::default()),
                ColumnFunction::Average => Box::new(Average::default()),
            }
        };
    }
    Ok(downcast_primitive! {
        data_type => (fold),
        _ => return Err(refused()),
    })
}

fn same_kind<C: ColumnAccumulator>(other: &dyn ColumnAccumulator) -> &C {
    let other: &dyn Any = other;
    other.downcast_ref().expect("tables of one operator have accumulators of one kind")
}

/// Calls `action` for every row that is not NULL and its group.
#[inline(always)]
fn each_valid(nulls: Option<&NullBuffer>, rows: Rows<'_>, of_rows: &[Slot], mut action: impl FnMut(usize, usize)) {
    match nulls {
        None => rows.zip(of_rows, |row, group| action(row, group as usize)),
        Some(nulls) => rows.zip(of_rows, |row, group| {
            if nulls.is_valid(row) {
                action(row, group as usize);
            }
        }),
    }
}

/// How two values become one.
trait Combine: Send + 'static {
    /// What a group starts from: it leaves every value as it is.
    fn start<N: ArrowNativeTypeOp>() -> N;
    fn combine<N: ArrowNativeTypeOp>(left: N, right: N) -> N;
}

struct Add;
struct Least;
struct Greatest;

impl Combine for Add {
    #[inline(always)]
    fn start<N: ArrowNativeTypeOp>() -> N {
        N::ZERO
    }
    #[inline(always)]
    fn combine<N: ArrowNativeTypeOp>(left: N, right: N) -> N {
        left.add_wrapping(right)
    }
}

impl Combine for Least {
    #[inline(always)]
    fn start<N: ArrowNativeTypeOp>() -> N {
        N::MAX_TOTAL_ORDER
    }
    #[inline(always)]
    fn combine<N: ArrowNativeTypeOp>(left: N, right: N) -> N {
        if right.is_lt(left) { right } else { left }
    }
}

impl Combine for Greatest {
    #[inline(always)]
    fn start<N: ArrowNativeTypeOp>() -> N {
        N::MIN_TOTAL_ORDER
    }
    #[inline(always)]
    fn combine<N: ArrowNativeTypeOp>(left: N, right: N) -> N {
        if right.is_gt(left) { right } else { left }
    }
}

struct Fold<T: ArrowPrimitiveType, C> {
    data_type: DataType,
    values: Vec<T::Native>,
    /// Which groups have had a value; absent: all of them.
    seen: Option<Vec<bool>>,
    combine: PhantomData<fn() -> C>,
}

impl<T: ArrowPrimitiveType, C: Combine> Fold<T, C> {
    fn new(data_type: &DataType) -> Self {
        Self { data_type: data_type.clone(), values: Vec::new(), seen: None, combine: PhantomData }
    }

    fn grow(&mut self, group_count: usize, with_nulls: bool) {
        if with_nulls && self.seen.is_none() {
            self.seen = Some(vec![true; self.values.len()]);
        }
        if group_count > self.values.len() {
            self.values.resize(group_count, C::start());
            if let Some(seen) = &mut self.seen {
                seen.resize(group_count, false);
            }
        }
    }

    #[inline(always)]
    fn add(&mut self, group: usize, value: T::Native) {
        self.values[group] = C::combine(self.values[group], value);
    }

    fn is_seen(&self, group: usize) -> bool {
        self.seen.as_ref().is_none_or(|seen| seen[group])
    }

    fn mark(&mut self, group: usize) {
        if let Some(seen) = &mut self.seen {
            seen[group] = true;
        }
    }
}

impl<T: ArrowPrimitiveType, C: Combine> ColumnAccumulator for Fold<T, C> {
    fn accumulate(
        &mut self,
        column: &ArrayRef,
        rows: Rows<'_>,
        of_rows: &[Slot],
        group_count: usize,
    ) -> OperatorResult {
        let array: &PrimitiveArray<T> = column.as_primitive();
        let nulls = array.nulls().filter(|nulls| nulls.null_count() > 0);
        self.grow(group_count, nulls.is_some());
        let values = array.values();
        each_valid(nulls, rows, of_rows, |row, group| self.add(group, values[row]));
        if self.seen.is_some() {
            each_valid(nulls, rows, of_rows, |_, group| self.mark(group));
        }
        Ok(())
    }

    fn roll(&mut self, column: &ArrayRef, of_rows: &[Slot], group_count: usize) -> OperatorResult<ArrayRef> {
        let array: &PrimitiveArray<T> = column.as_primitive();
        let nulls = array.nulls().filter(|nulls| nulls.null_count() > 0);
        self.grow(group_count, nulls.is_some());
        let mut results = Vec::with_capacity(of_rows.len());
        let mut seen = Vec::new();
        for (row, group) in of_rows.iter().enumerate() {
            let group = *group as usize;
            if nulls.is_none_or(|nulls| nulls.is_valid(row)) {
                self.add(group, array.values()[row]);
                self.mark(group);
            }
            results.push(self.values[group]);
            if self.seen.is_some() {
                seen.push(self.is_seen(group));
            }
        }
        let nulls = (!seen.is_empty()).then(|| NullBuffer::from(seen)).filter(|nulls| nulls.null_count() > 0);
        Ok(Arc::new(PrimitiveArray::<T>::new(results.into(), nulls).with_data_type(self.data_type.clone())))
    }

    fn merge(&mut self, from: &dyn ColumnAccumulator, targets: &[Slot], group_count: usize) {
        let from: &Self = same_kind(from);
        self.grow(group_count, from.seen.is_some());
        for (source, target) in targets.iter().enumerate() {
            if *target != NO_SLOT && from.is_seen(source) {
                self.add(*target as usize, from.values[source]);
                self.mark(*target as usize);
            }
        }
    }

    fn merge_one(&mut self, target: Slot, from: &dyn ColumnAccumulator, source: Slot) {
        let from: &Self = same_kind(from);
        self.grow(self.values.len().max(target as usize + 1), from.seen.is_some());
        if from.is_seen(source as usize) {
            self.add(target as usize, from.values[source as usize]);
            self.mark(target as usize);
        }
    }

    fn merge_within(&mut self, target: Slot, source: Slot) {
        if self.is_seen(source as usize) {
            self.add(target as usize, self.values[source as usize]);
            self.mark(target as usize);
        }
    }

    fn results(&self, of: &[Slot]) -> ArrayRef {
        let values: Vec<T::Native> = of.iter().map(|group| self.values[*group as usize]).collect();
        let nulls = self
            .seen
            .as_ref()
            .map(|seen| NullBuffer::from(of.iter().map(|group| seen[*group as usize]).collect::<Vec<_>>()))
            .filter(|nulls| nulls.null_count() > 0);
        Arc::new(PrimitiveArray::<T>::new(values.into(), nulls).with_data_type(self.data_type.clone()))
    }

    fn empty(&self) -> Box<dyn ColumnAccumulator> {
        Box::new(Self::new(&self.data_type))
    }

    fn accepts(&self, data_type: &DataType) -> bool {
        PrimitiveArray::<T>::is_compatible(data_type)
    }

    fn restore(&mut self, groups: &[Slot], stored: &ArrayRef) -> Result<(), ColumnError> {
        let stored = stored.as_primitive_opt::<T>().ok_or(OTHER_ACCUMULATORS)?;
        let nulls = stored.nulls().filter(|nulls| nulls.null_count() > 0);
        // Groups between these have had no value yet.
        let with_gaps = count_with(groups) != self.values.len() + groups.len();
        self.grow(count_with(groups), nulls.is_some() || with_gaps);
        for (row, (group, value)) in groups.iter().zip(stored.values()).enumerate() {
            if nulls.is_none_or(|nulls| nulls.is_valid(row)) {
                self.values[*group as usize] = *value;
                self.mark(*group as usize);
            }
        }
        Ok(())
    }

    fn clear(&mut self, groups: &[Slot]) {
        self.grow(self.values.len(), true);
        for group in groups {
            // What has no accumulator yet is clear.
            if let Some(value) = self.values.get_mut(*group as usize) {
                *value = C::start();
                self.seen.iter_mut().for_each(|seen| seen[*group as usize] = false);
            }
        }
    }
}

#[derive(Default)]
struct Count {
    counts: Vec<i64>,
}

impl Count {
    fn grow(&mut self, group_count: usize) {
        self.counts.resize(self.counts.len().max(group_count), 0);
    }
}

impl ColumnAccumulator for Count {
    fn accumulate(
        &mut self,
        column: &ArrayRef,
        rows: Rows<'_>,
        of_rows: &[Slot],
        group_count: usize,
    ) -> OperatorResult {
        self.grow(group_count);
        let nulls = column.logical_nulls();
        each_valid(nulls.as_ref(), rows, of_rows, |_, group| self.counts[group] += 1);
        Ok(())
    }

    fn merge(&mut self, from: &dyn ColumnAccumulator, targets: &[Slot], group_count: usize) {
        self.grow(group_count);
        let from: &Self = same_kind(from);
        for (target, count) in targets.iter().zip(&from.counts).filter(|(target, _)| **target != NO_SLOT) {
            self.counts[*target as usize] += count;
        }
    }

    fn merge_one(&mut self, target: Slot, from: &dyn ColumnAccumulator, source: Slot) {
        self.grow(target as usize + 1);
        self.counts[target as usize] += same_kind::<Self>(from).counts[source as usize];
    }

    fn merge_within(&mut self, target: Slot, source: Slot) {
        self.counts[target as usize] += self.counts[source as usize];
    }

    fn results(&self, of: &[Slot]) -> ArrayRef {
        Arc::new(of.iter().map(|group| self.counts[*group as usize]).collect::<Int64Array>())
    }

    fn empty(&self) -> Box<dyn ColumnAccumulator> {
        Box::new(Self::default())
    }

    fn accepts(&self, _data_type: &DataType) -> bool {
        true
    }

    fn restore(&mut self, groups: &[Slot], stored: &ArrayRef) -> Result<(), ColumnError> {
        let stored = stored.as_primitive_opt::<Int64Type>().ok_or(OTHER_ACCUMULATORS)?;
        self.grow(count_with(groups));
        groups.iter().zip(stored.values()).for_each(|(group, count)| self.counts[*group as usize] = *count);
        Ok(())
    }

    fn clear(&mut self, groups: &[Slot]) {
        self.grow(count_with(groups));
        groups.iter().for_each(|group| self.counts[*group as usize] = 0);
    }
}

#[derive(Default)]
struct Average {
    sums: Vec<(f64, u64)>,
}

impl Average {
    fn grow(&mut self, group_count: usize) {
        self.sums.resize(self.sums.len().max(group_count), (0.0, 0));
    }

    #[inline(always)]
    fn add(&mut self, group: usize, (sum, count): (f64, u64)) {
        self.sums[group].0 += sum;
        self.sums[group].1 += count;
    }
}

impl ColumnAccumulator for Average {
    fn accumulate(
        &mut self,
        column: &ArrayRef,
        rows: Rows<'_>,
        of_rows: &[Slot],
        group_count: usize,
    ) -> OperatorResult {
        self.grow(group_count);
        let column = compute::cast(column, &DataType::Float64)?;
        let values = column.as_primitive::<Float64Type>();
        let nulls = values.nulls().filter(|nulls| nulls.null_count() > 0);
        each_valid(nulls, rows, of_rows, |row, group| self.add(group, (values.value(row), 1)));
        Ok(())
    }

    fn merge(&mut self, from: &dyn ColumnAccumulator, targets: &[Slot], group_count: usize) {
        self.grow(group_count);
        let from: &Self = same_kind(from);
        for (target, sum) in targets.iter().zip(&from.sums).filter(|(target, _)| **target != NO_SLOT) {
            self.add(*target as usize, *sum);
        }
    }

    fn merge_one(&mut self, target: Slot, from: &dyn ColumnAccumulator, source: Slot) {
        self.grow(target as usize + 1);
        self.add(target as usize, same_kind::<Self>(from).sums[source as usize]);
    }

    fn merge_within(&mut self, target: Slot, source: Slot) {
        self.add(target as usize, self.sums[source as usize]);
    }

    fn results(&self, of: &[Slot]) -> ArrayRef {
        let mean = |group: &Slot| {
            let (sum, count) = self.sums[*group as usize];
            (count > 0).then(|| sum / count as f64)
        };
        Arc::new(of.iter().map(mean).collect::<Float64Array>())
    }

    fn empty(&self) -> Box<dyn ColumnAccumulator> {
        Box::new(Self::default())
    }

    fn accepts(&self, data_type: &DataType) -> bool {
        data_type.is_numeric()
    }

    fn stored(&self, of: &[Slot]) -> Result<ArrayRef, ColumnError> {
        let parts = || of.iter().map(|group| self.sums[*group as usize]);
        let sums: ArrayRef = Arc::new(Float64Array::from_iter_values(parts().map(|(sum, _)| sum)));
        let counts: ArrayRef = Arc::new(UInt64Array::from_iter_values(parts().map(|(_, count)| count)));
        let fields = vec![Field::new("sum", DataType::Float64, true), Field::new("count", DataType::UInt64, true)];
        Ok(Arc::new(StructArray::try_new(Fields::from(fields), vec![sums, counts], None)?))
    }

    fn restore(&mut self, groups: &[Slot], stored: &ArrayRef) -> Result<(), ColumnError> {
        let column = |name| stored.as_struct_opt().and_then(|parts| parts.column_by_name(name));
        let sums = column("sum").and_then(|column| column.as_primitive_opt::<Float64Type>());
        let counts = column("count").and_then(|column| column.as_primitive_opt::<UInt64Type>());
        let (Some(sums), Some(counts)) = (sums, counts) else { return Err(OTHER_ACCUMULATORS) };
        self.grow(count_with(groups));
        let stored = sums.values().iter().copied().zip(counts.values().iter().copied());
        groups.iter().zip(stored).for_each(|(group, stored)| self.sums[*group as usize] = stored);
        Ok(())
    }

    fn clear(&mut self, groups: &[Slot]) {
        self.grow(count_with(groups));
        groups.iter().for_each(|group| self.sums[*group as usize] = (0.0, 0));
    }
}
