//! Why a batch and a record type do not fit each other.

use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use pelton_runtime_core::failure::{Classify, FailureClass};

/// A batch that cannot be read as a record, or records that cannot become a batch.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The record has a field for which the batch has no column.
    #[error("no column `{column}` of type {expected}, which record `{record}` needs; there is {present}")]
    MissingColumn {
        /// The record or its nested record that needs the column.
        record: &'static str,
        /// The column's path.
        column: String,
        /// The type it must have.
        expected: DataType,
        /// The names that exist beside it, as a readable list.
        present: String,
    },
    /// The column has another type than the field.
    #[error("column `{column}` has type {found}, but the record needs {expected}")]
    WrongType {
        /// The column's path.
        column: String,
        /// The type that the record's field needs.
        expected: DataType,
        /// The type in the batch.
        found: DataType,
    },
    /// The column holds NULL and the field is not an `Option`.
    #[error("column `{column}` is NULL in row {row}, but the record's field is not an `Option`")]
    UnexpectedNull {
        /// The column's path.
        column: String,
        /// The first row with NULL: of the batch, or of the elements if a list is on the path.
        row: usize,
    },
    /// The column holds a value that Arrow allows and the Rust type does not.
    #[error("column `{column}` holds {value} in row {row}, which is not {expected}")]
    InvalidValue {
        /// The column's path.
        column: String,
        /// The first such row: of the batch, or of the elements if a list is on the path.
        row: usize,
        /// The value.
        value: String,
        /// What would be valid.
        expected: String,
    },
    /// Text, bytes or list elements of one batch exceed what Arrow's 32-bit offsets can address.
    #[error("column `{column}` of one batch would hold {size}, more than the {limit} a column can", limit = i32::MAX)]
    TooLarge {
        /// The column's path.
        column: String,
        /// Bytes of text or binary, or elements of lists.
        size: usize,
    },
    /// Arrow refused to assemble or convert a column.
    #[error("column `{column}` cannot be assembled or converted")]
    Arrow {
        /// The column's path.
        column: String,
        /// Arrow's own words.
        source: ArrowError,
    },
}

impl Classify for RecordError {
    fn class(&self) -> FailureClass {
        // The program's types and its data decide all of these; trying again changes neither.
        FailureClass::User
    }
}
