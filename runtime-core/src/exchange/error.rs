//! What can go wrong between two workers.

use std::fmt;
use std::io;
use std::time::Duration;

use arrow::error::ArrowError;

use super::channel::ChannelId;
use crate::failure::{Classify, FailureClass};
use crate::id::{Epoch, JobId, WorkerId};

/// Why a connection or a channel cannot be used (any more).
#[derive(Debug, thiserror::Error)]
pub enum ExchangeError {
    /// The server's address cannot be had.
    #[error("cannot listen for other workers on `{address}`")]
    Bind {
        /// Host and port asked for.
        address: String,
        /// What the system says.
        source: io::Error,
    },
    /// The peer cannot be reached.
    #[error("cannot connect")]
    Connect(#[source] io::Error),
    /// The peer did not answer in time.
    #[error("no answer to the {stage} within {limit:?}")]
    TimedOut {
        /// What was waited for.
        stage: &'static str,
        /// How long.
        limit: Duration,
    },
    /// The system says that the connection is broken.
    #[error("the connection broke")]
    Broken(#[source] io::Error),
    /// The peer closed the connection, most likely because its process ended.
    #[error("the peer closed the connection")]
    ClosedByPeer,
    /// The peer wants no connection with this worker.
    #[error("the peer refused the connection: {reason}")]
    ConnectionRefused {
        /// In the peer's words.
        reason: String,
    },
    /// The peer does not have the consumer of this channel.
    #[error("the peer refused the channel of {channel}: {refusal}")]
    ChannelRefused {
        /// Which channel.
        channel: ChannelId,
        /// Why.
        refusal: ChannelRefusal,
    },
    /// Another worker listens where the peer should.
    #[error("worker {found} answered instead of worker {expected}")]
    WrongPeer {
        /// Who should be there.
        expected: WorkerId,
        /// Who is.
        found: WorkerId,
    },
    /// A connecting worker belongs elsewhere.
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    /// The peer sent what no worker sends.
    #[error("the peer broke the exchange protocol")]
    Protocol(#[from] ProtocolError),
    /// A batch cannot be sent.
    #[error("cannot encode a batch for {channel}")]
    Encode {
        /// Which channel.
        channel: ChannelId,
        /// Why.
        source: EncodeError,
    },
}

impl Classify for ExchangeError {
    fn class(&self) -> FailureClass {
        match self {
            Self::Connect(_) | Self::TimedOut { .. } | Self::Broken(_) | Self::ClosedByPeer => FailureClass::Lost,
            Self::Encode { .. } => FailureClass::User,
            Self::Bind { .. }
            | Self::ConnectionRefused { .. }
            | Self::ChannelRefused { .. }
            | Self::WrongPeer { .. }
            | Self::Handshake(_)
            | Self::Protocol(_) => FailureClass::System,
        }
    }
}

/// Why a connecting peer is sent away.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// Whatever it is, it is no worker.
    #[error("this port is for Pelton workers only")]
    NoWorker,
    /// A worker of another release.
    #[error("exchange protocol version {found} is not version {expected}")]
    Version {
        /// The server's.
        expected: u16,
        /// The peer's.
        found: u16,
    },
    /// A worker of another job.
    #[error("job {found} is not job {expected}")]
    Job {
        /// The server's.
        expected: JobId,
        /// The peer's.
        found: JobId,
    },
    /// A worker that follows a JobMaster which no longer leads.
    #[error("epoch {found} is older than epoch {current}")]
    StaleEpoch {
        /// The server's.
        current: Epoch,
        /// The peer's.
        found: Epoch,
    },
}

/// Why a channel is not opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChannelRefusal {
    /// The attempts are not those that run.
    Stale,
    /// Nobody registered the channel within the time limit.
    NotRegistered,
    /// The channel is in use.
    AlreadyOpen,
}

impl ChannelRefusal {
    pub(super) const fn code(self) -> u8 {
        match self {
            Self::Stale => 1,
            Self::NotRegistered => 2,
            Self::AlreadyOpen => 3,
        }
    }

    pub(super) fn of_code(code: u8) -> Result<Self, ProtocolError> {
        match code {
            1 => Ok(Self::Stale),
            2 => Ok(Self::NotRegistered),
            3 => Ok(Self::AlreadyOpen),
            _ => Err(ProtocolError::BadValue { what: "a channel refusal", value: u64::from(code) }),
        }
    }
}

impl fmt::Display for ChannelRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stale => "one of its execution attempts is stale",
            Self::NotRegistered => "its consumer was not deployed in time",
            Self::AlreadyOpen => "it is open already",
        })
    }
}

/// What no worker sends.
#[derive(Debug, thiserror::Error)]
pub enum ProtocolError {
    /// A frame of no known kind.
    #[error("unknown frame kind {0}")]
    UnknownKind(u8),
    /// Bits that must be zero are not.
    #[error("frame header with reserved bits set")]
    ReservedBits,
    /// A frame that is too long.
    #[error("frame of {bytes} bytes, which is more than {max}")]
    TooLong {
        /// Announced length.
        bytes: usize,
        /// The bound.
        max: usize,
    },
    /// The connection ended inside a frame.
    #[error("the connection ended in the middle of a frame")]
    Truncated,
    /// A known frame at the wrong time or in the wrong direction.
    #[error("unexpected {0} frame")]
    Unexpected(&'static str),
    /// A body that is too short for its kind.
    #[error("{what} is too short")]
    ShortBody {
        /// Of which frame or field.
        what: &'static str,
    },
    /// A body that is too long for its kind.
    #[error("{what} is too long")]
    LongBody {
        /// Of which frame or field.
        what: &'static str,
    },
    /// A value out of its range.
    #[error("{what} with value {value}")]
    BadValue {
        /// Which field.
        what: &'static str,
        /// What was found.
        value: u64,
    },
    /// A frame for a channel that was never opened or has ended.
    #[error("frame for channel {0}, which is not open")]
    UnknownChannel(u32),
    /// The same channel number twice.
    #[error("channel {0} opened twice")]
    ReusedChannel(u32),
    /// More channels than a job can have.
    #[error("more than {max} channels on one connection")]
    TooManyChannels {
        /// The bound.
        max: usize,
    },
    /// Data that the receiver gave no credit for.
    #[error("data without credit on channel {0}")]
    NoCredit(u32),
    /// A batch without or against its schema.
    #[error("invalid Arrow message: {0}")]
    BadMessage(&'static str),
    /// A batch that Arrow refuses.
    #[error("invalid Arrow batch")]
    BadBatch(#[source] ArrowError),
    /// A batch that Arrow's decoder stumbles over.
    #[error("invalid Arrow batch: {0}")]
    DecoderPanicked(String),
}

/// Why a batch cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// One row alone is longer than a frame may be.
    #[error("one row takes {bytes} bytes, more than the {max} of a frame")]
    RowTooLong {
        /// Its encoded length.
        bytes: usize,
        /// The bound.
        max: usize,
    },
    /// Arrow IPC cannot carry it.
    #[error("Arrow IPC cannot carry it")]
    Arrow(#[source] ArrowError),
}
