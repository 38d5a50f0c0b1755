//! Keys as bytes and back: the form in which keys of several columns, or of text, are compared and stored.
//!
//! ```text
//!  key   = field*                 one per key column, in order
//!  field = 0x00 filler | 0x01 content
//!  content = fixed-width value, little-endian
//!          | length: u32, little-endian, then that many bytes      (text and bytes)
//!          | field*                                               (struct)
//! ```
//!
//! Equal keys have equal bytes: floats are normalised as in [`key_hash`](super::key_hash), the filler of a NULL is
//! zeros, a dictionary is its value. Owns no index and no hash.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayData, ArrayRef, AsArray, BinaryArray, BooleanArray, StructArray, make_array, new_empty_array,
};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer};
use arrow::compute;
use arrow::datatypes::{DataType, Float16Type, Float32Type, Float64Type};
use arrow::error::ArrowError;

use super::StateError;
use super::key_hash::{UnsupportedKey, is_key_type};

/// The keys of a batch of rows, one after another in one buffer.
#[derive(Debug, Default)]
pub struct EncodedKeys {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    cursors: Vec<usize>,
}

impl EncodedKeys {
    /// The bytes of a row's key.
    #[inline]
    pub fn get(&self, row: usize) -> &[u8] {
        let start = if row == 0 { 0 } else { self.ends[row - 1] };
        &self.bytes[start..self.ends[row]]
    }

    /// Replaces the content by the keys in `columns`.
    ///
    /// # Errors
    ///
    /// When a column has a type that cannot be a key.
    pub fn encode(&mut self, columns: &[ArrayRef], rows: usize) -> Result<(), StateError> {
        self.ends.clear();
        self.ends.resize(rows, 0);
        let mut measure = Measure { lengths: &mut self.ends };
        columns.iter().try_for_each(|column| visit(column, None, &mut measure))?;
        self.cursors.clear();
        let mut total = 0;
        for end in &mut self.ends {
            self.cursors.push(total);
            total += *end;
            *end = total;
        }
        self.bytes.clear();
        self.bytes.resize(total, 0);
        let mut write = Write { bytes: &mut self.bytes, cursors: &mut self.cursors };
        columns.iter().try_for_each(|column| visit(column, None, &mut write))
    }
}

/// What is done with a field of every row: measured first, then written.
trait Visitor {
    fn fixed(&mut self, nulls: Option<&NullBuffer>, width: usize, write: impl Fn(usize, &mut [u8]));
    fn variable<'a>(&mut self, nulls: Option<&NullBuffer>, bytes: impl Fn(usize) -> &'a [u8]);
    fn tag(&mut self, nulls: Option<&NullBuffer>) {
        self.fixed(nulls, 0, |_, _| {});
    }
}

#[inline(always)]
fn is_valid(nulls: Option<&NullBuffer>, row: usize) -> bool {
    nulls.is_none_or(|nulls| nulls.is_valid(row))
}

struct Measure<'a> {
    lengths: &'a mut [usize],
}

impl Visitor for Measure<'_> {
    fn fixed(&mut self, _nulls: Option<&NullBuffer>, width: usize, _write: impl Fn(usize, &mut [u8])) {
        self.lengths.iter_mut().for_each(|length| *length += 1 + width);
    }

    fn variable<'a>(&mut self, nulls: Option<&NullBuffer>, bytes: impl Fn(usize) -> &'a [u8]) {
        for (row, length) in self.lengths.iter_mut().enumerate() {
            *length += 5 + if is_valid(nulls, row) { bytes(row).len() } else { 0 };
        }
    }
}

struct Write<'a> {
    bytes: &'a mut [u8],
    cursors: &'a mut [usize],
}

