//! Columns of text (`String`) and of bytes (`Vec<u8>`).
//!
//! Invariant: what a builder of text holds was appended as `str`, whole. That is what makes it sound
//! to hand the bytes to Arrow unchecked.

use std::marker::PhantomData;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, GenericByteArray, StringArray};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::compute::cast;
use arrow::datatypes::{BinaryType, ByteArrayType, DataType, Utf8Type};

use super::reader::{refuse_nulls, wrong_type};
use super::to_record::stands_for_itself;
use super::{ColumnBuilder, ColumnPath, ColumnReader, ListItem, Record, RecordError};

/// Reads a column of `String`.
#[derive(Clone)]
pub struct StringReader {
    values: StringArray,
}

impl StringReader {
    /// The text in a row, where it lies.
    #[inline]
    pub fn get(&self, row: usize) -> &str {
        self.values.value(row)
    }
}

impl ColumnReader for StringReader {
    type Value = String;

    fn open(array: &ArrayRef, path: &ColumnPath<'_>, relevant: Option<&NullBuffer>) -> Result<Self, RecordError> {
        let values = open_text(array, path)?.ok_or_else(|| wrong_type::<String>(array, path))?;
        refuse_nulls(&values, path, relevant)?;
        Ok(Self { values })
    }

    #[inline]
    fn read(&self, row: usize) -> String {
        self.get(row).to_owned()
    }

    #[inline]
    fn read_into(&self, row: usize, value: &mut String) {
        value.clear();
        value.push_str(self.get(row));
    }
}

/// Reads a column of `Vec<u8>`.
#[derive(Clone)]
pub struct BinaryReader {
    values: BinaryArray,
}

impl BinaryReader {
    /// The bytes in a row, where they lie.
    #[inline]
    pub fn get(&self, row: usize) -> &[u8] {
        self.values.value(row)
    }
}

impl ColumnReader for BinaryReader {
    type Value = Vec<u8>;

    fn open(array: &ArrayRef, path: &ColumnPath<'_>, relevant: Option<&NullBuffer>) -> Result<Self, RecordError> {
        use DataType::{Binary, BinaryView, FixedSizeBinary, LargeBinary};
        let readable = matches!(array.data_type(), Binary | LargeBinary | BinaryView | FixedSizeBinary(_));
        let values = convert::<BinaryType>(array, readable, path)?.ok_or_else(|| wrong_type::<Vec<u8>>(array, path))?;
        refuse_nulls(&values, path, relevant)?;
        Ok(Self { values })
    }

    #[inline]
    fn read(&self, row: usize) -> Vec<u8> {
        self.get(row).to_owned()
    }

    #[inline]
    fn read_into(&self, row: usize, value: &mut Vec<u8>) {
        value.clear();
        value.extend_from_slice(self.get(row));
    }
}

/// The column as plain text, converted once per batch if it is text in another encoding.
/// `None` if it is no text.
pub(super) fn open_text(array: &ArrayRef, path: &ColumnPath<'_>) -> Result<Option<StringArray>, RecordError> {
    let is_text = |data_type: &DataType| matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View);
    let readable = match array.data_type() {
        DataType::Dictionary(_, values) => is_text(values),
        other => is_text(other),
    };
    convert::<Utf8Type>(array, readable, path)
}

fn convert<T: ByteArrayType>(
    array: &ArrayRef,
    readable: bool,
    path: &ColumnPath<'_>,
) -> Result<Option<GenericByteArray<T>>, RecordError> {
    if let Some(values) = array.as_bytes_opt::<T>() {
        return Ok(Some(values.clone()));
    }
    if !readable {
        return Ok(None);
    }
    let converted =
        cast(array, &T::DATA_TYPE).map_err(|source| RecordError::Arrow { column: path.to_string(), source })?;
    Ok(converted.as_bytes_opt::<T>().cloned())
}

/// Collects a column of `String` or `Vec<u8>`.
pub struct BytesBuilder<V> {
    /// The end of each value in `bytes`, after a leading zero. Wraps around silently when `bytes`
    /// outgrows `i32`, which `finish` refuses.
    offsets: Vec<i32>,
    bytes: Vec<u8>,
    value: PhantomData<fn(V)>,
}

impl<V> Default for BytesBuilder<V> {
    fn default() -> Self {
        Self { offsets: vec![0], bytes: Vec::new(), value: PhantomData }
    }
}

