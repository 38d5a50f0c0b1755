//! What is written is read, for every type.

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Utc};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::check;
use crate::record::{Decimal, Record, Timestamp};

macro_rules! survive {
    ($($name:ident: $strategy:expr;)*) => {
        proptest! {
            #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]
            $(
                #[test]
                fn $name(records in vec($strategy, 0..40)) {
                    check(&records);
                }
            )*
        }
    };
}

survive! {
    booleans_survive: any::<bool>();
    i8s_survive: any::<i8>();
    i16s_survive: any::<i16>();
    i32s_survive: any::<i32>();
    i64s_survive: any::<i64>();
    u8s_survive: any::<u8>();
    u16s_survive: any::<u16>();
    u32s_survive: any::<u32>();
    u64s_survive: any::<u64>();
    f32s_survive: any::<f32>();
    f64s_survive: any::<f64>();
    texts_survive: text();
    bytes_survive: vec(any::<u8>(), 0..10);
    timestamps_survive: any::<i64>().prop_map(Timestamp::from_millis);
    naive_times_of_all_calendar_survive: micros().prop_map(|time| time.naive_utc());
    utc_times_survive: micros();
    dates_survive: micros().prop_map(|time| time.date_naive());
    times_of_day_survive: micros().prop_map(|time| time.time());
    decimals_survive: decimal();
    options_survive: option::of(text());
    options_of_numbers_survive: option::of(any::<i64>());
    lists_of_numbers_survive: vec(any::<i32>(), 0..5);
    lists_of_texts_survive: vec(text(), 0..5);
    lists_of_options_survive: vec(option::of(any::<u8>()), 0..5);
    lists_of_lists_survive: vec(vec(any::<u16>(), 0..4), 0..4);
    optional_lists_survive: option::of(vec(option::of(text()), 0..4));
    tuples_survive: (text(), any::<i64>(), option::of(any::<bool>()));
    pairs_in_pairs_survive: ((text(), any::<i8>()), option::of((any::<u64>(), text())));
    wide_tuples_survive: (any::<i8>(), any::<i16>(), any::<i32>(), any::<i64>(), any::<u8>(), text(), any::<bool>(), decimal());
    derived_structs_survive: everything();
    lists_of_derived_structs_survive: vec(option::of(place()), 0..4);
    unit_enums_survive: weather();
    optional_unit_enums_survive: option::of(weather());
    enums_with_payloads_survive: shape();
    optional_enums_with_payloads_survive: option::of(shape());
    lists_of_enums_with_payloads_survive: vec(shape(), 0..4);
    generic_structs_survive: (text(), vec(option::of(any::<i64>()), 0..3))
        .prop_map(|(key, values)| Labelled { key, values });
}

fn text() -> impl Strategy<Value = String> {
    "[a-zä€🦀]{0,6}"
}

fn micros() -> impl Strategy<Value = DateTime<Utc>> {
    let (min, max) = (NaiveDateTime::MIN.and_utc(), NaiveDateTime::MAX.and_utc());
    (min.timestamp_micros()..=max.timestamp_micros())
        .prop_map(|micros| DateTime::from_timestamp_micros(micros).unwrap())
}

fn decimal() -> impl Strategy<Value = Decimal<38, 10>> {
    let limit = 10i128.pow(38) - 1;
    (-limit..=limit).prop_map(|unscaled| Decimal::from_unscaled(unscaled).unwrap())
}

#[derive(Debug, Clone, PartialEq, Record)]
struct Place {
    name: String,
    altitude: Option<f32>,
}

fn place() -> impl Strategy<Value = Place> {
    (text(), option::of(any::<f32>())).prop_map(|(name, altitude)| Place { name, altitude })
}

#[derive(Debug, Clone, Copy, PartialEq, Record)]
#[record(rename_all = "SCREAMING_SNAKE_CASE")]
enum Weather {
    Sunny,
    LightRain = 7,
    #[record(rename = "snow!")]
    Snow,
}

