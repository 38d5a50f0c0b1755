//! The keys of one batch, hashed and in the form in which an index compares them.
//!
//! A key of one column whose values fit into 64 bits is a *word*; every other key is bytes
//! ([`key_codec`](super::key_codec)). Which form applies depends on the columns' types alone.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{
    DataType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, IntervalUnit, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};

use super::StateError;
use super::key_codec::EncodedKeys;
use super::key_hash::{float_bits, hash_columns};

/// Which rows of a batch a call is about.
#[derive(Debug, Clone, Copy)]
pub enum Rows<'a> {
    /// The first so many rows: all of them.
    All(usize),
    /// These rows, in this order.
    Picked(&'a [u32]),
}

impl Rows<'_> {
    /// Number of rows.
    #[inline]
    pub fn len(&self) -> usize {
        match self {
            Self::All(rows) => *rows,
            Self::Picked(rows) => rows.len(),
        }
    }

    /// Whether there are none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The row at a position of the selection.
    #[inline]
    pub fn get(&self, position: usize) -> usize {
        match self {
            Self::All(_) => position,
            Self::Picked(rows) => rows[position] as usize,
        }
    }

    /// Calls `action` with every row and what belongs to it in `beside`, which is as long as the selection.
    #[inline(always)]
    pub fn zip<T: Copy>(self, beside: &[T], mut action: impl FnMut(usize, T)) {
        match self {
            Self::All(_) => beside.iter().enumerate().for_each(|(row, item)| action(row, *item)),
            Self::Picked(rows) => rows.iter().zip(beside).for_each(|(row, item)| action(*row as usize, *item)),
        }
    }
}

/// The keys of a batch. Reused from batch to batch, so that it allocates nothing once it is warm.
#[derive(Debug, Default)]
pub struct KeyBatch {
    rows: usize,
    types: Vec<DataType>,
    hashes: Vec<u64>,
    words: Vec<u64>,
    nulls: Option<NullBuffer>,
    encoded: EncodedKeys,
}

/// How an index sees the keys.
#[derive(Debug, Clone, Copy)]
pub(super) enum KeyForm<'a> {
    Words { words: &'a [u64], nulls: Option<&'a NullBuffer> },
    Bytes(&'a EncodedKeys),
}

impl KeyBatch {
    /// Replaces the content by the keys in `columns`.
    ///
    /// # Errors
    ///
    /// When a column has a type that cannot be a key.
    pub fn read(&mut self, columns: &[ArrayRef], rows: usize) -> Result<(), StateError> {
        if !self.types.iter().eq(columns.iter().map(|column| column.data_type())) {
            self.types = columns.iter().map(|column| column.data_type().clone()).collect();
        }
        self.rows = rows;
        hash_columns(columns, rows, &mut self.hashes)?;
        if is_word(&self.types) {
            read_words(&columns[0], &mut self.words);
            self.nulls = columns[0].nulls().filter(|nulls| nulls.null_count() > 0).cloned();
            Ok(())
        } else {
            self.encoded.encode(columns, rows)
        }
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// The types of the key's columns.
    pub fn types(&self) -> &[DataType] {
        &self.types
    }

    /// The rows' hashes, which decide about their key groups.
    pub fn hashes(&self) -> &[u64] {
        &self.hashes
    }

    pub(super) fn form(&self) -> KeyForm<'_> {
        if is_word(&self.types) {
            KeyForm::Words { words: &self.words, nulls: self.nulls.as_ref() }
        } else {
            KeyForm::Bytes(&self.encoded)
        }
    }
}

/// Whether keys of these types are words. Their hash is then that of the word alone.
pub(super) fn is_word(types: &[DataType]) -> bool {
    match types {
        [DataType::Float16] => false,
        [DataType::Boolean] => true,
        [DataType::Interval(unit)] => *unit == IntervalUnit::YearMonth,
        [other] => other.primitive_width().is_some_and(|width| width <= 8),
        _ => false,
    }
}

fn read_words(column: &ArrayRef, words: &mut Vec<u64>) {
    words.clear();
    macro_rules! integers {
        ($type:ty) => {
            words.extend(column.as_primitive::<$type>().values().iter().map(|value| *value as i64 as u64))
        };
    }
    match column.data_type() {
        DataType::Boolean => words.extend(column.as_boolean().values().iter().map(u64::from)),
        DataType::Float32 => {
            words.extend(column.as_primitive::<Float32Type>().values().iter().map(|v| float_bits(f64::from(*v))));
        }
        DataType::Float64 => {
            words.extend(column.as_primitive::<Float64Type>().values().iter().map(|value| float_bits(*value)));
        }
        DataType::Int8 => integers!(Int8Type),
        DataType::Int16 => integers!(Int16Type),
        DataType::Int32 => integers!(Int32Type),
        DataType::Int64 => integers!(Int64Type),
        DataType::UInt8 => integers!(UInt8Type),
        DataType::UInt16 => integers!(UInt16Type),
        DataType::UInt32 => integers!(UInt32Type),
        DataType::UInt64 => integers!(UInt64Type),
        other => {
            // Dates, times, timestamps, durations, small decimals: signed integers of 4 or 8 bytes underneath.
            let data = column.to_data();
            let range = data.offset()..data.offset() + data.len();
            if other.primitive_width() == Some(4) {
                let values = &data.buffers()[0].typed_data::<i32>()[range];
                words.extend(values.iter().map(|value| i64::from(*value) as u64));
            } else {
                let values = &data.buffers()[0].typed_data::<i64>()[range];
                words.extend(values.iter().map(|value| *value as u64));
            }
        }
    }
}
