//! The sending side of one connection: takes from the outbox, encodes, and writes.
//!
//! ```text
//!  task ──push──► outbox ──► encode ──► transmit ──► socket
//!                    ▲         whoever sets `sending` does this part, until nothing is left or the socket is full
//! ```
//!
//! Whoever finds nobody sending becomes the sender. When little waits that is the pushing thread itself, which saves a
//! change of threads: at rest a batch is in the kernel when `push` returns. When much waits, or the socket is full, the
//! connection's task sends, so that a task computes while its output is written. Encoding costs little, as the columns
//! are not copied, and is part of sending; so what waits unencoded is bounded by the writers' capacities, and what is
//! encoded by [`FILL_BYTES`] and one element.
//!
//! Lock order: `transmit` before `outbox`. `sending` hands over the right to lock `transmit`, so nobody waits for it,
//! except who closes the link.

use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use smallvec::SmallVec;
use tokio::sync::Notify;

use super::channel::ChannelId;
use super::credit::cost_bytes;
use super::element_codec;
use super::error::ExchangeError;
use super::feedback::Feedback;
use super::frame::{FrameKind, HEADER_BYTES, OutgoingFrame};
use super::network::SendHalf;
use super::outbox::{ChannelNumber, Outbox, Work};
use super::transmit::Transmit;
use crate::element::{CheckpointId, StreamElement};
use crate::operator::TaskWaker;

/// Encoded bytes to have at hand for one write.
const FILL_BYTES: usize = 512 << 10;

/// When more waits, the connection's task sends it and not the pushing thread.
const INLINE_BYTES: usize = 64 << 10;

/// How much one thread sends before it lets others have their turn.
const TURN_BYTES: usize = 4 << 20;

/// The sending side of one connection.
pub(super) struct Link {
    outbox: Mutex<Outbox>,
    transmit: Mutex<Transmit>,
    /// Tells the connection's task that sending is its job now.
    handed_over: Notify,
    max_body_bytes: usize,
}

/// How a turn of sending ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// Nothing is left; nobody is the sender.
    Done,
    /// The socket is full.
    Full,
    /// There is more.
    Over,
}

impl Link {
    /// A link that collects until [`Link::attach`].
    pub(super) fn new(max_body_bytes: usize) -> Self {
        let mut outbox = Outbox::default();
        outbox.sending = true;
        Self {
            outbox: Mutex::new(outbox),
            transmit: Mutex::new(Transmit::default()),
            handed_over: Notify::new(),
            max_body_bytes,
        }
    }

    /// Connects the link; `hello` goes before everything that waits.
    pub(super) fn attach(&self, send: Arc<dyn SendHalf>, hello: OutgoingFrame) {
        let mut transmit = self.transmit.lock();
        transmit.add_urgent(hello);
        transmit.socket = Some(send);
        drop(transmit);
        self.handed_over.notify_one();
    }

    /// Opens a channel; none when the link is closed.
    pub(super) fn open(&self, id: ChannelId, capacity_bytes: usize) -> Option<ChannelNumber> {
        let mut number = None;
        self.change(|outbox| {
            if !outbox.closed {
                let opened = outbox.open(id, capacity_bytes);
                outbox.push_urgent(OutgoingFrame::short(FrameKind::Open, opened, &id.encode()));
                number = Some(opened);
            }
        });
        number
    }

    pub(super) fn push(&self, channel: ChannelNumber, element: StreamElement, bytes: usize) {
        self.change(|outbox| outbox.push(channel, element, bytes));
    }

    pub(super) fn hurry(&self, channel: ChannelNumber, checkpoint: CheckpointId) {
        self.change(|outbox| outbox.hurry(channel, checkpoint));
    }

    pub(super) fn has_room(&self, channel: ChannelNumber, writer: &TaskWaker) -> bool {
        self.outbox.lock().has_room(channel, writer)
    }

    pub(super) fn is_delivered(&self, channel: ChannelNumber, writer: &TaskWaker) -> bool {
        self.outbox.lock().is_delivered(channel, writer)
    }

    pub(super) fn close_channel(&self, channel: ChannelNumber) {
        self.change(|outbox| outbox.close(channel));
    }

    /// Sends a frame ahead of everything that waits.
    pub(super) fn send_urgent(&self, frame: OutgoingFrame) {
        self.change(|outbox| {
            if !outbox.closed {
                outbox.push_urgent(frame);
            }
        });
    }

    pub(super) fn grant(&self, channel: ChannelNumber, bytes: u64) {
        let mut writer = None;
        self.change(|outbox| writer = outbox.grant(channel, bytes));
        if let Some(writer) = writer {
            writer.wake();
        }
    }

    /// The reader of a channel has said something.
    pub(super) fn feedback(&self, channel: ChannelNumber, feedback: Feedback) {
        let writer = self.outbox.lock().feedback(channel, feedback);
        if let Some(writer) = writer {
            writer.wake();
        }
    }

    pub(super) fn take_feedback(&self, channel: ChannelNumber, writer: &TaskWaker) -> Option<Feedback> {
        self.outbox.lock().take_feedback(channel, writer)
    }

