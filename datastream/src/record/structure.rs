//! Columns of structs: what derived structs, enums with payloads, tuples and whole rows are read from
//! and assembled to.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, StructArray};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::datatypes::{DataType, Fields};

use super::enumeration::VariantCodes;
use super::reader::{readable_list, refuse_nulls, wrong_type};
use super::{ColumnBuilder, ColumnPath, ColumnReader, Record, RecordError, Variants};

/// A column of structs whose children are opened by name.
pub struct StructColumn<'a> {
    record: &'static str,
    array: &'a StructArray,
    path: ColumnPath<'a>,
    relevant: Option<NullBuffer>,
}

impl<'a> StructColumn<'a> {
    /// Checks that the column holds structs, and no NULL in relevant rows.
    pub fn open<R: Record>(
        array: &'a ArrayRef,
        record: &'static str,
        path: &ColumnPath<'a>,
        relevant: Option<&NullBuffer>,
    ) -> Result<Self, RecordError> {
        let typed = array.as_struct_opt().ok_or_else(|| wrong_type::<R>(array, path))?;
        refuse_nulls(array, path, relevant)?;
        Ok(Self { record, array: typed, path: *path, relevant: relevant.cloned() })
    }

    /// Opens the child `name`.
    pub fn child<C: ColumnReader>(&self, name: &str) -> Result<C, RecordError> {
        let array = self.required(name, C::Value::data_type)?;
        C::open(array, &self.path.child(name), self.relevant.as_ref())
    }

    /// Opens the child `name`, or stands in for it with [`Record::scratch`] if there is none.
    pub fn child_or_default<C: ColumnReader>(&self, name: &str) -> Result<C, RecordError> {
        if self.array.column_by_name(name).is_some() {
            return self.child(name);
        }
        let path = self.path.child(name);
        let mut fillers = <C::Value as Record>::Builder::default();
        (0..self.array.len()).for_each(|_| fillers.append_filler());
        C::open(&fillers.finish(&path, None)?, &path, None)
    }

    /// Opens the child `name` as names of `E`'s variants.
    pub fn variants<E: Variants>(&self, name: &str) -> Result<VariantCodes, RecordError> {
        let array = self.required(name, || DataType::Utf8)?;
        VariantCodes::open::<E>(array, &self.path.child(name), self.relevant.as_ref())
    }

    /// Opens the child `name` as the payload of the variant `code`. Only that variant's rows count.
    pub fn payload<'b>(
        &'b self,
        name: &'b str,
        codes: &VariantCodes,
        code: u16,
    ) -> Result<StructColumn<'b>, RecordError> {
        let path = self.path.child(name);
        let array = self.required(name, || DataType::Struct(Fields::empty()))?;
        let typed = array.as_struct_opt().ok_or_else(|| RecordError::WrongType {
            column: path.to_string(),
            expected: DataType::Struct(Fields::empty()),
            found: array.data_type().clone(),
        })?;
        let of_variant = BooleanBuffer::collect_bool(typed.len(), |row| codes.code(row) == code);
        let relevant = Some(NullBuffer::new(of_variant));
        refuse_nulls(array, &path, relevant.as_ref())?;
        Ok(StructColumn { record: self.record, array: typed, path, relevant })
    }

    fn required(&self, name: &str, expected: impl Fn() -> DataType) -> Result<&'a ArrayRef, RecordError> {
        self.array.column_by_name(name).ok_or_else(|| RecordError::MissingColumn {
            record: self.record,
            column: self.path.child(name).to_string(),
            expected: expected(),
            present: readable_list(self.array.fields().iter().map(|field| field.name().as_str())),
        })
    }
}

/// The builder of a derived struct, which its borrowed companion appends to field by field.
pub trait StructBuilder: ColumnBuilder {
    /// The builders of the fields, under the fields' names.
    type Columns;

    /// The builders of the fields. Whoever appends must append to each the same number of values.
    fn columns(&mut self) -> &mut Self::Columns;
}

/// Assembles a column of structs from its children.
pub fn finish_struct(
    fields: &Fields,
    columns: Vec<ArrayRef>,
    path: &ColumnPath<'_>,
    nulls: Option<NullBuffer>,
) -> Result<ArrayRef, RecordError> {
    let array = StructArray::try_new(fields.clone(), columns, nulls)
        .map_err(|source| RecordError::Arrow { column: path.to_string(), source })?;
    Ok(Arc::new(array))
}

/// The fields of the struct type of a record; none for any other type.
pub fn struct_fields<R: Record>() -> Fields {
    match R::data_type() {
        DataType::Struct(fields) => fields,
        _ => Fields::empty(),
    }
}

/// The fields of the struct that is the field at `index`; none for any other type.
pub fn nested_fields(fields: &Fields, index: usize) -> Fields {
    match fields[index].data_type() {
        DataType::Struct(fields) => fields.clone(),
        _ => Fields::empty(),
    }
}
