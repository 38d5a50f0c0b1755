//! The ends of a connection, as control and as data want them.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use pelton_runtime_core::exchange::network::SendHalf;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::pipe::{Pieces, Pipe};
use crate::simulator::Sleep;

/// Both directions at one end.
pub(super) struct End {
    receive: ReceiveEnd,
    send: SendEnd,
}

/// What comes in. Dropped, the other side finds that nobody reads.
pub(super) struct ReceiveEnd {
    pipe: Arc<Pipe>,
    timer: Option<Sleep>,
    pieces: Pieces,
}

/// What goes out. Dropped, the other side finds the end.
pub(super) struct SendEnd {
    pipe: Arc<Pipe>,
    incoming: Arc<Pipe>,
}

impl End {
    pub(super) fn new(out: &Arc<Pipe>, incoming: &Arc<Pipe>) -> Self {
        Self {
            receive: ReceiveEnd { pipe: Arc::clone(incoming), timer: None, pieces: Pieces::Whole },
            send: SendEnd { pipe: Arc::clone(out), incoming: Arc::clone(incoming) },
        }
    }

    pub(super) fn split(mut self) -> (ReceiveEnd, SendEnd) {
        self.receive.pieces = Pieces::Cut;
        (self.receive, self.send)
    }
}

impl Drop for ReceiveEnd {
    fn drop(&mut self) {
        self.pipe.leave_unread();
    }
}

impl Drop for SendEnd {
    fn drop(&mut self) {
        self.pipe.end();
    }
}

impl AsyncRead for ReceiveEnd {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        this.timer = None;
        this.pipe.poll_read(cx, &mut this.timer, this.pieces, buffer)
    }
}

impl SendHalf for SendEnd {
    fn try_send(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut sent = 0;
        for slice in slices.iter().filter(|slice| !slice.is_empty()) {
            match self.pipe.try_write(slice, Pieces::Cut) {
                Ok(taken) => {
                    sent += taken;
                    if taken < slice.len() {
                        break;
                    }
                }
                Err(_) if sent > 0 => break,
                Err(error) => return Err(error),
            }
        }
        Ok(sent)
    }

    fn poll_sendable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.pipe.poll_writable(cx).map(Ok)
    }

    fn close(&self) {
        self.pipe.end();
        self.incoming.leave_unread();
    }
}

impl AsyncRead for End {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.receive).poll_read(cx, buffer)
    }
}

impl AsyncWrite for End {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        loop {
            match self.send.pipe.try_write(bytes, Pieces::Whole) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if self.send.pipe.poll_writable(cx).is_pending() {
                        return Poll::Pending;
                    }
                }
                outcome => return Poll::Ready(outcome),
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.send.pipe.end();
        Poll::Ready(Ok(()))
    }
}
