//! Columns whose content expires: beside every value, element or entry the time of its last use.
//!
//! ```text
//!  slot ──► value · used        list: values … · used …        map: key ──► value · used
//! ```
//!
//! Owns the times, what they mean ([`Ttl`]) and how they are saved: in a struct beside the value, whose field names no
//! record has. Whether a read counts as a use, and whether what has expired may still be seen, is decided by whoever
//! holds the column; the clock is theirs too.
//!
//! What has expired is dropped by [`StateColumn::expire`](super::StateColumn::expire), a range of slots at a time.
//!
//! A state may get or lose its time-to-live between two versions of a program: content without a time counts as used
//! when it is first looked at, and times that nobody wants any more are left out.

mod lists;
mod maps;
mod values;

use std::cell::Cell;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, ListArray, StructArray};
use arrow::datatypes::{DataType, Field, Fields, Int64Type};

use super::codec::{ColumnError, LIST_ITEM};
use super::row_expiry::NEVER;
use crate::time::EpochMillis;

pub use lists::ExpiringLists;
pub use maps::ExpiringMaps;
pub use values::ExpiringValues;

/// Names of the fields in a snapshot. No record has a field with a dot in its name.
const VALUE: &str = "ttl.value";
const USED: &str = "ttl.used";

/// The time of content that came back without one.
const UNKNOWN: EpochMillis = EpochMillis::MIN;

/// How long content lives after its last use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ttl {
    /// In milliseconds of the wall clock.
    pub millis: i64,
}

impl Ttl {
    /// Whether content that was used last at `used` has expired at `now`.
    #[inline]
    pub fn is_over(self, used: EpochMillis, now: EpochMillis) -> bool {
        used != UNKNOWN && used.saturating_add(self.millis) <= now
    }
}

/// The time of one value; it changes when the value is read, too.
type Used = Cell<EpochMillis>;

/// Whether the content has expired; content whose time is unknown gets `now`.
#[inline]
fn is_over(used: &Used, ttl: Ttl, now: EpochMillis) -> bool {
    if used.get() == UNKNOWN {
        used.set(now);
    }
    ttl.is_over(used.get(), now)
}

/// Raises `time` to that from which on content has expired.
fn raise(time: &mut EpochMillis, used: &Used, ttl: Ttl, now: EpochMillis) {
    if used.get() == UNKNOWN && now != EpochMillis::MIN {
        used.set(now);
    }
    // Nobody knows a time yet.
    let over = if used.get() == UNKNOWN { NEVER } else { used.get().saturating_add(ttl.millis) };
    *time = over.max(*time);
}

fn fields(value: &DataType) -> Fields {
    Fields::from(vec![Field::new(VALUE, value.clone(), true), Field::new(USED, DataType::Int64, true)])
}

/// Values and their times as one column.
fn joined(values: ArrayRef, used: impl Iterator<Item = EpochMillis>) -> Result<ArrayRef, ColumnError> {
    let used: ArrayRef = Arc::new(used.map(|used| Some(used).filter(|used| *used != UNKNOWN)).collect::<Int64Array>());
    Ok(Arc::new(StructArray::try_new(fields(values.data_type()), vec![values, used], None)?))
}

/// The values of a column that may have times beside them, and the times.
fn parted(column: &ArrayRef) -> (ArrayRef, Option<ArrayRef>) {
    let with_times = column.as_struct_opt().filter(|column| column.column_by_name(USED).is_some());
    match with_times.and_then(|column| Some((column.column_by_name(VALUE)?, column.column_by_name(USED)?))) {
        Some((values, used)) => (values.clone(), Some(used.clone())),
        None => (column.clone(), None),
    }
}

/// The time of a row, of times that may be absent.
fn time_of(used: Option<&ArrayRef>, row: usize) -> EpochMillis {
    let used = used.and_then(|used| used.as_primitive_opt::<Int64Type>());
    used.filter(|used| used.is_valid(row)).map_or(UNKNOWN, |used| used.value(row))
}

/// The same for a column of lists: lists of values, and the times of all elements, the first of which belongs to the
/// first list's first element.
fn parted_lists(column: &ArrayRef) -> Result<(ArrayRef, Option<ArrayRef>), ColumnError> {
    let Some(lists) = column.as_list_opt::<i32>() else { return Ok((column.clone(), None)) };
    let (values, used) = parted(lists.values());
    let Some(used) = used else { return Ok((column.clone(), None)) };
    let item = Arc::new(Field::new(LIST_ITEM, values.data_type().clone(), true));
    let (first, last) = (lists.value_offsets()[0] as usize, lists.value_offsets()[lists.len()] as usize);
    let offsets = lists.offsets().clone();
    let without = ListArray::try_new(item, offsets, values, lists.nulls().cloned())?;
    Ok((Arc::new(without), Some(used.slice(first, last - first))))
}

/// The values of a column, without times if there are any.
pub(super) fn without_times(column: &ArrayRef) -> ArrayRef {
    parted(column).0
}

/// The lists of a column, without times if there are any.
pub(super) fn lists_without_times(column: &ArrayRef) -> Result<ArrayRef, ColumnError> {
    Ok(parted_lists(column)?.0)
}

/// The maps of a column, without times if there are any.
pub(super) fn maps_without_times(column: &ArrayRef) -> Result<ArrayRef, ColumnError> {
    Ok(maps::parted(column)?.0)
}

#[cfg(test)]
mod tests;
