//! One accepted connection: checks who it is, opens its channels, decodes what comes.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;

use super::batch_decoder::BatchDecoder;
use super::channel::ChannelId;
use super::credit::{ReceiveCredit, cost_bytes};
use super::element_codec;
use super::error::{ChannelRefusal, ExchangeError, HandshakeError, ProtocolError};
use super::feedback::Feedback;
use super::fields::Fields;
use super::frame::{FLAG_AHEAD, FLAG_CONTINUED, FrameKind, HEADER_BYTES, IncomingFrame, OutgoingFrame};
use super::frame_reader::FrameReader;
use super::handshake::{MAX_HANDSHAKE_BYTES, refused};
use super::input_queue::{ChannelWriter, Pushed};
use super::link::Link;
use super::lost::LostChannels;
use super::network::Connection;
use super::outbox::ChannelNumber;
use super::server::ServerShared;
use crate::element::StreamElement;
use crate::env::AbortOnDrop;
use crate::failure::error_chain;
use crate::id::WorkerId;
use crate::planted::{PlantedFault, is_planted};

/// Channels of one connection; a job has one per pair of subtasks and edge.
const CHANNELS_MAX: usize = 1 << 20;

/// How long a peer that is sent away may take to read why.
const LAST_WORDS_TIMEOUT: Duration = Duration::from_secs(1);

/// What one connection has open. Dropping it closes the connection.
pub(super) struct IncomingConnection {
    link: Arc<Link>,
    channels: Mutex<BTreeMap<ChannelNumber, IncomingChannel>>,
}

enum IncomingChannel {
    /// Its consumer is not here yet.
    Waiting {
        id: ChannelId,
        _deadline: Option<AbortOnDrop>,
    },
    Open(Box<OpenChannel>),
}

struct OpenChannel {
    id: ChannelId,
    writer: ChannelWriter,
    decoder: BatchDecoder,
    account: Arc<Account>,
}

/// The credit of one channel, shared by the connection, where elements arrive, and the queue, where they are consumed.
struct Account {
    credit: Mutex<ReceiveCredit>,
    number: ChannelNumber,
    link: Weak<Link>,
}

impl Account {
    fn told(&self, feedback: Feedback) {
        if let Some(link) = self.link.upgrade() {
            let mut body = [0; 16];
            body[..8].copy_from_slice(&feedback.requested.to_le_bytes());
            body[8..].copy_from_slice(&feedback.watermark.to_le_bytes());
            link.send_urgent(OutgoingFrame::short(FrameKind::Feedback, self.number, &body));
        }
    }

    fn consumed(&self, bytes: usize) {
        let granted = self.credit.lock().consumed(bytes);
        if let (Some(bytes), Some(link)) = (granted, self.link.upgrade()) {
            link.send_urgent(OutgoingFrame::short(FrameKind::Credit, self.number, &bytes.to_le_bytes()));
        }
    }
}

/// A peer's wish to open a channel.
#[derive(Clone)]
pub(super) struct Request {
    connection: Weak<IncomingConnection>,
    number: ChannelNumber,
    id: ChannelId,
}

impl Request {
    /// The consumer is here: the channel is open, and its first credit says so.
    pub(super) fn accept(&self, writer: ChannelWriter) {
        let Some(connection) = self.connection.upgrade() else { return };
        let credit = ReceiveCredit::new(writer.capacity_bytes());
        let link = Arc::downgrade(&connection.link);
        let account = Arc::new(Account { credit: Mutex::new(credit), number: self.number, link });
        {
            let mut channels = connection.channels.lock();
            // The peer may have closed the channel meanwhile.
            let Some(channel @ IncomingChannel::Waiting { .. }) = channels.get_mut(&self.number) else { return };
            let (consumed, told) = (Arc::clone(&account), Arc::clone(&account));
            writer.on_consumed(Arc::new(move |bytes| consumed.consumed(bytes)));
            writer.on_feedback(Arc::new(move |feedback| told.told(feedback)));
            let (id, decoder) = (self.id, BatchDecoder::default());
            *channel = IncomingChannel::Open(Box::new(OpenChannel { id, writer, decoder, account }));
        }
        let bytes = credit.initial().to_le_bytes();
        connection.link.send_urgent(OutgoingFrame::short(FrameKind::Credit, self.number, &bytes));
    }

    /// The channel must not be.
    pub(super) fn refuse(&self, refusal: ChannelRefusal) {
        let Some(connection) = self.connection.upgrade() else { return };
        let waited = connection.channels.lock().remove(&self.number);
        drop(waited);
        connection.link.send_urgent(OutgoingFrame::short(FrameKind::OpenRefused, self.number, &[refusal.code()]));
    }

    /// `deadline` refuses the channel when its time is over.
    pub(super) fn expires(&self, deadline: AbortOnDrop) {
        let Some(connection) = self.connection.upgrade() else { return };
        if let Some(IncomingChannel::Waiting { _deadline, .. }) = connection.channels.lock().get_mut(&self.number) {
            *_deadline = Some(deadline);
        }
    }
}

