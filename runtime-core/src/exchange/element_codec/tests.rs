use std::sync::Arc;

use arrow::array::*;
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Field, Fields, Int32Type, Int64Type, Schema, i256};
use proptest::prelude::*;

use super::super::frame::{FrameHeader, HEADER_BYTES, MAX_FRAME_BYTES};
use super::*;
use crate::element::StreamBatch;

/// One channel from end to end, without a network.
#[derive(Default)]
struct Wire {
    encoder: BatchEncoder,
    decoder: BatchDecoder,
}

impl Wire {
    fn frames(&mut self, element: &StreamElement, max_body_bytes: usize) -> Vec<Vec<u8>> {
        let mut frames = Vec::new();
        encode(&mut self.encoder, 3, element, max_body_bytes, &mut frames).unwrap();
        frames.iter().map(OutgoingFrame::to_bytes).collect()
    }

    fn receive(&mut self, frame: &[u8]) -> Result<StreamElement, ProtocolError> {
        let (header, body) = frame.split_first_chunk::<HEADER_BYTES>().unwrap();
        let header = FrameHeader::decode(header, MAX_FRAME_BYTES)?;
        assert_eq!(header.body_bytes, body.len());
        decode(&mut self.decoder, IncomingFrame { header, body: body.to_vec() })
    }

    fn travel(&mut self, batch: &StreamBatch) -> StreamBatch {
        let frames = self.frames(&StreamElement::Batch(batch.clone()), MAX_FRAME_BYTES);
        assert_eq!(frames.len(), 1);
        match self.receive(&frames[0]).unwrap() {
            StreamElement::Batch(batch) => batch,
            other => panic!("unexpected {other:?}"),
        }
    }

    fn check(&mut self, batch: &StreamBatch) {
        let arrived = self.travel(batch);
        assert_eq!(arrived.records(), batch.records());
        assert_eq!(arrived.timestamps(), batch.timestamps());
        assert_eq!(arrived.kinds(), batch.kinds());
    }
}

fn dictionary(values: &[&str]) -> ArrayRef {
    Arc::new(values.iter().copied().collect::<DictionaryArray<Int32Type>>())
}

/// Columns of every common type, with nulls.
fn all_types() -> RecordBatch {
    let strings = StringArray::from(vec![Some("a"), None, Some("a string that is longer than a view holds"), Some("")]);
    let numbers = Int64Array::from(vec![Some(1), None, Some(-3), Some(i64::MAX)]);
    let fields = Fields::from(vec![Field::new("s", DataType::Utf8, true), Field::new("n", DataType::Int64, true)]);
    let record = StructArray::new(
        fields,
        vec![Arc::new(strings.clone()), Arc::new(numbers.clone())],
        Some(NullBuffer::from(vec![true, true, false, true])),
    );
    let list = ListArray::from_iter_primitive::<Int32Type, _, _>([
        Some(vec![Some(1), None]),
        None,
        Some(vec![]),
        Some(vec![Some(4)]),
    ]);
    let mut map = MapBuilder::new(None, StringBuilder::new(), Int32Builder::new());
    for row in 0..4 {
        map.keys().append_value(format!("key {row}"));
        map.values().append_option((row != 2).then_some(row));
        map.append(row != 1).unwrap();
    }
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("null", Arc::new(NullArray::new(4))),
        ("boolean", Arc::new(BooleanArray::from(vec![Some(true), None, Some(false), Some(true)]))),
        ("i8", Arc::new(Int8Array::from(vec![1, 2, 3, 4]))),
        ("u64", Arc::new(UInt64Array::from(vec![Some(1), None, None, Some(u64::MAX)]))),
        ("f32", Arc::new(Float32Array::from(vec![1.5, -2.5, f32::INFINITY, 0.0]))),
        ("i64", Arc::new(numbers)),
        ("utf8", Arc::new(strings.clone())),
        ("large_utf8", Arc::new(LargeStringArray::from_iter(strings.iter()))),
        ("utf8_view", Arc::new(StringViewArray::from_iter(strings.iter()))),
        ("binary", Arc::new(BinaryArray::from_opt_vec(vec![Some(b"x"), None, Some(b""), Some(b"\xff")]))),
        ("fixed", Arc::new(FixedSizeBinaryArray::try_from_iter((0..4).map(|n| [n; 3])).unwrap())),
        ("date", Arc::new(Date32Array::from(vec![Some(1), None, Some(3), Some(4)]))),
        ("time", Arc::new(TimestampMicrosecondArray::from(vec![1, 2, 3, 4]).with_timezone("+01:00"))),
        (
            "decimal",
            Arc::new(
                Decimal128Array::from(vec![Some(1), None, Some(-3), Some(4)]).with_precision_and_scale(20, 2).unwrap(),
            ),
        ),
        ("decimal256", Arc::new(Decimal256Array::from(vec![Some(i256::ONE), None, None, Some(i256::MAX)]))),
        ("struct", Arc::new(record)),
        ("list", Arc::new(list)),
        ("map", Arc::new(map.finish())),
        ("dictionary", dictionary(&["x", "y", "x", "z"])),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true))).unwrap()
}

