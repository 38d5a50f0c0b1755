//! What can be stored as a record without being one.

use std::borrow::Cow;

use super::check_stored;
use crate::record::{Record, RecordBuilder, Timestamp, ToRecord};

#[test]
fn borrowed_values_are_stored_as_owned_ones() {
    check_stored("ann", "ann".to_owned());
    check_stored(Cow::Borrowed("ann"), "ann".to_owned());
    check_stored(&"ann".to_owned(), "ann".to_owned());
    check_stored(b"\xff\0", vec![255u8, 0]);
    check_stored(&[1u8, 2][..], vec![1u8, 2]);
    check_stored(&["a", "b"], vec!["a".to_owned(), "b".to_owned()]);
    check_stored(&[1i64][..], vec![1i64]);
    check_stored(Some("ann"), Some("ann".to_owned()));
    check_stored(None::<&str>, None::<String>);
    check_stored(("ann", 1i64), ("ann".to_owned(), 1i64));
    check_stored(&(&"ann", (Some("x"), [1i32])), ("ann".to_owned(), (Some("x".to_owned()), vec![1])));
}

/// A stand-in for an operator's output, as closures see it.
struct Collector<R: Record>(RecordBuilder<R>);

impl<R: Record> Collector<R> {
    fn collect(&mut self, record: impl ToRecord<R>) {
        self.0.append(&record);
    }
}

#[test]
fn literals_take_the_type_of_the_record_they_are_stored_as() {
    let mut out = Collector::<(String, i64, Option<f32>)>(RecordBuilder::new());
    for word in "to be or not to be".split(' ') {
        out.collect((word, 1, Some(0.5)));
    }
    let counted = out.0.finish().unwrap();
    let expected: Vec<_> =
        ["to", "be", "or", "not", "to", "be"].map(|word| (word.to_owned(), 1i64, Some(0.5f32))).to_vec();
    super::check_reads(&counted, &expected);
}

#[derive(Debug, Clone, PartialEq, Record)]
#[record(borrowed)]
struct Trip {
    driver: String,
    at: Timestamp,
    note: Option<String>,
    photo: Vec<u8>,
    stops: Vec<String>,
    leg: (String, i32),
}

#[test]
fn the_borrowed_companion_is_stored_as_its_record() {
    let stops = vec!["here".to_owned()];
    let borrowed = TripRef {
        driver: "ann",
        at: Timestamp::from_millis(1),
        note: Some("late"),
        photo: b"jpg",
        stops: &stops,
        leg: ("home", 3),
    };
    let owned = Trip {
        driver: "ann".into(),
        at: Timestamp::from_millis(1),
        note: Some("late".into()),
        photo: b"jpg".to_vec(),
        stops: stops.clone(),
        leg: ("home".into(), 3),
    };
    check_stored(borrowed, owned);
}
