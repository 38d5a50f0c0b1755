//! How elements get from one task to the next: bounded queues inside a worker, framed TCP with credits between workers.
//!
//! A task's output writes to [`ElementWriter`]s and does not know which of them lead to another process.

pub mod input_queue;

use crate::element::StreamElement;
use crate::operator::TaskWaker;

/// The writing end of one channel, inside a worker or between two.
pub trait ElementWriter: Send {
    /// Appends an element. Never refuses; ask [`ElementWriter::has_room`] before making more.
    fn push(&self, element: StreamElement);

    /// Whether the channel is below its capacity. If not, `writer` is woken when it is.
    fn has_room(&self, writer: &TaskWaker) -> bool;

    /// Whether everything pushed has left this process for good. If not, `writer` is woken when it has.
    ///
    /// A task that ends before is told of no failure of the connection any more, so it asks this after its
    /// [`StreamElement::EndOfInput`] and finishes only then.
    fn is_delivered(&self, _writer: &TaskWaker) -> bool {
        true
    }
}

impl ElementWriter for input_queue::ChannelWriter {
    fn push(&self, element: StreamElement) {
        Self::push(self, element);
    }

    fn has_room(&self, writer: &TaskWaker) -> bool {
        Self::has_room(self, writer)
    }
}
