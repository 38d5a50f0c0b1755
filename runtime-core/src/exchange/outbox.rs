//! What waits to be sent on one connection, and what goes next.
//!
//! ```text
//!  urgent  [hello][open][credit] ─────────────────────────────────┐
//!  channel 0 [batch][watermark][batch]   credit  12 KiB ─┐        ├─► next()
//!  channel 1 [batch]                     credit -3 KiB   ├ ready ─┘
//!  channel 2 [barrier]                   credit  0       ┘ in turn
//! ```
//!
//! Urgent frames go first. A channel without credit keeps its elements and holds nobody up; barriers and the end of
//! input go without credit, when it is their turn in their channel. What is ahead of a barrier that hurries goes without
//! credit as well, so that the barrier can overtake it in the reader's queue; until credit has come for that, it counts
//! as if it still waited here. No I/O and no encoding happens here.
//!
//! Invariant: a channel is in `ready` exactly when its first item may go and none of its items is being encoded, so
//! that the items of a channel are encoded one after the other.

use std::collections::{BTreeMap, VecDeque};

use super::batch_encoder::BatchEncoder;
use super::channel::ChannelId;
use super::credit::SendCredit;
use super::error::ExchangeError;
use super::feedback::Feedback;
use super::frame::OutgoingFrame;
use crate::element::{BarrierMode, CheckpointId, StreamElement};
use crate::operator::TaskWaker;

/// Number of a channel on its connection.
pub(super) type ChannelNumber = u32;

/// What to send next.
pub(super) enum Work {
    /// A frame that is encoded already.
    Urgent(OutgoingFrame),
    /// An element, with the encoder of its channel, which must come back in [`Outbox::settle`].
    Element {
        channel: ChannelNumber,
        id: ChannelId,
        element: StreamElement,
        /// It goes without credit.
        ahead: bool,
        encoder: Box<BatchEncoder>,
    },
    /// The channel's last frame.
    Close { channel: ChannelNumber },
}

/// All that waits on one connection.
#[derive(Default)]
pub(super) struct Outbox {
    urgent: VecDeque<OutgoingFrame>,
    channels: BTreeMap<ChannelNumber, Channel>,
    ready: VecDeque<ChannelNumber>,
    next_number: ChannelNumber,
    queued_bytes: usize,
    /// Somebody sends, or was told to.
    pub(super) sending: bool,
    /// Nothing is taken any more.
    pub(super) closed: bool,
    /// Why sending failed, until it is reported.
    pub(super) failure: Option<ExchangeError>,
}

struct Channel {
    id: ChannelId,
    capacity_bytes: usize,
    items: VecDeque<(Item, usize)>,
    bytes: usize,
    credit: SendCredit,
    /// So many of the first items go without credit.
    ahead: usize,
    /// Something went without, and credit has not come for all of it.
    overdrawn: bool,
    stage: Stage,
    ready: bool,
    /// Absent while an element is being encoded.
    encoder: Option<Box<BatchEncoder>>,
    /// Wakes the writer when there is room, or everything is delivered.
    writer: Option<TaskWaker>,
    /// What the reader has said and the writer has not heard yet, and whom that wakes.
    feedback: Option<Feedback>,
    listener: Option<TaskWaker>,
}

enum Item {
    Element(StreamElement),
    Close,
}

/// Where a channel is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Elements may come.
    Writing,
    /// The end of input was written; the writer may be gone already.
    Ended { abandoned: bool },
    /// The receiver has the end of input.
    Delivered,
    /// The writer left before the end of input.
    Closing,
}

impl Channel {
    fn may_send(&self) -> bool {
        self.encoder.is_some()
            && match self.items.front() {
                None => false,
                Some((Item::Close, _)) => true,
                Some((Item::Element(_), _)) if self.ahead > 0 => self.credit.is_open(),
                Some((Item::Element(StreamElement::Barrier(_) | StreamElement::EndOfInput), _)) => {
                    self.credit.is_open()
                }
                Some((Item::Element(_), _)) => self.credit.has_credit(),
            }
    }

    fn has_room(&self) -> bool {
        let ahead = if self.overdrawn { self.credit.overdraft_bytes() } else { 0 };
        self.bytes.saturating_add(ahead) < self.capacity_bytes
    }
}

impl Outbox {
    pub(super) fn push_urgent(&mut self, frame: OutgoingFrame) {
        self.urgent.push_back(frame);
    }

