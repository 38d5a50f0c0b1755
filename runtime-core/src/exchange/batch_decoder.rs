//! Turns frames back into the batches of one channel.
//!
//! The columns are slices of the received bytes. Nothing in them is believed: every offset and length is checked here
//! or by Arrow's validation (which also checks offsets within columns and UTF-8), and a panic of Arrow's decoder is
//! caught and is the peer's error.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::buffer::{Buffer, ScalarBuffer};
use arrow::compute::concat;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::ipc::convert::{MessageBuffer, fb_to_schema};
use arrow::ipc::reader::{RecordBatchDecoder, read_dictionary};
use arrow::ipc::{Message, MessageHeader};

use super::batch_encoder::ALIGNMENT;
use super::error::ProtocolError;
use super::frame::{FLAG_KINDS, FLAG_SCHEMA, FLAG_TIMESTAMPS, FrameHeader};
use crate::element::{RowKind, StreamBatch};
use crate::time::EpochMillis;

const CONTINUATION: [u8; 4] = [0xff; 4];

/// Dictionaries that are longer than all bytes that can have come in one frame are an attack or a mistake.
const MAX_DICTIONARY_ENTRIES: usize = 1 << 28;

/// Decodes the batches of one channel; remembers its schema and dictionaries.
#[derive(Default)]
pub(super) struct BatchDecoder {
    schema: Option<SchemaRef>,
    dictionaries: HashMap<i64, ArrayRef>,
}

impl BatchDecoder {
    /// The batch of a frame. After an error the channel cannot go on.
    pub(super) fn decode(&mut self, header: &FrameHeader, body: Vec<u8>) -> Result<StreamBatch, ProtocolError> {
        let body = Buffer::from_vec(body);
        // The decoder is not used again after a panic.
        match catch_unwind(AssertUnwindSafe(|| self.decode_body(header, body))) {
            Ok(decoded) => decoded,
            Err(panic) => Err(ProtocolError::DecoderPanicked(panic_text(panic.as_ref()))),
        }
    }

    fn decode_body(&mut self, header: &FrameHeader, body: Buffer) -> Result<StreamBatch, ProtocolError> {
        let rows = header.rows as usize;
        let mut rest = body;
        let mut timestamps = None;
        if header.flags & FLAG_TIMESTAMPS != 0 {
            let bytes = split_padded(&mut rest, rows * size_of::<EpochMillis>())?;
            timestamps = Some(aligned_times(bytes, rows));
        }
        let mut kinds = None;
        if header.flags & FLAG_KINDS != 0 {
            let bytes = split_padded(&mut rest, rows)?;
            if bytes.iter().any(|&kind| kind > RowKind::Delete as u8) {
                return Err(ProtocolError::BadMessage("unknown row kind"));
            }
            kinds = Some(ScalarBuffer::new(bytes, 0, rows));
        }
        if header.flags & FLAG_SCHEMA != 0 {
            self.schema = None;
            self.dictionaries.clear();
        }
        let records = self.decode_messages(rest)?;
        if records.num_rows() != rows {
            return Err(ProtocolError::BadMessage("another number of rows than announced"));
        }
        Ok(StreamBatch::new(records).with_timestamps(timestamps).with_kinds(kinds))
    }

    fn decode_messages(&mut self, mut rest: Buffer) -> Result<RecordBatch, ProtocolError> {
        let mut records = None;
        while !rest.is_empty() {
            let (message, body) = split_message(&mut rest)?;
            if records.is_some() {
                return Err(ProtocolError::BadMessage("something follows the record batch"));
            }
            records = self.decode_message(message.as_ref(), &body)?;
        }
        records.ok_or(ProtocolError::BadMessage("no record batch"))
    }

    fn decode_message(&mut self, message: Message<'_>, body: &Buffer) -> Result<Option<RecordBatch>, ProtocolError> {
        if message.header_type() == MessageHeader::Schema {
            if self.schema.is_some() {
                return Err(ProtocolError::BadMessage("a second schema"));
            }
            let schema = message.header_as_schema().ok_or(ProtocolError::BadMessage("a schema without content"))?;
            self.schema = Some(Arc::new(fb_to_schema(schema)));
            return Ok(None);
        }
        let schema = self.schema.clone().ok_or(ProtocolError::BadMessage("data before its schema"))?;
        match message.header_type() {
            MessageHeader::DictionaryBatch => {
                self.decode_dictionary(message, body, &schema)?;
                Ok(None)
            }
            MessageHeader::RecordBatch => {
                let batch = message
                    .header_as_record_batch()
                    .ok_or(ProtocolError::BadMessage("a record batch without content"))?;
                check_bounds(batch, body.len())?;
                RecordBatchDecoder::try_new(body, batch, schema, &self.dictionaries, &message.version())
                    .and_then(RecordBatchDecoder::read_record_batch)
                    .map(Some)
                    .map_err(ProtocolError::BadBatch)
            }
            _ => Err(ProtocolError::BadMessage("neither schema, dictionary nor record batch")),
        }
    }

