//! Batches in flight in a state file: per run of batches of one kind an Arrow stream, nothing copied row by row.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, RecordBatchOptions, UInt8Array};
use arrow::buffer::Buffer;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, UInt8Type};
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamDecoder;
use arrow::ipc::writer::StreamWriter;
use bytes::Bytes;
use prost::Message;

use super::{ChannelOrigin, EdgeOrigin, InFlight, InFlightChannel, Origin};
use crate::checkpoint::body::Body;
use crate::checkpoint::envelope::Damage;
use crate::element::{StreamBatch, compact_views};
use crate::id::OperatorId;

/// What is in flight, and where in the file.
#[derive(Message)]
pub(in crate::checkpoint) struct IndexedInFlight {
    #[prost(message, repeated, tag = "1")]
    channels: Vec<IndexedChannel>,
}

#[derive(Message)]
struct IndexedChannel {
    /// None is the subtask's source.
    #[prost(message, optional, tag = "1")]
    edge: Option<IndexedEdge>,
    #[prost(message, repeated, tag = "2")]
    runs: Vec<IndexedRun>,
}

#[derive(Message)]
struct IndexedEdge {
    #[prost(uint32, tag = "1")]
    edge: u32,
    #[prost(bytes = "bytes", tag = "2")]
    from: Bytes,
    /// More than 0 producers when the channel is known.
    #[prost(uint32, tag = "3")]
    producers: u32,
    #[prost(uint32, tag = "4")]
    producer: u32,
}

/// A stream of batches.
#[derive(Message)]
struct IndexedRun {
    /// Counts from the body's beginning.
    #[prost(uint64, tag = "2")]
    offset_bytes: u64,
    #[prost(uint64, tag = "3")]
    length_bytes: u64,
    /// The first column is the event times.
    #[prost(bool, tag = "4")]
    timestamps: bool,
    /// The next one is the row kinds.
    #[prost(bool, tag = "5")]
    kinds: bool,
}

/// Appends what is in flight to a file's body; answers with where it is.
pub(in crate::checkpoint) fn append(file: &mut Body<'_>, in_flight: &InFlight) -> Result<IndexedInFlight, ArrowError> {
    let mut channels = Vec::with_capacity(in_flight.channels.len());
    for channel in in_flight.channels.iter().filter(|channel| !channel.batches.is_empty()) {
        let edge = match &channel.origin {
            Origin::Source => None,
            Origin::Edge(origin) => Some(IndexedEdge {
                edge: origin.edge,
                from: Bytes::copy_from_slice(origin.from.as_bytes()),
                producers: origin.channel.map_or(0, |channel| channel.producers),
                producer: origin.channel.map_or(0, |channel| channel.producer),
            }),
        };
        let mut runs = Vec::new();
        for run in channel.batches.chunk_by(is_like) {
            let range = append_run(file, run)?;
            let first = run.first();
            runs.push(IndexedRun {
                offset_bytes: range.start as u64,
                length_bytes: range.len() as u64,
                timestamps: first.is_some_and(|batch| batch.timestamps().is_some()),
                kinds: first.is_some_and(|batch| batch.kinds().is_some()),
            });
        }
        channels.push(IndexedChannel { edge, runs });
    }
    Ok(IndexedInFlight { channels })
}

/// What is in flight in a file's body.
pub(in crate::checkpoint) fn read(body: &Bytes, index: IndexedInFlight) -> Result<InFlight, ReadError> {
    let channels = index.channels.into_iter().map(|channel| {
        let origin = match channel.edge {
            None => Origin::Source,
            Some(edge) => Origin::Edge(EdgeOrigin {
                edge: edge.edge,
                from: OperatorId::try_from(edge.from.as_ref()).map_err(|error| Damage::Malformed(error.to_string()))?,
                channel: (edge.producers > 0)
                    .then_some(ChannelOrigin { producer: edge.producer, producers: edge.producers }),
            }),
        };
        let mut batches = Vec::new();
        for run in &channel.runs {
            read_run(body, run, &mut batches)?;
        }
        Ok(InFlightChannel { origin, batches })
    });
    Ok(InFlight { channels: channels.collect::<Result<_, ReadError>>()? })
}

/// Why what is in flight cannot be read.
#[derive(Debug)]
pub(in crate::checkpoint) enum ReadError {
    Damage(Damage),
    Arrow(ArrowError),
}