    /// A new channel, whose writer finds no room while `capacity_bytes` wait.
    pub(super) fn open(&mut self, id: ChannelId, capacity_bytes: usize) -> ChannelNumber {
        let number = self.next_number;
        // Far more channels than a job opens in years; the receiver refuses a number that is in use.
        self.next_number = self.next_number.wrapping_add(1);
        let channel = Channel {
            id,
            capacity_bytes,
            items: VecDeque::new(),
            bytes: 0,
            credit: SendCredit::default(),
            ahead: 0,
            overdrawn: false,
            stage: Stage::Writing,
            ready: false,
            encoder: Some(Box::default()),
            writer: None,
            feedback: None,
            listener: None,
        };
        self.channels.insert(number, channel);
        number
    }

    /// Appends to a channel; dropped when the channel has failed.
    pub(super) fn push(&mut self, number: ChannelNumber, element: StreamElement, bytes: usize) {
        let Some(channel) = self.channels.get_mut(&number) else { return };
        if channel.stage != Stage::Writing {
            return;
        }
        if matches!(element, StreamElement::EndOfInput) {
            channel.stage = Stage::Ended { abandoned: false };
        }
        channel.items.push_back((Item::Element(element), bytes));
        channel.bytes += bytes;
        self.queued_bytes += bytes;
        self.list(number);
    }

    /// Whether the writer may make more; it is woken when that changes.
    pub(super) fn has_room(&mut self, number: ChannelNumber, writer: &TaskWaker) -> bool {
        let Some(channel) = self.channels.get_mut(&number) else { return true };
        let room = channel.has_room();
        channel.writer = (!room).then(|| writer.clone());
        room
    }

    /// The barrier of `checkpoint`, if it still waits, and all before it go without credit, and it overtakes there.
    pub(super) fn hurry(&mut self, number: ChannelNumber, checkpoint: CheckpointId) {
        let Some(channel) = self.channels.get_mut(&number) else { return };
        let found = channel.items.iter_mut().enumerate().rev().find_map(|(index, (item, _))| match item {
            Item::Element(StreamElement::Barrier(barrier)) if barrier.checkpoint == checkpoint => {
                Some((index, barrier))
            }
            _ => None,
        });
        if let Some((index, barrier)) = found {
            barrier.mode = BarrierMode::Unaligned;
            channel.ahead = channel.ahead.max(index + 1);
            self.list(number);
        }
    }

    /// Whether the receiver has everything including the end of input; the writer is woken when that changes. A channel
    /// that failed never is, so that its task does not end well before the failure reaches it.
    pub(super) fn is_delivered(&mut self, number: ChannelNumber, writer: &TaskWaker) -> bool {
        let Some(channel) = self.channels.get_mut(&number) else { return false };
        let delivered = channel.stage == Stage::Delivered;
        channel.writer = (!delivered).then(|| writer.clone());
        delivered
    }

    /// The channel's writer is gone.
    pub(super) fn close(&mut self, number: ChannelNumber) {
        let Some(channel) = self.channels.get_mut(&number) else { return };
        channel.writer = None;
        match channel.stage {
            Stage::Writing => {
                self.queued_bytes -= channel.bytes;
                channel.items.clear();
                channel.ahead = 0;
                channel.bytes = 0;
                channel.stage = Stage::Closing;
                channel.items.push_back((Item::Close, 0));
                self.list(number);
            }
            Stage::Ended { .. } => channel.stage = Stage::Ended { abandoned: true },
            Stage::Delivered => drop(self.channels.remove(&number)),
            Stage::Closing => {}
        }
    }

    /// The receiver gave credit; a channel that is gone needs none. Answers with whom to wake as there is room now.
    pub(super) fn grant(&mut self, number: ChannelNumber, bytes: u64) -> Option<TaskWaker> {
        let channel = self.channels.get_mut(&number)?;
        channel.credit.grant(bytes);
        let waits = channel.overdrawn && channel.stage == Stage::Writing;
        channel.overdrawn &= channel.credit.overdraft_bytes() > 0;
        let writer = if waits && channel.has_room() { channel.writer.take() } else { None };
        self.list(number);
        writer
    }

    /// The reader has said something. Answers with whom to wake.
    pub(super) fn feedback(&mut self, number: ChannelNumber, feedback: Feedback) -> Option<TaskWaker> {
        let channel = self.channels.get_mut(&number)?;
        channel.feedback = Some(feedback);
        channel.listener.take()
    }

