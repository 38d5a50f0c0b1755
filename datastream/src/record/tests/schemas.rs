//! Names, types and nullability in Arrow.

use std::collections::HashMap;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema};
use std::sync::Arc;

use super::{batch, check_reads};
use crate::record::{Decimal, Record, RecordReader, Timestamp, field};

/// One line per column: name, type, and `?` if it may be NULL.
fn columns<R: Record>() -> Vec<String> {
    let schema = R::schema();
    let line = |field: &Arc<Field>| {
        let nullable = if field.is_nullable() { "?" } else { "" };
        format!("{}{nullable} {}", field.name(), field.data_type())
    };
    schema.fields().iter().map(line).collect()
}

#[derive(Debug, Clone, PartialEq, Record)]
#[record(rename_all = "camelCase")]
struct Flight {
    flight_number: u32,
    #[record(rename = "time_hour")]
    hour: Timestamp,
    departure_delay: Option<f64>,
    fare: Decimal<10, 2>,
    r#type: Kind,
    tags: Vec<String>,
    #[record(no_column)]
    seats: Option<(i32, String)>,
}

impl Flight {
    /// Has the name of a field, which is why the field gives up its constant.
    fn seats(&self) -> i32 {
        self.seats.as_ref().map_or(0, |seats| seats.0)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Record)]
enum Kind {
    Cargo,
    Passengers,
}

#[derive(Debug, Clone, PartialEq, Record)]
enum Event {
    Started,
    Moved { by: f64, to: Option<String> },
    Ended(i64),
}

#[test]
fn a_struct_has_a_column_per_field() {
    assert_eq!(
        columns::<Flight>(),
        [
            "flightNumber UInt32",
            "time_hour Timestamp(ms)",
            "departureDelay? Float64",
            "fare Decimal128(10, 2)",
            "type Utf8",
            "tags List(non-null Utf8)",
            "seats? Struct(\"f0\": non-null Int32, \"f1\": non-null Utf8)",
        ]
    );
}

#[test]
fn an_enum_with_payloads_has_a_tag_and_a_column_per_payload() {
    assert_eq!(
        columns::<Event>(),
        ["tag Utf8", "Moved? Struct(\"by\": non-null Float64, \"to\": Utf8)", "Ended? Struct(\"f0\": non-null Int64)"]
    );
}

#[test]
fn whatever_is_no_struct_is_one_column_named_value() {
    assert_eq!(columns::<String>(), ["value Utf8"]);
    assert_eq!(columns::<Option<i64>>(), ["value? Int64"]);
    assert_eq!(columns::<Kind>(), ["value Utf8"]);
    assert_eq!(columns::<Option<(i8, bool)>>().len(), 1);
    assert_eq!(columns::<(i8, Option<bool>)>(), ["f0 Int8", "f1? Boolean"]);
}

#[test]
fn column_constants_know_name_and_field() {
    let flight = Flight {
        flight_number: 9,
        hour: Timestamp::from_millis(3_600_000),
        departure_delay: None,
        fare: "12.5".parse().unwrap(),
        r#type: Kind::Cargo,
        tags: vec![],
        seats: Some((4, "window".into())),
    };
    assert_eq!(Flight::flight_number.name(), "flightNumber");
    assert_eq!(Flight::hour.name(), "time_hour");
    assert_eq!(Flight::r#type.name(), "type");
    assert_eq!(*Flight::hour.get(&flight), flight.hour);
    assert_eq!(flight.seats(), 4);
    assert_eq!(field::<1, (String, i64)>().name(), "f1");
    assert_eq!(*field::<0, _>().get(&(7i64, "x".to_owned())), 7);

    use crate::record::ColumnReader;
    let fares = Flight::fare.open(&batch(&[flight])).unwrap();
    assert_eq!(fares.read(0).to_string(), "12.50");
}

#[test]
fn columns_are_found_by_name_in_any_order_and_others_are_ignored() {
    let written = batch(&[("x".to_owned(), 5i64)]);
    let extra: ArrayRef = Arc::new(Int64Array::from(vec![None::<i64>]));
    let shuffled = RecordBatch::try_from_iter_with_nullable([
        ("other", extra, true),
        ("f1", written.column(1).clone(), true),
        ("f0", written.column(0).clone(), false),
    ])
    .unwrap();
    check_reads(&shuffled, &[("x".to_owned(), 5i64)]);
}

#[test]
fn a_record_of_one_column_reads_the_only_column() {
    let counts: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
    let query_result = RecordBatch::try_from_iter([("count(*)", counts)]).unwrap();
    check_reads(&query_result, &[1i64, 2]);
}

#[test]
fn text_is_read_from_every_encoding() {
    let records = ["a".to_owned(), String::new(), "longer than twelve bytes".to_owned()];
    let dictionary = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    for encoding in [DataType::LargeUtf8, DataType::Utf8View, dictionary] {
        let values = cast(batch(&records).column(0), &encoding).unwrap();
        check_reads(&RecordBatch::try_from_iter([("value", values)]).unwrap(), &records);
    }
    let options = [Some("a".to_owned()), None];
    let values = cast(batch(&options).column(0), &DataType::Utf8View).unwrap();
    check_reads(&RecordBatch::try_from_iter([("value", values)]).unwrap(), &options);
}

#[test]
fn bytes_are_read_from_every_encoding() {
    let records = [vec![1u8, 2], vec![3, 4]];
    for encoding in [DataType::LargeBinary, DataType::BinaryView, DataType::FixedSizeBinary(2)] {
        let values = cast(batch(&records).column(0), &encoding).unwrap();
        check_reads(&RecordBatch::try_from_iter([("value", values)]).unwrap(), &records);
    }
}

#[test]
fn metadata_and_nullability_of_a_batch_do_not_matter_without_nulls() {
    let written = batch(&[(1i64,)]);
    let field = Field::new("f0", DataType::Int64, true)
        .with_metadata(HashMap::from([("origin".to_owned(), "parquet".to_owned())]));
    let schema = Arc::new(Schema::new(vec![field]));
    let relabelled = RecordBatch::try_new(schema, written.columns().to_vec()).unwrap();
    assert_eq!(RecordReader::<(i64,)>::open(&relabelled).unwrap().read(0), (1,));
}
