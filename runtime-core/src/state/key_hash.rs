//! Hashes of keys, column by column and stable for ever.
//!
//! Owns the one function from a key's columns to 64 bits. Hash partitioning and keyed state both use it, and what it
//! answers decides in which key group a key's state is stored: **no released value may ever change**. It has no seed,
//! depends on no platform and on no crate whose output is not fixed by a specification.
//!
//! | value | hash |
//! |---|---|
//! | NULL | a constant of its own |
//! | boolean, integers, dates, times, timestamps, durations, small decimals | `mix` of the value, sign-extended to 64 bits |
//! | floats | widened to `f64`, `-0.0` as `0.0`, every NaN as one, then `mix` of the bits |
//! | decimals of 128 and 256 bits, intervals | `mix` folded over their 64-bit words |
//! | text and bytes in every layout | XXH3 (64 bits, seed 0) |
//! | dictionary | as the value it stands for |
//! | struct | its fields folded in order; so a struct hashes as its fields do when they are columns |
//!
//! `mix` is the finalizer of SplitMix64. A further column `h` is folded into the hash so far by
//! `mix(hash * GOLDEN + h)`, which depends on the order. Units and scales take no part: both sides of a comparison have
//! the same type. Lists, maps and unions are no keys and are refused.

use arrow::array::{Array, ArrayRef, AsArray, PrimitiveArray};
use arrow::datatypes::{
    ArrowDictionaryKeyType, ArrowPrimitiveType, DataType, Date32Type, Date64Type, Decimal32Type, Decimal64Type,
    Decimal128Type, Decimal256Type, DurationMicrosecondType, DurationMillisecondType, DurationNanosecondType,
    DurationSecondType, Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    IntervalDayTimeType, IntervalMonthDayNanoType, IntervalUnit, IntervalYearMonthType, Time32MillisecondType,
    Time32SecondType, Time64MicrosecondType, Time64NanosecondType, TimeUnit, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type, UInt32Type,
    UInt64Type,
};
use twox_hash::XxHash3_64;

/// A column of this type cannot be (part of) a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("values of type {data_type} cannot be keys")]
pub struct UnsupportedKey {
    /// The column's type.
    pub data_type: DataType,
}

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
pub(crate) const NULL_HASH: u64 = 0x6e75_6c6c_d1b5_4a32;
const NO_COLUMNS_HASH: u64 = 0;

/// Hashes the first `rows` rows of `columns`, which make up the key, into `hashes` (cleared first).
///
/// Without columns every row has the same key.
///
/// # Errors
///
/// When a column has a type that cannot be a key.
pub fn hash_columns(columns: &[ArrayRef], rows: usize, hashes: &mut Vec<u64>) -> Result<(), UnsupportedKey> {
    hashes.clear();
    hashes.resize(rows, NO_COLUMNS_HASH);
    for (index, column) in columns.iter().enumerate() {
        hash_column(column, &mut Sink { hashes, first: index == 0 })?;
    }
    Ok(())
}

/// Whether [`hash_columns`] accepts columns of this type.
pub fn is_key_type(data_type: &DataType) -> bool {
    match data_type {
        DataType::Struct(fields) => fields.iter().all(|field| is_key_type(field.data_type())),
        DataType::Dictionary(_, values) => is_key_type(values),
        DataType::Null
        | DataType::List(_)
        | DataType::LargeList(_)
        | DataType::ListView(_)
        | DataType::LargeListView(_)
        | DataType::FixedSizeList(_, _)
        | DataType::Map(_, _)
        | DataType::Union(_, _)
        | DataType::RunEndEncoded(_, _) => false,
        _ => true,
    }
}

#[inline(always)]
const fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(GOLDEN);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The hash of a key of one column whose values are 64-bit numbers.
#[inline(always)]
pub(super) const fn hash_word(word: u64) -> u64 {
    mix(word)
}

#[inline(always)]
const fn fold(hash: u64, next: u64) -> u64 {
    mix(hash.wrapping_mul(GOLDEN).wrapping_add(next))
}

/// The key as one number that is equal for equal floats: `-0.0` is `0.0` and there is one NaN.
#[inline(always)]
pub(crate) fn float_bits(value: f64) -> u64 {
    if value.is_nan() { 0x7ff8_0000_0000_0000 } else { (value + 0.0).to_bits() }
}

/// Where a column's hashes go: they open the rows' hashes or are folded into them.
struct Sink<'a> {
    hashes: &'a mut [u64],
    first: bool,
}

