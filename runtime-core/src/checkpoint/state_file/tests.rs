use std::collections::HashMap;

use arrow::array::{DictionaryArray, Int64Array, ListArray, StringArray};
use arrow::datatypes::{Int32Type, Int64Type};
use proptest::prelude::*;

use super::*;
use crate::checkpoint::snapshot::KeyedBatches;

/// Some rows of every key group, a batch for each.
struct OfGroups(std::ops::Range<u32>);

impl KeyedBatches for OfGroups {
    fn batches(&self) -> Box<dyn Iterator<Item = Result<(UInt32Array, RecordBatch), StateError>> + '_> {
        Box::new(self.0.clone().map(|group| {
            let rows: ArrayRef = Arc::new(UInt32Array::from_iter_values(0..group));
            Ok((UInt32Array::from_value(group, group as usize), RecordBatch::try_from_iter([("key.0", rows)])?))
        }))
    }
}

#[test]
fn rows_that_come_in_batches_are_read_in_batches() {
    let table = |name: &str, groups| StreamedTable { name: name.to_owned(), rows: Arc::new(OfGroups(groups)) };
    let streamed = vec![table("state", 1..5), table("nothing", 3..3)];
    let state = vec![(id(1), OperatorSnapshot { streamed, ..OperatorSnapshot::default() })];
    let bytes: Bytes = encode(&state).unwrap().unwrap().into();
    let found = decode("f", &bytes).unwrap();
    let tables: Vec<(&str, Vec<u32>)> =
        found[0].1.keyed.iter().map(|table| (table.name.as_str(), table.key_groups.values().to_vec())).collect();
    let expected = [vec![1], vec![2; 2], vec![3; 3], vec![4; 4]].map(|groups| ("state", groups));
    assert_eq!(tables, expected);
    assert_eq!(super::tables("f", &bytes).unwrap().len(), 1);
}
use crate::checkpoint::snapshot::Redistribution;

fn batch(numbers: &[i64]) -> RecordBatch {
    let lists = numbers.iter().map(|n| (n % 3 != 0).then(|| (0..n % 5).map(Some).collect::<Vec<_>>()));
    let words: DictionaryArray<Int32Type> = numbers.iter().map(|n| if n % 2 == 0 { "even" } else { "odd" }).collect();
    let columns: [(&str, ArrayRef); 4] = [
        ("number", Arc::new(Int64Array::from(numbers.to_vec()))),
        ("text", Arc::new(StringArray::from_iter(numbers.iter().map(|n| (n % 4 != 0).then(|| format!("n{n}")))))),
        ("list", Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(lists))),
        ("word", Arc::new(words)),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true))).unwrap()
}

fn keyed(name: &str, groups: &[u32]) -> KeyedTable {
    let numbers: Vec<i64> = groups.iter().map(|group| i64::from(*group) * 3).collect();
    KeyedTable { name: name.to_owned(), key_groups: groups.to_vec().into(), rows: batch(&numbers) }
}

fn id(n: u8) -> OperatorId {
    OperatorId::from_bytes([n; 16])
}

fn small() -> Vec<(OperatorId, OperatorSnapshot)> {
    let operator = |name: &str, redistribution, rows| OperatorTable { name: name.to_owned(), redistribution, rows };
    let one = OperatorSnapshot {
        keyed: vec![keyed("count", &[1, 1, 5]), keyed("empty", &[])],
        operator: vec![operator("offsets", Redistribution::Split, batch(&[7]))],
        ..OperatorSnapshot::default()
    };
    let two = OperatorSnapshot {
        keyed: Vec::new(),
        operator: vec![
            operator("all", Redistribution::Union, batch(&[1, 2])),
            operator("same", Redistribution::Broadcast, batch(&[])),
        ],
        ..OperatorSnapshot::default()
    };
    vec![(id(1), one), (id(2), two)]
}

