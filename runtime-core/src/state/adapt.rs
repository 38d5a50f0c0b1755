//! From the type that state was written with to the type that the program has now.
//!
//! What may change between two versions of a program: fields may be reordered, nullable fields added, fields become
//! nullable, numbers widened where no value is lost. Everything else is refused, with the field's name.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, ListArray, StructArray, new_null_array};
use arrow::compute;
use arrow::datatypes::{DataType, Fields};

/// State of one type does not fit a program that has another.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{mismatch}", field_name(.field))]
pub struct Incompatible {
    /// The path of the field, empty for the whole value.
    pub field: String,
    /// What does not fit.
    pub mismatch: Mismatch,
}

/// What does not fit about a field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// The types differ.
    #[error("has type {found} in the checkpoint, but the program needs {expected}")]
    Type {
        /// The type in the checkpoint.
        found: DataType,
        /// The program's.
        expected: DataType,
    },
    /// The program has a field that the checkpoint lacks.
    #[error("is missing in the checkpoint, and only an optional field can be added")]
    Added,
    /// The checkpoint has a field that the program lacks.
    #[error("is in the checkpoint, but the program has it no more")]
    Removed,
    /// There are NULLs where the program allows none.
    #[error("is NULL in the checkpoint, but the program needs a value")]
    Null,
    /// Arrow could not convert.
    #[error("cannot be converted: {0}")]
    Conversion(String),
}

fn field_name(field: &str) -> String {
    if field.is_empty() { "it ".to_owned() } else { format!("its field `{field}` ") }
}

/// `array` as a column of type `to`.
///
/// # Errors
///
/// When the types are further apart than compatible changes go.
pub fn adapt(array: &ArrayRef, to: &DataType) -> Result<ArrayRef, Incompatible> {
    adapt_at(array, to, &mut Vec::new())
}

fn adapt_at<'t>(array: &ArrayRef, to: &'t DataType, path: &mut Vec<&'t str>) -> Result<ArrayRef, Incompatible> {
    if array.data_type() == to {
        return Ok(array.clone());
    }
    match (array.data_type(), to) {
        (DataType::Struct(_), DataType::Struct(fields)) => adapt_struct(array.as_struct(), fields, path),
        (DataType::List(_), DataType::List(item)) => {
            let list = array.as_list::<i32>();
            path.push(item.name());
            let values = adapt_at(list.values(), item.data_type(), path)?;
            let adapted = ListArray::try_new(item.clone(), list.offsets().clone(), values, list.nulls().cloned());
            let adapted = adapted.map_err(|_| refused(path, Mismatch::Null))?;
            path.pop();
            Ok(Arc::new(adapted))
        }
        (from, to) if widens(from, to) => {
            compute::cast(array, to).map_err(|error| refused(path, Mismatch::Conversion(error.to_string())))
        }
        (found, expected) => Err(refused(path, Mismatch::Type { found: found.clone(), expected: expected.clone() })),
    }
}

fn adapt_struct<'t>(
    array: &StructArray,
    fields: &'t Fields,
    path: &mut Vec<&'t str>,
) -> Result<ArrayRef, Incompatible> {
    if let Some(gone) = array.fields().iter().find(|field| fields.find(field.name()).is_none()) {
        let mut path: Vec<&str> = path.clone();
        path.push(gone.name());
        return Err(refused(&path, Mismatch::Removed));
    }
    let mut columns = Vec::with_capacity(fields.len());
    for field in fields {
        path.push(field.name());
        let column = match array.column_by_name(field.name()) {
            Some(column) => adapt_at(column, field.data_type(), path)?,
            None if field.is_nullable() => new_null_array(field.data_type(), array.len()),
            None => return Err(refused(path, Mismatch::Added)),
        };
        let within = array.nulls().map_or(0, |nulls| nulls.null_count());
        if !field.is_nullable() && column.null_count() > within && !masked(&column, array) {
            return Err(refused(path, Mismatch::Null));
        }
        path.pop();
        columns.push(column);
    }
    let adapted = StructArray::try_new_with_length(fields.clone(), columns, array.nulls().cloned(), array.len());
    Ok(Arc::new(adapted.map_err(|error| refused(path, Mismatch::Conversion(error.to_string())))?))
}