impl From<Damage> for ReadError {
    fn from(damage: Damage) -> Self {
        Self::Damage(damage)
    }
}

impl From<ArrowError> for ReadError {
    fn from(error: ArrowError) -> Self {
        Self::Arrow(error)
    }
}

fn is_like(first: &StreamBatch, other: &StreamBatch) -> bool {
    first.records().schema_ref() == other.records().schema_ref()
        && first.timestamps().is_some() == other.timestamps().is_some()
        && first.kinds().is_some() == other.kinds().is_some()
}

fn append_run(file: &mut Body<'_>, run: &[StreamBatch]) -> Result<Range<usize>, ArrowError> {
    let start = file.align();
    let mut writer: Option<StreamWriter<&mut Body<'_>>> = None;
    let schema = run.first().map(with_times_and_kinds).transpose()?.map(|rows| rows.schema());
    if let Some(schema) = schema {
        let writer = writer.insert(StreamWriter::try_new(&mut *file, &schema)?);
        for batch in run {
            writer.write(&with_times_and_kinds(batch)?)?;
        }
        writer.finish()?;
    }
    drop(writer);
    Ok(start..file.len())
}

/// The records behind columns of their event times and row kinds.
fn with_times_and_kinds(batch: &StreamBatch) -> Result<RecordBatch, ArrowError> {
    let records = compact_views(batch.records())?;
    let mut fields = Vec::with_capacity(records.num_columns() + 2);
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(records.num_columns() + 2);
    if let Some(times) = batch.timestamps() {
        fields.push(Arc::new(Field::new("timestamps", DataType::Int64, false)));
        columns.push(Arc::new(Int64Array::new(times.clone(), None)));
    }
    if let Some(kinds) = batch.kinds() {
        fields.push(Arc::new(Field::new("kinds", DataType::UInt8, false)));
        columns.push(Arc::new(UInt8Array::new(kinds.clone(), None)));
    }
    fields.extend(records.schema_ref().fields().iter().cloned());
    columns.extend(records.columns().iter().cloned());
    let schema = Schema::new_with_metadata(fields, records.schema_ref().metadata().clone());
    let options = RecordBatchOptions::new().with_row_count(Some(records.num_rows()));
    RecordBatch::try_new_with_options(Arc::new(schema), columns, &options)
}

fn read_run(body: &Bytes, run: &IndexedRun, batches: &mut Vec<StreamBatch>) -> Result<(), ReadError> {
    let end = run.offset_bytes.checked_add(run.length_bytes).filter(|end| *end <= body.len() as u64);
    let end = end.ok_or_else(|| Damage::Malformed("what was in flight lies outside".to_owned()))?;
    let mut buffer = Buffer::from(body.slice(run.offset_bytes as usize..end as usize));
    let mut decoder = StreamDecoder::new();
    while !buffer.is_empty() {
        if let Some(rows) = decoder.decode(&mut buffer)? {
            batches.push(split(&rows, run)?);
        }
    }
    decoder.finish()?;
    Ok(())
}

fn split(rows: &RecordBatch, run: &IndexedRun) -> Result<StreamBatch, ArrowError> {
    let missing = || ArrowError::SchemaError("event times or row kinds are missing".to_owned());
    let skip = usize::from(run.timestamps) + usize::from(run.kinds);
    if rows.num_columns() < skip {
        return Err(missing());
    }
    let schema = rows.schema_ref();
    let fields: Vec<_> = schema.fields().iter().skip(skip).cloned().collect();
    let without = Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()));
    let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
    let records = RecordBatch::try_new_with_options(without, rows.columns()[skip..].to_vec(), &options)?;
    let mut batch = StreamBatch::new(records);
    if run.timestamps {
        let times = rows.column(0).as_primitive_opt::<Int64Type>().filter(|times| times.null_count() == 0);
        batch = batch.with_timestamps(Some(times.ok_or_else(missing)?.values().clone()));
    }
    if run.kinds {
        let kinds = rows.column(skip - 1).as_primitive_opt::<UInt8Type>().filter(|kinds| kinds.null_count() == 0);
        batch = batch.with_kinds(Some(kinds.ok_or_else(missing)?.values().clone()));
    }
    Ok(batch)
}
