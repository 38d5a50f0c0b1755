//! Turns elements into frames and back.

use std::sync::Arc;

use super::batch_decoder::BatchDecoder;
use super::batch_encoder::BatchEncoder;
use super::error::{EncodeError, ProtocolError};
use super::fields::Fields;
use super::frame::{FrameKind, IncomingFrame, OutgoingFrame};
use crate::element::{
    AfterSavepoint, BarrierMode, CheckpointBarrier, CheckpointId, LatencyMarker, Savepoint, SavepointFormat,
    StreamElement,
};

/// Appends the frames for `element` to `frames`.
pub(super) fn encode(
    encoder: &mut BatchEncoder,
    channel: u32,
    element: &StreamElement,
    max_body_bytes: usize,
    frames: &mut Vec<OutgoingFrame>,
) -> Result<(), EncodeError> {
    let frame = match element {
        StreamElement::Batch(batch) => return encoder.encode(channel, batch, max_body_bytes, frames),
        StreamElement::Watermark(time) => OutgoingFrame::short(FrameKind::Watermark, channel, &time.to_le_bytes()),
        StreamElement::Idle => OutgoingFrame::short(FrameKind::Idle, channel, &[]),
        StreamElement::Barrier(barrier) => {
            let CheckpointBarrier { checkpoint: CheckpointId(checkpoint), triggered_at, mode, savepoint, base } =
                barrier;
            let mut body =
                [checkpoint.to_le_bytes(), triggered_at.to_le_bytes(), overtakes_at(*mode).to_le_bytes()].concat();
            body.extend_from_slice(&base.map_or(NO_BASE, |base| base.0).to_le_bytes());
            append_savepoint(savepoint.as_deref(), &mut body);
            OutgoingFrame::short(FrameKind::Barrier, channel, &body)
        }
        StreamElement::LatencyMarker(marker) => {
            let LatencyMarker { created_at, source, subtask } = marker;
            let mut body = created_at.to_le_bytes().to_vec();
            body.extend_from_slice(&source.to_le_bytes());
            body.extend_from_slice(&subtask.to_le_bytes());
            OutgoingFrame::short(FrameKind::LatencyMarker, channel, &body)
        }
        StreamElement::EndOfInput => OutgoingFrame::short(FrameKind::EndOfInput, channel, &[]),
    };
    frames.push(frame);
    Ok(())
}

/// The element of a frame, which must be of an element's kind.
pub(super) fn decode(decoder: &mut BatchDecoder, frame: IncomingFrame) -> Result<StreamElement, ProtocolError> {
    let IncomingFrame { header, body } = frame;
    let mut fields = Fields::of(&body, header.kind.name());
    let element = match header.kind {
        FrameKind::Batch => return decoder.decode(&header, body).map(StreamElement::Batch),
        FrameKind::Watermark => StreamElement::Watermark(fields.i64()?),
        FrameKind::Idle => StreamElement::Idle,
        FrameKind::Barrier => StreamElement::Barrier(CheckpointBarrier {
            checkpoint: CheckpointId(fields.u64()?),
            triggered_at: fields.i64()?,
            mode: mode_of(fields.i64()?),
            base: Some(fields.u64()?).filter(|base| *base != NO_BASE).map(CheckpointId),
            savepoint: read_savepoint(&mut fields)?,
        }),
        FrameKind::LatencyMarker => StreamElement::LatencyMarker(LatencyMarker {
            created_at: fields.i64()?,
            source: fields.u32()?,
            subtask: fields.u32()?,
        }),
        FrameKind::EndOfInput => StreamElement::EndOfInput,
        other => return Err(ProtocolError::Unexpected(other.name())),
    };
    fields.end()?;
    Ok(element)
}

/// In place of a checkpoint's base: ids begin at 1.
const NO_BASE: u64 = 0;

/// When a barrier overtakes: never is the end of time, and at once is the beginning of it.
fn overtakes_at(mode: BarrierMode) -> i64 {
    match mode {
        BarrierMode::Aligned => i64::MAX,
        BarrierMode::AlignedUntil(at) => at.clamp(i64::MIN + 1, i64::MAX - 1),
        BarrierMode::Unaligned => i64::MIN,
    }
}

fn mode_of(overtakes_at: i64) -> BarrierMode {
    match overtakes_at {
        i64::MAX => BarrierMode::Aligned,
        i64::MIN => BarrierMode::Unaligned,
        at => BarrierMode::AlignedUntil(at),
    }
}

/// A savepoint after the other fields of its barrier: nothing for a checkpoint.
fn append_savepoint(savepoint: Option<&Savepoint>, body: &mut Vec<u8>) {
    let Some(Savepoint { directory, format, then }) = savepoint else { return };
    let then = match then {
        AfterSavepoint::GoOn => 0,
        AfterSavepoint::Stop => 1,
        AfterSavepoint::Drain => 2,
        AfterSavepoint::Cancel => 3,
    };
    body.extend_from_slice(&[then, u8::from(*format == SavepointFormat::Native)]);
    body.extend_from_slice(directory.as_bytes());
}

fn read_savepoint(fields: &mut Fields<'_>) -> Result<Option<Arc<Savepoint>>, ProtocolError> {
    if fields.is_empty() {
        return Ok(None);
    }
    let then = match fields.array::<1>()? {
        [0] => AfterSavepoint::GoOn,
        [1] => AfterSavepoint::Stop,
        [2] => AfterSavepoint::Drain,
        [3] => AfterSavepoint::Cancel,
        _ => return Err(ProtocolError::ReservedBits),
    };
    let format = match fields.array::<1>()? {
        [0] => SavepointFormat::Canonical,
        [1] => SavepointFormat::Native,
        _ => return Err(ProtocolError::ReservedBits),
    };
    Ok(Some(Arc::new(Savepoint { directory: fields.take_text(), format, then })))
}

#[cfg(test)]
mod tests;