    fn decode_dictionary(&mut self, message: Message<'_>, body: &Buffer, schema: &Schema) -> Result<(), ProtocolError> {
        const NO_CONTENT: ProtocolError = ProtocolError::BadMessage("a dictionary without content");
        let dictionary = message.header_as_dictionary_batch().ok_or(NO_CONTENT)?;
        check_bounds(dictionary.data().ok_or(NO_CONTENT)?, body.len())?;
        let (id, is_delta) = (dictionary.id(), dictionary.isDelta());
        let before = if is_delta { self.dictionaries.remove(&id) } else { None };
        // A delta is appended here and not by Arrow, so that its growth is bounded.
        read_dictionary(body, dictionary, schema, &mut self.dictionaries, &message.version())
            .map_err(ProtocolError::BadBatch)?;
        if let (Some(before), Some(delta)) = (before, self.dictionaries.get(&id)) {
            if before.len() + delta.len() > MAX_DICTIONARY_ENTRIES {
                return Err(ProtocolError::BadMessage("a dictionary that grows without bound"));
            }
            let grown = concat(&[&before, delta]).map_err(ProtocolError::BadBatch)?;
            self.dictionaries.insert(id, grown);
        }
        Ok(())
    }
}

/// Cuts the next IPC message off: its metadata and its body.
fn split_message(rest: &mut Buffer) -> Result<(MessageBuffer, Buffer), ProtocolError> {
    const SHORT: ProtocolError = ProtocolError::BadMessage("shorter than it says");
    let (prefix, _) = rest.split_first_chunk::<8>().ok_or(SHORT)?;
    if prefix[..4] != CONTINUATION {
        return Err(ProtocolError::BadMessage("no continuation marker"));
    }
    let metadata_bytes = i32::from_le_bytes([prefix[4], prefix[5], prefix[6], prefix[7]]);
    let metadata_bytes = usize::try_from(metadata_bytes).map_err(|_| SHORT)?;
    rest.advance(8);
    let metadata = split_front(rest, metadata_bytes).ok_or(SHORT)?;
    let message = MessageBuffer::try_new(metadata).map_err(ProtocolError::BadBatch)?;
    let body_bytes = usize::try_from(message.as_ref().bodyLength()).map_err(|_| SHORT)?;
    let body = split_front(rest, body_bytes).ok_or(SHORT)?;
    Ok((message, body))
}

fn split_front(rest: &mut Buffer, bytes: usize) -> Option<Buffer> {
    if bytes > rest.len() {
        return None;
    }
    let front = rest.slice_with_length(0, bytes);
    rest.advance(bytes);
    Some(front)
}

fn split_padded(rest: &mut Buffer, bytes: usize) -> Result<Buffer, ProtocolError> {
    let padded = split_front(rest, bytes.next_multiple_of(ALIGNMENT))
        .ok_or(ProtocolError::BadMessage("fewer event times or row kinds than rows"))?;
    Ok(padded.slice_with_length(0, bytes))
}

/// The allocator aligns what is received to 16 bytes in practice, though nothing promises that it does.
fn aligned_times(bytes: Buffer, rows: usize) -> ScalarBuffer<EpochMillis> {
    if bytes.as_ptr().align_offset(align_of::<EpochMillis>()) == 0 {
        ScalarBuffer::new(bytes, 0, rows)
    } else {
        let (times, _) = bytes.as_chunks::<{ size_of::<EpochMillis>() }>();
        times.iter().map(|time| EpochMillis::from_le_bytes(*time)).collect()
    }
}

/// Arrow slices the body by these numbers and panics when they are beyond it.
fn check_bounds(batch: arrow::ipc::RecordBatch<'_>, body_bytes: usize) -> Result<(), ProtocolError> {
    let inside = |buffer: &arrow::ipc::Buffer| {
        let (offset, length) = (usize::try_from(buffer.offset()), usize::try_from(buffer.length()));
        matches!((offset, length), (Ok(offset), Ok(length)) if offset.checked_add(length).is_some_and(|end| end <= body_bytes))
    };
    if !batch.buffers().is_some_and(|buffers| buffers.iter().all(inside)) {
        return Err(ProtocolError::BadMessage("a buffer beyond the message's body"));
    }
    let sensible = |length: i64| (0..=i64::from(u32::MAX)).contains(&length);
    let whole =
        |node: &arrow::ipc::FieldNode| sensible(node.length()) && (0..=node.length()).contains(&node.null_count());
    if !batch.nodes().is_some_and(|nodes| nodes.iter().all(whole)) || !sensible(batch.length()) {
        return Err(ProtocolError::BadMessage("an impossible length"));
    }
    Ok(())
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "the decoder panicked".to_owned())
}