impl IncomingConnection {
    /// Runs `connection` to its end, and reports the channels that end with it and should not.
    pub(super) async fn run(shared: Arc<ServerShared>, connection: Connection) {
        let max_body_bytes = shared.settings.max_frame_bytes - HEADER_BYTES;
        let link = Arc::new(Link::new(max_body_bytes));
        let this = Arc::new(Self { link, channels: Mutex::default() });
        let mut frames = FrameReader::new(connection.receive, MAX_HANDSHAKE_BYTES);
        let hello = this.admit(&shared, &mut frames).await;
        let peer = match hello {
            Ok(peer) => peer,
            Err(error) => {
                let reason = error_chain(&error);
                tracing::warn!(peer = connection.peer, "exchange connection refused: {reason}");
                this.link.attach(connection.send, refused(&reason));
                // The peer need not listen. If it does, it closes the connection when it has read the reason; closing
                // first could take the reason back.
                let last_words = async {
                    if this.link.flush().await.is_ok() {
                        frames.discard().await;
                    }
                };
                let _ = shared.env.timeout(LAST_WORDS_TIMEOUT, last_words).await;
                return;
            }
        };
        this.link.attach(connection.send, shared.identity.welcome());
        frames.set_max_body_bytes(max_body_bytes);
        let error = tokio::select! {
            biased;
            received = this.receive(&shared, &mut frames) => received.err().unwrap_or(ExchangeError::ClosedByPeer),
            error = this.link.run() => error,
        };
        this.link.shut();
        this.report(&shared, peer, connection.peer, error);
    }

    async fn admit(&self, shared: &ServerShared, frames: &mut FrameReader) -> Result<WorkerId, ExchangeError> {
        let limit = shared.settings.handshake_timeout;
        match shared.env.timeout(limit, frames.next()).await {
            Ok(Ok(Some(frame))) => Ok(shared.identity.admit(&frame)?),
            Ok(Ok(None)) => Err(ExchangeError::ClosedByPeer),
            // What does not even begin with a frame is no worker that errs.
            Ok(Err(ExchangeError::Protocol(_))) => Err(HandshakeError::NoWorker.into()),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(ExchangeError::TimedOut { stage: "handshake", limit }),
        }
    }

    async fn receive(
        self: &Arc<Self>,
        shared: &Arc<ServerShared>,
        frames: &mut FrameReader,
    ) -> Result<(), ExchangeError> {
        while let Some(frame) = frames.next().await? {
            match frame.header.kind {
                FrameKind::Open => self.open(shared, &frame)?,
                FrameKind::Close => self.close(shared, &frame)?,
                _ => self.element(frame)?,
            }
        }
        Ok(())
    }

    fn open(self: &Arc<Self>, shared: &Arc<ServerShared>, frame: &IncomingFrame) -> Result<(), ProtocolError> {
        let id = ChannelId::decode(&frame.body)?;
        let number = frame.header.channel;
        {
            let mut channels = self.channels.lock();
            if channels.len() >= CHANNELS_MAX {
                return Err(ProtocolError::TooManyChannels { max: CHANNELS_MAX });
            }
            if channels.contains_key(&number) {
                return Err(ProtocolError::ReusedChannel(number));
            }
            channels.insert(number, IncomingChannel::Waiting { id, _deadline: None });
        }
        shared.open(id, Request { connection: Arc::downgrade(self), number, id });
        Ok(())
    }

    fn close(&self, shared: &ServerShared, frame: &IncomingFrame) -> Result<(), ProtocolError> {
        Fields::of(&frame.body, "a close frame").end()?;
        let closed = self.channels.lock().remove(&frame.header.channel);
        if let Some(IncomingChannel::Waiting { id, .. }) = closed {
            shared.give_up(&id);
        }
        Ok(())
    }

    fn element(&self, frame: IncomingFrame) -> Result<(), ProtocolError> {
        let (kind, number) = (frame.header.kind, frame.header.channel);
        let mut channels = self.channels.lock();
        let Some(IncomingChannel::Open(channel)) = channels.get_mut(&number) else {
            return Err(ProtocolError::UnknownChannel(number));
        };
        let cost = cost_bytes(frame.body.len());
        {
            let mut credit = channel.account.credit.lock();
            let needs_none = matches!(kind, FrameKind::Barrier | FrameKind::EndOfInput)
                || frame.header.flags & (FLAG_CONTINUED | FLAG_AHEAD) != 0;
            if !needs_none && !credit.has_credit() {
                return Err(ProtocolError::NoCredit(number));
            }
            credit.arrived(cost);
        }
        let element = element_codec::decode(&mut channel.decoder, frame)?;
        let lost = is_planted(PlantedFault::RecordsLostInExchange)
            && matches!(&element, StreamElement::Batch(batch) if batch.num_rows() % 7 == 3);
        if lost || channel.writer.push_sized(element, cost) == Pushed::Dropped {
            channel.account.consumed(cost);
        }
        if kind == FrameKind::EndOfInput {
            channels.remove(&number);
            drop(channels);
            self.link.send_urgent(OutgoingFrame::short(FrameKind::Ended, number, &[]));
        }
        Ok(())
    }

    fn report(&self, shared: &ServerShared, peer: WorkerId, address: String, error: ExchangeError) {
        let channels = std::mem::take(&mut *self.channels.lock());
        let mut lost = Vec::new();
        for channel in channels.into_values() {
            match channel {
                IncomingChannel::Waiting { id, .. } => shared.give_up(&id),
                IncomingChannel::Open(channel) if !channel.writer.is_closed() => lost.push(channel.id),
                // Its consumer has gone before.
                IncomingChannel::Open(_) => {}
            }
        }
        if lost.is_empty() {
            tracing::debug!(%peer, address, "exchange connection ended: {}", error_chain(&error));
        } else {
            lost.sort_unstable();
            (shared.on_lost)(LostChannels { peer: Some(peer), address, channels: lost, error });
        }
    }
}