fn decorated(records: RecordBatch) -> StreamBatch {
    let rows = records.num_rows();
    let times: Vec<i64> = (0..rows as i64).map(|row| row * 1000 - 7).collect();
    let kinds: Vec<u8> = (0..rows).map(|row| (row % 4) as u8).collect();
    StreamBatch::new(records).with_timestamps(Some(times.into())).with_kinds(Some(kinds.into()))
}

#[test]
fn every_type_arrives_as_it_was_sent() {
    let mut wire = Wire::default();
    wire.check(&StreamBatch::new(all_types()));
    wire.check(&decorated(all_types()));
}

#[test]
fn any_slice_of_any_type_arrives() {
    let mut wire = Wire::default();
    let batch = decorated(all_types());
    for offset in 0..4 {
        for length in 0..=4 - offset {
            wire.check(&batch.slice(offset, length));
        }
    }
}

#[test]
fn columns_are_used_where_they_arrived() {
    let column: ArrayRef = Arc::new(Int64Array::from_iter_values(0..10_000));
    let batch = StreamBatch::new(RecordBatch::try_from_iter([("n", column)]).unwrap());
    let mut wire = Wire::default();
    let frame = wire.frames(&StreamElement::Batch(batch), MAX_FRAME_BYTES).remove(0);
    let (header, body) = frame.split_first_chunk::<HEADER_BYTES>().unwrap();
    let header = FrameHeader::decode(header, MAX_FRAME_BYTES).unwrap();
    let body = body.to_vec();
    let range = body.as_ptr_range();
    let StreamElement::Batch(arrived) = decode(&mut wire.decoder, IncomingFrame { header, body }).unwrap() else {
        panic!("not a batch");
    };
    let values = arrived.records().column(0).as_primitive::<Int64Type>().values().inner().as_ptr();
    assert!(range.contains(&values));
}

#[test]
fn the_schema_travels_once_and_again_when_it_changes() {
    let column = |name: &str| -> StreamBatch {
        let column: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
        StreamBatch::new(RecordBatch::try_from_iter([(name, column)]).unwrap())
    };
    let mut wire = Wire::default();
    let bytes = |wire: &mut Wire, batch| wire.frames(&StreamElement::Batch(batch), MAX_FRAME_BYTES)[0].len();
    let first = bytes(&mut wire, column("a"));
    let second = bytes(&mut wire, column("a"));
    assert!(second < first);
    assert_eq!(bytes(&mut wire, column("b")), first);
    let mut wire = Wire::default();
    wire.check(&column("a"));
    wire.check(&column("b"));
    wire.check(&column("a"));
}

#[test]
fn dictionaries_may_grow_change_and_stay() {
    let mut wire = Wire::default();
    for values in [&["a", "b"][..], &["a", "b"], &["a", "b", "c"], &["z"], &["a", "b"]] {
        wire.check(&StreamBatch::new(RecordBatch::try_from_iter([("d", dictionary(values))]).unwrap()));
    }
}

#[test]
fn rows_without_columns_are_counted() {
    let options = RecordBatchOptions::new().with_row_count(Some(42));
    let records = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), vec![], &options).unwrap();
    let mut wire = Wire::default();
    wire.check(&StreamBatch::new(records.clone()));
    wire.check(&decorated(records));
}

#[test]
fn a_small_part_of_a_large_view_does_not_send_the_rest() {
    let long = "x".repeat(1000);
    let views: ArrayRef = Arc::new(StringViewArray::from_iter_values((0..1000).map(|row| format!("{row} {long}"))));
    let batch = StreamBatch::new(RecordBatch::try_from_iter([("v", views)]).unwrap());
    let mut wire = Wire::default();
    let part = batch.slice(500, 2);
    assert!(wire.frames(&StreamElement::Batch(part.clone()), MAX_FRAME_BYTES)[0].len() < 10_000);
    Wire::default().check(&part);
}

