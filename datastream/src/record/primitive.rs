//! Columns of fixed-width values: numbers, and whatever is stored as one.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray};
use arrow::buffer::{NullBuffer, ScalarBuffer};
use arrow::datatypes::{
    DataType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type,
    UInt64Type,
};

use super::reader::{refuse_nulls, wrong_type};
use super::{ColumnBuilder, ColumnPath, ColumnReader, ListItem, Record, RecordError};

type Native<T> = <<T as Primitive>::Arrow as ArrowPrimitiveType>::Native;

/// A record that is stored as one fixed-width number.
///
/// To store a type of your own this way, implement this trait, and `Record` with
/// [`PrimitiveReader`] and [`PrimitiveBuilder`].
pub trait Primitive: Record + Copy {
    /// The Arrow type, up to parameters such as precision or time zone.
    type Arrow: ArrowPrimitiveType;

    /// What every valid number means, for messages; absent if every number is valid.
    const VALID: Option<&'static str> = None;

    /// The number that is stored.
    fn to_native(self) -> Native<Self>;

    /// The value of a number for which [`is_valid`](Self::is_valid) holds.
    fn from_native(native: Native<Self>) -> Self;

    /// Whether the number stands for a value.
    fn is_valid(_native: Native<Self>) -> bool {
        true
    }

    /// Whether a column of type `found`, one of [`Self::Arrow`](Self::Arrow)'s, may be read.
    fn accepts(found: &DataType) -> bool {
        *found == Self::data_type()
    }
}

/// Reads a column of [`Primitive`]s.
pub struct PrimitiveReader<T: Primitive> {
    values: ScalarBuffer<Native<T>>,
}

impl<T: Primitive> Clone for PrimitiveReader<T> {
    fn clone(&self) -> Self {
        Self { values: self.values.clone() }
    }
}

impl<T: Primitive> ColumnReader for PrimitiveReader<T>
where
    Native<T>: fmt::Display,
{
    type Value = T;

    fn open(array: &ArrayRef, path: &ColumnPath<'_>, relevant: Option<&NullBuffer>) -> Result<Self, RecordError> {
        let typed = array
            .as_primitive_opt::<T::Arrow>()
            .filter(|typed| T::accepts(typed.data_type()))
            .ok_or_else(|| wrong_type::<T>(array, path))?;
        refuse_nulls(array, path, relevant)?;
        if let Some(expected) = T::VALID {
            refuse_invalid::<T>(typed.values(), expected, path, relevant)?;
        }
        Ok(Self { values: typed.values().clone() })
    }

    #[inline]
    fn read(&self, row: usize) -> T {
        T::from_native(self.values[row])
    }

    #[inline]
    fn read_range(&self, rows: Range<usize>, values: &mut Vec<T>) {
        values.clear();
        values.extend(self.values[rows].iter().map(|native| T::from_native(*native)));
    }
}

fn refuse_invalid<T: Primitive>(
    values: &[Native<T>],
    expected: &str,
    path: &ColumnPath<'_>,
    relevant: Option<&NullBuffer>,
) -> Result<(), RecordError>
where
    Native<T>: fmt::Display,
{
    let counts = |row: usize| relevant.is_none_or(|relevant| relevant.is_valid(row));
    let mut rows = values.iter().enumerate();
    match rows.find(|(row, native)| !T::is_valid(**native) && counts(*row)) {
        Some((row, native)) => Err(RecordError::InvalidValue {
            column: path.to_string(),
            row,
            value: native.to_string(),
            expected: expected.to_owned(),
        }),
        None => Ok(()),
    }
}

/// Collects a column of [`Primitive`]s.
pub struct PrimitiveBuilder<T: Primitive> {
    values: Vec<Native<T>>,
}

impl<T: Primitive> Default for PrimitiveBuilder<T> {
    fn default() -> Self {
        Self { values: Vec::new() }
    }
}

impl<T: Primitive> ColumnBuilder for PrimitiveBuilder<T> {
    type Value = T;

    #[inline]
    fn append(&mut self, value: &T) {
        self.values.push(value.to_native());
    }

    #[inline]
    fn append_filler(&mut self) {
        self.values.push(T::scratch().to_native());
    }

    #[inline]
    fn append_slice(&mut self, values: &[T]) {
        self.values.extend(values.iter().map(|value| value.to_native()));
    }

    #[inline]
    fn len(&self) -> usize {
        self.values.len()
    }

    #[inline]
    fn byte_len(&self) -> usize {
        size_of_val(self.values.as_slice())
    }

    fn finish(&mut self, path: &ColumnPath<'_>, nulls: Option<NullBuffer>) -> Result<ArrayRef, RecordError> {
        let reserved = Vec::with_capacity(self.values.len());
        let values = std::mem::replace(&mut self.values, reserved);
        let array = PrimitiveArray::<T::Arrow>::try_new(values.into(), nulls)
            .map_err(|source| RecordError::Arrow { column: path.to_string(), source })?;
        Ok(Arc::new(array.with_data_type(T::data_type())))
    }
}

/// Implements `Record` for a [`Primitive`], and what belongs to it.
macro_rules! primitive_record {
    ($(@[$($generics:tt)*])? $type:ty, $data_type:expr, $scratch:expr) => {
        impl<$($($generics)*)?> $crate::record::Record for $type {
            type Reader = $crate::record::PrimitiveReader<Self>;
            type Builder = $crate::record::PrimitiveBuilder<Self>;
            type Ref<'a> = Self;

            fn data_type() -> arrow::datatypes::DataType {
                $data_type
            }
            #[inline]
            fn scratch() -> Self {
                $scratch
            }
        }
        $crate::record::to_record::stands_for_itself!($(@[$($generics)*])? $type);
    };
}
pub(super) use primitive_record;

macro_rules! numbers {
    ($($number:ty => $arrow:ident,)*) => {$(
        impl Primitive for $number {
            type Arrow = $arrow;
            #[inline]
            fn to_native(self) -> $number {
                self
            }
            #[inline]
            fn from_native(native: $number) -> $number {
                native
            }
        }
        primitive_record!($number, $arrow::DATA_TYPE, 0 as $number);
    )*};
}

numbers! {
    i8 => Int8Type,
    i16 => Int16Type,
    i32 => Int32Type,
    i64 => Int64Type,
    u8 => UInt8Type,
    u16 => UInt16Type,
    u32 => UInt32Type,
    u64 => UInt64Type,
    f32 => Float32Type,
    f64 => Float64Type,
}

// `u8` is left out: `Vec<u8>` is binary.
macro_rules! list_items {
    ($($item:ty)*) => { $(impl ListItem for $item {})* };
}
list_items!(i8 i16 i32 i64 u16 u32 u64 f32 f64);