impl Sink<'_> {
    #[inline(always)]
    fn fill(&mut self, hash_of: impl Fn(usize) -> u64) {
        if self.first {
            self.hashes.iter_mut().enumerate().for_each(|(row, hash)| *hash = hash_of(row));
        } else {
            self.hashes.iter_mut().enumerate().for_each(|(row, hash)| *hash = fold(*hash, hash_of(row)));
        }
    }

    #[inline(always)]
    fn fill_valid(&mut self, array: &dyn Array, hash_of: impl Fn(usize) -> u64) {
        match array.nulls().filter(|nulls| nulls.null_count() > 0) {
            None => self.fill(hash_of),
            Some(nulls) => self.fill(|row| if nulls.is_valid(row) { hash_of(row) } else { NULL_HASH }),
        }
    }

    fn primitive<T: ArrowPrimitiveType>(&mut self, array: &ArrayRef, hash_of: impl Fn(T::Native) -> u64) {
        let array: &PrimitiveArray<T> = array.as_primitive();
        let values = &array.values()[..self.hashes.len()];
        self.fill_valid(array, |row| hash_of(values[row]));
    }
}

/// Calls `$sink.primitive` with the right type for integers of up to 64 bits behind a logical type.
macro_rules! as_integer {
    ($sink:ident, $column:ident, $type:ty) => {
        $sink.primitive::<$type>($column, |value| mix(value as i64 as u64))
    };
}

fn hash_column(column: &ArrayRef, sink: &mut Sink<'_>) -> Result<(), UnsupportedKey> {
    match column.data_type() {
        DataType::Boolean => {
            let values = column.as_boolean();
            sink.fill_valid(values, |row| mix(u64::from(values.value(row))));
        }
        DataType::Int8 => as_integer!(sink, column, Int8Type),
        DataType::Int16 => as_integer!(sink, column, Int16Type),
        DataType::Int32 => as_integer!(sink, column, Int32Type),
        DataType::Int64 => as_integer!(sink, column, Int64Type),
        DataType::UInt8 => as_integer!(sink, column, UInt8Type),
        DataType::UInt16 => as_integer!(sink, column, UInt16Type),
        DataType::UInt32 => as_integer!(sink, column, UInt32Type),
        DataType::UInt64 => as_integer!(sink, column, UInt64Type),
        DataType::Date32 => as_integer!(sink, column, Date32Type),
        DataType::Date64 => as_integer!(sink, column, Date64Type),
        DataType::Time32(TimeUnit::Second) => as_integer!(sink, column, Time32SecondType),
        DataType::Time32(_) => as_integer!(sink, column, Time32MillisecondType),
        DataType::Time64(TimeUnit::Nanosecond) => as_integer!(sink, column, Time64NanosecondType),
        DataType::Time64(_) => as_integer!(sink, column, Time64MicrosecondType),
        DataType::Timestamp(TimeUnit::Second, _) => as_integer!(sink, column, TimestampSecondType),
        DataType::Timestamp(TimeUnit::Millisecond, _) => as_integer!(sink, column, TimestampMillisecondType),
        DataType::Timestamp(TimeUnit::Microsecond, _) => as_integer!(sink, column, TimestampMicrosecondType),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => as_integer!(sink, column, TimestampNanosecondType),
        DataType::Duration(TimeUnit::Second) => as_integer!(sink, column, DurationSecondType),
        DataType::Duration(TimeUnit::Millisecond) => as_integer!(sink, column, DurationMillisecondType),
        DataType::Duration(TimeUnit::Microsecond) => as_integer!(sink, column, DurationMicrosecondType),
        DataType::Duration(TimeUnit::Nanosecond) => as_integer!(sink, column, DurationNanosecondType),
        DataType::Interval(IntervalUnit::YearMonth) => as_integer!(sink, column, IntervalYearMonthType),
        DataType::Interval(IntervalUnit::DayTime) => sink.primitive::<IntervalDayTimeType>(column, |value| {
            fold(mix(i64::from(value.days) as u64), i64::from(value.milliseconds) as u64)
        }),
        DataType::Interval(IntervalUnit::MonthDayNano) => {
            sink.primitive::<IntervalMonthDayNanoType>(column, |value| {
                let days = fold(mix(i64::from(value.months) as u64), i64::from(value.days) as u64);
                fold(days, value.nanoseconds as u64)
            });
        }
        DataType::Decimal32(_, _) => as_integer!(sink, column, Decimal32Type),
        DataType::Decimal64(_, _) => as_integer!(sink, column, Decimal64Type),
        DataType::Decimal128(_, _) => sink.primitive::<Decimal128Type>(column, hash_i128),
        DataType::Decimal256(_, _) => sink.primitive::<Decimal256Type>(column, |value| {
            let (low, high) = value.to_parts();
            let low = fold(mix(low as u64), (low >> 64) as u64);
            fold(fold(low, high as u64), (high >> 64) as u64)
        }),
        DataType::Float16 => sink.primitive::<Float16Type>(column, |value| mix(float_bits(value.to_f64()))),
        DataType::Float32 => sink.primitive::<Float32Type>(column, |value| mix(float_bits(f64::from(value)))),
        DataType::Float64 => sink.primitive::<Float64Type>(column, |value| mix(float_bits(value))),
        DataType::Utf8 => {
            let values = column.as_string::<i32>();
            sink.fill_valid(values, |row| hash_bytes(values.value(row).as_bytes()));
        }
        DataType::LargeUtf8 => {
            let values = column.as_string::<i64>();
            sink.fill_valid(values, |row| hash_bytes(values.value(row).as_bytes()));
        }
        DataType::Utf8View => {
            let values = column.as_string_view();
            sink.fill_valid(values, |row| hash_bytes(values.value(row).as_bytes()));
        }
        DataType::Binary => {
            let values = column.as_binary::<i32>();
            sink.fill_valid(values, |row| hash_bytes(values.value(row)));
        }
        DataType::LargeBinary => {
            let values = column.as_binary::<i64>();
            sink.fill_valid(values, |row| hash_bytes(values.value(row)));
        }
        DataType::BinaryView => {
            let values = column.as_binary_view();
            sink.fill_valid(values, |row| hash_bytes(values.value(row)));
        }
        DataType::FixedSizeBinary(_) => {
            let values = column.as_fixed_size_binary();
            sink.fill_valid(values, |row| hash_bytes(values.value(row)));
        }
        DataType::Dictionary(index, _) => match index.as_ref() {
            DataType::Int8 => hash_dictionary::<Int8Type>(column, sink)?,
            DataType::Int16 => hash_dictionary::<Int16Type>(column, sink)?,
            DataType::Int32 => hash_dictionary::<Int32Type>(column, sink)?,
            DataType::Int64 => hash_dictionary::<Int64Type>(column, sink)?,
            DataType::UInt8 => hash_dictionary::<UInt8Type>(column, sink)?,
            DataType::UInt16 => hash_dictionary::<UInt16Type>(column, sink)?,
            DataType::UInt32 => hash_dictionary::<UInt32Type>(column, sink)?,
            _ => hash_dictionary::<UInt64Type>(column, sink)?,
        },
        DataType::Struct(_) => hash_struct(column, sink)?,
        other => return Err(UnsupportedKey { data_type: other.clone() }),
    }
    Ok(())
}

