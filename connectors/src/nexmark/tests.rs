//! The events are those of the definition, to the byte: samples, and checksums over a million.

use std::collections::BTreeMap;

use arrow::array::{Array, ArrayRef, AsArray, StructArray};
use arrow::datatypes::{DataType, Int32Type, Int64Type, TimestampMillisecondType};
use arrow::json::LineDelimitedWriter;
use proptest::prelude::*;

use super::random::mix;
use super::*;
use crate::testing::{place, rows_of};

/// Samples as JSON lines, with times in milliseconds.
const SAMPLES: &str = include_str!("tests/samples.jsonl");

/// A value as lines of checksums have it.
fn append(column: &dyn Array, row: usize, line: &mut String) {
    use std::fmt::Write;
    let written = match column.data_type() {
        DataType::Int64 => write!(line, "|{}", column.as_primitive::<Int64Type>().value(row)),
        DataType::Timestamp(..) => write!(line, "|{}", column.as_primitive::<TimestampMillisecondType>().value(row)),
        _ => write!(line, "|{}", column.as_string::<i32>().value(row)),
    };
    written.expect("strings take everything");
}

fn hash(line: &str) -> u64 {
    let fnv = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3);
    mix(line.bytes().fold(0xCBF2_9CE4_8422_2325, fnv))
}

/// Per kind: how many events, and the sum of their lines' hashes.
fn checksums(batches: &[RecordBatch]) -> [(u64, u64); 3] {
    let mut sums = [(0, 0u64); 3];
    let mut line = String::new();
    for batch in batches {
        let kinds = batch.column(0).as_primitive::<Int32Type>();
        let rows: Vec<&StructArray> = batch.columns()[1..].iter().map(|column| column.as_struct()).collect();
        for row in 0..batch.num_rows() {
            let kind = kinds.value(row) as usize;
            line.clear();
            line.push_str(["P", "A", "B"][kind]);
            rows[kind].columns().iter().for_each(|column| append(column, row, &mut line));
            let (count, sum) = &mut sums[kind];
            *count += 1;
            *sum = sum.wrapping_add(hash(&line));
        }
    }
    sums
}

#[tokio::test(flavor = "multi_thread")]
async fn a_million_events_have_the_checksums_of_the_definition_in_any_number_of_readers() {
    let source = NexmarkSource::new(Nexmark::default(), NexmarkColumn::TABLE).count(1_000_000);
    let batches: Vec<RecordBatch> = (0..3).flat_map(|subtask| rows_of(&source, &place(subtask, 3))).collect();
    let expected = [(20_000, 0x57cd_a13a_bf8e_c1af), (60_000, 0x7a20_8683_8b3c_4f61), (920_000, 0x6b25_3a8a_e9a1_b7cd)];
    let found = checksums(&batches);
    assert_eq!(found, expected);
    assert_eq!(found.iter().fold(0u64, |sum, (_, part)| sum.wrapping_add(*part)), 0x3d13_6249_346c_c8dd);
}

#[test]
fn samples_are_as_defined() {
    let schema = NexmarkColumn::schema(&NexmarkColumn::TABLE);
    for sample in SAMPLES.lines() {
        let (number, rest) = sample.strip_prefix("{\"n\":").and_then(|rest| rest.split_once(',')).expect("a number");
        let number = number.parse().expect("a number");
        let rows = Nexmark::default().rows(&[number], &NexmarkColumn::TABLE, &schema).expect("an event");
        // Times as numbers, as the samples have them.
        let mut columns: BTreeMap<String, String> = BTreeMap::new();
        for (field, column) in
            rows.schema().fields().iter().zip(rows.columns()).filter(|(_, column)| column.is_valid(0))
        {
            columns.insert(field.name().clone(), json(column));
        }
        let order = ["event_type", "person", "auction", "bid"];
        let found: Vec<String> =
            order.iter().filter_map(|name| columns.get(*name).map(|value| format!("\"{name}\":{value}"))).collect();
        assert_eq!(format!("{}}}", found.join(",")), rest, "event {number}");
    }
}