impl Visitor for Write<'_> {
    fn fixed(&mut self, nulls: Option<&NullBuffer>, width: usize, write: impl Fn(usize, &mut [u8])) {
        for (row, cursor) in self.cursors.iter_mut().enumerate() {
            if is_valid(nulls, row) {
                self.bytes[*cursor] = 1;
                write(row, &mut self.bytes[*cursor + 1..*cursor + 1 + width]);
            }
            *cursor += 1 + width;
        }
    }

    fn variable<'a>(&mut self, nulls: Option<&NullBuffer>, bytes: impl Fn(usize) -> &'a [u8]) {
        for (row, cursor) in self.cursors.iter_mut().enumerate() {
            let mut length = 0;
            if is_valid(nulls, row) {
                let content = bytes(row);
                length = content.len();
                self.bytes[*cursor] = 1;
                // A column's own offsets bound the length of one value in a batch far below 4 GiB.
                self.bytes[*cursor + 1..*cursor + 5].copy_from_slice(&(length as u32).to_le_bytes());
                self.bytes[*cursor + 5..*cursor + 5 + length].copy_from_slice(content);
            }
            *cursor += 5 + length;
        }
    }
}

fn visit(array: &ArrayRef, parent: Option<&NullBuffer>, visitor: &mut impl Visitor) -> Result<(), StateError> {
    let nulls = NullBuffer::union(parent, array.nulls());
    let nulls = nulls.as_ref().filter(|nulls| nulls.null_count() > 0);
    match array.data_type() {
        DataType::Boolean => {
            let values = array.as_boolean();
            visitor.fixed(nulls, 1, |row, out| out[0] = u8::from(values.value(row)));
        }
        DataType::Float16 => {
            let values = array.as_primitive::<Float16Type>();
            visitor.fixed(nulls, 2, |row, out| {
                let value = values.value(row);
                let bits = if value.is_nan() {
                    0x7e00
                } else if value.to_f32() == 0.0 {
                    0
                } else {
                    value.to_bits()
                };
                out.copy_from_slice(&bits.to_le_bytes());
            });
        }
        DataType::Float32 => {
            let values = array.as_primitive::<Float32Type>();
            visitor.fixed(nulls, 4, |row, out| {
                let value = values.value(row);
                let bits = if value.is_nan() { 0x7fc0_0000 } else { (value + 0.0).to_bits() };
                out.copy_from_slice(&bits.to_le_bytes());
            });
        }
        DataType::Float64 => {
            let values = array.as_primitive::<Float64Type>();
            visitor.fixed(nulls, 8, |row, out| {
                out.copy_from_slice(&super::key_hash::float_bits(values.value(row)).to_le_bytes());
            });
        }
        DataType::Utf8 => {
            let values = array.as_string::<i32>();
            visitor.variable(nulls, |row| values.value(row).as_bytes());
        }
        DataType::LargeUtf8 => {
            let values = array.as_string::<i64>();
            visitor.variable(nulls, |row| values.value(row).as_bytes());
        }
        DataType::Utf8View => {
            let values = array.as_string_view();
            visitor.variable(nulls, |row| values.value(row).as_bytes());
        }
        DataType::Binary => {
            let values = array.as_binary::<i32>();
            visitor.variable(nulls, |row| values.value(row));
        }
        DataType::LargeBinary => {
            let values = array.as_binary::<i64>();
            visitor.variable(nulls, |row| values.value(row));
        }
        DataType::BinaryView => {
            let values = array.as_binary_view();
            visitor.variable(nulls, |row| values.value(row));
        }
        DataType::FixedSizeBinary(_) => {
            let values = array.as_fixed_size_binary();
            visitor.variable(nulls, |row| values.value(row));
        }
        DataType::Dictionary(_, values) => visit(&compute::cast(array, values)?, parent, visitor)?,
        DataType::Struct(_) => {
            visitor.tag(nulls);
            for column in array.as_struct().columns() {
                visit(column, nulls, visitor)?;
            }
        }
        other => match other.primitive_width().filter(|_| is_key_type(other)) {
            Some(width) => {
                let data = array.to_data();
                let values = &data.buffers()[0].as_slice()[data.offset() * width..];
                visitor.fixed(nulls, width, |row, out| out.copy_from_slice(&values[row * width..][..width]));
            }
            None => return Err(UnsupportedKey { data_type: other.clone() }.into()),
        },
    }
    Ok(())
}