#[inline(always)]
fn hash_i128(value: i128) -> u64 {
    fold(mix(value as u64), (value >> 64) as u64)
}

#[inline(always)]
fn hash_bytes(bytes: &[u8]) -> u64 {
    XxHash3_64::oneshot(bytes)
}

/// Hashes every dictionary value once, then looks the rows' values up.
fn hash_dictionary<K: ArrowDictionaryKeyType>(column: &ArrayRef, sink: &mut Sink<'_>) -> Result<(), UnsupportedKey> {
    let dictionary = column.as_dictionary::<K>();
    let mut of_values = Vec::new();
    hash_columns(std::slice::from_ref(dictionary.values()), dictionary.values().len(), &mut of_values)?;
    sink.fill(|row| dictionary.key(row).map_or(NULL_HASH, |key| of_values[key]));
    Ok(())
}

fn hash_struct(column: &ArrayRef, sink: &mut Sink<'_>) -> Result<(), UnsupportedKey> {
    let array = column.as_struct();
    let rows = sink.hashes.len();
    if array.columns().is_empty() {
        sink.fill_valid(array, |_| NO_COLUMNS_HASH);
        return Ok(());
    }
    if sink.first && array.null_count() == 0 {
        return hash_columns_into(array.columns(), sink.hashes);
    }
    let mut of_fields = vec![0; rows];
    hash_columns_into(array.columns(), &mut of_fields)?;
    sink.fill_valid(array, |row| of_fields[row]);
    Ok(())
}