    pub(super) fn delivered(&self, channel: ChannelNumber) {
        let writer = self.outbox.lock().delivered(channel);
        if let Some(writer) = writer {
            writer.wake();
        }
    }

    /// The receiver does not want the channel: its id, unless its writer has left anyway.
    pub(super) fn refused(&self, channel: ChannelNumber) -> Option<ChannelId> {
        let (id, writer) = self.outbox.lock().refused(channel)?;
        if let Some(writer) = writer {
            writer.wake();
        }
        Some(id)
    }

    /// Bytes that wait to be encoded.
    pub(super) fn queued_bytes(&self) -> usize {
        self.outbox.lock().queued_bytes()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.outbox.lock().closed
    }

    /// Closes the connection. Answers with the channels that had not ended; their writers find room from now on.
    pub(super) fn shut(&self) -> Vec<ChannelId> {
        let (unfinished, writers) = self.outbox.lock().shut();
        self.transmit.lock().close();
        writers.iter().for_each(TaskWaker::wake);
        unfinished
    }

    /// Sends whatever is handed over to the connection's task. Ends only with an error.
    pub(super) async fn run(&self) -> ExchangeError {
        loop {
            self.handed_over.notified().await;
            loop {
                if let Some(failure) = self.outbox.lock().failure.take() {
                    return failure;
                }
                match self.send(TURN_BYTES) {
                    Ok(Turn::Done) => break,
                    Ok(Turn::Over) => tokio::task::yield_now().await,
                    Ok(Turn::Full) => {
                        if let Err(error) = self.sendable().await {
                            return ExchangeError::Broken(error);
                        }
                    }
                    Err(error) => return error,
                }
            }
        }
    }

    /// Completes when everything urgent has been handed to the system, for the last words before closing.
    pub(super) async fn flush(&self) -> Result<(), ExchangeError> {
        loop {
            match self.send(usize::MAX)? {
                Turn::Done | Turn::Over => return Ok(()),
                Turn::Full => self.sendable().await.map_err(ExchangeError::Broken)?,
            }
        }
    }

    async fn sendable(&self) -> io::Result<()> {
        let socket = self.transmit.lock().socket.clone();
        match socket {
            Some(socket) => std::future::poll_fn(|cx| socket.poll_sendable(cx)).await,
            None => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Changes the outbox and sees to it that what may go goes.
    fn change(&self, change: impl FnOnce(&mut Outbox)) {
        let few = {
            let mut outbox = self.outbox.lock();
            change(&mut outbox);
            if outbox.sending || outbox.closed || !outbox.has_work() {
                return;
            }
            outbox.sending = true;
            outbox.queued_bytes() <= INLINE_BYTES
        };
        if few {
            match self.send(INLINE_BYTES) {
                Ok(Turn::Done) => return,
                Ok(Turn::Full | Turn::Over) => {}
                Err(error) => self.outbox.lock().failure = Some(error),
            }
        }
        self.handed_over.notify_one();
    }

    /// Sends at most about `turn_bytes`. The caller is the sender.
    fn send(&self, turn_bytes: usize) -> Result<Turn, ExchangeError> {
        let mut transmit = self.transmit.lock();
        let mut sent = 0;
        loop {
            self.fill(&mut transmit)?;
            if transmit.is_empty() {
                let mut outbox = self.outbox.lock();
                if outbox.has_work() {
                    continue;
                }
                outbox.sending = false;
                return Ok(Turn::Done);
            }
            if sent >= turn_bytes {
                return Ok(Turn::Over);
            }
            match transmit.write() {
                Ok(bytes) => sent += bytes,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Turn::Full),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(ExchangeError::Broken(error)),
            }
        }
    }

    /// Encodes until there is enough for a write.
    fn fill(&self, transmit: &mut Transmit) -> Result<(), ExchangeError> {
        let mut writers: SmallVec<[TaskWaker; 4]> = SmallVec::new();
        let mut frames = Vec::new();
        let mut settled = None;
        loop {
            let work = {
                let mut outbox = self.outbox.lock();
                if let Some((channel, cost, encoder)) = settled.take() {
                    outbox.settle(channel, cost, encoder);
                }
                if transmit.bytes() < FILL_BYTES { outbox.next() } else { outbox.next_urgent() }
            };
            let Some((work, writer)) = work else { break };
            writers.extend(writer);
            match work {
                Work::Urgent(frame) => transmit.add_urgent(frame),
                Work::Close { channel } => {
                    transmit.add(OutgoingFrame::short(FrameKind::Close, channel, &[]));
                }
                Work::Element { channel, id, element, ahead, mut encoder } => {
                    element_codec::encode(&mut encoder, channel, &element, self.max_body_bytes, &mut frames)
                        .map_err(|source| ExchangeError::Encode { channel: id, source })?;
                    if ahead {
                        frames.iter_mut().for_each(OutgoingFrame::mark_ahead);
                    }
                    let cost = frames.iter().map(|frame| cost_bytes(frame.bytes() - HEADER_BYTES)).sum();
                    frames.drain(..).for_each(|frame| transmit.add(frame));
                    settled = Some((channel, cost, encoder));
                }
            }
        }
        writers.iter().for_each(TaskWaker::wake);
        Ok(())
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.shut();
    }
}
