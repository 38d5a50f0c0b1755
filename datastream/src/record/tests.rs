//! Claims about records as a whole: what survives the way through columns, what is refused and how.

mod appending;
mod derived;
mod refused;
mod round_trips;
mod schemas;

use std::fmt::Debug;

use arrow::array::RecordBatch;

use super::{Record, RecordBuilder, RecordReader, ToRecord};

/// The batch of these records.
fn batch<R: Record>(records: &[R]) -> RecordBatch {
    let mut builder = RecordBuilder::<R>::new();
    for record in records {
        builder.append(record);
    }
    assert_eq!(builder.len(), records.len());
    let batch = builder.finish().unwrap();
    assert!(builder.is_empty());
    assert_eq!(batch.schema(), R::schema());
    assert_eq!(batch.num_rows(), records.len());
    batch
}

/// Shows that the records are read back from the batch, each on its own and into a used scratch value.
#[track_caller]
fn check_reads<R: Record + PartialEq + Debug>(batch: &RecordBatch, records: &[R]) {
    let reader = RecordReader::<R>::open(batch).unwrap();
    assert_eq!(reader.iter().collect::<Vec<_>>(), records);
    let mut scratch = R::scratch();
    for (row, record) in records.iter().enumerate() {
        reader.read_into(row, &mut scratch);
        assert_eq!(scratch, *record, "row {row} read over the one before");
    }
}

/// Shows that the records survive columns: whole, sliced, in a reused builder and encoded.
#[track_caller]
fn check<R: Record + PartialEq + Debug>(records: &[R]) {
    let whole = batch(records);
    check_reads(&whole, records);
    for start in 0..records.len().min(3) {
        let length = records.len() - start - (start.min(records.len() - start));
        check_reads(&whole.slice(start, length), &records[start..start + length]);
    }
    let mut reused = RecordBuilder::<R>::new();
    for half in [&records[..records.len() / 2], &records[records.len() / 2..]] {
        half.iter().for_each(|record| reused.append(record));
        check_reads(&reused.finish().unwrap(), half);
    }
    check_reads(&through_ipc(&whole), records);
}

fn through_ipc(batch: &RecordBatch) -> RecordBatch {
    let mut bytes = Vec::new();
    let mut writer = arrow::ipc::writer::StreamWriter::try_new(&mut bytes, &batch.schema()).unwrap();
    writer.write(batch).unwrap();
    writer.finish().unwrap();
    let mut reader = arrow::ipc::reader::StreamReader::try_new(bytes.as_slice(), None).unwrap();
    let decoded = reader.next().unwrap().unwrap();
    assert_eq!(decoded.schema(), batch.schema());
    decoded
}

/// The error of reading the batch as `R`.
#[track_caller]
fn refusal<R: Record>(batch: &RecordBatch) -> String {
    match RecordReader::<R>::open(batch) {
        Ok(_) => panic!("the batch was accepted"),
        Err(error) => error.to_string(),
    }
}

/// The records as the batch that appending `values` gives.
#[track_caller]
fn check_stored<R: Record + PartialEq + Debug, T: ToRecord<R> + Clone>(value: T, record: R) {
    assert_eq!(value.to_record(), record);
    assert_eq!(value.clone().into_record(), record);
    let mut builder = RecordBuilder::<R>::new();
    builder.append(&value);
    check_reads(&builder.finish().unwrap(), &[record]);
}
