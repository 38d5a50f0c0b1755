//! How elements get from one task to the next: bounded queues inside a worker, framed TCP with credits between workers.
//!
//! ```text
//!   producing worker                                           consuming worker
//!   task ► RemoteWriter ► outbox ► Link ══ TCP, one per ordered ══► IncomingConnection ► ChannelWriter ► InputQueue ► task
//!             has_room ◄── credit ◄─────── pair of workers ◄─────── credit ◄─────────────── on_consumed ◄──┘
//! ```
//!
//! A task's output writes to [`ElementWriter`]s and does not know which of them lead to another process. An
//! [`ExchangeServer`](server::ExchangeServer) takes what other workers send; an
//! [`ExchangeClient`](client::ExchangeClient) opens channels to them. Sockets come from the port
//! [`Network`](network::Network).
//!
//! Invariants:
//! - elements of one channel never overtake each other, and a channel that waits for credit delays no other; a barrier
//!   that overtakes is announced to its reader and keeps its place in the queue;
//! - a channel holds at most its writer's capacity, its reader's capacity and a step's output of each;
//! - what a peer sends may be anything: it costs at most that connection;
//! - a channel that breaks before its end of input has arrived is reported on both sides, at once, and once.

mod batch_decoder;
mod batch_encoder;
pub mod channel;
pub mod client;
mod credit;
mod element_codec;
pub mod error;
pub mod feedback;
mod fields;
pub mod frame;
mod frame_reader;
pub mod handshake;
mod incoming;
pub mod input_queue;
mod link;
pub mod lost;
pub mod network;
mod outbox;
pub mod recording;
mod registry;
pub mod remote_writer;
pub mod server;
pub mod settings;
mod transmit;

use crate::element::{CheckpointId, StreamElement};
use crate::operator::TaskWaker;

use self::feedback::Feedback;

/// The writing end of one channel, inside a worker or between two.
pub trait ElementWriter: Send {
    /// Appends an element. Never refuses; ask [`ElementWriter::has_room`] before making more.
    fn push(&self, element: StreamElement);

    /// The barrier of `checkpoint`, pushed before, becomes one that overtakes, and reaches the reader's queue with all
    /// that is before it however full that is. Nothing to do for a channel that ends in a queue of this worker: whoever
    /// reads it sees the barrier there.
    fn hurry(&self, _checkpoint: CheckpointId) {}

    /// Whether the channel is below its capacity. If not, `writer` is woken when it is.
    fn has_room(&self, writer: &TaskWaker) -> bool;

    /// Whether everything pushed has left this process for good. If not, `writer` is woken when it has.
    ///
    /// A task that ends before is told of no failure of the connection any more, so it asks this after its
    /// [`StreamElement::EndOfInput`] and finishes only then.
    fn is_delivered(&self, _writer: &TaskWaker) -> bool {
        true
    }

    /// What the reader has said since the last question. `writer` is woken when it says more.
    fn take_feedback(&self, _writer: &TaskWaker) -> Option<Feedback> {
        None
    }
}

impl ElementWriter for input_queue::ChannelWriter {
    fn push(&self, element: StreamElement) {
        Self::push(self, element);
    }

    fn has_room(&self, writer: &TaskWaker) -> bool {
        Self::has_room(self, writer)
    }

    fn take_feedback(&self, writer: &TaskWaker) -> Option<Feedback> {
        Self::take_feedback(self, writer)
    }
}

#[cfg(test)]
mod tests;
