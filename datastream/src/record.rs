//! Rust types as Arrow columns: what a stream's elements are.
//!
//! A [`Record`] type knows its Arrow form, how to be read from columns and how to be appended to
//! columns. The same trait serves a whole stream element and a single field of one, so records nest
//! freely. `#[derive(Record)]` implements it for structs and enums.
//!
//! ```
//! use pelton::record::{Record, RecordBuilder, RecordReader, Timestamp};
//!
//! #[derive(Debug, Clone, PartialEq, Record)]
//! struct Trip {
//!     driver: String,
//!     started: Timestamp,
//!     fare: Option<f64>,
//! }
//!
//! # fn main() -> Result<(), pelton::record::RecordError> {
//! let mut trips = RecordBuilder::<Trip>::new();
//! trips.append(&Trip { driver: "ann".into(), started: Timestamp::from_millis(7), fare: None });
//! let batch = trips.finish()?;
//!
//! let reader = RecordReader::<Trip>::open(&batch)?;
//! let mut trip = Trip::scratch();
//! for row in 0..reader.len() {
//!     reader.read_into(row, &mut trip); // reuses the memory of `trip`
//!     assert_eq!(trip.driver, "ann");
//! }
//! assert_eq!(Trip::driver.name(), "driver"); // a column as a value, for `key_by` and the like
//! # Ok(())
//! # }
//! ```
//!
//! # The mapping
//!
//! | Rust | Arrow |
//! |---|---|
//! | `bool`, `i8`…`i64`, `u8`…`u64`, `f32`, `f64` | the type of the same name |
//! | `String` | `Utf8`; also reads `LargeUtf8`, `Utf8View` and dictionaries of them |
//! | `Vec<u8>` | `Binary`; also reads `LargeBinary`, `BinaryView`, `FixedSizeBinary` |
//! | [`Timestamp`] | `Timestamp(ms)`, also reads milliseconds with a time zone |
//! | [`chrono::NaiveDateTime`] | `Timestamp(µs)`; finer digits are cut off |
//! | [`chrono::DateTime<Utc>`](chrono::DateTime) | `Timestamp(µs, UTC)`, reads every zone; finer digits are cut off |
//! | [`chrono::NaiveDate`], [`chrono::NaiveTime`] | `Date32`, `Time64(µs)` |
//! | [`Decimal<P, S>`](Decimal) | `Decimal128(P, S)` |
//! | `Option<F>` | nullable `F` |
//! | `Vec<F>` | `List` of `F` |
//! | derived struct | `Struct`, one child per field |
//! | tuple of up to 8 | `Struct` of `f0`, `f1`, … |
//! | [`Opaque<T>`](Opaque) of any type that serde knows | `Utf8` holding JSON |
//! | derived enum without payloads | `Utf8` holding the variant's name |
//! | derived enum with payloads | `Struct`: `tag` names the variant, then one nullable `Struct` per variant that carries something |
//!
//! Enums avoid Arrow's dictionaries and unions on purpose: text and structs survive Arrow IPC, JSON and
//! Parquet in both directions and can be queried with SQL. (CSV holds no nested values of any kind.)
//!
//! As an element of a stream, a struct, a tuple and an enum with payloads spread over the columns of
//! the batch ([`RowShape::ColumnPerField`]); anything else is one column named `value`.
//!
//! # Invariants
//!
//! - Columns are found by name; extra columns are ignored. Names, types and NULLs are checked once per
//!   batch when a reader is opened, and so are values that Arrow allows and the Rust type does not (an
//!   unknown variant, a date beyond `chrono`'s calendar). After that reading cannot fail.
//! - Rows below a NULL parent are never looked at.
//! - Reading and appending are monomorphized: no dynamic dispatch and no allocation per row beyond
//!   what the value itself needs. `Option<String>` gives up its memory when it reads a NULL.

mod boolean;
mod builder;
mod bytes;
mod column;
mod column_path;
mod decimal;
mod enumeration;
mod error;
mod list;
mod opaque;
mod option;
mod primitive;
mod reader;
mod structure;
mod time;
mod to_record;
mod tuple;

#[cfg(test)]
mod tests;

use std::hash::Hash;
use std::sync::Arc;

use ::arrow::datatypes::{DataType, Field, Schema, SchemaRef};