impl<V> BytesBuilder<V> {
    #[inline]
    fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.offsets.push(self.bytes.len() as i32);
    }

    #[inline]
    fn num_values(&self) -> usize {
        self.offsets.len() - 1
    }

    #[inline]
    fn num_bytes(&self) -> usize {
        self.bytes.len() + size_of_val(self.offsets.as_slice())
    }

    fn take(
        &mut self,
        path: &ColumnPath<'_>,
        nulls: &Option<NullBuffer>,
    ) -> Result<(OffsetBuffer<i32>, Buffer), RecordError> {
        let mut offsets = Vec::with_capacity(self.offsets.len());
        offsets.push(0);
        let offsets = std::mem::replace(&mut self.offsets, offsets);
        let reserved = Vec::with_capacity(self.bytes.len().min(i32::MAX as usize));
        let bytes = std::mem::replace(&mut self.bytes, reserved);
        if bytes.len() > i32::MAX as usize {
            return Err(RecordError::TooLarge { column: path.to_string(), size: bytes.len() });
        }
        assert!(nulls.as_ref().is_none_or(|nulls| nulls.len() + 1 == offsets.len()));
        // SAFETY: there is at least the leading zero, and each further offset is the length of
        // `bytes` at some later moment; none of them wrapped, as the last is the largest.
        let offsets = unsafe { OffsetBuffer::new_unchecked(ScalarBuffer::from(offsets)) };
        Ok((offsets, Buffer::from_vec(bytes)))
    }
}

impl BytesBuilder<String> {
    /// Appends text.
    #[inline]
    pub fn append_str(&mut self, value: &str) {
        self.push(value.as_bytes());
    }
}

impl BytesBuilder<Vec<u8>> {
    /// Appends bytes.
    #[inline]
    pub fn append_bytes(&mut self, value: &[u8]) {
        self.push(value);
    }
}

impl ColumnBuilder for BytesBuilder<String> {
    type Value = String;

    #[inline]
    fn append(&mut self, value: &String) {
        self.append_str(value);
    }

    #[inline]
    fn append_filler(&mut self) {
        self.append_str("");
    }

    #[inline]
    fn len(&self) -> usize {
        self.num_values()
    }

    #[inline]
    fn byte_len(&self) -> usize {
        self.num_bytes()
    }

    fn finish(&mut self, path: &ColumnPath<'_>, nulls: Option<NullBuffer>) -> Result<ArrayRef, RecordError> {
        let (offsets, bytes) = self.take(path, &nulls)?;
        // SAFETY: only whole `str`s were appended, so every value is UTF-8; `take` has shown that
        // the offsets are within `bytes` and as many as `nulls`.
        Ok(Arc::new(unsafe { StringArray::new_unchecked(offsets, bytes, nulls) }))
    }
}

impl ColumnBuilder for BytesBuilder<Vec<u8>> {
    type Value = Vec<u8>;

    #[inline]
    fn append(&mut self, value: &Vec<u8>) {
        self.append_bytes(value);
    }

    #[inline]
    fn append_filler(&mut self) {
        self.append_bytes(&[]);
    }

    #[inline]
    fn len(&self) -> usize {
        self.num_values()
    }

    #[inline]
    fn byte_len(&self) -> usize {
        self.num_bytes()
    }

    fn finish(&mut self, path: &ColumnPath<'_>, nulls: Option<NullBuffer>) -> Result<ArrayRef, RecordError> {
        let (offsets, bytes) = self.take(path, &nulls)?;
        Ok(Arc::new(BinaryArray::new(offsets, bytes, nulls)))
    }
}

impl Record for String {
    type Reader = StringReader;
    type Builder = BytesBuilder<String>;
    type Ref<'a> = &'a str;

    fn data_type() -> DataType {
        DataType::Utf8
    }
    #[inline]
    fn scratch() -> String {
        String::new()
    }
    #[inline]
    fn heap_bytes(&self) -> usize {
        self.capacity()
    }
}

impl Record for Vec<u8> {
    type Reader = BinaryReader;
    type Builder = BytesBuilder<Vec<u8>>;
    type Ref<'a> = &'a [u8];

    fn data_type() -> DataType {
        DataType::Binary
    }
    #[inline]
    fn scratch() -> Vec<u8> {
        Vec::new()
    }
    #[inline]
    fn heap_bytes(&self) -> usize {
        self.capacity()
    }
}

impl ListItem for String {}
impl ListItem for Vec<u8> {}
stands_for_itself!(String);
stands_for_itself!(Vec<u8>);
