//! Records as columns of state, and back.
//!
//! In such a column NULL means that there is no value. A record that may be NULL itself (`Option`) is therefore wrapped
//! into a struct of one field.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, NullBufferBuilder, RecordBatch, StructArray};
use arrow::datatypes::{DataType, Field, Fields, Schema};
use pelton_runtime_core::state::codec::heap_bytes_of;
use pelton_runtime_core::state::{ColumnError, ValueCodec};

use crate::record::{ColumnBuilder, ColumnPath, ColumnReader, Record, RecordError, VALUE_COLUMN};

/// The codec of records.
pub(crate) fn codec<V: Record>() -> ValueCodec<V> {
    let data_type = if V::NULLABLE { DataType::Struct(wrapped::<V>()) } else { V::data_type() };
    ValueCodec::new(data_type, encode::<V>, decode::<V>).with_heap_bytes(V::heap_bytes)
}

/// The codec of what may be there or not, where it makes no difference whether nothing or `None` was kept.
pub(crate) fn optional_codec<V: Record>() -> ValueCodec<Option<V>> {
    ValueCodec::new(
        codec::<V>().data_type().clone(),
        |values| {
            let values: Vec<Option<&V>> = values.iter().map(|value| value.and_then(Option::as_ref)).collect();
            encode(&values)
        },
        |column| Ok(decode::<V>(column)?.into_iter().map(Some).collect()),
    )
    .with_heap_bytes(|value| value.as_ref().map_or(0, V::heap_bytes))
}

/// The codec of lists of records.
pub(crate) fn list_codec<V: Record>() -> ValueCodec<Vec<V>> {
    ValueCodec::new(
        codec::<V>().list_type(),
        |values| {
            let lists: Vec<Option<&[V]>> = values.iter().map(|list| list.map(Vec::as_slice)).collect();
            codec::<V>().encode_lists(&lists)
        },
        |column| codec::<V>().decode_lists(column),
    )
    .with_heap_bytes(|list| list.capacity() * size_of::<V>() + heap_bytes_of(list.iter(), V::heap_bytes))
}

/// Columns as rows, of which each may hold NULL.
pub(crate) fn rows_of<const N: usize>(columns: [(&str, ArrayRef); N]) -> Result<RecordBatch, ColumnError> {
    let fields = columns.iter().map(|(name, column)| Field::new(*name, column.data_type().clone(), true));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    Ok(RecordBatch::try_new(schema, columns.into_iter().map(|(_, column)| column).collect())?)
}

/// A column of rows that [`rows_of`] made.
pub(crate) fn column_of<'r>(rows: &'r RecordBatch, name: &str) -> Result<&'r ArrayRef, ColumnError> {
    rows.column_by_name(name).ok_or(ColumnError::Corrupt { what: "a column is missing" })
}

fn wrapped<V: Record>() -> Fields {
    Fields::from(vec![Field::new(VALUE_COLUMN, V::data_type(), true)])
}

fn failed(error: RecordError) -> ColumnError {
    ColumnError::Values(Box::new(error))
}

fn encode<V: Record>(values: &[Option<&V>]) -> Result<ArrayRef, ColumnError> {
    let mut builder = V::Builder::default();
    let mut nulls = NullBufferBuilder::new(values.len());
    for value in values {
        match value {
            Some(value) => {
                builder.append(value);
                nulls.append_non_null();
            }
            None => {
                builder.append_filler();
                nulls.append_null();
            }
        }
    }
    let (path, nulls) = (ColumnPath::ROOT.child(VALUE_COLUMN), nulls.finish());
    if !V::NULLABLE {
        return builder.finish(&path, nulls).map_err(failed);
    }
    let inner = builder.finish(&path, None).map_err(failed)?;
    Ok(Arc::new(StructArray::try_new(wrapped::<V>(), vec![inner], nulls)?))
}

/// The column has the codec's type.
fn decode<V: Record>(column: &ArrayRef) -> Result<Vec<Option<V>>, ColumnError> {
    let nulls = column.logical_nulls().filter(|nulls| nulls.null_count() > 0);
    let inner = if V::NULLABLE { column.as_struct().column(0) } else { column };
    let path = ColumnPath::ROOT.child(VALUE_COLUMN);
    let reader = V::Reader::open(inner, &path, nulls.as_ref()).map_err(failed)?;
    Ok(match nulls {
        None => (0..column.len()).map(|row| Some(reader.read(row))).collect(),
        Some(nulls) => (0..column.len()).map(|row| nulls.is_valid(row).then(|| reader.read(row))).collect(),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::record::Timestamp;

    #[derive(Debug, Clone, PartialEq, Record)]
    struct Stop {
        city: String,
        at: Option<Timestamp>,
        tags: Vec<String>,
    }

    #[derive(Debug, Clone, PartialEq, Record)]
    enum Shape {
        Point,
        Circle { radius: f64 },
        Path(Vec<i64>),
    }

    fn check<V: Record + PartialEq + std::fmt::Debug>(codec: ValueCodec<V>, values: &[Option<V>]) {
        let column = codec.encode(&values.iter().map(Option::as_ref).collect::<Vec<_>>()).unwrap();
        assert_eq!(column.data_type(), codec.data_type());
        assert_eq!(codec.decode(&column).unwrap(), values);
        // A part of it, too.
        let from = values.len() / 2;
        assert_eq!(codec.decode(&column.slice(from, values.len() - from)).unwrap(), &values[from..]);
    }

    fn stops() -> impl Strategy<Value = Stop> {
        let tags = prop::collection::vec("[a-z]{0,3}", 0..3);
        ("[a-z]{0,5}", prop::option::of(any::<i32>()), tags).prop_map(|(city, at, tags)| Stop {
            city,
            at: at.map(|at| Timestamp::from_millis(at.into())),
            tags,
        })
    }

    fn shapes() -> impl Strategy<Value = Shape> {
        prop_oneof![
            Just(Shape::Point),
            (0.0..1.0).prop_map(|radius| Shape::Circle { radius }),
            prop::collection::vec(any::<i64>(), 0..3).prop_map(Shape::Path),
        ]
    }

    proptest! {
        #[test]
        fn records_of_every_kind_leave_and_return(
            stops in prop::collection::vec(prop::option::of(stops()), 0..9),
            shapes in prop::collection::vec(prop::option::of(shapes()), 0..9),
            tuples in prop::collection::vec(prop::option::of((any::<i64>(), prop::option::of(any::<bool>()))), 0..9),
        ) {
            check(codec(), &stops);
            check(codec(), &shapes);
            check(codec(), &tuples);
        }

        #[test]
        fn no_value_and_a_value_that_is_none_are_two_things(
            values in prop::collection::vec(prop::option::of(prop::option::of(any::<i64>())), 0..9),
        ) {
            check(codec::<Option<i64>>(), &values);
        }

        #[test]
        fn lists_and_optional_records_leave_and_return(
            lists in prop::collection::vec(prop::option::of(prop::collection::vec(any::<u8>(), 0..4)), 0..9),
            optional in prop::collection::vec(prop::option::of(stops()), 0..9),
        ) {
            let codec = list_codec::<u8>();
            let column = codec.encode(&lists.iter().map(Option::as_ref).collect::<Vec<_>>()).unwrap();
            prop_assert_eq!(codec.decode(&column).unwrap(), lists);
            let codec = optional_codec::<Stop>();
            let column = codec.encode(&optional.iter().map(Some).collect::<Vec<_>>()).unwrap();
            let back: Vec<Option<Stop>> = codec.decode(&column).unwrap().into_iter().flatten().collect();
            prop_assert_eq!(back, optional);
        }
    }
}