#[test]
fn a_batch_that_is_too_long_is_cut_by_rows_and_a_row_that_is_too_long_is_refused() {
    let texts: Vec<String> = (0..100).map(|row| format!("{row}").repeat(row)).collect();
    let column: ArrayRef = Arc::new(StringArray::from(texts));
    let records = RecordBatch::try_from_iter([("t", column), ("d", dictionary(&vec!["x"; 100]))]).unwrap();
    let batch = decorated(records);
    let mut wire = Wire::default();
    let frames = wire.frames(&StreamElement::Batch(batch.clone()), 2000);
    assert!(frames.len() > 4);
    let arrived: Vec<StreamBatch> = frames
        .iter()
        .map(|frame| match wire.receive(frame).unwrap() {
            StreamElement::Batch(batch) => batch,
            other => panic!("unexpected {other:?}"),
        })
        .collect();
    let whole = StreamBatch::concat(&arrived).unwrap();
    assert_eq!(whole.timestamps(), batch.timestamps());
    assert_eq!(whole.records().column(0), batch.records().column(0));

    let error = encode(&mut BatchEncoder::default(), 0, &StreamElement::Batch(batch), 700, &mut Vec::new());
    assert!(matches!(error, Err(EncodeError::RowTooLong { .. })));
}

fn barrier(mode: BarrierMode) -> StreamElement {
    StreamElement::Barrier(CheckpointBarrier {
        checkpoint: CheckpointId(7),
        triggered_at: -1,
        mode,
        savepoint: None,
        base: None,
    })
}

#[test]
fn elements_without_records_arrive_as_they_were_sent() {
    let mut wire = Wire::default();
    let elements = [
        StreamElement::Watermark(i64::MIN),
        StreamElement::Watermark(i64::MAX),
        StreamElement::Idle,
        barrier(BarrierMode::Aligned),
        barrier(BarrierMode::AlignedUntil(17)),
        barrier(BarrierMode::Unaligned),
        StreamElement::Barrier(CheckpointBarrier {
            checkpoint: CheckpointId(8),
            triggered_at: 9,
            mode: BarrierMode::Aligned,
            base: Some(CheckpointId(6)),
            savepoint: Some(Arc::new(Savepoint {
                directory: "s3://bucket/savepoint".to_owned(),
                format: SavepointFormat::Native,
                then: AfterSavepoint::Drain,
            })),
        }),
        StreamElement::LatencyMarker(LatencyMarker { created_at: 5, source: 6, subtask: 7 }),
        StreamElement::EndOfInput,
    ];
    for element in elements {
        let frames = wire.frames(&element, MAX_FRAME_BYTES);
        assert_eq!(format!("{:?}", wire.receive(&frames[0]).unwrap()), format!("{element:?}"));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Any change of any bits: another batch, or an error. Never a panic, and nothing that cannot be looked at.
    #[test]
    fn flipped_bits_are_survived(flips in proptest::collection::vec((any::<prop::sample::Index>(), 0_u8..8), 1..4)) {
        let mut wire = Wire::default();
        let batch = StreamElement::Batch(decorated(all_types()));
        let mut frame = wire.frames(&batch, MAX_FRAME_BYTES).remove(0);
        for (at, bit) in flips {
            let at = HEADER_BYTES + at.index(frame.len() - HEADER_BYTES);
            frame[at] ^= 1 << bit;
        }
        if let Ok(StreamElement::Batch(batch)) = wire.receive(&frame) {
            prop_assert_eq!(batch.num_rows(), 4);
            for column in batch.records().columns() {
                prop_assert!(column.to_data().validate_full().is_ok());
            }
        }
    }

    #[test]
    fn random_bodies_are_survived(
        kind in 16_u8..=21,
        flags in 0_u8..16,
        rows: u32,
        body in proptest::collection::vec(any::<u8>(), 0..300),
        ipc: bool,
    ) {
        let mut frame = vec![0; HEADER_BYTES];
        let mut body = body;
        if ipc && body.len() > 8 {
            body[..4].copy_from_slice(&[0xff; 4]);
            body[4..8].copy_from_slice(&[64, 0, 0, 0]);
        }
        frame[..4].copy_from_slice(&(body.len() as u32).to_le_bytes());
        frame[4] = kind;
        frame[5] = if kind == 16 { flags } else { 0 };
        frame[12..16].copy_from_slice(&rows.to_le_bytes());
        frame.extend(body);
        let _ = Wire::default().receive(&frame);
    }
}