/// Whether the column is NULL only where its parent is.
fn masked(column: &ArrayRef, parent: &StructArray) -> bool {
    (0..column.len()).all(|row| column.is_valid(row) || parent.is_null(row))
}

fn refused(path: &[&str], mismatch: Mismatch) -> Incompatible {
    Incompatible { field: path.join("."), mismatch }
}

/// Whether every value of one type of number is a value of the other.
fn widens(from: &DataType, to: &DataType) -> bool {
    use DataType::{Decimal128, Float32, Float64, Int8, Int16, Int32, Int64, UInt8, UInt16, UInt32, UInt64};
    match (from, to) {
        (Int8, Int16 | Int32 | Int64 | Float32 | Float64)
        | (Int16, Int32 | Int64 | Float32 | Float64)
        | (Int32, Int64 | Float64)
        | (UInt8, UInt16 | UInt32 | UInt64 | Int16 | Int32 | Int64 | Float32 | Float64)
        | (UInt16, UInt32 | UInt64 | Int32 | Int64 | Float32 | Float64)
        | (UInt32, UInt64 | Int64 | Float64)
        | (Float32, Float64) => true,
        (Decimal128(precision, scale), Decimal128(wider, finer)) => {
            let whole_digits = |precision: u8, scale: i8| i16::from(precision) - i16::from(scale);
            finer >= scale && whole_digits(*wider, *finer) >= whole_digits(*precision, *scale)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Decimal128Array, Float64Array, Int32Array, Int64Array, StringArray, UInt32Array};
    use arrow::buffer::NullBuffer;
    use arrow::datatypes::{Field, Int32Type, Int64Type};

    use super::*;

    fn trip(fields: Vec<(Field, ArrayRef)>, nulls: Option<Vec<bool>>) -> ArrayRef {
        let (fields, columns): (Vec<_>, Vec<_>) = fields.into_iter().unzip();
        Arc::new(StructArray::new(fields.into(), columns, nulls.map(NullBuffer::from)))
    }

    fn written() -> ArrayRef {
        let city: ArrayRef = Arc::new(StringArray::from(vec!["Ulm", "Rom"]));
        let fare: ArrayRef = Arc::new(Int32Array::from(vec![3, 4]));
        trip(
            vec![(Field::new("city", DataType::Utf8, false), city), (Field::new("fare", DataType::Int32, false), fare)],
            Some(vec![true, false]),
        )
    }

    fn fields(fields: &[(&str, DataType, bool)]) -> DataType {
        DataType::Struct(fields.iter().map(|(name, of, nullable)| Field::new(*name, of.clone(), *nullable)).collect())
    }

    #[test]
    fn reordered_added_and_widened_fields_just_work() {
        let to = fields(&[
            ("fare", DataType::Int64, false),
            ("tip", DataType::Float64, true),
            ("city", DataType::Utf8, true),
        ]);
        let adapted = adapt(&written(), &to).unwrap();
        assert_eq!(adapted.data_type(), &to);
        let adapted = adapted.as_struct();
        assert_eq!(adapted.column(0).as_primitive::<Int64Type>().value(0), 3);
        assert_eq!(adapted.column(1).null_count(), 2);
        assert_eq!(adapted.column(2).as_string::<i32>().value(0), "Ulm");
        assert!(adapted.is_null(1));
    }

    #[test]
    fn changes_inside_of_lists_just_work() {
        let item = Arc::new(Field::new("item", written().data_type().clone(), true));
        let offsets = super::super::codec::offsets([2, 0].into_iter()).unwrap();
        let list: ArrayRef = Arc::new(ListArray::new(item, offsets, written(), None));
        let to = fields(&[("city", DataType::Utf8, false), ("fare", DataType::Int64, false)]);
        let to = DataType::List(Arc::new(Field::new("item", to, true)));
        let adapted = adapt(&list, &to).unwrap();
        assert_eq!(adapted.data_type(), &to);
        assert_eq!(adapted.as_list::<i32>().value_length(0), 2);
    }

    #[test]
    fn numbers_widen_where_nothing_is_lost() {
        let as_type = |array: ArrayRef, to| adapt(&array, &to).unwrap();
        let small: ArrayRef = Arc::new(Int32Array::from(vec![Some(i32::MIN), None, Some(7)]));
        let expected: ArrayRef = Arc::new(Int64Array::from(vec![Some(i64::from(i32::MIN)), None, Some(7)]));
        assert_eq!(&as_type(small.clone(), DataType::Int64), &expected);
        let expected: ArrayRef = Arc::new(Float64Array::from(vec![Some(f64::from(i32::MIN)), None, Some(7.0)]));
        assert_eq!(&as_type(small, DataType::Float64), &expected);
        let natural: ArrayRef = Arc::new(UInt32Array::from(vec![u32::MAX]));
        let expected: ArrayRef = Arc::new(Int64Array::from(vec![i64::from(u32::MAX)]));
        assert_eq!(&as_type(natural, DataType::Int64), &expected);
        let money = |value, precision, scale| -> ArrayRef {
            Arc::new(Decimal128Array::from(vec![value]).with_precision_and_scale(precision, scale).unwrap())
        };
        assert_eq!(&as_type(money(1250, 6, 2), DataType::Decimal128(9, 3)), &money(12500, 9, 3));
    }

    #[test]
    fn whatever_could_lose_a_value_is_refused_with_the_fields_name() {
        let refused = |to: DataType| adapt(&written(), &to).unwrap_err().to_string();
        let city = ("city", DataType::Utf8, false);
        assert_eq!(
            refused(fields(&[city.clone(), ("fare", DataType::Int16, false)])),
            "its field `fare` has type Int32 in the checkpoint, but the program needs Int16"
        );
        assert_eq!(
            refused(fields(&[city.clone(), ("fare", DataType::Int32, false), ("tip", DataType::Int32, false)])),
            "its field `tip` is missing in the checkpoint, and only an optional field can be added"
        );
        assert_eq!(refused(fields(&[city])), "its field `fare` is in the checkpoint, but the program has it no more");
        assert_eq!(refused(DataType::Utf8).split(' ').take(3).collect::<Vec<_>>(), ["it", "has", "type"]);
        let holes: ArrayRef = Arc::new(Int32Array::from(vec![Some(1), None]));
        let optional = trip(vec![(Field::new("fare", DataType::Int32, true), holes)], None);
        assert_eq!(
            adapt(&optional, &fields(&[("fare", DataType::Int32, false)])).unwrap_err().to_string(),
            "its field `fare` is NULL in the checkpoint, but the program needs a value"
        );
        let floats: ArrayRef = Arc::new(Int64Array::from(vec![1]));
        assert!(adapt(&floats, &DataType::Float64).is_err(), "not every Int64 is a Float64");
        let decimals: ArrayRef = Arc::new(Decimal128Array::from(vec![1]).with_precision_and_scale(6, 2).unwrap());
        assert!(adapt(&decimals, &DataType::Decimal128(6, 3)).is_err(), "a digit before the point would be lost");
    }

    #[test]
    fn a_missing_value_hides_the_fields_below_it() {
        let fare: ArrayRef = Arc::new(Int32Array::from(vec![Some(1), None]));
        let hidden = trip(vec![(Field::new("fare", DataType::Int32, true), fare)], Some(vec![true, false]));
        let adapted = adapt(&hidden, &fields(&[("fare", DataType::Int32, false)])).unwrap();
        assert_eq!(adapted.as_struct().column(0).as_primitive::<Int32Type>().value(0), 1);
    }
}
