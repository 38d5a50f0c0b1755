//! What cannot be read, and the words for it.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Date32Array, Decimal128Array, Int32Array, Int64Array, ListArray, RecordBatch, StringArray, StructArray,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field};
use chrono::NaiveDate;

use super::{batch, check_reads, refusal};
use crate::record::{Decimal, DecimalError, Record, Timestamp};

#[derive(Debug, Clone, PartialEq, Record)]
struct Trip {
    driver: String,
    start: Place,
}

#[derive(Debug, Clone, PartialEq, Record)]
struct Place {
    x: i64,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Record)]
enum Kind {
    Street,
    Airport,
}

fn one(name: &str, values: impl arrow::array::Array + 'static) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable([(name, Arc::new(values) as ArrayRef, true)]).unwrap()
}

fn place(x: ArrayRef, kind: ArrayRef, nulls: Option<NullBuffer>) -> StructArray {
    let fields = vec![Field::new("x", x.data_type().clone(), true), Field::new("kind", kind.data_type().clone(), true)];
    StructArray::new(fields.into(), vec![x, kind], nulls)
}

fn kinds(names: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from(names.to_vec()))
}

#[test]
fn a_missing_column_is_named_with_its_type_and_what_is_there() {
    assert_eq!(
        refusal::<Trip>(&batch(&[("a".to_owned(), 1i64)])),
        "no column `driver` of type Utf8, which record `Trip` needs; there is `f0`, `f1`"
    );
    let message = refusal::<i64>(&batch(&[(1i64, 2i64)]));
    assert_eq!(message, "no column `value` of type Int64, which record `i64` needs; there is `f0`, `f1`");
}

#[test]
fn a_wrong_type_is_named_with_the_path_to_it() {
    let x: ArrayRef = Arc::new(Int32Array::from(vec![1]));
    let start: ArrayRef = Arc::new(place(x, kinds(&["Street"]), None));
    let driver: ArrayRef = Arc::new(StringArray::from(vec!["ann"]));
    let trips = RecordBatch::try_from_iter([("driver", driver), ("start", start)]).unwrap();
    assert_eq!(refusal::<Trip>(&trips), "column `start.x` has type Int32, but the record needs Int64");
    assert_eq!(
        refusal::<Vec<i64>>(&batch(&[vec!["a".to_owned()]])),
        "column `value.item` has type Utf8, but the record needs Int64"
    );
    assert_eq!(
        refusal::<Timestamp>(&batch(&[chrono::NaiveDateTime::default()])),
        "column `value` has type Timestamp(µs), but the record needs Timestamp(ms)"
    );
    assert_eq!(
        refusal::<Decimal<10, 2>>(&batch(&[Decimal::<10, 3>::ZERO])),
        "column `value` has type Decimal128(10, 3), but the record needs Decimal128(10, 2)"
    );
}

#[test]
fn a_null_where_no_option_is_names_its_row() {
    let message = "column `value` is NULL in row 1, but the record's field is not an `Option`";
    assert_eq!(refusal::<i64>(&one("value", Int64Array::from(vec![Some(1), None]))), message);
    assert_eq!(refusal::<String>(&one("value", StringArray::from(vec![Some("a"), None]))), message);
    assert_eq!(refusal::<Vec<i8>>(&batch(&[Some(vec![1i8]), None])), message);
    assert_eq!(refusal::<(i8, i8)>(&batch(&[(1i8, Some(1i8)), (1, None)])), message.replace("value", "f1"));
}

#[test]
fn what_lies_below_a_null_parent_does_not_matter() {
    let x: ArrayRef = Arc::new(Int64Array::from(vec![None, Some(1)]));
    let hidden = place(x, kinds(&["nonsense", "Airport"]), Some(NullBuffer::from(vec![false, true])));
    let places = one("value", hidden);
    check_reads(&places, &[None, Some(Place { x: 1, kind: Kind::Airport })]);
    assert_eq!(
        refusal::<Option<Place>>(&{
            let x: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None]));
            one("value", place(x, kinds(&["Street", "Street"]), Some(NullBuffer::from(vec![false, true]))))
        }),
        "column `value.x` is NULL in row 1, but the record's field is not an `Option`"
    );
}