fn weather() -> impl Strategy<Value = Weather> {
    prop_oneof![Just(Weather::Sunny), Just(Weather::LightRain), Just(Weather::Snow)]
}

#[derive(Debug, Clone, PartialEq, Record)]
enum Shape {
    Circle { radius: f64, label: Option<String> },
    Nothing,
    Polygon(Vec<(i32, i32)>, Option<Place>),
    At(Place),
}

fn shape() -> impl Strategy<Value = Shape> {
    prop_oneof![
        (any::<f64>(), option::of(text())).prop_map(|(radius, label)| Shape::Circle { radius, label }),
        Just(Shape::Nothing),
        (vec(any::<(i32, i32)>(), 0..3), option::of(place()))
            .prop_map(|(corners, place)| Shape::Polygon(corners, place)),
        place().prop_map(Shape::At),
    ]
}

#[derive(Debug, Clone, PartialEq, Record)]
struct Labelled<K, V> {
    key: K,
    values: Vec<Option<V>>,
}

#[derive(Debug, Clone, PartialEq, Record)]
struct Everything {
    r#type: Weather,
    len: u32,
    fields: Option<Vec<String>>,
    from: Place,
    to: Option<Place>,
    shape: Option<Shape>,
    picture: Vec<u8>,
    paid: Option<Decimal<12, 2>>,
    day: Option<NaiveDate>,
    hour: Option<NaiveTime>,
    at: Timestamp,
}

fn everything() -> impl Strategy<Value = Everything> {
    let plain = (
        weather(),
        any::<u32>(),
        option::of(vec(text(), 0..3)),
        place(),
        option::of(place()),
        option::of(shape()),
        vec(any::<u8>(), 0..4),
    );
    let cents = option::of(-99_999i128..99_999);
    (plain, cents, option::of(micros()), any::<i64>()).prop_map(|(plain, cents, moment, at)| {
        let (r#type, len, fields, from, to, shape, picture) = plain;
        Everything {
            r#type,
            len,
            fields,
            from,
            to,
            shape,
            picture,
            paid: cents.map(|cents| Decimal::from_unscaled(cents).unwrap()),
            day: moment.map(|moment| moment.date_naive()),
            hour: moment.map(|moment| moment.time()),
            at: Timestamp::from_millis(at),
        }
    })
}

#[test]
fn reading_into_a_used_value_keeps_its_memory() {
    use crate::record::RecordReader;
    let long = "a rather long text".to_owned();
    let records = vec![(long.clone(), vec![1i32; 9]), (String::new(), vec![]), (long, vec![2; 9])];
    let reader = RecordReader::<(String, Vec<i32>)>::open(&super::batch(&records)).unwrap();
    let mut scratch = reader.read(0);
    let memory = (scratch.0.as_ptr(), scratch.1.as_ptr());
    for (row, record) in records.iter().enumerate() {
        reader.read_into(row, &mut scratch);
        assert_eq!(scratch, *record);
    }
    assert_eq!((scratch.0.as_ptr(), scratch.1.as_ptr()), memory);
}

#[test]
fn structs_survive_json_with_their_enums() {
    let records = vec![
        Labelled { key: Shape::Circle { radius: 1.5, label: None }, values: vec![Some(Weather::Snow)] },
        Labelled { key: Shape::Nothing, values: vec![None] },
        Labelled {
            key: Shape::Polygon(vec![(1, 2)], Some(Place { name: "x".into(), altitude: None })),
            values: vec![],
        },
    ];
    let written = super::batch(&records);
    let mut json = arrow::json::LineDelimitedWriter::new(Vec::new());
    json.write(&written).unwrap();
    let json = json.into_inner();
    let text = String::from_utf8(json.clone()).unwrap();
    assert!(text.starts_with(r#"{"key":{"tag":"Circle","Circle":{"radius":1.5}},"values":["snow!"]}"#), "{text}");
    let schema = Labelled::<Shape, Weather>::schema();
    let mut reader = arrow::json::ReaderBuilder::new(schema).build(json.as_slice()).unwrap();
    super::check_reads(&reader.next().unwrap().unwrap(), &records);
}
