//! The writing end of a channel whose reader is in another worker.

use std::sync::Arc;

use super::ElementWriter;
use super::channel::ChannelId;
use super::feedback::Feedback;
use super::link::Link;
use super::outbox::ChannelNumber;
use crate::element::{CheckpointId, StreamElement};
use crate::operator::TaskWaker;

/// Writes to a channel of another worker.
///
/// Usable at once, before the connection stands: elements wait for credit, and [`ElementWriter::has_room`] bounds them.
/// When the connection is lost, the [`OnLost`](super::lost::OnLost) of the client says so; the writer then swallows what
/// it gets, so that its task is never stuck before it is cancelled. Dropped after the end of input it leaves the channel
/// to deliver what waits; dropped before, it ends the channel.
pub struct RemoteWriter {
    id: ChannelId,
    link: Arc<Link>,
    number: ChannelNumber,
    cut_batches_above_bytes: usize,
}

impl RemoteWriter {
    pub(super) fn new(id: ChannelId, link: Arc<Link>, number: ChannelNumber, cut_batches_above_bytes: usize) -> Self {
        Self { id, link, number, cut_batches_above_bytes }
    }

    /// The channel.
    pub const fn id(&self) -> ChannelId {
        self.id
    }
}

impl ElementWriter for RemoteWriter {
    fn push(&self, element: StreamElement) {
        let bytes = element.size_bytes();
        match element {
            StreamElement::Batch(batch) if bytes > self.cut_batches_above_bytes && batch.num_rows() > 1 => {
                let pieces = bytes.div_ceil(self.cut_batches_above_bytes);
                let rows = batch.num_rows().div_ceil(pieces);
                for start in (0..batch.num_rows()).step_by(rows) {
                    let piece = batch.slice(start, rows.min(batch.num_rows() - start));
                    let piece = StreamElement::Batch(piece);
                    let bytes = piece.size_bytes();
                    self.link.push(self.number, piece, bytes);
                }
            }
            element => self.link.push(self.number, element, bytes),
        }
    }

    fn hurry(&self, checkpoint: CheckpointId) {
        self.link.hurry(self.number, checkpoint);
    }

    fn has_room(&self, writer: &TaskWaker) -> bool {
        self.link.has_room(self.number, writer)
    }

    fn is_delivered(&self, writer: &TaskWaker) -> bool {
        self.link.is_delivered(self.number, writer)
    }

    fn take_feedback(&self, writer: &TaskWaker) -> Option<Feedback> {
        self.link.take_feedback(self.number, writer)
    }
}

impl Drop for RemoteWriter {
    fn drop(&mut self) {
        self.link.close_channel(self.number);
    }
}

impl std::fmt::Debug for RemoteWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RemoteWriter").field("id", &self.id).finish_non_exhaustive()
    }
}