    /// What the reader has said since the last question; the writer is woken when it says more.
    pub(super) fn take_feedback(&mut self, number: ChannelNumber, writer: &TaskWaker) -> Option<Feedback> {
        let channel = self.channels.get_mut(&number)?;
        channel.listener = Some(writer.clone());
        channel.feedback.take()
    }

    /// The receiver has the end of input. Answers with whom to wake.
    pub(super) fn delivered(&mut self, number: ChannelNumber) -> Option<TaskWaker> {
        let channel = self.channels.get_mut(&number)?;
        if channel.stage == (Stage::Ended { abandoned: true }) {
            self.channels.remove(&number);
            return None;
        }
        channel.stage = Stage::Delivered;
        channel.writer.take()
    }

    /// The receiver does not want the channel: its id and whom to wake, unless its writer has left anyway.
    pub(super) fn refused(&mut self, number: ChannelNumber) -> Option<(ChannelId, Option<TaskWaker>)> {
        let channel = self.channels.remove(&number)?;
        self.queued_bytes -= channel.bytes;
        (channel.stage != Stage::Closing).then_some((channel.id, channel.writer))
    }

    /// Whether [`Outbox::next`] has something.
    pub(super) fn has_work(&self) -> bool {
        !self.urgent.is_empty() || !self.ready.is_empty()
    }

    /// What to send next although much is being sent already.
    pub(super) fn next_urgent(&mut self) -> Option<(Work, Option<TaskWaker>)> {
        self.urgent.pop_front().map(|frame| (Work::Urgent(frame), None))
    }

    /// What to send next, and whom to wake as there is room now.
    pub(super) fn next(&mut self) -> Option<(Work, Option<TaskWaker>)> {
        if let Some(urgent) = self.next_urgent() {
            return Some(urgent);
        }
        while let Some(number) = self.ready.pop_front() {
            let Some(channel) = self.channels.get_mut(&number) else { continue };
            channel.ready = false;
            if !channel.may_send() {
                continue;
            }
            let Some((item, bytes)) = channel.items.pop_front() else { continue };
            channel.bytes -= bytes;
            self.queued_bytes -= bytes;
            let Item::Element(element) = item else {
                self.channels.remove(&number);
                return Some((Work::Close { channel: number }, None));
            };
            let ahead = channel.ahead > 0;
            channel.ahead = channel.ahead.saturating_sub(1);
            channel.overdrawn |= ahead;
            let writes = channel.stage == Stage::Writing;
            let writer = if writes && channel.has_room() { channel.writer.take() } else { None };
            let Some(encoder) = channel.encoder.take() else { continue };
            return Some((Work::Element { channel: number, id: channel.id, element, ahead, encoder }, writer));
        }
        None
    }

    /// The element of [`Outbox::next`] was encoded and costs so much.
    pub(super) fn settle(&mut self, number: ChannelNumber, cost_bytes: usize, encoder: Box<BatchEncoder>) {
        if let Some(channel) = self.channels.get_mut(&number) {
            channel.credit.spend(cost_bytes);
            channel.overdrawn &= channel.credit.overdraft_bytes() > 0;
            channel.encoder = Some(encoder);
            self.list(number);
        }
    }

    /// Bytes that wait in all channels.
    pub(super) const fn queued_bytes(&self) -> usize {
        self.queued_bytes
    }

    /// Takes nothing any more. Answers with the channels that had not ended, and whom to wake.
    pub(super) fn shut(&mut self) -> (Vec<ChannelId>, Vec<TaskWaker>) {
        self.closed = true;
        self.urgent.clear();
        self.ready.clear();
        self.queued_bytes = 0;
        let (delivered, channels) = std::mem::take(&mut self.channels)
            .into_iter()
            .partition::<BTreeMap<_, _>, _>(|(_, channel)| channel.stage == Stage::Delivered);
        self.channels = delivered;
        let unfinished = |channel: &&Channel| matches!(channel.stage, Stage::Writing | Stage::Ended { .. });
        let ids = channels.values().filter(unfinished).map(|channel| channel.id).collect();
        (ids, channels.into_values().filter_map(|channel| channel.writer).collect())
    }

    fn list(&mut self, number: ChannelNumber) {
        if let Some(channel) = self.channels.get_mut(&number)
            && !channel.ready
            && channel.may_send()
        {
            channel.ready = true;
            self.ready.push_back(number);
        }
    }
}