/// Key columns of `types` from keys that [`EncodedKeys`] made.
///
/// # Errors
///
/// When the bytes are not keys of these types.
pub fn decode_keys(types: &[DataType], mut keys: Vec<&[u8]>) -> Result<Vec<ArrayRef>, StateError> {
    let columns = types.iter().map(|data_type| decode(data_type, &mut keys)).collect::<Result<_, _>>()?;
    if keys.iter().any(|rest| !rest.is_empty()) {
        return Err(StateError::CorruptKey);
    }
    Ok(columns)
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Result<&'a [u8], StateError> {
    let (head, tail) = rest.split_at_checked(length).ok_or(StateError::CorruptKey)?;
    *rest = tail;
    Ok(head)
}

fn decode(data_type: &DataType, keys: &mut [&[u8]]) -> Result<ArrayRef, StateError> {
    if keys.is_empty() {
        return Ok(new_empty_array(data_type));
    }
    match data_type {
        DataType::Dictionary(_, values) => Ok(compute::cast(&decode(values, keys)?, data_type)?),
        DataType::Struct(fields) => {
            let (_, nulls) = decode_fixed(0, keys)?;
            let columns = fields.iter().map(|field| decode(field.data_type(), keys)).collect::<Result<Vec<_>, _>>()?;
            Ok(Arc::new(StructArray::try_new_with_length(fields.clone(), columns, nulls, keys.len())?))
        }
        DataType::Utf8
        | DataType::LargeUtf8
        | DataType::Utf8View
        | DataType::Binary
        | DataType::LargeBinary
        | DataType::BinaryView
        | DataType::FixedSizeBinary(_) => decode_variable(data_type, keys),
        DataType::Boolean => {
            let (bytes, nulls) = decode_fixed(1, keys)?;
            Ok(Arc::new(BooleanArray::new(bytes.iter().map(|byte| *byte != 0).collect(), nulls)))
        }
        other => {
            let width = other.primitive_width().ok_or_else(|| UnsupportedKey { data_type: other.clone() })?;
            let (bytes, nulls) = decode_fixed(width, keys)?;
            fixed_array(other, bytes, nulls)
        }
    }
}

/// A column of fixed-width values from their little-endian bytes.
pub(super) fn fixed_array(
    data_type: &DataType,
    bytes: Vec<u8>,
    nulls: Option<NullBuffer>,
) -> Result<ArrayRef, StateError> {
    let width = data_type.primitive_width().ok_or_else(|| UnsupportedKey { data_type: data_type.clone() })?;
    let data = ArrayData::builder(data_type.clone())
        .len(bytes.len() / width)
        .add_buffer(Buffer::from(bytes))
        .nulls(nulls)
        .align_buffers(true)
        .build()?;
    Ok(make_array(data))
}

fn decode_fixed(width: usize, keys: &mut [&[u8]]) -> Result<(Vec<u8>, Option<NullBuffer>), StateError> {
    let mut bytes = Vec::with_capacity(keys.len() * width);
    let mut valid = Vec::with_capacity(keys.len());
    for rest in keys {
        valid.push(take(rest, 1)?[0] != 0);
        bytes.extend_from_slice(take(rest, width)?);
    }
    Ok((bytes, Some(NullBuffer::from(valid)).filter(|nulls| nulls.null_count() > 0)))
}

