//! Rows as text for people: what printing and text files show.
//!
//! As Flink shows them: a record of one column is its bare value, one of several columns is `(a,b,c)`, and a row of a
//! changelog is `+I[a, b, c]`. Numbers look as in Java (`1.0`, `1.0E10`), null is `null`, lists are `[a, b]`.

use std::io::Write;

use arrow::array::{Array, AsArray, Float32Array, Float64Array, PrimitiveArray, StringArray, StructArray};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type,
    UInt16Type, UInt32Type, UInt64Type,
};
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use pelton_runtime_core::element::{RowKind, StreamBatch};

const OPTIONS: FormatOptions<'static> = FormatOptions::new().with_null("null");

/// Writes the rows of one batch.
pub struct RowFormatter<'a> {
    columns: Vec<Cell<'a>>,
    kinds: Option<&'a [u8]>,
}

impl<'a> RowFormatter<'a> {
    /// A formatter for the rows of `batch`.
    ///
    /// # Errors
    ///
    /// When a column has a type that has no text form.
    pub fn new(batch: &'a StreamBatch) -> Result<Self, ArrowError> {
        Ok(Self {
            columns: batch.records().columns().iter().map(|column| Cell::new(column)).collect::<Result<_, _>>()?,
            kinds: batch.kinds().map(|kinds| &kinds[..]),
        })
    }

    /// Appends one row to `text`, without a line end.
    ///
    /// # Errors
    ///
    /// When a value has no text form, such as a date beyond the calendar.
    pub fn write(&self, row: usize, text: &mut Vec<u8>) -> Result<(), ArrowError> {
        match (self.kinds, self.columns.as_slice()) {
            (Some(kinds), columns) => {
                text.extend_from_slice(kind_name(kinds[row]));
                sequence(text, ("[", ", ", "]"), columns.iter(), |cell, text| cell.write(row, text))
            }
            (None, [column]) => column.write(row, text),
            (None, columns) => sequence(text, ("(", ",", ")"), columns.iter(), |cell, text| cell.write(row, text)),
        }
    }
}

fn kind_name(kind: u8) -> &'static [u8] {
    match kind {
        kind if kind == RowKind::UpdateBefore as u8 => b"-U",
        kind if kind == RowKind::UpdateAfter as u8 => b"+U",
        kind if kind == RowKind::Delete as u8 => b"-D",
        _ => b"+I",
    }
}

/// Writes `items` between brackets and separators.
fn sequence<T>(
    text: &mut Vec<u8>,
    (open, separator, close): (&str, &str, &str),
    items: impl Iterator<Item = T>,
    mut write: impl FnMut(T, &mut Vec<u8>) -> Result<(), ArrowError>,
) -> Result<(), ArrowError> {
    text.extend_from_slice(open.as_bytes());
    for (index, item) in items.enumerate() {
        if index > 0 {
            text.extend_from_slice(separator.as_bytes());
        }
        write(item, text)?;
    }
    text.extend_from_slice(close.as_bytes());
    Ok(())
}

