//! One direction of a connection.

use std::collections::VecDeque;
use std::io;
use std::task::{Context, Poll, Waker};

use bytes::{Buf, Bytes};
use parking_lot::Mutex;
use pelton_runtime_core::time::Moment;
use rand::Rng;

use super::SimulatedNetwork;
use crate::simulator::Sleep;

/// What is on the way at most.
const CAPACITY_BYTES: usize = 128 << 10;

/// How often less is taken or given than could be.
const SHORT: f64 = 0.1;

/// How many bytes that is at most.
const SHORT_BYTES: usize = 64;

/// Whether what is sent may be taken and given in pieces.
///
/// Where it may, equal runs need equal lengths. What gRPC carries of the real machine (the memory that is filled, the date in
/// an answer) has other lengths in other runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pieces {
    /// As it was sent.
    Whole,
    /// Cut anywhere.
    Cut,
}

/// Bytes on their way from one host to another.
pub(super) struct Pipe {
    network: SimulatedNetwork,
    from: String,
    to: String,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    chunks: VecDeque<(Moment, Bytes)>,
    bytes: usize,
    /// When the last of what was sent arrives.
    last: Moment,
    /// The writer will write no more; the end arrives at this moment.
    ended: Option<Moment>,
    /// The connection is broken from this moment on, and what has not been read by then is lost.
    reset: Option<Moment>,
    /// Nobody reads any more.
    unread: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Pipe {
    pub(super) fn new(network: SimulatedNetwork, from: String, to: String) -> Self {
        Self { network, from, to, state: Mutex::default() }
    }

    pub(super) fn from(&self) -> &str {
        &self.from
    }

    pub(super) fn to(&self) -> &str {
        &self.to
    }

    pub(super) fn leads(&self, from: &str, to: &str) -> bool {
        self.from == from && self.to == to
    }

    /// Whether nothing will come out of it any more.
    pub(super) fn is_over(&self) -> bool {
        let state = self.state.lock();
        state.reset.is_some() || (state.ended.is_some() && state.chunks.is_empty())
    }

    /// Nothing arrives before this moment.
    pub(super) fn hold_until(&self, moment: Moment) {
        let mut state = self.state.lock();
        for (arrives, _) in &mut state.chunks {
            *arrives = (*arrives).max(moment);
        }
        state.last = state.last.max(moment);
        state.ended = state.ended.map(|ends| ends.max(moment));
    }

    /// The connection breaks.
    pub(super) fn reset(&self, at: Moment) {
        let wakers = {
            let mut state = self.state.lock();
            state.reset = Some(state.reset.map_or(at, |reset| reset.min(at)));
            [state.reader.take(), state.writer.take()]
        };
        wakers.into_iter().flatten().for_each(Waker::wake);
    }

    /// How many bytes are taken or given at once.
    fn draw_most(&self, pieces: Pieces) -> usize {
        if pieces == Pieces::Whole {
            return usize::MAX;
        }
        let simulator = &self.network.0.simulator;
        let short = simulator.draw(|random| random.random_range(1..=SHORT_BYTES));
        if simulator.happens(SHORT) { short } else { usize::MAX }
    }

    /// Takes some of `bytes`; fails with `WouldBlock` when there is no room.
    pub(super) fn try_write(&self, bytes: &[u8], pieces: Pieces) -> io::Result<usize> {
        let simulator = &self.network.0.simulator;
        let arrival = self.network.arrival(&self.from, &self.to);
        let most = self.draw_most(pieces);
        let (taken, waker) = {
            let mut state = self.state.lock();
            if state.reset.is_some_and(|reset| reset <= simulator.now()) || state.ended.is_some() || state.unread {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            let room = CAPACITY_BYTES.saturating_sub(state.bytes);
            if room == 0 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            let taken = bytes.len().min(room).min(most);
            let arrives = state.last.max(arrival);
            state.last = arrives;
            state.bytes += taken;
            state.chunks.push_back((arrives, Bytes::copy_from_slice(&bytes[..taken])));
            (taken, state.reader.take())
        };
        if let Some(waker) = waker {
            waker.wake();
        }
        Ok(taken)
    }

    /// Ready when writing is worth a try.
    pub(super) fn poll_writable(&self, cx: &mut Context<'_>) -> Poll<()> {
        let now = self.network.0.simulator.now();
        let mut state = self.state.lock();
        let over = state.reset.is_some_and(|reset| reset <= now) || state.ended.is_some() || state.unread;
        if over || state.bytes < CAPACITY_BYTES {
            return Poll::Ready(());
        }
        state.writer = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Reads into `buffer`; nothing at the end. `timer` is the reader's.
    pub(super) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        timer: &mut Option<Sleep>,
        pieces: Pieces,
        buffer: &mut tokio::io::ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let simulator = &self.network.0.simulator;
        loop {
            let now = simulator.now();
            let most = self.draw_most(pieces);
            let next = {
                let mut state = self.state.lock();
                if state.reset.is_some_and(|reset| reset <= now) {
                    return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
                }
                let arrives = match state.chunks.front_mut() {
                    Some((arrives, chunk)) if *arrives <= now => {
                        let length = chunk.len().min(buffer.remaining()).min(most);
                        buffer.put_slice(&chunk[..length]);
                        chunk.advance(length);
                        let empty = chunk.is_empty();
                        if empty {
                            state.chunks.pop_front();
                        }
                        state.bytes -= length;
                        let waker = state.writer.take();
                        drop(state);
                        waker.into_iter().for_each(Waker::wake);
                        return Poll::Ready(Ok(()));
                    }
                    Some((arrives, _)) => Some(*arrives),
                    None => match state.ended {
                        Some(ends) if ends <= now => return Poll::Ready(Ok(())),
                        ended => ended,
                    },
                };
                state.reader = Some(cx.waker().clone());
                [arrives, state.reset].into_iter().flatten().min()
            };
            let Some(next) = next else { return Poll::Pending };
            let mut sleep = simulator.sleep_until(next);
            if std::pin::Pin::new(&mut sleep).poll(cx).is_pending() {
                *timer = Some(sleep);
                return Poll::Pending;
            }
        }
    }

    /// Nothing more will be written.
    pub(super) fn end(&self) {
        let arrival = self.network.arrival(&self.from, &self.to);
        let waker = {
            let mut state = self.state.lock();
            if state.ended.is_none() {
                state.ended = Some(state.last.max(arrival));
            }
            state.reader.take()
        };
        waker.into_iter().for_each(Waker::wake);
    }

    /// Nobody reads any more.
    pub(super) fn leave_unread(&self) {
        let waker = {
            let mut state = self.state.lock();
            state.unread = true;
            state.chunks.clear();
            state.bytes = 0;
            state.writer.take()
        };
        waker.into_iter().for_each(Waker::wake);
    }
}
