//! Enums: variants as names in a text column.
//!
//! Names are turned into codes once per batch, when a column is opened. So an unknown name is found
//! there, and reading a row is a match on a number.

use std::marker::PhantomData;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::buffer::NullBuffer;

use super::bytes::{BytesBuilder, open_text};
use super::reader::{readable_list, refuse_nulls, wrong_type};
use super::{ColumnBuilder, ColumnPath, ColumnReader, Record, RecordError};

/// A derived enum: its variants by name, in the order of their declaration.
pub trait Variants: Record {
    /// The name of the variant with each code.
    const NAMES: &'static [&'static str];

    /// The code of the value's variant: the place of its name in [`NAMES`](Self::NAMES).
    fn code(&self) -> u16;
}

/// A derived enum none of whose variants carries anything.
pub trait UnitVariants: Variants {
    /// The variant with a code below the number of names.
    fn from_code(code: u16) -> Self;
}

/// The variant of every row of a column.
#[derive(Clone)]
pub struct VariantCodes {
    codes: Arc<[u16]>,
}

/// Stands in the rows that do not count.
const NO_VARIANT: u16 = u16::MAX;

impl VariantCodes {
    /// Looks up the names of `E`'s variants.
    pub fn open<E: Variants>(
        array: &ArrayRef,
        path: &ColumnPath<'_>,
        relevant: Option<&NullBuffer>,
    ) -> Result<Self, RecordError> {
        let names = open_text(array, path)?.ok_or_else(|| wrong_type::<String>(array, path))?;
        refuse_nulls(&names, path, relevant)?;
        let code = |row: usize| {
            if relevant.is_some_and(|relevant| relevant.is_null(row)) {
                return Ok(NO_VARIANT);
            }
            let name = names.value(row);
            E::NAMES.iter().position(|known| *known == name).map(|code| code as u16).ok_or_else(|| {
                RecordError::InvalidValue {
                    column: path.to_string(),
                    row,
                    value: format!("{name:?}"),
                    expected: format!("one of {}", readable_list(E::NAMES.iter().copied())),
                }
            })
        };
        Ok(Self { codes: (0..names.len()).map(code).collect::<Result<_, _>>()? })
    }

    /// The code in a row, which is the code of a variant if the row is relevant.
    #[inline]
    pub fn code(&self, row: usize) -> u16 {
        self.codes[row]
    }
}

/// Reads a column of an enum without payloads.
pub struct VariantReader<E> {
    codes: VariantCodes,
    value: PhantomData<fn() -> E>,
}

impl<E> Clone for VariantReader<E> {
    fn clone(&self) -> Self {
        Self { codes: self.codes.clone(), value: PhantomData }
    }
}

impl<E: UnitVariants> ColumnReader for VariantReader<E> {
    type Value = E;

    fn open(array: &ArrayRef, path: &ColumnPath<'_>, relevant: Option<&NullBuffer>) -> Result<Self, RecordError> {
        Ok(Self { codes: VariantCodes::open::<E>(array, path, relevant)?, value: PhantomData })
    }

    #[inline]
    fn read(&self, row: usize) -> E {
        E::from_code(self.codes.code(row))
    }
}

/// Collects a column of variants by name: of an enum without payloads, or the tags of one with.
pub struct VariantBuilder<E> {
    names: BytesBuilder<String>,
    value: PhantomData<fn(E)>,
}

impl<E> Default for VariantBuilder<E> {
    fn default() -> Self {
        Self { names: BytesBuilder::default(), value: PhantomData }
    }
}

impl<E: Variants> VariantBuilder<E> {
    /// Appends the name of the variant `code`.
    #[inline]
    pub fn append_code(&mut self, code: u16) {
        self.names.append_str(E::NAMES[code as usize]);
    }

    /// The number of names.
    #[inline]
    pub fn num_names(&self) -> usize {
        self.names.len()
    }

    /// The bytes of memory that the names will occupy, roughly.
    #[inline]
    pub fn num_bytes(&self) -> usize {
        self.names.byte_len()
    }

    /// Takes the names out.
    pub fn finish_names(&mut self, path: &ColumnPath<'_>, nulls: Option<NullBuffer>) -> Result<ArrayRef, RecordError> {
        self.names.finish(path, nulls)
    }
}

impl<E: UnitVariants> ColumnBuilder for VariantBuilder<E> {
    type Value = E;

    #[inline]
    fn append(&mut self, value: &E) {
        self.append_code(value.code());
    }

    #[inline]
    fn append_filler(&mut self) {
        self.append_code(0);
    }

    #[inline]
    fn len(&self) -> usize {
        self.num_names()
    }

    #[inline]
    fn byte_len(&self) -> usize {
        self.num_bytes()
    }

    fn finish(&mut self, path: &ColumnPath<'_>, nulls: Option<NullBuffer>) -> Result<ArrayRef, RecordError> {
        self.finish_names(path, nulls)
    }
}