fn hash_columns_into(columns: &[ArrayRef], hashes: &mut [u64]) -> Result<(), UnsupportedKey> {
    for (index, column) in columns.iter().enumerate() {
        hash_column(column, &mut Sink { hashes, first: index == 0 })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        BinaryArray, DictionaryArray, Float32Array, Float64Array, Int32Array, Int64Array, LargeStringArray, ListArray,
        StringArray, StringViewArray, StructArray,
    };
    use arrow::datatypes::Field;
    use proptest::prelude::*;

    use super::*;

    fn hashes(columns: &[ArrayRef]) -> Vec<u64> {
        let mut hashes = vec![1, 2, 3];
        hash_columns(columns, columns[0].len(), &mut hashes).unwrap();
        hashes
    }

    #[test]
    fn released_values_never_change() {
        let ints: ArrayRef = Arc::new(Int64Array::from(vec![Some(0), Some(1), Some(-1), None]));
        let text: ArrayRef = Arc::new(StringArray::from(vec![Some(""), Some("a"), Some("pelton"), None]));
        assert_eq!(
            hashes(std::slice::from_ref(&ints)),
            [0xe220_a839_7b1d_cdaf, 0x910a_2dec_8902_5cc1, 0xe4d9_7177_1b65_2c20, NULL_HASH]
        );
        // XXH3 of the empty input is a published constant.
        assert_eq!(hashes(std::slice::from_ref(&text))[0], 0x2d06_8005_38d3_94c2);
        let both = hashes(&[ints, text]);
        assert_eq!(both[0], fold(0xe220_a839_7b1d_cdaf, 0x2d06_8005_38d3_94c2));
        assert_eq!(both[3], fold(NULL_HASH, NULL_HASH));
    }

    #[test]
    fn equal_floats_hash_alike() {
        let a: ArrayRef = Arc::new(Float64Array::from(vec![0.0, f64::NAN, 1.5]));
        let b: ArrayRef = Arc::new(Float64Array::from(vec![-0.0, -f64::NAN, 1.5]));
        let c: ArrayRef = Arc::new(Float32Array::from(vec![-0.0, f32::NAN, 1.5]));
        assert_eq!(hashes(std::slice::from_ref(&a)), hashes(&[b]));
        assert_eq!(hashes(&[a]), hashes(&[c]));
    }

    #[test]
    fn lists_are_refused_as_keys() {
        let list: ArrayRef = Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(vec![Some(vec![Some(1)])]));
        let error = hash_columns(std::slice::from_ref(&list), 1, &mut Vec::new()).unwrap_err();
        assert!(error.to_string().contains("cannot be keys"), "{error}");
        assert!(!is_key_type(list.data_type()));
    }

    #[test]
    fn the_order_of_columns_matters() {
        let one: ArrayRef = Arc::new(Int64Array::from(vec![1]));
        let two: ArrayRef = Arc::new(Int64Array::from(vec![2]));
        assert_ne!(hashes(&[one.clone(), two.clone()]), hashes(&[two, one]));
    }

    proptest! {
        #[test]
        fn text_hashes_alike_in_every_layout(values: Vec<Option<String>>) {
            prop_assume!(!values.is_empty());
            let utf8 = StringArray::from(values.clone());
            let bytes = BinaryArray::from_iter(values.iter().map(|value| value.as_ref().map(String::as_bytes)));
            let dictionary: DictionaryArray<Int32Type> = values.iter().map(Option::as_deref).collect();
            let layouts: Vec<ArrayRef> = vec![
                Arc::new(LargeStringArray::from(values.clone())),
                Arc::new(StringViewArray::from_iter(values)),
                Arc::new(bytes),
                Arc::new(dictionary),
            ];
            let expected = hashes(&[Arc::new(utf8)]);
            for layout in layouts {
                prop_assert_eq!(&hashes(&[layout]), &expected);
            }
        }

        #[test]
        fn a_struct_hashes_as_its_fields_and_a_slice_as_its_rows(
            rows in prop::collection::vec((any::<Option<i32>>(), any::<Option<i64>>()), 2..50),
        ) {
            let a: ArrayRef = Arc::new(rows.iter().map(|row| row.0).collect::<Int32Array>());
            let b: ArrayRef = Arc::new(rows.iter().map(|row| row.1).collect::<Int64Array>());
            let of_columns = hashes(&[a.clone(), b.clone()]);
            let whole = StructArray::from(vec![
                (Arc::new(Field::new("a", DataType::Int32, true)), a.clone()),
                (Arc::new(Field::new("b", DataType::Int64, true)), b.clone()),
            ]);
            prop_assert_eq!(&hashes(&[Arc::new(whole)]), &of_columns);
            let tail = rows.len() - 1;
            prop_assert_eq!(&hashes(&[a.slice(1, tail), b.slice(1, tail)])[..], &of_columns[1..]);
        }

        #[test]
        fn integers_of_all_widths_hash_alike(values in prop::collection::vec(any::<i32>(), 1..50)) {
            let narrow: ArrayRef = Arc::new(Int32Array::from(values.clone()));
            let wide: ArrayRef = Arc::new(values.into_iter().map(i64::from).collect::<Int64Array>());
            prop_assert_eq!(hashes(&[narrow]), hashes(&[wide]));
        }
    }
}