/// The first value of a column as JSON, with times as numbers.
fn json(column: &ArrayRef) -> String {
    let times_as_numbers = |array: &ArrayRef| match array.data_type() {
        DataType::Timestamp(..) => arrow::compute::cast(array, &DataType::Int64).expect("times are numbers"),
        _ => Arc::clone(array),
    };
    let Some(rows) = column.as_struct_opt() else {
        return column.as_primitive::<Int32Type>().value(0).to_string();
    };
    let columns = rows.fields().iter().zip(rows.columns());
    let columns = columns.map(|(field, array)| (field.name().clone(), times_as_numbers(array)));
    let batch = RecordBatch::try_from_iter(columns).expect("columns of one length");
    let mut text = Vec::new();
    let mut writer = LineDelimitedWriter::new(&mut text);
    writer.write(&batch).and_then(|()| writer.finish()).expect("JSON");
    String::from_utf8(text).expect("UTF-8").trim_end().to_owned()
}

#[test]
fn a_column_alone_is_what_it_is_among_all() {
    let numbers: Vec<u64> = (99_990..100_100).collect();
    let whole = Nexmark::default()
        .rows(&numbers, &NexmarkColumn::TABLE, &NexmarkColumn::schema(&NexmarkColumn::TABLE))
        .expect("events");
    for kind in EventKind::ALL {
        let rows = whole.column_by_name(kind.name()).expect("a column").as_struct();
        for (index, field) in kind.fields().iter().enumerate() {
            let name = format!("{}.{}", kind.name(), field.name());
            let column = NexmarkColumn::named(&name).expect("known");
            assert_eq!((column, column.name()), (NexmarkColumn::Field(kind, index), name));
            let alone =
                Nexmark::default().rows(&numbers, &[column], &NexmarkColumn::schema(&[column])).expect("events");
            assert_eq!(alone.column(0), rows.column(index));
        }
    }
    let part = FieldSet::named(EventKind::Bid, ["price", "url"]).expect("known");
    let part = NexmarkColumn::Part(EventKind::Bid, part);
    let rows = Nexmark::default().rows(&numbers, &[part], &NexmarkColumn::schema(&[part])).expect("events");
    let (part, bids) = (rows.column(0).as_struct(), whole.column(3).as_struct());
    for (index, field) in EventKind::Bid.fields().iter().enumerate() {
        if ["price", "url"].contains(&field.name().as_str()) {
            assert_eq!(part.column(index), bids.column(index));
        } else {
            assert_eq!(part.column(index).null_count(), numbers.len(), "{field} is not made");
        }
    }
    assert_eq!(FieldSet::named(EventKind::Bid, ["prise"]), None);
    assert_eq!(["bid.nobody", "bids", "event_type.x"].map(NexmarkColumn::named), [None; 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_events_end_at_once_and_a_rate_that_is_none_is_refused() {
    let source = |rate| NexmarkSource::new(Nexmark { rate, ..Nexmark::default() }, NexmarkColumn::TABLE);
    assert!(rows_of(&source(1).count(0), &place(0, 1)).is_empty());
    assert!(source(0).validate().is_err());
    assert!(source(1).events_per_second(f64::NAN).validate().is_err());
    assert_eq!(source(1).boundedness(), Boundedness::ContinuousUnbounded);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn any_settings_and_numbers_make_events(seed: u64, rate in 1u64.., base: i64, first in 0u64..1 << 62) {
        let numbers: Vec<u64> = (first..first + 60).collect();
        let schema = NexmarkColumn::schema(&NexmarkColumn::TABLE);
        let rows = Nexmark { seed, rate, base }.rows(&numbers, &NexmarkColumn::TABLE, &schema).expect("events");
        prop_assert_eq!(rows.num_rows(), 60);
    }
}