fn equal(a: &[(OperatorId, OperatorSnapshot)], b: &[(OperatorId, OperatorSnapshot)]) -> bool {
    let keyed = |a: &KeyedTable, b: &KeyedTable| a.name == b.name && a.key_groups == b.key_groups && a.rows == b.rows;
    let operator = |a: &OperatorTable, b: &OperatorTable| {
        a.name == b.name && a.redistribution == b.redistribution && a.rows == b.rows
    };
    a.len() == b.len()
        && a.iter().zip(b).all(|((id, a), (other, b))| {
            id == other
                && a.keyed.len() == b.keyed.len()
                && a.operator.len() == b.operator.len()
                && a.keyed.iter().zip(&b.keyed).all(|(a, b)| keyed(a, b))
                && a.operator.iter().zip(&b.operator).all(|(a, b)| operator(a, b))
        })
}

fn written(operators: &[(OperatorId, OperatorSnapshot)]) -> Vec<u8> {
    encode(operators).unwrap().expect("there is state")
}

#[test]
fn state_survives_its_file() {
    let read = decode("f", &written(&small()).into()).unwrap();
    assert!(equal(&read, &small()));
}

#[test]
fn a_slice_is_written_without_its_surroundings() {
    let table = keyed("t", &(0..1000).collect::<Vec<_>>());
    let part =
        KeyedTable { name: "t".into(), key_groups: table.key_groups.slice(400, 2), rows: table.rows.slice(400, 2) };
    let state = vec![(id(1), OperatorSnapshot { keyed: vec![part], ..OperatorSnapshot::default() })];
    let bytes = written(&state);
    assert!(bytes.len() < 4000, "{}", bytes.len());
    assert!(equal(&decode("f", &bytes.into()).unwrap(), &state));
}

#[test]
fn rows_without_columns_and_metadata_of_schemas_survive() {
    let options = RecordBatchOptions::new().with_row_count(Some(3));
    let metadata = HashMap::from([("k".to_owned(), "v".to_owned())]);
    let schema = Arc::new(Schema::new_with_metadata(Vec::<Field>::new(), metadata));
    let rows = RecordBatch::try_new_with_options(schema, Vec::new(), &options).unwrap();
    let table = KeyedTable { name: "t".into(), key_groups: vec![1, 2, 3].into(), rows };
    let state = vec![(id(1), OperatorSnapshot { keyed: vec![table], ..OperatorSnapshot::default() })];
    assert!(equal(&decode("f", &written(&state).into()).unwrap(), &state));
}

#[test]
fn operators_without_state_need_no_file() {
    assert!(encode(&[(id(1), OperatorSnapshot::default())]).unwrap().is_none());
    assert!(encode(&[]).unwrap().is_none());
    let mut state = small();
    state.insert(0, (id(9), OperatorSnapshot::default()));
    assert!(equal(&decode("f", &written(&state).into()).unwrap(), &small()));
}

#[test]
fn every_truncation_is_refused_with_the_files_name() {
    let bytes = Bytes::from(written(&small()));
    for length in 0..bytes.len() {
        let error = decode("chk-1/a.state", &bytes.slice(..length)).expect_err("cut").to_string();
        assert!(error.starts_with("the state file `chk-1/a.state` "), "{error}");
    }
}

#[test]
fn every_flipped_byte_is_refused() {
    let bytes = written(&small());
    for position in 0..bytes.len() {
        for mask in [0x01, 0x80, 0xff] {
            let mut flipped = bytes.clone();
            flipped[position] ^= mask;
            let error = decode("f", &flipped.into()).expect_err("flipped");
            assert!(matches!(error, StateFileError::Damaged { .. }), "{error}");
        }
    }
}