pub use builder::{ColumnBuilder, RecordBuilder};
pub use column::{Column, TupleField, field};
pub use column_path::ColumnPath;
pub use decimal::{Decimal, DecimalError};
pub use enumeration::Variants;
pub use error::RecordError;
pub use list::ListItem;
pub use opaque::{Opaque, OpaqueBuilder, OpaqueReader, OpaqueValue};
pub use primitive::{Primitive, PrimitiveBuilder, PrimitiveReader};
pub use reader::{ColumnReader, RecordReader};
pub use time::Timestamp;
pub use to_record::ToRecord;

pub use pelton_derive::Record;

// What the code that `#[derive(Record)]` generates is written against.
#[doc(hidden)]
pub use enumeration::{UnitVariants, VariantBuilder, VariantCodes, VariantReader};
#[doc(hidden)]
pub use structure::{StructBuilder, StructColumn, finish_struct, nested_fields, struct_fields};

/// What generated code needs of Arrow, so that users need not depend on it.
#[doc(hidden)]
pub mod arrow {
    pub use ::arrow::array::{ArrayRef, NullBufferBuilder};
    pub use ::arrow::buffer::NullBuffer;
    pub use ::arrow::datatypes::{DataType, Field, Fields};
}

/// The column of a record that is not spread over several columns.
pub const VALUE_COLUMN: &str = "value";

/// A Rust type with an Arrow form: an element of a stream, or a field of one.
///
/// Derive it. By hand it is worth implementing only for a type that is better stored as something
/// else, by [`Primitive`] for example.
#[diagnostic::on_unimplemented(
    message = "`{Self}` has no Arrow form, so it can be neither a stream's element nor a field of one",
    label = "this type does not implement `Record`",
    note = "if the type is yours, derive it: `#[derive(Clone, Record)]`",
    note = "what borrows from a record must own it instead: `String` for `&str`, `Vec<F>` for `&[F]`",
    note = "integers, floats, `bool`, `String`, `Vec<u8>`, `Timestamp`, `Decimal`, chrono's dates and times, \
            and `Option`, `Vec` and tuples of records have one already"
)]
pub trait Record: ToRecord<Self> + Clone + Send + Sync + Sized + 'static {
    /// Reads values of this type from a column.
    type Reader: ColumnReader<Value = Self>;
    /// Collects values of this type into a column.
    type Builder: ColumnBuilder<Value = Self>;
    /// A borrowed value that can be appended in place of an owned one, as `&str` for `String`.
    type Ref<'a>: ToRecord<Self> + Copy;

    /// Whether a column of this type may hold NULL. True only of `Option`.
    const NULLABLE: bool = false;
    /// How an element of this type lies in a batch.
    const ROW_SHAPE: RowShape = RowShape::OneColumn;

    /// Whether equal values always look equal in their column, as a key's must.
    const IS_KEY: bool = true;

    /// The type of a column of such values.
    fn data_type() -> DataType;

    /// Some value, to be overwritten by [`ColumnReader::read_into`].
    fn scratch() -> Self;

    /// Bytes that the value holds beyond its own size.
    #[inline]
    fn heap_bytes(&self) -> usize {
        0
    }

    /// A column named `name` of such values.
    fn arrow_field(name: &str) -> Field {
        Field::new(name, Self::data_type(), Self::NULLABLE)
    }

    /// The schema of a batch of such records.
    fn schema() -> SchemaRef {
        let schema = match (Self::ROW_SHAPE, Self::data_type()) {
            (RowShape::ColumnPerField, DataType::Struct(fields)) => Schema::new(fields),
            _ => Schema::new(vec![Self::arrow_field(VALUE_COLUMN)]),
        };
        Arc::new(schema)
    }
}

/// What the entries of a map in state can be found by.
#[diagnostic::on_unimplemented(
    message = "entries of a map cannot be found by `{Self}`",
    note = "a key must be equal to itself, and hash alike: `#[derive(Clone, PartialEq, Eq, Hash, Record)]`",
    note = "floats are not; use the integer or text that stands for them"
)]
pub trait MapKey: Record + Eq + Hash {}

// Otherwise the compiler speaks of `Eq` and `Hash` one by one.
#[diagnostic::do_not_recommend]
impl<M: Record + Eq + Hash> MapKey for M {}

/// How a record lies in a batch when it is an element of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowShape {
    /// The children of the struct are the columns of the batch.
    ColumnPerField,
    /// The batch has one column, named [`VALUE_COLUMN`].
    OneColumn,
}
