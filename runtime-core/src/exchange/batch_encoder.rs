//! Turns the batches of one channel into frames.
//!
//! ```text
//!  body = event times ┼ row kinds ┼ Arrow IPC messages: (schema) (dictionaries) record batch
//! ```
//!
//! Each part is padded to [`ALIGNMENT`], so that the receiver uses the columns where they arrive. The schema goes with
//! the first batch and again when it changes; dictionaries go when they change. The columns' buffers are not copied.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::ipc::MetadataVersion;
use arrow::ipc::writer::{IpcWriteOptions, StreamEncoder};

use super::error::EncodeError;
use super::frame::{FLAG_CONTINUED, FLAG_KINDS, FLAG_SCHEMA, FLAG_TIMESTAMPS, FrameKind, OutgoingFrame};
use crate::element::{StreamBatch, compact_views};

/// What the parts of a batch's body are aligned to: enough for every type that Arrow has.
pub(super) const ALIGNMENT: usize = 16;

// Columns travel as they are in memory.
const _: () = assert!(cfg!(target_endian = "little"), "the exchange's byte order is little-endian");

/// Encodes the batches of one channel; remembers what the receiver knows.
#[derive(Default)]
pub(super) struct BatchEncoder {
    sent: Option<(SchemaRef, StreamEncoder)>,
}

impl BatchEncoder {
    /// Appends the frames for `batch` to `frames`, which holds none but of this batch: one, or several when it is
    /// longer than `max_body_bytes`.
    pub(super) fn encode(
        &mut self,
        channel: u32,
        batch: &StreamBatch,
        max_body_bytes: usize,
        frames: &mut Vec<OutgoingFrame>,
    ) -> Result<(), EncodeError> {
        let flags = if frames.is_empty() { 0 } else { FLAG_CONTINUED };
        let frame = self.encode_whole(channel, flags, batch).map_err(EncodeError::Arrow)?;
        if frame.body_bytes() <= max_body_bytes {
            frames.push(frame);
            return Ok(());
        }
        // The encoder counts this frame's schema and dictionaries as sent.
        self.sent = None;
        let rows = batch.num_rows();
        if rows < 2 {
            return Err(EncodeError::RowTooLong { bytes: frame.body_bytes(), max: max_body_bytes });
        }
        self.encode(channel, &batch.slice(0, rows / 2), max_body_bytes, frames)?;
        self.encode(channel, &batch.slice(rows / 2, rows - rows / 2), max_body_bytes, frames)
    }

    fn encode_whole(&mut self, channel: u32, mut flags: u8, batch: &StreamBatch) -> Result<OutgoingFrame, ArrowError> {
        let rows = u32::try_from(batch.num_rows())
            .map_err(|_| ArrowError::InvalidArgumentError("more than 4 billion rows in one batch".to_owned()))?;
        let mut frame = OutgoingFrame::begin();
        if let Some(times) = batch.timestamps() {
            flags |= FLAG_TIMESTAMPS;
            frame.share(times.inner().clone());
            frame.pad(ALIGNMENT);
        }
        if let Some(kinds) = batch.kinds() {
            flags |= FLAG_KINDS;
            frame.share(kinds.inner().clone());
            frame.pad(ALIGNMENT);
        }
        let records = compact_views(batch.records())?;
        let schema = records.schema_ref();
        let known = matches!(&self.sent, Some((sent, _)) if Arc::ptr_eq(sent, schema) || sent == schema);
        if !known {
            flags |= FLAG_SCHEMA;
            let options = IpcWriteOptions::try_new(ALIGNMENT, false, MetadataVersion::V5)?;
            self.sent = Some((schema.clone(), StreamEncoder::try_new_with_options(schema, options)?));
        }
        let (_, encoder) = self.sent.as_mut().expect("set above when it was not");
        for buffer in encoder.encode(&records)? {
            frame.share(buffer);
        }
        Ok(frame.finish(FrameKind::Batch, flags, channel, rows))
    }
}