#[test]
fn another_version_and_another_kind_of_file_are_named() {
    let mut bytes = written(&small());
    bytes[8] = 2;
    let error = decode("f", &bytes.clone().into()).unwrap_err().to_string();
    assert_eq!(error, "the state file `f` has version 2, this version of Pelton reads 1");
    bytes[..8].copy_from_slice(b"PELTONCP");
    let error = decode("f", &bytes.into()).unwrap_err().to_string();
    assert_eq!(error, "the state file `f` does not begin like a file of this kind");
}

#[test]
fn key_groups_that_are_not_as_many_as_the_rows_are_refused() {
    let table = KeyedTable { name: "t".into(), key_groups: vec![1].into(), rows: batch(&[1, 2]) };
    let error = encode(&[(id(1), OperatorSnapshot { keyed: vec![table], ..OperatorSnapshot::default() })]).unwrap_err();
    assert!(matches!(error, StateFileError::Unwritable { .. }), "{error}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn any_state_survives_its_file(
        operators in proptest::collection::vec(
            (proptest::collection::vec(proptest::collection::vec(0u32..128, 0..40), 0..3),
             proptest::collection::vec((proptest::collection::vec(any::<i64>(), 0..9), 0usize..3), 0..3)),
            1..4),
    ) {
        let kinds = [Redistribution::Split, Redistribution::Union, Redistribution::Broadcast];
        let state: Vec<_> = (1..).zip(operators).map(|(n, (tables, rows))| {
            let keyed = tables.into_iter().enumerate().map(|(t, mut groups)| {
                groups.sort_unstable();
                keyed(&format!("t{t}"), &groups)
            }).collect();
            let operator = rows.into_iter().enumerate().map(|(t, (numbers, kind))| OperatorTable {
                name: format!("o{t}"), redistribution: kinds[kind], rows: batch(&numbers),
            }).collect();
            (id(n), OperatorSnapshot { keyed, operator, ..OperatorSnapshot::default() })
        }).filter(|(_, snapshot)| !snapshot.is_empty()).collect();
        match encode(&state).unwrap() {
            None => prop_assert!(state.is_empty()),
            Some(bytes) => prop_assert!(equal(&decode("f", &bytes.into()).unwrap(), &state)),
        }
    }

    #[test]
    fn a_body_of_any_bytes_is_state_or_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let mut file = envelope::begin(&KIND);
        file.extend_from_slice(&bytes);
        drop(decode("f", &envelope::seal(file).into()));
    }
}

#[test]
fn what_is_in_flight_survives_with_its_times_and_kinds_and_is_not_overlooked() {
    use crate::checkpoint::in_flight::*;
    use crate::element::StreamBatch;
    let plain = |numbers: &[i64]| StreamBatch::new(batch(numbers));
    let timed = |numbers: &[i64]| plain(numbers).with_timestamps(Some(numbers.to_vec().into()));
    let full = timed(&[4, 5]).with_kinds(Some(vec![1u8, 2].into()));
    let edge = EdgeOrigin { edge: 1, from: id(3), channel: Some(ChannelOrigin { producer: 2, producers: 3 }) };
    let batches = vec![plain(&[1, 2]), plain(&[3]).slice(0, 1), timed(&[4]), full.slice(1, 1)];
    let in_flight = InFlight {
        channels: vec![
            InFlightChannel { origin: Origin::Source, batches: batches.clone() },
            InFlightChannel { origin: Origin::Edge(edge), batches },
            InFlightChannel { origin: Origin::Edge(EdgeOrigin { channel: None, ..edge }), batches: vec![plain(&[6])] },
        ],
    };
    for operators in [small(), Vec::new()] {
        let bytes = encode_with(&operators, &in_flight).unwrap().expect("something").into();
        let (state, read) = decode_with("f", &bytes).unwrap();
        assert!(equal(&state, &operators));
        assert_eq!(format!("{read:?}"), format!("{in_flight:?}"));
        let error = decode("f", &bytes).unwrap_err().to_string();
        assert_eq!(error, "the state file `f` is malformed: it has records in flight where none can be");
    }
}
