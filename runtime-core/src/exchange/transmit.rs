//! The frames that are encoded and not sent yet, and the socket they go to.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use smallvec::SmallVec;

use super::frame::OutgoingFrame;
use super::network::SendHalf;

/// Most slices of one write; the system's limit is 1024.
const MAX_SLICES: usize = 256;

/// Frames in the order of their departure: the rest of the one that is partly sent, the urgent ones, the others.
#[derive(Default)]
pub(super) struct Transmit {
    pub(super) socket: Option<Arc<dyn SendHalf>>,
    begun: Option<OutgoingFrame>,
    /// How much of `begun` is sent.
    begun_bytes: usize,
    urgent: VecDeque<OutgoingFrame>,
    others: VecDeque<OutgoingFrame>,
    bytes: usize,
}

impl Transmit {
    pub(super) fn add_urgent(&mut self, frame: OutgoingFrame) {
        self.bytes += frame.bytes();
        self.urgent.push_back(frame);
    }

    pub(super) fn add(&mut self, frame: OutgoingFrame) {
        self.bytes += frame.bytes();
        self.others.push_back(frame);
    }

    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Writes once; how many bytes the system took.
    pub(super) fn write(&mut self) -> io::Result<usize> {
        let socket = self.socket.as_ref().ok_or(io::ErrorKind::NotConnected)?;
        let sent = {
            let mut slices = SmallVec::new();
            let mut skip = self.begun_bytes;
            for frame in self.begun.iter().chain(&self.urgent).chain(&self.others) {
                if slices.len() == MAX_SLICES {
                    break;
                }
                frame.gather(skip, &mut slices, MAX_SLICES);
                skip = 0;
            }
            socket.try_send(&slices)?
        };
        if sent == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.advance(sent);
        Ok(sent)
    }

    /// Ends the connection and forgets what was not sent.
    pub(super) fn close(&mut self) {
        let socket = self.socket.take();
        *self = Self::default();
        if let Some(socket) = socket {
            socket.close();
        }
    }

    fn advance(&mut self, mut sent: usize) {
        self.bytes -= sent;
        while sent > 0 {
            let next = || self.urgent.pop_front().or_else(|| self.others.pop_front());
            let Some(frame) = self.begun.take().or_else(next) else { return };
            let left = frame.bytes() - self.begun_bytes;
            if sent < left {
                self.begun_bytes += sent;
                self.begun = Some(frame);
                return;
            }
            sent -= left;
            self.begun_bytes = 0;
        }
    }
}