#[test]
fn the_items_of_a_null_list_do_not_matter() {
    let items: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None, None, Some(2)]));
    let offsets = OffsetBuffer::from_lengths([1, 2, 1]);
    let field = Arc::new(Field::new("element", DataType::Int64, true));
    let nulls = Some(NullBuffer::from(vec![true, false, true]));
    let lists = ListArray::new(field, offsets, items, nulls);
    let expected = [Some(vec![1i64]), None, Some(vec![2])];
    check_reads(&one("value", lists.clone()), &expected);
    check_reads(&one("value", lists.slice(1, 2)), &expected[1..]);
}

#[test]
fn an_unknown_variant_is_named_with_those_there_are() {
    assert_eq!(
        refusal::<Kind>(&one("value", StringArray::from(vec!["Street", "street"]))),
        "column `value` holds \"street\" in row 1, which is not one of `Street`, `Airport`"
    );
}

#[test]
fn a_payload_must_be_there_for_its_variant() {
    #[derive(Debug, Clone, PartialEq, Record)]
    enum Event {
        Moved { by: i64 },
        Ended,
    }
    let events = batch(&[Event::Ended, Event::Moved { by: 1 }, Event::Ended]);
    check_reads(&events, &[Event::Ended, Event::Moved { by: 1 }, Event::Ended]);
    let all_moved: ArrayRef = Arc::new(StringArray::from(vec!["Moved"; 3]));
    let columns = vec![all_moved, events.column(1).clone()];
    let torn = RecordBatch::try_new(events.schema(), columns).unwrap();
    assert_eq!(refusal::<Event>(&torn), "column `Moved` is NULL in row 0, but the record's field is not an `Option`");
    assert_eq!(
        refusal::<Event>(&events.project(&[0]).unwrap()),
        "no column `Moved` of type Struct(), which record `Event` needs; there is `tag`"
    );
}

#[test]
fn a_value_beyond_the_rust_types_range_is_refused_when_the_batch_is_opened() {
    assert_eq!(
        refusal::<NaiveDate>(&one("value", Date32Array::from(vec![0, i32::MAX]))),
        "column `value` holds 2147483647 in row 1, which is not a day that `NaiveDate` can hold"
    );
    let too_long = Decimal128Array::from(vec![1000]).with_data_type(DataType::Decimal128(3, 1));
    assert_eq!(
        refusal::<Decimal<3, 1>>(&one("value", too_long)),
        "column `value` holds 1000 in row 0, which is not within the precision of its type"
    );
}

#[test]
fn decimals_are_exact_or_refused() {
    type Price = Decimal<5, 2>;
    for (text, shown) in [("1", "1.00"), ("-.5", "-0.50"), ("+999.99", "999.99"), ("7.1000", "7.10")] {
        assert_eq!(text.parse::<Price>().unwrap().to_string(), shown);
    }
    for text in ["", "-", ".", "1e3", "1,5", "--1", "ä"] {
        assert_eq!(text.parse::<Price>(), Err(DecimalError::Malformed { text: text.to_owned() }));
    }
    assert_eq!("0.001".parse::<Price>().unwrap_err().to_string(), "`0.001` has more than 2 digits after the point");
    let out_of_range = DecimalError::OutOfRange { precision: 5, scale: 2 };
    assert_eq!("1000".parse::<Price>(), Err(out_of_range.clone()));
    assert_eq!("9".repeat(60).parse::<Price>(), Err(out_of_range.clone()));
    let most = Price::from_unscaled(99_999).unwrap();
    let cent = Price::from_unscaled(1).unwrap();
    assert_eq!(most.checked_add(cent), Err(out_of_range));
    assert_eq!(most.checked_sub(cent).unwrap().to_f64(), 999.98);
}
