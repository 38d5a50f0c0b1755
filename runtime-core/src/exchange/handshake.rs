//! The first frames of a connection: who connects, for which job, and under whose leadership.
//!
//! ```text
//!  sender                                    receiver
//!    │── Hello: magic, version, job, epoch, worker ──►│   wrong: Refused (reason), closed
//!    │◄── Welcome: worker ────────────────────────────│
//! ```
//!
//! The sender does not wait for the answer before it opens channels; data flows only with credit anyway. A peer whose
//! epoch is newer is let in: then it is this worker that has not heard of the new leader yet, and the attempts in the
//! channels' names still keep stale data out.

use std::sync::atomic::{AtomicU64, Ordering};

use super::error::{ExchangeError, HandshakeError, ProtocolError};
use super::fields::Fields;
use super::frame::{FrameKind, IncomingFrame, OutgoingFrame};
use crate::id::{Epoch, JobId, WorkerId};

/// Version of the exchange protocol; both sides must speak the same.
pub const PROTOCOL_VERSION: u16 = 1;

/// No frame is longer before the handshake is done.
pub(super) const MAX_HANDSHAKE_BYTES: usize = 1024;

const MAGIC: [u8; 8] = *b"PELTONX\n";

/// Who a worker is to its peers.
#[derive(Debug)]
pub struct ExchangeIdentity {
    /// The job.
    pub job: JobId,
    /// This worker.
    pub worker: WorkerId,
    epoch: AtomicU64,
}

impl ExchangeIdentity {
    /// Worker `worker` of `job`, which follows the JobMaster of `epoch`.
    pub fn new(job: JobId, worker: WorkerId, epoch: Epoch) -> Self {
        Self { job, worker, epoch: AtomicU64::new(epoch.0) }
    }

    /// The leadership that this worker follows.
    pub fn epoch(&self) -> Epoch {
        Epoch(self.epoch.load(Ordering::Acquire))
    }

    /// Follows a new leader from now on; an older one is ignored. Connections that exist stay.
    pub fn set_epoch(&self, epoch: Epoch) {
        self.epoch.fetch_max(epoch.0, Ordering::AcqRel);
    }

    pub(super) fn hello(&self) -> OutgoingFrame {
        let mut body = Vec::with_capacity(50);
        body.extend_from_slice(&MAGIC);
        body.extend_from_slice(&PROTOCOL_VERSION.to_le_bytes());
        body.extend_from_slice(self.job.as_bytes());
        body.extend_from_slice(&self.epoch().0.to_le_bytes());
        body.extend_from_slice(self.worker.as_bytes());
        OutgoingFrame::short(FrameKind::Hello, 0, &body)
    }

    /// The worker that says hello, if it may come in.
    pub(super) fn admit(&self, frame: &IncomingFrame) -> Result<WorkerId, HandshakeError> {
        if frame.header.kind != FrameKind::Hello {
            return Err(HandshakeError::NoWorker);
        }
        self.admit_body(&frame.body).unwrap_or(Err(HandshakeError::NoWorker))
    }

    fn admit_body(&self, body: &[u8]) -> Result<Result<WorkerId, HandshakeError>, ProtocolError> {
        let mut fields = Fields::of(body, "a hello frame");
        if fields.array()? != MAGIC {
            return Ok(Err(HandshakeError::NoWorker));
        }
        let version = fields.u16()?;
        if version != PROTOCOL_VERSION {
            return Ok(Err(HandshakeError::Version { expected: PROTOCOL_VERSION, found: version }));
        }
        let job = JobId::from_bytes(fields.array()?);
        let epoch = Epoch(fields.u64()?);
        let worker = WorkerId::from_bytes(fields.array()?);
        fields.end()?;
        if job != self.job {
            return Ok(Err(HandshakeError::Job { expected: self.job, found: job }));
        }
        if epoch < self.epoch() {
            return Ok(Err(HandshakeError::StaleEpoch { current: self.epoch(), found: epoch }));
        }
        Ok(Ok(worker))
    }

    pub(super) fn welcome(&self) -> OutgoingFrame {
        OutgoingFrame::short(FrameKind::Welcome, 0, self.worker.as_bytes())
    }
}

/// The frame that tells a peer why it is sent away.
pub(super) fn refused(reason: &str) -> OutgoingFrame {
    let end = reason.floor_char_boundary(MAX_HANDSHAKE_BYTES);
    OutgoingFrame::short(FrameKind::Refused, 0, &reason.as_bytes()[..end])
}

/// Checks the answer to `Hello`.
pub(super) fn accept_welcome(frame: &IncomingFrame, expected: WorkerId) -> Result<(), ExchangeError> {
    match frame.header.kind {
        FrameKind::Welcome => {
            let mut fields = Fields::of(&frame.body, "a welcome frame");
            let found = WorkerId::from_bytes(fields.array()?);
            fields.end()?;
            if found == expected { Ok(()) } else { Err(ExchangeError::WrongPeer { expected, found }) }
        }
        FrameKind::Refused => {
            let reason = Fields::of(&frame.body, "a refused frame").text();
            Err(ExchangeError::ConnectionRefused { reason })
        }
        other => Err(ProtocolError::Unexpected(other.name()).into()),
    }
}
