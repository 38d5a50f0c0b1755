//! What is sent.

use std::sync::Arc;

use anyhow::Result;
use arrow::array::{ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::ipc::writer::StreamEncoder;

/// A batch of so many rows.
pub(super) fn batch(rows: usize) -> RecordBatch {
    let rows = i64::try_from(rows).expect("few rows");
    let columns: [(&str, ArrayRef); 4] = [
        ("id", Arc::new(Int64Array::from_iter_values(0..rows))),
        ("time", Arc::new(Int64Array::from_iter_values((0..rows).map(|row| row * 1000)))),
        ("value", Arc::new(Float64Array::from_iter_values((0..rows).map(|row| row as f64 / 3.0)))),
        ("name", Arc::new(StringArray::from_iter_values((0..rows).map(|row| format!("carrier {:06}", row % 1000))))),
    ];
    RecordBatch::try_from_iter(columns).expect("columns of one length")
}

/// Its bytes, without the schema, which is sent once.
pub(super) fn encoded(records: &RecordBatch) -> Result<Vec<u8>> {
    let mut encoder = StreamEncoder::try_new(&records.schema())?;
    encoder.encode(records)?;
    Ok(encoder.encode(records)?.iter().flat_map(|buffer| buffer.to_vec()).collect())
}