fn decode_variable(data_type: &DataType, keys: &mut [&[u8]]) -> Result<ArrayRef, StateError> {
    let mut lengths = Vec::with_capacity(keys.len());
    let mut bytes = Vec::new();
    let mut valid = Vec::with_capacity(keys.len());
    for rest in keys {
        valid.push(take(rest, 1)?[0] != 0);
        let length = u32::from_le_bytes(take(rest, 4)?.try_into().map_err(|_| StateError::CorruptKey)?) as usize;
        bytes.extend_from_slice(take(rest, length)?);
        lengths.push(length);
        if i32::try_from(bytes.len()).is_err() {
            return Err(ArrowError::OffsetOverflowError(bytes.len()).into());
        }
    }
    let nulls = Some(NullBuffer::from(valid)).filter(|nulls| nulls.null_count() > 0);
    let array = BinaryArray::try_new(OffsetBuffer::from_lengths(lengths), Buffer::from(bytes), nulls)?;
    if data_type == &DataType::Binary {
        return Ok(Arc::new(array));
    }
    let wanted = if matches!(data_type, DataType::LargeUtf8 | DataType::Utf8View) {
        compute::cast(&compute::cast(&array, &DataType::Utf8)?, data_type)?
    } else if let DataType::FixedSizeBinary(width) = data_type {
        let values = array.iter();
        Arc::new(arrow::array::FixedSizeBinaryArray::try_from_sparse_iter_with_size(values, *width)?)
    } else {
        compute::cast(&array, data_type)?
    };
    Ok(wanted)
}

#[cfg(test)]
mod tests {
    use arrow::array::{Decimal128Array, DictionaryArray, Float64Array, Int64Array, StringArray, StringViewArray};
    use arrow::datatypes::{Field, Int32Type};
    use proptest::prelude::*;

    use super::*;

    type Row = (Option<String>, Option<i64>, Option<i128>, Option<bool>);

    fn columns(rows: &[Row]) -> Vec<ArrayRef> {
        let text = StringArray::from_iter(rows.iter().map(|row| row.0.as_deref()));
        let view = StringViewArray::from_iter(rows.iter().map(|row| row.0.as_deref()));
        let number: Int64Array = rows.iter().map(|row| row.1).collect();
        let dictionary: DictionaryArray<Int32Type> = rows.iter().map(|row| row.0.as_deref()).collect();
        let nested = StructArray::new(
            vec![Arc::new(Field::new("n", DataType::Int64, true))].into(),
            vec![Arc::new(number.clone())],
            None,
        );
        vec![
            Arc::new(text),
            Arc::new(number),
            Arc::new(rows.iter().map(|row| row.2).collect::<Decimal128Array>()),
            Arc::new(rows.iter().map(|row| row.3).collect::<BooleanArray>()),
            Arc::new(view),
            Arc::new(dictionary),
            Arc::new(nested),
        ]
    }

    proptest! {
        #[test]
        fn keys_come_back_as_they_went_in(rows: Vec<Row>) {
            let columns = columns(&rows);
            let types: Vec<DataType> = columns.iter().map(|column| column.data_type().clone()).collect();
            let mut encoded = EncodedKeys::default();
            encoded.encode(&columns, rows.len()).unwrap();
            let keys = (0..rows.len()).map(|row| encoded.get(row)).collect();
            let decoded = decode_keys(&types, keys).unwrap();
            for (before, after) in columns.iter().zip(&decoded) {
                let text = |array: &ArrayRef| -> Vec<String> {
                    let show = arrow::util::display::ArrayFormatter::try_new(array, &Default::default()).unwrap();
                    (0..array.len()).map(|row| show.value(row).to_string()).collect()
                };
                prop_assert_eq!(before.data_type(), after.data_type());
                prop_assert_eq!(text(before), text(after));
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
            let types = [DataType::Utf8, DataType::Int64];
            let _ = decode_keys(&types, vec![&bytes]);
        }
    }

    #[test]
    fn equal_floats_have_equal_bytes() {
        let column: ArrayRef = Arc::new(Float64Array::from(vec![0.0, -0.0, f64::NAN, -f64::NAN]));
        let mut encoded = EncodedKeys::default();
        encoded.encode(&[column], 4).unwrap();
        assert_eq!(encoded.get(0), encoded.get(1));
        assert_eq!(encoded.get(2), encoded.get(3));
    }
}