/// A column, ready to write its values.
enum Cell<'a> {
    Strings(&'a StringArray),
    Integers(Box<dyn Integers + 'a>),
    Floats(&'a Float32Array),
    Doubles(&'a Float64Array),
    List { array: &'a dyn Array, offsets: &'a OffsetBuffer<i32>, items: Box<Cell<'a>> },
    Struct { array: &'a StructArray, fields: Vec<Cell<'a>> },
    Other { array: &'a dyn Array, formatter: ArrayFormatter<'a> },
}

/// Integer columns of any width.
trait Integers {
    fn write(&self, row: usize, text: &mut Vec<u8>);
    fn is_null(&self, row: usize) -> bool;
}

impl<T: ArrowPrimitiveType> Integers for PrimitiveArray<T>
where
    T::Native: std::fmt::Display,
{
    fn write(&self, row: usize, text: &mut Vec<u8>) {
        append(text, format_args!("{}", self.value(row)));
    }

    fn is_null(&self, row: usize) -> bool {
        Array::is_null(self, row)
    }
}

impl Integers for &dyn Integers {
    fn write(&self, row: usize, text: &mut Vec<u8>) {
        (**self).write(row, text);
    }

    fn is_null(&self, row: usize) -> bool {
        (**self).is_null(row)
    }
}

impl<'a> Cell<'a> {
    fn new(array: &'a dyn Array) -> Result<Self, ArrowError> {
        let integers = |array: &'a dyn Integers| Self::Integers(Box::new(array));
        Ok(match array.data_type() {
            DataType::Utf8 => Self::Strings(array.as_string()),
            DataType::Int8 => integers(array.as_primitive::<Int8Type>()),
            DataType::Int16 => integers(array.as_primitive::<Int16Type>()),
            DataType::Int32 => integers(array.as_primitive::<Int32Type>()),
            DataType::Int64 => integers(array.as_primitive::<Int64Type>()),
            DataType::UInt8 => integers(array.as_primitive::<UInt8Type>()),
            DataType::UInt16 => integers(array.as_primitive::<UInt16Type>()),
            DataType::UInt32 => integers(array.as_primitive::<UInt32Type>()),
            DataType::UInt64 => integers(array.as_primitive::<UInt64Type>()),
            DataType::Float32 => Self::Floats(array.as_primitive::<Float32Type>()),
            DataType::Float64 => Self::Doubles(array.as_primitive::<Float64Type>()),
            DataType::List(_) => {
                let list = array.as_list::<i32>();
                Self::List { array, offsets: list.offsets(), items: Box::new(Self::new(list.values())?) }
            }
            DataType::Struct(_) => {
                let array = array.as_struct();
                let fields = array.columns().iter().map(|field| Self::new(field)).collect::<Result<_, _>>()?;
                Self::Struct { array, fields }
            }
            _ => Self::Other { array, formatter: ArrayFormatter::try_new(array, &OPTIONS)? },
        })
    }

    fn is_null(&self, row: usize) -> bool {
        match self {
            Self::Strings(array) => array.is_null(row),
            Self::Integers(array) => array.is_null(row),
            Self::Floats(array) => array.is_null(row),
            Self::Doubles(array) => array.is_null(row),
            Self::Struct { array, .. } => array.is_null(row),
            Self::List { array, .. } | Self::Other { array, .. } => array.is_null(row),
        }
    }

    fn write(&self, row: usize, text: &mut Vec<u8>) -> Result<(), ArrowError> {
        if self.is_null(row) {
            text.extend_from_slice(b"null");
            return Ok(());
        }
        match self {
            Self::Strings(array) => text.extend_from_slice(array.value(row).as_bytes()),
            Self::Integers(array) => array.write(row, text),
            Self::Floats(array) => {
                let value = array.value(row);
                java_float(text, f64::from(value), format_args!("{value:e}"), format_args!("{value}"));
            }
            Self::Doubles(array) => {
                let value = array.value(row);
                java_float(text, value, format_args!("{value:e}"), format_args!("{value}"));
            }
            Self::List { offsets, items, .. } => {
                let range = offsets[row] as usize..offsets[row + 1] as usize;
                return sequence(text, ("[", ", ", "]"), range, |item, text| items.write(item, text));
            }
            Self::Struct { fields, .. } => {
                return sequence(text, ("(", ",", ")"), fields.iter(), |field, text| field.write(row, text));
            }
            Self::Other { formatter, .. } => {
                let value = formatter.value(row).try_to_string()?;
                text.extend_from_slice(value.as_bytes());
            }
        }
        Ok(())
    }
}

/// A floating-point number as Java writes it: plain between 10⁻³ and 10⁷, otherwise with an exponent, always with a
/// fraction. `scientific` and `plain` are the shortest forms that read back as the same number.
fn java_float(text: &mut Vec<u8>, value: f64, scientific: std::fmt::Arguments<'_>, plain: std::fmt::Arguments<'_>) {
    let start = text.len();
    if value.is_nan() {
        text.extend_from_slice(b"NaN");
    } else if value.is_infinite() {
        text.extend_from_slice(if value > 0.0 { b"Infinity" } else { b"-Infinity" });
    } else if value == 0.0 || (1e-3..1e7).contains(&value.abs()) {
        append(text, plain);
        if !text[start..].contains(&b'.') {
            text.extend_from_slice(b".0");
        }
    } else {
        append(text, scientific);
        let exponent = start + text[start..].iter().position(|&byte| byte == b'e').unwrap_or(text.len() - start);
        if let Some(letter) = text.get_mut(exponent) {
            *letter = b'E';
        }
        if !text[start..exponent].contains(&b'.') {
            text.splice(exponent..exponent, *b".0");
        }
    }
}

fn append(text: &mut Vec<u8>, value: std::fmt::Arguments<'_>) {
    text.write_fmt(value).expect("a vector takes everything");
}

impl std::fmt::Debug for RowFormatter<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RowFormatter").field("columns", &self.columns.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, BooleanArray, Int64Array, ListArray, RecordBatch, TimestampMillisecondArray};

    use super::*;

    fn rows(columns: Vec<(&str, ArrayRef)>, kinds: Option<Vec<u8>>) -> Vec<String> {
        let records =
            RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true)));
        let batch = StreamBatch::new(records.expect("one length")).with_kinds(kinds.map(Into::into));
        let formatter = RowFormatter::new(&batch).expect("supported");
        (0..batch.num_rows())
            .map(|row| {
                let mut text = Vec::new();
                formatter.write(row, &mut text).expect("formatted");
                String::from_utf8(text).expect("text")
            })
            .collect()
    }

    #[test]
    fn one_column_is_bare_and_several_are_a_tuple() {
        let words: ArrayRef = Arc::new(StringArray::from(vec![Some("to"), None]));
        let counts: ArrayRef = Arc::new(Int64Array::from(vec![1, -2]));
        assert_eq!(rows(vec![("w", words.clone())], None), ["to", "null"]);
        assert_eq!(rows(vec![("w", words.clone()), ("n", counts.clone())], None), ["(to,1)", "(null,-2)"]);
        assert_eq!(rows(vec![("w", words), ("n", counts)], Some(vec![0, 3])), ["+I[to, 1]", "-D[null, -2]"]);
    }

    #[test]
    fn numbers_look_as_in_java() {
        let doubles = [1.0, -0.0, 0.1, 1e7, 9_999_999.5, 1e-3, 1.5e-4, 1.25e300, f64::NAN, f64::NEG_INFINITY];
        let expected = ["1.0", "-0.0", "0.1", "1.0E7", "9999999.5", "0.001", "1.5E-4", "1.25E300", "NaN", "-Infinity"];
        assert_eq!(rows(vec![("x", Arc::new(Float64Array::from_iter_values(doubles)))], None), expected);
        let floats: ArrayRef = Arc::new(Float32Array::from(vec![0.1, 3.4e38]));
        assert_eq!(rows(vec![("x", floats)], None), ["0.1", "3.4E38"]);
    }

    #[test]
    fn other_types_have_their_usual_form() {
        let times = TimestampMillisecondArray::from(vec![1_357_034_400_000]);
        let zoned: ArrayRef = Arc::new(times.clone().with_timezone("+00:00"));
        assert_eq!(rows(vec![("t", Arc::new(times))], None), ["2013-01-01T10:00:00"]);
        assert_eq!(rows(vec![("t", zoned)], None), ["2013-01-01T10:00:00Z"]);
        assert_eq!(rows(vec![("b", Arc::new(BooleanArray::from(vec![true])))], None), ["true"]);
        let lists = ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1), None]), None]);
        assert_eq!(rows(vec![("l", Arc::new(lists))], None), ["[1, null]", "null"]);
    }
}
